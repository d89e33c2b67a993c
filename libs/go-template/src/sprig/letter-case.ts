// Upper, lower and title case as Go has them: one character for one, by Unicode's simple mappings.

const TITLES: Readonly<Record<string, string>> = {
  Ǆ: 'ǅ',
  ǅ: 'ǅ',
  ǆ: 'ǅ',
  Ǉ: 'ǈ',
  ǈ: 'ǈ',
  ǉ: 'ǈ',
  Ǌ: 'ǋ',
  ǋ: 'ǋ',
  ǌ: 'ǋ',
  Ǳ: 'ǲ',
  ǲ: 'ǲ',
  ǳ: 'ǲ',
};

export function upper(text: string): string {
  return isAscii(text) ? text.toUpperCase() : [...text].map(upperRune).join('');
}

export function lower(text: string): string {
  return isAscii(text) ? text.toLowerCase() : [...text].map(lowerRune).join('');
}

export function upperRune(rune: string): string {
  const mapped = rune.toUpperCase();
  if ([...mapped].length === 1) return mapped;
  return greekWithIota(rune) ?? rune;
}

/** The capital I with a dot loses its dot. */
export function lowerRune(rune: string): string {
  return rune === '\u0130' ? 'i' : rune.toLowerCase();
}

export function titleRune(rune: string): string {
  const isGeorgian = rune >= '\u10d0' && rune <= '\u10ff';
  return isGeorgian ? rune : (TITLES[rune] ?? upperRune(rune));
}

/** Small Greek letters with a subscript have capitals of one character, which JavaScript writes as two. */
function greekWithIota(rune: string): string | null {
  const code = rune.codePointAt(0) ?? 0;
  if (code >= 0x1f80 && code <= 0x1faf) return String.fromCodePoint(code | 8);
  return code === 0x1fb3 || code === 0x1fc3 || code === 0x1ff3 ? String.fromCodePoint(code + 9) : null;
}

export function isUpper(rune: string): boolean {
  return /^\p{Lu}$/u.test(rune);
}

export function isLower(rune: string): boolean {
  return /^\p{Ll}$/u.test(rune);
}

/** `unicode.IsSpace` */
export function isSpace(rune: string): boolean {
  return /^\p{White_Space}$/u.test(rune);
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}
