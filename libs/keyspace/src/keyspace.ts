import { type Backend, type ControlState, type ControlStore, type RangeAnswer, type RangeQuery, revisionOf } from './backend.js';
import { BlockStream } from './block-stream.js';
import { Clock } from './clock.js';
import { CountHints } from './count-hints.js';
import { CompactedError, FutureRevisionError, KeyspaceError, StoppedError, UnavailableError, UnsupportedError } from './errors.js';
import { EventRing, type StoreEvent } from './event-ring.js';
import { type CommitterStats, GroupCommitter } from './group-committer.js';
import { HeadCache } from './head-cache.js';
import { singleKey } from './key-range.js';
import { decodeKeyValue, encodeKeyValue, frameRecord, keyOf, lastRecordOf } from './key-value.js';
import { Lessor } from './lessor.js';
import { mergeAnswers } from './merge-answers.js';
import type {
  DeleteRangeRequest,
  DeleteRangeResult,
  KeyRange,
  LeaseGranted,
  PutRequest,
  PutResult,
  RangeRequest,
  RangeResult,
  Revision,
  Store,
  StoreStatus,
  TxnOp,
  TxnRequest,
  TxnResult,
  WatchSink,
  WatchStream,
} from './model.js';
import { PointReader } from './point-reader.js';
import { RecordArena } from './record-arena.js';
import { keyText } from './key-text.js';
import { WatchHub } from './watch-hub.js';

/** Revisions made durable at a time: so many that nobody ever waits for the next block. */
const REVISION_BLOCK = 100_000n;
/** Pause before a backend that could not be opened is tried again. */
const CLAIM_RETRY_MS = 2_000;
/** How often the size of the databases is measured. */
const SIZE_INTERVAL_MS = 10_000;
/** How often keys of leases that no longer exist are looked for. */
const ORPHAN_INTERVAL_MS = 5 * 60_000;
/** Keys of a lease that are deleted in one txn. */
const LEASE_KEYS_PER_TXN = 1000;

/** Where keys live. Placement is decided by single keys alone. */
export interface Routing {
  route(key: Buffer): string;
  /** Every backend that could hold a key of the range. */
  backendsFor(range: KeyRange): readonly string[];
}

export interface KeyspaceOptions {
  readonly main: Backend & ControlStore;
  /** The other backends. */
  readonly backends: readonly Backend[];
  readonly routing: Routing;
  /** Bytes of cached heads, shared evenly by the backends. */
  readonly cacheBytes: number;
  /** Bytes of recent events, shared evenly by the backends. */
  readonly eventBytes: number;
  readonly progressIntervalMs: number;
  readonly log: KeyspaceLog;
  readonly observer?: KeyspaceObserver;
}

/** Is told what the backends do, for metrics. */
export interface KeyspaceObserver {
  committed(backend: string, seconds: number, rows: number): void;
  commitFailed(backend: string, seconds: number): void;
  compacted(backend: string, isDone: boolean): void;
}

export interface KeyspaceLog {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
}

export interface BackendStatus extends CommitterStats {
  readonly name: string;
  readonly isReady: boolean;
  /** Why it is not ready, or what its last failure was; empty when all is well. */
  readonly problem: string;
  readonly horizonLag: bigint;
  readonly hasPending: boolean;
  readonly watches: number;
  readonly syncedWatches: number;
  /** Revisions that the ring of recent events reaches back. */
  readonly ringCoverage: bigint;
  readonly ringBytes: number;
  readonly cacheBytes: number;
  readonly cacheHits: number;
  readonly cacheMisses: number;
  readonly sizeBytes: number;
}

/** A backend with what the keyspace keeps for it. */
interface Slot {
  readonly backend: Backend;
  readonly cache: HeadCache;
  readonly ring: EventRing;
  readonly committer: GroupCommitter;
  readonly points: PointReader;
  isReady: boolean;
  problem: string;
  /** Batches settled so far: tells a reader whether its head may still go into the cache. */
  settled: number;
  size: { bytes: number; inUse: number };
  compaction: Promise<void>;
}

