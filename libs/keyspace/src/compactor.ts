import { CompactedError, FutureRevisionError } from './errors.js';
import { singleKey } from './key-range.js';
import { decodeKeyValue } from './key-value.js';
import type { Revision, Store, TxnRequest } from './model.js';

/** The key by which everybody who compacts agrees on who does it (k8s.io/apiserver storage/etcd3/compact.go, v0.36). */
const COMPACT_REV_KEY = Buffer.from('compact_rev_key');

export interface CompactorOptions {
  readonly intervalMs: number;
  /** Percent by which an interval is lengthened at random. */
  readonly jitterPercent: number;
  /** Newest revisions that are always left. */
  readonly minRetain: bigint;
  readonly random: () => number;
  readonly onError: (error: unknown) => void;
}

/**
 * The router's own compaction, for a store whose clients never compact. Each round takes the round by a compare-and-swap
 * of `compact_rev_key`, exactly as kube-apiserver does, and compacts to where the store stood a round ago; whoever loses
 * the swap only learns where the others are.
 */
export class Compactor {
  #timer: NodeJS.Timeout | undefined;
  #version = 0n;
  #target: Revision = 0n;
  #round: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: Store,
    private readonly options: CompactorOptions,
  ) {}

  start(): void {
    const { intervalMs, jitterPercent, random } = this.options;
    const pause = intervalMs * (1 + (random() * jitterPercent) / 100);
    this.#timer = setTimeout(() => {
      this.#round = this.run()
        .catch((error: unknown) => this.options.onError(error))
        .finally(() => {
          if (this.#timer !== undefined) this.start();
        });
    }, pause);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#round;
  }

  /** One round. */
  async run(): Promise<void> {
    const { revision, succeeded, responses } = await this.store.txn(this.#swap());
    if (!succeeded) {
      const [response] = responses;
      const record = response?.type === 'range' ? response.kvs[0] : undefined;
      if (record === undefined) throw new Error('compact_rev_key vanished between two rounds');
      const kv = decodeKeyValue(record);
      this.#version = kv.version;
      this.#target = BigInt(kv.value.toString() || '0');
      return;
    }
    const target = this.#target;
    this.#version += 1n;
    this.#target = revision;
    const most = revision - this.options.minRetain;
    await this.#compact(target < most ? target : most);
  }

  async #compact(revision: Revision): Promise<void> {
    if (revision <= this.store.status().compactRevision) return;
    try {
      await this.store.compact(revision);
    } catch (error) {
      // Somebody else compacted further, or the key holds a number of another store's life.
      if (!(error instanceof CompactedError) && !(error instanceof FutureRevisionError)) throw error;
    }
  }

  #swap(): TxnRequest {
    const range = singleKey(COMPACT_REV_KEY);
    const value = Buffer.from(String(this.#target));
    return {
      type: 'txn',
      compares: [{ range, target: 'version', result: 'equal', number: this.#version, value: Buffer.alloc(0) }],
      success: [{ type: 'put', key: COMPACT_REV_KEY, value, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false }],
      failure: [{ type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false }],
    };
  }
}
