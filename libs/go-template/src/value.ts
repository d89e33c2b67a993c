// What a template computes with: Go's map[string]any as JSON makes it.

/** Absent (Go's invalid value), nil, bool, string, int64, float64, list, map or one of another type. */
export type Value = undefined | null | boolean | string | bigint | number | List | Dictionary | TypedValue;
export type List = readonly unknown[];
/** Without a prototype, or read only by its own keys. */
export interface Dictionary {
  readonly [key: string]: unknown;
}

/** A value of a type of its own, which functions make: a complex number, a point in time. */
export abstract class TypedValue {
  /** The type's name in Go. */
  abstract readonly type: string;
  /** As `%v` shows it. */
  abstract toString(): string;

  /** What `if` makes of it. */
  get isTrue(): boolean {
    return true;
  }

  /** A method, or a field, that templates reach as `.NAME`; undefined: there is none. */
  method(_name: string): TemplateFunction | undefined {
    return undefined;
  }
}

/** The type of a parameter, by its name in Go. `int` and `int64` take the same values here. */
export type ParameterType =
  | 'interface {}'
  | 'string'
  | 'bool'
  | 'int'
  | 'int64'
  | 'float64'
  | '[]interface {}'
  | '[]string'
  | 'map[string]interface {}'
  | 'time.Time';

/** A function of the language, or a method of a value. */
export interface TemplateFunction {
  /** How many arguments it takes, or takes at least. */
  readonly takes: number;
  readonly isVariadic: boolean;
  /**
   * The types of its parameters in Go; of a variadic function the last one is that of all further arguments. Where it says nothing, `interface {}`.
   * `run` is given only values of these types (a `string` is never nil; a `float64` is a number also where the template says `1`), anything else is
   * refused in Go's words and at the argument's place before.
   */
  readonly types?: readonly ParameterType[];
  /** It tells an `int` and an `uint8` from an `int64`: it is given them as `Integer`, which else are bigints like any other. */
  readonly seesIntegerTypes?: boolean;
  /** Its whole numbers are of the type `int` and no `int64`. */
  readonly returnsInt?: boolean;
  /** Undefined and null are Go's nil. Throws a FunctionError for what Go's function refuses. */
  run(args: readonly Value[]): Value;
}

interface MadeType {
  /** The type's name in Go. */
  readonly type: string;
  /** Go's nil slice or map, which is empty but no `[]` in JSON. */
  readonly isNil: boolean;
}

/** Lists and maps in each other: they are walked by recursion, and a map that was put into itself has no end. */
export const MAX_DEPTH = 500;

/** Lists and maps that are not as those of the data are. */
const MADE = new WeakMap<object, MadeType>();

/** Marks a list or map that a function makes as of another type than those of the data are, or as Go's nil. */
export function made<T extends List | Dictionary>(
  items: T,
  { type, isNil = false }: { readonly type?: string; readonly isNil?: boolean } = {},
): T {
  const usual = Array.isArray(items) ? '[]interface {}' : 'map[string]interface {}';
  if (isNil || (type !== undefined && type !== usual)) MADE.set(items, { type: type ?? usual, isNil });
  return items;
}

export function isNilCollection(items: List | Dictionary): boolean {
  return MADE.get(items)?.isNil ?? false;
}

/**
 * The data as values, as Kubernetes reads its objects: a number that is whole and exact is an int64, any other a float64. It is a copy, so that
 * functions that change maps do not change the data. Throws for what JSON cannot hold, and for lists and maps that are nested deeper than 500 levels.
 */
export function valueOf(data: unknown, depth = 0): Value {
  switch (typeof data) {
    case 'undefined':
    case 'boolean':
    case 'string':
    case 'bigint':
      return data;
    case 'number':
      return Number.isSafeInteger(data) ? BigInt(data) : data;
    case 'object': {
      if (data === null) return null;
      if (depth >= MAX_DEPTH) throw new Error(`the data are nested deeper than ${MAX_DEPTH} levels`);
      if (Array.isArray(data)) return data.map((element) => valueOf(element, depth + 1) ?? null);
      // Without a prototype, `__proto__` is a key like any other.
      const copy = Object.create(null) as Record<string, Value>;
      for (const [key, entry] of Object.entries(data)) if (entry !== undefined) copy[key] = valueOf(entry, depth + 1);
      return copy;
    }
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
  return Object.hasOwn(map, key) ? (map[key] as Value) : undefined;
}

/** Nil where the list holds nothing. */
export function elementOf(list: List, index: number): Value {
  return (list[index] as Value) ?? null;
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
  if (value instanceof TypedValue) return value.isTrue;
  if (isDictionary(value)) return keysOf(value).length > 0;
  return Boolean(value);
}

/** How much text a value is, roughly; no more than a little above `limit` is counted. */
export function weightOf(value: Value, limit: number): number {
  let weight = 0;
  const open: Value[] = [value];
  for (let item = open.pop(); weight <= limit; item = open.pop()) {
    if (typeof item === 'string') weight += item.length;
    else if (isList(item)) for (const element of item) open.push(element as Value);
    else if (isDictionary(item)) {
      for (const key of Object.keys(item)) {
        weight += key.length;
        open.push(item[key] as Value);
      }
    }
    if (open.length === 0) break;
    weight += 4;
  }
  return weight;
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
      return 'int64';
    case 'number':
      return 'float64';
    default:
      if (value instanceof TypedValue) return value.type;
      if (value === null) return '<nil>';
      return MADE.get(value)?.type ?? (isList(value) ? '[]interface {}' : 'map[string]interface {}');
  }
}
