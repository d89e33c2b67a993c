import { decodeKeyValue, type KeyValue, varint64Size, varintSize, writeVarint, writeVarint64 } from '@harikube/keyspace';

/*
 * The messages of the etcd API (etcd api/etcdserverpb/rpc.proto, v3.6) that a client of ours sends and reads. Whoever puts a txn
 * together knows how large each of its operations is; they are encoded in the bytes that leave, so that a value is copied once.
 */

/** A message, or a part of one. */
export interface Encodable {
  /** Bytes that it takes. */
  readonly length: number;
  /** Writes it, and returns the offset behind it. */
  writeTo(target: Buffer, at: number): number;
}

/** `RequestOp`. */
export type RequestOp = Encodable;
/** `Compare`. */
export type Compare = Encodable;

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
  readonly compares: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
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

/** What is small or rare, encoded at once. */
class Bytes implements Encodable {
  constructor(private readonly bytes: Buffer) {}

  get length(): number {
    return this.bytes.length;
  }

  writeTo(target: Buffer, at: number): number {
    return at + this.bytes.copy(target, at);
  }
}

/** A message of no fields. */
export const EMPTY_MESSAGE: Encodable = new Bytes(NO_BYTES);

class Put implements RequestOp {
  readonly length: number;
  readonly #body: number;

  constructor(
    private readonly key: Buffer,
    private readonly value: Buffer,
    private readonly lease: bigint,
  ) {
    this.#body = framed(key.length) + framed(value.length) + (lease === 0n ? 0 : 1 + varint64Size(lease));
    this.length = framed(this.#body);
  }

  writeTo(target: Buffer, at: number): number {
    at = writeHead(target, at, 2, this.#body);
    at = writeBytes(target, at, 1, this.key);
    at = writeBytes(target, at, 2, this.value);
    return this.lease === 0n ? at : writeNumber(target, at, 3, this.lease);
  }
}

class Absent implements Compare {
  readonly length: number;

  constructor(private readonly key: Buffer) {
    this.length = 2 + framed(key.length) + 2;
  }

  writeTo(target: Buffer, at: number): number {
    at = writeNumber(target, at, 2, Target.create);
    at = writeBytes(target, at, 3, this.key);
    return writeNumber(target, at, 5, 0n);
  }
}

class Txn implements Encodable {
  readonly length: number;

  constructor(private readonly call: TxnCall) {
    let length = 0;
    for (const parts of [call.compares, call.success, call.failure]) for (const part of parts) length += framed(part.length);
    this.length = length;
  }

  writeTo(target: Buffer, at: number): number {
    const { compares, success, failure } = this.call;
    for (const compare of compares) at = compare.writeTo(target, writeHead(target, at, 1, compare.length));
    for (const op of success) at = op.writeTo(target, writeHead(target, at, 2, op.length));
    for (const op of failure) at = op.writeTo(target, writeHead(target, at, 3, op.length));
    return at;
  }
}

export function encodeRange(call: RangeCall): Encodable {
  return new Bytes(Buffer.concat(rangeFields(call)));
}

export function rangeOp(call: RangeCall): RequestOp {
  return new Bytes(bytesField(1, Buffer.concat(rangeFields(call))));
}

export function putOp(key: Buffer, value: Buffer, lease = 0n): RequestOp {
  return new Put(key, value, lease);
}

/** `end` null: the key alone. */
export function deleteOp(start: Buffer, end: Buffer | null = null): RequestOp {
  return new Bytes(bytesField(3, Buffer.concat(end === null ? [bytesField(1, start)] : [bytesField(1, start), bytesField(2, end)])));
}

/** The key stands as it was last written at this local revision; 0n: it is not there. */
export function isAtRevision(key: Buffer, revision: bigint): Compare {
  return new Bytes(Buffer.concat([numberField(2, Target.mod), bytesField(3, key), numberField(6, revision, true)]));
}

export function isAbsent(key: Buffer): Compare {
  return new Absent(key);
}

export function encodeTxn(call: TxnCall): Encodable {
  return new Txn(call);
}

/** What an operation adds to its txn. */
export function sizeInTxn(op: Encodable): number {
  return framed(op.length);
}

export function encodeCompaction(revision: bigint): Encodable {
  return new Bytes(numberField(1, revision));
}

export function encodeAuthenticate(name: string, password: string): Encodable {
  return new Bytes(Buffer.concat([bytesField(1, Buffer.from(name)), bytesField(2, Buffer.from(password))]));
}

export function encodeLeaseGrant(id: bigint, ttl: bigint): Encodable {
  return new Bytes(Buffer.concat([numberField(1, ttl), numberField(2, id)]));
}

export function encodeLease(id: bigint, withKeys: boolean): Encodable {
  return new Bytes(Buffer.concat([numberField(1, id), numberField(2, withKeys ? 1n : 0n)]));
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

export function decodeMemberNames(message: Buffer): string[] {
  const members = [...fieldsOf(message)].filter(({ field }) => field === 2);
  return members.map(({ bytes }) => [...fieldsOf(bytes)].find(({ field }) => field === 2)?.bytes.toString() ?? '');
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

/** First byte of a `ResponseOp` that answers a range. */
const RANGE_TAG = 0x0a;

function rangeIn(responseOp: Buffer): RangeReply {
  if (responseOp[0] !== RANGE_TAG) return NO_RANGE;
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
