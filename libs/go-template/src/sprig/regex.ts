// Go's regular expressions. re2js has their syntax, and their linear time for one search; how matches follow one another is done here as in Go.

import { RE2JS, RE2JSException } from 're2js';
import { quoted } from '../quote.js';
import { FunctionError, type TemplateFunction } from '../template-function.js';
import { TimeBound } from '../time-bound.js';
import type { List } from '../value.js';
import { checkItems, checkTextLength } from './bounds.js';
import { fixed } from './declaration.js';
import { newTexts, nilList } from './go-value.js';

const MAX_EXPRESSION = 10_000;
/** Instructions of an expression times characters of a text: about a second's work, where each has to be tried everywhere. */
const MAX_SEARCH = 20_000_000;
/** Searches that are linear each are not linear together. */
const MAX_MILLISECONDS = 1000;
/** Each may keep 8 MiB of what it has learnt of its texts. */
const CACHED = 16;

const match = fixed(['string', 'string'], (expression, text) => compiled(expression).matcher(checked(expression, text)).find());
const findAll = fixed(['string', 'string', 'int'], allMatches);
const find = fixed(['string', 'string'], (expression, text) => firstMatch(expression, text));
const replaceAll = fixed(['string', 'string', 'string'], (expression, text, replacement) =>
  replaced(expression, text, (found) => expanded(replacement, found)),
);
const replaceAllLiteral = fixed(['string', 'string', 'string'], (expression, text, replacement) =>
  replaced(expression, text, () => replacement),
);
const split = fixed(['string', 'string', 'int'], splitAt);

export const REGEX_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['regexMatch', fixed(['string', 'string'], isMatch)],
  ['mustRegexMatch', match],
  ['regexFindAll', panicking(findAll)],
  ['mustRegexFindAll', findAll],
  ['regexFind', panicking(find)],
  ['mustRegexFind', find],
  ['regexReplaceAll', panicking(replaceAll)],
  ['mustRegexReplaceAll', replaceAll],
  ['regexReplaceAllLiteral', panicking(replaceAllLiteral)],
  ['mustRegexReplaceAllLiteral', replaceAllLiteral],
  ['regexSplit', panicking(split)],
  ['mustRegexSplit', split],
  ['regexQuoteMeta', fixed(['string'], (text) => text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&'))],
]);

/** What an expression that cannot be read gives. */
class SyntaxProblem extends FunctionError {
  readonly expression: string;

  constructor(expression: string, message: string) {
    super(message);
    this.expression = expression;
  }
}

const CACHE = new Map<string, RE2JS>();

function compiled(expression: string): RE2JS {
  const known = CACHE.get(expression);
  if (known !== undefined) return known;
  if (expression.length > MAX_EXPRESSION) {
    throw new FunctionError(`a regular expression of more than ${MAX_EXPRESSION} characters is not supported here`);
  }
  try {
    const regex = RE2JS.compile(expression);
    const [oldest] = CACHE.keys();
    if (CACHE.size >= CACHED && oldest !== undefined) CACHE.delete(oldest);
    CACHE.set(expression, regex);
    return regex;
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    // Go quotes the expression here too, which is empty at its end.
    throw new SyntaxProblem(expression, error.message.replace(/at end of expression$/, '$&: ``'));
  }
}

