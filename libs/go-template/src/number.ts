// Go's number constants, as text/template/parse/node.go (1.26) reads them.

import { Complex } from './complex.js';
import { Integer } from './integer.js';
import { quoted } from './quote.js';
import type { Value } from './value.js';

/** A constant has no type before it meets one: this is what it is as each. */
export interface Constant {
  /** Where any type will do; null: it is too large for an int64, though not for an uint64. */
  readonly value: Value;
  /** Null: it is no such number. */
  readonly integer: bigint | null;
  readonly float: number | null;
}

/** What takes longer to read than any number is worth is refused. */
const MAX_LENGTH = 1024;
const TOO_LONG = `a number has more than ${MAX_LENGTH} characters`;

const FLOAT = /^[+-]?(?:0[xX][0-9a-fA-F_]*\.?[0-9a-fA-F_]*(?:[pP][+-]?[0-9_]*)?|[0-9_]*\.?[0-9_]*(?:[eE][+-]?[0-9_]*)?)/;

const MAX_INT = 0x7fff_ffff_ffff_ffffn;
const MIN_INT = -0x8000_0000_0000_0000n;
const MAX_UINT = 0xffff_ffff_ffff_ffffn;

export function characterConstant(code: bigint): Constant {
  return { value: new Integer('int', code), integer: code, float: Number(code) };
}

/** `1+2i`. A string says what is wrong. */
export function complexConstant(text: string): Constant | string {
  if (text.length > MAX_LENGTH) return TOO_LONG;
  // Each part takes all that it can, whether or not what follows fits.
  const realText = FLOAT.exec(text)?.[0] ?? '';
  const rest = text.slice(realText.length);
  const imaginaryText = /^[+-]/.test(rest) ? (FLOAT.exec(rest)?.[0] ?? '') : '';
  if (imaginaryText.length < 2 || rest.charAt(imaginaryText.length) !== 'i') return 'syntax error scanning complex number';
  const real = parseFloat64(realText);
  if (typeof real === 'string') return `strconv.ParseFloat: parsing ${quoted(realText)}: ${real}`;
  const imaginary = parseFloat64(imaginaryText);
  return typeof imaginary === 'string'
    ? `strconv.ParseFloat: parsing ${quoted(imaginaryText)}: ${imaginary}`
    : ofComplex(new Complex(real, imaginary));
}

/** Any other number. A string says what is wrong. */
export function numberConstant(text: string): Constant | string {
  if (text.length > MAX_LENGTH) return TOO_LONG;
  if (text.endsWith('i')) {
    const imaginary = parseFloat64(text.slice(0, -1));
    if (typeof imaginary === 'number') return ofComplex(new Complex(0, imaginary));
  }
  const whole = integerOf(text);
  if (whole !== null && whole >= MIN_INT && whole <= MAX_INT)
    return { value: new Integer('int', whole), integer: whole, float: Number(whole) };
  // An unsigned number has no sign, not even a plus.
  if (whole !== null && whole <= MAX_UINT && /^\d/.test(text)) return { value: null, integer: null, float: Number(whole) };
  const float = parseFloat64(text);
  if (typeof float === 'string') return `illegal number syntax: ${quoted(text)}`;
  if (!/[.eEpP]/.test(text)) return `integer overflow: ${quoted(text)}`;
  const integer = integerIn(float);
  return { value: isHexInteger(text) && integer !== null ? new Integer('int', integer) : float, integer, float };
}

function ofComplex(value: Complex): Constant {
  const float = value.imaginary === 0 ? value.real : null;
  return { value, integer: float === null ? null : integerIn(float), float };
}

function integerIn(float: number): bigint | null {
  return Number.isInteger(float) && Math.abs(float) < 2 ** 63 ? BigInt(float) : null;
}

/** Go takes what begins so for an integer, whatever follows, when there is no p in it. */
function isHexInteger(text: string): boolean {
  return /^0[xX]/.test(text) && !/[pP]/.test(text);
}

/** Go's integer literals; null: it is none. */
function integerOf(text: string): bigint | null {
  const match = /^([+-]?)(0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)$/.exec(text);
  const digits = match?.[2]?.replaceAll('_', '');
  if (digits === undefined) return null;
  const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return match?.[1] === '-' ? -value : value;
}

/** `strconv.ParseFloat`; a string says what is wrong. */
function parseFloat64(text: string): number | string {
  const hex = /^([+-]?)0[xX](_?[0-9a-fA-F_]*)\.?([0-9a-fA-F_]*)[pP]([+-]?\d[\d_]*)$/.exec(text);
  const isDecimal = /^[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?$/.test(text);
  if ((hex === null && !isDecimal) || !areUnderscoresGood(text)) return 'invalid syntax';
  const value = hex === null ? Number(text.replaceAll('_', '')) : hexadecimal(hex);
  if (value === null) return 'invalid syntax';
  return Number.isFinite(value) ? value : 'value out of range';
}

function hexadecimal([, sign = '', whole = '', rest = '', exponent = '']: RegExpExecArray): number | null {
  const digits = (whole + rest).replaceAll('_', '');
  if (digits === '') return null;
  const power = Number(exponent.replaceAll('_', '')) - 4 * rest.replaceAll('_', '').length;
  const mantissa = BigInt(`0x${digits}`);
  // In two steps, so that neither factor is out of range where the result is not.
  const half = Math.trunc(Math.max(-2200, Math.min(2200, power)) / 2);
  const value = Number(mantissa) * 2 ** half * 2 ** (Math.max(-2200, Math.min(2200, power)) - half);
  return sign === '-' ? -value : value;
}

/** They stand between digits, or behind the letter of the base. */
function areUnderscoresGood(text: string): boolean {
  if (!text.includes('_')) return true;
  const hasBase = /^[+-]?0[xX]/.test(text);
  const bare = hasBase ? text.replace(/^([+-]?)0[xX]_?/, '$1') : text;
  const digit = hasBase ? '[0-9a-fA-F]' : '[0-9]';
  return !new RegExp(`(?<!${digit})_|_(?!${digit})`).test(bare);
}
