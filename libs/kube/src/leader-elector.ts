/**
 * Of several replicas one leads: the one whose name is in a Lease, and who renews it in time. As client-go's leaderelection does it, on
 * coordination.k8s.io/v1, so that the two understand each other.
 *
 * Clocks of machines differ, so that nobody believes the time that another one wrote: a candidate counts, on its own monotonic clock, how long the
 * Lease has not changed, and takes over after the duration that the Lease names. The leader counts from the moment at which it sent its last
 * renewal, which is before anybody can have seen it, and ends its work after the shorter `renewDeadlineMs`. A process that was stopped finds this
 * out when it wakes: `isLeading` asks the clock, and the signal aborts by a timer that is due by then. What had its answer waiting while the
 * process was stopped runs before that timer; a `KubeClient` therefore lets due timers run before it sends a write that has a signal.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Gauge, type Registry } from 'prom-client';
import type { Logger } from '@harikube/platform';
import { type Clock, systemClock } from './clock.js';
import type { KubeClient } from './kube-client.js';
import type { KubeObject, Resource } from './kube-object.js';
import { LEASES } from './resources.js';
import { StatusError } from './status-error.js';

export interface LeaderElectorOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Lease; the same in all replicas and all releases. */
  readonly name: string;
  /** Unique among the replicas. Absent: hostname_uuid. */
  readonly identity?: string;
  readonly clock?: Clock;
  readonly logger: Logger;
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
  /** Gets leader_election_master_status{name}. */
  readonly registry?: Registry;
  readonly random?: () => number;
}

interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}

interface Lease extends KubeObject {
  spec?: LeaseSpec;
}

/** What the signal of `lead` aborts with. */
class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/** Whether it leads after an attempt: `taken` by another one, or `unsettled`, when the Lease changed between reading and writing. */
type Outcome = 'held' | 'taken' | 'unsettled';

export class LeaderElector {
  readonly identity: string;
  readonly #options: LeaderElectorOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #gauge: Gauge<'name'> | null;
  /** The Lease as it was last seen, and since when it has been like this. */
  #observed: { readonly lease: Lease; readonly since: number } | null = null;
  /** When the last renewal that was accepted was sent; null: does not lead. */
  #renewedAt: number | null = null;
  /** What `lead` is given. */
  #leadership = new AbortController();
  #loss = new AbortController();
  #cancelExpiry: (() => void) | null = null;
  #isTroubled = false;