/** The functions without `must` panic, in other words than the others return. */
function panicking(called: TemplateFunction): TemplateFunction {
  return {
    ...called,
    run: (args) => {
      try {
        return called.run(args);
      } catch (error) {
        if (!(error instanceof SyntaxProblem)) throw error;
        const canBackquote = !/[`\0-\x08\n-\x1f\x7f\ufeff]/.test(error.expression);
        const shown = canBackquote ? `\`${error.expression}\`` : quoted(error.expression);
        throw new FunctionError(`regexp: Compile(${shown}): ${error.message}`, { cause: error });
      }
    },
  };
}

function isMatch(expression: string, text: string): boolean {
  try {
    return compiled(expression).matcher(checked(expression, text)).find();
  } catch (error) {
    if (error instanceof SyntaxProblem) return false;
    throw error;
  }
}

/** The text, when a search in it is no more work than is allowed. */
function checked(expression: string, text: string): string {
  if (compiled(expression).programSize() * text.length > MAX_SEARCH) {
    throw new FunctionError('the regular expression is too large for a text of this length');
  }
  return text;
}

/** One match: where it and its groups are. */
interface Match {
  readonly start: number;
  readonly end: number;
  readonly group: (name: number | string) => string;
}

/** The searches of one call, each of which begins where it is told. */
function searcher(expression: string, text: string): (from: number) => Match | null {
  const regex = compiled(expression);
  const matcher = regex.matcher(checked(expression, text));
  const groups = regex.groupCount();
  const names = new Map(Object.entries(regex.namedGroups()));
  const bound = new TimeBound(MAX_MILLISECONDS);
  return (from) => {
    if (bound.isOver) throw new FunctionError(`the regular expression takes more than ${MAX_MILLISECONDS} ms`);
    if (from > text.length || !matcher.find(from)) return null;
    const found = Array.from({ length: groups + 1 }, (_, place) => matcher.group(place) ?? '');
    const group = (name: number | string): string => found[typeof name === 'number' ? name : (names.get(name) ?? -1)] ?? '';
    return { start: matcher.start(), end: matcher.end(), group };
  };
}

function widthAt(text: string, position: number): number {
  const code = text.codePointAt(position);
  return code === undefined ? 1 : code > 0xffff ? 2 : 1;
}

/** Matches that do not overlap; an empty one does not directly follow another. */
function* matchesOf(expression: string, text: string, limit = Infinity): Generator<Match> {
  const search = searcher(expression, text);
  let previousEnd = -1;
  let position = 0;
  for (let count = 0; count < limit;) {
    const found = search(position);
    if (found === null) return;
    const isAccepted = found.end !== position || found.start !== previousEnd;
    position = found.end === position ? position + widthAt(text, position) : found.end;
    previousEnd = found.end;
    if (!isAccepted) continue;
    count++;
    yield found;
  }
}

function allMatches(expression: string, text: string, limit: bigint): List {
  const texts: string[] = [];
  for (const { group } of matchesOf(expression, text, limit < 0n ? Infinity : Number(limit))) {
    checkItems(texts.length);
    texts.push(group(0));
  }
  return texts.length === 0 ? nilList('[]string') : newTexts(texts);
}

function firstMatch(expression: string, text: string): string {
  return searcher(expression, text)(0)?.group(0) ?? '';
}

function replaced(expression: string, text: string, replacementOf: (found: Match) => string): string {
  const search = searcher(expression, text);
  const output: string[] = [];
  let length = 0;
  let lastEnd = 0;
  let position = 0;
  for (let found = search(0); found !== null; found = search(position)) {
    const isEmptyAfterMatch = found.end <= lastEnd && found.start > 0;
    const piece = text.slice(lastEnd, found.start) + (isEmptyAfterMatch ? '' : replacementOf(found));
    length += piece.length;
    checkTextLength(length);
    output.push(piece);
    lastEnd = found.end;
    position = Math.max(found.end, position + widthAt(text, position));
  }
  output.push(text.slice(lastEnd));
  return output.join('');
}

/** `$1`, `$name` and `${name}` stand for groups, `$$` for a dollar sign; a name is as long as it can be. */
function expanded(replacement: string, { group }: Match): string {
  return replacement.replace(
    /\$(?:(\$)|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu,
    (_all, dollar?: string, braced?: string, bare?: string) => {
      const name = braced ?? bare;
      if (dollar !== undefined || name === undefined) return '$';
      return group(/^(0|[1-9]\d{0,8})$/.test(name) ? Number(name) : name);
    },
  );
}

function splitAt(expression: string, text: string, limit: bigint): List {
  compiled(expression);
  if (limit === 0n) return nilList('[]string');
  if (expression !== '' && text === '') return newTexts(['']);
  const parts: string[] = [];
  let start = 0;
  let end = 0;
  for (const found of matchesOf(expression, text, limit < 0n ? Infinity : Number(limit))) {
    if (limit > 0n && BigInt(parts.length) === limit - 1n) break;
    checkItems(parts.length);
    end = found.start;
    if (found.end !== 0) parts.push(text.slice(start, end));
    start = found.end;
  }
  if (end !== text.length) parts.push(text.slice(start));
  return newTexts(parts);
}
