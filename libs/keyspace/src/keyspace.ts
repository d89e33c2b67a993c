import {
  type Backend,
  type BackendState,
  type ControlState,
  type ControlStore,
  FencedError,
  type RangeAnswer,
  type RangeQuery,
  revisionOf,
  RolledBackError,
} from './backend.js';
import { BlockStream } from './block-stream.js';
import { Clock } from './clock.js';
import { CountHints } from './count-hints.js';
import {
  CompactedError,
  FutureRevisionError,
  KeyspaceError,
  LeaseNotFoundError,
  StoppedError,
  UnavailableError,
  UnknownOutcomeError,
  UnsupportedError,
} from './errors.js';
import { EventRing, type StoreEvent } from './event-ring.js';
import { GuardedBackend } from './guarded-backend.js';
import { type CommitterStats, GroupCommitter } from './group-committer.js';
import { HeadCache } from './head-cache.js';
import { contains, EVERY_KEY, isEmptyRange, singleKey } from './key-range.js';
import { frameRecord, lastKeyOf, withoutValue } from './key-value.js';
import { KeyspaceHasher } from './keyspace-hash.js';
import { Lessor } from './lessor.js';
import { mergeAnswers } from './merge-answers.js';
import type {
  DeleteRangeRequest,
  DeleteRangeResult,
  KeyRange,
  KeyspaceHash,
  LeaseGranted,
  LeaseLife,
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
import { Placement, type Routing } from './placement.js';
import { PointReader } from './point-reader.js';
import { readPast, readTxn } from './read-txn.js';
import { RecordArena } from './record-arena.js';
import { type PlannedRouting, Rerouter, type RoutingChange, type RoutingVerdict } from './rerouter.js';
import { type RetiredBackend, RoutingHistory } from './routing-history.js';
import { keyText } from './key-text.js';
import { selectRange } from './selected-range.js';
import type { KeyspaceLog } from './keyspace-log.js';
import { messageOf } from './message-of.js';
import { ready, type Slot } from './slot.js';
import { isPast, isReadOnly, MAX_RANGE_KEYS } from './txn-scope.js';
import { WatchHub, type WatchPlacement } from './watch-hub.js';
import { LateAnswerError, within } from './within.js';
import { WriteGate } from './write-gate.js';
import type { WriterLease, WriterStatus } from './writer-lease.js';

/** Revisions made durable at a time: so many that nobody ever waits for the next block. */
const REVISION_BLOCK = 100_000n;
/** Pauses before a backend that could not be opened is tried again: each is twice the one before. */
const CLAIM_PAUSE_MS = { first: 250, most: 2_000 };
/** How often the size of the databases is measured. */
const SIZE_INTERVAL_MS = 10_000;
/** How often keys of leases that no longer exist are looked for. */
const ORPHAN_INTERVAL_MS = 5 * 60_000;
/** Keys of a lease that are deleted in one txn. */
const LEASE_KEYS_PER_TXN = 1000;
/** How long a request waits for a backend at most, unless the options say. */
const REQUEST_TIMEOUT_MS = 5_000;

/** A routing that was in force, for reads of what was before. */
export interface FormerRouting {
  readonly routing: Routing;
  /** By the routing's names; the default one aside. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** The last revision at which it told where keys were. */
  readonly until: Revision;
}

export interface KeyspaceOptions {
  readonly main: Backend & ControlStore;
  /** Acquired on `main`. It is the keyspace's from `open` on, unless that rejects. */
  readonly lease: WriterLease;
  /** The other backends, by the routing's names. */
  readonly backends: ReadonlyMap<string, Backend>;
  readonly routing: Routing;
  /** Bytes of cached heads, shared evenly by the backends. */
  readonly cacheBytes: number;
  /** Bytes of recent events, shared evenly by the backends. */
  readonly eventBytes: number;
  readonly progressIntervalMs: number;
  /** No request waits longer for a backend. */
  readonly requestTimeoutMs?: number;
  /** Names of backends of which a copy that is older than what was there is accepted, once: clients read everything anew. */
  readonly acceptRestored?: ReadonlySet<string>;
  /** Routings that were in force before, the oldest first. */
  readonly former?: readonly FormerRouting[];
  readonly log: KeyspaceLog;
  readonly observer?: KeyspaceObserver;
}

/** Reads that wait until backends have settled what was handed out. */
interface Waiter {
  readonly slots: readonly Slot[];
  readonly reject: (error: Error) => void;
}

/** Is told what the backends do, for metrics. */
export interface KeyspaceObserver {
  committed(backend: string, seconds: number, rows: number): void;
  commitFailed(backend: string, seconds: number): void;
  compacted(backend: string, isDone: boolean): void;
}

export interface BackendStatus extends CommitterStats {
  readonly name: string;
  readonly isReady: boolean;
  /** Why it is not ready, or what its last failure was; empty when all is well. */
  readonly problem: string;
  readonly horizonLag: bigint;
  readonly hasPending: boolean;
  /** The last revision that the database is known to hold. */
  readonly lastRevision: Revision;
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

/**
 * One logical keyspace over several databases: etcd's ranges, txns, watches, leases and compaction under one revision
 * clock. The laws it keeps are in docs/architecture.md.
 */
export class Keyspace implements Store {
  /** Every slot that anything is asked of, by id: those of the present and those of the past. */
  readonly #slots = new Map<string, Slot>();
  readonly #main: Slot;
  readonly #history: RoutingHistory;
  readonly #rerouter: Rerouter;
  /** Each holds back writes to what it deletes until it has taken place. */
  readonly #deletions = new Set<WriteGate>();
  /** Backends that are being closed. */
  readonly #closing = new Set<Promise<void>>();
  #lastId = 0;
  readonly #arena = new RecordArena();
  readonly #hints = new CountHints();
  readonly #stopped = new AbortController();
  readonly #hub: WatchHub;
  readonly #lessor: Lessor;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Work that nobody waits for, until the end: a database must not be asked after it was closed. */
  readonly #background = new Set<Promise<void>>();
  readonly #requestTimeoutMs: number;
  readonly #acceptRestored: Set<string>;
  readonly #waiting = new Set<Waiter>();
  #compactRevision: Revision;
  #compacting: Promise<void> = Promise.resolve();
  #reserving: Promise<void> | undefined;

  private constructor(
    private readonly options: KeyspaceOptions,
    private readonly clock: Clock,
    private readonly control: ControlState,
  ) {
    this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
    this.#acceptRestored = new Set(options.acceptRestored);
    this.#compactRevision = control.compactRevision;
    this.#hub = new WatchHub({
      clock,
      sources: this.#slots,
      place: (range, after) => this.#placeOf(range, after),
      compactRevision: () => this.#compactRevision,
      isHeld: () => options.lease.isHeld,
      progressIntervalMs: options.progressIntervalMs,
    });
    const { main, backends, former = [] } = options;
    this.#main = this.#slotFor(main, main.name);
    const present = this.#placementOf(options.routing, backends);
    // Compaction may have passed one of them since it was recorded.
    const before = former
      .filter(({ until }) => until >= control.compactRevision)
      .map(({ routing, backends: named, until }) => ({
        placement: this.#placementOf(routing, named),
        until: until < clock.current ? until : clock.current,
      }));
    this.#history = new RoutingHistory(present, before);
    this.#rerouter = new Rerouter({
      clock,
      history: this.#history,
      slots: this.#slots,
      main: this.#main,
      signal: this.#stopped.signal,
      slotOf: (backend) => this.#slotOf(backend),
      placementOf: (routing, named) => this.#placementOf(routing, named),
      claim: (slot) => this.#claim(slot),
      compactAll: () => this.compactAll(),
      switchTo: (placement, until, isPlacedOtherwise) => this.#switchTo(placement, until, isPlacedOtherwise),
      drop: (slot) => this.#drop(slot),
      lose: (slot) => this.#lose(slot),
      whenClosed: () => this.#whenClosed(),
    });
    this.#shareMemory();
    this.#lessor = new Lessor(
      {
        store: options.main,
        removeKeys: (id) => this.#removeKeysOf(id),
        now: () => Date.now(),
        monotonicNow: () => performance.now(),
        isHeld: () => options.lease.isHeld,
        onError: (message, error) => options.log.warn(message, { error: String(error) }),
      },
      control.leases,
    );
  }

  /** Takes over all databases. Rejects when the default one cannot be; another one that cannot is tried again and again. */
  static async open(options: KeyspaceOptions): Promise<Keyspace> {
    const { control } = options.lease;
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
    for (const slot of this.#placement.slots.values()) {
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

  /** Whether this process may write. */
  get writer(): WriterStatus {
    return this.options.lease.status;
  }

  /** Resolves when another process has taken over: this keyspace answers nothing any more. */
  get deposed(): Promise<Error> {
    return this.options.lease.lost;
  }

  get leaseCount(): number {
    return this.#lessor.size;
  }

  backendStatus(): BackendStatus[] {
    return [...this.#placement.slots].map(([name, slot]) => {
      const { watches, synced } = this.#hub.count(slot.id);
      const lag = this.clock.current - this.clock.horizon(slot.id);
      return {
        ...slot.committer.stats,
        name,
        isReady: slot.isReady,
        problem: slot.isReady ? slot.committer.doubt || slot.problem : slot.problem,
        horizonLag: lag,
        hasPending: lag > 0n,
        lastRevision: slot.guarded.held,
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

  get #placement(): Placement {
    return this.#history.present;
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    if (request.selection !== undefined) return selectRange(request, request.selection, (fetched) => this.range(fetched));
    const result = this.#cachedGet(request) ?? (await this.#rangeInTime(request));
    // Whoever else writes has begun after this: what was read is what there was.
    if (this.options.lease.isHeld) return result;
    await result.rest?.return();
    throw this.#notHeld();
  }

  /** What has to be waited for and what is read then take no longer together than either may. */
  async #rangeInTime(request: RangeRequest): Promise<RangeResult> {
    const arrival = this.clock.observed;
    const reading = this.#range(request);
    const late = (): Error => {
      const slots = this.#placement.slotsFor(request.range);
      const slot = slots.find(({ id }) => this.clock.horizon(id) < arrival) ?? slots[0] ?? this.#main;
      return new UnavailableError(slot.label, new LateAnswerError(this.#requestTimeoutMs).message);
    };
    try {
      return await within(this.#requestTimeoutMs, reading, late);
    } catch (error) {
      // It may come yet, with a snapshot that is to be given up.
      reading.then(({ rest }) => rest?.return()).catch(() => undefined);
      throw error;
    }
  }

  async #range(request: RangeRequest): Promise<RangeResult> {
    this.#checkRevision(request.revision);
    const placement = this.#placement;
    try {
      return await this.#rangeIn(placement, request);
    } catch (error) {
      // A backend that has gone from the rules meanwhile need not answer any more.
      if (this.#placement === placement || !(error instanceof UnavailableError)) throw error;
      return this.#range(request);
    }
  }

  #notHeld(): UnavailableError {
    return new UnavailableError(this.#main.label, this.options.lease.problem);
  }

  #checkHeld(): void {
    if (!this.options.lease.isHeld) throw this.#notHeld();
  }

  async #rangeIn(placement: Placement, request: RangeRequest): Promise<RangeResult> {
    const present = readyOf(placement.slotsFor(request.range));
    const past = request.revision > 0n ? readyOf(this.#history.before(request.range, request.revision, present).slots) : NO_SLOTS;
    // What anybody was told of by now has to be in the answer, and so has everything up to the revision asked for.
    const arrival = this.clock.observed;
    const wait = this.#whenWhole(present, arrival);
    if (wait !== undefined) await wait;
    if (past.length > 0) {
      await this.#whenWhole(past, request.revision);
      return this.#rangeOfMany([...present, ...past], request, arrival);
    }
    const [slot] = present;
    if (slot === undefined) return { revision: arrival, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    if (request.range.single) return this.#get(placement, slot, request, arrival);
    return present.length === 1 ? this.#rangeOfOne(placement, slot, request, arrival) : this.#rangeOfMany(present, request, arrival);
  }

  /** Undefined when everything up to `revision` is settled in these. Waits for what is being committed, but not for what nobody knows of. */
  #whenWhole(slots: readonly Slot[], revision: Revision): Promise<void> | undefined {
    if (this.clock.horizonOf(idsOf(slots)) >= revision) return undefined;
    const lagging = slots.filter(({ id }) => this.clock.horizon(id) < revision);
    const doubtful = lagging.find(({ committer }) => committer.doubt !== '');
    if (doubtful !== undefined) return Promise.reject(new UnavailableError(doubtful.label, doubtful.committer.doubt));
    return this.#waitFor(lagging, revision);
  }

  async #waitFor(lagging: readonly Slot[], revision: Revision): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { slots: lagging, reject };
    this.#waiting.add(waiter);
    void this.clock.whenWhole(idsOf(lagging), revision)?.then(resolve);
    const late = (): Error => {
      const last = lagging.find(({ id }) => this.clock.horizon(id) < revision) ?? this.#main;
      return new UnavailableError(last.label, new LateAnswerError(this.#requestTimeoutMs).message);
    };
    try {
      await within(this.#requestTimeoutMs, promise, late);
    } finally {
      this.#waiting.delete(waiter);
    }
  }

  /** Those that wait for this slot need not wait any longer. */
  #turnAway(slot: Slot, reason: string): void {
    for (const { slots, reject } of this.#waiting) if (slots.includes(slot)) reject(new UnavailableError(slot.label, reason));
  }

  /** What holds a write back, if anything does: a change of the routing, or deletions that reach over several backends. */
  #gateOf(holdsBack: (gate: WriteGate) => boolean): WriteGate | undefined {
    const { gate } = this.#rerouter;
    if (gate !== null && holdsBack(gate)) return gate;
    if (this.#deletions.size > 0) for (const deletion of this.#deletions) if (holdsBack(deletion)) return deletion;
    return undefined;
  }

  #whenOpened(gate: WriteGate): Promise<void> {
    const late = (): Error => new UnavailableError(this.#main.label, `${gate.reason} takes too long`);
    return within(this.#requestTimeoutMs, gate.opened, late);
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    for (;;) {
      this.#checkHeld();
      const gate = this.#gateOf((one) => one.holdsBack(request));
      if (gate !== undefined) {
        await this.#whenOpened(gate);
        continue;
      }
      const placement = this.#placement;
      const sole = soleSlotOf(placement, request);
      if (sole !== undefined) return ready(sole).committer.submit(request);
      const slots = this.#slotsOfTxn(placement, request);
      const [only] = slots;
      if (slots.length === 1 && only !== undefined) return only.committer.submit(request);
      if (isReadOnly(request)) return this.#readTxn(request);
      const result = await this.#deleteAcross(request, slots, placement);
      if (result !== null) return result;
    }
  }

  /** Over several backends: at what anybody was told of by now. */
  async #readTxn(request: TxnRequest): Promise<TxnResult> {
    for (;;) {
      const compactRevision = this.#compactRevision;
      try {
        return await readTxn(request, this.clock.observed, compactRevision, (range) => this.range(range));
      } catch (error) {
        // A compaction has passed the revision meanwhile.
        if (!(error instanceof CompactedError) || this.#compactRevision === compactRevision) throw error;
      }
    }
  }

  async put(request: PutRequest): Promise<PutResult & { readonly revision: Revision }> {
    // Outside a txn etcd looks for the lease before it looks for the key.
    if ((request.ignoreValue || request.ignoreLease) && request.lease !== 0n && !this.#lessor.isAlive(request.lease)) {
      throw new LeaseNotFoundError();
    }
    for (;;) {
      const gate = this.#gateOf((one) => one.holdsBackKey(request.key));
      if (gate === undefined) break;
      await this.#whenOpened(gate);
    }
    this.#checkHeld();
    const slot = ready(this.#placement.slotOf(request.key));
    const { revision, responses } = await slot.committer.submit({ type: 'txn', compares: [], success: [request], failure: [] });
    return { ...(responses[0] as PutResult), revision };
  }

  async deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResult & { readonly revision: Revision }> {
    const { revision, responses } = await this.txn({ type: 'txn', compares: [], success: [request], failure: [] });
    return { ...(responses[0] as DeleteRangeResult), revision };
  }

  /** One after the other, so that what is recorded never goes back. */
  async compact(revision: Revision, isPhysical = false): Promise<Revision> {
    const compacting = this.#compacting.then(() => this.#compactTo(revision));
    this.#compacting = compacting.then(
      () => undefined,
      () => undefined,
    );
    const current = await this.#recorded(compacting);
    if (isPhysical) await Promise.all([...this.#slots.values()].map((slot) => slot.compaction));
    return current;
  }

  async #compactTo(revision: Revision): Promise<Revision> {
    this.#checkHeld();
    if (revision > this.clock.observed) throw new FutureRevisionError(revision, this.clock.observed);
    if (revision <= this.#compactRevision) throw new CompactedError(this.#compactRevision);
    // However long it takes: of two that cross, the lower one must not be the last to be recorded.
    await this.#recording(() => this.options.main.setCompactRevision(revision));
    this.#compactRevision = revision;
    this.#forget();
    for (const slot of this.#slots.values()) this.#compactLater(slot);
    return this.clock.observed;
  }

  /** Compacts everything that was: whoever wants to know begins with the present. For a past that cannot be told. */
  async compactAll(): Promise<Revision> {
    const revision = await this.#skip();
    await this.compact(revision);
    return revision;
  }

  /** A revision above all others that anybody was told of, at which nothing was written. */
  async #skip(): Promise<Revision> {
    for (let reserved = this.#reserve(1); reserved !== undefined; reserved = this.#reserve(1)) await reserved;
    const revision = this.clock.skip();
    this.clock.observe(revision);
    for (const slot of this.#slots.values()) this.#hub.moved(slot.id);
    return revision;
  }

  /** See `Rerouter.reroute`. */
  reroute(change: RoutingChange): Promise<RoutingVerdict> {
    return this.#rerouter.reroute(change);
  }

  /** What would stand against a routing at this moment; nothing is changed. */
  judgeRouting(planned: PlannedRouting): Promise<RoutingVerdict> {
    return this.#rerouter.judge(planned);
  }

  /** Backends that hold nothing of the present. */
  retired(): RetiredBackend[] {
    return this.#history.retired();
  }

  #switchTo(placement: Placement, until: Revision, isPlacedOtherwise: boolean): void {
    for (const [name, slot] of placement.slots) slot.label = name;
    this.#history.add(placement, until, isPlacedOtherwise);
    this.#shareMemory();
    this.#hub.replaced();
  }

  /** Keys are given up with the slot. */
  #lose(slot: Slot): void {
    this.#hub.lost(slot.id, this.#compactRevision);
    this.#drop(slot);
  }

  #placeOf(range: KeyRange, after: Revision | null): WatchPlacement {
    const present = this.#placement.slotsFor(range);
    if (after === null) return { backends: idsOf(present), until: null };
    const { slots, until } = this.#history.before(range, after, present);
    return { backends: idsOf(slots.length === 0 ? present : [...present, ...slots]), until };
  }

  /** Gives up what nobody can ask for any more, now that compaction has passed it. */
  #forget(): void {
    this.#history.forget(this.#compactRevision);
    const needed = this.#history.needed();
    for (const slot of this.#rerouter.next?.slots.values() ?? []) needed.add(slot);
    for (const slot of this.#slots.values()) if (!needed.has(slot) && slot.reading === 0) this.#drop(slot);
  }

  /** The slot is the keyspace's no more, and its backend is closed. */
  #drop(slot: Slot): void {
    slot.isGone = true;
    slot.isReady = false;
    slot.problem = 'it has gone from the topology';
    this.#slots.delete(slot.id);
    this.clock.retire(slot.id);
    this.#hub.forget(slot.id);
    const closing = this.#close(slot).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async #whenClosed(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  async #close(slot: Slot): Promise<void> {
    await slot.committer.close(new UnavailableError(slot.label, slot.problem));
    this.clock.unregister(slot.id);
    await slot.compaction;
    await slot.backend.close().catch((error: unknown) => {
      this.options.log.warn('backend could not be closed', { backend: slot.label, error: messageOf(error) });
    });
  }

  watch(sink: WatchSink): WatchStream {
    return this.#hub.open(sink);
  }

  async grantLease(ttl: bigint, id: bigint): Promise<LeaseGranted> {
    this.#checkHeld();
    const granted = await this.#recorded(this.#recording(() => this.#lessor.grant(ttl, id)));
    return { ...granted, revision: this.clock.observed };
  }

  async revokeLease(id: bigint): Promise<Revision> {
    this.#checkHeld();
    await this.#recorded(this.#recording(() => this.#lessor.revoke(id)));
    return this.clock.observed;
  }

  async keepAliveLease(id: bigint): Promise<bigint> {
    this.#checkHeld();
    const ttl = await this.#onMain(this.#lessor.keepAlive(id));
    this.#checkHeld();
    return ttl;
  }

  async leaseLife(id: bigint, withKeys: boolean): Promise<LeaseLife | null> {
    this.#checkHeld();
    const life = this.#lessor.life(id);
    if (life === null || !withKeys) return life === null ? null : { ...life, keys: [] };
    const slots = readyOf([...this.#placement.slots.values()]);
    await Promise.all(slots.map((slot) => this.#inTime(slot, this.clock.whenSettled(slot.id))));
    const keys = await Promise.all(slots.map((slot) => this.#reading(slot, slot.guarded.keysOfLease(id, MAX_RANGE_KEYS))));
    return { ...life, keys: keys.flat().sort((a, b) => Buffer.compare(a, b)) };
  }

  leases(): readonly bigint[] {
    return this.#lessor.ids();
  }

  async hash(revision: Revision): Promise<KeyspaceHash> {
    const hasher = new KeyspaceHasher();
    const current = this.clock.observed;
    const compactRevision = this.#compactRevision;
    const hashRevision = revision > 0n ? revision : current;
    const request = { type: 'range', range: EVERY_KEY, revision: hashRevision, limit: 0, keysOnly: false, countOnly: false } as const;
    await hasher.addLive(await this.range(request));
    const placed = this.#placement.slotsFor(EVERY_KEY);
    const slots = readyOf([...placed, ...this.#history.before(EVERY_KEY, compactRevision, placed).slots]);
    for (const slot of slots) await this.#reading(slot, hasher.addChanges(slot.guarded, compactRevision, hashRevision));
    // What a compaction has passed may be missing from what was read.
    if (this.#compactRevision !== compactRevision) return this.hash(revision);
    return { hash: hasher.value, hashRevision, compactRevision: compactRevision === 0n ? -1n : compactRevision, revision: current };
  }

  /** Ends watches, finishes commits, writes the exact clock, and then lets others write. */
  async close(): Promise<void> {
    this.#stopped.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#hub.close();
    await this.#rerouter.whenDone;
    const slots = [...this.#slots.values()];
    // A lease that is ending may wait for a commit, and that for a database that is away: both are ended together.
    await Promise.all([this.#lessor.close(), ...slots.map((slot) => slot.committer.close(new StoppedError()))]);
    // A database that does not answer is closed all the same.
    const under = [...slots.map((slot) => slot.compaction), ...this.#background, ...this.#closing, this.#reserving];
    await within(this.#requestTimeoutMs, Promise.allSettled(under), () => new LateAnswerError(this.#requestTimeoutMs)).catch(
      () => undefined,
    );
    await this.#handOver();
    await Promise.all(slots.map((slot) => slot.backend.close()));
  }

  async #handOver(): Promise<void> {
    const { lease, main, log } = this.options;
    try {
      if (lease.isHeld) await this.#inTime(this.#main, main.reserve(this.clock.current));
      await lease.release();
    } catch (error) {
      log.warn('the default database has not taken the exact clock and the end of the writer lease; the next start skips revisions', {
        error: messageOf(error),
      });
    }
  }

  #slotFor(backend: Backend, label: string): Slot {
    const id = `${++this.#lastId}`;
    // Bounded by `#shareMemory` as soon as it is known among how many.
    const cache = new HeadCache(this.options.cacheBytes);
    const ring = new EventRing(this.options.eventBytes, this.clock.current);
    this.clock.register(id);
    const guarded = new GuardedBackend(backend, {
      label: () => slot.label,
      requestTimeoutMs: this.#requestTimeoutMs,
      onForeign: (error) => this.#suspend(slot, error),
    });
    const committer = new GroupCommitter({
      id,
      label: () => slot.label,
      backend: guarded,
      misfit: backend.misfit === undefined ? null : (key, value) => backend.misfit?.(key, value) ?? null,
      clock: this.clock,
      cache,
      arena: this.#arena,
      hasLease: (id) => this.#lessor.isAlive(id),
      compactRevision: () => this.#compactRevision,
      readPast: (request) => readPast(request, (range) => this.range(range)),
      reserve: (count) => this.#reserve(count),
      onSettled: (events) => this.#settled(slot, events),
      onBurned: () => this.#hub.moved(id),
      onCommit: (seconds, rows) => this.options.observer?.committed(slot.label, seconds, rows),
      onCommitFailed: (seconds) => this.options.observer?.commitFailed(slot.label, seconds),
      requestTimeoutMs: this.#requestTimeoutMs,
      refusal: () => (this.options.lease.isHeld ? null : this.#notHeld()),
      onDoubt: (isInDoubt) => this.#doubted(slot, isInDoubt),
    });
    const slot: Slot = {
      id,
      label,
      backend,
      guarded,
      cache,
      ring,
      committer,
      points: new PointReader(guarded),
      identity: '',
      claimPauseMs: CLAIM_PAUSE_MS.first,
      isReady: false,
      problem: 'not opened yet',
      isGone: false,
      settled: 0,
      reading: 0,
      size: { bytes: 0, inUse: 0 },
      compaction: Promise.resolve(),
    };
    this.#slots.set(id, slot);
    return slot;
  }

  #slotOf(backend: Backend): Slot | undefined {
    for (const slot of this.#slots.values()) if (slot.backend === backend) return slot;
    return undefined;
  }

  #placementOf(routing: Routing, backends: ReadonlyMap<string, Backend>): Placement {
    const slots = new Map<string, Slot>();
    for (const [name, backend] of backends) slots.set(name, this.#slotOf(backend) ?? this.#slotFor(backend, name));
    return new Placement(routing, slots.set(this.#main.label, this.#main));
  }

  /** The present slots share the memory evenly; those of the past keep little. */
  #shareMemory(): void {
    const present = new Set(this.#placement.slots.values());
    for (const slot of this.#slots.values()) {
      const share = present.has(slot) ? present.size : present.size * 16;
      slot.cache.resize(this.options.cacheBytes / share);
      slot.ring.resize(this.options.eventBytes / share);
    }
  }

  async #start(): Promise<void> {
    const others = [...this.#slots.values()].filter((slot) => slot !== this.#main);
    const [reserved, claimed] = await Promise.allSettled([
      this.#extend(),
      this.#claim(this.#main),
      ...others.map((slot) => this.#claimInTime(slot)),
    ]);
    if (reserved.status === 'rejected') throw reserved.reason;
    if (claimed.status === 'rejected') throw claimed.reason;
    this.options.lease.markWith(() => this.#marks());
    this.#hub.start();
    this.#lessor.start();
    this.#every(SIZE_INTERVAL_MS, () => this.#measure());
    this.#every(ORPHAN_INTERVAL_MS, () => this.#removeOrphans());
    this.#inBackground(this.#measure());
    this.#inBackground(this.#removeOrphans());
  }

  /** How far each database is, by identity. */
  #marks(): Map<string, Revision> {
    const marks = new Map<string, Revision>();
    for (const { identity, guarded } of this.#slots.values()) if (identity !== '') marks.set(identity, guarded.held);
    return marks;
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
    const { current } = this.clock;
    const state = await this.#takeOver(slot);
    if (slot.isGone) return;
    const { identity, lastRevision } = state;
    if (lastRevision > current) {
      throw new Error(
        `backend "${slot.label}" holds revision ${lastRevision}, but the default store never handed out more than ` +
          `${current}: the default store was restored from an older copy; restore the copy of "${slot.label}" that belongs to it`,
      );
    }
    if (slot.identity !== '' && identity !== slot.identity) {
      throw new Error(
        `backend "${slot.label}" had the database ${slot.identity}, and this is the database ${identity}; put the right one back`,
      );
    }
    await this.#judgeCopy(slot, state);
    if (slot.isGone) return;
    slot.identity = identity;
    slot.guarded.takeUp(lastRevision);
    slot.committer.resume();
    slot.claimPauseMs = CLAIM_PAUSE_MS.first;
    slot.isReady = true;
    slot.problem = '';
    this.clock.resume(slot.id);
    this.#hub.moved(slot.id);
    // A compaction that the last run did not finish, or that passed while the backend was away.
    if (this.#compactRevision > 0n) this.#compactLater(slot);
  }

  async #takeOver(slot: Slot): Promise<BackendState> {
    const { storeId, epoch } = this.control;
    try {
      return await slot.guarded.claim({ storeId, epoch });
    } catch (error) {
      if (!(error instanceof FencedError) || error.foundEpoch < epoch) throw error;
      this.options.lease.check();
      const writer = await this.options.main.writer();
      if (writer?.epoch !== epoch) throw error;
      throw new Error(
        `backend "${slot.label}" had a writer of epoch ${error.foundEpoch}, but the default store knows of none above ${epoch}: ` +
          `the default store was restored from an older copy; restore the copy of "${slot.label}" that belongs to it`,
        { cause: error },
      );
    }
  }

  /** Whether the database holds what it held. Rejects when it does not, unless that is accepted. */
  async #judgeCopy(slot: Slot, { identity, lastRevision }: BackendState): Promise<void> {
    const { held } = slot.guarded;
    const mark = this.control.marks.get(identity) ?? 0n;
    const known = held > mark || slot.identity !== '' ? held : mark;
    const isUnsettled = this.clock.horizon(slot.id) < this.clock.current && slot.identity !== '';
    if (lastRevision === known || (lastRevision > known && (slot.identity === '' || isUnsettled))) return;
    // The default store holds more than keys: what it has lost of that, nobody can make up for while it runs.
    const isAccepted = slot !== this.#main && this.#acceptRestored.has(slot.label);
    if (lastRevision < known && !isAccepted) throw new RolledBackError(slot.label, known, lastRevision);
    // What became of its keys cannot be told as changes: whoever has read them reads anew.
    await this.compactAll();
    if (lastRevision < known) this.#acceptRestored.delete(slot.label);
    this.options.log.warn('another copy of a database is accepted; clients read everything anew', {
      backend: slot.label,
      revision: `${lastRevision}`,
      revisionBefore: `${known}`,
    });
    slot.settled++;
    slot.cache.clear();
    slot.ring.clear(this.clock.current);
    this.#hub.lost(slot.id, this.#compactRevision);
  }

  async #claimOrRetry(slot: Slot): Promise<void> {
    try {
      if (!slot.isGone) await this.#claim(slot);
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== slot.problem) {
        this.options.log.warn('backend cannot be opened; it is tried again', { backend: slot.label, error: problem });
      }
      slot.problem = problem;
      this.#claimLater(slot);
    }
  }

  #claimLater(slot: Slot): void {
    const pause = slot.claimPauseMs;
    slot.claimPauseMs = Math.min(pause * 2, CLAIM_PAUSE_MS.most);
    const timer = setTimeout(() => {
      if (!this.#stopped.signal.aborted) this.#inBackground(this.#claimOrRetry(slot));
    }, pause);
    timer.unref();
  }

  /** The start waits for a database only so long; it is taken up whenever it answers. */
  async #claimInTime(slot: Slot): Promise<void> {
    const claiming = this.#claimOrRetry(slot);
    this.#inBackground(claiming);
    await within(this.#requestTimeoutMs, claiming, () => new LateAnswerError(this.#requestTimeoutMs)).catch((error: unknown) => {
      if (!slot.isReady) slot.problem = messageOf(error);
    });
  }

  /** The database is not the one that was taken over. It is asked again and again whether the right one is back. */
  #suspend(slot: Slot, error: RolledBackError | FencedError): void {
    const isNewer = error instanceof FencedError && error.foundEpoch > error.epoch;
    if (isNewer) this.options.lease.check();
    // The writer of the default store is the writer: the lease tells what is wrong.
    if (!slot.isReady || (isNewer && slot === this.#main)) return;
    slot.isReady = false;
    slot.problem = messageOf(error);
    this.options.log.warn('backend is refused until its right copy is back', { backend: slot.label, error: slot.problem });
    slot.committer.suspend(slot.problem);
    this.#turnAway(slot, slot.problem);
    this.#inBackground(this.#claimOrRetry(slot));
  }

  #doubted(slot: Slot, isInDoubt: boolean): void {
    const { doubt } = slot.committer;
    if (isInDoubt) {
      this.#turnAway(slot, doubt);
      this.options.log.warn('the outcome of a commit is not known; the database is asked again', { backend: slot.label, error: doubt });
    } else {
      this.options.log.info('the outcome of a commit is known', { backend: slot.label });
    }
  }

  #settled(slot: Slot, events: readonly StoreEvent[]): void {
    slot.settled++;
    slot.problem = '';
    slot.ring.append(events);
    this.#hub.publish(slot.id, events);
  }

  /** Undefined when `count` revisions may be handed out right now. The next block is made durable long before it is needed. */
  #reserve(count: number): Promise<void> | undefined {
    const { available } = this.clock;
    if (available < REVISION_BLOCK / 2n) {
      const extending = this.#extend();
      if (available < BigInt(count)) return this.#inTime(this.#main, extending);
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
    if (revision > this.clock.observed) {
      this.#checkHeld();
      throw new FutureRevisionError(revision, this.clock.observed);
    }
    if (revision > 0n && revision < this.#compactRevision) throw new CompactedError(this.#compactRevision);
  }

  /** A get that nothing has to be waited for. */
  #cachedGet(request: RangeRequest): RangeResult | undefined {
    const { range, revision } = request;
    if (!range.single || revision !== 0n) return undefined;
    const slot = ready(this.#placement.slotOf(range.start));
    const arrival = this.clock.observed;
    if (this.clock.horizon(slot.id) < arrival) return undefined;
    const cached = slot.cache.get(keyText(range.start));
    return cached === undefined ? undefined : pointResult(cached === null ? null : cached.record, request, arrival);
  }

  /** A single key that `#cachedGet` could not tell: from the database, at latest together with the other gets of this turn. */
  #get(placement: Placement, slot: Slot, request: RangeRequest, arrival: Revision): RangeResult | Promise<RangeResult> {
    if (request.revision === 0n) return this.#load(placement, slot, request, arrival);
    // The cache holds the state at the horizon; below it only what has not changed since is known.
    const cached = slot.cache.get(keyText(request.range.start));
    if (cached === undefined || cached === null || revisionOf(cached.id) > request.revision)
      return this.#rangeOfOne(placement, slot, request, arrival);
    return pointResult(cached.record, request, arrival);
  }

  async #load(placement: Placement, slot: Slot, request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const { settled } = slot;
    const { head, lastRevision } = await this.#reading(slot, slot.points.read(request.range.start));
    if (this.#placement !== placement) return this.#range(request);
    if (slot.settled === settled) {
      const kept = head === null ? null : { id: head.id, record: this.#arena.copy(head.record) };
      slot.cache.set(keyText(request.range.start), kept);
    }
    return pointResult(head === null ? null : head.record, request, this.#told(arrival, lastRevision));
  }

  async #rangeOfOne(placement: Placement, slot: Slot, request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const { range, revision } = request;
    const hint = revision > 0n ? this.#hints.find(revision, range.start, range.end) : undefined;
    const answer = await this.#readingRange(slot, queryOf(request, revision, hint === undefined));
    if (this.#placement !== placement && revision === 0n) {
      // The snapshot may be one of after the change, and so lack what was written elsewhere since.
      await answer.rest?.return();
      return this.#range(request);
    }
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
    const results = await Promise.allSettled(slots.map((slot) => this.#readingRange(slot, query)));
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
      return this.#range(request);
    }
    await this.#checkStillReadable(request, answers);
    const merged = await mergeAnswers(answers, request.countOnly ? 0 : request.limit);
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

  /** The slot is not closed before the answer is over, its `rest` included. */
  async #readingRange(slot: Slot, query: RangeQuery): Promise<RangeAnswer> {
    const answer = await this.#reading(slot, slot.guarded.range(query));
    const { rest } = answer;
    if (rest === undefined) return answer;
    slot.reading++;
    const read = async (): Promise<Buffer | null> => (await rest.next()).value ?? null;
    const end = async (): Promise<void> => {
      slot.reading--;
      await rest.return();
    };
    return { ...answer, rest: new BlockStream(read, end) };
  }

  async #reading<T>(slot: Slot, read: Promise<T>): Promise<T> {
    slot.reading++;
    try {
      const answer = await read;
      if (slot.isReady) slot.problem = '';
      return answer;
    } catch (error) {
      if (error instanceof KeyspaceError) throw error;
      const problem = messageOf(error);
      if (slot.isReady) slot.problem = problem;
      throw new UnavailableError(slot.label, problem, { cause: error });
    } finally {
      slot.reading--;
    }
  }

  /**
   * Records something in the default store, beside the log. What fails once it has begun may take place all the same: a row may have been kept, and
   * a lease that has begun to end is ended in another attempt.
   */
  async #recording<T>(record: () => Promise<T>): Promise<T> {
    const main = ready(this.#main);
    try {
      return await this.#reading(main, record());
    } catch (error) {
      throw error instanceof UnavailableError ? new UnknownOutcomeError(error.backend, { cause: error }) : error;
    }
  }

  #recorded<T>(recording: Promise<T>): Promise<T> {
    const { label } = this.#main;
    return within(this.#requestTimeoutMs, recording, () => {
      return new UnknownOutcomeError(label, { cause: new LateAnswerError(this.#requestTimeoutMs) });
    });
  }

  async #onMain<T>(work: Promise<T>): Promise<T> {
    return this.#inTime(this.#main, this.#reading(ready(this.#main), work));
  }

  #inTime<T>(slot: Slot, work: Promise<T>): Promise<T> {
    const late = (): Error => new UnavailableError(slot.label, new LateAnswerError(this.#requestTimeoutMs).message);
    return within(this.#requestTimeoutMs, work, late);
  }

  /** At least one. */
  #slotsOfTxn(placement: Placement, request: TxnRequest): Slot[] {
    const slots = new Set<Slot>();
    const add = (range: KeyRange): void => {
      if (!isEmptyRange(range)) placement.slotsFor(range).forEach((slot) => slots.add(slot));
    };
    const addOp = (op: TxnOp): void => {
      if (op.type === 'put') slots.add(placement.slotOf(op.key));
      else if (op.type === 'txn') addTxn(op);
      else if (!isPast(op)) add(op.range);
    };
    const addTxn = ({ compares, success, failure }: TxnRequest): void => {
      for (const compare of compares) add(compare.range);
      success.forEach(addOp);
      failure.forEach(addOp);
    };
    addTxn(request);
    if (slots.size === 0) slots.add(this.#main);
    return readyOf([...slots]);
  }

  /**
   * A DeleteRange may reach over several backends as long as one of them holds all of its keys: the others get none until it has taken place,
   * since those would be older than the deletion and outlive it. Null: the rules have changed meanwhile, or are about to.
   */
  async #deleteAcross(request: TxnRequest, slots: readonly Slot[], placement: Placement): Promise<TxnResult | null> {
    const [op] = request.success;
    const isLoneDelete =
      request.compares.length === 0 && request.failure.length === 0 && request.success.length === 1 && op?.type === 'delete';
    if (!isLoneDelete || op?.type !== 'delete') throw acrossBackends('a transaction', slots);
    const { range } = op;
    const query: RangeQuery = { range, revision: 0n, limit: 1, keysOnly: true, countOnly: false, count: false };
    const holder = async (): Promise<Slot> => {
      const answers = await Promise.all(slots.map((slot) => this.#reading(slot, slot.guarded.range(query))));
      const holding = slots.filter((_, i) => (answers[i] as RangeAnswer).records > 0);
      if (holding.length > 1) throw acrossBackends('a DeleteRange that holds keys', holding);
      return holding[0] ?? (slots[0] as Slot);
    };
    // A first look, for which nobody waits: a backend that does not answer holds up the deletion and nothing else.
    await holder();
    const gate = new WriteGate('a deletion over several databases', (key) => contains(range, key), [range]);
    this.#deletions.add(gate);
    try {
      // What was let in before.
      await Promise.all(slots.map((slot) => this.#inTime(slot, slot.committer.whenDone())));
      const slot = await holder();
      if (this.#placement !== placement || this.#rerouter.gate?.holdsBack(request) === true) return null;
      return await slot.committer.submit(request);
    } finally {
      this.#deletions.delete(gate);
      gate.open();
    }
  }

  /** A backend that is away holds up the lease, but not the removal of its keys from the others. */
  async #removeKeysOf(lease: bigint): Promise<void> {
    const removals = await Promise.allSettled([...this.#placement.slots.values()].map((slot) => this.#removeKeysFrom(slot, lease)));
    for (const removal of removals) if (removal.status === 'rejected') throw removal.reason;
  }

  async #removeKeysFrom(slot: Slot, lease: bigint): Promise<void> {
    ready(slot);
    // A put that was let in before the lease began to end may still be on its way to the database.
    await this.#inTime(slot, this.clock.whenSettled(slot.id));
    for (;;) {
      this.#checkHeld();
      const keys = await slot.guarded.keysOfLease(lease, LEASE_KEYS_PER_TXN);
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
      for (const slot of this.#placement.slots.values()) {
        if (!slot.isReady) continue;
        for (const lease of await slot.guarded.leasesInUse()) if (!this.#lessor.has(lease)) await this.#removeKeysOf(lease);
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
        if (!slot.isReady || slot.isGone || signal.aborted) return;
        // A batch that is pending below the compaction has to be in the log before the log is gone through.
        await this.clock.whenWhole([slot.id], revision);
        await slot.guarded.compact(revision, signal);
        this.options.observer?.compacted(slot.label, true);
      } catch (error) {
        if (!signal.aborted) {
          this.options.observer?.compacted(slot.label, false);
          this.options.log.warn('compaction failed; the next one takes it up again', {
            backend: slot.label,
            error: messageOf(error),
          });
        }
      }
    });
  }

  async #measure(): Promise<void> {
    this.#forget();
    for (const slot of this.#placement.slots.values()) {
      if (!slot.isReady || this.#stopped.signal.aborted) continue;
      // The last size stands while a database does not tell; its reads and writes report what is wrong with it.
      slot.size = await slot.guarded.size().catch(() => slot.size);
    }
  }
}

const NO_BYTES: Buffer = Buffer.alloc(0);
const NO_SLOTS: readonly Slot[] = [];

function readyOf<S extends readonly Slot[]>(slots: S): S {
  for (const slot of slots) ready(slot);
  return slots;
}

/** The slot of a txn over single keys that all lie in one; undefined: it takes a closer look. Nearly all txns are of this kind, so nothing is allocated. */
function soleSlotOf(placement: Placement, { compares, success, failure }: TxnRequest): Slot | undefined {
  let sole: Slot | undefined;
  for (const { range } of compares) {
    const slot = range.single ? placement.slotOf(range.start) : undefined;
    if (slot === undefined || (sole !== undefined && slot !== sole)) return undefined;
    sole = slot;
  }
  for (let i = success.length + failure.length - 1; i >= 0; i--) {
    const op = (i < success.length ? success[i] : failure[i - success.length]) as TxnOp;
    const key = op.type === 'put' ? op.key : op.type !== 'txn' && op.range.single && !isPast(op) ? op.range.start : undefined;
    const slot = key === undefined ? undefined : placement.slotOf(key);
    if (slot === undefined || (sole !== undefined && slot !== sole)) return undefined;
    sole = slot;
  }
  return sole;
}

function idsOf(slots: readonly Slot[]): string[] {
  return slots.map(({ id }) => id);
}

function queryOf(request: RangeRequest, revision: Revision, count: boolean): RangeQuery {
  const { range, limit, keysOnly, countOnly } = request;
  return { range, revision, limit, keysOnly, countOnly, count };
}

function pointResult(record: Buffer | null, request: RangeRequest, revision: Revision): RangeResult {
  if (record === null) return { revision, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
  if (request.countOnly) return { revision, count: 1, more: false, records: 0, bytes: 0, blocks: [] };
  const framed = frameRecord(request.keysOnly ? withoutValue(record) : record);
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

function acrossBackends(what: string, slots: readonly Slot[]): UnsupportedError {
  return new UnsupportedError(
    `${what} over the backends ${slots.map(({ label }) => `"${label}"`).join(', ')}, which cannot be changed as one,`,
  );
}