  constructor(options: LeaderElectorOptions) {
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2000 } = options;
    if (leaseDurationMs <= renewDeadlineMs || renewDeadlineMs <= retryPeriodMs * JITTER) {
      throw new RangeError(
        `a lease of ${leaseDurationMs} ms must be longer than the ${renewDeadlineMs} ms to renew it in, and those than ${JITTER} times ${retryPeriodMs} ms`,
      );
    }
    this.#options = options;
    this.identity = options.identity ?? `${hostname()}_${randomUUID()}`;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger.child({ lease: `${options.namespace}/${options.name}` });
    this.#leaseDurationMs = leaseDurationMs;
    this.#renewDeadlineMs = renewDeadlineMs;
    this.#retryPeriodMs = retryPeriodMs;
    this.#gauge = options.registry === undefined ? null : leaderGauge(options.registry);
    this.#gauge?.set({ name: options.name }, 0);
  }

  /** Judged by the clock at this moment. When the lease is found to be lost, the signal of `lead` has aborted before this returns. */
  isLeading(): boolean {
    if (this.#renewedAt === null) return false;
    if (this.#clock.monotonic() - this.#renewedAt < this.#renewDeadlineMs) return true;
    this.#lose('it was not renewed in time');
    return false;
  }

  /**
   * Waits for the lease, and runs `lead` while it is held. The signal of `lead` aborts when the outer one does, and the lease is kept until `lead`
   * has ended and then released: `stopped`, also when `lead` ends by itself. It aborts as well when the lease is lost: `lost` comes when `lead` has
   * ended, or at the latest when another one may lead; then this process must end, and must not write. Rejects with what `lead` rejects with.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<'stopped' | 'lost'> {
    if (!(await this.#acquire(signal))) return 'stopped';
    if (signal.aborted) {
      // While the request that got the lease was under way.
      await this.#release();
      this.#end();
      return 'stopped';
    }
    const leadership = this.#leadership;
    const stop = (): void => leadership.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    this.#logger.info('leading', { identity: this.identity });
    const work = new Work(leadership.signal, lead);
    try {
      const isLost = await this.#keep(work);
      if (isLost) {
        await this.#clock.sleep(this.#leaseDurationMs - this.#renewDeadlineMs, work.ending).catch(() => undefined);
        return 'lost';
      }
      await this.#release();
      work.rethrow();
      return 'stopped';
    } finally {
      signal.removeEventListener('abort', stop);
      this.#end();
    }
  }

  /** False when the signal aborts first. */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    this.#leadership = new AbortController();
    this.#loss = new AbortController();
    while (!signal.aborted) {
      const outcome = await this.#attempt(signal);
      if (outcome === 'held') return true;
      await this.#clock.sleep(this.#retryPeriodMs * (1 + (JITTER - 1) * this.#random()), signal).catch(() => undefined);
    }
    return false;
  }

  /** Renews until the work has ended: false; or until the lease is lost: true. */
  async #keep(work: Work): Promise<boolean> {
    // Not the signal of the leadership: until the work has ended, the lease is renewed also when it is asked to end.
    const wake = AbortSignal.any([work.ending, this.#loss.signal]);
    for (;;) {
      await this.#clock.sleep(this.#retryPeriodMs, wake).catch(() => undefined);
      if (!this.isLeading()) return true;
      if (work.hasEnded) return false;
      const outcome = await this.#attempt(this.#loss.signal);
      if (outcome === 'taken') this.#lose('another one holds it');
      if (!this.isLeading()) return true;
    }
  }

  /** `signal` ends it when that is without consequence. */
  async #attempt(signal: AbortSignal): Promise<Outcome | 'failed'> {
    try {
      const outcome = await this.#acquireOrRenew(signal);
      this.#isTroubled = false;
      return outcome;
    } catch (error) {
      const fields = { reason: error instanceof Error ? error.message : String(error) };
      if (this.#isTroubled || signal.aborted) this.#logger.debug('cannot acquire or renew the lease; trying again', fields);
      else this.#logger.warn('cannot acquire or renew the lease; trying again', fields);
      this.#isTroubled = true;
      return 'failed';
    }
  }

  async #acquireOrRenew(signal: AbortSignal): Promise<Outcome> {
    if (this.#renewedAt !== null && this.#observed !== null) {
      // Nobody else is expected to write it, so that to read it first would be a request for nothing.
      const outcome = await this.#write(this.#observed.lease, (lease) => this.#update(lease));
      if (outcome === 'held') return 'held';
    }
    const { client, name, namespace } = this.#options;
    const read = (limit: AbortSignal): Promise<Lease> =>
      client.get(LEASES_OF, name, namespace, { signal: AbortSignal.any([limit, signal]) });
    const found = await this.#limited((limit) => absentOr(read(limit)));
    if (found === null) {
      return this.#write({ metadata: { name, namespace } }, (lease) =>
        this.#limited((limit) => client.create(LEASES_OF, lease, { signal: limit })),
      );
    }
    this.#observe(found);
    if (this.#isTaken()) return 'taken';
    return this.#write(found, (lease) => this.#update(lease));
  }

  #update(lease: Lease): Promise<Lease> {
    return this.#limited((limit) => this.#options.client.update(LEASES_OF, lease, { signal: limit }));
  }

  async #write(before: Lease, write: (lease: Lease) => Promise<Lease>): Promise<Outcome> {
    const sentAt = this.#clock.monotonic();
    try {
      this.#observe(await write({ ...before, spec: this.#nextSpec(before.spec) }));
    } catch (error) {
      if (error instanceof StatusError && (error.isConflict || error.isAlreadyExists)) return 'unsettled';
      throw error;
    }
    this.#holdSince(sentAt);
    return 'held';
  }

  #nextSpec(before: LeaseSpec = {}): LeaseSpec {
    const now = microTime(this.#clock.now());
    const isOurs = before.holderIdentity === this.identity;
    const isFirst = before.leaseTransitions === undefined && before.holderIdentity === undefined;
    return {
      ...before,
      holderIdentity: this.identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: isOurs ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (before.leaseTransitions ?? 0) + (isOurs || isFirst ? 0 : 1),
    };
  }

  /** By another one whose time is not over. */
  #isTaken(): boolean {
    if (this.#observed === null) return false;
    const { lease, since } = this.#observed;
    const { holderIdentity = '', leaseDurationSeconds = 0 } = lease.spec ?? {};
    if (holderIdentity === '' || holderIdentity === this.identity) return false;
    return this.#clock.monotonic() - since < 1000 * leaseDurationSeconds;
  }

  #observe(lease: Lease): void {
    const isSame = this.#observed !== null && recordOf(this.#observed.lease) === recordOf(lease);
    this.#observed = { lease, since: isSame && this.#observed !== null ? this.#observed.since : this.#clock.monotonic() };
  }

  #holdSince(sentAt: number): void {
    this.#renewedAt = sentAt;
    this.#gauge?.set({ name: this.#options.name }, 1);
    this.#cancelExpiry?.();
    this.#cancelExpiry = this.#clock.setTimeout(() => this.isLeading(), sentAt + this.#renewDeadlineMs - this.#clock.monotonic());
  }

  #lose(reason: string): void {
    if (this.#renewedAt === null) return;
    this.#end();
    this.#logger.warn('the lease is lost', { reason });
    this.#loss.abort();
    this.#leadership.abort(new LeaseLostError(`the lease ${this.#options.namespace}/${this.#options.name} is lost: ${reason}`));
  }

  #end(): void {
    this.#renewedAt = null;
    this.#cancelExpiry?.();
    this.#cancelExpiry = null;
    this.#gauge?.set({ name: this.#options.name }, 0);
  }

  /** Lets the next one begin at its next attempt. When this fails it begins when the lease is over. */
  async #release(): Promise<void> {
    const lease = this.#observed?.lease;
    if (lease === undefined || !this.isLeading()) return;
    const now = microTime(this.#clock.now());
    const spec: LeaseSpec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
    try {
      await this.#update({ ...lease, spec });
      this.#logger.info('released the lease');
    } catch (error) {
      this.#logger.warn('cannot release the lease', { reason: error instanceof Error ? error.message : String(error) });
    }
  }

  /** A request that the leader waits for longer than it leads is of no use. */
  async #limited<R>(request: (signal: AbortSignal) => Promise<R>): Promise<R> {
    const limitMs = this.#renewedAt === null ? this.#renewDeadlineMs : this.#renewedAt + this.#renewDeadlineMs - this.#clock.monotonic();
    const stop = new AbortController();
    const late = (): void => stop.abort(new Error(`no answer within ${Math.round(limitMs)} ms`));
    const cancel = this.#clock.setTimeout(late, limitMs);
    try {
      return await request(stop.signal);
    } finally {
      cancel();
    }
  }

  #random(): number {
    return (this.#options.random ?? Math.random)();
  }
}

