// Go's strconv.FormatFloat of a float64. Digits of a wished number are exact and rounded half to even; JavaScript's own functions round half up.

export type FloatVerb = 'b' | 'e' | 'E' | 'f' | 'g' | 'G' | 'x' | 'X';

/** The value is 0.DIGITS times ten to the `point`; the digits have no zeros around them. */
interface Decimal {
  readonly digits: string;
  readonly point: number;
}

/** The precision -1 takes as few digits as give the same number back. */
export function formatFloat(value: number, verb: FloatVerb, precision: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const absolute = Math.abs(value);
  switch (verb) {
    case 'b':
      return sign + binary(absolute);
    case 'x':
      return sign + hexadecimal(absolute, precision);
    case 'X':
      return sign + hexadecimal(absolute, precision).toUpperCase();
    case 'e':
    case 'E':
      return sign + withExponent(decimalOf(absolute, precision < 0 ? null : precision + 1), precision, verb);
    case 'f': {
      const exact = decimalOf(absolute, null);
      return sign + fixed(precision < 0 ? exact : decimalOf(absolute, wholeDigits(absolute) + precision), precision);
    }
    case 'g':
    case 'G':
      return sign + general(decimalOf(absolute, precision < 0 ? null : Math.max(precision, 1)), precision, verb);
  }
}

function general({ digits, point }: Decimal, precision: number, verb: 'g' | 'G'): string {
  const wished = precision < 0 ? digits.length : Math.max(precision, 1);
  const isShort = wished > digits.length && digits.length >= point;
  const threshold = precision < 0 ? 6 : isShort ? digits.length : wished;
  const exponent = point - 1;
  if (exponent >= -4 && exponent < threshold) return fixed({ digits, point }, -1);
  return withExponent({ digits, point }, Math.min(wished, digits.length) - 1, verb === 'g' ? 'e' : 'E');
}

function withExponent({ digits, point }: Decimal, precision: number, letter: 'e' | 'E'): string {
  const count = precision < 0 ? Math.max(digits.length - 1, 0) : precision;
  const rest = digits.slice(1, count + 1).padEnd(count, '0');
  return `${digits.slice(0, 1) || '0'}${rest === '' ? '' : `.${rest}`}${letter}${exponentText(digits === '' ? 0 : point - 1)}`;
}

function fixed({ digits, point }: Decimal, precision: number): string {
  const count = precision < 0 ? Math.max(digits.length - point, 0) : precision;
  const whole = point > 0 ? digits.slice(0, point).padEnd(point, '0') : '0';
  const rest = (digits === '' ? '' : '0'.repeat(Math.max(-point, 0)) + digits.slice(Math.max(point, 0))).slice(0, count);
  return count === 0 ? whole : `${whole}.${rest.padEnd(count, '0')}`;
}

function exponentText(exponent: number): string {
  return `${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

/** Null: the shortest that gives the value back. */
function decimalOf(value: number, count: number | null): Decimal {
  if (value === 0) return { digits: '', point: 0 };
  if (count !== null) return rounded(exactDecimal(value), count);
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e');
  return { digits: mantissa.replace('.', ''), point: Number(exponent) + 1 };
}

/** How many digits stand before the point; not positive: how many zeros behind it. */
function wholeDigits(value: number): number {
  return value === 0 ? 0 : exactDecimal(value).point;
}

function exactDecimal(value: number): Decimal {
  const { mantissa, exponent } = partsOf(value);
  // A half is 5 tenths: below zero each power of two takes one digit behind the point.
  const all = String(exponent >= 0 ? mantissa << BigInt(exponent) : mantissa * 5n ** BigInt(-exponent));
  return { digits: all.replace(/0+$/, ''), point: all.length + Math.min(exponent, 0) };
}

function rounded({ digits, point }: Decimal, count: number): Decimal {
  if (count < 0 || count >= digits.length) return { digits, point };
  const kept = digits.slice(0, count);
  const isMiddle = digits.length === count + 1 && digits.endsWith('5');
  const isUp = isMiddle ? /[13579]$/.test(kept) : digits.charAt(count) >= '5';
  if (!isUp) return { digits: kept.replace(/0+$/, ''), point };
  const next = String(BigInt(kept || '0') + 1n);
  return { digits: next.replace(/0+$/, ''), point: point + (next.length > kept.length ? 1 : 0) };
}

/** The value is the mantissa times two to the exponent. */
function partsOf(value: number): { mantissa: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  const exponent = Number((bits >> 52n) & 0x7ffn);
  return exponent === 0 ? { mantissa: fraction, exponent: -1074 } : { mantissa: fraction | (1n << 52n), exponent: exponent - 1075 };
}

function binary(value: number): string {
  const { mantissa, exponent } = partsOf(value);
  return `${mantissa}p${exponent < 0 ? '-' : '+'}${Math.abs(exponent)}`;
}

function hexadecimal(value: number, precision: number): string {
  const parts = partsOf(value);
  let { mantissa, exponent } = { mantissa: parts.mantissa, exponent: value === 0 ? 0 : parts.exponent + 52 };
  while (mantissa !== 0n && mantissa < 1n << 52n) {
    mantissa <<= 1n;
    exponent--;
  }
  if (precision >= 0 && precision < 13) {
    const unit = 1n << BigInt(52 - 4 * precision);
    const rest = mantissa % unit;
    mantissa -= rest;
    const isOdd = (mantissa / unit) % 2n === 1n;
    if (rest * 2n > unit || (rest * 2n === unit && isOdd)) mantissa += unit;
    if (mantissa >= 1n << 53n) {
      mantissa >>= 1n;
      exponent++;
    }
  }
  const digits = (mantissa & ((1n << 52n) - 1n)).toString(16).padStart(13, '0');
  const rest = precision < 0 ? digits.replace(/0+$/, '') : digits.slice(0, precision).padEnd(precision, '0');
  return `0x${mantissa >> 52n}${rest === '' ? '' : `.${rest}`}p${exponentText(exponent)}`;
}
