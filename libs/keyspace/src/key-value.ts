import { varint64Size, varintSize, writeVarint, writeVarint64 } from './varint.js';
import type { KeyValueBytes, Revision } from './model.js';

/**
 * The record of a key: an encoded `mvccpb.KeyValue` (etcd api/mvccpb/kv.proto, v3.6): key=1, create_revision=2,
 * mod_revision=3, version=4, value=5, lease=6. Fields of value 0 are absent, fields stand in number order. Records are
 * made here only, so the reader relies on that order.
 */
export interface KeyValue {
  readonly key: Buffer;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: bigint;
  readonly value: Buffer;
  readonly lease: bigint;
}

const KEY = 0x0a;
const CREATE_REVISION = 0x10;
const MOD_REVISION = 0x18;
const VERSION = 0x20;
const VALUE = 0x2a;
const LEASE = 0x30;

export function keyValueSize(kv: KeyValue): number {
  const { createRevision, modRevision, version, lease } = kv;
  return recordSize({ createRevision, modRevision, version, lease, keyLength: kv.key.length, valueLength: kv.value.length });
}

/** Size of a record whose key and value are not at hand. */
export function recordSize(kv: Omit<KeyValue, 'key' | 'value'> & { readonly keyLength: number; readonly valueLength: number }): number {
  let size = 0;
  if (kv.keyLength > 0) size += framedSize(kv.keyLength);
  if (kv.createRevision !== 0n) size += 1 + varint64Size(kv.createRevision);
  if (kv.modRevision !== 0n) size += 1 + varint64Size(kv.modRevision);
  if (kv.version !== 0n) size += 1 + varint64Size(kv.version);
  if (kv.valueLength > 0) size += framedSize(kv.valueLength);
  if (kv.lease !== 0n) size += 1 + varint64Size(kv.lease);
  return size;
}

/** Writes a record whose size `keyValueSize` told, and returns the offset behind it. */
export function writeKeyValue(target: Buffer, offset: number, kv: KeyValue): number {
  if (kv.key.length > 0) offset = writeBytes(target, offset, KEY, kv.key);
  if (kv.createRevision !== 0n) offset = writeInt64(target, offset, CREATE_REVISION, kv.createRevision);
  if (kv.modRevision !== 0n) offset = writeInt64(target, offset, MOD_REVISION, kv.modRevision);
  if (kv.version !== 0n) offset = writeInt64(target, offset, VERSION, kv.version);
  if (kv.value.length > 0) offset = writeBytes(target, offset, VALUE, kv.value);
  if (kv.lease !== 0n) offset = writeInt64(target, offset, LEASE, kv.lease);
  return offset;
}

export function encodeKeyValue(kv: KeyValue): KeyValueBytes {
  const record = Buffer.allocUnsafe(keyValueSize(kv));
  writeKeyValue(record, 0, kv);
  return record;
}

const NO_BYTES = Buffer.alloc(0);

/** Reads a record. Key and value are slices of it. */
export function decodeKeyValue(record: KeyValueBytes): KeyValue {
  let key: Buffer = NO_BYTES;
  let value: Buffer = NO_BYTES;
  let createRevision = 0n;
  let modRevision = 0n;
  let version = 0n;
  let lease = 0n;
  const cursor = { offset: 0 };
  while (cursor.offset < record.length) {
    const tag = record[cursor.offset++];
    if (tag === KEY) key = readBytes(record, cursor);
    else if (tag === CREATE_REVISION) createRevision = readInt64(record, cursor);
    else if (tag === MOD_REVISION) modRevision = readInt64(record, cursor);
    else if (tag === VERSION) version = readInt64(record, cursor);
    else if (tag === VALUE) value = readBytes(record, cursor);
    else if (tag === LEASE) lease = readInt64(record, cursor);
    else throw new Error(`malformed record: unexpected tag ${tag} at byte ${cursor.offset - 1}`);
  }
  return { key, createRevision, modRevision, version, value, lease };
}

/** The same record without its value: what a range of keys only returns. */
export function withoutValue(record: KeyValueBytes): KeyValueBytes {
  return encodeKeyValue({ ...decodeKeyValue(record), value: NO_BYTES });
}

/** Tag of `RangeResponse.kvs`. */
const RANGE_KVS = 0x12;

/** Frames a record as field 2 of RangeResponse. */
export function frameRecord(record: KeyValueBytes): Buffer {
  const framed = Buffer.allocUnsafe(framedSize(record.length));
  writeFramedRecord(framed, 0, record);
  return framed;
}

/** Size of a record of `size` bytes with its frame. */
export function framedSize(size: number): number {
  return 1 + varintSize(size) + size;
}

