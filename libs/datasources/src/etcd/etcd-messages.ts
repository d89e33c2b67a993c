import { decodeKeyValue, type KeyValue, varint64Size, varintSize, writeVarint, writeVarint64 } from '@harikube/keyspace';

/*
 * The messages of the etcd API (etcd api/etcdserverpb/rpc.proto, v3.6) that a client of ours sends and reads. Operations of a
 * txn are made as encoded bytes, so that whoever puts a txn together knows how large it is.
 */

/** An encoded `RequestOp`. */
export type EncodedOp = Buffer;
/** An encoded `Compare`. */
export type EncodedCompare = Buffer;

export interface RangeCall {
  readonly start: Buffer;
  /** First key behind the range; null: `start` alone. */
  readonly end: Buffer | null;
  /** 0: all. */
  readonly limit?: number;
  /** 0: latest. */
  readonly revision?: bigint;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

export interface RangeReply {
  /** Of the whole store; 0n inside a txn, whose header tells. */
  readonly revision: bigint;
  /** Key and value are slices of the message. */
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  /** Keys in the range, whatever the limit. */
  readonly count: number;
}

export interface TxnCall {
  readonly compares: readonly EncodedCompare[];
  readonly success: readonly EncodedOp[];
  readonly failure: readonly EncodedOp[];
}

export interface TxnReply {
  readonly revision: bigint;
  readonly succeeded: boolean;
  /** One for each operation; of a put or a delete an empty range. */
  readonly ranges: readonly RangeReply[];
}

export interface StatusReply {
  readonly revision: bigint;
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly version: string;
  readonly bytes: number;
  readonly bytesInUse: number;
  /** 0n: there is none. */
  readonly leader: bigint;
  readonly raftIndex: bigint;
  readonly errors: readonly string[];
  readonly isLearner: boolean;
}

export interface LeaseReply {
  /** Seconds left; negative or 0: it is gone. */
  readonly ttl: bigint;
  readonly grantedTtl: bigint;
  readonly keys: readonly Buffer[];
}

export interface AlarmReply {
  readonly alarms: readonly { readonly memberId: bigint; readonly type: 'NOSPACE' | 'CORRUPT' }[];
}

const NO_BYTES = Buffer.alloc(0);

/** `Compare.CompareTarget`. */
const Target = { create: 1n, mod: 2n } as const;

export function encodeRange(call: RangeCall): Buffer {
  return Buffer.concat(rangeFields(call));
}

export function rangeOp(call: RangeCall): EncodedOp {
  return bytesField(1, encodeRange(call));
}

export function putOp(key: Buffer, value: Buffer, lease = 0n): EncodedOp {
  const leaseSize = lease === 0n ? 0 : 1 + varint64Size(lease);
  const body = framed(key.length) + framed(value.length) + leaseSize;
  const op = Buffer.allocUnsafe(framed(body));
  let at = writeHead(op, 0, 2, body);
  at = writeBytes(op, at, 1, key);
  at = writeBytes(op, at, 2, value);
  if (lease !== 0n) writeNumber(op, at, 3, lease);
  return op;
}

/** `end` null: the key alone. */
export function deleteOp(start: Buffer, end: Buffer | null = null): EncodedOp {
  return bytesField(3, Buffer.concat(end === null ? [bytesField(1, start)] : [bytesField(1, start), bytesField(2, end)]));
}

/** The key stands as it was last written at this local revision; 0n: it is not there. */
export function isAtRevision(key: Buffer, revision: bigint): EncodedCompare {
  return Buffer.concat([numberField(2, Target.mod), bytesField(3, key), numberField(6, revision, true)]);
}

export function isAbsent(key: Buffer): EncodedCompare {
  return Buffer.concat([numberField(2, Target.create), bytesField(3, key), numberField(5, 0n, true)]);
}

export function encodeTxn({ compares, success, failure }: TxnCall): Buffer {
  return Buffer.concat([
    ...compares.map((compare) => bytesField(1, compare)),
    ...success.map((op) => bytesField(2, op)),
    ...failure.map((op) => bytesField(3, op)),
  ]);
}

/** What an operation adds to its txn. */
export function sizeInTxn(op: EncodedOp | EncodedCompare): number {
  return framed(op.length);
}

export function encodeCompaction(revision: bigint): Buffer {
  return numberField(1, revision);
}

export function encodeAuthenticate(name: string, password: string): Buffer {
  return Buffer.concat([bytesField(1, Buffer.from(name)), bytesField(2, Buffer.from(password))]);
}

export function encodeLeaseGrant(id: bigint, ttl: bigint): Buffer {
  return Buffer.concat([numberField(1, ttl), numberField(2, id)]);
}

export function encodeLease(id: bigint, withKeys: boolean): Buffer {
  return Buffer.concat([numberField(1, id), numberField(2, withKeys ? 1n : 0n)]);
}

export function decodeRange(message: Buffer): RangeReply {
  const kvs: KeyValue[] = [];
  let revision = 0n;
  let more = false;
  let count = 0;
  for (const { field, number, bytes } of fieldsOf(message)) {
    if (field === 1) revision = headerOf(bytes).revision;
    else if (field === 2) kvs.push(decodeKeyValue(bytes));
    else if (field === 3) more = number !== 0n;
    else if (field === 4) count = Number(number);
  }
  return { revision, kvs, more, count };
}

export function decodeTxn(message: Buffer): TxnReply {
  const ranges: RangeReply[] = [];
  let revision = 0n;
  let succeeded = false;
  for (const { field, number, bytes } of fieldsOf(message)) {
    if (field === 1) revision = headerOf(bytes).revision;
    else if (field === 2) succeeded = number !== 0n;
    else if (field === 3) ranges.push(rangeIn(bytes));
  }
  return { revision, succeeded, ranges };
}

export function decodeStatus(message: Buffer): StatusReply {
  const fields = [...fieldsOf(message)];
  const number = (wanted: number): bigint => fields.find(({ field }) => field === wanted)?.number ?? 0n;
  const { revision, memberId, clusterId } = headerOf(fields.find(({ field }) => field === 1)?.bytes ?? NO_BYTES);
  return {
    revision,
    memberId,
    clusterId,
    version: (fields.find(({ field }) => field === 2)?.bytes ?? NO_BYTES).toString(),
    bytes: Number(number(3)),
    leader: BigInt.asUintN(64, number(4)),
    raftIndex: BigInt.asUintN(64, number(5)),
    errors: fields.filter(({ field }) => field === 8).map(({ bytes }) => bytes.toString()),
    bytesInUse: Number(number(9)),
    isLearner: number(10) !== 0n,
  };
}

export function decodeAlarms(message: Buffer): AlarmReply {
  const alarms = [...fieldsOf(message)]
    .filter(({ field }) => field === 2)
    .map(({ bytes }) => {
      const fields = [...fieldsOf(bytes)];
      const type = fields.find(({ field }) => field === 2)?.number === 2n ? ('CORRUPT' as const) : ('NOSPACE' as const);
      return { memberId: BigInt.asUintN(64, fields.find(({ field }) => field === 1)?.number ?? 0n), type };
    });
  return { alarms };
}

export function decodeToken(message: Buffer): string {
  return ([...fieldsOf(message)].find(({ field }) => field === 2)?.bytes ?? NO_BYTES).toString();
}

export function decodeLeaseIds(message: Buffer): bigint[] {
  const leases = [...fieldsOf(message)].filter(({ field }) => field === 2);
  return leases.map(({ bytes }) => [...fieldsOf(bytes)].find(({ field }) => field === 1)?.number ?? 0n);
}

export function decodeLease(message: Buffer): LeaseReply {
  const fields = [...fieldsOf(message)];
  const number = (wanted: number): bigint => fields.find(({ field }) => field === wanted)?.number ?? 0n;
  return { ttl: number(3), grantedTtl: number(4), keys: fields.filter(({ field }) => field === 5).map(({ bytes }) => bytes) };
}

function rangeFields({ start, end, limit = 0, revision = 0n, keysOnly = false, countOnly = false }: RangeCall): Buffer[] {
  const fields = [bytesField(1, start)];
  if (end !== null) fields.push(bytesField(2, end));
  if (limit > 0) fields.push(numberField(3, BigInt(limit)));
  if (revision > 0n) fields.push(numberField(4, revision));
  if (keysOnly) fields.push(numberField(8, 1n));
  if (countOnly) fields.push(numberField(9, 1n));
  return fields;
}

const NO_RANGE: RangeReply = { revision: 0n, kvs: [], more: false, count: 0 };

function rangeIn(responseOp: Buffer): RangeReply {
  for (const { field, bytes } of fieldsOf(responseOp)) if (field === 1) return decodeRange(bytes);
  return NO_RANGE;
}

function headerOf(message: Buffer): { readonly revision: bigint; readonly memberId: bigint; readonly clusterId: bigint } {
  let revision = 0n;
  let memberId = 0n;
  let clusterId = 0n;
  for (const { field, number } of fieldsOf(message)) {
    if (field === 1) clusterId = BigInt.asUintN(64, number);
    else if (field === 2) memberId = BigInt.asUintN(64, number);
    else if (field === 3) revision = number;
  }
  return { revision, memberId, clusterId };
}

interface Field {
  readonly field: number;
  /** 0n for bytes. */
  readonly number: bigint;
  /** A slice of the message; empty for numbers. */
  readonly bytes: Buffer;
}

function* fieldsOf(message: Buffer): Generator<Field, void, void> {
  let at = 0;
  const small = (): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = message[at++];
      if (byte === undefined) throw new Error('a message of etcd ends in a number');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  };
  const int64 = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new Error('a message of etcd ends in a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
  };
  while (at < message.length) {
    const tag = small();
    const field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        yield { field, number: int64(), bytes: NO_BYTES };
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = small();
        const start = at;
        at += length;
        if (at > message.length) throw new Error('a message of etcd ends in a field');
        yield { field, number: 0n, bytes: message.subarray(start, at) };
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new Error(`a message of etcd has a field of wire type ${tag % 8}`);
    }
  }
}

