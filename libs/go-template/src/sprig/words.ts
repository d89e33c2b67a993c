// Text as words: changes of case, joints, initials, and lines of a width.

import type { TemplateFunction } from '../template-function.js';
import { checkTextLength } from './bounds.js';
import { byteText, textOfBytes } from './byte-text.js';
import { fixed } from './declaration.js';
import { isConnector, jointed } from './jointed-words.js';
import { isLower, isSpace, isUpper, lowerRune, titleRune, upperRune } from './letter-case.js';

export const WORD_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['title', fixed(['string'], title)],
  ['untitle', fixed(['string'], (text) => everyFirst(text, lowerRune))],
  ['swapcase', fixed(['string'], swapCase)],
  ['snakecase', fixed(['string'], (text) => jointed(text, '_'))],
  ['kebabcase', fixed(['string'], (text) => jointed(text, '-'))],
  ['camelcase', fixed(['string'], pascalCase)],
  ['initials', fixed(['string'], initials)],
  ['abbrev', fixed(['int', 'string'], (width, text) => (width < 4n ? text : abbreviated(text, 0n, width)))],
  ['abbrevboth', fixed(['int', 'int', 'string'], abbreviatedBoth)],
  ['wrap', fixed(['int', 'string'], (width, text) => wrapped(text, width, { joint: '\n', cutsWords: false }))],
  ['wrapWith', fixed(['int', 'string', 'string'], (width, joint, text) => wrapped(text, width, { joint: joint || '\n', cutsWords: true }))],
]);

/** The first letter of each word, of those that white space or punctuation parts. */
function title(text: string): string {
  let previous = ' ';
  return [...text]
    .map((rune) => {
      const isFirst = partsWords(previous);
      previous = rune;
      return isFirst ? titleRune(rune) : rune;
    })
    .join('');
}

function partsWords(rune: string): boolean {
  if (/^[\0-\x7f]$/.test(rune)) return !/^\w$/.test(rune);
  return !/^[\p{L}\p{Nd}]$/u.test(rune) && isSpace(rune);
}

function everyFirst(text: string, change: (rune: string) => string): string {
  let isFirst = true;
  return [...text]
    .map((rune) => {
      if (isSpace(rune)) {
        isFirst = true;
        return rune;
      }
      const changed = isFirst ? change(rune) : rune;
      isFirst = false;
      return changed;
    })
    .join('');
}

/** A small letter at the start of a word becomes a title-case one, any other letter the one of the other case. */
function swapCase(text: string): string {
  let isAfterSpace = true;
  return [...text]
    .map((rune) => {
      if (isUpper(rune) || /^\p{Lt}$/u.test(rune)) {
        isAfterSpace = false;
        return lowerRune(rune);
      }
      if (isLower(rune)) {
        const changed = isAfterSpace ? titleRune(rune) : upperRune(rune);
        isAfterSpace = false;
        return changed;
      }
      isAfterSpace = isSpace(rune);
      return rune;
    })
    .join('');
}

/** Each connector between two words goes, and the letter behind it is a capital. Words of capitals only keep their first one. */
function pascalCase(text: string): string {
  const runes = [...text];
  const start = runes.findIndex((rune) => !isConnector(rune));
  const first = runes[start];
  // Of connectors alone the last one is doubled.
  if (first === undefined) return text + (runes.at(-1) ?? '');
  const output = runes.slice(0, start);
  let isCapitals = isUpper(first);
  let rune = upperRune(first);
  for (const next of runes.slice(start + 1)) {
    const previous = rune;
    rune = next;
    if (isConnector(previous)) {
      if (isConnector(next)) {
        output.push(previous);
        continue;
      }
      isCapitals = isUpper(next);
      rune = upperRune(next);
    } else {
      if (isCapitals) {
        if (isUpper(next)) rune = lowerRune(next);
        else isCapitals = false;
      }
      output.push(previous);
    }
  }
  output.push(rune);
  return output.join('');
}

/** By bytes, each of which is shown as the character of its number: sprig knows initials of ASCII only. */
function initials(text: string): string {
  let isGap = true;
  return [...byteText(text)]
    .filter((byte) => {
      const isFirst = isGap && !isSpace(byte);
      isGap = isSpace(byte);
      return isFirst;
    })
    .join('');
}

function abbreviatedBoth(left: bigint, right: bigint, text: string): string {
  return right < 4n || (left > 0n && right < 7n) ? text : abbreviated(text, left, right);
}

const ELLIPSIS = '...';

/** At most `width` bytes, of those from about `offset`. */
function abbreviated(text: string, offset: bigint, width: bigint): string {
  const bytes = byteText(text);
  if (width >= bytes.length) return text;
  const kept = Number(width) - ELLIPSIS.length;
  const latest = bytes.length - kept;
  const start = offset > latest ? latest : Number(offset);
  if (start <= 4) return textOfBytes(bytes.slice(0, kept)) + ELLIPSIS;
  if (width < 7n) return '';
  if (start + kept >= bytes.length) return ELLIPSIS + textOfBytes(bytes.slice(latest));
  return ELLIPSIS + abbreviated(textOfBytes(bytes.slice(start)), 0n, BigInt(kept));
}

interface Wrapping {
  readonly joint: string;
  readonly cutsWords: boolean;
}

/** Lines of at most `width` bytes, parted at spaces. */
function wrapped(text: string, width: bigint, { joint, cutsWords }: Wrapping): string {
  const bytes = byteText(text);
  const jointBytes = byteText(joint);
  const lineLength = width < 1n ? 1 : width > bytes.length ? bytes.length : Number(width);
  if (lineLength === 0) return text;
  checkTextLength(bytes.length + Math.ceil(bytes.length / lineLength) * jointBytes.length);
  const output: string[] = [];
  let offset = 0;
  const cut = (end: number, next: number): void => {
    output.push(bytes.slice(offset, end), jointBytes);
    offset = next;
  };
  while (bytes.length - offset > lineLength) {
    if (bytes[offset] === ' ') {
      offset++;
      continue;
    }
    const end = offset + lineLength;
    const space = bytes.slice(offset, end + 1).lastIndexOf(' ');
    if (space >= 0) {
      cut(offset + space, offset + space + 1);
    } else if (cutsWords) {
      cut(end, end);
    } else {
      const next = bytes.indexOf(' ', end);
      if (next < 0) break;
      cut(next, next + 1);
    }
  }
  output.push(bytes.slice(offset));
  return textOfBytes(output.join(''));
}
