import { type Backend, type ControlState, type ControlStore, type RangeAnswer, type RangeQuery, revisionOf } from './backend.js';
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
  UnsupportedError,
} from './errors.js';
import { EventRing, type StoreEvent } from './event-ring.js';
import { type CommitterStats, GroupCommitter } from './group-committer.js';
import { HeadCache } from './head-cache.js';
import { type Destination, findMoves, findMovesSince, type KeyMove } from './key-moves.js';
import { isEmptyRange, singleKey } from './key-range.js';
import { frameRecord, keyOf, lastRecordOf, withoutValue } from './key-value.js';
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
import { Patience } from './patience.js';
import { type FormerPlacement, Placement, type Routing, slotsBefore } from './placement.js';
import { PointReader } from './point-reader.js';
import { readPast, readTxn } from './read-txn.js';
import { RecordArena } from './record-arena.js';
import { keyText } from './key-text.js';
import { selectRange } from './selected-range.js';
import type { Slot } from './slot.js';
import { isPast, isReadOnly, MAX_RANGE_KEYS } from './txn-scope.js';
import { WatchHub, type WatchPlacement } from './watch-hub.js';
import { WriteGate } from './write-gate.js';

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

/** How long writes are held back at most while a change of the routing is decided. */
const REROUTE_PATIENCE_MS = 10_000;

/** A routing that was in force, for reads of what was before. */
export interface FormerRouting {
  readonly routing: Routing;
  /** By the routing's names; the default one aside. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** The last revision at which it told where keys were. */
  readonly until: Revision;
}

export interface RoutingChange {
  /** Where keys live from the change on. */
  readonly routing: Routing;
  /** By the routing's names; the default one aside. One that is in force keeps what it holds, under whatever name; one that is not comes in. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** Ranges outside which no key changes its backend; they do not overlap. */
  readonly affected: readonly KeyRange[];
  /** Backends of the present routing whose keys may be lost. */
  readonly abandoned?: ReadonlySet<Backend>;
  /** Makes the change durable; then it takes place. `until` is the last revision of the present routing. When it rejects, nobody knows what is durable. */
  readonly record: (until: Revision) => Promise<void>;
  /** How long writes are held back at most. */
  readonly patienceMs?: number;
}

/** A routing that is not in force. */
export interface PlannedRouting {
  readonly routing: Routing;
  /** By the routing's names; the default one aside. Null: one that is not there yet. */
  readonly backends: ReadonlyMap<string, Backend | null>;
  readonly affected: readonly KeyRange[];
  readonly abandoned?: ReadonlySet<Backend>;
}

/** Without a move and a problem it took place; with one, nothing has changed. */
export interface RoutingVerdict {
  /** Keys that would be hidden. */
  readonly moves: readonly KeyMove[];
  /** Sentences. */
  readonly problems: readonly string[];
}

/** A backend that holds nothing of the present, and is still asked about the past. */
export interface RetiredBackend {
  readonly name: string;
  readonly backend: Backend;
  readonly until: Revision;
}

export interface KeyspaceOptions {
  readonly main: Backend & ControlStore;
  /** The other backends, by the routing's names. */
  readonly backends: ReadonlyMap<string, Backend>;
  readonly routing: Routing;
  /** Bytes of cached heads, shared evenly by the backends. */
  readonly cacheBytes: number;
  /** Bytes of recent events, shared evenly by the backends. */
  readonly eventBytes: number;
  readonly progressIntervalMs: number;
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

/**
 * One logical keyspace over several databases: etcd's ranges, txns, watches, leases and compaction under one revision
 * clock. The laws it keeps are in docs/architecture.md.
 */
export class Keyspace implements Store {
  /** Every slot that anything is asked of, by id: those of the present and those of the past. */
  readonly #slots = new Map<string, Slot>();
  readonly #main: Slot;
  #placement: Placement;
  /** The oldest first; empty nearly always. */
  #former: readonly FormerPlacement[] = [];
  #gate: WriteGate | null = null;
  /** Judged at this moment: its slots stay, whether anything else needs them or not. */
  #next: Placement | null = null;
  #rerouting: Promise<void> = Promise.resolve();
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
  #compactRevision: Revision;
  #compacting: Promise<void> = Promise.resolve();
  #reserving: Promise<void> | undefined;

