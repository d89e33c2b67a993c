import {
  decodeKeyValue,
  EmptyKeyError,
  prefixRange,
  recordsOf,
  singleKey,
  type Compare,
  type KeyRange,
  type KeyValueBytes,
  type PutRequest,
  type RangeRequest,
  type RangeSelection,
  type Store,
  type TxnOpResult,
  type TxnRequest,
} from '@harikube/keyspace';
import { decodeEvent } from '../../codec/concurrency.js';
import { WireReader } from '../../wire/wire-reader.js';
import { throwIfGone } from './concurrency-error.js';
import { StoreWatch } from './store-watch.js';

/*
 * The recipe behind locks and elections, as etcd's own concurrency package has it (client/v3/concurrency, v3.6), so that its clients and
 * this server stand in one line: whoever waits has a key `PREFIX/LEASE` attached to a lease, and the key that was created first has it.
 */

/** Seconds; what etcd gives a session that brings no lease. */
const SESSION_TTL = 60n;
const NO_BYTES = Buffer.alloc(0);
const NO_BOUNDS = { minModRevision: 0n, maxModRevision: 0n, minCreateRevision: 0n, maxCreateRevision: 0n };
const FIRST_CREATED: RangeSelection = { target: 'create', order: 'ascend', ...NO_BOUNDS };

/** A key of the line and the revision that it was created at. */
export interface Place {
  readonly key: Buffer;
  readonly createRevision: bigint;
}

export interface Found {
  readonly revision: bigint;
  readonly record: KeyValueBytes | null;
}

/** The lease given, or one of its own. */
export async function sessionLease(store: Store, lease: bigint): Promise<bigint> {
  return lease === 0n ? (await store.grantLease(SESSION_TTL, 0n)).id : lease;
}

export function linePrefix(name: Buffer): Buffer {
  return Buffer.concat([name, Buffer.from('/')]);
}

export function placeKey(prefix: Buffer, lease: bigint): Buffer {
  return Buffer.concat([prefix, Buffer.from(lease.toString(16))]);
}

/** Puts the key if it is not there; else tells it. `first`: whoever is first in the line of a prefix then. */
export async function takePlace(
  store: Store,
  prefix: Buffer,
  put: PutRequest,
): Promise<{ revision: bigint; mine: KeyValueBytes | null; first: KeyValueBytes | null }> {
  const get = rangeOf(singleKey(put.key));
  const first = firstOf(prefix);
  const { revision, succeeded, responses } = await store.txn(createdAt(put.key, 0n, [put, first], [get, first]));
  return { revision, mine: succeeded ? null : recordIn(responses[0]), first: recordIn(responses[1]) };
}

export function putOf(key: Buffer, value: Buffer, lease: bigint): PutRequest {
  return { type: 'put', key, value, lease, prevKv: false, ignoreValue: false, ignoreLease: false };
}

/** A txn that takes effect while the key is the one that was created at a revision. */
export function createdAt(key: Buffer, revision: bigint, success: TxnRequest['success'], failure: TxnRequest['failure'] = []): TxnRequest {
  if (key.length === 0) throw new EmptyKeyError();
  const compare: Compare = { range: singleKey(key), target: 'create', result: 'equal', number: revision, value: NO_BYTES };
  return { type: 'txn', compares: [compare], success, failure };
}

export function removeOf(key: Buffer): TxnRequest['success'][number] {
  return { type: 'delete', range: singleKey(key), prevKv: false };
}

/** Who is first in the line. */
export function findFirst(store: Store, prefix: Buffer): Promise<Found> {
  return find(store, firstOf(prefix));
}

export function findKey(store: Store, key: Buffer): Promise<Found> {
  return find(store, rangeOf(singleKey(key)));
}

/** Resolves when every key of the line that was created at or before a revision is gone. */
export async function waitForTurn(store: Store, prefix: Buffer, maxCreateRevision: bigint, signal: AbortSignal): Promise<void> {
  const selection: RangeSelection = { target: 'create', order: 'descend', ...NO_BOUNDS, maxCreateRevision };
  for (;;) {
    throwIfGone(signal);
    const { record, revision } = await find(store, { ...rangeOf(prefixRange(prefix)), limit: 1, selection });
    if (record === null) return;
    await waitForDeletion(store, decodeKeyValue(record).key, revision, signal);
  }
}

async function waitForDeletion(store: Store, key: Buffer, revision: bigint, signal: AbortSignal): Promise<void> {
  const watch = new StoreWatch(store, singleKey(key), revision, signal);
  try {
    for (;;) for (const event of await watch.next()) if (decodeEvent(new WireReader(event)).isDelete) return;
  } finally {
    watch.close();
  }
}

function firstOf(prefix: Buffer): RangeRequest {
  return { ...rangeOf(prefixRange(prefix)), limit: 1, selection: FIRST_CREATED };
}

function rangeOf(range: KeyRange): RangeRequest {
  return { type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false };
}

async function find(store: Store, request: RangeRequest): Promise<Found> {
  const { revision, blocks, rest } = await store.range(request);
  await rest?.return();
  for (const block of blocks) for (const record of recordsOf(block)) return { revision, record: Buffer.from(record) };
  return { revision, record: null };
}

function recordIn(response: TxnOpResult | undefined): KeyValueBytes | null {
  return response?.type === 'range' ? (response.kvs[0] ?? null) : null;
}
