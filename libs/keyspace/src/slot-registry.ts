import type { Backend } from './backend.js';
import type { Clock } from './clock.js';
import { UnavailableError } from './errors.js';
import type { KeyspaceLog } from './keyspace-log.js';
import { messageOf } from './message-of.js';
import { Placement, type Routing } from './placement.js';
import type { Slot } from './slot.js';

export interface SlotRegistryOptions {
  readonly make: (id: string, backend: Backend, label: string) => Slot;
  readonly clock: Clock;
  /** Bytes of cached heads, for all slots together. */
  readonly cacheBytes: number;
  /** Bytes of recent events, for all slots together. */
  readonly eventBytes: number;
  readonly log: KeyspaceLog;
  /** The slot is the keyspace's no more. */
  readonly onDropped: (slot: Slot) => void;
}

/** Every slot that anything is asked of: those of the present and those of the past. */
export class SlotRegistry {
  readonly #slots = new Map<string, Slot>();
  /** Backends that are being closed. */
  readonly #closing = new Set<Promise<void>>();
  #lastId = 0;

  constructor(private readonly options: SlotRegistryOptions) {}

  get byId(): ReadonlyMap<string, Slot> {
    return this.#slots;
  }

  get closing(): readonly Promise<void>[] {
    return [...this.#closing];
  }

  add(backend: Backend, label: string): Slot {
    const id = `${++this.#lastId}`;
    const slot = this.options.make(id, backend, label);
    this.#slots.set(id, slot);
    return slot;
  }

  find(backend: Backend): Slot | undefined {
    for (const slot of this.#slots.values()) if (slot.backend === backend) return slot;
    return undefined;
  }

  /** A routing with the slots of its backends; those that are not known yet get one. */
  place(routing: Routing, backends: ReadonlyMap<string, Backend>, main: Slot): Placement {
    const slots = new Map<string, Slot>();
    for (const [name, backend] of backends) slots.set(name, this.find(backend) ?? this.add(backend, name));
    return new Placement(routing, slots.set(main.label, main));
  }

  /** The present slots share the memory evenly; those of the past keep little. */
  shareMemory({ slots }: Placement): void {
    const present = new Set(slots.values());
    for (const slot of this.#slots.values()) {
      const share = present.has(slot) ? present.size : present.size * 16;
      slot.cache.resize(this.options.cacheBytes / share);
      slot.ring.resize(this.options.eventBytes / share);
    }
  }

  /** Drops what nobody needs or reads any more. */
  dropAllBut(needed: ReadonlySet<Slot>): void {
    for (const slot of this.#slots.values()) if (!needed.has(slot) && slot.reading === 0) this.drop(slot);
  }

  /** The slot is the keyspace's no more, and its backend is closed. */
  drop(slot: Slot): void {
    slot.isGone = true;
    slot.isReady = false;
    slot.problem = 'it has gone from the topology';
    this.#slots.delete(slot.id);
    this.options.clock.retire(slot.id);
    this.options.onDropped(slot);
    const closing = this.#close(slot).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async whenClosed(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  async #close(slot: Slot): Promise<void> {
    await slot.committer.close(new UnavailableError(slot.label, slot.problem));
    this.options.clock.unregister(slot.id);
    await slot.compaction;
    await slot.backend.close().catch((error: unknown) => {
      this.options.log.warn('backend could not be closed', { backend: slot.label, error: messageOf(error) });
    });
  }
}