  private constructor(
    private readonly options: KeyspaceOptions,
    private readonly clock: Clock,
    private readonly control: ControlState,
  ) {
    this.#compactRevision = control.compactRevision;
    this.#hub = new WatchHub({
      clock,
      sources: this.#slots,
      place: (range, after) => this.#placeOf(range, after),
      compactRevision: () => this.#compactRevision,
      progressIntervalMs: options.progressIntervalMs,
    });
    const { main, backends, former = [] } = options;
    this.#main = this.#slotFor(main, main.name);
    this.#placement = this.#placementOf(options.routing, backends);
    // Compaction may have passed one of them since it was recorded.
    this.#former = former
      .filter(({ until }) => until >= control.compactRevision)
      .map(({ routing, backends: named, until }) => ({
        placement: this.#placementOf(routing, named),
        until: until < clock.current ? until : clock.current,
      }));
    this.#shareMemory();
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
    if (request.selection !== undefined) return selectRange(request, request.selection, (fetched) => this.range(fetched));
    const known = this.#cachedGet(request);
    if (known !== undefined) return known;
    this.#checkRevision(request.revision);
    const placement = this.#placement;
    try {
      return await this.#rangeIn(placement, request);
    } catch (error) {
      // A backend that has gone from the rules meanwhile need not answer any more.
      if (this.#placement === placement || !(error instanceof UnavailableError)) throw error;
      return this.range(request);
    }
  }

  async #rangeIn(placement: Placement, request: RangeRequest): Promise<RangeResult> {
    const present = readyOf(placement.slotsFor(request.range));
    const past = this.#former.length > 0 && request.revision > 0n ? this.#slotsBefore(request, present) : NO_SLOTS;
    // What anybody was told of by now has to be in the answer, and so has everything up to the revision asked for.
    const arrival = this.clock.observed;
    const wait = this.clock.whenWhole(idsOf(present), arrival);
    if (wait !== undefined) await wait;
    if (past.length > 0) {
      await this.clock.whenWhole(idsOf(past), request.revision);
      return this.#rangeOfMany([...present, ...past], request, arrival);
    }
    const [slot] = present;
    if (slot === undefined) return { revision: arrival, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    if (request.range.single) return this.#get(placement, slot, request, arrival);
    return present.length === 1 ? this.#rangeOfOne(placement, slot, request, arrival) : this.#rangeOfMany(present, request, arrival);
  }

