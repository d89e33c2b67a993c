import type { Revision } from '@harikube/keyspace';
import { type Compare, covers, type Kv, type Operation, type OperationResult, type RangeOperation } from './history.js';

/** The keys at one moment. */
export interface View {
  get(key: string): Kv | null;
  /** Those of a range that live, in bytewise order. */
  range(range: { readonly key: string; readonly end: string }): Kv[];
}

/** What an operation does at a revision: its answer, and the keys that it leaves otherwise (null: deleted), in its order. */
export interface Effect {
  readonly result: OperationResult;
  readonly written: ReadonlyMap<string, Kv | null>;
}

interface Version {
  readonly revision: Revision;
  /** Null: deleted. */
  readonly kv: Kv | null;
}

/** The sequential keyspace: every key at every revision. */
export class KeyspaceModel {
  readonly #versions = new Map<string, Version[]>();
  #sorted: string[] | null = null;

  constructor(initial: readonly Kv[]) {
    for (const kv of initial) this.#add(kv.key, { revision: kv.modRevision, kv });
  }

  /** Revisions never go back. */
  apply(revision: Revision, written: ReadonlyMap<string, Kv | null>): void {
    for (const [key, kv] of written) this.#add(key, { revision, kv });
  }

  /** The keys as they are at a revision. */
  at(revision: Revision): View {
    const get = (key: string): Kv | null => lastUpTo(this.#versions.get(key) ?? [], revision)?.kv ?? null;
    return { get, range: (range) => this.#keysIn(range).flatMap((key) => get(key) ?? []) };
  }

  #add(key: string, version: Version): void {
    const versions = this.#versions.get(key);
    if (versions !== undefined) versions.push(version);
    else {
      this.#versions.set(key, [version]);
      this.#sorted = null;
    }
  }

  #keysIn(range: { readonly key: string; readonly end: string }): string[] {
    if (range.end === '') return [range.key];
    // Of characters below 256 the order is that of bytes.
    this.#sorted ??= [...this.#versions.keys()].sort();
    return this.#sorted.filter((key) => covers(range, key));
  }
}

function lastUpTo(versions: readonly Version[], revision: Revision): Version | undefined {
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle] as Version).revision <= revision) low = middle + 1;
    else high = middle;
  }
  return versions[low - 1];
}

/** What an operation answers and does on top of a view, at the revision that is its own if it writes. Ranges are at latest. */
export function perform(view: View, operation: Operation, revision: Revision): Effect {
  const overlay = new Overlay(view);
  const result = execute(overlay, view, operation, revision);
  return { result, written: overlay.written };
}

export function answerRange(
  kvs: readonly Kv[],
  { limit, keysOnly, countOnly }: RangeOperation,
): OperationResult & { readonly type: 'range' } {
  if (countOnly) return { type: 'range', kvs: [], count: kvs.length, more: false };
  const page = limit === 0 ? kvs : kvs.slice(0, limit);
  return {
    type: 'range',
    kvs: keysOnly ? page.map((kv) => ({ ...kv, value: '' })) : page,
    count: kvs.length,
    more: page.length < kvs.length,
  };
}

/** A view with changes on top. */
class Overlay implements View {
  readonly written = new Map<string, Kv | null>();

  constructor(private readonly below: View) {}

  get(key: string): Kv | null {
    return this.written.has(key) ? (this.written.get(key) ?? null) : this.below.get(key);
  }

  range(range: { readonly key: string; readonly end: string }): Kv[] {
    if (this.written.size === 0) return this.below.range(range);
    const keys = new Set(this.below.range(range).map(({ key }) => key));
    for (const key of this.written.keys()) if (covers(range, key)) keys.add(key);
    return [...keys].sort().flatMap((key) => this.get(key) ?? []);
  }
}

function execute(overlay: Overlay, before: View, operation: Operation, revision: Revision): OperationResult {
  switch (operation.type) {
    case 'range':
      return answerRange(overlay.range(operation), operation);
    case 'put': {
      const old = overlay.get(operation.key);
      overlay.written.set(operation.key, {
        key: operation.key,
        value: operation.value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        version: (old?.version ?? 0n) + 1n,
        lease: operation.lease,
      });
      return { type: 'put', prev: operation.prevKv ? old : null };
    }
    case 'delete': {
      const prevs = overlay.range(operation);
      for (const { key } of prevs) overlay.written.set(key, null);
      return { type: 'delete', deleted: prevs.length, prevs: operation.prevKv ? prevs : [] };
    }
    case 'txn': {
      // Compares, those of nested txns too, are about what was there before the whole txn.
      const succeeded = operation.compares.every((compare) => holds(before, compare));
      const branch = succeeded ? operation.success : operation.failure;
      return { type: 'txn', succeeded, results: branch.map((each) => execute(overlay, before, each, revision)) };
    }
  }
}

/** Of a range every key must satisfy it; one without keys counts as a single absent key. */
function holds(view: View, compare: Compare): boolean {
  const kvs = view.range(compare);
  return kvs.length === 0 ? holdsFor(null, compare) : kvs.every((kv) => holdsFor(kv, compare));
}

function holdsFor(kv: Kv | null, compare: Compare): boolean {
  if (compare.target === 'value') return kv !== null && relates(kv.value, compare.value, compare.result);
  return relates(kv === null ? 0n : numberOf(kv, compare.target), compare.number, compare.result);
}

function numberOf(kv: Kv, target: 'version' | 'create' | 'mod' | 'lease'): bigint {
  switch (target) {
    case 'version':
      return kv.version;
    case 'create':
      return kv.createRevision;
    case 'mod':
      return kv.modRevision;
    case 'lease':
      return kv.lease;
  }
}

function relates<T extends bigint | string>(actual: T, given: T, result: Compare['result']): boolean {
  switch (result) {
    case 'equal':
      return actual === given;
    case 'not-equal':
      return actual !== given;
    case 'greater':
      return actual > given;
    case 'less':
      return actual < given;
  }
}

/** Whether two keys are the same in everything. */
export function isSameKv(a: Kv | null, b: Kv | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.key === b.key &&
    a.value === b.value &&
    a.modRevision === b.modRevision &&
    a.createRevision === b.createRevision &&
    a.version === b.version &&
    a.lease === b.lease
  );
}
