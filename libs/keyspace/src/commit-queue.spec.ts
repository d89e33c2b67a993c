import { beforeEach, describe, expect, it } from '@jest/globals';
import { CommitQueue, type QueuedTxn } from './commit-queue.js';
import { keyRange } from './key-range.js';
import { textKey } from './key-text.js';

const EVERYTHING = keyRange(Buffer.from('/a'), Buffer.from('/z'));

interface NamedTxn extends QueuedTxn {
  readonly name: string;
}

let queue: CommitQueue<NamedTxn>;

beforeEach(() => {
  queue = new CommitQueue();
});

/** Puts its keys, unless it goes over a range. */
function txn(name: string, { keys = [name], bytes = 1, missing = 0, isOverRange = false } = {}): NamedTxn {
  const value = Buffer.alloc(bytes);
  const put = { type: 'put', value, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false } as const;
  const success = keys.map((key) => ({ ...put, key: textKey(key) }));
  const ranges = isOverRange ? [EVERYTHING] : [];
  return { name, txn: { type: 'txn', compares: [], success, failure: [] }, keys, ranges, pasts: [], missing, isDone: false };
}

function add(...txns: readonly NamedTxn[]): void {
  for (const one of txns) queue.add(one);
}

const taken = (behind: readonly NamedTxn[] | null = null): string[] => queue.take(behind).map(({ name }) => name);

describe('CommitQueue', () => {
  it('gives what has its heads, in order, and keeps what waits for them in its place', () => {
    const late = txn('b', { missing: 1 });
    add(txn('a'), late, txn('c'));
    expect(taken()).toEqual(['a', 'c']);
    expect(taken()).toEqual([]);
    late.missing = 0;
    add(txn('d'));
    expect(taken()).toEqual(['b', 'd']);
    expect(queue.length).toBe(0);
  });

  it('takes what comes back before all others, in its order', () => {
    add(txn('a'), txn('b'));
    const batch = queue.take(null);
    add(txn('c'));
    queue.putBack(batch);
    expect(taken()).toEqual(['a', 'b', 'c']);
  });

  it('gives a txn over ranges alone, in the next batch at the latest', () => {
    add(txn('a'), txn('range', { isOverRange: true }), txn('b'));
    expect(taken()).toEqual(['a', 'b']);
    expect(taken()).toEqual(['range']);
    add(txn('past'));
    add({ ...txn('c'), pasts: [{ type: 'range', range: EVERYTHING, revision: 3n } as QueuedTxn['pasts'][number]] });
    expect(taken()).toEqual(['past']);
    expect(taken()).toEqual(['c']);
  });

  it('forgets those who have their answer', () => {
    const told = txn('a');
    add(told, txn('b'));
    told.isDone = true;
    expect(queue.open.map(({ name }) => name)).toEqual(['b']);
    queue.prune();
    expect(queue.length).toBe(1);
    expect(queue.includes(told)).toBe(false);
    expect(taken()).toEqual(['b']);
  });

  it('closes a batch at so many txns, and at so many bytes of values', () => {
    add(...Array.from({ length: 1025 }, (_, i) => txn(`${i}`)));
    expect([taken().length, taken().length]).toEqual([1024, 1]);
    const bytes = 2 * 1024 * 1024;
    add(txn('a', { bytes }), txn('b', { bytes }), txn('c', { bytes }));
    expect([taken(), taken()]).toEqual([['a', 'b'], ['c']]);
  });

  describe('behind a batch that is under way', () => {
    it('gives what names no key of it, nor one of a txn that has to wait for it', () => {
      add(txn('first', { keys: ['a', 'b'] }), txn('second', { keys: ['b'] }), txn('third', { keys: ['c'] }));
      expect(taken([txn('under way', { keys: ['a'] })])).toEqual(['third']);
      expect(taken()).toEqual(['first', 'second']);
    });

    it('gives half of all who write, so that both batches are of one size', () => {
      const underWay = [txn('1'), txn('2')];
      add(...['a', 'b', 'c', 'd'].map((name) => txn(name)));
      expect(taken(underWay)).toEqual(['a', 'b', 'c']);
    });

    it('gives no txn over ranges, and lets nobody overtake one', () => {
      const underWay = [txn('1'), txn('2'), txn('3'), txn('4')];
      add(txn('a'), txn('range', { isOverRange: true }), txn('b'));
      expect(taken(underWay)).toEqual(['a']);
      expect(taken(underWay)).toEqual([]);
      expect(taken()).toEqual(['range']);
      expect(taken()).toEqual(['b']);
    });
  });
});
