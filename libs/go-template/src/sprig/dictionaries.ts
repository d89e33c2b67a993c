// Maps. As in Go, `set`, `unset` and `merge` change the map itself: what a template computes with is its own copy of the data.

import { FunctionError, type TemplateFunction } from '../template-function.js';
import { type Dictionary, elementOf, entryOf, isDictionary, isList, type List, made, sortedKeys, typeName, type Value } from '../value.js';
import { checkDepth } from './bounds.js';
import { fixed, variadic } from './declaration.js';
import { isEmpty, isNil, newDictionary, newList, newTexts, type OwnDictionary, textOf } from './go-value.js';

const MAP = 'map[string]interface {}';

const merge = mergedWith({ overwrites: false });
const mergeOverwrite = mergedWith({ overwrites: true });
const deepCopy = fixed(['interface {}'], deepCopied);

export const DICTIONARY_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['dict', variadic([], 'interface {}', dictionary)],
  ['get', fixed([MAP, 'string'], (map, key) => (hasKey(map, key) ? entryOf(map, key) : ''))],
  ['set', fixed([MAP, 'string', 'interface {}'], (map, key, value) => put(map, key, value))],
  ['unset', fixed([MAP, 'string'], without)],
  ['hasKey', fixed([MAP, 'string'], hasKey)],
  ['pluck', variadic(['string'], MAP, (key, maps) => newList(maps.filter((map) => hasKey(map, key)).map((map) => entryOf(map, key))))],
  ['keys', variadic([], MAP, (maps) => newTexts(maps.flatMap(sortedKeys)))],
  ['values', fixed([MAP], (map) => newList(sortedKeys(map).map((key) => entryOf(map, key))))],
  [
    'pick',
    variadic([MAP], 'string', (map, keys) =>
      part(
        map,
        keys.filter((key) => hasKey(map, key)),
      ),
    ),
  ],
  ['omit', variadic([MAP], 'string', omitted)],
  ['merge', merge],
  ['mustMerge', merge],
  ['mergeOverwrite', mergeOverwrite],
  ['mustMergeOverwrite', mergeOverwrite],
  ['deepCopy', deepCopy],
  ['mustDeepCopy', deepCopy],
  ['dig', variadic([], 'interface {}', dug)],
]);

function hasKey(map: Dictionary, key: string): boolean {
  return Object.hasOwn(map, key) && map[key] !== undefined;
}

function part(map: Dictionary, keys: readonly string[]): OwnDictionary {
  return newDictionary(keys.map((key) => [key, entryOf(map, key)]));
}

function omitted(map: Dictionary, keys: readonly string[]): OwnDictionary {
  const without = new Set(keys);
  return part(
    map,
    sortedKeys(map).filter((key) => !without.has(key)),
  );
}

function put(map: OwnDictionary, key: string, value: Value): OwnDictionary {
  if (holds(value, map)) throw new FunctionError('a map cannot hold itself');
  map[key] = value ?? null;
  return map;
}

/** Whether the map is the value or somewhere in it. */
function holds(value: Value, map: Dictionary): boolean {
  const seen = new Set<object>();
  const open: Value[] = [value];
  for (let item = open.pop(); item !== undefined || open.length > 0; item = open.pop()) {
    if (item === map) return true;
    if (!(isList(item) || isDictionary(item)) || seen.has(item)) continue;
    seen.add(item);
    for (const inner of Object.values(item) as Value[]) if (typeof inner === 'object') open.push(inner);
  }
  return false;
}

function without(map: Dictionary, key: string): OwnDictionary {
  const own: OwnDictionary = map;
  delete own[key];
  return own;
}

/** Keys and values by turns; the last key alone gets an empty text. */
function dictionary(values: readonly Value[]): OwnDictionary {
  return newDictionary(
    values.flatMap((value, place): (readonly [string, Value])[] => {
      if (place % 2 === 1) return [];
      return [[textOf(value), place + 1 < values.length ? values[place + 1] : '']];
    }),
  );
}

interface Merging {
  readonly overwrites: boolean;
  readonly depth?: number;
}

function mergedWith({ overwrites }: Merging): TemplateFunction {
  return variadic([MAP], MAP, (map, sources) => sources.reduce((merged, source) => mergeInto(merged, source, { overwrites }), map));
}

/** Maps within maps are merged, lists are not. Without `overwrites` the source gives only what the map lacks or has empty. */
function mergeInto(map: OwnDictionary, source: Dictionary, { overwrites, depth = 0 }: Merging): OwnDictionary {
  checkDepth(depth);
  for (const key of sortedKeys(source)) {
    const value = entryOf(source, key);
    const current = entryOf(map, key);
    if (isNil(value)) {
      if (overwrites) map[key] = null;
      continue;
    }
    const areMaps = isDictionary(value) && isDictionary(current);
    if (areMaps) mergeInto(current, value, { overwrites, depth: depth + 1 });
    const isMissing = isNil(current) || isEmpty(current);
    if (isMissing || (overwrites && !areMaps)) put(map, key, value);
  }
  return map;
}

/** Also what the data holds is copied, so that `set` changes the copy. */
function deepCopied(value: Value): Value {
  if (isNil(value)) throw new FunctionError('reflect: call of reflect.Value.Type on zero Value');
  const copies = new Map<object, List | Dictionary>();
  let depth = 0;
  const copyOf = (item: Value): Value => {
    if (!isList(item) && !isDictionary(item)) return item;
    const known = copies.get(item);
    if (known !== undefined) return known;
    checkDepth(++depth);
    const copy = isList(item)
      ? made(
          item.map((_, index) => copyOf(elementOf(item, index))),
          { type: typeName(item) },
        )
      : copiedDictionary(item, copyOf);
    depth--;
    copies.set(item, copy);
    return copy;
  };
  return copyOf(value);
}

function copiedDictionary(map: Dictionary, copyOf: (value: Value) => Value): Dictionary {
  const copy = newDictionary(sortedKeys(map).map((key) => [key, copyOf(entryOf(map, key))]));
  return made(copy, { type: typeName(map) });
}

/** What is at the keys, one within the other; the last but one argument where the map has none. */
function dug(args: readonly Value[]): Value {
  if (args.length < 3) throw new FunctionError('dig needs at least three arguments');
  let value = args.at(-1);
  if (!isMap(value)) throw new FunctionError(conversionPanic(value, MAP));
  const keys = args.slice(0, -2).map((key) => {
    if (typeof key !== 'string') throw new FunctionError(conversionPanic(key, 'string'));
    return key;
  });
  for (const key of keys) {
    if (!isMap(value)) throw new FunctionError(conversionPanic(value, MAP));
    if (!hasKey(value, key)) return args.at(-2);
    value = entryOf(value, key);
  }
  return value;
}

function isMap(value: Value): value is Dictionary {
  return isDictionary(value) && typeName(value) === MAP;
}

function conversionPanic(value: Value, wanted: string): string {
  return `interface conversion: interface {} is ${isNil(value) ? 'nil' : typeName(value)}, not ${wanted}`;
}
