import { askSlot } from './ask-slot.js';
import type { Backend, ControlStore } from './backend.js';
import { type BackendStatus, backendStatusOf } from './backend-status.js';
import { BackgroundWork } from './background-work.js';
import { Clock } from './clock.js';
import { Compaction } from './compaction.js';
import { DefaultStore } from './default-store.js';
import { StoppedError } from './errors.js';
import { EventRing, type StoreEvent } from './event-ring.js';
import { GroupCommitter } from './group-committer.js';
import { GuardedBackend } from './guarded-backend.js';
import { HeadCache } from './head-cache.js';
import { HorizonWaits } from './horizon-waits.js';
import { EVERY_KEY } from './key-range.js';
import { KeyspaceHasher } from './keyspace-hash.js';
import type { KeyspaceLog } from './keyspace-log.js';
import { LeaseKeys } from './lease-keys.js';
import { Lessor } from './lessor.js';
import { messageOf } from './message-of.js';
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
  TxnRequest,
  TxnResult,
  WatchSink,
  WatchStream,
} from './model.js';
import type { Placement, Routing } from './placement.js';
import { PointReader } from './point-reader.js';
import { RangeReader } from './range-reader.js';
import { readPast } from './read-txn.js';
import { RecordArena } from './record-arena.js';
import { type PlannedRouting, Rerouter, type RoutingChange, type RoutingVerdict } from './rerouter.js';
import { RevisionReserve } from './revision-reserve.js';
import { type RetiredBackend, RoutingHistory } from './routing-history.js';
import { idsOf, readyOf, type Slot } from './slot.js';
import { CLAIM_PAUSE_MS, SlotClaimer } from './slot-claimer.js';
import { SlotRegistry } from './slot-registry.js';
import { TxnRouter } from './txn-router.js';
import { WatchHub, type WatchPlacement } from './watch-hub.js';
import { LateAnswerError, within } from './within.js';
import type { WriterLease, WriterStatus } from './writer-lease.js';

/** How often the size of the databases is measured. */
const SIZE_INTERVAL_MS = 10_000;
/** How often keys of leases that no longer exist are looked for. */
const ORPHAN_INTERVAL_MS = 5 * 60_000;
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

/** Is told what the backends do, for metrics. */
export interface KeyspaceObserver {
  committed(backend: string, seconds: number, rows: number): void;
  commitFailed(backend: string, seconds: number): void;
  compacted(backend: string, isDone: boolean): void;
}

/**
 * One logical keyspace over several databases: etcd's ranges, txns, watches, leases and compaction under one revision
 * clock. The laws it keeps are in docs/architecture.md. It puts the parts together, and starts and ends them.
 */
export class Keyspace implements Store {
  readonly #requestTimeoutMs: number;
  readonly #stopped = new AbortController();
  readonly #background = new BackgroundWork();
  readonly #arena = new RecordArena();
  readonly #slots: SlotRegistry;
  readonly #main: Slot;
  readonly #store: DefaultStore;
  readonly #reserve: RevisionReserve;
  readonly #compaction: Compaction;
  readonly #waits: HorizonWaits;
  readonly #history: RoutingHistory;
  readonly #hub: WatchHub;
  readonly #claimer: SlotClaimer;
  readonly #rerouter: Rerouter;
  readonly #reader: RangeReader;
  readonly #txns: TxnRouter;
  readonly #leaseKeys: LeaseKeys;
  readonly #lessor: Lessor;