/** Writes a record with its frame and returns the offset behind it. */
export function writeFramedRecord(target: Buffer, offset: number, record: KeyValueBytes): number {
  return writeBytes(target, offset, RANGE_KVS, record);
}

/** The records of a block, without their frames, as slices of it. */
export function* recordsOf(block: Buffer): Generator<KeyValueBytes, void, void> {
  const cursor = { offset: 0 };
  while (cursor.offset < block.length) {
    if (block[cursor.offset++] !== RANGE_KVS) throw new Error(`malformed block: no record at byte ${cursor.offset - 1}`);
    yield readBytes(block, cursor);
  }
}

/** The last record of a block, as a slice of it; those before it are only stepped over. */
export function lastRecordOf(block: Buffer): KeyValueBytes {
  let start = 0;
  let end = 0;
  while (end < block.length) {
    if (block[end] !== RANGE_KVS) throw new Error(`malformed block: no record at byte ${end}`);
    let length = 0;
    let scale = 1;
    let byte: number;
    start = end + 1;
    do {
      byte = block[start++] ?? 0;
      length += (byte & 0x7f) * scale;
      scale *= 0x80;
    } while (byte >= 0x80);
    end = start + length;
  }
  if (end > block.length) throw new Error(`a block of ${block.length} bytes ends inside its last record`);
  return block.subarray(start, end);
}

/** The key of a record, as a slice of it. */
export function keyOf(record: KeyValueBytes): Buffer {
  if (record[0] !== KEY) return NO_BYTES;
  return readBytes(record, { offset: 1 });
}

const WATCH_EVENTS = 0x5a;
const EVENT_TYPE = 0x08;
const EVENT_DELETE = 1;
const EVENT_KV = 0x12;
const EVENT_PREV_KV = 0x1a;

/** Frames an `mvccpb.Event` (type=1, kv=2, prev_kv=3) as field 11 of WatchResponse. */
export function encodeEvent(isDelete: boolean, record: KeyValueBytes, prevRecord: KeyValueBytes | null): Buffer {
  const body = (isDelete ? 2 : 0) + framedSize(record.length) + (prevRecord === null ? 0 : framedSize(prevRecord.length));
  const framed = Buffer.allocUnsafe(framedSize(body));
  framed[0] = WATCH_EVENTS;
  let offset = writeVarint(framed, 1, body);
  if (isDelete) {
    framed[offset++] = EVENT_TYPE;
    framed[offset++] = EVENT_DELETE;
  }
  offset = writeBytes(framed, offset, EVENT_KV, record);
  if (prevRecord !== null) writeBytes(framed, offset, EVENT_PREV_KV, prevRecord);
  return framed;
}

function writeBytes(target: Buffer, offset: number, tag: number, bytes: Buffer): number {
  target[offset] = tag;
  offset = writeVarint(target, offset + 1, bytes.length);
  // Short keys cost less byte by byte than by the call into C++ that copy() makes.
  if (bytes.length < 24) for (let i = 0; i < bytes.length; i++) target[offset + i] = bytes[i] as number;
  else bytes.copy(target, offset);
  return offset + bytes.length;
}

function writeInt64(target: Buffer, offset: number, tag: number, value: bigint): number {
  target[offset] = tag;
  return writeVarint64(target, offset + 1, value);
}

interface Cursor {
  offset: number;
}

function readBytes(source: Buffer, cursor: Cursor): Buffer {
  let length = 0;
  let scale = 1;
  for (;;) {
    const byte = source[cursor.offset++];
    if (byte === undefined) throw new Error('malformed record: it ends in a length');
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
    scale *= 0x80;
  }
  const start = cursor.offset;
  cursor.offset = start + length;
  if (cursor.offset > source.length) throw new Error('malformed record: it ends in a field');
  return source.subarray(start, cursor.offset);
}

function readInt64(source: Buffer, cursor: Cursor): bigint {
  let low = 0;
  let scale = 1;
  for (let i = 0; i < 7; i++) {
    const byte = source[cursor.offset++];
    if (byte === undefined) throw new Error('malformed record: it ends in a number');
    low += (byte & 0x7f) * scale;
    if (byte < 0x80) return BigInt(low);
    scale *= 0x80;
  }
  let value = BigInt(low);
  for (let shift = 49n; shift < 70n; shift += 7n) {
    const byte = source[cursor.offset++];
    if (byte === undefined) throw new Error('malformed record: it ends in a number');
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return BigInt.asIntN(64, value);
}

/** A copy of the last key of a block that is not empty. */
export function lastKeyOf(block: Buffer): Buffer {
  return Buffer.from(keyOf(lastRecordOf(block)));
}
