import { Random } from '@harikube/testing';
import type { PlainMessage } from './etcd-messages.js';

/** What is asked of both servers next. */
export type Step =
  | { readonly kind: 'call'; readonly method: string; readonly request: PlainMessage }
  /** `once`: on a stream of its own, which is closed when the watch is over. */
  | { readonly kind: 'watch'; readonly stream: WatchStreamName; readonly request: PlainMessage }
  | { readonly kind: 'cancel'; readonly stream: WatchStreamName; readonly watchId: bigint }
  | { readonly kind: 'reopen'; readonly stream: WatchStreamName }
  /** Of the router alone, which is to refuse it by name. */
  | { readonly kind: 'refused'; readonly method: string; readonly request: PlainMessage };

/** `future`: watches that begin at a revision to come, which hold up the progress of their stream. `once`: watches from before the compaction. */
export type WatchStreamName = 'first' | 'second' | 'future' | 'once';

/** What the answers so far have told. */
export interface View {
  readonly revision: bigint;
  readonly compactRevision: bigint;
  readonly leaders: readonly PlainMessage[];
}

/** Keys with these prefixes may lie in a database each. */
export const GROUPS = ['/a/', '/b/', '/c/'] as const;
const NAMES = ['1', '2', '2x', '3'];
/** Of no group; only where all keys lie in one database. */
const LOOSE_KEYS = ['k', '\0', '\xff\xff'];
const LEASES = [1n, 2n, 3n, 4n, 5n, 6n];
const UNKNOWN_LEASE = 77n;
const SHORT_LEASE = 99n;
const MAX_INT64 = 0x7fff_ffff_ffff_ffffn;
const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;
const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;

interface Scope {
  /** The groups that keys are drawn from. */
  readonly groups: readonly string[];
  readonly isSplit: boolean;
}

/**
 * Draws requests of every kind over few keys, so that they meet often. What is left out, since the two are known to differ, stands in
 * docs/conformance.md; with split databases, what would need two of them at once is left out too, or drawn as `refused`.
 */
export class RequestGrammar {
  readonly #random: Random;
  readonly #queue: Step[] = [];

  constructor(
    seed: number,
    private readonly isSplit: boolean,
  ) {
    this.#random = new Random(seed);
  }