/**
 * One logical keyspace over several databases: etcd's ranges, txns, watches, leases and compaction under one revision
 * clock. The laws it keeps are in docs/architecture.md.
 */
export class Keyspace implements Store {
  readonly #slots = new Map<string, Slot>();
  readonly #arena = new RecordArena();
  readonly #hints = new CountHints();
  readonly #stopped = new AbortController();
  readonly #hub: WatchHub;
  readonly #lessor: Lessor;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Work that nobody waits for, until the end: a database must not be asked after it was closed. */
  readonly #background = new Set<Promise<void>>();
  #compactRevision: Revision;
  #compacting: Promise<void> = Promise.resolve();
  #reserving: Promise<void> | undefined;

  private constructor(
    private readonly options: KeyspaceOptions,
    private readonly clock: Clock,
    private readonly control: ControlState,
  ) {
    this.#compactRevision = control.compactRevision;
    const sources = new Map<string, Slot>();
    this.#hub = new WatchHub({
      clock,
      sources,
      route: (range) => this.#backendsFor(range),
      compactRevision: () => this.#compactRevision,
      progressIntervalMs: options.progressIntervalMs,
    });
    for (const backend of [options.main, ...options.backends]) this.#slots.set(backend.name, this.#slotFor(backend));
    for (const [name, slot] of this.#slots) sources.set(name, slot);
    this.#lessor = new Lessor(
      {
        store: options.main,
        removeKeys: (id) => this.#removeKeysOf(id),
        now: () => Date.now(),
        monotonicNow: () => performance.now(),
        onError: (message, error) => options.log.warn(message, { error: String(error) }),
      },
      control.leases,
    );
  }

  /** Takes over all databases. Rejects when the default one cannot be; another one that cannot is tried again and again. */
  static async open(options: KeyspaceOptions): Promise<Keyspace> {
    const control = await options.main.begin();
    const clock = new Clock(control.reservedRevision, control.reservedRevision);
    const keyspace = new Keyspace(options, clock, control);
    try {
      await keyspace.#start();
    } catch (error) {
      keyspace.#stopped.abort();
      throw error;
    }
    return keyspace;
  }

  status(): StoreStatus {
    let sizeBytes = 0;
    let sizeInUseBytes = 0;
    for (const slot of this.#slots.values()) {
      sizeBytes += slot.size.bytes;
      sizeInUseBytes += slot.size.inUse;
    }
    const { clusterId } = this.control;
    // One router writes at a time, and clients that see both ids compare them over restarts: the member is the store.
    return {
      revision: this.clock.observed,
      compactRevision: this.#compactRevision,
      sizeBytes,
      sizeInUseBytes,
      clusterId,
      memberId: clusterId,
    };
  }

  get leaseCount(): number {
    return this.#lessor.size;
  }

  backendStatus(): BackendStatus[] {
    return [...this.#slots].map(([name, slot]) => {
      const { watches, synced } = this.#hub.count(name);
      const lag = this.clock.current - this.clock.horizon(name);
      return {
        ...slot.committer.stats,
        name,
        isReady: slot.isReady,
        problem: slot.problem,
        horizonLag: lag,
        hasPending: lag > 0n,
        watches,
        syncedWatches: synced,
        ringCoverage: this.clock.current - slot.ring.floor,
        ringBytes: slot.ring.bytes,
        cacheBytes: slot.cache.bytes,
        cacheHits: slot.cache.hits,
        cacheMisses: slot.cache.misses,
        sizeBytes: slot.size.bytes,
      };
    });
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    const known = this.#cachedGet(request);
    if (known !== undefined) return known;
    this.#checkRevision(request.revision);
    const slots = this.#slotsFor(request.range);
    const names = slots.map((slot) => slot.backend.name);
    // What anybody was told of by now has to be in the answer, and so has everything up to the revision asked for.
    const arrival = this.clock.observed;
    const wait = this.clock.whenWhole(names, arrival);
    if (wait !== undefined) await wait;
    const [slot] = slots;
    if (slot === undefined) return { revision: arrival, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    if (request.range.single) return this.#get(slot, request, arrival);
    return slots.length === 1 ? this.#rangeOfOne(slot, request, arrival) : this.#rangeOfMany(slots, request, arrival);
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    return (await this.#slotForTxn(request)).committer.submit(request);
  }

  async put(request: PutRequest): Promise<PutResult & { readonly revision: Revision }> {
    const slot = this.#slot(this.options.routing.route(request.key));
    const { revision, responses } = await slot.committer.submit({ type: 'txn', compares: [], success: [request], failure: [] });
    return { ...(responses[0] as PutResult), revision };
  }

  async deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResult & { readonly revision: Revision }> {
    const { revision, responses } = await this.txn({ type: 'txn', compares: [], success: [request], failure: [] });
    return { ...(responses[0] as DeleteRangeResult), revision };
  }

  /** One after the other, so that what is recorded never goes back. */
  compact(revision: Revision): Promise<Revision> {
    const compacting = this.#compacting.then(() => this.#compactTo(revision));
    this.#compacting = compacting.then(
      () => undefined,
      () => undefined,
    );
    return compacting;
  }

  async #compactTo(revision: Revision): Promise<Revision> {
    if (revision > this.clock.observed) throw new FutureRevisionError(revision, this.clock.observed);
    if (revision <= this.#compactRevision) throw new CompactedError(this.#compactRevision);
    await this.#onMain(this.options.main.setCompactRevision(revision));
    this.#compactRevision = revision;
    for (const slot of this.#slots.values()) this.#compactLater(slot);
    return this.clock.observed;
  }

  watch(sink: WatchSink): WatchStream {
    return this.#hub.open(sink);
  }

  async grantLease(ttl: bigint, id: bigint): Promise<LeaseGranted> {
    const granted = await this.#onMain(this.#lessor.grant(ttl, id));
    return { ...granted, revision: this.clock.observed };
  }

  async revokeLease(id: bigint): Promise<Revision> {
    await this.#onMain(this.#lessor.revoke(id));
    return this.clock.observed;
  }

  keepAliveLease(id: bigint): Promise<bigint> {
    return this.#onMain(this.#lessor.keepAlive(id));
  }

  /** Ends watches, finishes commits, and writes the exact clock. */
  async close(): Promise<void> {
    this.#stopped.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#hub.close();
    const slots = [...this.#slots.values()];
    // A lease that is ending may wait for a commit, and that for a database that is away: both are ended together.
    await Promise.all([this.#lessor.close(), ...slots.map((slot) => slot.committer.close(new StoppedError()))]);
    await Promise.all(slots.map((slot) => slot.compaction));
    await Promise.all(this.#background);
    await this.#reserving?.catch(() => undefined);
    try {
      await this.options.main.reserve(this.clock.current);
    } finally {
      await Promise.all(slots.map((slot) => slot.backend.close()));
    }
  }

  #slotFor(backend: Backend): Slot {
    const share = this.options.backends.length + 1;
    const cache = new HeadCache(this.options.cacheBytes / share);
    const ring = new EventRing(this.options.eventBytes / share, this.clock.current);
    this.clock.register(backend.name);
    const committer = new GroupCommitter({
      backend,
      clock: this.clock,
      cache,
      arena: this.#arena,
      hasLease: (id) => this.#lessor.isAlive(id),
      compactRevision: () => this.#compactRevision,
      reserve: (count) => this.#reserve(count),
      onSettled: (events) => this.#settled(slot, events),
      onBurned: () => this.#hub.moved(backend.name),
      onCommit: (seconds, rows) => this.options.observer?.committed(backend.name, seconds, rows),
      onCommitFailed: (seconds) => this.options.observer?.commitFailed(backend.name, seconds),
    });
    const slot: Slot = {
      backend,
      cache,
      ring,
      committer,
      points: new PointReader(backend),
      isReady: false,
      problem: 'not opened yet',
      settled: 0,
      size: { bytes: 0, inUse: 0 },
      compaction: Promise.resolve(),
    };
    return slot;
  }

  async #start(): Promise<void> {
    const { main } = this.options;
    const others = [...this.#slots.values()].filter((slot) => slot.backend !== main);
    const [reserved, claimed] = await Promise.allSettled([
      this.#extend(),
      this.#claim(this.#slot(main.name, false)),
      ...others.map((slot) => this.#claimOrRetry(slot)),
    ]);
    if (reserved.status === 'rejected') throw reserved.reason;
    if (claimed.status === 'rejected') throw claimed.reason;
    this.#hub.start();
    this.#lessor.start();
    this.#every(SIZE_INTERVAL_MS, () => this.#measure());
    this.#every(ORPHAN_INTERVAL_MS, () => this.#removeOrphans());
    this.#inBackground(this.#measure());
    this.#inBackground(this.#removeOrphans());
  }

  #every(milliseconds: number, run: () => Promise<void>): void {
    const timer = setInterval(() => this.#inBackground(run()), milliseconds);
    timer.unref();
    this.#timers.push(timer);
  }

  /** `work` tells of its failures itself. */
  #inBackground(work: Promise<void>): void {
    const tracked = work.finally(() => this.#background.delete(tracked));
    this.#background.add(tracked);
  }

  async #claim(slot: Slot): Promise<void> {
    const { storeId, epoch, reservedRevision } = this.control;
    const { lastRevision } = await slot.backend.claim({ storeId, epoch });
    if (lastRevision > reservedRevision) {
      throw new Error(
        `backend "${slot.backend.name}" holds revision ${lastRevision}, but the default store never handed out more than ` +
          `${reservedRevision}: the default store was restored from an older copy; restore the copy of "${slot.backend.name}" that belongs to it`,
      );
    }
    slot.isReady = true;
    slot.problem = '';
    this.clock.resume(slot.backend.name);
    this.#hub.moved(slot.backend.name);
    // A compaction that the last run did not finish, or that passed while the backend was away.
    if (this.#compactRevision > 0n) this.#compactLater(slot);
  }

  async #claimOrRetry(slot: Slot): Promise<void> {
    const { name } = slot.backend;
    try {
      await this.#claim(slot);
    } catch (error) {
      slot.problem = messageOf(error);
      this.options.log.warn('backend cannot be opened; it is tried again', { backend: name, error: slot.problem });
      const timer = setTimeout(() => {
        if (!this.#stopped.signal.aborted) this.#inBackground(this.#claimOrRetry(slot));
      }, CLAIM_RETRY_MS);
      timer.unref();
    }
  }

  #settled(slot: Slot, events: readonly StoreEvent[]): void {
    slot.settled++;
    slot.problem = '';
    slot.ring.append(events);
    this.#hub.publish(slot.backend.name, events);
  }

  /** Undefined when `count` revisions may be handed out right now. The next block is made durable long before it is needed. */
  #reserve(count: number): Promise<void> | undefined {
    const { available } = this.clock;
    if (available < REVISION_BLOCK / 2n) {
      const extending = this.#extend();
      if (available < BigInt(count)) return extending;
      extending.catch(() => undefined); // tried again with the next write; who must wait for it is told
    }
    return undefined;
  }

  #extend(): Promise<void> {
    this.#reserving ??= this.#extendOnce().finally(() => (this.#reserving = undefined));
    return this.#reserving;
  }

  async #extendOnce(): Promise<void> {
    const limit = this.clock.current + REVISION_BLOCK;
    await this.options.main.reserve(limit);
    this.clock.extend(limit);
  }

  #checkRevision(revision: Revision): void {
    if (revision > this.clock.observed) throw new FutureRevisionError(revision, this.clock.observed);
    if (revision > 0n && revision < this.#compactRevision) throw new CompactedError(this.#compactRevision);
  }

  #backendsFor(range: KeyRange): readonly string[] {
    return range.single ? [this.options.routing.route(range.start)] : this.options.routing.backendsFor(range);
  }

  #slotsFor(range: KeyRange): Slot[] {
    return this.#backendsFor(range).map((name) => this.#slot(name));
  }

  #slot(name: string, mustBeReady = true): Slot {
    const slot = this.#slots.get(name);
    if (slot === undefined) throw new UnavailableError(name, 'the topology names it, but it is not registered');
    if (mustBeReady && !slot.isReady) throw new UnavailableError(name, slot.problem);
    return slot;
  }

  /** A get that nothing has to be waited for. */
  #cachedGet(request: RangeRequest): RangeResult | undefined {
    const { range, revision } = request;
    if (!range.single || revision !== 0n) return undefined;
    const slot = this.#slot(this.options.routing.route(range.start));
    const arrival = this.clock.observed;
    if (this.clock.horizon(slot.backend.name) < arrival) return undefined;
    const cached = slot.cache.get(keyText(range.start));
    return cached === undefined ? undefined : pointResult(cached === null ? null : cached.record, request, arrival);
  }

  /** A single key that `#cachedGet` could not tell: from the database, at latest together with the other gets of this turn. */
  #get(slot: Slot, request: RangeRequest, arrival: Revision): RangeResult | Promise<RangeResult> {
    if (request.revision === 0n) return this.#load(slot, request, arrival);
    // The cache holds the state at the horizon; below it only what has not changed since is known.
    const cached = slot.cache.get(keyText(request.range.start));
    if (cached === undefined || cached === null || revisionOf(cached.id) > request.revision)
      return this.#rangeOfOne(slot, request, arrival);
    return pointResult(cached.record, request, arrival);
  }

  async #load(slot: Slot, request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const { settled } = slot;
    const { head, lastRevision } = await this.#reading(slot, slot.points.read(request.range.start));
    if (slot.settled === settled) {
      const kept = head === null ? null : { id: head.id, record: this.#arena.copy(head.record) };
      slot.cache.set(keyText(request.range.start), kept);
    }
    return pointResult(head === null ? null : head.record, request, this.#told(arrival, lastRevision));
  }

  async #rangeOfOne(slot: Slot, request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const { range, revision } = request;
    const hint = revision > 0n ? this.#hints.find(revision, range.start, range.end) : undefined;
    const answer = await this.#reading(slot, slot.backend.range(queryOf(request, revision, hint === undefined)));
    await this.#checkStillReadable(request, [answer]);
    const told = revision > 0n ? this.clock.observed : this.#told(arrival, answer.lastRevision);
    const count = hint ?? answer.count ?? answer.records;
    const result = { revision: told, count, more: answer.more, records: answer.records, bytes: answer.bytes, blocks: answer.blocks };
    const pinned = revision > 0n ? revision : told;
    if (!answer.more || request.countOnly) return answer.rest === undefined ? result : { ...result, rest: answer.rest };
    const remember = (last: Buffer): void => this.#hints.remember(pinned, range.end, last, count - answer.records);
    if (answer.rest !== undefined) return { ...result, rest: notingLastKey(answer.rest, remember) };
    const lastBlock = answer.blocks.at(-1);
    if (lastBlock !== undefined) remember(lastKeyOf(lastBlock));
    return result;
  }

  async #rangeOfMany(slots: readonly Slot[], request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const revision = request.revision > 0n ? request.revision : arrival;
    const query = queryOf(request, revision, true);
    const results = await Promise.allSettled(slots.map((slot) => this.#reading(slot, slot.backend.range(query))));
    const answers: RangeAnswer[] = [];
    for (const result of results) if (result.status === 'fulfilled') answers.push(result.value);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      await Promise.all(answers.map((answer) => answer.rest?.return()));
      throw failed.reason;
    }
    if (request.revision === 0n && revision < this.#compactRevision) {
      // A compaction passed the revision, maybe before the snapshots were taken: they may lack what it removed.
      await Promise.all(answers.map((answer) => answer.rest?.return()));
      return this.range(request);
    }
    await this.#checkStillReadable(request, answers);
    const merged = await mergeAnswers(answers, request.limit);
    return { ...merged, revision: request.revision > 0n ? this.clock.observed : revision };
  }

  /** A compaction may have overtaken a read at an old revision. */
  async #checkStillReadable(request: RangeRequest, answers: readonly RangeAnswer[]): Promise<void> {
    if (request.revision === 0n || request.revision >= this.#compactRevision) return;
    await Promise.all(answers.map((answer) => answer.rest?.return()));
    throw new CompactedError(this.#compactRevision);
  }

  /**
   * The revision at which a read of one backend holds. Everything up to `arrival` was settled before its snapshot, and
   * batches follow one another, so the snapshot is whole at the newest revision it holds, too.
   */
  #told(arrival: Revision, lastRevision: Revision): Revision {
    const revision = lastRevision > arrival ? lastRevision : arrival;
    this.clock.observe(revision);
    return revision;
  }

  async #reading<T>(slot: Slot, read: Promise<T>): Promise<T> {
    try {
      const answer = await read;
      if (slot.isReady) slot.problem = '';
      return answer;
    } catch (error) {
      if (error instanceof KeyspaceError) throw error;
      slot.problem = messageOf(error);
      throw new UnavailableError(slot.backend.name, slot.problem, { cause: error });
    }
  }

  async #onMain<T>(work: Promise<T>): Promise<T> {
    return this.#reading(this.#slot(this.options.main.name), work);
  }

  async #slotForTxn(request: TxnRequest): Promise<Slot> {
    const names = new Set<string>();
    const add = (range: KeyRange): void => this.#backendsFor(range).forEach((name) => names.add(name));
    const addOp = (op: TxnOp): void => {
      if (op.type === 'put') names.add(this.options.routing.route(op.key));
      else if (op.type !== 'txn') add(op.range);
    };
    for (const compare of request.compares) add(compare.range);
    request.success.forEach(addOp);
    request.failure.forEach(addOp);
    if (names.size === 0) names.add(this.options.main.name);
    const [only] = names;
    if (names.size === 1 && only !== undefined) return this.#slot(only);
    return this.#slotOfLoneDelete(request, [...names]);
  }

  /** A DeleteRange may reach over several backends as long as one of them holds all of its keys. */
  async #slotOfLoneDelete(request: TxnRequest, names: readonly string[]): Promise<Slot> {
    const [op] = request.success;
    const isLoneDelete =
      request.compares.length === 0 && request.failure.length === 0 && request.success.length === 1 && op?.type === 'delete';
    if (!isLoneDelete || op?.type !== 'delete') throw acrossBackends('a transaction', names);
    const slots = names.map((name) => this.#slot(name));
    const query: RangeQuery = { range: op.range, revision: 0n, limit: 1, keysOnly: true, countOnly: false, count: false };
    const answers = await Promise.all(slots.map((slot) => this.#reading(slot, slot.backend.range(query))));
    const holding = slots.filter((_, i) => (answers[i] as RangeAnswer).records > 0);
    if (holding.length > 1) {
      throw acrossBackends(
        'a DeleteRange that holds keys',
        holding.map((slot) => slot.backend.name),
      );
    }
    return holding[0] ?? (slots[0] as Slot);
  }

  /** A backend that is away holds up the lease, but not the removal of its keys from the others. */
  async #removeKeysOf(lease: bigint): Promise<void> {
    const removals = await Promise.allSettled([...this.#slots.values()].map((slot) => this.#removeKeysFrom(slot, lease)));
    for (const removal of removals) if (removal.status === 'rejected') throw removal.reason;
  }

  async #removeKeysFrom(slot: Slot, lease: bigint): Promise<void> {
    if (!slot.isReady) throw new UnavailableError(slot.backend.name, slot.problem);
    // A put that was let in before the lease began to end may still be on its way to the database.
    await this.clock.whenSettled(slot.backend.name);
    for (;;) {
      const keys = await slot.backend.keysOfLease(lease, LEASE_KEYS_PER_TXN);
      if (keys.length === 0) break;
      // A key that was put again with another lease meanwhile makes the compare fail: the keys are read again then.
      await slot.committer.submit({
        type: 'txn',
        compares: keys.map((key) => ({ range: singleKey(key), target: 'lease', result: 'equal', number: lease, value: NO_BYTES })),
        success: keys.map((key) => ({ type: 'delete', range: singleKey(key), prevKv: false })),
        failure: [],
      });
    }
  }

  /** A revoke that raced with a put in another database may leave a key of a lease that is gone. */
  async #removeOrphans(): Promise<void> {
    try {
      for (const slot of this.#slots.values()) {
        if (!slot.isReady) continue;
        for (const lease of await slot.backend.leasesInUse()) if (!this.#lessor.has(lease)) await this.#removeKeysOf(lease);
      }
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.options.log.warn('keys of ended leases could not be looked for', { error: messageOf(error) });
    }
  }

  #compactLater(slot: Slot): void {
    const { signal } = this.#stopped;
    slot.compaction = slot.compaction.then(async () => {
      const revision = this.#compactRevision;
      try {
        if (!slot.isReady || signal.aborted) return;
        // A batch that is pending below the compaction has to be in the log before the log is gone through.
        await this.clock.whenWhole([slot.backend.name], revision);
        await slot.backend.compact(revision, signal);
        this.options.observer?.compacted(slot.backend.name, true);
      } catch (error) {
        if (!signal.aborted) {
          this.options.observer?.compacted(slot.backend.name, false);
          this.options.log.warn('compaction failed; the next one takes it up again', {
            backend: slot.backend.name,
            error: messageOf(error),
          });
        }
      }
    });
  }

  async #measure(): Promise<void> {
    for (const slot of this.#slots.values()) {
      if (!slot.isReady || this.#stopped.signal.aborted) continue;
      // The last size stands while a database does not tell; its reads and writes report what is wrong with it.
      slot.size = await slot.backend.size().catch(() => slot.size);
    }
  }
}

