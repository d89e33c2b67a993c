import { askSlot, inTime } from './ask-slot.js';
import type { Clock } from './clock.js';
import type { DefaultStore } from './default-store.js';
import type { KeyspaceLog } from './keyspace-log.js';
import { singleKey } from './key-range.js';
import { messageOf } from './message-of.js';
import type { RoutingHistory } from './routing-history.js';
import { ready, readyOf, type Slot } from './slot.js';
import { MAX_RANGE_KEYS } from './txn-scope.js';

/** Keys of a lease that are deleted in one txn. */
const LEASE_KEYS_PER_TXN = 1000;

export interface LeaseKeysOptions {
  readonly clock: Clock;
  readonly history: RoutingHistory;
  readonly store: DefaultStore;
  readonly requestTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly log: KeyspaceLog;
}

/** The keys that are attached to leases, in every backend of the present. */
export class LeaseKeys {
  constructor(private readonly options: LeaseKeysOptions) {}

  /** In key order. */
  async of(lease: bigint): Promise<Buffer[]> {
    const slots = readyOf(this.#slots());
    const keys = await Promise.all(slots.map((slot) => unlessGone(slot, this.#keysIn(slot, lease), [])));
    return keys.flat().sort((a, b) => Buffer.compare(a, b));
  }

  /** A backend that is away holds up the lease, but not the removal of its keys from the others. */
  async remove(lease: bigint): Promise<void> {
    const removals = await Promise.allSettled(this.#slots().map((slot) => unlessGone(slot, this.#removeFrom(slot, lease), undefined)));
    for (const removal of removals) if (removal.status === 'rejected') throw removal.reason;
  }

  /** A revoke that raced with a put in another database may leave a key of a lease that is gone. */
  async removeOrphans(isLease: (lease: bigint) => boolean): Promise<void> {
    const { signal, log } = this.options;
    try {
      for (const slot of this.#slots()) {
        if (!slot.isReady) continue;
        for (const lease of await slot.guarded.leasesInUse()) if (!isLease(lease)) await this.remove(lease);
      }
    } catch (error) {
      if (!signal.aborted) log.warn('keys of ended leases could not be looked for', { error: messageOf(error) });
    }
  }

  async #removeFrom(slot: Slot, lease: bigint): Promise<void> {
    ready(slot);
    // A put that was let in before the lease began to end may still be on its way to the database.
    await this.#whenSettled(slot);
    for (;;) {
      this.options.store.checkHeld();
      const keys = await askSlot(slot, slot.guarded.keysOfLease(lease, LEASE_KEYS_PER_TXN));
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

  async #keysIn(slot: Slot, lease: bigint): Promise<readonly Buffer[]> {
    await this.#whenSettled(slot);
    return askSlot(slot, slot.guarded.keysOfLease(lease, MAX_RANGE_KEYS));
  }

  #whenSettled(slot: Slot): Promise<void> {
    return inTime(slot, this.options.requestTimeoutMs, this.options.clock.whenSettled(slot.id));
  }

  #slots(): Slot[] {
    return [...this.options.history.present.slots.values()];
  }
}

const NO_BYTES: Buffer = Buffer.alloc(0);

/** A backend that has gone from the topology meanwhile holds no key that anybody sees: its failing is the answer of an empty one. */
async function unlessGone<T>(slot: Slot, work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (slot.isGone) return otherwise;
    throw error;
  }
}
