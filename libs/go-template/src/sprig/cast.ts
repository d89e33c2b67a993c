// The conversions of spf13/cast: what cannot be converted is zero.

import type { Value } from '../value.js';
import { NamedNumber } from './named-number.js';

const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;

/** As Go wraps what does not fit. */
export function int64(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

export function toInt64(value: Value): bigint {
  switch (typeof value) {
    case 'bigint':
      return int64(value);
    case 'number':
      return truncated(value);
    case 'boolean':
      return value ? 1n : 0n;
    case 'string':
      return integerOf(value.replace(/\.0+$/, ''), 0) ?? 0n;
    default:
      return value instanceof NamedNumber ? value.number : 0n;
  }
}

export function toFloat64(value: Value): number {
  switch (typeof value) {
    case 'bigint':
    case 'boolean':
      return Number(value);
    case 'number':
      return value;
    case 'string':
      return floatOf(value) ?? 0;
    default:
      return value instanceof NamedNumber ? Number(value.number) : 0;
  }
}

/** What is no int64 is the least one, as the processors of Go's world have it. */
function truncated(value: number): bigint {
  if (!Number.isFinite(value)) return MIN_INT64;
  const whole = BigInt(Math.trunc(value));
  return whole < MIN_INT64 || whole > MAX_INT64 ? MIN_INT64 : whole;
}

const DIGITS: Readonly<Record<number, RegExp>> = { 2: /^[01]+$/, 8: /^[0-7]+$/, 10: /^[0-9]+$/, 16: /^[0-9a-fA-F]+$/ };
const PREFIXES: Readonly<Record<number, string>> = { 2: '0b', 8: '0o', 10: '', 16: '0x' };

/** `strconv.ParseInt` for 64 bits; base 0 goes by the prefix and allows underscores. Null for what is no number or too large. */
export function integerOf(text: string, base: 0 | 8 | 10): bigint | null {
  const value = unboundedInteger(text, base);
  return value === null || value < MIN_INT64 || value > MAX_INT64 ? null : value;
}

/** `strconv.Atoi`, with its error ignored: what is too large is the largest. */
export function atoi(text: string): bigint {
  const value = unboundedInteger(text, 10) ?? 0n;
  return value < MIN_INT64 ? MIN_INT64 : value > MAX_INT64 ? MAX_INT64 : value;
}

function unboundedInteger(text: string, base: 0 | 8 | 10): bigint | null {
  const [, sign = '', unsigned = ''] = /^([+-]?)([^]*)$/.exec(text) ?? [];
  const [digits, usedBase] = base === 0 ? prefixed(unsigned) : [unsigned, base];
  // More digits than a 64-bit number has are too many, whatever they are.
  if (!DIGITS[usedBase]?.test(digits)) return null;
  const shortened = digits.replace(/^0+(?=.)/, '');
  const value = shortened.length > 64 ? 2n ** 64n : BigInt(`${PREFIXES[usedBase]}${shortened}`);
  return sign === '-' ? -value : value;
}

/** The digits without underscores and their base; no digits when an underscore is out of place. */
function prefixed(text: string): [string, number] {
  const [, prefix = '', rest = ''] = /^(0[xX]|0[bB]|0[oO]|0(?=[0-9_]))?([^]*)$/.exec(text) ?? [];
  const base = prefix === '' ? 10 : { x: 16, b: 2, o: 8, '0': 8 }[prefix.slice(-1).toLowerCase()];
  const isGood = prefix === '' ? /^[^_]+(_[^_]+)*$/.test(rest) : /^_?[^_]+(_[^_]+)*$/.test(rest);
  return [isGood ? rest.replaceAll('_', '') : '', base ?? 10];
}

const DECIMAL = /^[+-]?(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?$/i;
const HEXADECIMAL = /^([+-]?)0x([0-9a-f_]*)(?:\.([0-9a-f_]*))?p([+-]?\d+)$/i;

/** `strconv.ParseFloat` for 64 bits; null for what is no number or too large. */
function floatOf(text: string): number | null {
  if (DECIMAL.test(text)) {
    const value = Number(text.replaceAll('_', ''));
    return Number.isFinite(value) ? value : null;
  }
  const [, sign = '', name = ''] = /^([+-]?)(inf|infinity|nan)$/i.exec(text) ?? [];
  if (name.toLowerCase() === 'nan') return sign === '' ? Number.NaN : null;
  if (name !== '') return sign === '-' ? -Infinity : Infinity;
  return hexadecimalFloat(text);
}

function hexadecimalFloat(text: string): number | null {
  const match = HEXADECIMAL.exec(text);
  if (match === null) return null;
  const [, sign = '', wholeText = '', fractionText = '', exponent = '0'] = match;
  if (!/^0x(_?[0-9a-f])*(\.([0-9a-f](_?[0-9a-f])*)?)?p/i.test(text.slice(sign.length))) return null;
  const whole = wholeText.replaceAll('_', '');
  const fraction = fractionText.replaceAll('_', '');
  if (`${whole}${fraction}` === '' || whole.length + fraction.length > 300) return null;
  const value = Number(BigInt(`0x${whole}${fraction}`)) * 2 ** (Number(exponent) - 4 * fraction.length);
  return Number.isFinite(value) ? (sign === '-' ? -value : value) : null;
}
