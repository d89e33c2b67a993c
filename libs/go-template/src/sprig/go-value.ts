// Go's view of a value, as reflection and conversions see it.

import { sprint } from '../format.js';
import { FunctionError } from '../template-function.js';
import {
  elementOf,
  entryOf,
  isDictionary,
  isList,
  isNilCollection,
  keysOf,
  type List,
  made,
  sortedKeys,
  TypedValue,
  typeName,
  type Value,
} from '../value.js';
import { checkDepth } from './bounds.js';
import { NamedNumber } from './named-number.js';

export function isNil(value: Value): value is null | undefined {
  return value === null || value === undefined;
}

/** Nothing, zero, false, or nothing in it. What has a type of its own is never empty. */
export function isEmpty(value: Value): boolean {
  if (isList(value)) return value.length === 0;
  if (isDictionary(value)) return keysOf(value).length === 0;
  if (value instanceof NamedNumber) return value.number === 0n;
  return typeof value === 'number' ? value === 0 : !value;
}

/** As `%v` shows it, nil as `<nil>`. */
export function textOf(value: Value): string {
  return typeof value === 'string' ? value : sprint([value]);
}

/** The name of `reflect.Kind`. */
export function kindOf(value: Value): string {
  if (isNil(value)) return 'invalid';
  if (isList(value)) return 'slice';
  if (value instanceof NamedNumber) return 'int';
  if (value instanceof TypedValue) return value.type.startsWith('*') ? 'ptr' : 'struct';
  return isDictionary(value) ? 'map' : typeName(value);
}

export function elementsOf(list: List): Value[] {
  return list.map((_, index) => elementOf(list, index));
}

/** A list of Go's `[]interface {}`. */
export function newList(items: readonly Value[]): List {
  return made(items.map((item) => item ?? null));
}

/** A list of Go's `[]string`. */
export function newTexts(texts: readonly string[]): List {
  return made([...texts], { type: '[]string' });
}

export type OwnDictionary = Record<string, unknown>;

/** Without a prototype, so that any text is a key like others. */
export function newDictionary(entries: Iterable<readonly [string, Value]> = [], type?: string): OwnDictionary {
  const map = Object.create(null) as OwnDictionary;
  for (const [key, value] of entries) map[key] = value ?? null;
  return made(map, { type });
}

/** A nil slice of this type. */
export function nilList(type = '[]interface {}'): List {
  return made([], { type, isNil: true });
}

/** The panic of Go where nil is looked into. */
export function failOfNil(): never {
  throw new FunctionError('runtime error: invalid memory address or nil pointer dereference');
}

/**
 * A text that two values share exactly when Go's `reflect.DeepEqual` finds them the same; null for one that holds NaN, which equals nothing. Of
 * `int` and `int64` it knows one only.
 */
export function identityOf(value: Value, depth = 0): string | null {
  checkDepth(depth);
  if (Number.isNaN(value)) return null;
  if (isNil(value)) return 'nil';
  if (typeof value === 'number') return `float64 ${value === 0 ? 0 : value}`;
  if (typeof value === 'string') return JSON.stringify(value);
  if (isList(value)) {
    const items = elementsOf(value).map((item) => identityOf(item, depth + 1));
    return items.includes(null) ? null : `${typeName(value)}${isNilCollection(value) ? ' nil' : ''}[${items.join(',')}]`;
  }
  if (isDictionary(value)) {
    const entries = sortedKeys(value).map((key) => [JSON.stringify(key), identityOf(entryOf(value, key), depth + 1)] as const);
    if (entries.some(([, item]) => item === null)) return null;
    return `${typeName(value)}{${entries.map(([key, item]) => `${key}:${item}`).join(',')}}`;
  }
  return `${typeName(value)} ${String(value)}`;
}

export function isSame(one: Value, other: Value): boolean {
  const identity = identityOf(one);
  return identity !== null && identity === identityOf(other);
}
