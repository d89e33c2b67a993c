import {
  DuplicateKeyError,
  EmptyKeyError,
  KeyNotFoundError,
  keyRange,
  LeaseProvidedError,
  LeaseTtlTooLargeError,
  TooManyOperationsError,
  ValueProvidedError,
  type Compare,
  type CompareResult,
  type CompareTarget,
  type DeleteRangeRequest,
  type KeyRange,
  type PutRequest,
  type RangeRequest,
  type RangeSelection,
  type SortTarget,
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
 * (server/etcdserver/api/v3rpc/key.go, v3.6).
 */

/** Compares, and operations of either branch, that a txn may hold. */
const MAX_TXN_OPERATIONS = 128;

/**
 * Compares and operations of a txn and all txns inside it. etcd bounds only how they nest, which lets a single request hold hundreds of
 * thousands.
 */
const MAX_NESTED_OPERATIONS = 4096;

/** Seconds. */
const MAX_LEASE_TTL = 9_000_000_000n;

export function toRangeRequest(message: RangeMessage): RangeRequest {
  checkRange(message);
  return toRange(message, message.revision < 0n ? 0n : message.revision);
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
  if (operationsIn(message, 0) > MAX_NESTED_OPERATIONS) throw new TooManyOperationsError();
  if (mayOverlap(message.success)) checkOverlaps(message.success);
  if (mayOverlap(message.failure)) checkOverlaps(message.failure);
  return toTxn(message);
}

function toTxn(message: TxnMessage): TxnRequest {
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
  if (sortOrder < 0 || sortOrder > SortOrder.Descend || sortTarget < 0 || sortTarget >= SORT_TARGETS.length) {
    throw new GrpcError(GrpcCode.InvalidArgument, 'etcdserver: invalid sort option');
  }
}

function toRange(message: RangeMessage, revision: bigint): RangeRequest {
  return {
    type: 'range',
    range: keyRange(message.key, message.rangeEnd),
    limit: toLimit(message.limit),
    revision,
    keysOnly: message.keysOnly,
    countOnly: message.countOnly,
    selection: toSelection(message),
  };
}

const SORT_TARGETS: readonly SortTarget[] = ['key', 'version', 'create', 'mod', 'value'];
const SORT_ORDERS = ['none', 'ascend', 'descend'] as const;

/** Undefined where it is what a range does anyway. */
function toSelection(message: RangeMessage): RangeSelection | undefined {
  const { sortOrder, sortTarget, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = message;
  const isPlain = sortTarget === 0 && sortOrder !== SortOrder.Descend;
  const isBounded = minModRevision !== 0n || maxModRevision !== 0n || minCreateRevision !== 0n || maxCreateRevision !== 0n;
  if (isPlain && !isBounded) return undefined;
  const target = SORT_TARGETS[sortTarget] as SortTarget;
  const order = SORT_ORDERS[sortOrder] ?? 'none';
  return { target, order, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision };
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

/** Only a txn with txns inside it is counted: any other is within its bound. */
function operationsIn({ compare, success, failure }: TxnMessage, depth: number): number {
  let operations = depth === 0 ? 0 : compare.length + success.length + failure.length;
  for (const operation of success) if (operation?.type === 'txn') operations += operationsIn(operation, depth + 1);
  for (const operation of failure) if (operation?.type === 'txn') operations += operationsIn(operation, depth + 1);
  return operations;
}

function mayOverlap(branch: readonly RequestOpMessage[]): boolean {
  return branch.length > 1 || branch[0]?.type === 'txn';
}

interface Writes {
  /** Keys that are put, as latin1. */
  readonly puts: Set<string>;
  readonly deletes: KeyRange[];
}

const NO_WRITES: Writes = { puts: new Set(), deletes: [] };

/**
 * A branch must not put a key twice, nor put a key that it deletes, in itself or in the txns inside it; what excludes each other there may.
 * Ranges, and deletes among themselves, may overlap. Stricter than etcd's checkIntervals in two cases, which would write a key twice in one
 * revision: a delete to the end of all keys, and a delete in a txn behind the one that puts the key.
 */
function checkOverlaps(branch: readonly RequestOpMessage[]): Writes {
  if (!mayOverlap(branch)) return writesOf(branch[0] ?? null);
  const deletes: KeyRange[] = [];
  const puts = new Set<string>();
  const addPut = (key: string, but?: ReadonlySet<string>): void => {
    if (puts.has(key) && but?.has(key) !== true) throw new DuplicateKeyError();
    puts.add(key);
  };
  for (const operation of branch) if (operation?.type === 'delete') deletes.push(keyRange(operation.key, operation.rangeEnd));
  for (const operation of branch) {
    if (operation?.type !== 'txn') continue;
    const success = checkOverlaps(operation.success);
    const failure = checkOverlaps(operation.failure);
    const inner = [...success.deletes, ...failure.deletes];
    refuseCovered(success.puts, deletes);
    refuseCovered(failure.puts, deletes);
    refuseCovered(puts, inner);
    for (const key of success.puts) addPut(key);
    for (const key of failure.puts) addPut(key, success.puts);
    deletes.push(...inner);
  }
  const own = new Set<string>();
  for (const operation of branch) {
    if (operation?.type !== 'put') continue;
    const key = operation.key.toString('latin1');
    addPut(key);
    own.add(key);
  }
  refuseCovered(own, deletes);
  return { puts, deletes };
}

/** A single operation has nothing to overlap with. */
function writesOf(operation: RequestOpMessage): Writes {
  switch (operation?.type) {
    case 'put':
      return { puts: new Set([operation.key.toString('latin1')]), deletes: [] };
    case 'delete':
      return { puts: new Set(), deletes: [keyRange(operation.key, operation.rangeEnd)] };
    default:
      return NO_WRITES;
  }
}

function refuseCovered(puts: ReadonlySet<string>, deletes: readonly KeyRange[]): void {
  if (deletes.length === 0 || puts.size === 0) return;
  for (const text of puts) {
    const key = Buffer.from(text, 'latin1');
    if (deletes.some((range) => covers(range, key))) throw new DuplicateKeyError();
  }
}

function covers(range: KeyRange, key: Buffer): boolean {
  return Buffer.compare(range.start, key) <= 0 && (range.end === null || Buffer.compare(key, range.end) < 0);
}

function toOperation(operation: RequestOpMessage): TxnOp {
  switch (operation?.type) {
    case 'range':
      return toRange(operation, operation.revision);
    case 'put':
      return operation;
    case 'delete':
      return { type: 'delete', range: keyRange(operation.key, operation.rangeEnd), prevKv: operation.prevKv };
    case 'txn':
      return toTxn(operation);
    case undefined:
      throw new KeyNotFoundError();
  }
}

const RESULTS: readonly CompareResult[] = ['equal', 'greater', 'less', 'not-equal'];
const TARGETS: readonly CompareTarget[] = ['version', 'create', 'mod', 'value', 'lease'];
const FIRST_MEMBER = CompareMember.Version;

function toCompare(message: CompareMessage): Compare {
  const result = RESULTS[message.result];
  const target = TARGETS[message.target];
  if (result === undefined) throw new GrpcError(GrpcCode.InvalidArgument, `etcdserver: compare result ${message.result} is not supported`);
  if (target === undefined) throw new GrpcError(GrpcCode.InvalidArgument, `etcdserver: compare target ${message.target} is not supported`);
  // The members of the oneof stand in the order of the targets. One that is not the target's counts as absent.
  const isMember = message.member === FIRST_MEMBER + message.target;
  return {
    range: keyRange(message.key, message.rangeEnd),
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
