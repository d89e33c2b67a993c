import { decodeKeyValue, type KeyValue, withoutValue } from './key-value.js';
import type { KeyValueBytes, RangeRequest, RangeSelection } from './model.js';

/*
 * What etcd does with a range beyond cutting it at a limit (server/etcdserver/txn/txn.go, executeRange, v3.6): it fetches
 * everything, filters, sorts, and then cuts. `count` stays that of the whole range. Equals keep the order of their keys.
 */

interface Kept {
  readonly kv: KeyValue;
  readonly record: KeyValueBytes;
}

/** What has to be fetched to answer a request that has a selection. */
export function fetchFor(request: RangeRequest, { order, target, ...bounds }: RangeSelection): RangeRequest {
  const { range, revision, limit, keysOnly, countOnly } = request;
  // Without an order etcd fetches no more than the limit and one, though it sorts them afterwards.
  const isCut = order === 'none' && !isBounded(bounds) && limit > 0;
  return {
    type: 'range',
    range,
    revision,
    countOnly,
    limit: isCut ? limit + 1 : 0,
    keysOnly: keysOnly && target !== 'value',
  };
}

function isBounded(bounds: Omit<RangeSelection, 'order' | 'target'>): boolean {
  return Object.values(bounds).some((bound) => bound !== 0n);
}

/** Takes the records of a range in key order, and tells those that are to be returned. It holds little more than the limit. */
export class RangeSelector {
  readonly #kept: Kept[] = [];
  #bytes = 0;
  #isCut = false;
  readonly #compare: ((a: Kept, b: Kept) => number) | null;

  constructor(
    private readonly request: RangeRequest,
    private readonly selection: RangeSelection,
  ) {
    this.#compare = comparison(selection);
  }

  /** Bytes of the records held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The record stays the caller's: a copy is kept. */
  add(record: KeyValueBytes): void {
    const kv = decodeKeyValue(record);
    if (!this.#isWanted(kv)) return;
    const { limit, keysOnly } = this.request;
    if (limit > 0 && this.#compare === null && this.#kept.length === limit) {
      this.#isCut = true;
      return;
    }
    const copy = keysOnly && this.selection.target !== 'value' ? withoutValue(record) : Buffer.from(record);
    this.#kept.push({ kv: decodeKeyValue(copy), record: copy });
    this.#bytes += copy.length;
    if (limit > 0 && this.#kept.length > 2 * limit + SLACK) this.#cut(limit);
  }

  result(): { readonly more: boolean; readonly kvs: readonly KeyValueBytes[] } {
    const { limit, keysOnly } = this.request;
    this.#cut(limit > 0 ? limit : Infinity);
    const kvs = this.#kept.map(({ record }) => (keysOnly && this.selection.target === 'value' ? withoutValue(record) : record));
    return { more: this.#isCut, kvs };
  }

  /** Sorting is stable, so what is cut off early would be cut off in the end. */
  #cut(limit: number): void {
    if (this.#compare !== null) this.#kept.sort(this.#compare);
    if (this.#kept.length <= limit) return;
    this.#isCut = true;
    this.#kept.length = limit;
    this.#bytes = this.#kept.reduce((sum, { record }) => sum + record.length, 0);
  }

  #isWanted({ modRevision, createRevision }: KeyValue): boolean {
    const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = this.selection;
    return (
      (maxModRevision === 0n || modRevision <= maxModRevision) &&
      (minModRevision === 0n || modRevision >= minModRevision) &&
      (maxCreateRevision === 0n || createRevision <= maxCreateRevision) &&
      (minCreateRevision === 0n || createRevision >= minCreateRevision)
    );
  }
}

/** Records kept beyond twice the limit before they are sorted and cut. */
const SLACK = 1000;

/** Null: the order of the keys, in which records come anyway. */
function comparison({ target, order }: RangeSelection): ((a: Kept, b: Kept) => number) | null {
  if (target === 'key' && order !== 'descend') return null;
  const sign = order === 'descend' ? -1 : 1;
  switch (target) {
    case 'key':
      return (a, b) => sign * Buffer.compare(a.kv.key, b.kv.key);
    case 'value':
      return (a, b) => sign * Buffer.compare(a.kv.value, b.kv.value);
    case 'version':
      return (a, b) => sign * compareNumbers(a.kv.version, b.kv.version);
    case 'create':
      return (a, b) => sign * compareNumbers(a.kv.createRevision, b.kv.createRevision);
    case 'mod':
      return (a, b) => sign * compareNumbers(a.kv.modRevision, b.kv.modRevision);
  }
}

function compareNumbers(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
