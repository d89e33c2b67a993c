import type { Backend } from './backend.js';
import type { Clock } from './clock.js';
import { StoppedError } from './errors.js';
import { keyText } from './key-text.js';
import type { EventRing, StoreEvent } from './event-ring.js';
import { isEmptyRange } from './key-range.js';
import { encodeEvent } from './key-value.js';
import { revisionOf } from './backend.js';
import type { KeyRange, Revision, WatchMessage, WatchRequest, WatchSink, WatchStream } from './model.js';
import { WatchIndex } from './watch-index.js';

/*
 * How a watch lives. It is created at a revision and is either *catching up* or *synced*.
 *
 * Catching up, it pulls: events after its cursor from each backend's ring, or from the log of the database where the
 * ring does not reach back far enough, merged by revision up to the smallest horizon of its backends. When it has all of
 * them it joins the synced ones in the same turn of the event loop, so that nothing fits in between.
 *
 * Synced, it is pushed to: a settled batch is handed to the watches of its keys. A watch over one backend passes events
 * on at once. A watch over several holds them until the horizons of all its backends have passed them.
 *
 * When the rules that place keys change, a watch whose backends change with them falls back to catching up from exactly what
 * it was sent, in the turn of the change. Below the change it reads the former backends, too.
 *
 * A stream whose client reads too slowly takes no events: a watch that would get one falls back to catching up, and
 * starts when the stream has drained. So what is buffered is bounded, and nothing is lost.
 */

/** Bytes of events that one message holds at most before the next one begins. */
const MESSAGE_BYTES = 1024 * 1024;
/** Events held by a watch over several backends, and their bytes, before it falls back to catching up. */
const MAX_HELD = 10_000;
const MAX_HELD_BYTES = 16 * 1024 * 1024;
/** Pause before a database that failed is read again. */
const RETRY_PAUSE_MS = 500;

/** One backend as watches see it. */
export interface WatchSource {
  readonly guarded: Pick<Backend, 'changes'>;
  readonly ring: EventRing;
}

/** The backends that a watch reads from some revision on. */
export interface WatchPlacement {
  /** Ids of the backends that could hold an event of the range. */
  readonly backends: readonly string[];
  /** These hold up to here, and fewer or others above; null: for good. */
  readonly until: Revision | null;
}

export interface WatchHubOptions {
  readonly clock: Clock;
  /** By id. */
  readonly sources: ReadonlyMap<string, WatchSource>;
  /** Where events of the range after a revision are; null: those to come. */
  readonly place: (range: KeyRange, after: Revision | null) => WatchPlacement;
  readonly compactRevision: () => Revision;
  /** Nobody else can have compacted anything by now. */
  readonly isHeld: () => boolean;
  /** How often watches that asked for it get their progress. */
  readonly progressIntervalMs: number;
}

interface SyncedIndex {
  readonly index: WatchIndex<Watch>;
  /** Watches that read this backend together with others. */
  readonly merging: Set<Watch>;
}

/** All watches of the store. */
export class WatchHub {
  readonly #synced = new Map<string, SyncedIndex>();
  readonly #streams = new Set<Stream>();
  #progressTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(readonly options: WatchHubOptions) {}