  private constructor(
    private readonly options: KeyspaceOptions,
    private readonly clock: Clock,
  ) {
    const { main, lease, log, acceptRestored = new Set<string>() } = options;
    const { control: recorded } = lease;
    const { signal } = this.#stopped;
    const requestTimeoutMs = (this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS);
    const slots = (this.#slots = new SlotRegistry({
      make: (id, backend, label) => this.#makeSlot(id, backend, label),
      clock,
      cacheBytes: options.cacheBytes,
      eventBytes: options.eventBytes,
      log,
      onDropped: (slot) => this.#hub.forget(slot.id),
    }));
    this.#main = slots.add(main, main.name);
    const store = (this.#store = new DefaultStore(this.#main, lease, requestTimeoutMs));
    this.#reserve = new RevisionReserve(clock, main, store);
    const compaction = (this.#compaction = new Compaction({
      revision: recorded.compactRevision,
      clock,
      control: main,
      store,
      reserve: this.#reserve,
      slots: slots.byId,
      signal,
      log,
      onCompacted: () => this.#forget(),
      onSkipped: () => this.#moved(),
      onRemoved: (slot, isDone) => options.observer?.compacted(slot.label, isDone),
    }));
    const waits = (this.#waits = new HorizonWaits(clock, requestTimeoutMs));
    const history = (this.#history = this.#routings());
    const hub = (this.#hub = new WatchHub({
      clock,
      sources: slots.byId,
      place: (range, after) => this.#placeOf(range, after),
      compactRevision: () => compaction.revision,
      isHeld: () => lease.isHeld,
      progressIntervalMs: options.progressIntervalMs,
    }));
    const claimer = (this.#claimer = new SlotClaimer({
      clock,
      main: this.#main,
      recorded,
      control: main,
      lease,
      hub,
      compaction,
      waits,
      background: this.#background,
      acceptRestored,
      requestTimeoutMs,
      signal,
      log,
    }));
    const rerouter = (this.#rerouter = new Rerouter({
      clock,
      history,
      slots: slots.byId,
      main: this.#main,
      signal,
      slotOf: (backend) => slots.find(backend),
      placementOf: (routing, named) => slots.place(routing, named, this.#main),
      claim: (slot) => claimer.claim(slot),
      compactAll: () => this.compactAll(),
      switchTo: (placement, until, isPlacedOtherwise) => this.#switchTo(placement, until, isPlacedOtherwise),
      drop: (slot) => slots.drop(slot),
      lose: (slot) => this.#lose(slot),
      whenClosed: () => slots.whenClosed(),
    }));
    slots.shareMemory(history.present);
    const reader = (this.#reader = new RangeReader({ clock, history, store, compaction, waits, arena: this.#arena, requestTimeoutMs }));
    const isLeaseAlive = (id: bigint): boolean => this.#lessor.isAlive(id);
    this.#txns = new TxnRouter({ clock, history, rerouter, store, compaction, reader, isLeaseAlive, requestTimeoutMs });
    const leaseKeys = (this.#leaseKeys = new LeaseKeys({ clock, history, store, requestTimeoutMs, signal, log }));
    this.#lessor = new Lessor(
      {
        store: main,
        removeKeys: (id) => leaseKeys.remove(id),
        now: () => Date.now(),
        monotonicNow: () => performance.now(),
        isHeld: () => lease.isHeld,
        onError: (message, error) => log.warn(message, { error: String(error) }),
      },
      recorded.leases,
    );
  }

  /** Takes over all databases. Rejects when the default one cannot be; another one that cannot is tried again and again. */
  static async open(options: KeyspaceOptions): Promise<Keyspace> {
    const { reservedRevision } = options.lease.control;
    const keyspace = new Keyspace(options, new Clock(reservedRevision, reservedRevision));
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
    for (const slot of this.#history.present.slots.values()) {
      sizeBytes += slot.size.bytes;
      sizeInUseBytes += slot.size.inUse;
    }
    const { clusterId } = this.options.lease.control;
    // One router writes at a time, and clients that see both ids compare them over restarts: the member is the store.
    return {
      revision: this.clock.observed,
      compactRevision: this.#compaction.revision,
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
    return [...this.#history.present.slots].map(([name, slot]) => backendStatusOf(slot, name, this.clock, this.#hub));
  }

  range(request: RangeRequest): Promise<RangeResult> {
    return this.#reader.range(request);
  }

  txn(request: TxnRequest): Promise<TxnResult> {
    return this.#txns.txn(request);
  }

  put(request: PutRequest): Promise<PutResult & { readonly revision: Revision }> {
    return this.#txns.put(request);
  }

  async deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResult & { readonly revision: Revision }> {
    const { revision, responses } = await this.txn({ type: 'txn', compares: [], success: [request], failure: [] });
    return { ...(responses[0] as DeleteRangeResult), revision };
  }

  compact(revision: Revision, isPhysical = false): Promise<Revision> {
    return this.#compaction.compact(revision, isPhysical);
  }

  /** See `Compaction.compactAll`. */
  compactAll(): Promise<Revision> {
    return this.#compaction.compactAll();
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

  watch(sink: WatchSink): WatchStream {
    return this.#hub.open(sink);
  }

  async grantLease(ttl: bigint, id: bigint): Promise<LeaseGranted> {
    this.#store.checkHeld();
    const granted = await this.#store.recorded(this.#store.recording(() => this.#lessor.grant(ttl, id)));
    return { ...granted, revision: this.clock.observed };
  }

  async revokeLease(id: bigint): Promise<Revision> {
    this.#store.checkHeld();
    await this.#store.recorded(this.#store.recording(() => this.#lessor.revoke(id)));
    return this.clock.observed;
  }

  async keepAliveLease(id: bigint): Promise<bigint> {
    this.#store.checkHeld();
    const ttl = await this.#store.ask(this.#lessor.keepAlive(id));
    this.#store.checkHeld();
    return ttl;
  }

  async leaseLife(id: bigint, withKeys: boolean): Promise<LeaseLife | null> {
    this.#store.checkHeld();
    const life = this.#lessor.life(id);
    return life === null ? null : { ...life, keys: withKeys ? await this.#leaseKeys.of(id) : [] };
  }

  leases(): readonly bigint[] {
    return this.#lessor.ids();
  }

  async hash(revision: Revision): Promise<KeyspaceHash> {
    const hasher = new KeyspaceHasher();
    const current = this.clock.observed;
    const compactRevision = this.#compaction.revision;
    const hashRevision = revision > 0n ? revision : current;
    const request = { type: 'range', range: EVERY_KEY, revision: hashRevision, limit: 0, keysOnly: false, countOnly: false } as const;
    const isPassed = (): boolean => this.#compaction.revision !== compactRevision;
    try {
      await hasher.addLive(await this.range(request));
      const placed = this.#history.present.slotsFor(EVERY_KEY);
      const slots = readyOf([...placed, ...this.#history.before(EVERY_KEY, compactRevision, placed).slots]);
      for (const slot of slots) await askSlot(slot, hasher.addChanges(slot.guarded, compactRevision, hashRevision));
    } catch (error) {
      if (!isPassed()) throw error;
    }
    // What a compaction has passed may be missing from what was read, or the backend that held it is gone.
    if (isPassed()) return this.hash(revision);
    return { hash: hasher.value, hashRevision, compactRevision: compactRevision === 0n ? -1n : compactRevision, revision: current };
  }

  /** Ends watches, finishes commits, writes the exact clock, and then lets others write. */
  async close(): Promise<void> {
    this.#stopped.abort();
    this.#background.stop();
    this.#hub.close();
    await this.#rerouter.whenDone;
    const slots = [...this.#slots.byId.values()];
    // A lease that is ending may wait for a commit, and that for a database that is away: both are ended together.
    await Promise.all([this.#lessor.close(), ...slots.map((slot) => slot.committer.close(new StoppedError()))]);
    // A database that does not answer is closed all the same.
    const under = [...slots.map((slot) => slot.compaction), ...this.#background.underWay, ...this.#slots.closing, this.#reserve.extending];
    await within(this.#requestTimeoutMs, Promise.allSettled(under), () => new LateAnswerError(this.#requestTimeoutMs)).catch(
      () => undefined,
    );
    await this.#handOver();
    await Promise.all(slots.map((slot) => slot.backend.close()));
  }

  async #start(): Promise<void> {
    const others = [...this.#slots.byId.values()].filter((slot) => slot !== this.#main);
    const [reserved, claimed] = await Promise.allSettled([
      this.#reserve.extend(),
      this.#claimer.claim(this.#main),
      ...others.map((slot) => this.#claimer.claimInTime(slot)),
    ]);
    if (reserved.status === 'rejected') throw reserved.reason;
    if (claimed.status === 'rejected') throw claimed.reason;
    this.options.lease.markWith(() => this.#marks());
    this.#hub.start();
    this.#lessor.start();
    const measure = (): Promise<void> => this.#measure();
    const removeOrphans = (): Promise<void> => this.#leaseKeys.removeOrphans((lease) => this.#lessor.has(lease));
    this.#background.every(SIZE_INTERVAL_MS, measure);
    this.#background.every(ORPHAN_INTERVAL_MS, removeOrphans);
    this.#background.add(measure());
    this.#background.add(removeOrphans());
  }

  async #handOver(): Promise<void> {
    const { lease, main, log } = this.options;
    try {
      if (lease.isHeld) await this.#store.inTime(main.reserve(this.clock.current));
      await lease.release();
    } catch (error) {
      log.warn('the default database has not taken the exact clock and the end of the writer lease; the next start skips revisions', {
        error: messageOf(error),
      });
    }
  }

  #makeSlot(id: string, backend: Backend, label: string): Slot {
    const { options, clock } = this;
    // Bounded by `SlotRegistry.shareMemory` as soon as it is known among how many.
    const cache = new HeadCache(options.cacheBytes);
    const ring = new EventRing(options.eventBytes, clock.current);
    clock.register(id);
    const guarded = new GuardedBackend(backend, {
      label: () => slot.label,
      requestTimeoutMs: this.#requestTimeoutMs,
      onForeign: (error) => this.#claimer.suspend(slot, error),
    });
    const committer = new GroupCommitter({
      id,
      label: () => slot.label,
      backend: guarded,
      misfit: backend.misfit === undefined ? null : (key, value) => backend.misfit?.(key, value) ?? null,
      clock,
      cache,
      arena: this.#arena,
      hasLease: (lease) => this.#lessor.isAlive(lease),
      compactRevision: () => this.#compaction.revision,
      readPast: (request) => readPast(request, (range) => this.range(range)),
      reserve: (count) => this.#reserve.ensure(count),
      onSettled: (events) => this.#settled(slot, events),
      onBurned: () => this.#hub.moved(id),
      onCommit: (seconds, rows) => options.observer?.committed(slot.label, seconds, rows),
      onCommitFailed: (seconds) => options.observer?.commitFailed(slot.label, seconds),
      requestTimeoutMs: this.#requestTimeoutMs,
      refusal: () => (this.#store.isHeld ? null : this.#store.notHeld()),
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
    return slot;
  }

  #settled(slot: Slot, events: readonly StoreEvent[]): void {
    slot.settled++;
    slot.problem = '';
    slot.ring.append(events);
    this.#hub.publish(slot.id, events);
  }

  #doubted(slot: Slot, isInDoubt: boolean): void {
    const { log } = this.options;
    const { doubt } = slot.committer;
    if (isInDoubt) {
      this.#waits.turnAway(slot, doubt);
      log.warn('the outcome of a commit is not known; the database is asked again', { backend: slot.label, error: doubt });
    } else {
      log.info('the outcome of a commit is known', { backend: slot.label });
    }
  }

  /** What is in force, and what was as far as anybody can ask about it. */
  #routings(): RoutingHistory {
    const { routing, backends, former = [] } = this.options;
    const present = this.#slots.place(routing, backends, this.#main);
    // Compaction may have passed one of them since it was recorded.
    const before = former
      .filter(({ until }) => until >= this.#compaction.revision)
      .map(({ routing: earlier, backends: named, until }) => ({
        placement: this.#slots.place(earlier, named, this.#main),
        until: until < this.clock.current ? until : this.clock.current,
      }));
    return new RoutingHistory(present, before);
  }

  #placeOf(range: KeyRange, after: Revision | null): WatchPlacement {
    const present = this.#history.present.slotsFor(range);
    if (after === null) return { backends: idsOf(present), until: null };
    const { slots, until } = this.#history.before(range, after, present);
    return { backends: idsOf(slots.length === 0 ? present : [...present, ...slots]), until };
  }

  #switchTo(placement: Placement, until: Revision, isPlacedOtherwise: boolean): void {
    for (const [name, slot] of placement.slots) slot.label = name;
    this.#history.add(placement, until, isPlacedOtherwise);
    this.#slots.shareMemory(placement);
    this.#hub.replaced();
  }

  /** Keys are given up with the slot. */
  #lose(slot: Slot): void {
    this.#hub.lost(slot.id, this.#compaction.revision);
    this.#slots.drop(slot);
  }

  /** Gives up what nobody can ask for any more, now that compaction has passed it. */
  #forget(): void {
    this.#history.forget(this.#compaction.revision);
    const needed = this.#history.needed();
    for (const slot of this.#rerouter.next?.slots.values() ?? []) needed.add(slot);
    this.#slots.dropAllBut(needed);
  }

  /** Every horizon has moved. */
  #moved(): void {
    for (const id of this.#slots.byId.keys()) this.#hub.moved(id);
  }

  /** How far each database is, by identity. */
  #marks(): Map<string, Revision> {
    const marks = new Map<string, Revision>();
    for (const { identity, guarded } of this.#slots.byId.values()) if (identity !== '') marks.set(identity, guarded.held);
    return marks;
  }

  async #measure(): Promise<void> {
    this.#forget();
    for (const slot of this.#history.present.slots.values()) {
      if (!slot.isReady || this.#stopped.signal.aborted) continue;
      // The last size stands while a database does not tell; its reads and writes report what is wrong with it.
      slot.size = await slot.guarded.size().catch(() => slot.size);
    }
  }
}
