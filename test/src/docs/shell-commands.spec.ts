import { describe, expect, it } from '@jest/globals';
import { shellCommands } from './shell-commands.js';

const wordsOf = (text: string): readonly (readonly string[])[] => shellCommands(text).map(({ words }) => words);

describe('shellCommands', () => {
  it('takes quotes, comments, continued lines and pipes apart', () => {
    expect(wordsOf(`a 'b c' "d e" # no\n# no\nf --g=$PWD \\\n  h | i; j && k > out`)).toEqual([
      ['a', 'b c', 'd e'],
      ['f', '--g=$PWD', 'h'],
      ['i'],
      ['j'],
      ['k'],
    ]);
  });

  it('knows the line of each command', () => {
    expect(shellCommands("a\n\nb 'x\ny'\nc").map(({ line }) => line)).toEqual([1, 3, 5]);
  });

  it('leaves keywords of a loop out', () => {
    expect(wordsOf('for x in a b; do\n  c "$x"\ndone')).toEqual([
      ['for', 'x', 'in', 'a', 'b'],
      ['c', '$x'],
    ]);
  });

  it('gives a here-document to its command', () => {
    expect(shellCommands("a -f - <<'END'\n{ 'x\nEND\nb")).toEqual([
      { words: ['a', '-f', '-'], line: 1, input: "{ 'x\n" },
      { words: ['b'], line: 4 },
    ]);
  });

  it('refuses what has no end', () => {
    expect(() => shellCommands("a 'b")).toThrow('a quote has no end');
    expect(() => shellCommands('a <<END\nb')).toThrow('no end END');
  });
});