  start(): void {
    this.#progressTimer = setInterval(() => {
      for (const stream of this.#streams) stream.notifyProgress();
    }, this.options.progressIntervalMs);
    this.#progressTimer.unref();
  }

  open(sink: WatchSink): WatchStream {
    const stream = new Stream(this, sink, () => this.#streams.delete(stream));
    if (this.#isClosed) {
      sink.fail(new StoppedError());
      stream.close();
    } else {
      this.#streams.add(stream);
    }
    return stream;
  }

  /** Ends every stream. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#progressTimer);
    for (const stream of [...this.#streams]) stream.fail(new StoppedError());
  }

  /** Numbers for metrics: watches that read a backend, and how many of them are synced. */
  count(backend: string): { watches: number; synced: number } {
    let watches = 0;
    for (const stream of this.#streams) watches += stream.countOn(backend);
    return { watches, synced: this.#synced.get(backend)?.index.size ?? 0 };
  }

  /** A batch of a backend has settled; its events are in the ring already. */
  publish(backend: string, events: readonly StoreEvent[]): void {
    const synced = this.#synced.get(backend);
    if (synced === undefined) return;
    const touched = new Set<Watch>();
    const visit = (event: StoreEvent) => (watch: Watch) => {
      if (watch.offer(event)) touched.add(watch);
    };
    if (synced.index.size > 0) for (const event of events) synced.index.forEach(event.keyText, visit(event));
    for (const watch of touched) watch.flush();
    this.moved(backend);
  }

  /** The horizon of a backend has moved. */
  moved(backend: string): void {
    const synced = this.#synced.get(backend);
    if (synced !== undefined) for (const watch of synced.merging) watch.release();
  }

  /** Keys live elsewhere from now on. To be called in the turn of the event loop in which `place` begins to tell so. */
  replaced(): void {
    for (const stream of this.#streams) stream.replaced();
  }

  /** What became of the keys of a backend from here on is not known: watches of it begin anew, as after a compaction. */
  lost(backend: string, compactRevision: Revision): void {
    for (const stream of this.#streams) stream.lost(backend, compactRevision);
  }

  /** No watch reads the backend any more. */
  forget(backend: string): void {
    this.#synced.delete(backend);
  }

  addSynced(watch: Watch): void {
    for (const name of watch.backends) {
      let synced = this.#synced.get(name);
      if (synced === undefined) {
        synced = { index: new WatchIndex(), merging: new Set() };
        this.#synced.set(name, synced);
      }
      synced.index.add(watch);
      if (watch.backends.length > 1) synced.merging.add(watch);
    }
  }

  removeSynced(watch: Watch): void {
    for (const name of watch.backends) {
      const synced = this.#synced.get(name);
      synced?.index.delete(watch);
      synced?.merging.delete(watch);
    }
  }
}

/** The watches of one client, and the order in which it is told things. */
class Stream implements WatchStream {
  readonly #watches = new Map<bigint, Watch>();
  #nextId = 0n;
  #isCongested = false;
  #isClosed = false;
  #lastProgress: Revision = 0n;
  #awaitsProgress = false;

  constructor(
    private readonly hub: WatchHub,
    private readonly sink: WatchSink,
    private readonly onClose: () => void,
  ) {}

  get isCongested(): boolean {
    return this.#isCongested;
  }

  create(request: WatchRequest): void {
    if (this.#isClosed) return;
    const { clock } = this.hub.options;
    const refusal = this.#refusal(request);
    if (refusal !== null) {
      this.send({ type: 'canceled', watchId: -1n, revision: clock.observed, compactRevision: 0n, reason: refusal, refused: true });
      return;
    }
    const watch = new Watch(this.hub, this, this.#idFor(request.watchId), request);
    this.#watches.set(watch.id, watch);
    this.send({ type: 'created', watchId: watch.id, revision: clock.observed });
    watch.start();
  }

  cancel(watchId: bigint): void {
    const watch = this.#watches.get(watchId);
    if (watch === undefined) return;
    this.#remove(watch);
    const revision = this.hub.options.clock.observed;
    this.send({ type: 'canceled', watchId, revision, compactRevision: 0n, reason: '', refused: false });
  }

  /** Answered as soon as every watch of the stream has got everything that anybody was told of by now. */
  requestProgress(): void {
    if (this.#awaitsProgress || this.#watches.size === 0) return;
    this.#awaitsProgress = true;
    void this.#answerProgress(this.hub.options.clock.observed);
  }

  async #answerProgress(revision: Revision): Promise<void> {
    const { clock } = this.hub.options;
    const backends = new Set<string>();
    for (const watch of this.#watches.values()) for (const name of watch.backends) backends.add(name);
    await clock.whenWhole([...backends], revision);
    this.#awaitsProgress = false;
    if (this.#isClosed || this.#watches.size === 0) return;
    for (const watch of this.#watches.values()) if (!watch.hasAll(revision)) return;
    this.#sendProgress(-1n, revision);
  }

  /** Periodic progress of the watches that asked for it. */
  notifyProgress(): void {
    const revision = this.hub.options.clock.observed;
    for (const watch of this.#watches.values()) {
      if (watch.takesProgress() && watch.hasAll(revision)) this.#sendProgress(watch.id, revision);
    }
  }

  #sendProgress(watchId: bigint, revision: Revision): void {
    if (revision < this.#lastProgress || this.#isCongested) return;
    this.#lastProgress = revision;
    this.send({ type: 'progress', watchId, revision });
  }

  drained(): void {
    this.#isCongested = false;
    for (const watch of this.#watches.values()) watch.wake();
  }

  replaced(): void {
    for (const watch of this.#watches.values()) watch.replaced();
  }

  lost(backend: string, compactRevision: Revision): void {
    for (const watch of [...this.#watches.values()]) if (watch.backends.includes(backend)) this.compacted(watch, compactRevision);
  }

  countOn(backend: string): number {
    let count = 0;
    for (const watch of this.#watches.values()) if (watch.backends.includes(backend)) count++;
    return count;
  }

  send(message: WatchMessage): void {
    if (!this.#isClosed && !this.sink.send(message)) this.#isCongested = true;
  }

  /** The watch cannot go on: its next event is compacted away. */
  compacted(watch: Watch, compactRevision: Revision): void {
    this.#remove(watch);
    // etcd sends revision 0 here (server/etcdserver/api/v3rpc/watch.go, v3.6); the client only reads compact_revision.
    this.send({ type: 'canceled', watchId: watch.id, revision: 0n, compactRevision, reason: '', refused: false });
  }

  fail(error: Error): void {
    if (this.#isClosed) return;
    this.close();
    this.sink.fail(error);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const watch of [...this.#watches.values()]) this.#remove(watch);
    this.onClose();
  }

  #remove(watch: Watch): void {
    this.#watches.delete(watch.id);
    watch.close();
  }

  /** Texts of etcd's server (server/etcdserver/api/v3rpc/watch.go and server/storage/mvcc/watcher.go, v3.6). */
  #refusal(request: WatchRequest): string | null {
    if (request.startRevision < 0n) return 'mvcc: required revision has been compacted';
    if (isEmptyRange(request.range)) return 'mvcc: watcher range is empty';
    if (request.watchId !== 0n && this.#watches.has(request.watchId)) return 'mvcc: duplicate watch ID provided on the WatchStream';
    return null;
  }

  #idFor(wanted: bigint): bigint {
    if (wanted !== 0n) return wanted;
    while (this.#watches.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }
}

class Watch {
  readonly range: KeyRange;
  /** Read while catching up, and pushed by when synced. */
  #backends: readonly string[];
  /** The last revision that is looked for in them; null: for good. */
  #until: Revision | null = null;
  /** Events below this revision are not for this watch. */
  readonly #from: Revision;
  /** Lowest revision that the watch may be told as progress: a start asked for, or what was current at the creation. */
  readonly #progressFrom: Revision;
  /** Everything up to here was sent. Kept up to date while catching up; a synced watch has everything that is settled. */
  #cursor: Revision;
  #isSynced = false;
  #isClosed = false;
  #sentSinceProgress = false;
  /** Events to go out with the next flush, and the last revision among them. */
  #outgoing: Buffer[] = [];
  #outgoingBytes = 0;
  /** Events of a watch over several backends that its horizons have not passed. */
  #held: StoreEvent[] = [];
  #heldBytes = 0;
  #wake: (() => void) | null = null;

  constructor(
    private readonly hub: WatchHub,
    private readonly stream: Stream,
    readonly id: bigint,
    private readonly request: WatchRequest,
  ) {
    const { clock, place } = hub.options;
    this.range = request.range;
    this.#backends = place(request.range, null).backends;
    this.#from = request.startRevision > 0n ? request.startRevision : clock.observed + 1n;
    this.#cursor = this.#from - 1n;
    this.#progressFrom = request.startRevision > 0n ? this.#from : this.#cursor;
  }

  get backends(): readonly string[] {
    return this.#backends;
  }

  start(): void {
    void this.#catchUp();
  }

  /** Keys live elsewhere now. One that is catching up looks anew wherever it is. */
  replaced(): void {
    if (!this.#isSynced) return;
    const { backends } = this.hub.options.place(this.range, null);
    if (isSame(backends, this.#backends)) return;
    const horizon = this.hub.options.clock.horizonOf(this.#backends);
    const held = this.#held[0];
    // Everything that its backends have settled was sent; of one over several, what their horizons have passed.
    this.#unsync(held !== undefined && held.revision <= horizon ? held.revision - 1n : horizon);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#isSynced) this.hub.removeSynced(this);
    this.#isSynced = false;
    this.#dropHeld();
    this.wake();
  }

  wake(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** Whether everything up to `revision` was sent and the watch has begun. */
  hasAll(revision: Revision): boolean {
    if (!this.#isSynced || revision < this.#progressFrom) return false;
    if (this.hub.options.clock.horizonOf(this.backends) < revision) return false;
    const held = this.#held[0];
    return held === undefined || held.revision > revision;
  }

  /** A periodic progress message is due, unless events have gone out since the last one. */
  takesProgress(): boolean {
    const isDue = this.request.progressNotify && !this.#sentSinceProgress;
    this.#sentSinceProgress = false;
    return isDue;
  }

  /** A settled event of a synced watch. True: `flush` has to follow. */
  offer(event: StoreEvent): boolean {
    if (event.revision < this.#from) return false;
    if (this.backends.length > 1) {
      this.#hold(event);
      return false;
    }
    if (!this.#isSynced) return false;
    // What a revision began with must not be read a second time: it goes on even if the stream is congested by now.
    if (this.stream.isCongested && this.#outgoing.length === 0) {
      this.#unsync(event.revision - 1n);
      return false;
    }
    this.#push(event);
    return true;
  }

  flush(): void {
    if (this.#outgoing.length === 0) return;
    const events = this.#outgoing;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    this.#sentSinceProgress = true;
    const revision = this.hub.options.clock.observed;
    this.stream.send({ type: 'events', watchId: this.id, revision, events });
  }

  /** Sends the held events that all horizons have passed. */
  release(): void {
    if (!this.#isSynced || this.#held.length === 0) return;
    const horizon = this.hub.options.clock.horizonOf(this.backends);
    let count = 0;
    while (count < this.#held.length && (this.#held[count] as StoreEvent).revision <= horizon) count++;
    if (count === 0) return;
    if (this.stream.isCongested) {
      this.#unsync((this.#held[0] as StoreEvent).revision - 1n);
      return;
    }
    for (const event of this.#held.splice(0, count)) {
      this.#heldBytes -= heldBytes(event);
      this.#push(event);
    }
    this.flush();
  }

  #hold(event: StoreEvent): void {
    if (!this.#isSynced) return;
    let at = this.#held.length;
    while (at > 0 && (this.#held[at - 1] as StoreEvent).id > event.id) at--;
    this.#held.splice(at, 0, event);
    this.#heldBytes += heldBytes(event);
    if (this.#held.length <= MAX_HELD && this.#heldBytes <= MAX_HELD_BYTES) return;
    // Below the first one held there may be events to come, of the backend whose horizon holds them all up.
    const sent = (this.#held[0] as StoreEvent).revision - 1n;
    const horizon = this.hub.options.clock.horizonOf(this.backends);
    this.#unsync(horizon < sent ? horizon : sent);
  }

  #dropHeld(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  #push(event: StoreEvent, hasPrev = true): void {
    if (event.isDelete ? this.request.noDelete : this.request.noPut) return;
    const framed = encodeEvent(event.isDelete, event.record, this.request.prevKv && hasPrev ? event.prevRecord : null);
    this.#outgoing.push(framed);
    this.#outgoingBytes += framed.length;
  }

  /** Falls back to catching up from `cursor`. Events that are pushed but not flushed go out first. */
  #unsync(cursor: Revision): void {
    this.flush();
    this.hub.removeSynced(this);
    this.#isSynced = false;
    this.#dropHeld();
    // A watch from a revision to come has nothing to do with what is settled before it.
    this.#cursor = cursor < this.#from ? this.#from - 1n : cursor;
    // Not in this turn: a watch that joined again while a batch is being published would get the rest of it twice.
    queueMicrotask(() => void this.#catchUp());
  }

  async #catchUp(): Promise<void> {
    const { clock } = this.hub.options;
    while (!this.#isClosed) {
      if (this.stream.isCongested) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      if (this.#isCompacted()) return;
      this.#place();
      if (this.#joinFromRing()) return;
      if (this.stream.isCongested) continue;
      if (this.#until !== null && this.#until <= this.#cursor) continue;
      const horizon = this.#horizon();
      if (horizon <= this.#cursor) {
        await clock.whenWhole(this.backends, this.#cursor + 1n);
        continue;
      }
      try {
        await this.#readLog(horizon);
      } catch {
        // The database is away: the watch stays open, without progress, and reads on when it is back.
        await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
      }
    }
  }

  #place(): void {
    const { backends, until } = this.hub.options.place(this.range, this.#cursor);
    this.#backends = backends;
    this.#until = until;
  }

  /** How far the backends may be read now. */
  #horizon(): Revision {
    const horizon = this.hub.options.clock.horizonOf(this.backends);
    return this.#until !== null && this.#until < horizon ? this.#until : horizon;
  }

  #isCompacted(): boolean {
    const compactRevision = this.hub.options.compactRevision();
    if (this.#cursor + 1n >= compactRevision) return false;
    this.stream.compacted(this, compactRevision);
    return true;
  }

  /** Reads on from the rings; true when the watch is synced, or its stream congested, or it has to go to the log. */
  #joinFromRing(): boolean {
    const { clock, sources } = this.hub.options;
    const rings = this.backends.map((name) => (sources.get(name) as WatchSource).ring);
    for (;;) {
      if (rings.some((ring) => ring.floor > this.#cursor)) return false;
      const horizon = this.#horizon();
      if (horizon > this.#cursor) {
        const reads = rings.map((ring) => ring.read(this.range, this.#cursor, horizon, MESSAGE_BYTES));
        this.#deliver(reads);
        if (this.stream.isCongested) return false;
        if (this.#cursor < horizon) continue;
      }
      if (this.#until !== null) return false;
      // Settled above the horizon of another backend: held as if it had come just now.
      const reads = this.backends.length > 1 ? rings.map((ring) => ring.read(this.range, this.#cursor, clock.current, MAX_HELD_BYTES)) : [];
      const above = merge(reads.map((read) => read.events));
      // More than may be held: the watch reads on when the horizons have moved.
      if (above.length > MAX_HELD || reads.some((read) => read.through < clock.current)) return false;
      this.#isSynced = true;
      this.hub.addSynced(this);
      for (const event of above) this.#hold(event);
      return true;
    }
  }

  async #readLog(horizon: Revision): Promise<void> {
    const { sources, isHeld } = this.hub.options;
    const query = { range: this.range, after: this.#cursor, through: horizon, maxBytes: MESSAGE_BYTES };
    const answers = await Promise.all(this.backends.map((name) => (sources.get(name) as WatchSource).guarded.changes(query)));
    // What the log told is only complete if no compaction has passed it meanwhile, another writer's included.
    if (!isHeld()) throw new Error('the writer lease is not held');
    if (this.#isClosed || this.#isCompacted()) return;
    this.#deliver(
      answers.map(({ changes, through }) => ({
        events: changes.map(({ key, ...change }) => ({ ...change, keyText: keyText(key), revision: revisionOf(change.id) })),
        through,
      })),
    );
  }

  /** Sends what several sources have in common: everything up to the smallest revision that one of them was read through. */
  #deliver(reads: readonly { readonly events: readonly StoreEvent[]; readonly through: Revision }[]): void {
    const through = reads.reduce(
      (lowest, read) => (read.through < lowest ? read.through : lowest),
      (reads[0] as { through: Revision }).through,
    );
    const events = reads.length === 1 ? (reads[0] as { events: readonly StoreEvent[] }).events : merge(reads.map((read) => read.events));
    const compactRevision = this.hub.options.compactRevision();
    for (let i = 0; i < events.length; i++) {
      const event = events[i] as StoreEvent;
      if (event.revision > through) break;
      if (event.revision < this.#from) continue;
      // A message ends between two revisions, never inside one.
      if (this.#outgoingBytes >= MESSAGE_BYTES && events[i - 1]?.revision !== event.revision) {
        this.flush();
        if (this.stream.isCongested) {
          this.#cursor = event.revision - 1n;
          return;
        }
      }
      // etcd has nothing left of what a change at the compaction replaced; whoever begins there is made to start over.
      this.#push(event, event.revision > compactRevision);
    }
    this.flush();
    this.#cursor = through;
  }
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}

function heldBytes(event: StoreEvent): number {
  return event.record.length + (event.prevRecord?.length ?? 0);
}

function merge(lists: readonly (readonly StoreEvent[])[]): StoreEvent[] {
  return lists.flat().sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}
