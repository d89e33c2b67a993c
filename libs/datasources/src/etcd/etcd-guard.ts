import { FencedError, type KeyValue, type Revision, RolledBackError } from '@harikube/keyspace';
import { RefusedDatabaseError } from '../database-errors.js';
import { EtcdCallError, type EtcdClient } from './etcd-client.js';
import { type Compare, type RequestOp, isAtRevision, putOp, rangeOp, type TxnCall } from './etcd-messages.js';
import { decodeStoreMeta, encodeStoreMeta, META_KEY, type StoreMeta } from './own-keys.js';

/** Besides the write of the meta key, what one txn does. */
export interface GuardedWrite {
  readonly ops: readonly RequestOp[];
  readonly compares?: readonly Compare[];
  /** The meta key's content after the txn. */
  readonly change?: (meta: StoreMeta) => StoreMeta;
}

/** What a writer that takes over writes, as the meta key stands. */
export interface TakeOver {
  readonly meta: StoreMeta;
  readonly ops: readonly RequestOp[];
  readonly compares: readonly Compare[];
}

/** A compare of the txn itself did not hold. Nothing was written. */
export class CompareFailedError extends Error {
  override readonly name = 'CompareFailedError';
}

/** A state of the database that is whole, and by which local revision it is read. */
export interface Pin {
  readonly local: bigint;
  readonly lastRevision: Revision;
}

/** Operations that every txn has beside those asked for. */
export const GUARD_OPS = 2;
/** Bytes that every txn has beside those asked for; more than they ever are. */
export const GUARD_BYTES = 2048;

/**
 * Writes into one etcd, one txn after the other. Each writes the meta key and takes place only if nobody has written it since:
 * a late txn, one of an older writer, or one on a restored copy comes to nothing. Since each of our txns writes that key once,
 * its version counts them, and a local revision that is not counted is somebody else's.
 *
 * One txn at a time: a second one beside it would share its sync, but costs etcd and us more processor time for each key than the
 * same keys in one txn, and what it compares would be a content that nobody has seen yet.
 */
export class EtcdGuard {
  #meta: StoreMeta | null = null;
  /** Local revision at which the meta key was written last. */
  #at = 0n;
  #pin: Pin = { local: 0n, lastRevision: 0n };
  #tail: Promise<unknown> = Promise.resolve();
  /** The content that a txn of unknown outcome would have left. */
  #attempted: Buffer | null = null;
  #problem: RefusedDatabaseError | null = null;
  #inspection: Promise<void> | null = null;

  constructor(
    private readonly backend: string,
    private readonly client: EtcdClient,
  ) {}

  get meta(): StoreMeta {
    if (this.#meta === null) throw new Error(`etcd ${this.client.location} is not open`);
    return this.#meta;
  }

  /** Local revision of the last txn. */
  get at(): bigint {
    return this.#at;
  }

  /** The newest state that is known to be whole. */
  get pin(): Pin {
    this.check();
    return this.#pin;
  }

  /** Throws when somebody else was found to write here. */
  check(): void {
    if (this.#problem !== null) throw this.#problem;
  }

  /** Looks at what the database holds. Rejects when somebody else was found to write there. */
  async look(): Promise<StoreMeta | null> {
    return this.#next(async () => {
      const { kvs, revision } = await this.client.range({ start: META_KEY, end: null });
      const [kv] = kvs;
      if (kv === undefined) return null;
      this.#take(kv, revision);
      this.check();
      return this.meta;
    });
  }

