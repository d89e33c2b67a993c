// What a template computes with: Go's map[string]any as JSON makes it. A number of the data is an integer when it is a whole one that is exact, else
// a float, as Kubernetes reads its objects.

/** Absent (Go's invalid value), nil, bool, string, int64, float64, list, map or one of another type. */
export type Value = undefined | null | boolean | string | bigint | number | List | Dictionary | TypedValue;
export type List = readonly unknown[];
export interface Dictionary {
  readonly [key: string]: unknown;
}

/** A value of a type of its own, which functions make: a complex number, a point in time. */
export abstract class TypedValue {
  /** The type's name in Go. */
  abstract readonly type: string;
  /** As `%v` shows it. */
  abstract toString(): string;
}

interface MadeType {
  /** The type's name in Go. */
  readonly type: string;
  /** Go's nil slice or map, which is empty but no `[]` in JSON. */
  readonly isNil: boolean;
}

const MADE = new WeakMap<object, MadeType>();

/**
 * Marks a list or map as made by a function: what it holds are values already, so that a whole number in it may be a float, and it may be of another
 * type than those of the data are.
 */
export function made<T extends List | Dictionary>(
  items: T,
  { type, isNil = false }: { readonly type?: string; readonly isNil?: boolean } = {},
): T {
  MADE.set(items, { type: type ?? (Array.isArray(items) ? '[]interface {}' : 'map[string]interface {}'), isNil });
  return items;
}

export function isMade(items: List | Dictionary): boolean {
  return MADE.has(items);
}

export function isNilCollection(items: List | Dictionary): boolean {
  return MADE.get(items)?.isNil ?? false;
}

/** What the data says at some place. Throws for what JSON cannot hold. */
export function valueOf(data: unknown): Value {
  switch (typeof data) {
    case 'undefined':
    case 'boolean':
    case 'string':
    case 'bigint':
      return data;
    case 'number':
      return Number.isSafeInteger(data) ? BigInt(data) : data;
    case 'object':
      return data as List | Dictionary | TypedValue | null;
    default:
      throw new Error(`the data holds a ${typeof data}, which a template cannot use`);
  }
}

export function isList(value: Value): value is List {
  return Array.isArray(value);
}

export function isDictionary(value: Value): value is Dictionary {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof TypedValue);
}

/** Undefined: there is no such key. */
export function entryOf(map: Dictionary, key: string): Value {
  if (!Object.hasOwn(map, key)) return undefined;
  return MADE.has(map) ? (map[key] as Value) : valueOf(map[key]);
}

/** Nil where the list holds nothing. */
export function elementOf(list: List, index: number): Value {
  return (MADE.has(list) ? (list[index] as Value) : valueOf(list[index])) ?? null;
}

export function keysOf(map: Dictionary): string[] {
  return Object.keys(map).filter((key) => map[key] !== undefined);
}

/** In the order of their bytes, as Go sorts them. */
export function sortedKeys(map: Dictionary): string[] {
  return keysOf(map).sort(compareTexts);
}

/** By bytes of UTF-8, as Go compares strings. */
export function compareTexts(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** Everything but false, zero, empty and nil is true. */
export function isTrue(value: Value): boolean {
  if (isList(value)) return value.length > 0;
  if (value instanceof TypedValue) return true;
  if (isDictionary(value)) return keysOf(value).length > 0;
  return Boolean(value);
}

/** The name of a value's type in Go. */
export function typeName(value: Value): string {
  switch (typeof value) {
    case 'undefined':
      return '<nil>';
    case 'boolean':
      return 'bool';
    case 'string':
      return 'string';
    case 'bigint':
      return 'int';
    case 'number':
      return 'float64';
    default:
      if (value instanceof TypedValue) return value.type;
      if (value === null) return '<nil>';
      return MADE.get(value)?.type ?? (isList(value) ? '[]interface {}' : 'map[string]interface {}');
  }
}