  /** Slots that held keys of the range at the revision that is asked for, and do so no more. */
  #slotsBefore({ range, revision }: RangeRequest, present: readonly Slot[]): readonly Slot[] {
    return readyOf(slotsBefore(this.#former, range, revision, present).slots);
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    for (;;) {
      const gate = this.#gate;
      if (gate?.holdsBack(request) === true) {
        await gate.opened;
        continue;
      }
      const placement = this.#placement;
      const sole = soleSlotOf(placement, request);
      if (sole !== undefined) return ready(sole).committer.submit(request);
      const slots = this.#slotsOfTxn(placement, request);
      const [only] = slots;
      if (slots.length === 1 && only !== undefined) return only.committer.submit(request);
      if (isReadOnly(request)) return this.#readTxn(request);
      const slot = await this.#slotOfLoneDelete(request, slots);
      // The rules may have changed while the databases were asked, or may be about to.
      if (this.#placement === placement && this.#gate?.holdsBack(request) !== true) return slot.committer.submit(request);
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
    while (this.#gate?.holdsBackKey(request.key) === true) await this.#gate.opened;
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
    const current = await compacting;
    if (isPhysical) await Promise.all([...this.#slots.values()].map((slot) => slot.compaction));
    return current;
  }

  async #compactTo(revision: Revision): Promise<Revision> {
    if (revision > this.clock.observed) throw new FutureRevisionError(revision, this.clock.observed);
    if (revision <= this.#compactRevision) throw new CompactedError(this.#compactRevision);
    await this.#onMain(this.options.main.setCompactRevision(revision));
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

  /**
   * Puts another routing in force, in one turn of the event loop, if no live key is hidden by it. Writes to keys that change their backend
   * wait meanwhile; nothing fails, no watch ends, and what was before stays readable. One change at a time.
   */
  reroute(change: RoutingChange): Promise<RoutingVerdict> {
    const rerouting = this.#rerouting.then(() => this.#reroute(change));
    this.#rerouting = rerouting.then(
      () => undefined,
      () => undefined,
    );
    return rerouting;
  }

  /** What would stand against a routing at this moment; nothing is changed. */
  async judgeRouting({ routing, backends, affected, abandoned = NO_BACKENDS }: PlannedRouting): Promise<RoutingVerdict> {
    const named = new Map([...backends].map(([name, backend]) => [name, backend === null ? undefined : this.#slotOf(backend)]));
    named.set(this.#main.label, this.#main);
    const before = this.#placement;
    const slots = this.#slotsToJudge(before, new Set(named.values()), affected, abandoned);
    const destination = destinationOf(before, routing, named);
    const verdict = await this.#look(slots, (slot) => findMoves(slot, affected, destination));
    return verdict ?? ACCEPTED;
  }

  /** Backends that hold nothing of the present. */
  retired(): RetiredBackend[] {
    const present = new Set(this.#placement.slots.values());
    return [...this.#slots.values()]
      .filter((slot) => !present.has(slot))
      .flatMap((slot) => {
        const last = this.#former.findLast(({ placement }) => [...placement.slots.values()].includes(slot));
        return last === undefined ? [] : [{ name: slot.label, backend: slot.backend, until: last.until }];
      });
  }

  async #reroute(change: RoutingChange): Promise<RoutingVerdict> {
    while (this.#closing.size > 0) {
      const refusal = await this.#whenClosed(change);
      if (refusal !== null) return refusal;
    }
    const known = new Set(this.#slots.values());
    const placement = this.#placementOf(change.routing, change.backends);
    const added = [...placement.slots.values()].filter((slot) => !known.has(slot));
    // One of the past that comes back.
    const away = [...placement.slots.values()].filter((slot) => known.has(slot) && !slot.isReady && !this.#isPresent(slot));
    if (away.length > 0)
      return { moves: [], problems: away.map(({ label, problem }) => `backend "${label}" cannot be opened: ${problem}`) };
    let isDone = false;
    this.#next = placement;
    try {
      const patience = new Patience(change.patienceMs ?? REROUTE_PATIENCE_MS, this.#stopped.signal);
      try {
        const problems = await Promise.all(added.map((slot) => this.#takeIn(slot, patience)));
        const verdict = { moves: [], problems: problems.filter((problem) => problem !== null) };
        if (verdict.problems.length > 0) return verdict;
      } finally {
        patience.end();
      }
      const verdict = await this.#cross(placement, change);
      isDone = verdict === null;
      return verdict ?? ACCEPTED;
    } finally {
      this.#next = null;
      if (!isDone) for (const slot of added) void this.#drop(slot);
    }
  }

  /** A database that is being closed can be opened again only after that. */
  async #whenClosed({ patienceMs = REROUTE_PATIENCE_MS }: RoutingChange): Promise<RoutingVerdict | null> {
    const patience = new Patience(patienceMs, this.#stopped.signal);
    try {
      await patience.await(Promise.all(this.#closing));
      return null;
    } catch (error) {
      return { moves: [], problems: [`a backend of an earlier change cannot be closed: ${messageOf(error)}`] };
    } finally {
      patience.end();
    }
  }

  #isPresent(slot: Slot): boolean {
    return this.#placement.slots.get(slot.label) === slot;
  }

  /** Opens a backend that comes in; why it must not, if so. */
  async #takeIn(slot: Slot, patience: Patience): Promise<string | null> {
    try {
      await patience.await(this.#claim(slot));
      const query = { range: EVERYTHING, revision: 0n, limit: 1, keysOnly: true, countOnly: false, count: true };
      const { count, blocks } = await patience.await(slot.backend.range(query));
      const [block] = blocks;
      if (block === undefined) return null;
      const example = lastKeyOf(block).toString();
      return (
        `backend "${slot.label}" already holds ${count === 1 ? '1 key' : `${count ?? 'some'} keys`}, for example ${example}, of which nobody has heard: ` +
        'name a database without keys'
      );
    } catch (error) {
      return `backend "${slot.label}" cannot be opened: ${messageOf(error)}`;
    }
  }

  /** Judges and switches; what stands against it, or null when it is done. */
  async #cross(placement: Placement, change: RoutingChange): Promise<RoutingVerdict | null> {
    const { affected, abandoned = NO_BACKENDS, record } = change;
    const before = this.#placement;
    const destination = destinationOf(before, placement.routing, placement.slots);
    const staying = new Set(placement.slots.values());
    const slots = this.#slotsToJudge(before, staying, affected, abandoned);
    const looked = new Map(slots.map((slot) => [slot, this.clock.horizon(slot.id)]));
    const lookAgain = async (slot: Slot): Promise<KeyMove[]> => {
      const horizon = this.clock.horizon(slot.id);
      const moves = await findMovesSince(slot, affected, destination, looked.get(slot) ?? 0n, horizon);
      looked.set(slot, horizon);
      return moves;
    };
    const found = await this.#untilStopped(async () => {
      return (await this.#look(slots, (slot) => findMoves(slot, affected, destination))) ?? (await this.#look(slots, lookAgain));
    });
    if (found !== null) return found;
    const lost = [...before.slots.values()].filter((slot) => abandoned.has(slot.backend) && !staying.has(slot));
    // Nobody can be told what becomes of their keys: who has read them reads anew.
    if (lost.length > 0) await this.#untilStopped(() => this.compactAll());
    const gate = new WriteGate(before, placement, affected);
    const patience = new Patience(change.patienceMs ?? REROUTE_PATIENCE_MS, this.#stopped.signal);
    this.#gate = gate;
    try {
      for (const slot of slots) await patience.await(slot.committer.whenDone());
      const late = await patience.await(this.#look(slots, lookAgain));
      if (late !== null) return late;
      const until = this.clock.current;
      await patience.await(record(until));
      // Nothing is awaited from here to the end of the switch.
      this.#switch(placement, until, affected);
      for (const slot of lost) this.#lose(slot);
      return null;
    } catch (error) {
      return { moves: [], problems: [`the change was given up, and nothing has changed: ${messageOf(error)}`] };
    } finally {
      patience.end();
      this.#gate = null;
      gate.open();
    }
  }

  async #untilStopped<T>(work: () => Promise<T>): Promise<T> {
    const patience = new Patience(null, this.#stopped.signal);
    try {
      return await patience.await(work());
    } finally {
      patience.end();
    }
  }

  /** Slots in which a key may be that another routing would look for elsewhere. */
  #slotsToJudge(
    before: Placement,
    staying: ReadonlySet<Slot | undefined>,
    affected: readonly KeyRange[],
    abandoned: ReadonlySet<Backend>,
  ): Slot[] {
    const slots = new Set(affected.flatMap((range) => before.slotsFor(range)));
    for (const slot of before.slots.values()) if (!staying.has(slot)) slots.add(slot);
    return [...slots].filter((slot) => !abandoned.has(slot.backend));
  }

  async #look(slots: readonly Slot[], find: (slot: Slot) => Promise<KeyMove[]>): Promise<RoutingVerdict | null> {
    const moves: KeyMove[] = [];
    const problems: string[] = [];
    for (const slot of slots) {
      try {
        moves.push(...(await find(ready(slot))));
      } catch (error) {
        problems.push(`backend "${slot.label}" cannot be asked whether it holds keys that would be hidden: ${messageOf(error)}`);
      }
    }
    return moves.length > 0 || problems.length > 0 ? { moves, problems } : null;
  }

  #switch(placement: Placement, until: Revision, affected: readonly KeyRange[]): void {
    const before = this.#placement;
    const staying = new Set(placement.slots.values());
    const isRetiring = [...before.slots.values()].some((slot) => !staying.has(slot));
    for (const [name, slot] of placement.slots) slot.label = name;
    this.#placement = placement;
    if (affected.length > 0 || isRetiring) this.#former = [...this.#former, { placement: before, until }];
    this.#shareMemory();
    this.#hub.replaced();
  }

  /** Keys are given up with the slot. */
  #lose(slot: Slot): void {
    this.#hub.lost(slot.id, this.#compactRevision);
    void this.#drop(slot);
  }

  #placeOf(range: KeyRange, after: Revision | null): WatchPlacement {
    const present = this.#placement.slotsFor(range);
    if (after === null || this.#former.length === 0) return { backends: idsOf(present), until: null };
    const { slots, until } = slotsBefore(this.#former, range, after, present);
    return { backends: idsOf([...present, ...slots]), until };
  }

  /** Gives up what nobody can ask for any more, now that compaction has passed it. */
  #forget(): void {
    this.#former = this.#former.filter(({ until }) => until >= this.#compactRevision);
    const needed = new Set(this.#placement.slots.values());
    for (const { placement } of this.#former) for (const slot of placement.slots.values()) needed.add(slot);
    for (const slot of this.#next?.slots.values() ?? []) needed.add(slot);
    for (const slot of this.#slots.values()) if (!needed.has(slot) && slot.reading === 0) void this.#drop(slot);
  }

  /** The slot is the keyspace's no more, and its backend is closed. */
  #drop(slot: Slot): Promise<void> {
    slot.isGone = true;
    slot.isReady = false;
    slot.problem = 'it has gone from the topology';
    this.#slots.delete(slot.id);
    this.clock.retire(slot.id);
    this.#hub.forget(slot.id);
    const closing = this.#close(slot).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    return closing;
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

  async leaseLife(id: bigint, withKeys: boolean): Promise<LeaseLife | null> {
    const life = this.#lessor.life(id);
    if (life === null || !withKeys) return life === null ? null : { ...life, keys: [] };
    const slots = readyOf([...this.#placement.slots.values()]);
    await Promise.all(slots.map((slot) => this.clock.whenSettled(slot.id)));
    const keys = await Promise.all(slots.map((slot) => this.#reading(slot, slot.backend.keysOfLease(id, MAX_RANGE_KEYS))));
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
    const request = { type: 'range', range: EVERYTHING, revision: hashRevision, limit: 0, keysOnly: false, countOnly: false } as const;
    await hasher.addLive(await this.range(request));
    const placed = this.#placement.slotsFor(EVERYTHING);
    const slots = [...placed, ...this.#slotsBefore({ ...request, revision: compactRevision }, placed)];
    for (const slot of slots) await this.#reading(slot, hasher.addChanges(slot.backend, compactRevision, hashRevision));
    // What a compaction has passed may be missing from what was read.
    if (this.#compactRevision !== compactRevision) return this.hash(revision);
    return { hash: hasher.value, hashRevision, compactRevision: compactRevision === 0n ? -1n : compactRevision, revision: current };
  }

  /** Ends watches, finishes commits, and writes the exact clock. */
  async close(): Promise<void> {
    this.#stopped.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#hub.close();
    await this.#rerouting;
    const slots = [...this.#slots.values()];
    // A lease that is ending may wait for a commit, and that for a database that is away: both are ended together.
    await Promise.all([this.#lessor.close(), ...slots.map((slot) => slot.committer.close(new StoppedError()))]);
    await Promise.all(slots.map((slot) => slot.compaction));
    await Promise.all([...this.#background, ...this.#closing]);
    await this.#reserving?.catch(() => undefined);
    try {
      await this.options.main.reserve(this.clock.current);
    } finally {
      await Promise.all(slots.map((slot) => slot.backend.close()));
    }
  }

  #slotFor(backend: Backend, label: string): Slot {
    const id = `${++this.#lastId}`;
    // Bounded by `#shareMemory` as soon as it is known among how many.
    const cache = new HeadCache(this.options.cacheBytes);
    const ring = new EventRing(this.options.eventBytes, this.clock.current);
    this.clock.register(id);
    const committer = new GroupCommitter({
      id,
      label: () => slot.label,
      backend,
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
    });
    const slot: Slot = {
      id,
      label,
      backend,
      cache,
      ring,
      committer,
      points: new PointReader(backend),
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
    const { storeId, epoch } = this.control;
    const { current } = this.clock;
    const { lastRevision } = await slot.backend.claim({ storeId, epoch });
    if (slot.isGone) return;
    if (lastRevision > current) {
      throw new Error(
        `backend "${slot.label}" holds revision ${lastRevision}, but the default store never handed out more than ` +
          `${current}: the default store was restored from an older copy; restore the copy of "${slot.label}" that belongs to it`,
      );
    }
    slot.isReady = true;
    slot.problem = '';
    this.clock.resume(slot.id);
    this.#hub.moved(slot.id);
    // A compaction that the last run did not finish, or that passed while the backend was away.
    if (this.#compactRevision > 0n) this.#compactLater(slot);
  }

  async #claimOrRetry(slot: Slot): Promise<void> {
    try {
      if (!slot.isGone) await this.#claim(slot);
    } catch (error) {
      slot.problem = messageOf(error);
      this.options.log.warn('backend cannot be opened; it is tried again', { backend: slot.label, error: slot.problem });
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
    this.#hub.publish(slot.id, events);
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
    if (this.#placement !== placement) return this.range(request);
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
      return this.range(request);
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
      return this.range(request);
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
    const answer = await this.#reading(slot, slot.backend.range(query));
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
      slot.problem = messageOf(error);
      throw new UnavailableError(slot.label, slot.problem, { cause: error });
    } finally {
      slot.reading--;
    }
  }

  async #onMain<T>(work: Promise<T>): Promise<T> {
    return this.#reading(ready(this.#main), work);
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

  /** A DeleteRange may reach over several backends as long as one of them holds all of its keys. */
  async #slotOfLoneDelete(request: TxnRequest, slots: readonly Slot[]): Promise<Slot> {
    const [op] = request.success;
    const isLoneDelete =
      request.compares.length === 0 && request.failure.length === 0 && request.success.length === 1 && op?.type === 'delete';
    if (!isLoneDelete || op?.type !== 'delete') throw acrossBackends('a transaction', slots);
    const query: RangeQuery = { range: op.range, revision: 0n, limit: 1, keysOnly: true, countOnly: false, count: false };
    const answers = await Promise.all(slots.map((slot) => this.#reading(slot, slot.backend.range(query))));
    const holding = slots.filter((_, i) => (answers[i] as RangeAnswer).records > 0);
    if (holding.length > 1) {
      throw acrossBackends('a DeleteRange that holds keys', holding);
    }
    return holding[0] ?? (slots[0] as Slot);
  }

  /** A backend that is away holds up the lease, but not the removal of its keys from the others. */
  async #removeKeysOf(lease: bigint): Promise<void> {
    const removals = await Promise.allSettled([...this.#placement.slots.values()].map((slot) => this.#removeKeysFrom(slot, lease)));
    for (const removal of removals) if (removal.status === 'rejected') throw removal.reason;
  }

  async #removeKeysFrom(slot: Slot, lease: bigint): Promise<void> {
    ready(slot);
    // A put that was let in before the lease began to end may still be on its way to the database.
    await this.clock.whenSettled(slot.id);
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
      for (const slot of this.#placement.slots.values()) {
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
        if (!slot.isReady || slot.isGone || signal.aborted) return;
        // A batch that is pending below the compaction has to be in the log before the log is gone through.
        await this.clock.whenWhole([slot.id], revision);
        await slot.backend.compact(revision, signal);
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
      slot.size = await slot.backend.size().catch(() => slot.size);
    }
  }
}

const NO_BYTES: Buffer = Buffer.alloc(0);
const NO_SLOTS: readonly Slot[] = [];
const EVERYTHING: KeyRange = { start: NO_BYTES, end: null, single: false };

function ready(slot: Slot): Slot {
  if (!slot.isReady) throw new UnavailableError(slot.label, slot.problem);
  return slot;
}

function readyOf<S extends readonly Slot[]>(slots: S): S {
  for (const slot of slots) ready(slot);
  return slots;
}

const NO_BACKENDS: ReadonlySet<Backend> = new Set();
const ACCEPTED: RoutingVerdict = { moves: [], problems: [] };

function destinationOf(before: Placement, after: Routing, slots: ReadonlyMap<string, Slot | undefined>): Destination {
  return (key, slot) => {
    const name = after.route(key);
    return before.slotOf(key) === slot && slots.get(name) !== slot ? name : null;
  };
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

function lastKeyOf(block: Buffer): Buffer {
  return Buffer.from(keyOf(lastRecordOf(block)));
}

function acrossBackends(what: string, slots: readonly Slot[]): UnsupportedError {
  return new UnsupportedError(
    `${what} over the backends ${slots.map(({ label }) => `"${label}"`).join(', ')}, which cannot be changed as one,`,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