  /** One txn that makes the database this writer's, whoever had it before; its local revision. `plan` may refuse by throwing. */
  async takeOver(plan: (meta: StoreMeta) => TakeOver): Promise<bigint> {
    return this.#next(async () => {
      for (;;) {
        const { kvs, revision } = await this.client.range({ start: META_KEY, end: null });
        const [kv] = kvs;
        if (kv === undefined) throw new Error(`${this.client.location} has lost what the router keeps there`);
        this.#take(kv, revision);
        const { meta, ops, compares } = plan(this.meta);
        try {
          return await this.#write({ ops, compares, change: () => meta });
        } catch (error) {
          // Somebody has written in between: it is looked at again.
          if (!(error instanceof FencedError) && !(error instanceof RolledBackError)) throw error;
        }
      }
    });
  }

  /** Writes the meta key, and with it takes whatever somebody else has written so far for granted. */
  async accept(change: (meta: StoreMeta) => StoreMeta): Promise<void> {
    await this.#next(async () => {
      const { kvs, revision } = await this.client.range({ start: META_KEY, end: null });
      const [kv] = kvs;
      if (kv === undefined) throw new CompareFailedError('the meta key is gone');
      this.#landed(decodeStoreMeta(kv.value), kv.modRevision);
      this.#problem = null;
      await this.#write({ ops: [], change: (meta) => ({ ...change(meta), ignored: foreignRevisions(kv) + revision - kv.modRevision }) });
      this.check();
    });
  }

  /** One txn; its local revision. Rejects with CompareFailedError, FencedError or RolledBackError when it did not take place. */
  async write(write: GuardedWrite): Promise<bigint> {
    return this.#next(() => this.#write(write));
  }

  /** The same, unless anything was written since the local revision `at`; false then. */
  async writeIfStill(at: bigint, write: GuardedWrite): Promise<boolean> {
    return this.#next(async () => {
      if (this.#at !== at) return false;
      await this.#write(write);
      return true;
    });
  }

  /** Makes sure that no txn of before can take place any more, and knows what the database holds. */
  async settle(): Promise<void> {
    await this.#next(() => this.#settle());
  }

  /** A reader saw this revision of the store: when it is none of ours, it is looked at. */
  saw(revision: bigint): void {
    if (revision <= this.#at || this.#inspection !== null) return;
    this.#inspection = this.#next(() => this.#inspect(revision))
      .catch(() => undefined) // the next reader sees it, too
      .finally(() => (this.#inspection = null));
  }

  /** A key and its metadata contradict each other. */
  foreign(what: string): RefusedDatabaseError {
    this.#problem ??= new RefusedDatabaseError(
      `${this.client.location} (backend "${this.backend}"): somebody else writes there: ${what}; ` +
        'end that writer, such as a kube-apiserver that still has this etcd in its --etcd-servers, then take over what it wrote with ' +
        `\`harikube adopt --endpoint ${this.client.location}\``,
    );
    return this.#problem;
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  async #write({ ops, compares = [], change = (meta) => meta }: GuardedWrite): Promise<bigint> {
    this.check();
    if (this.#attempted !== null) await this.#settle();
    const meta = change(this.meta);
    const content = encodeStoreMeta(meta);
    const { revision, kv } = await this.#send(content, ops, compares);
    this.#landed(meta, revision);
    this.#checkCount(kv, revision);
    return revision;
  }

  async #send(
    content: Buffer,
    ops: readonly RequestOp[],
    compares: readonly Compare[],
  ): Promise<{ readonly revision: bigint; readonly kv: KeyValue }> {
    const call: TxnCall = {
      compares: [isAtRevision(META_KEY, this.#at), ...compares],
      success: [putOp(META_KEY, content), ...ops, rangeOp({ start: META_KEY, end: null, keysOnly: true })],
      failure: [rangeOp({ start: META_KEY, end: null })],
    };
    try {
      const { succeeded, revision, ranges } = await this.client.txn(call);
      const [kv] = ranges.at(-1)?.kvs ?? [];
      if (succeeded && kv !== undefined) return { revision, kv };
      throw this.#refusal(kv, revision);
    } catch (error) {
      if (error instanceof EtcdCallError && !error.isCertain) this.#attempted = content;
      throw error;
    }
  }

  /** Why the compares of a txn did not hold. */
  #refusal(kv: KeyValue | undefined, revision: bigint): Error {
    if (kv === undefined) return this.foreign('the meta key is gone');
    if (kv.modRevision === this.#at) return new CompareFailedError(`a compare did not hold at the local revision ${revision}`);
    const found = decodeStoreMeta(kv.value);
    if (found.epoch !== this.meta.epoch) return new FencedError(this.backend, this.meta.epoch, found.epoch);
    return new RolledBackError(this.backend, this.meta.lastRevision, found.lastRevision);
  }

  async #settle(): Promise<void> {
    for (;;) {
      const { kvs, revision } = await this.client.range({ start: META_KEY, end: null });
      const [kv] = kvs;
      if (kv === undefined) throw this.foreign('the meta key is gone');
      if (kv.modRevision !== this.#at) {
        const isOurs = [this.#attempted, encodeStoreMeta(this.meta)].some((content) => content !== null && kv.value.equals(content));
        if (this.#attempted === null || !isOurs) throw this.#refusal(kv, revision);
        // What was sent took place after all, or what was to keep it out.
        this.#landed(decodeStoreMeta(kv.value), kv.modRevision);
        this.#checkCount(kv, revision);
        return;
      }
      // Nothing came of it so far, and after this nothing will: the meta key is another one then.
      const before = this.#attempted;
      const content = encodeStoreMeta(this.meta);
      try {
        const sent = await this.#send(content, [], []);
        this.#landed(this.meta, sent.revision);
        this.#checkCount(sent.kv, sent.revision);
        return;
      } catch (error) {
        this.#attempted = before;
        if (!(error instanceof RolledBackError) || before === null) throw error;
        // The late txn has just come: it is looked at again.
      }
    }
  }

  /** Takes what was read for granted. `revision`: the store's, when the key was read. */
  #take(kv: KeyValue, revision: bigint): void {
    this.#problem = null;
    this.#landed(decodeStoreMeta(kv.value), kv.modRevision);
    // The ways in and out write much that is not counted.
    if (this.meta.task === null) this.#checkCount(kv, revision);
  }

  #landed(meta: StoreMeta, revision: bigint): void {
    this.#meta = meta;
    this.#at = revision;
    this.#attempted = null;
    this.#keepPin();
  }

  #keepPin(): void {
    const { pending, lastRevision } = this.meta;
    if (pending === null) this.#pin = { local: this.#at, lastRevision };
    else this.#pin = { local: pending.base, lastRevision };
  }

  async #inspect(seen: bigint): Promise<void> {
    if (seen <= this.#at || this.#attempted !== null) return;
    const { kvs, revision } = await this.client.range({ start: META_KEY, end: null, keysOnly: true });
    const [kv] = kvs;
    // Another meta key is another writer of ours: the next commit is told so.
    if (kv !== undefined && kv.modRevision === this.#at) this.#checkCount(kv, revision);
  }

  #checkCount(kv: KeyValue, revision: bigint): void {
    const foreign = foreignRevisions(kv) - this.meta.ignored;
    if (foreign !== 0n) {
      this.foreign(`${foreign} of its revisions from ${kv.createRevision} to ${kv.modRevision} are not of the router`);
    } else if (revision > kv.modRevision) {
      this.foreign(`its revision ${revision} is not of the router, whose last is ${kv.modRevision}`);
    }
  }
}

/** Local revisions since the meta key is there, up to its last write, that did not write it. */
export function foreignRevisions({ modRevision, createRevision, version }: KeyValue): bigint {
  return modRevision - createRevision + 1n - version;
}
