/** Commands as a block of shell in the documentation has them: a small part of the shell's grammar, and a refusal of the rest. */

export interface ShellCommand {
  /** The program and its arguments without quotes; what the shell would put in, such as `$PWD`, stays as it is written. */
  readonly words: readonly string[];
  /** Of its first word, from 1. */
  readonly line: number;
  /** What a here-document gives it. */
  readonly input?: string;
}

/** Words that only begin or end a list of commands. */
const KEYWORDS: ReadonlySet<string> = new Set(['do', 'done', 'then', 'fi']);

/** The commands of a block in their order, those of a pipe one after the other. Throws on a quote without an end. */
export function shellCommands(text: string): ShellCommand[] {
  const commands: ShellCommand[] = [];
  let words: string[] = [];
  let word: string | null = null;
  let line = 1;
  let begin = 1;
  let heredoc: string | null = null;
  let at = 0;

  const endWord = (): void => {
    if (word !== null && !(words.length === 0 && KEYWORDS.has(word))) {
      if (words.length === 0) begin = line;
      words.push(word);
    }
    word = null;
  };
  const endCommand = (input?: string): void => {
    endWord();
    const [first] = words;
    if (first !== undefined) commands.push({ words, line: begin, ...(input === undefined ? {} : { input }) });
    words = [];
  };
  /** The text up to the end of a quote or of `$(…)`, behind which `at` stands then. */
  const until = (end: string, what: string): string => {
    const close = text.indexOf(end, at + 1);
    if (close < 0) throw new Error(`line ${line}: ${what} has no end`);
    const inside = text.slice(at + 1, close);
    line += inside.split('\n').length - 1;
    at = close;
    return inside;
  };

  for (; at < text.length; at++) {
    const sign = text[at] ?? '';
    if (sign === '\\' && text[at + 1] === '\n') {
      endWord();
      line++;
      at++;
    } else if (sign === '\\') word = (word ?? '') + (text[++at] ?? '');
    else if (sign === "'") word = (word ?? '') + until("'", 'a quote');
    else if (sign === '"') word = (word ?? '') + until('"', 'a quote');
    else if (sign === '#' && word === null) {
      while (at + 1 < text.length && text[at + 1] !== '\n') at++;
    } else if (text.startsWith('<<', at)) {
      endWord();
      const mark = /^<<\s*(['"]?)(\w+)\1/.exec(text.slice(at));
      if (mark === null) throw new Error(`line ${line}: the end of a here-document is not named`);
      heredoc = mark[2] ?? '';
      at += mark[0].length - 1;
    } else if (sign === '\n') {
      if (heredoc === null) endCommand();
      else {
        const close = text.indexOf(`\n${heredoc}`, at);
        if (close < 0) throw new Error(`line ${line}: the here-document has no end ${heredoc}`);
        const input = text.slice(at + 1, close + 1);
        endCommand(input);
        line += input.split('\n').length - 1;
        at = close + heredoc.length;
        heredoc = null;
      }
      line++;
    } else if (sign === ';' || sign === '|' || sign === '&') endCommand();
    else if (sign === ' ' || sign === '\t') endWord();
    else word = (word ?? '') + sign;
  }
  if (heredoc !== null) throw new Error(`line ${line}: the here-document has no end ${heredoc}`);
  endCommand();
  return commands.map(withoutRedirection);
}

/** A redirection is the shell's, not an argument. */
function withoutRedirection(command: ShellCommand): ShellCommand {
  const at = command.words.findIndex((word) => /^\d?>/.test(word));
  return at < 0 ? command : { ...command, words: command.words.slice(0, at) };
}