const NO_BYTES: Buffer = Buffer.alloc(0);

function queryOf(request: RangeRequest, revision: Revision, count: boolean): RangeQuery {
  const { range, limit, keysOnly, countOnly } = request;
  return { range, revision, limit, keysOnly, countOnly, count };
}

function pointResult(record: Buffer | null, request: RangeRequest, revision: Revision): RangeResult {
  if (record === null) return { revision, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
  if (request.countOnly) return { revision, count: 1, more: false, records: 0, bytes: 0, blocks: [] };
  const framed = frameRecord(request.keysOnly ? encodeKeyValue({ ...decodeKeyValue(record), value: NO_BYTES }) : record);
  return { revision, count: 1, more: false, records: 1, bytes: framed.length, blocks: [framed] };
}

/** The same blocks; `done` gets the last key when all were read. */
function notingLastKey(blocks: BlockStream, done: (last: Buffer) => void): BlockStream {
  let last: Buffer | undefined;
  const read = async (): Promise<Buffer | null> => {
    const { value } = await blocks.next();
    // Taken at once: whoever consumes a block may free it.
    if (value !== undefined) last = lastKeyOf(value);
    else if (last !== undefined) done(last);
    return value ?? null;
  };
  return new BlockStream(read, async () => void (await blocks.return()));
}

function lastKeyOf(block: Buffer): Buffer {
  return Buffer.from(keyOf(lastRecordOf(block)));
}

function acrossBackends(what: string, names: readonly string[]): UnsupportedError {
  return new UnsupportedError(`${what} over the backends ${names.map((name) => `"${name}"`).join(', ')}, which cannot be changed as one,`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
