import type { Backend } from './backend.js';
import { UnavailableError } from './errors.js';
import type { EventRing } from './event-ring.js';
import type { GuardedBackend } from './guarded-backend.js';
import type { GroupCommitter } from './group-committer.js';
import type { HeadCache } from './head-cache.js';
import type { PointReader } from './point-reader.js';

/** A backend with what the keyspace keeps for it. */
export interface Slot {
  /** Names it in the clock and to watches, for as long as it lives: rules may call it by another name tomorrow. */
  readonly id: string;
  /** The name that the rules have for it. */
  label: string;
  readonly backend: Backend;
  /** What everybody asks. */
  readonly guarded: GuardedBackend;
  readonly cache: HeadCache;
  readonly ring: EventRing;
  readonly committer: GroupCommitter;
  readonly points: PointReader;
  /** UUID of the database; empty: not known yet. */
  identity: string;
  /** Before the next attempt to take it over. */
  claimPauseMs: number;
  isReady: boolean;
  problem: string;
  /** It is not the keyspace's any more. */
  isGone: boolean;
  /** Batches settled so far: tells a reader whether its head may still go into the cache. */
  settled: number;
  /** Reads under way, answers that are still being sent among them: it is not closed before they are over. */
  reading: number;
  size: { bytes: number; inUse: number };
  compaction: Promise<void>;
}

export function ready(slot: Slot): Slot {
  if (!slot.isReady) throw new UnavailableError(slot.label, slot.problem);
  return slot;
}

export function readyOf<S extends readonly Slot[]>(slots: S): S {
  for (const slot of slots) ready(slot);
  return slots;
}

export function idsOf(slots: readonly Slot[]): string[] {
  return slots.map(({ id }) => id);
}
