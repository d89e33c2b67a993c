// Go's package fmt for the values of a template: %s %d %v %q %t and %f, with the flags - and 0, a width and, for %s and %f, a precision.

import { quoted, quotedRune } from './quote.js';
import { type Dictionary, elementOf, entryOf, isDictionary, isList, sortedKeys, typeName, type Value } from './value.js';

const VERBS = 'sdvqtf';
const MAX_WIDTH = 100;
const MAX_PRECISION = 50;
const DIRECTIVE = /%([-+# 0]*)(\*|\d*)(?:(\.)(\*|\d*))?([^]?)/gu;

/** One directive of a format. */
interface Directive {
  readonly verb: string;
  readonly isLeft: boolean;
  readonly isZeroPadded: boolean;
  readonly width: number;
  /** Null: as much as there is. */
  readonly precision: number | null;
}

const PLAIN: Directive = { verb: 'v', isLeft: false, isZeroPadded: false, width: 0, precision: null };

/** What a format asks for that is not done here; null: it can be used. */
export function formatProblem(format: string): string | null {
  for (const [directive, flags = '', width = '', point, precision = '', verb = ''] of format.matchAll(DIRECTIVE)) {
    if (directive === '%%') continue;
    const problem = directiveProblem(flags, width, verb, point === undefined ? null : precision);
    if (problem !== null) return `${directive} is not supported here: ${problem}`;
  }
  return null;
}

function directiveProblem(flags: string, width: string, verb: string, precision: string | null): string | null {
  if (verb === '') return 'it names no verb';
  if (!VERBS.includes(verb)) return `the verbs are ${[...VERBS].map((letter) => `%${letter}`).join(' ')} and %%`;
  if (/[^-0]/.test(flags)) return 'the flags are - and 0';
  if (flags.includes('0') && !'df'.includes(verb)) return '0 pads only %d and %f';
  if (width === '*' || precision === '*') return 'a width or precision is a number';
  if (Number(width) > MAX_WIDTH) return `the widest is ${MAX_WIDTH}`;
  if (precision !== null && !'sf'.includes(verb)) return 'only %s and %f have a precision';
  return Number(precision) > MAX_PRECISION ? `the highest precision is ${MAX_PRECISION}` : null;
}

/** `fmt.Sprintf`, with its way to show what does not fit. The format has no `formatProblem`. */
export function sprintf(format: string, values: readonly Value[]): string {
  let used = 0;
  const text = format.replace(
    DIRECTIVE,
    (all: string, flags: string, width: string, point: string | undefined, precision: string | undefined, verb: string) => {
      if (all === '%%') return '%';
      if (used >= values.length) return `%!${verb}(MISSING)`;
      const isLeft = flags.includes('-');
      return formatted(values[used++], {
        verb,
        isLeft,
        isZeroPadded: flags.includes('0') && !isLeft,
        width: Number(width),
        precision: point === undefined ? null : Number(precision),
      });
    },
  );
  if (used === values.length) return text;
  const extra = values.slice(used).map((value) => (isNil(value) ? '<nil>' : `${typeName(value)}=${formatted(value, PLAIN)}`));
  return `${text}%!(EXTRA ${extra.join(', ')})`;
}

/** `fmt.Sprint`: a space between two that are both no strings. */
export function sprint(values: readonly Value[]): string {
  return values
    .map((value, index) => {
      const needsSpace = index > 0 && typeof value !== 'string' && typeof values[index - 1] !== 'string';
      return `${needsSpace ? ' ' : ''}${formatted(value, PLAIN)}`;
    })
    .join('');
}

/** `fmt.Sprintln` */
export function sprintln(values: readonly Value[]): string {
  return `${values.map((value) => formatted(value, PLAIN)).join(' ')}\n`;
}

/** A value as an action prints it. */
export function printed(value: Value): string {
  return isNil(value) ? '<no value>' : formatted(value, PLAIN);
}

function isNil(value: Value): value is null | undefined {
  return value === null || value === undefined;
}

function formatted(value: Value, directive: Directive): string {
  const { verb } = directive;
  if (isNil(value)) return verb === 'v' ? padded('<nil>', directive) : `%!${verb}(<nil>)`;
  if (isList(value)) return `[${value.map((_, index) => formattedInside(elementOf(value, index), directive)).join(' ')}]`;
  if (isDictionary(value)) return `map[${entriesOf(value, directive).join(' ')}]`;
  switch (typeof value) {
    case 'string':
      if (verb === 's' || verb === 'v') return padded(cut(value, directive.precision), directive);
      return verb === 'q' ? padded(quoted(value), directive) : misfit(value, directive);
    case 'bigint':
      if (verb === 'd' || verb === 'v') return paddedNumber(String(value), directive);
      return verb === 'q' ? padded(quotedRune(value), directive) : misfit(value, directive);
    case 'number':
      if (verb === 'v') return paddedNumber(shortest(value), directive);
      return verb === 'f' ? paddedNumber(fixed(value, directive.precision ?? 6), directive) : misfit(value, directive);
    default:
      return verb === 't' || verb === 'v' ? padded(String(value), directive) : misfit(value, directive);
  }
}

function entriesOf(map: Dictionary, directive: Directive): string[] {
  return sortedKeys(map).map((key) => `${formatted(key, directive)}:${formattedInside(entryOf(map, key), directive)}`);
}

/** Inside of lists and maps nil is shown by every verb, and never padded. */
function formattedInside(value: Value, directive: Directive): string {
  return isNil(value) ? '<nil>' : formatted(value, directive);
}

/** A value that its verb is not for. */
function misfit(value: Value, directive: Directive): string {
  return `%!${directive.verb}(${typeName(value)}=${formatted(value, { ...directive, verb: 'v' })})`;
}

function cut(text: string, precision: number | null): string {
  return precision === null ? text : [...text].slice(0, precision).join('');
}

function padded(text: string, { width, isLeft, isZeroPadded }: Directive): string {
  const missing = Math.max(0, width - [...text].length);
  if (isLeft) return text + ' '.repeat(missing);
  return (isZeroPadded ? '0' : ' ').repeat(missing) + text;
}

/** Zeros come behind the sign. */
function paddedNumber(text: string, directive: Directive): string {
  const isFinite = /\d/.test(text);
  if (!directive.isZeroPadded || !isFinite) return padded(text, { ...directive, isZeroPadded: false });
  const sign = text.startsWith('-') ? '-' : '';
  return sign + text.slice(sign.length).padStart(directive.width - sign.length, '0');
}

/** %v of a float: the fewest digits that give it back, with an exponent below 1e-4 and from 1e6. */
function shortest(value: number): string {
  if (!Number.isFinite(value)) return infinite(value);
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '', exponentText = '0'] = Math.abs(value).toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 6) {
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const digits = mantissa.replace('.', '');
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const rest = digits.slice(exponent + 1);
  return `${sign}${whole}${rest === '' ? '' : `.${rest}`}`;
}

/** %f of a float. Go rounds what lies in the middle to the even digit, `toFixed` away from zero. */
function fixed(value: number, precision: number): string {
  if (!Number.isFinite(value)) return infinite(value);
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const absolute = Math.abs(value);
  if (absolute >= 1e21) return `${sign}${String(BigInt(absolute))}${precision === 0 ? '' : `.${'0'.repeat(precision)}`}`;
  const exact = absolute.toFixed(100);
  const end = exact.length - 100 + precision;
  const isMiddle = /^50*$/.test(exact.slice(end));
  const lower = exact.slice(0, end).replace(/\.$/, '');
  const isEven = /[02468]$/.test(lower);
  return sign + (isMiddle && isEven ? lower : absolute.toFixed(precision));
}

function infinite(value: number): string {
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