const JITTER = 1.2;
const LEASES_OF: Resource<Lease> = LEASES;

/** What leads, and how it ended. */
class Work {
  readonly #signal: AbortSignal;
  readonly #end = new AbortController();
  #result: { readonly error: unknown } | 'done' | null = null;

  constructor(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>) {
    this.#signal = signal;
    void this.#run(lead);
  }

  /** Aborts when it has ended. */
  get ending(): AbortSignal {
    return this.#end.signal;
  }

  get hasEnded(): boolean {
    return this.#result !== null;
  }

  /** To end with the reason for which it was to end is no failure. */
  rethrow(): void {
    if (this.#result === null || this.#result === 'done') return;
    const { error } = this.#result;
    const isAbort = error === this.#signal.reason || (error instanceof Error && error.name === 'AbortError');
    if (!this.#signal.aborted || !isAbort) throw error;
  }

  async #run(lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await lead(this.#signal);
      this.#result = 'done';
    } catch (error) {
      this.#result = { error };
    }
    this.#end.abort();
  }
}

function recordOf({ spec = {} }: Lease): string {
  const { holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions } = spec;
  return JSON.stringify([holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions]);
}

/** Kubernetes' MicroTime. */
function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000Z');
}

async function absentOr<R>(answer: Promise<R>): Promise<R | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof StatusError && error.isNotFound) return null;
    throw error;
  }
}

function leaderGauge(registry: Registry): Gauge<'name'> {
  const name = 'leader_election_master_status';
  const known = registry.getSingleMetric(name);
  if (known instanceof Gauge) return known;
  return new Gauge({ name, help: '1 while this process holds the lease', labelNames: ['name'], registers: [registry] });
}
