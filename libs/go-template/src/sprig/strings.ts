import { quoted } from '../quote.js';
import { FunctionError, type TemplateFunction } from '../template-function.js';
import { compareTexts, type Dictionary, isList, type List, type Value } from '../value.js';
import { checkItems, checkTextLength } from './bounds.js';
import { byteText, textOfBytes } from './byte-text.js';
import { fixed, variadic } from './declaration.js';
import { elementsOf, isNil, newDictionary, newTexts, textOf } from './go-value.js';
import { isSpace, lower, upper } from './letter-case.js';

export const STRING_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['hello', fixed([], () => 'Hello!')],
  ['upper', fixed(['string'], upper)],
  ['lower', fixed(['string'], lower)],
  ['trim', fixed(['string'], trimmed)],
  ['trimall', fixed(['string', 'string'], trimAll)],
  ['trimAll', fixed(['string', 'string'], trimAll)],
  ['trimPrefix', fixed(['string', 'string'], (prefix, text) => (text.startsWith(prefix) ? text.slice(prefix.length) : text))],
  [
    'trimSuffix',
    fixed(['string', 'string'], (suffix, text) => (text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text)),
  ],
  ['nospace', fixed(['string'], noSpace)],
  ['trunc', fixed(['int', 'string'], truncated)],
  ['substr', fixed(['int', 'int', 'string'], substring)],
  ['repeat', fixed(['int', 'string'], (count, text) => repeated(text, count))],
  ['contains', fixed(['string', 'string'], (part, text) => text.includes(part))],
  ['hasPrefix', fixed(['string', 'string'], (prefix, text) => text.startsWith(prefix))],
  ['hasSuffix', fixed(['string', 'string'], (suffix, text) => text.endsWith(suffix))],
  [
    'quote',
    variadic([], 'interface {}', (values) =>
      present(values)
        .map((value) => quoted(textOf(value)))
        .join(' '),
    ),
  ],
  [
    'squote',
    variadic([], 'interface {}', (values) =>
      present(values)
        .map((value) => `'${textOf(value)}'`)
        .join(' '),
    ),
  ],
  ['cat', variadic([], 'interface {}', (values) => present(values).map(textOf).join(' '))],
  ['indent', fixed(['int', 'string'], indented)],
  ['nindent', fixed(['int', 'string'], (spaces, text) => `\n${indented(spaces, text)}`)],
  ['replace', fixed(['string', 'string', 'string'], replaced)],
  ['plural', fixed(['string', 'string', 'int'], (one, many, count) => (count === 1n ? one : many))],
  ['toString', fixed(['interface {}'], textOf)],
  ['toStrings', fixed(['interface {}'], (value) => newTexts(textsOf(value)))],
  ['join', fixed(['string', 'interface {}'], joined)],
  ['sortAlpha', fixed(['interface {}'], sorted)],
  ['splitList', fixed(['string', 'string'], (separator, text) => newTexts(parts(text, separator)))],
  ['split', fixed(['string', 'string'], (separator, text) => numbered(parts(text, separator)))],
  ['splitn', fixed(['string', 'int', 'string'], (separator, count, text) => numbered(firstParts(text, separator, count)))],
]);

function present(values: readonly Value[]): Value[] {
  return values.filter((value) => !isNil(value));
}

/** An expression for the end of the text would look again and again for it in the spaces before. */
function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charAt(start))) start++;
  while (end > start && isSpace(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

function trimAll(cut: string, text: string): string {
  const set = new Set(cut);
  const runes = [...text];
  const start = runes.findIndex((rune) => !set.has(rune));
  return start < 0 ? '' : runes.slice(start, runes.findLastIndex((rune) => !set.has(rune)) + 1).join('');
}

/** White space is looked for in the bytes, and where there is some each byte becomes a character: sprig does so to all but ASCII. */
function noSpace(text: string): string {
  const bytes = byteText(text);
  const kept = bytes.replace(/\p{White_Space}/gu, '');
  return kept.length === bytes.length ? text : kept;
}

function outOfRange(problem: string): never {
  throw new FunctionError(`runtime error: slice bounds out of range ${problem}`);
}

/** Of bytes, those before `count`, or the last ones for a negative count. */
function truncated(count: bigint, text: string): string {
  const bytes = byteText(text);
  const length = BigInt(bytes.length);
  if (count < 0n && length + count > 0n) return textOfBytes(bytes.slice(Number(count)));
  return count >= 0n && length > count ? textOfBytes(bytes.slice(0, Number(count))) : text;
}

function substring(start: bigint, end: bigint, text: string): string {
  const bytes = byteText(text);
  const length = BigInt(bytes.length);
  if (start < 0n) {
    if (end < 0n) outOfRange(`[:${end}]`);
    if (end > length) outOfRange(`[:${end}] with length ${length}`);
    return textOfBytes(bytes.slice(0, Number(end)));
  }
  const stop = end < 0n || end > length ? length : end;
  if (start > stop) outOfRange(`[${start}:${stop}]`);
  return textOfBytes(bytes.slice(Number(start), Number(stop)));
}

function repeated(text: string, count: bigint): string {
  if (count < 0n) throw new FunctionError('strings: negative Repeat count');
  checkTextLength(BigInt(text.length) * count);
  return text === '' ? '' : text.repeat(Number(count));
}

function indented(spaces: bigint, text: string): string {
  const pad = repeated(' ', spaces);
  const lines = text.split('\n');
  checkTextLength(text.length + lines.length * pad.length);
  return lines.map((line) => pad + line).join('\n');
}

function replaced(old: string, replacement: string, text: string): string {
  const pieces = old === '' ? ['', ...text, ''] : text.split(old);
  checkTextLength(text.length + pieces.length * replacement.length);
  return pieces.join(replacement);
}

/** The texts of a list's values without nil, or the text of the one value. */
function textsOf(value: Value): string[] {
  if (isNil(value)) return [];
  return isList(value) ? present(elementsOf(value)).map(textOf) : [textOf(value)];
}

function joined(separator: string, value: Value): string {
  const texts = textsOf(value);
  checkTextLength(texts.length * separator.length);
  return texts.join(separator);
}

function sorted(value: Value): List {
  return newTexts(isList(value) ? textsOf(value).sort(compareTexts) : [textOf(value)]);
}

function parts(text: string, separator: string): string[] {
  const found = separator === '' ? [...text] : text.split(separator);
  checkItems(found.length);
  return found;
}

/** At most as many parts, the last one with the rest; all for a negative count. */
function firstParts(text: string, separator: string, count: bigint): string[] {
  const all = parts(text, separator);
  if (count < 0n || BigInt(all.length) <= count) return all;
  if (count === 0n) return [];
  const last = Number(count) - 1;
  return [...all.slice(0, last), all.slice(last).join(separator)];
}

function numbered(texts: readonly string[]): Dictionary {
  return newDictionary(
    texts.map((text, place) => [`_${place}`, text]),
    'map[string]string',
  );
}
