import {
  DuplicateKeyError,
  EmptyKeyError,
  KeyNotFoundError,
  keyRange,
  LeaseProvidedError,
  LeaseTtlTooLargeError,
  singleKey,
  TooManyOperationsError,
  UnsupportedError,
  ValueProvidedError,
  type Compare,
  type CompareResult,
  type CompareTarget,
  type DeleteRangeRequest,
  type KeyRange,
  type PutRequest,
  type RangeRequest,
  type TxnOp,
  type TxnRequest,
} from '@harikube/keyspace';
import type { DeleteRangeMessage } from './codec/delete-range.js';
import type { LeaseGrantMessage } from './codec/lease.js';
import type { PutMessage } from './codec/put.js';
import { SortOrder, type RangeMessage } from './codec/range.js';
import { CompareMember, type CompareMessage, type RequestOpMessage, type TxnMessage } from './codec/txn.js';
import { GrpcCode, GrpcError } from './wire/grpc-status.js';

/**
 * From what came over the wire to what the keyspace understands: the checks in etcd's order
 * (server/etcdserver/api/v3rpc/key.go, v3.6), and by name the refusal of what is not supported.
 */

/** Compares, and operations of either branch, that a txn may hold. */
const MAX_TXN_OPERATIONS = 128;

/** Seconds. */
const MAX_LEASE_TTL = 9_000_000_000n;

const SORT_TARGETS = 5;

export function toRangeRequest(message: RangeMessage): RangeRequest {
  checkRange(message);
  refuseUnsupportedRange(message);
  return {
    type: 'range',
    range: keyRange(message.key, message.rangeEnd),
    limit: toLimit(message.limit),
    revision: message.revision < 0n ? 0n : message.revision,
    keysOnly: message.keysOnly,
    countOnly: message.countOnly,
  };
}

export function toPutRequest(message: PutMessage): PutRequest {
  checkPut(message);
  return message;
}

export function toDeleteRangeRequest(message: DeleteRangeMessage): DeleteRangeRequest {
  checkDeleteRange(message);
  return { type: 'delete', range: keyRange(message.key, message.rangeEnd), prevKv: message.prevKv };
}

export function toTxnRequest(message: TxnMessage): TxnRequest {
  checkTxn(message, MAX_TXN_OPERATIONS);
  checkOverlaps(message.success);
  checkOverlaps(message.failure);
  return {
    type: 'txn',
    compares: message.compare.map(toCompare),
    success: message.success.map(toOperation),
    failure: message.failure.map(toOperation),
  };
}

export function checkLeaseGrant(message: LeaseGrantMessage): void {
  if (message.ttl > MAX_LEASE_TTL) throw new LeaseTtlTooLargeError();
}

function checkRange(message: RangeMessage): void {
  if (message.key.length === 0) throw new EmptyKeyError();
  const { sortOrder, sortTarget } = message;
  if (sortOrder < 0 || sortOrder > SortOrder.Descend || sortTarget < 0 || sortTarget >= SORT_TARGETS) {
    throw new GrpcError(GrpcCode.InvalidArgument, 'etcdserver: invalid sort option');
  }
}

function refuseUnsupportedRange(message: RangeMessage): void {
  // Without an order, another target than the key means ascending (etcd server/etcdserver/txn/range.go, v3.6).
  if (message.sortOrder === SortOrder.Descend) throw new UnsupportedError('sort_order DESCEND of a range request');
  if (message.sortTarget !== 0) throw new UnsupportedError('a sort_target other than KEY of a range request');
  if (message.minModRevision !== 0n) throw new UnsupportedError('min_mod_revision of a range request');
  if (message.maxModRevision !== 0n) throw new UnsupportedError('max_mod_revision of a range request');
  if (message.minCreateRevision !== 0n) throw new UnsupportedError('min_create_revision of a range request');
  if (message.maxCreateRevision !== 0n) throw new UnsupportedError('max_create_revision of a range request');
}

