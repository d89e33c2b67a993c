import { UnavailableError } from './errors.js';
import type { KeyRange, Revision } from './model.js';
import type { Slot } from './slot.js';

/** Where keys live, by the names of backends. Placement is decided by single keys alone. */
export interface Routing {
  route(key: Buffer): string;
  /** Every backend that could hold a key of the range. */
  backendsFor(range: KeyRange): readonly string[];
}

/** Rules, and the slots to which their names lead. It never changes: other rules are another placement. */
export class Placement {
  constructor(
    readonly routing: Routing,
    readonly slots: ReadonlyMap<string, Slot>,
  ) {}

  slotOf(key: Buffer): Slot {
    return this.#slot(this.routing.route(key));
  }

  slotsFor(range: KeyRange): Slot[] {
    if (range.single) return [this.slotOf(range.start)];
    return this.routing.backendsFor(range).map((name) => this.#slot(name));
  }

  #slot(name: string): Slot {
    const slot = this.slots.get(name);
    if (slot === undefined) throw new UnavailableError(name, 'the topology names it, but it is not registered');
    return slot;
  }
}

/**
 * A placement that was in force once. It still tells where keys were up to a revision: at each revision a key was in one slot
 * at most, so whoever asks about the past asks the slots of all placements since then.
 */
export interface FormerPlacement {
  readonly placement: Placement;
  /** Whatever changed its slot with the placement after it did so above this revision, and was not there at it. */
  readonly until: Revision;
}

/** What former placements add to the slots of the present one for what was after a revision. `until`: for how long the same ones do. */
export function slotsBefore(
  former: readonly FormerPlacement[],
  range: KeyRange,
  after: Revision,
  present: readonly Slot[],
): { readonly slots: readonly Slot[]; readonly until: Revision | null } {
  const slots = new Set<Slot>();
  let until: Revision | null = null;
  for (const { placement, until: end } of former) {
    if (end <= after) continue;
    const added = placement.slotsFor(range).filter((slot) => !slot.isGone && !present.includes(slot));
    if (added.length === 0) continue;
    for (const slot of added) slots.add(slot);
    if (until === null || end < until) until = end;
  }
  return { slots: [...slots], until };
}
