import { keyText } from './key-text.js';
import type { KeyRange, RangeRequest, TxnOp, TxnRequest } from './model.js';

/** Most keys that a range inside a txn, or a DeleteRange, may hold. */
export const MAX_RANGE_KEYS = 100_000;

/** What a txn may read or write, in either branch, the txns inside it included. */
export interface TxnScope {
  /** Single keys; see `keyText`. */
  readonly keys: string[];
  /** Ranges of more than one key. */
  readonly ranges: KeyRange[];
  /** Ranges at an old revision, which nothing that is written now can change. */
  readonly pasts: RangeRequest[];
}

export function collect(txn: TxnRequest, scope: TxnScope): void {
  for (const compare of txn.compares) add(compare.range, scope);
  for (const op of txn.success) collectOp(op, scope);
  for (const op of txn.failure) collectOp(op, scope);
}

/** A range at an old revision. */
export function isPast(op: TxnOp): op is RangeRequest {
  return op.type === 'range' && op.revision > 0n;
}

/** No branch of it writes. */
export function isReadOnly({ success, failure }: TxnRequest): boolean {
  return success.every(isRead) && failure.every(isRead);
}

/** Bytes of the values that a txn may write. */
export function valueBytes({ success, failure }: TxnRequest): number {
  let bytes = 0;
  for (const op of success) bytes += valueBytesOf(op);
  for (const op of failure) bytes += valueBytesOf(op);
  return bytes;
}

function valueBytesOf(op: TxnOp): number {
  return op.type === 'put' ? op.value.length : op.type === 'txn' ? valueBytes(op) : 0;
}

function isRead(op: TxnOp): boolean {
  return op.type === 'range' || (op.type === 'txn' && isReadOnly(op));
}

function collectOp(op: TxnOp, scope: TxnScope): void {
  if (op.type === 'put') addKey(keyText(op.key), scope.keys);
  else if (op.type === 'txn') collect(op, scope);
  else if (isPast(op)) scope.pasts.push(op);
  else add(op.range, scope);
}

function add(range: KeyRange, scope: TxnScope): void {
  if (range.single) addKey(keyText(range.start), scope.keys);
  else scope.ranges.push(range);
}

function addKey(text: string, keys: string[]): void {
  if (!keys.includes(text)) keys.push(text);
}
