import type { TxnOpResult, TxnResult } from '@harikube/keyspace';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import type { WireReader } from '../wire/wire-reader.js';
import { writer, type WireWriter } from '../wire/wire-writer.js';
import { decodeDeleteRangeRequest, type DeleteRangeMessage } from './delete-range.js';
import { decodePutRequest, type PutMessage } from './put.js';
import { decodeRangeRequest, type RangeMessage } from './range.js';
import { writeOperationHeader, type ResponseHeaderWriter } from './response-header.js';

/** Field numbers of `Compare.target_union`'s members. */
export const CompareMember = { None: 0, Version: 4, CreateRevision: 5, ModRevision: 6, Value: 7, Lease: 8 } as const;
type CompareMember = (typeof CompareMember)[keyof typeof CompareMember];

/** `etcdserverpb.Compare` as it came over the wire. */
export interface CompareMessage {
  result: number;
  target: number;
  key: Buffer;
  /** The member of the oneof that came last; `number` or `value` holds it. */
  member: CompareMember;
  number: bigint;
  value: Buffer;
  rangeEnd: Buffer;
}

/** A `RequestOp` without a member is null. */
export type RequestOpMessage = RangeMessage | PutMessage | DeleteRangeMessage | TxnMessage | null;

/** `etcdserverpb.TxnRequest` as it came over the wire. */
export interface TxnMessage {
  readonly type: 'txn';
  readonly compare: CompareMessage[];
  readonly success: RequestOpMessage[];
  readonly failure: RequestOpMessage[];
}

/** Each level takes one operation of etcd's 128 at least, so nothing deeper is ever accepted. */
const MAX_DEPTH = 128;

const EMPTY = Buffer.alloc(0);

export function decodeTxnRequest(reader: WireReader, depth = 0): TxnMessage {
  if (depth > MAX_DEPTH) throw new GrpcError(GrpcCode.InvalidArgument, 'etcdserver: too many operations in txn request');
  const message: TxnMessage = { type: 'txn', compare: [], success: [], failure: [] };
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message.compare.push(decodeCompare(reader.message()));
        break;
      case 2:
        message.success.push(decodeRequestOp(reader.message(), depth));
        break;
      case 3:
        message.failure.push(decodeRequestOp(reader.message(), depth));
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

function decodeRequestOp(reader: WireReader, depth: number): RequestOpMessage {
  let operation: RequestOpMessage = null;
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        operation = decodeRangeRequest(reader.message());
        break;
      case 2:
        operation = decodePutRequest(reader.message());
        break;
      case 3:
        operation = decodeDeleteRangeRequest(reader.message());
        break;
      case 4:
        operation = decodeTxnRequest(reader.message(), depth + 1);
        break;
      default:
        reader.skip();
    }
  }
  return operation;
}

function decodeCompare(reader: WireReader): CompareMessage {
  const message: CompareMessage = { result: 0, target: 0, key: EMPTY, member: 0, number: 0n, value: EMPTY, rangeEnd: EMPTY };
  while (reader.next()) {
    const field = reader.field;
    switch (field) {
      case 1:
        message.result = reader.enumeration();
        break;
      case 2:
        message.target = reader.enumeration();
        break;
      case 3:
        message.key = reader.bytes();
        break;
      case CompareMember.Version:
      case CompareMember.CreateRevision:
      case CompareMember.ModRevision:
      case CompareMember.Lease:
        message.member = field;
        message.number = reader.int64();
        message.value = EMPTY;
        break;
      case CompareMember.Value:
        message.member = field;
        message.number = 0n;
        message.value = reader.bytes();
        break;
      case 64:
        message.rangeEnd = reader.bytes();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** The answer to a Txn: `header`=1, `succeeded`=2, `responses`=3. */
export function encodeTxnResponse(header: ResponseHeaderWriter, result: TxnResult): Buffer {
  const target = writer.reset();
  header.write(target, result.revision);
  target.bool(2, result.succeeded);
  for (const response of result.responses) writeResponseOp(target, response, result.revision);
  return target.frame();
}

/** `ResponseOp`: `response_range`=1, `response_put`=2, `response_delete_range`=3, `response_txn`=4. */
function writeResponseOp(target: WireWriter, result: TxnOpResult, revision: bigint): void {
  const operation = target.begin(3);
  switch (result.type) {
    case 'range': {
      const mark = target.begin(1);
      writeOperationHeader(target, result.isBefore === true ? revision - 1n : revision);
      for (const kv of result.kvs) target.bytesAlways(2, kv);
      target.bool(3, result.more);
      target.number(4, result.count);
      target.end(mark);
      break;
    }
    case 'put': {
      const mark = target.begin(2);
      writeOperationHeader(target, revision);
      if (result.prevKv !== null) target.bytesAlways(2, result.prevKv);
      target.end(mark);
      break;
    }
    case 'delete': {
      const mark = target.begin(3);
      writeOperationHeader(target, result.isBefore === true ? revision - 1n : revision);
      target.number(2, result.deleted);
      for (const kv of result.prevKvs) target.bytesAlways(3, kv);
      target.end(mark);
      break;
    }
    case 'txn': {
      const mark = target.begin(4);
      // etcd leaves this header empty.
      writeOperationHeader(target, 0n);
      target.bool(2, result.succeeded);
      for (const response of result.responses) writeResponseOp(target, response, revision);
      target.end(mark);
      break;
    }
  }
  target.end(operation);
}
