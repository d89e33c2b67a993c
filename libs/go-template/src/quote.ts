// Go's way to write a string in quotes, and to read one.

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

/** `strconv.QuoteRune`: what is no character is shown as U+FFFD. */
export function quotedRune(code: bigint): string {
  const isCharacter = code >= 0n && code <= 0x10ffffn && !(code >= 0xd800n && code <= 0xdfffn);
  return `'${escaped(String.fromCodePoint(isCharacter ? Number(code) : 0xfffd), "'")}'`;
}

function escaped(rune: string, quote: string): string {
  if (rune === quote) return `\\${rune}`;
  const short = ESCAPED.get(rune);
  if (short !== undefined) return short;
  if (isPrintable(rune)) return rune;
  const code = rune.codePointAt(0) ?? 0;
  if (code < 0x20 || code === 0x7f) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}

/** What is between double quotes, with its escapes resolved; null when it is no Go string. */
export function unquoted(literal: string): string | null {
  return resolved(literal.slice(1, -1), '"');
}

/** The code of the one character between single quotes; null when there is none, or more. */
export function unquotedRune(literal: string): bigint | null {
  const runes = [...(resolved(literal.slice(1, -1), "'") ?? '')];
  const [rune] = runes;
  return rune === undefined || runes.length > 1 ? null : BigInt(rune.codePointAt(0) ?? 0);
}

function resolved(text: string, quote: string): string | null {
  let isGood = true;
  const bad = (): string => {
    isGood = false;
    return '';
  };
  const pattern = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([^]))|\\$/g;
  const result = text.replace(pattern, (_all, byte?: string, short?: string, long?: string, octal?: string, letter?: string) => {
    if (letter !== undefined) return ESCAPES[letter] ?? (letter === quote ? letter : bad());
    const code = octal === undefined ? Number.parseInt(byte ?? short ?? long ?? '', 16) : Number.parseInt(octal, 8);
    // A byte above 7F is a piece of a character in Go; texts here are made of whole ones.
    const isByte = byte !== undefined || octal !== undefined;
    if (Number.isNaN(code) || code > (isByte ? 0x7f : 0x10ffff) || (code >= 0xd800 && code <= 0xdfff)) return bad();
    return String.fromCodePoint(code);
  });
  return isGood ? result : null;
}