function checkPut(message: PutMessage): void {
  if (message.key.length === 0) throw new EmptyKeyError();
  if (message.ignoreValue && message.value.length > 0) throw new ValueProvidedError();
  if (message.ignoreLease && message.lease !== 0n) throw new LeaseProvidedError();
}

function checkDeleteRange(message: DeleteRangeMessage): void {
  if (message.key.length === 0) throw new EmptyKeyError();
}

function checkTxn(message: TxnMessage, budget: number): void {
  const operations = Math.max(message.compare.length, message.success.length, message.failure.length);
  if (operations > budget) throw new TooManyOperationsError();
  for (const compare of message.compare) if (compare.key.length === 0) throw new EmptyKeyError();
  for (const operation of message.success) checkOperation(operation, budget - operations);
  for (const operation of message.failure) checkOperation(operation, budget - operations);
}

function checkOperation(operation: RequestOpMessage, budget: number): void {
  switch (operation?.type) {
    case 'range':
      checkRange(operation);
      return;
    case 'put':
      checkPut(operation);
      return;
    case 'delete':
      checkDeleteRange(operation);
      return;
    case 'txn':
      checkTxn(operation, budget);
      return;
    case undefined:
      throw new KeyNotFoundError();
  }
}

/** A branch must not put a key twice, nor put a key that it deletes. Ranges, and deletes among themselves, may overlap. */
function checkOverlaps(branch: readonly RequestOpMessage[]): void {
  if (branch.length < 2) return;
  const deletes: KeyRange[] = [];
  for (const operation of branch) if (operation?.type === 'delete') deletes.push(keyRange(operation.key, operation.rangeEnd));
  const puts = new Set<string>();
  for (const operation of branch) {
    if (operation?.type !== 'put') continue;
    const key = operation.key.toString('latin1');
    if (puts.has(key) || deletes.some((range) => covers(range, operation.key))) throw new DuplicateKeyError();
    puts.add(key);
  }
}

function covers(range: KeyRange, key: Buffer): boolean {
  return Buffer.compare(range.start, key) <= 0 && (range.end === null || Buffer.compare(key, range.end) < 0);
}

function toOperation(operation: RequestOpMessage): TxnOp {
  switch (operation?.type) {
    case 'range':
      return toRangeRequest(operation);
    case 'put':
      return operation;
    case 'delete':
      return { type: 'delete', range: keyRange(operation.key, operation.rangeEnd), prevKv: operation.prevKv };
    case 'txn':
      throw new UnsupportedError('a txn inside a txn request');
    case undefined:
      throw new KeyNotFoundError();
  }
}

const RESULTS: readonly CompareResult[] = ['equal', 'greater', 'less', 'not-equal'];
const TARGETS: readonly CompareTarget[] = ['version', 'create', 'mod', 'value', 'lease'];
const FIRST_MEMBER = CompareMember.Version;

function toCompare(message: CompareMessage): Compare {
  if (message.rangeEnd.length > 0) throw new UnsupportedError('range_end of a compare');
  const result = RESULTS[message.result];
  const target = TARGETS[message.target];
  if (result === undefined) throw new GrpcError(GrpcCode.InvalidArgument, `etcdserver: compare result ${message.result} is not supported`);
  if (target === undefined) throw new GrpcError(GrpcCode.InvalidArgument, `etcdserver: compare target ${message.target} is not supported`);
  // The members of the oneof stand in the order of the targets. One that is not the target's counts as absent.
  const isMember = message.member === FIRST_MEMBER + message.target;
  return {
    range: singleKey(message.key),
    target,
    result,
    number: isMember ? message.number : 0n,
    value: isMember ? message.value : EMPTY,
  };
}

const EMPTY = Buffer.alloc(0);

function toLimit(limit: bigint): number {
  if (limit <= 0n) return 0;
  return limit > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(limit);
}
