// The functions of Go's text/template/funcs.go (1.26). `and`, `or` and `call` are not here: the executor does them, which alone sees their operands
// before they are evaluated.

import { Complex } from './complex.js';
import { printed, sprint, sprintf, sprintln } from './format.js';
import { Integer, withoutIntegerType } from './integer.js';
import { isPrintable } from './quote.js';
import { FunctionError, type TemplateFunction } from './template-function.js';
import {
  compareTexts,
  elementOf,
  entryOf,
  isDictionary,
  isList,
  isNilCollection,
  isTrue,
  keysOf,
  made,
  typeName,
  type Value,
} from './value.js';

const FUNCTIONS: readonly (readonly [string, TemplateFunction])[] = [
  ['not', { takes: 1, isVariadic: false, run: ([value]) => !isTrue(value) }],
  ['eq', { takes: 1, isVariadic: true, run: ([value, ...others]) => isEqualToOne(value, others) }],
  ['ne', { takes: 2, isVariadic: false, run: ([one, other]) => !isEqual(one, other) }],
  ['lt', { takes: 2, isVariadic: false, run: ([one, other]) => isLess(one, other) }],
  ['le', { takes: 2, isVariadic: false, run: ([one, other]) => isLess(one, other) || isEqual(one, other) }],
  ['gt', { takes: 2, isVariadic: false, run: ([one, other]) => !(isLess(one, other) || isEqual(one, other)) }],
  ['ge', { takes: 2, isVariadic: false, run: ([one, other]) => !isLess(one, other) }],
  ['len', { takes: 1, isVariadic: false, returnsInt: true, run: ([value]) => BigInt(lengthOf(value)) }],
  ['index', { takes: 1, isVariadic: true, run: ([value, ...indexes]) => indexed(value, indexes) }],
  ['slice', { takes: 1, isVariadic: true, run: ([value, ...bounds]) => sliced(value, bounds) }],
  ['print', { takes: 0, isVariadic: true, run: sprint }],
  ['println', { takes: 0, isVariadic: true, run: sprintln }],
  [
    'printf',
    {
      takes: 1,
      isVariadic: true,
      types: ['string', 'interface {}'],
      run: ([format, ...values]) => sprintf(typeof format === 'string' ? format : '', values),
    },
  ],
  ['html', { takes: 0, isVariadic: true, run: (values) => htmlEscaped(textOf(values)) }],
  ['js', { takes: 0, isVariadic: true, run: (values) => jsEscaped(textOf(values)) }],
  ['urlquery', { takes: 0, isVariadic: true, run: (values) => queryEscaped(textOf(values)) }],
];

export const GO_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map(
  FUNCTIONS.map(([name, called]) => [name, { ...called, seesIntegerTypes: true }]),
);

type BasicKind = 'bool' | 'int' | 'float' | 'complex' | 'string';

function basicKind(value: Value): BasicKind | null {
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int';
    case 'number':
      return 'float';
    case 'string':
      return 'string';
    default:
      if (value instanceof Integer) return 'int';
      return value instanceof Complex ? 'complex' : null;
  }
}

function isEqualToOne(value: Value, others: readonly Value[]): boolean {
  if (others.length === 0) throw new FunctionError('missing argument for comparison');
  return others.some((other) => isEqual(value, other));
}

/** Values of two kinds are no answer but a mistake; nil may be compared with everything. */
function isEqual(one: Value, other: Value): boolean {
  const isOneAbsent = one === null || one === undefined;
  const isOtherAbsent = other === null || other === undefined;
  const kind = basicKind(one);
  if (kind !== basicKind(other)) {
    if (isOneAbsent || isOtherAbsent) return false;
    throw new FunctionError(`incompatible types for comparison: ${typeName(one)} and ${typeName(other)}`);
  }
  if (one instanceof Complex && other instanceof Complex) return one.equals(other);
  if (kind !== null) return withoutIntegerType(one) === withoutIntegerType(other);
  if (!isOneAbsent && !isOtherAbsent && shapeOf(one) !== shapeOf(other)) {
    throw new FunctionError(`non-comparable types ${sprintf('%s', [one])}: ${typeName(one)}, ${typeName(other)}: ${printed(other)}`);
  }
  if (isNil(one) || isNil(other)) return isNil(one) === isNil(other);
  if (isList(other) || isDictionary(other)) throw new FunctionError(`non-comparable type ${sprintf('%s', [other])}: ${typeName(other)}`);
  return one === other;
}

function shapeOf(value: Value): string {
  return isList(value) ? 'list' : isDictionary(value) ? 'map' : typeName(value);
}

function isNil(value: Value): boolean {
  return value === null || value === undefined || ((isList(value) || isDictionary(value)) && isNilCollection(value));
}

