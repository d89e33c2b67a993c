// Exact decimal numbers, as shopspring/decimal has them: sprig's arithmetic of floats is done with the shortest decimal that a float is written as.

import { sprint } from '../format.js';
import { FunctionError } from '../template-function.js';

/** Decimal places of a quotient. */
const DIVISION_PLACES = 16;

/** `coefficient` times ten to the power of `exponent`. */
export interface Decimal {
  readonly coefficient: bigint;
  readonly exponent: number;
}

export function decimalOf(value: number): Decimal {
  if (!Number.isFinite(value)) throw new FunctionError(`Cannot create a Decimal from ${sprint([value])}`);
  const [mantissa = '0', exponent = '0'] = value.toExponential().split('e');
  const [whole = '0', fraction = ''] = mantissa.split('.');
  return { coefficient: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length };
}

/** The nearest float. */
export function floatOfDecimal({ coefficient, exponent }: Decimal): number {
  return Number(`${coefficient}e${exponent}`);
}

export function sum(one: Decimal, other: Decimal): Decimal {
  const exponent = Math.min(one.exponent, other.exponent);
  return { coefficient: scaled(one, exponent) + scaled(other, exponent), exponent };
}

export function difference(one: Decimal, other: Decimal): Decimal {
  return sum(one, { ...other, coefficient: -other.coefficient });
}

export function product(one: Decimal, other: Decimal): Decimal {
  return { coefficient: one.coefficient * other.coefficient, exponent: one.exponent + other.exponent };
}

/** Rounded half away from zero. */
export function quotient(one: Decimal, other: Decimal): Decimal {
  if (other.coefficient === 0n) throw new FunctionError('decimal division by 0');
  const shift = one.exponent - other.exponent + DIVISION_PLACES;
  const dividend = one.coefficient * 10n ** BigInt(Math.max(0, shift));
  const divisor = other.coefficient * 10n ** BigInt(Math.max(0, -shift));
  const isNegative = dividend < 0n !== divisor < 0n;
  const rest = absolute(dividend % divisor);
  const isUp = 2n * rest >= absolute(divisor);
  return { coefficient: dividend / divisor + (isUp ? (isNegative ? -1n : 1n) : 0n), exponent: -DIVISION_PLACES };
}

function scaled({ coefficient, exponent }: Decimal, to: number): bigint {
  return coefficient * 10n ** BigInt(exponent - to);
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value;
}
