import type { LeaseRow } from './backend.js';
import { LeaseExistsError, LeaseNotFoundError, LeaseTtlTooLargeError } from './errors.js';

/** Seconds; etcd's floor with its default timings (server/lease/lessor.go and server/etcdserver/server.go, v3.6). */
const MIN_TTL = 2n;
/** Seconds; etcd's maximum (server/lease/lessor.go, v3.6). */
const MAX_TTL = 9_000_000_000n;
/** How often leases are looked through for expired ones; etcd does it as often. */
const EXPIRY_INTERVAL_MS = 500;
/** Pause before the keys of a lease are tried again after a database failed. */
const RETRY_MS = 5_000;

interface Lease {
  readonly id: bigint;
  readonly ttl: bigint;
  /** On the monotonic clock. */
  deadline: number;
  renewed: boolean;
  /** Its keys are being removed: no put may use it, no keep-alive may save it. */
  isEnding: boolean;
}

export interface LessorOptions {
  readonly store: {
    saveLease(lease: LeaseRow): Promise<void>;
    removeLease(id: bigint): Promise<void>;
  };
  /** Deletes the keys of a lease in every backend; rejects when a backend cannot be reached. */
  readonly removeKeys: (id: bigint) => Promise<void>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds, never set back. */
  readonly monotonicNow: () => number;
  /** Whether this process may write; while it may not, no lease ends. */
  readonly isHeld: () => boolean;
  readonly onError: (message: string, error: unknown) => void;
}

/**
 * Leases of the store. They are durable in the default backend before they are told to anybody. A lease ends when its
 * keys are gone from every backend, so an expiry that a crash interrupts is taken up again.
 */
export class Lessor {
  readonly #leases = new Map<bigint, Lease>();
  readonly #ending = new Map<bigint, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  /** Nobody could keep a lease alive for a while. */
  #wasAway = false;

  constructor(
    private readonly options: LessorOptions,
    rows: readonly LeaseRow[],
  ) {
    const now = options.now();
    for (const row of rows) {
      // A lease that was kept alive may have been renewed after its row was written: it gets its whole time again.
      const full = Number(row.ttl) * 1000;
      const left = row.renewed ? full : Math.min(full, Math.max(0, row.expiresAt - now));
      const deadline = options.monotonicNow() + left;
      this.#leases.set(row.id, { id: row.id, ttl: row.ttl, deadline, renewed: row.renewed, isEnding: false });
    }
  }

  get size(): number {
    return this.#leases.size;
  }

  start(): void {
    this.#timer = setInterval(() => this.expire(), EXPIRY_INTERVAL_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.allSettled(this.#ending.values());
  }

  /** Whether a key may be attached to the lease. */
  isAlive(id: bigint): boolean {
    const lease = this.#leases.get(id);
    return lease !== undefined && !lease.isEnding;
  }

  /** Whether the lease is still on record, ending ones included. */
  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  async grant(ttl: bigint, wantedId: bigint): Promise<{ id: bigint; ttl: bigint }> {
    if (ttl > MAX_TTL) throw new LeaseTtlTooLargeError();
    if (wantedId !== 0n && this.#leases.has(wantedId)) throw new LeaseExistsError();
    const granted = ttl < MIN_TTL ? MIN_TTL : ttl;
    const id = wantedId === 0n ? this.#freeId() : wantedId;
    const lease: Lease = { id, ttl: granted, deadline: Infinity, renewed: false, isEnding: true };
    // Taken at once, so that nobody else gets the id; usable when it is durable.
    this.#leases.set(id, lease);
    try {
      await this.options.store.saveLease(this.#row(lease));
    } catch (error) {
      this.#leases.delete(id);
      throw error;
    }
    lease.deadline = this.options.monotonicNow() + Number(granted) * 1000;
    lease.isEnding = false;
    return { id, ttl: granted };
  }

  async keepAlive(id: bigint): Promise<bigint> {
    if (this.#wasAway && this.options.isHeld()) this.#extend(this.options.monotonicNow());
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.isEnding || lease.deadline <= this.options.monotonicNow()) return 0n;
    lease.deadline = this.options.monotonicNow() + Number(lease.ttl) * 1000;
    if (!lease.renewed) {
      await this.options.store.saveLease({ ...this.#row(lease), renewed: true });
      lease.renewed = true;
    }
    return lease.ttl;
  }

  /** What is left of a lease, and what it was granted, in seconds; null: there is none, or it has ended. */
  life(id: bigint): { readonly ttl: bigint; readonly granted: bigint } | null {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.isEnding) return null;
    const left = Math.trunc((lease.deadline - this.options.monotonicNow()) / 1000);
    return { ttl: BigInt(left), granted: lease.ttl };
  }

  /** Leases that have not ended, the one that ends first before the others. */
  ids(): bigint[] {
    const living = [...this.#leases.values()].filter((lease) => !lease.isEnding);
    return living.sort((a, b) => a.deadline - b.deadline).map(({ id }) => id);
  }

  async revoke(id: bigint): Promise<void> {
    const lease = this.#leases.get(id);
    // One without a deadline is still being granted: nobody was told of it.
    if (lease === undefined || lease.deadline === Infinity) throw new LeaseNotFoundError();
    await this.#end(lease);
  }

  /** Ends every lease whose time is up. */
  expire(): void {
    if (!this.options.isHeld()) {
      this.#wasAway = true;
      return;
    }
    const now = this.options.monotonicNow();
    if (this.#wasAway) this.#extend(now);
    for (const lease of this.#leases.values()) {
      if (lease.deadline > now || this.#ending.has(lease.id)) continue;
      this.#end(lease).catch((error: unknown) => {
        this.options.onError(`lease ${lease.id} has expired but its keys could not be removed; it is tried again`, error);
      });
    }
  }

  /** Those that are kept alive get their whole time again, as with a new leader of etcd (server/lease/lessor.go, v3.6). */
  #extend(now: number): void {
    this.#wasAway = false;
    for (const lease of this.#leases.values()) {
      if (lease.renewed && !lease.isEnding) lease.deadline = Math.max(lease.deadline, now + Number(lease.ttl) * 1000);
    }
  }

  #end(lease: Lease): Promise<void> {
    const underWay = this.#ending.get(lease.id);
    if (underWay !== undefined) return underWay;
    lease.isEnding = true;
    const ending = this.#remove(lease).finally(() => this.#ending.delete(lease.id));
    // It can be used no more, so what is left of it is tried again soon, however long it would have lived.
    ending.catch(() => (lease.deadline = this.options.monotonicNow() + RETRY_MS));
    this.#ending.set(lease.id, ending);
    return ending;
  }

  async #remove(lease: Lease): Promise<void> {
    await this.options.removeKeys(lease.id);
    await this.options.store.removeLease(lease.id);
    this.#leases.delete(lease.id);
  }

  #row(lease: Lease): LeaseRow {
    return { id: lease.id, ttl: lease.ttl, expiresAt: this.options.now() + Number(lease.ttl) * 1000, renewed: lease.renewed };
  }

  /** A random positive int64: ids are never reused in practice, across restarts too. */
  #freeId(): bigint {
    for (;;) {
      const words = new BigUint64Array(1);
      crypto.getRandomValues(words);
      const id = (words[0] as bigint) & 0x7fff_ffff_ffff_ffffn;
      if (id !== 0n && !this.#leases.has(id)) return id;
    }
  }
}
