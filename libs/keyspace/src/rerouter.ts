import type { Backend } from './backend.js';
import type { Clock } from './clock.js';
import { type Destination, findMoves, findMovesSince, type KeyMove } from './key-moves.js';
import { lastKeyOf } from './key-value.js';
import { messageOf } from './message-of.js';
import type { KeyRange, Revision } from './model.js';
import { Patience } from './patience.js';
import type { Placement, Routing } from './placement.js';
import type { RoutingHistory } from './routing-history.js';
import { ready, type Slot } from './slot.js';
import { WriteGate } from './write-gate.js';

/** How long writes are held back at most while a change of the routing is decided. */
const REROUTE_PATIENCE_MS = 10_000;

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

/** What the changing of the routing needs of the keyspace. */
export interface ReroutingOptions {
  readonly clock: Clock;
  readonly history: RoutingHistory;
  /** Every slot, by id. */
  readonly slots: ReadonlyMap<string, Slot>;
  readonly main: Slot;
  readonly signal: AbortSignal;
  readonly slotOf: (backend: Backend) => Slot | undefined;
  /** Backends that are not known yet get a slot. */
  readonly placementOf: (routing: Routing, backends: ReadonlyMap<string, Backend>) => Placement;
  readonly claim: (slot: Slot) => Promise<void>;
  readonly compactAll: () => Promise<unknown>;
  /** Puts a placement in force. `until` is the last revision of the one before. */
  readonly switchTo: (placement: Placement, until: Revision, isPlacedOtherwise: boolean) => void;
  /** Gives a slot up that holds nothing. */
  readonly drop: (slot: Slot) => void;
  /** Gives a slot up with its keys. */
  readonly lose: (slot: Slot) => void;
  /** Resolves when no backend is being closed. */
  readonly whenClosed: () => Promise<void>;
}

/** Changes of the routing, one at a time. */
export class Rerouter {
  #gate: WriteGate | null = null;
  /** Judged at this moment. */
  #next: Placement | null = null;
  #rerouting: Promise<void> = Promise.resolve();

  constructor(private readonly options: ReroutingOptions) {}

  /** Holds writes back while a change is decided; null nearly always. */
  get gate(): WriteGate | null {
    return this.#gate;
  }

  /** Its slots stay, whether anything else needs them or not. */
  get next(): Placement | null {
    return this.#next;
  }

  /** Resolves when no change is under way. */
  get whenDone(): Promise<void> {
    return this.#rerouting;
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
  async judge({ routing, backends, affected, abandoned = NO_BACKENDS }: PlannedRouting): Promise<RoutingVerdict> {
    const { history, main, slotOf } = this.options;
    const named = new Map([...backends].map(([name, backend]) => [name, backend === null ? undefined : slotOf(backend)]));
    named.set(main.label, main);
    const before = history.present;
    const slots = this.#slotsToJudge(before, new Set(named.values()), affected, abandoned);
    const destination = destinationOf(before, routing, named);
    const verdict = await this.#look(slots, (slot) => findMoves(slot, affected, destination));
    return verdict ?? ACCEPTED;
  }

  async #reroute(change: RoutingChange): Promise<RoutingVerdict> {
    const { slots, placementOf, drop, history } = this.options;
    const refusal = await this.#whenClosed(change);
    if (refusal !== null) return refusal;
    const known = new Set(slots.values());
    const placement = placementOf(change.routing, change.backends);
    const added = [...placement.slots.values()].filter((slot) => !known.has(slot));
    // One of the past that comes back.
    const away = [...placement.slots.values()].filter((slot) => known.has(slot) && !slot.isReady && !history.isPresent(slot));
    if (away.length > 0)
      return { moves: [], problems: away.map(({ label, problem }) => `backend "${label}" cannot be opened: ${problem}`) };
    let isDone = false;
    this.#next = placement;
    try {
      const patience = new Patience(change.patienceMs ?? REROUTE_PATIENCE_MS, this.options.signal);
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
      if (!isDone) for (const slot of added) drop(slot);
    }
  }

  /** A database that is being closed can be opened again only after that. */
  async #whenClosed({ patienceMs = REROUTE_PATIENCE_MS }: RoutingChange): Promise<RoutingVerdict | null> {
    const patience = new Patience(patienceMs, this.options.signal);
    try {
      await patience.await(this.options.whenClosed());
      return null;
    } catch (error) {
      return { moves: [], problems: [`a backend of an earlier change cannot be closed: ${messageOf(error)}`] };
    } finally {
      patience.end();
    }
  }

  /** Opens a backend that comes in; why it must not, if so. */
  async #takeIn(slot: Slot, patience: Patience): Promise<string | null> {
    try {
      await patience.await(this.options.claim(slot));
      const query = { range: EVERYTHING, revision: 0n, limit: 1, keysOnly: true, countOnly: false, count: true };
      const { count, blocks } = await patience.await(slot.guarded.range(query));
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
    const { clock, history, compactAll, switchTo, lose } = this.options;
    const before = history.present;
    const destination = destinationOf(before, placement.routing, placement.slots);
    const staying = new Set(placement.slots.values());
    const slots = this.#slotsToJudge(before, staying, affected, abandoned);
    const looked = new Map(slots.map((slot) => [slot, clock.horizon(slot.id)]));
    const lookAgain = async (slot: Slot): Promise<KeyMove[]> => {
      const horizon = clock.horizon(slot.id);
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
    if (lost.length > 0) await this.#untilStopped(compactAll);
    // What keeps its backend passes: it need not wait for what is decided.
    const isMoving = (key: Buffer): boolean => before.slotOf(key) !== placement.slotOf(key);
    const gate = new WriteGate('a change of the topology', isMoving, affected);
    const patience = new Patience(change.patienceMs ?? REROUTE_PATIENCE_MS, this.options.signal);
    this.#gate = gate;
    try {
      for (const slot of slots) await patience.await(slot.committer.whenDone());
      const late = await patience.await(this.#look(slots, lookAgain));
      if (late !== null) return late;
      const until = clock.current;
      await patience.await(record(until));
      // Nothing is awaited from here to the end of the switch.
      switchTo(placement, until, affected.length > 0);
      for (const slot of lost) lose(slot);
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
    const patience = new Patience(null, this.options.signal);
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
}

const EVERYTHING: KeyRange = { start: Buffer.alloc(0), end: null, single: false };
const NO_BACKENDS: ReadonlySet<Backend> = new Set();
const ACCEPTED: RoutingVerdict = { moves: [], problems: [] };

function destinationOf(before: Placement, after: Routing, slots: ReadonlyMap<string, Slot | undefined>): Destination {
  return (key, slot) => {
    const name = after.route(key);
    return before.slotOf(key) === slot && slots.get(name) !== slot ? name : null;
  };
}
