import type { Clock } from './clock.js';
import type { CommitterStats } from './group-committer.js';
import type { Revision } from './model.js';
import type { Slot } from './slot.js';
import type { WatchHub } from './watch-hub.js';

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

export function backendStatusOf(slot: Slot, name: string, clock: Clock, hub: WatchHub): BackendStatus {
  const { watches, synced } = hub.count(slot.id);
  const lag = clock.current - clock.horizon(slot.id);
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
    ringCoverage: clock.current - slot.ring.floor,
    ringBytes: slot.ring.bytes,
    cacheBytes: slot.cache.bytes,
    cacheHits: slot.cache.hits,
    cacheMisses: slot.cache.misses,
    sizeBytes: slot.size.bytes,
  };
}
