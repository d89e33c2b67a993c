import type { Revision } from '@harikube/keyspace';
import type { Change, History, Kv, Operation, RecordedCall, Request, Result } from './history.js';
import type { KeyspaceModel, View } from './model.js';
import { showCall, showKv } from './show.js';

/** A lease that nobody keeps alive has ended, and its keys are gone, this long after its time. */
const OVERDUE_MS = 2_000;
const SECOND = 1000;

/** A life that was given to a lease: it lasts from some moment between the two for `ttl` seconds. */
interface Life {
  readonly startedAt: number;
  readonly endedAt: number;
  readonly ttl: bigint;
  readonly isCertain: boolean;
}

interface Lease {
  readonly lives: Life[];
  /** When revocations were sent, and when they were answered. */
  readonly revocations: { readonly startedAt: number; readonly endedAt: number; readonly isCertain: boolean }[];
}

/** What can be said about leases, which have times and no revisions. */
export class Leases {
  readonly #leases = new Map<bigint, Lease>();
  /** When keys were attached, as far as it was told: by key and mod revision. */
  readonly #attachedBy = new Map<string, number>();
  readonly #endsAt: number;
  readonly #finalRevision: Revision;

  constructor(private readonly history: History) {
    let endsAt = -Infinity;
    let finalRevision = 0n;
    for (const call of history.calls) {
      const { request, outcome, startedAt, endedAt } = call;
      if (outcome.type === 'done') {
        if (startedAt > endsAt && request.type === 'range') {
          endsAt = startedAt;
          finalRevision = outcome.revision;
        }
        for (const key of attachedKeys(request.type === 'put' || request.type === 'txn' ? request : null))
          this.#attachedBy.set(`${outcome.revision} ${key}`, endedAt);
      }
      if (outcome.type === 'refused') continue;
      const isCertain = outcome.type === 'done';
      if (request.type === 'grant') this.#lease(request.lease).lives.push({ startedAt, endedAt, ttl: request.ttl, isCertain });
      else if (request.type === 'keep-alive') {
        const ttl = outcome.type === 'done' && outcome.result.type === 'keep-alive' ? outcome.result.ttl : 0n;
        if (ttl > 0n || !isCertain) this.#lease(request.lease).lives.push({ startedAt, endedAt, ttl, isCertain });
      } else if (request.type === 'revoke') this.#lease(request.lease).revocations.push({ startedAt, endedAt, isCertain });
    }
    this.#endsAt = endsAt;
    this.#finalRevision = finalRevision;
  }