function isLess(first: Value, second: Value): boolean {
  const kind = basicKind(first);
  const otherKind = basicKind(second);
  if (kind === null || otherKind === null) throw new FunctionError('invalid type for comparison');
  if (kind !== otherKind) throw new FunctionError(`incompatible types for comparison: ${typeName(first)} and ${typeName(second)}`);
  const [one, other] = [withoutIntegerType(first), withoutIntegerType(second)];
  if (typeof one === 'string' && typeof other === 'string') return compareTexts(one, other) < 0;
  if (typeof one === 'bigint' && typeof other === 'bigint') return one < other;
  if (typeof one === 'number' && typeof other === 'number') return one < other;
  throw new FunctionError('invalid type for comparison');
}

function lengthOf(value: Value): number {
  if (value === null) throw new FunctionError('len of nil pointer');
  if (value === undefined) throw new FunctionError('reflect: call of reflect.Value.Type on zero Value');
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (isList(value)) return value.length;
  if (isDictionary(value)) return keysOf(value).length;
  throw new FunctionError(`len of type ${typeName(value)}`);
}

function indexed(value: Value, indexes: readonly Value[]): Value {
  if (value === null || value === undefined) throw new FunctionError('index of untyped nil');
  return indexes.reduce((item, index) => part(item, index), value);
}

function part(item: Value, index: Value): Value {
  if (item === null || item === undefined) throw new FunctionError('index of nil pointer');
  if (isDictionary(item)) {
    if (typeof index === 'string') return entryOf(item, index) ?? null;
    const isNil = index === null || index === undefined;
    throw new FunctionError(isNil ? 'value is nil; should be of type string' : `value has type ${typeName(index)}; should be string`);
  }
  if (isList(item)) {
    const place = placeOf(index, item.length);
    if (place === item.length) throw new FunctionError('reflect: slice index out of range');
    return elementOf(item, place);
  }
  if (typeof item !== 'string') throw new FunctionError(`can't index item of type ${typeName(item)}`);
  const bytes = Buffer.from(item);
  const byte = bytes[placeOf(index, bytes.length)];
  if (byte === undefined) throw new FunctionError('reflect: string index out of range');
  return new Integer('uint8', BigInt(byte));
}

/** The index, which is at most `length`. */
function placeOf(given: Value, length: number): number {
  if (given === null || given === undefined) throw new FunctionError('cannot index slice/array with nil');
  const index = withoutIntegerType(given);
  if (typeof index !== 'bigint') throw new FunctionError(`cannot index slice/array with type ${typeName(index)}`);
  if (index < 0n || index > BigInt(length)) throw new FunctionError(`index out of range: ${index}`);
  return Number(index);
}

function sliced(value: Value, bounds: readonly Value[]): Value {
  if (value === null || value === undefined) throw new FunctionError('slice of untyped nil');
  if (bounds.length > 3) throw new FunctionError(`too many slice indexes: ${bounds.length}`);
  if (typeof value === 'string' && bounds.length === 3) throw new FunctionError('cannot 3-index slice a string');
  const item = typeof value === 'string' ? Buffer.from(value) : value;
  if (!Buffer.isBuffer(item) && !isList(item)) throw new FunctionError(`can't slice item of type ${typeName(value)}`);
  const [start = 0, end = item.length, capacity] = bounds.map((bound) => placeOf(bound, item.length));
  if (start > end) throw new FunctionError(`invalid slice index: ${start} > ${end}`);
  if (capacity !== undefined && end > capacity) throw new FunctionError(`invalid slice index: ${end} > ${capacity}`);
  if (!Buffer.isBuffer(item)) return made(item.slice(start, end), { type: typeName(value) });
  const text = item.toString('utf8', start, end);
  if (!Buffer.from(text).equals(item.subarray(start, end))) {
    throw new FunctionError(`the bytes ${start} to ${end} begin or end inside of a character, which is not supported here`);
  }
  return text;
}

function textOf(values: readonly Value[]): string {
  return sprint(values.map((value) => value ?? '<no value>'));
}

const HTML: Readonly<Record<string, string>> = { '\0': '\ufffd', '"': '&#34;', "'": '&#39;', '&': '&amp;', '<': '&lt;', '>': '&gt;' };

function htmlEscaped(text: string): string {
  return text.replace(/[\0"'&<>]/g, (character) => HTML[character] ?? character);
}

function jsEscaped(text: string): string {
  return text.replace(/[^ -~]|[\\'"<>&=]/gu, (rune) => {
    if (/[\\'"]/.test(rune)) return `\\${rune}`;
    const code = rune.codePointAt(0) ?? 0;
    if (code === 0x7f || (code > 0x7f && isPrintable(rune))) return rune;
    return `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`;
  });
}

function queryEscaped(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}
