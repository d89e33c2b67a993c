import type { Backend } from './backend.js';
import type { KeyRange, Revision } from './model.js';
import { type FormerPlacement, type Placement, slotsBefore } from './placement.js';
import type { Slot } from './slot.js';

/** A backend that holds nothing of the present, and is still asked about the past. */
export interface RetiredBackend {
  readonly name: string;
  readonly backend: Backend;
  readonly until: Revision;
}

/** The placement in force, and those before it as far as anybody can ask about them. */
export class RoutingHistory {
  /** The oldest first; empty nearly always. */
  #former: readonly FormerPlacement[];

  constructor(
    private placement: Placement,
    former: readonly FormerPlacement[],
  ) {
    this.#former = former;
  }

  /** In force. */
  get present(): Placement {
    return this.placement;
  }

  /** Another one is in force from `until` on. */
  add(placement: Placement, until: Revision, isPlacedOtherwise: boolean): void {
    const before = this.placement;
    const staying = new Set(placement.slots.values());
    const isRetiring = [...before.slots.values()].some((slot) => !staying.has(slot));
    this.placement = placement;
    if (isPlacedOtherwise || isRetiring) this.#former = [...this.#former, { placement: before, until }];
  }

  /** Nobody can ask about what was before the compaction. */
  forget(compactRevision: Revision): void {
    this.#former = this.#former.filter(({ until }) => until >= compactRevision);
  }

  /** Slots that are asked about the present or the past. */
  needed(): Set<Slot> {
    const needed = new Set(this.placement.slots.values());
    for (const { placement } of this.#former) for (const slot of placement.slots.values()) needed.add(slot);
    return needed;
  }

  /** Slots beside those of the present that hold keys of a range after a revision, and for how long the same ones do. */
  before(range: KeyRange, after: Revision, present: readonly Slot[]): { readonly slots: readonly Slot[]; readonly until: Revision | null } {
    return this.#former.length === 0 ? NOTHING : slotsBefore(this.#former, range, after, present);
  }

  isPresent(slot: Slot): boolean {
    return this.placement.slots.get(slot.label) === slot;
  }

  /** Those that hold nothing of the present. */
  retired(): RetiredBackend[] {
    const present = new Set(this.placement.slots.values());
    return [...this.needed()]
      .filter((slot) => !present.has(slot) && !slot.isGone)
      .flatMap((slot) => {
        const last = this.#former.findLast(({ placement }) => [...placement.slots.values()].includes(slot));
        return last === undefined ? [] : [{ name: slot.label, backend: slot.backend, until: last.until }];
      });
  }
}

const NOTHING = { slots: [], until: null };