  /**
   * The keys that an ended lease takes with it, when these changes are the deletions of some of them; null: they are not. All keys of a lease in
   * one database go at one revision, but those that were just being attached.
   */
  explain(changes: readonly Change[], seenAt: number, view: View): readonly string[] | null {
    const kvs = changes.map(({ isDelete, kv }) => (isDelete ? view.get(kv.key) : null));
    const lease = kvs[0]?.lease ?? 0n;
    if (lease === 0n || kvs.some((kv) => kv === null || kv.lease !== lease)) return null;
    const endsFrom = this.#endsFrom(lease, seenAt);
    if (endsFrom > seenAt) return null;
    const areas = this.history.areas.filter(({ prefix }) => changes.some(({ kv }) => kv.key.startsWith(prefix)));
    const [area] = areas;
    if (area === undefined || areas.length > 1) return null;
    const seen = new Set(changes.map(({ kv }) => kv.key));
    const attached = view.range({ key: area.prefix, end: `${area.prefix}\xff` }).filter((kv) => kv.lease === lease);
    return attached.filter((kv) => seen.has(kv.key) || this.#attachedAt(kv) < endsFrom).map(({ key }) => key);
  }

  /** A write that was accepted with a lease that had certainly ended; null: it was not. */
  wrongUse(call: RecordedCall): string | null {
    const { request, outcome, startedAt } = call;
    if (outcome.type !== 'done') return null;
    const isRevoked = leasesPut(request, outcome.result).some(
      (id) => this.#leases.get(id)?.revocations.some(({ endedAt, isCertain }) => isCertain && endedAt < startedAt) === true,
    );
    return isRevoked ? `${showCall(call)} was accepted, but the lease was revoked before` : null;
  }

  /** A call that was refused for want of a lease that was certainly alive; null: it may have ended. */
  wrongRefusal(call: RecordedCall): string | null {
    const { request, startedAt, endedAt } = call;
    const used = usedLeases(request.type === 'grant' || request.type === 'compact' ? null : request);
    if (used.length === 0) return `${showCall(call)}, but it is about no lease`;
    return used.every((id) => this.#livesThrough(id, startedAt, endedAt)) ? `${showCall(call)}, but the lease was alive` : null;
  }

  /** What is wrong with an answer about a lease; null: nothing. */
  judgeCall(call: RecordedCall): string | null {
    const { request, outcome, startedAt, endedAt } = call;
    if (request.type !== 'keep-alive' || outcome.type !== 'done' || outcome.result.type !== 'keep-alive') return null;
    const isRevoked = this.#leases.get(request.lease)?.revocations.some((each) => each.isCertain && each.endedAt < startedAt) === true;
    if (outcome.result.ttl > 0n) return isRevoked ? `${showCall(call)}, but the lease was revoked before` : null;
    return this.#livesThrough(request.lease, startedAt, endedAt) ? `${showCall(call)}, but the lease was alive` : null;
  }

  /** Keys that have outlived their leases at the last read. */
  judgeEnd(model: KeyspaceModel): string[] {
    if (this.history.hasFaults) return [];
    const findings: string[] = [];
    for (const { prefix } of this.history.areas) {
      for (const kv of model.at(this.#finalRevision).range({ key: prefix, end: `${prefix}\xff` })) {
        const lease = this.#leases.get(kv.lease);
        if (kv.lease === 0n || lease === undefined) continue;
        const isRevoked = lease.revocations.some(
          ({ startedAt, endedAt, isCertain }) => isCertain && endedAt < this.#endsAt && this.#attachedAt(kv) < startedAt,
        );
        const latest = lease.lives.reduce((end, { endedAt, ttl }) => Math.max(end, endedAt + Number(ttl) * SECOND), -Infinity);
        const isOverdue = latest + OVERDUE_MS < this.#endsAt && this.#attachedAt(kv) < this.#endsFrom(kv.lease, Infinity);
        if (isRevoked || isOverdue) findings.push(`${showKv(kv)} has outlived its lease ${kv.lease}`);
      }
    }
    return findings;
  }

  /** Before this a lease cannot have ended, for whoever looks at a time. */
  #endsFrom(id: bigint, seenAt: number): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return -Infinity; // of an earlier workload
    const lives = lease.lives.filter(({ endedAt, isCertain }) => isCertain && endedAt < seenAt);
    const expiresFrom = lives.reduce((end, { startedAt, ttl }) => Math.max(end, startedAt + Number(ttl) * SECOND), -Infinity);
    return lease.revocations.reduce((end, { startedAt }) => Math.min(end, startedAt), expiresFrom);
  }

  #livesThrough(id: bigint, startedAt: number, endedAt: number): boolean {
    const lease = this.#leases.get(id);
    const isGranted = lease?.lives.some((life) => life.isCertain && life.endedAt < startedAt) === true;
    return isGranted && this.#endsFrom(id, startedAt) > endedAt;
  }

  #attachedAt({ key, modRevision }: Kv): number {
    return this.#attachedBy.get(`${modRevision} ${key}`) ?? Infinity;
  }

  #lease(id: bigint): Lease {
    let lease = this.#leases.get(id);
    if (lease === undefined) this.#leases.set(id, (lease = { lives: [], revocations: [] }));
    return lease;
  }
}

/** Keys that an operation may put. */
function attachedKeys(operation: Operation | null): string[] {
  if (operation?.type === 'put') return [operation.key];
  return operation?.type === 'txn' ? [...operation.success, ...operation.failure].flatMap(attachedKeys) : [];
}

/** Leases of the puts that took place. */
function leasesPut(request: Request, result: Result): bigint[] {
  if (request.type === 'put') return request.lease === 0n ? [] : [request.lease];
  if (request.type !== 'txn' || result.type !== 'txn') return [];
  const { succeeded, results } = result;
  return (succeeded ? request.success : request.failure).flatMap((each, i) => {
    const answer = results[i];
    return answer === undefined ? [] : leasesPut(each, answer);
  });
}

function usedLeases(request: Operation | { readonly type: 'revoke' | 'keep-alive'; readonly lease: bigint } | null): bigint[] {
  if (request === null) return [];
  if ('lease' in request) return request.lease === 0n ? [] : [request.lease];
  return request.type === 'txn' ? [...request.success, ...request.failure].flatMap(usedLeases) : [];
}
