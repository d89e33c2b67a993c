import type { TemplateFunction } from '../template-function.js';
import { byteText, decoded } from './byte-text.js';
import { fixed } from './declaration.js';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** What Go's decoder says, which is the text that `b64dec` and `b32dec` give for what is no such encoding. */
export class EncodingError extends Error {}

export const ENCODING_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['b64enc', fixed(['string'], (text) => Buffer.from(text).toString('base64'))],
  ['b64dec', fixed(['string'], (text) => orProblem(() => decoded(base64Decoded(text))))],
  ['b32enc', fixed(['string'], base32)],
  ['b32dec', fixed(['string'], (text) => orProblem(() => decoded(base32Decoded(text))))],
]);

function orProblem(decode: () => string): string {
  try {
    return decode();
  } catch (error) {
    if (error instanceof EncodingError) return error.message;
    throw error;
  }
}

/** Line breaks are passed over. Throws an EncodingError. */
export function base64Decoded(text: string): Buffer {
  const bytes = byteText(text);
  const kept = [...bytes.matchAll(/[^\r\n]/g)].map(({ 0: character, index }) => ({ character, index }));
  const padding = kept.findIndex(({ character }) => !/^[A-Za-z0-9+/]$/.test(character));
  const first = kept[padding];
  const rest = (first === undefined ? kept.length : padding) % 4;
  if (first === undefined) {
    if (rest > 0) failAt('base64', bytes.length - rest);
    return Buffer.from(text, 'base64');
  }
  if (first.character !== '=' || rest < 2) failAt('base64', first.index);
  const second = kept[padding + 1];
  if (rest === 2) {
    if (second === undefined) failAt('base64', bytes.length);
    if (second.character !== '=') failAt('base64', second.index - 1);
  }
  const after = rest === 2 ? kept[padding + 2] : second;
  if (after !== undefined) failAt('base64', after.index);
  return Buffer.from(text, 'base64');
}

/** Line breaks are passed over. Throws an EncodingError. */
function base32Decoded(text: string): Uint8Array {
  const characters = byteText(text).replace(/[\r\n]/g, '');
  const digits = /^[A-Z2-7]*/.exec(characters)?.[0] ?? '';
  const rest = digits.length % 8;
  if (digits.length < characters.length) checkPadding(characters, digits.length);
  else if (rest > 0) failAt('base32', characters.length - rest);
  return base32Bytes(digits);
}

/** The padding begins at this place. What comes behind it is passed over. */
function checkPadding(characters: string, start: number): void {
  const rest = start % 8;
  const after = characters.length - start - 1;
  if (characters[start] !== '=' || rest < 2 || after > 7) failAt('base32', start);
  if (after + rest < 7) failAt('base32', characters.length);
  for (let place = start + 1; place < start + 8 - rest; place++) {
    if (characters[place] !== '=') failAt('base32', place - 1);
  }
  if (rest === 3 || rest === 6) failAt('base32', start);
}

function base32Bytes(digits: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor((digits.length * 5) / 8));
  let buffer = 0;
  let width = 0;
  let length = 0;
  for (const digit of digits) {
    buffer = ((buffer << 5) | BASE32.indexOf(digit)) & 0xfff;
    width += 5;
    if (width < 8) continue;
    width -= 8;
    bytes[length++] = (buffer >> width) & 0xff;
  }
  return bytes;
}

function base32(text: string): string {
  const bytes = Buffer.from(text);
  let output = '';
  for (let start = 0; start < bytes.length; start += 5) {
    const group = bytes.subarray(start, start + 5);
    const bits = [...group].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    const digits = bits.match(/.{1,5}/g) ?? [];
    output += digits
      .map((digit) => BASE32[Number.parseInt(digit.padEnd(5, '0'), 2)] ?? '')
      .join('')
      .padEnd(8, '=');
  }
  return output;
}

function failAt(name: string, place: number): never {
  throw new EncodingError(`illegal ${name} data at input byte ${place}`);
}
