// Go's way to write a string in quotes, and to read one.

import { isUtf8 } from 'node:buffer';

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
};
const ESCAPED = new Map(Object.entries(ESCAPES).map(([letter, character]) => [character, `\\${letter}`]));

/** What Go's `unicode.IsPrint` says: a letter, mark, number, punctuation, symbol or the space. */
export function isPrintable(rune: string): boolean {
  return /^[ \p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(rune);
}

/** `strconv.Quote`. */
export function quoted(text: string): string {
  return `"${[...text.toWellFormed()].map((rune) => escaped(rune, '"')).join('')}"`;
}

/** `strconv.QuoteToASCII`. */
export function quotedAscii(text: string): string {
  return `"${[...text.toWellFormed()].map((rune) => escaped(rune, '"', true)).join('')}"`;
}

/** `strconv.QuoteRune`. */
export function quotedRune(rune: string): string {
  return `'${escaped(rune, "'")}'`;
}

/** `strconv.QuoteRuneToASCII`. */
export function quotedRuneAscii(rune: string): string {
  return `'${escaped(rune, "'", true)}'`;
}

function escaped(rune: string, quote: string, isAscii = false): string {
  if (rune === quote) return `\\${rune}`;
  const short = ESCAPED.get(rune);
  if (short !== undefined) return short;
  if (isPrintable(rune) && !(isAscii && rune > '~')) return rune;
  const code = rune.codePointAt(0) ?? 0;
  if (code < 0x20 || code === 0x7f) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}

/** The bytes of a string are no UTF-8, which Go allows: texts are made of whole characters here. */
export class NotTextError extends Error {}

/** What is between double quotes, with its escapes resolved; null when it is no Go string. Throws a NotTextError. */
export function unquoted(literal: string): string | null {
  const bytes: Buffer[] = [];
  for (const piece of pieces(literal.slice(1, -1), '"')) {
    if (piece === null) return null;
    bytes.push(typeof piece === 'string' ? Buffer.from(piece) : Buffer.of(piece));
  }
  const all = Buffer.concat(bytes);
  if (!isUtf8(all)) throw new NotTextError(`the bytes of ${literal} are no UTF-8, which is not supported here`);
  return all.toString();
}

/** The code of the one character between single quotes; null when there is none, undefined when there are more. */
export function unquotedRune(literal: string): bigint | null | undefined {
  const [first, ...rest] = pieces(literal.slice(1, -1), "'");
  if (first === undefined || first === null) return null;
  return rest.length > 0 ? undefined : BigInt(typeof first === 'string' ? (first.codePointAt(0) ?? 0) : first);
}

/** Characters, and bytes that are written as such; null is no escape of Go. */
function* pieces(text: string, quote: string): Generator<string | number | null> {
  const pattern = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([^]))|\\$|[^]/gu;
  for (const [all, byte, short, long, octal, letter] of text.matchAll(pattern)) {
    if (!all.startsWith('\\')) yield all;
    else if (letter !== undefined) yield ESCAPES[letter] ?? (letter === quote ? letter : null);
    else if (byte !== undefined) yield Number.parseInt(byte, 16);
    else if (octal !== undefined) yield Number.parseInt(octal, 8) > 0xff ? null : Number.parseInt(octal, 8);
    else yield characterOf(Number.parseInt(short ?? long ?? '', 16));
  }
}

function characterOf(code: number): string | null {
  const isCharacter = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : null;
}