  next(view: View): Step {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    const random = this.#random;
    const roll = random.below(1000);
    if (roll < 200) return call('KV/Put', this.#put(this.#scope()));
    if (roll < 360) return call('KV/Range', this.#range(this.#everywhere(), view));
    if (roll < 430) return call('KV/DeleteRange', this.#deleteRange(this.#scope(), true));
    if (roll < 700) return call('KV/Txn', this.#txn(view));
    if (roll < 720) return this.#compaction(view);
    if (roll < 790) return this.#lease();
    if (roll < 880) return this.#watch(view);
    if (roll < 910) return { kind: 'cancel', stream: random.pick(['first', 'second', 'future']), watchId: BigInt(random.below(7)) };
    if (roll < 920) return { kind: 'reopen', stream: random.pick(['first', 'second', 'future']) };
    if (roll < 960) return this.#concurrency(view);
    if (roll < 985) return this.#maintenance(view);
    if (roll < 990) return this.#large();
    if (!this.isSplit) return call('KV/Txn', this.#txn(view));
    return this.#acrossDatabases();
  }

  /** Where a write may be: one group where each has its database. */
  #scope(): Scope {
    return this.isSplit ? { groups: [this.#random.pick(GROUPS)], isSplit: true } : this.#everywhere();
  }

  #everywhere(): Scope {
    return { groups: GROUPS, isSplit: this.isSplit };
  }

  #key({ groups, isSplit }: Scope): string {
    const random = this.#random;
    if (random.chance(0.01)) return '';
    if (!isSplit && random.chance(0.08)) return random.pick(LOOSE_KEYS);
    return random.pick(groups) + random.pick(NAMES);
  }

  /** `key` and `range_end`. */
  #keys(scope: Scope, singles: number): PlainMessage {
    const { range_end: end, ...single } = this.#drawKeys(scope, singles);
    // No client puts an empty end on the wire; one of the known differences.
    return end === undefined || end === '' ? single : { ...single, range_end: end };
  }

  #drawKeys(scope: Scope, singles: number): PlainMessage {
    const random = this.#random;
    if (random.chance(singles)) return { key: this.#key(scope) };
    const isWhole = scope.groups.length === GROUPS.length;
    switch (random.below(isWhole ? 6 : 4)) {
      case 0: {
        const group = random.pick(scope.groups);
        return { key: group, range_end: `${group.slice(0, -1)}0` };
      }
      case 1: {
        const group = random.pick(scope.groups);
        return { key: group + random.pick(NAMES), range_end: `${group}${random.pick(NAMES)}\0` };
      }
      case 2: {
        const group = random.pick(scope.groups);
        return { key: `${group}2`, range_end: `${group}3` };
      }
      case 3: {
        const key = this.#key(scope);
        return { key, range_end: key };
      }
      case 4:
        return { key: '\0', range_end: '\0' };
      default:
        return { key: this.#key(scope), range_end: random.chance(0.5) ? '\0' : this.#key(scope) };
    }
  }

  #value(): string {
    return this.#random.pick(['', 'one', 'two', 'three', 'k8s\0\xff', 'one']);
  }

  /** Of a put into a group. With split databases each lease has keys in one of them, since it takes one revision in each. */
  #leaseFor(key: string): bigint {
    const random = this.#random;
    if (random.chance(0.03)) return UNKNOWN_LEASE;
    const leases = this.isSplit ? LEASES.filter((id) => GROUPS[Number(id) % GROUPS.length] === key.slice(0, 3)) : LEASES;
    return leases.length === 0 ? 0n : random.pick(leases);
  }

  #put(scope: Scope): PlainMessage {
    const random = this.#random;
    const key = this.#key(scope);
    const ignoresValue = random.chance(0.12);
    const ignoresLease = random.chance(0.1);
    return {
      key,
      ...(ignoresValue && random.chance(0.8) ? {} : { value: this.#value() }),
      ...(random.chance(0.25) && !(ignoresLease && random.chance(0.8)) ? { lease: this.#leaseFor(key) } : {}),
      ...(random.chance(0.3) ? { prev_kv: true } : {}),
      ...(ignoresValue ? { ignore_value: true } : {}),
      ...(ignoresLease ? { ignore_lease: true } : {}),
    };
  }

  #deleteRange(scope: Scope, mayBeEndless: boolean): PlainMessage {
    const keys = this.#keys(scope, 0.6);
    // Only outside of txns: what etcd thinks of a put beside it is one of the known differences.
    const bounded = mayBeEndless || keys['range_end'] !== '\0' ? keys : { key: '\0', range_end: '\xff' };
    return { ...bounded, ...(this.#random.chance(0.4) ? { prev_kv: true } : {}) };
  }

  #revision(view: View): bigint {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
        return view.revision + BigInt(random.below(3));
      case 1:
        return view.compactRevision + BigInt(random.below(3)) - 1n;
      case 2:
        return random.pick([-1n, -7n, MAX_INT64]);
      default:
        return view.revision - BigInt(random.below(25));
    }
  }

  #range(scope: Scope, view: View, isSortedFewOnly = false): PlainMessage {
    const random = this.#random;
    const keys = this.#keys(scope, 0.25);
    const end = textOf(keys, 'range_end');
    const isFew = end === '' || GROUPS.some((group) => textOf(keys, 'key').startsWith(group) && end <= `${group.slice(0, -1)}0`);
    const sorts = random.chance(0.4) && (isFew || !isSortedFewOnly);
    const bound = (name: string): PlainMessage => (random.chance(0.08) ? { [name]: view.revision - BigInt(random.below(20)) } : {});
    return {
      ...keys,
      ...(random.chance(0.4) ? { limit: random.pick([1n, 2n, 3n, 5n, 100n, -1n, MAX_INT64]) } : {}),
      ...(random.chance(0.3) ? { revision: this.#revision(view) } : {}),
      ...(sorts ? { sort_order: BigInt(random.below(random.chance(0.05) ? 4 : 3)) } : {}),
      ...(sorts ? { sort_target: BigInt(random.below(random.chance(0.05) ? 6 : 5)) } : {}),
      ...(random.chance(0.1) ? { serializable: true } : {}),
      ...(random.chance(0.15) ? { keys_only: true } : {}),
      ...(random.chance(0.1) ? { count_only: true } : {}),
      ...bound('min_mod_revision'),
      ...bound('max_mod_revision'),
      ...bound('min_create_revision'),
      ...bound('max_create_revision'),
    };
  }

  #compare(scope: Scope, view: View): PlainMessage {
    const random = this.#random;
    const keys = this.#keys(scope, 0.75);
    const target = BigInt(random.below(5));
    const result = random.chance(0.5) ? 0n : BigInt(random.below(4));
    const near = view.revision - BigInt(random.below(12));
    const members: PlainMessage[] = [
      { version: BigInt(random.below(4)) },
      { create_revision: random.chance(0.5) ? 0n : near },
      { mod_revision: random.chance(0.4) ? 0n : near },
      { value: this.#value() },
      { lease: random.chance(0.5) ? 0n : random.pick(LEASES) },
    ];
    // Now and then of another target, or of none.
    const member = random.chance(0.05) ? (random.chance(0.5) ? {} : random.pick(members)) : members[Number(target)];
    return { result, target, ...keys, ...member };
  }

  #txn(view: View): PlainMessage {
    const random = this.#random;
    if (random.chance(0.01)) return this.#manyOperations();
    const isReadOnly = random.chance(0.15);
    const scope = isReadOnly ? this.#everywhere() : this.#scope();
    for (;;) {
      const txn = this.#txnIn(scope, view, isReadOnly, 0);
      if (!writesTwice(list(txn, 'success')) && !writesTwice(list(txn, 'failure'))) return txn;
    }
  }

  #txnIn(scope: Scope, view: View, isReadOnly: boolean, depth: number): PlainMessage {
    const random = this.#random;
    const branch = (): PlainMessage[] => Array.from({ length: random.below(4) }, () => this.#operation(scope, view, isReadOnly, depth));
    const compare = Array.from({ length: random.below(3) }, () => this.#compare(scope, view));
    return { compare, success: branch(), failure: branch() };
  }

  #operation(scope: Scope, view: View, isReadOnly: boolean, depth: number): PlainMessage {
    const random = this.#random;
    if (random.chance(0.01)) return {};
    if (depth < 3 && random.chance(isReadOnly ? 0 : 0.18)) return { request_txn: this.#txnIn(scope, view, isReadOnly, depth + 1) };
    const what = isReadOnly ? 0 : random.below(10);
    if (what < 4) return { request_range: this.#range(scope, view, true) };
    if (what < 8) return { request_put: this.#put(scope) };
    return { request_delete_range: this.#deleteRange(scope, false) };
  }

  #manyOperations(): PlainMessage {
    const random = this.#random;
    const gets = (count: number): PlainMessage[] => Array.from({ length: count }, () => ({ request_range: { key: '/a/1' } }));
    const outer = 100 + random.below(32);
    if (random.chance(0.5)) return { success: gets(outer) };
    return { success: [...gets(outer), { request_txn: { failure: gets(random.below(40)) } }] };
  }

  #compaction(view: View): Step {
    const random = this.#random;
    const near = random.pick([view.revision, view.revision - 5n, view.revision + 1n, view.compactRevision, -3n]);
    // A compaction at 0 of a store that never was compacted is one of the known differences.
    const revision = near === 0n ? 1n : near;
    return call('KV/Compact', { revision, ...(random.chance(0.3) ? { physical: true } : {}) });
  }

  #lease(): Step {
    const random = this.#random;
    const id = random.chance(0.1) ? UNKNOWN_LEASE : random.pick(LEASES);
    switch (random.below(8)) {
      case 0:
      case 1:
        // Far apart, so that the order in which they end is the same for both.
        return call('Lease/LeaseGrant', {
          ID: id === UNKNOWN_LEASE ? 1n : id,
          TTL: random.chance(0.1) ? 9_000_000_001n : (id % 10n) * 10_000n + 500n,
        });
      case 2:
        if (random.chance(0.3)) {
          // What is granted for so short a time is given back at once.
          this.#queue.push(call('Lease/LeaseRevoke', { ID: SHORT_LEASE }));
          return call('Lease/LeaseGrant', { ID: SHORT_LEASE, TTL: random.pick([-1n, 0n, 1n]) });
        }
        return call('Lease/LeaseRevoke', { ID: id });
      case 3:
        return call('Lease/LeaseKeepAlive', { ID: id });
      case 4:
      case 5:
        return call('Lease/LeaseTimeToLive', { ID: id, keys: random.chance(0.7) });
      case 6:
        return call('Lease/LeaseLeases', {});
      default:
        return call('Lease/LeaseRevoke', { ID: random.chance(0.5) ? 0n : UNKNOWN_LEASE });
    }
  }

  #watch(view: View): Step {
    const random = this.#random;
    const start = random.pick([
      0n,
      0n,
      view.revision - BigInt(random.below(30)),
      view.revision + 1n,
      view.revision + 1n + BigInt(random.below(5)),
      -4n,
    ]);
    const startRevision = start < 0n && start !== -4n ? 0n : start;
    const request: PlainMessage = {
      ...(random.chance(0.05) ? { range_end: '/b/' } : this.#keys(this.#everywhere(), 0.4)),
      ...(startRevision === 0n ? {} : { start_revision: startRevision }),
      ...(random.chance(0.5) ? { prev_kv: true } : {}),
      ...(random.chance(0.2) ? { filters: [BigInt(random.below(2))] } : {}),
      ...(random.chance(0.2) ? { fragment: true } : {}),
      ...(random.chance(0.1) ? { progress_notify: true } : {}),
      ...(random.chance(0.25) ? { watch_id: BigInt(1 + random.below(5)) } : {}),
    };
    if (startRevision > view.revision) return { kind: 'watch', stream: 'future', request };
    const isCompacted = startRevision > 0n && startRevision < view.compactRevision;
    return { kind: 'watch', stream: isCompacted ? 'once' : random.pick(['first', 'second']), request };
  }

  /** Each session stands in a line of its own, so that nobody has to wait. */
  #concurrency(view: View): Step {
    const random = this.#random;
    const lease = random.chance(0.1) ? UNKNOWN_LEASE : random.pick(LEASES);
    const group = GROUPS[Number(lease) % GROUPS.length] ?? GROUPS[0];
    const name = `${group}l${lease}`;
    switch (random.below(6)) {
      case 0:
        return call('Lock/Lock', { name, lease });
      case 1:
        return call('Lock/Unlock', random.chance(0.1) ? {} : { key: `${name}/${lease.toString(16)}` });
      case 2:
        return call('Election/Campaign', { name, lease, value: this.#value() });
      case 3:
        return call('Election/Leader', { name });
      default: {
        const [method, value] = random.chance(0.5) ? ['Election/Proclaim', { value: this.#value() }] : ['Election/Resign', {}];
        if (view.leaders.length === 0 || random.chance(0.05)) return call(method, { ...value });
        return call(method, { leader: random.pick(view.leaders), ...value });
      }
    }
  }

  #maintenance(view: View): Step {
    const random = this.#random;
    switch (random.below(3)) {
      case 0: {
        const revision = this.#revision(view);
        // Of a revision that is compacted away etcd may still have a hash.
        return call('Maintenance/HashKV', { revision: revision < view.compactRevision || revision < 0n ? 0n : revision });
      }
      case 1:
        return call('Maintenance/Alarm', random.chance(0.5) ? {} : { action: 2n, alarm: 1n });
      default:
        return call('Maintenance/Defragment', {});
    }
  }

  /** About the limits on a request and on a message. */
  #large(): Step {
    const random = this.#random;
    const size = random.pick([
      MAX_REQUEST_BYTES - 1000,
      MAX_REQUEST_BYTES,
      MAX_REQUEST_BYTES + 1,
      MAX_MESSAGE_BYTES - 100,
      MAX_MESSAGE_BYTES,
    ]);
    const value = 'x'.repeat(size);
    if (random.chance(0.5)) return call('KV/Put', { key: '/a/1', value });
    return call('KV/Txn', { success: [{ request_put: { key: '/a/1', value } }] });
  }

  #acrossDatabases(): Step {
    const random = this.#random;
    const one: PlainMessage = { request_put: { key: '/a/1', value: 'x' } };
    const other: PlainMessage = random.chance(0.5)
      ? { request_put: { key: '/b/1', value: 'x' } }
      : { request_delete_range: { key: '/a/', range_end: '/c0' } };
    if (random.chance(0.5)) return { kind: 'refused', method: 'KV/Txn', request: { success: [one], failure: [other] } };
    return {
      kind: 'refused',
      method: 'KV/Txn',
      request: { success: [one, { request_txn: { success: [{ request_put: { key: '/b/1' } }] } }] },
    };
  }
}

function call(method: string, request: PlainMessage): Step {
  return { kind: 'call', method, request };
}

function list(message: PlainMessage, field: string): readonly PlainMessage[] {
  return (message[field] ?? []) as readonly PlainMessage[];
}

/** A delete in a txn behind the txn that puts its key: etcd's own check overlooks that, and the router's does not. */
function writesTwice(branch: readonly PlainMessage[]): boolean {
  const txns = branch.flatMap(({ request_txn: txn }) => (txn === undefined ? [] : [txn as PlainMessage]));
  for (const [i, txn] of txns.entries()) {
    const keys = putsIn([...list(txn, 'success'), ...list(txn, 'failure')]);
    for (const later of txns.slice(i + 1)) {
      const deletes = deletesIn([...list(later, 'success'), ...list(later, 'failure')]);
      if (keys.some((key) => deletes.some((range) => covers(range, key)))) return true;
    }
    if (writesTwice(list(txn, 'success')) || writesTwice(list(txn, 'failure'))) return true;
  }
  return false;
}

function putsIn(branch: readonly PlainMessage[]): string[] {
  return branch.flatMap((operation) => {
    const { request_put: put, request_txn: txn } = operation as Record<string, PlainMessage | undefined>;
    if (put !== undefined) return [textOf(put, 'key')];
    return txn === undefined ? [] : putsIn([...list(txn, 'success'), ...list(txn, 'failure')]);
  });
}

function deletesIn(branch: readonly PlainMessage[]): PlainMessage[] {
  return branch.flatMap((operation) => {
    const { request_delete_range: range, request_txn: txn } = operation as Record<string, PlainMessage | undefined>;
    if (range !== undefined) return [range];
    return txn === undefined ? [] : deletesIn([...list(txn, 'success'), ...list(txn, 'failure')]);
  });
}

function covers(range: PlainMessage, key: string): boolean {
  const start = textOf(range, 'key');
  const end = textOf(range, 'range_end');
  return end === '' ? key === start : key >= start && key < end;
}

function textOf(message: PlainMessage, field: string): string {
  const value = message[field];
  return typeof value === 'string' ? value : '';
}