function bytesField(field: number, bytes: Buffer): Buffer {
  const tag = field * 8 + 2;
  const target = Buffer.allocUnsafe(varintSize(tag) + varintSize(bytes.length) + bytes.length);
  bytes.copy(target, writeVarint(target, writeVarint(target, 0, tag), bytes.length));
  return target;
}

/** Absent when it is 0, unless it `mustBeThere`: members of a oneof are. */
function numberField(field: number, value: bigint, mustBeThere = false): Buffer {
  if (value === 0n && !mustBeThere) return NO_BYTES;
  const target = Buffer.allocUnsafe(1 + varint64Size(value));
  writeNumber(target, 0, field, value);
  return target;
}

/** Size of bytes with a tag below 16 and their length before them. */
function framed(length: number): number {
  return 1 + varintSize(length) + length;
}

function writeHead(target: Buffer, at: number, field: number, length: number): number {
  target[at] = field * 8 + 2;
  return writeVarint(target, at + 1, length);
}

function writeBytes(target: Buffer, at: number, field: number, bytes: Buffer): number {
  at = writeHead(target, at, field, bytes.length);
  return at + bytes.copy(target, at);
}

function writeNumber(target: Buffer, at: number, field: number, value: bigint): number {
  target[at] = field * 8;
  return writeVarint64(target, at + 1, value);
}
