import type { RangeRequest } from './model.js';
import { valueBytes } from './txn-scope.js';
import type { HeadUser } from './working-heads.js';

/** Most txns in one commit: bounds the time that the others wait for it. */
const MAX_BATCH_TXNS = 1024;
/** Bytes of values after which a batch is closed. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** A txn that waits for its commit. One with ranges, at whatever revision, is a batch of its own. */
export interface QueuedTxn extends HeadUser {
  /** Ranges at an old revision. */
  readonly pasts: readonly RangeRequest[];
}

/** The txns of one backend that are in no batch yet, in the order of their coming. */
export class CommitQueue<T extends QueuedTxn> {
  readonly #queued: T[] = [];

  get length(): number {
    return this.#queued.length;
  }

  /** Those that wait for an answer still. */
  get open(): T[] {
    return this.#queued.filter(({ isDone }) => !isDone);
  }

  includes(txn: T): boolean {
    return this.#queued.includes(txn);
  }

  add(txn: T): void {
    this.#queued.push(txn);
  }

  /** Those that were in a batch, before all others. */
  putBack(txns: readonly T[]): void {
    this.#queued.unshift(...txns);
  }

  /** Those that have their answer leave. */
  prune(): void {
    this.#queued.splice(0, this.#queued.length, ...this.open);
  }

  /**
   * The next batch: what has its heads, in order; a txn over ranges alone. `behind`: the batch under way that it is to follow, of which it may name no
   * key. Empty: nothing can go yet.
   */
  take(behind: readonly T[] | null): readonly T[] {
    const barred = new Set(behind?.flatMap(({ keys }) => keys));
    // Two batches of the same size keep the database busy best.
    const half = behind === null ? Infinity : Math.ceil((behind.length + this.#queued.length) / 2);
    const most = Math.min(half, MAX_BATCH_TXNS);
    const taken: T[] = [];
    let bytes = 0;
    let kept = 0;
    let isFull = false;
    for (let i = 0; i < this.#queued.length; i++) {
      const txn = this.#queued[i] as T;
      if (txn.isDone) continue;
      isFull ||= taken.length >= most || bytes >= MAX_BATCH_BYTES;
      const goesAlone = isAlone(txn);
      // Nobody overtakes one that waits for everything under way, so that its turn comes.
      if (goesAlone && behind !== null) isFull = true;
      const isBarred = behind !== null && txn.keys.some((text) => barred.has(text));
      if (txn.missing > 0 || isFull || isBarred || (goesAlone && taken.length > 0)) {
        this.#queued[kept++] = txn;
        if (isBarred) for (const text of txn.keys) barred.add(text);
        continue;
      }
      taken.push(txn);
      bytes += valueBytes(txn.txn);
      if (goesAlone) bytes = MAX_BATCH_BYTES;
    }
    this.#queued.length = kept;
    return taken;
  }
}

/** It goes over ranges, which are read before it is judged. */
export function isAlone({ ranges, pasts }: QueuedTxn): boolean {
  return ranges.length > 0 || pasts.length > 0;
}
