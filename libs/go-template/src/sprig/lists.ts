// Lists are never changed: each function makes one of its own.

import { FunctionError, type TemplateFunction } from '../template-function.js';
import { isList, type List, made, typeName, type Value } from '../value.js';
import { toInt64 } from './cast.js';
import { fixed, variadic } from './declaration.js';
import { checkItems } from './bounds.js';
import { elementsOf, failOfNil, identityOf, isEmpty, isNil, kindOf, newList, nilList } from './go-value.js';

const append = fixed(['interface {}', 'interface {}'], (list, value) => newList([...itemsOf(list, 'Cannot push on type'), value]));
const prepend = fixed(['interface {}', 'interface {}'], (list, value) => newList([value, ...itemsOf(list, 'Cannot prepend on type')]));
const first = fixed(['interface {}'], (list) => itemsOf(list, 'Cannot find first on type')[0]);
const last = fixed(['interface {}'], (list) => itemsOf(list, 'Cannot find last on type').at(-1));
const rest = fixed(['interface {}'], (list) => shortened(itemsOf(list, 'Cannot find rest on type'), [1]));
const initial = fixed(['interface {}'], (list) => shortened(itemsOf(list, 'Cannot find initial on type'), [0, -1]));
const reverse = fixed(['interface {}'], (list) => newList(itemsOf(list, 'Cannot find reverse on type').reverse()));
const compact = fixed(['interface {}'], (list) => newList(itemsOf(list, 'Cannot compact on type').filter((item) => !isEmpty(item))));
const uniq = fixed(['interface {}'], (list) => newList(unique(itemsOf(list, 'Cannot find uniq on type'))));
const without = variadic(['interface {}'], 'interface {}', (list, omitted) =>
  newList(withoutAny(itemsOf(list, 'Cannot find without on type'), omitted)),
);
const has = fixed(['interface {}', 'interface {}'], (value, list) => !isNil(list) && isIn(value, itemsOf(list, 'Cannot find has on type')));
const slice = variadic(['interface {}'], 'interface {}', sliced);
const chunk = fixed(['int', 'interface {}'], (size, list) => chunks(itemsOf(list, 'Cannot chunk type'), Number(size)));
const list = variadic([], 'interface {}', newList);

export const LIST_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['list', list],
  ['tuple', list],
  ['append', append],
  ['push', append],
  ['mustAppend', append],
  ['mustPush', append],
  ['prepend', prepend],
  ['mustPrepend', prepend],
  ['first', first],
  ['mustFirst', first],
  ['last', last],
  ['mustLast', last],
  ['rest', rest],
  ['mustRest', rest],
  ['initial', initial],
  ['mustInitial', initial],
  ['reverse', reverse],
  ['mustReverse', reverse],
  ['compact', compact],
  ['mustCompact', compact],
  ['uniq', uniq],
  ['mustUniq', uniq],
  ['without', without],
  ['mustWithout', without],
  ['has', has],
  ['mustHas', has],
  ['slice', slice],
  ['mustSlice', slice],
  ['chunk', chunk],
  ['mustChunk', chunk],
  ['concat', variadic([], 'interface {}', concatenated)],
]);

function itemsOf(value: Value, refusal: string, end = ''): Value[] {
  if (isNil(value)) failOfNil();
  if (!isList(value)) throw new FunctionError(`${refusal} ${kindOf(value)}${end}`);
  return elementsOf(value);
}

/** Go makes nil of an empty list. */
function shortened(items: readonly Value[], bounds: readonly [number, number?]): List {
  return items.length === 0 ? nilList() : newList(items.slice(...bounds));
}

function unique(items: readonly Value[]): Value[] {
  const seen = new Set<string>();
  return items.filter((item) => {
    const identity = identityOf(item);
    if (identity === null) return true;
    const isFirst = !seen.has(identity);
    seen.add(identity);
    return isFirst;
  });
}

function withoutAny(items: readonly Value[], omitted: readonly Value[]): Value[] {
  const identities = new Set(omitted.map((item) => identityOf(item)));
  return items.filter((item) => {
    const identity = identityOf(item);
    return identity === null || !identities.has(identity);
  });
}

function isIn(value: Value, items: readonly Value[]): boolean {
  const identity = identityOf(value);
  return identity !== null && items.some((item) => identityOf(item) === identity);
}

/** The part keeps the list's type. */
function sliced(value: Value, bounds: readonly Value[]): Value {
  const items = itemsOf(value, 'list should be type of slice or array but');
  if (items.length === 0) return null;
  const start = bounds.length > 0 ? toInt64(bounds[0]) : 0n;
  const end = bounds.length > 1 ? toInt64(bounds[1]) : BigInt(items.length);
  if (start < 0n || end < start || end > items.length) throw new FunctionError('reflect.Value.Slice: slice index out of bounds');
  return made(items.slice(Number(start), Number(end)), { type: typeName(value) });
}

/** A size that makes no sense fails only where Go's arithmetic with it fails. */
function chunks(items: readonly Value[], size: number): List {
  const count = Math.floor((items.length - 1) / size) + 1;
  const isBad = size < 0 && (count > 1 || items.length % size === 0);
  if (!Number.isFinite(count) || count < 0 || (count > 0 && isBad)) throw new FunctionError('runtime error: makeslice: len out of range');
  const lists = Array.from({ length: count }, (_, place) => newList(items.slice(place * size, place * size + Math.abs(size))));
  return made(lists, { type: '[][]interface {}' });
}

function concatenated(values: readonly Value[]): List {
  const items = values.flatMap((value) => itemsOf(value, 'Cannot concat type', ' as list'));
  checkItems(items.length);
  return items.length === 0 ? nilList() : newList(items);
}
