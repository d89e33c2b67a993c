import { randomInt } from 'node:crypto';
import { FunctionError, type TemplateFunction } from '../template-function.js';
import { made, type List, type Value } from '../value.js';
import { checkItems } from './bounds.js';
import { atoi, int64, integerOf, toFloat64, toInt64 } from './cast.js';
import { type Decimal, decimalOf, difference, floatOfDecimal, product, quotient, sum } from './decimal.js';
import { fixed, variadic } from './declaration.js';
import { textOf } from './go-value.js';

/** More than can be told apart by what was made of it. */
const MAX_RANDOM_RANGE = 2n ** 48n - 1n;

export const NUMERIC_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['atoi', { ...fixed(['string'], atoi), returnsInt: true }],
  ['int', { ...fixed(['interface {}'], toInt64), returnsInt: true }],
  ['int64', fixed(['interface {}'], toInt64)],
  ['float64', fixed(['interface {}'], toFloat64)],
  ['toDecimal', fixed(['interface {}'], (value) => integerOf(textOf(value), 8) ?? 0n)],
  ['add1', fixed(['interface {}'], (value) => int64(toInt64(value) + 1n))],
  ['add', variadic([], 'interface {}', (values) => values.reduce<bigint>((total, value) => int64(total + toInt64(value)), 0n))],
  ['sub', fixed(['interface {}', 'interface {}'], (one, other) => int64(toInt64(one) - toInt64(other)))],
  [
    'mul',
    variadic(['interface {}'], 'interface {}', (first, values) =>
      values.reduce<bigint>((total, value) => int64(total * toInt64(value)), toInt64(first)),
    ),
  ],
  ['div', fixed(['interface {}', 'interface {}'], (one, other) => int64(toInt64(one) / divisorOf(other)))],
  ['mod', fixed(['interface {}', 'interface {}'], (one, other) => toInt64(one) % divisorOf(other))],
  ['max', variadic(['interface {}'], 'interface {}', largest)],
  ['biggest', variadic(['interface {}'], 'interface {}', largest)],
  [
    'min',
    variadic(['interface {}'], 'interface {}', (first, values) =>
      values.map(toInt64).reduce((least, value) => (value < least ? value : least), toInt64(first)),
    ),
  ],
  ['add1f', fixed(['interface {}'], (value) => floatOfDecimal(sum(decimal(value), decimal(1))))],
  ['addf', variadic([], 'interface {}', (values) => decimalOperation(0, values, sum))],
  ['subf', variadic(['interface {}'], 'interface {}', (first, values) => decimalOperation(first, values, difference))],
  ['mulf', variadic(['interface {}'], 'interface {}', (first, values) => decimalOperation(first, values, product))],
  ['divf', variadic(['interface {}'], 'interface {}', (first, values) => decimalOperation(first, values, quotient))],
  ['maxf', variadic(['interface {}'], 'interface {}', (first, values) => values.map(toFloat64).reduce(larger, toFloat64(first)))],
  [
    'minf',
    variadic(
      ['interface {}'],
      'interface {}',
      (first, values) => -values.map((value) => -toFloat64(value)).reduce(larger, -toFloat64(first)),
    ),
  ],
  ['ceil', fixed(['interface {}'], (value) => Math.ceil(toFloat64(value)))],
  ['floor', fixed(['interface {}'], (value) => Math.floor(toFloat64(value)))],
  [
    'round',
    variadic(['interface {}', 'int'], 'float64', (value, places, [roundOn = 0.5]) => rounded(toFloat64(value), Number(places), roundOn)),
  ],
  ['until', fixed(['int'], (count) => integers(stepped(0n, count, count < 0n ? -1n : 1n)))],
  ['untilStep', fixed(['int', 'int', 'int'], (start, stop, step) => integers(stepped(start, stop, step)))],
  ['seq', variadic([], 'int', (bounds) => sequence(bounds).join(' '))],
  ['randInt', { ...fixed(['int', 'int'], random), returnsInt: true }],
]);

function divisorOf(value: Value): bigint {
  const divisor = toInt64(value);
  if (divisor === 0n) throw new FunctionError('runtime error: integer divide by zero');
  return divisor;
}

function largest(first: Value, values: readonly Value[]): bigint {
  return values.map(toInt64).reduce((most, value) => (value > most ? value : most), toInt64(first));
}

/** Infinity is larger than what is no number. */
function larger(one: number, other: number): number {
  return one === Infinity || other === Infinity ? Infinity : Math.max(one, other);
}

function decimal(value: Value): Decimal {
  return decimalOf(toFloat64(value));
}

function decimalOperation(first: Value, values: readonly Value[], operation: (one: Decimal, other: Decimal) => Decimal): number {
  return floatOfDecimal(values.reduce<Decimal>((result, value) => operation(result, decimal(value)), decimal(first)));
}

function rounded(value: number, places: number, roundOn: number): number {
  const power = 10 ** places;
  const shifted = power * value;
  const isUp = shifted - Math.trunc(shifted) >= roundOn;
  return (isUp ? Math.ceil(shifted) : Math.floor(shifted)) / power;
}

/** The numbers from `start` before `stop`; none when the step leads away from it. */
function stepped(start: bigint, stop: bigint, step: bigint): bigint[] {
  if (step === 0n || stop < start !== step < 0n) return [];
  const distance = stop - start;
  const count = distance / step + (distance % step === 0n ? 0n : 1n);
  checkItems(count);
  return Array.from({ length: Number(count) }, (_, index) => start + BigInt(index) * step);
}

function integers(items: readonly bigint[]): List {
  return made(items, { type: '[]int' });
}

/** The shell's `seq`: both ends are in it. */
function sequence(bounds: readonly bigint[]): bigint[] {
  if (bounds.length === 0 || bounds.length > 3) return [];
  const start = bounds.length === 1 ? 1n : (bounds[0] ?? 0n);
  const end = bounds.at(-1) ?? 0n;
  const direction = end < start ? -1n : 1n;
  const step = bounds.length === 3 ? (bounds[1] ?? 0n) : direction;
  if (direction < 0n && step > 0n) return [];
  return stepped(start, end + direction, step);
}

function random(least: bigint, bound: bigint): bigint {
  const range = int64(bound - least);
  if (range <= 0n) throw new FunctionError('invalid argument to Intn');
  if (range > MAX_RANDOM_RANGE) throw new FunctionError(`a range of more than ${MAX_RANDOM_RANGE} is not supported here`);
  return least + BigInt(randomInt(Number(range)));
}
