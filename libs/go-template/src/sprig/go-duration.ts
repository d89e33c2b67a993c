// Go's time.Duration: nanoseconds in 64 bits.

import { FunctionError } from '../template-function.js';
import { byteText } from './byte-text.js';

export const SECOND = 1_000_000_000n;
const MINUTE = 60n * SECOND;
const HOUR = 60n * MINUTE;
const MAX_DURATION = 2n ** 63n - 1n;

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: SECOND,
  m: MINUTE,
  h: HOUR,
};

/** As the errors of Go's package time quote a text: what is not ASCII by its bytes. */
export function quotedForTime(text: string): string {
  const quoted = byteText(text).replace(/["\\]|[^ -\x7f]/g, (byte) =>
    byte === '"' || byte === '\\' ? `\\${byte}` : `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `"${quoted}"`;
}

/** `time.ParseDuration`; throws a FunctionError. */
export function parseDuration(text: string): bigint {
  const [, sign = '', body = ''] = /^([-+]?)([^]*)$/.exec(text) ?? [];
  if (body === '0') return 0n;
  const fail = (problem: string): never => {
    throw new FunctionError(`time: ${problem} ${quotedForTime(text)}`);
  };
  if (body === '') fail('invalid duration');
  let total = 0n;
  const piece = /(\d*)(?:(\.)(\d*))?([^.\d]*)/y;
  while (piece.lastIndex < body.length) {
    const [all = '', whole = '', , fraction = '', unit = ''] = piece.exec(body) ?? [];
    if (all === '' || (whole === '' && fraction === '')) fail('invalid duration');
    if (unit === '') fail('missing unit in duration');
    const size = UNITS[unit];
    if (size === undefined) throw new FunctionError(`time: unknown unit ${quotedForTime(unit)} in duration ${quotedForTime(text)}`);
    if (whole.length > 19 || BigInt(whole || '0') * size > MAX_DURATION + 1n) fail('invalid duration');
    const digits = fraction.slice(0, 18);
    total += BigInt(whole || '0') * size + (BigInt(digits || '0') * size) / 10n ** BigInt(digits.length);
    if (total > MAX_DURATION + 1n) fail('invalid duration');
  }
  if (sign === '-') return -total;
  if (total > MAX_DURATION) fail('invalid duration');
  return total;
}

/** `Duration.String` */
export function durationText(duration: bigint): string {
  const nanoseconds = duration < 0n ? -duration : duration;
  const sign = duration < 0n ? '-' : '';
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < SECOND) {
    const [unit, size] = nanoseconds < 1000n ? ['ns', 0] : nanoseconds < 1_000_000n ? ['µs', 3] : ['ms', 6];
    return `${sign}${fractional(nanoseconds, Number(size))}${unit}`;
  }
  const hours = nanoseconds / HOUR;
  const minutes = (nanoseconds % HOUR) / MINUTE;
  const seconds = `${fractional(nanoseconds % MINUTE, 9)}s`;
  if (hours > 0n) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0n ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

/** With as many decimal places as are needed. */
function fractional(value: bigint, places: number): string {
  const digits = String(value).padStart(places + 1, '0');
  const fraction = digits.slice(digits.length - places).replace(/0+$/, '');
  return `${digits.slice(0, digits.length - places)}${places === 0 || fraction === '' ? '' : `.${fraction}`}`;
}

/** `Duration.Round` to whole seconds, half away from zero. */
export function roundedToSeconds(duration: bigint): bigint {
  const rest = duration % SECOND;
  const lower = duration - rest;
  if (rest < 0n) return -rest * 2n < SECOND ? lower : lower - SECOND;
  return rest * 2n < SECOND ? lower : lower + SECOND;
}

const ROUND_UNITS: readonly (readonly [string, bigint])[] = [
  ['y', 24n * 365n * HOUR],
  ['mo', 24n * 30n * HOUR],
  ['d', 24n * HOUR],
  ['h', HOUR],
  ['m', MINUTE],
  ['s', SECOND],
];

/** In the largest unit of which there is more than one, without its sign. */
export function roundedDuration(duration: bigint): string {
  const length = duration < 0n ? -duration : duration;
  const [name, size] = ROUND_UNITS.find(([, unit]) => length > unit) ?? ['s', SECOND];
  return length > size ? `${length / size}${name}` : '0s';
}
