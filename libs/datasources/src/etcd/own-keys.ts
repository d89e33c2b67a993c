import { prefixEnd, type Revision, type RowId, type RowWrite } from '@harikube/keyspace';

/*
 * What the router keeps in an etcd beside the keys of its clients, all under one prefix. kube-apiserver's keys begin with a
 * slash, whatever its --etcd-prefix is, so they never meet it. Numbers in keys are hexadecimal, so that they sort as they count.
 */

export const OWN_PREFIX = Buffer.from('harikube.io/');
export const OWN_END = endOf(OWN_PREFIX);

/** Who the database is and where it stands; written in every txn. */
export const META_KEY = own('meta');
/** Of the default database: identity of the store, reserved revisions, compaction. */
export const CONTROL_KEY = own('control');
/** Of the default database: who writes. */
export const WRITER_KEY = own('writer');
/** Of the default database: each database's last revision, by identity. */
export const MARKS_KEY = own('marks');
/** Of the default database: the topology in force. */
export const TOPOLOGY_KEY = own('topology');
/** Of the default database: one key per lease. */
export const LEASES = own('lease/');
export const LEASES_END = endOf(LEASES);
/** Metadata of each live key, under its own name. */
export const METAS = own('key/');
export const METAS_END = endOf(METAS);
/** One key per part of a batch: what it wrote. The key's own mod revision is the local revision of the part. */
export const PARTS = own('log/');
export const PARTS_END = endOf(PARTS);
/** Keys that a live key may be attached to a lease by; those of keys that have left it go with the lease. */
export const HOLDS = own('held/');
export const HOLDS_END = endOf(HOLDS);

const SLASH = Buffer.from('/');

function own(name: string): Buffer {
  return Buffer.concat([OWN_PREFIX, Buffer.from(name)]);
}

function endOf(prefix: Buffer): Buffer {
  const end = prefixEnd(prefix);
  if (end === null) throw new Error('a prefix of the router has no end');
  return end;
}

export function isOwnKey(key: Buffer): boolean {
  return key.length >= OWN_PREFIX.length && OWN_PREFIX.compare(key, 0, OWN_PREFIX.length) === 0;
}

/** Where the metadata of a key is. */
export function metaKey(key: Buffer): Buffer {
  return Buffer.concat([METAS, key]);
}

/** The key whose metadata stands there; a slice. */
export function keyOfMeta(key: Buffer): Buffer {
  return key.subarray(METAS.length);
}

export function leaseKey(id: bigint): Buffer {
  return Buffer.concat([LEASES, Buffer.from(hex(id))]);
}

/** All keys that may be attached to a lease stand behind it. */
export function holdsOf(lease: bigint): Buffer {
  return Buffer.concat([HOLDS, Buffer.from(hex(lease)), SLASH]);
}

export function holdKey(lease: bigint, key: Buffer): Buffer {
  return Buffer.concat([holdsOf(lease), key]);
}

const HEX_DIGITS = 16;

/** Lease and key that a hold is about. */
export function parseHold(hold: Buffer): { readonly lease: bigint; readonly key: Buffer } {
  const digits = hold.subarray(HOLDS.length, HOLDS.length + HEX_DIGITS);
  return { lease: BigInt(`0x${digits.toString('latin1')}`), key: hold.subarray(HOLDS.length + HEX_DIGITS + 1) };
}

/** The first part that holds a row of this id or a later one stands at this key or behind it. */
export function partKey(last: RowId): Buffer {
  return Buffer.concat([PARTS, Buffer.from(hex(last))]);
}

function hex(number: bigint): string {
  return number.toString(16).padStart(HEX_DIGITS, '0');
}

/** What is to be known of a key beside its value. */
export interface KeyMeta {
  readonly id: RowId;
  readonly createRevision: Revision;
  readonly version: bigint;
  readonly lease: bigint;
  readonly valueLength: number;
}

const META_BYTES = 36;

export function encodeKeyMeta({ id, createRevision, version, lease, valueLength }: KeyMeta): Buffer {
  const bytes = Buffer.allocUnsafe(META_BYTES);
  bytes.writeBigInt64BE(id, 0);
  bytes.writeBigInt64BE(createRevision, 8);
  bytes.writeBigInt64BE(version, 16);
  bytes.writeBigInt64BE(lease, 24);
  bytes.writeUInt32BE(valueLength, 32);
  return bytes;
}

export function decodeKeyMeta(bytes: Buffer): KeyMeta {
  if (bytes.length !== META_BYTES) throw new Error(`the metadata of a key has ${bytes.length} bytes instead of ${META_BYTES}`);
  return {
    id: bytes.readBigInt64BE(0),
    createRevision: bytes.readBigInt64BE(8),
    version: bytes.readBigInt64BE(16),
    lease: bytes.readBigInt64BE(24),
    valueLength: bytes.readUInt32BE(32),
  };
}

/** One write of a part. */
export interface PartRow {
  readonly id: RowId;
  readonly key: Buffer;
  readonly isDelete: boolean;
  /** It replaces something. */
  readonly isReplacement: boolean;
  readonly createRevision: Revision;
  readonly version: bigint;
  readonly lease: bigint;
}

const DELETE_FLAG = 1;
const REPLACEMENT_FLAG = 2;
const ROW_BYTES = 37;

/** Bytes that a row adds to its part. */
export function partRowSize({ key }: Pick<RowWrite, 'key'>): number {
  return ROW_BYTES + key.length;
}

export function encodePart(rows: readonly RowWrite[]): Buffer {
  const bytes = Buffer.allocUnsafe(rows.reduce((sum, row) => sum + partRowSize(row), 0));
  let at = 0;
  for (const { id, key, tombstone, prevId, createRevision, version, lease } of rows) {
    at = bytes.writeBigInt64BE(id, at);
    at = bytes.writeUInt8((tombstone ? DELETE_FLAG : 0) | (prevId === 0n ? 0 : REPLACEMENT_FLAG), at);
    at = bytes.writeBigInt64BE(createRevision, at);
    at = bytes.writeBigInt64BE(version, at);
    at = bytes.writeBigInt64BE(lease, at);
    at = bytes.writeUInt32BE(key.length, at);
    at += key.copy(bytes, at);
  }
  return bytes;
}

/** Keys are slices. */
export function decodePart(bytes: Buffer): PartRow[] {
  const rows: PartRow[] = [];
  for (let at = 0; at < bytes.length;) {
    const flags = bytes.readUInt8(at + 8);
    const end = at + ROW_BYTES + bytes.readUInt32BE(at + 33);
    rows.push({
      id: bytes.readBigInt64BE(at),
      key: bytes.subarray(at + ROW_BYTES, end),
      isDelete: (flags & DELETE_FLAG) !== 0,
      isReplacement: (flags & REPLACEMENT_FLAG) !== 0,
      createRevision: bytes.readBigInt64BE(at + 9),
      version: bytes.readBigInt64BE(at + 17),
      lease: bytes.readBigInt64BE(at + 25),
    });
    at = end;
  }
  return rows;
}

/** The content of META_KEY. */
export interface StoreMeta {
  readonly identity: string;
  /** Null: nobody's yet. */
  readonly storeId: string | null;
  readonly epoch: bigint;
  readonly lastRevision: Revision;
  /**
   * What was written before the parts that are left: the state at the local revision `local`, with nothing above
   * `lastRevision` in it.
   */
  readonly floor: { readonly local: bigint; readonly lastRevision: Revision };
  /** A batch of which some parts may be there and others not; at the local revision `base` there was nothing of it. */
  readonly pending: { readonly lastRevision: Revision; readonly base: bigint } | null;
  /** Local revisions since the meta key is there that are not of the router and were taken over all the same. */
  readonly ignored: bigint;
  /** The way in or out is under way: no router may use the database meanwhile. */
  readonly task: 'adopting' | 'leaving' | null;
}

const FORMAT = 1;

/** As `toJson` writes it, without its call for each field: it is part of every commit. */
export function encodeStoreMeta({ identity, storeId, epoch, lastRevision, floor, pending, ignored, task }: StoreMeta): Buffer {
  const half = pending === null ? 'null' : `{"lastRevision":"#${pending.lastRevision}","base":"#${pending.base}"}`;
  return Buffer.from(
    `{"format":${FORMAT},"identity":${JSON.stringify(identity)},"storeId":${JSON.stringify(storeId)},"epoch":"#${epoch}",` +
      `"lastRevision":"#${lastRevision}","floor":{"local":"#${floor.local}","lastRevision":"#${floor.lastRevision}"},` +
      `"pending":${half},"ignored":"#${ignored}","task":${JSON.stringify(task)}}`,
  );
}

export function decodeStoreMeta(bytes: Buffer): StoreMeta {
  const meta = fromJson<StoreMeta & { readonly format: number }>(bytes);
  if (meta.format !== FORMAT) throw new Error(`the data is of format ${meta.format}, this router knows ${FORMAT}; use a newer router`);
  const { identity, storeId, epoch, lastRevision, floor, pending, ignored, task } = meta;
  return { identity, storeId, epoch, lastRevision, floor, pending, ignored, task };
}

/** JSON in which a number that may be above 2^53 is written as `"#123"`. */
export function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? `#${part}` : part)));
}

/** The reader of what `toJson` wrote. Only what this prefix holds comes here, which nobody else writes. */
export function fromJson<T>(bytes: Buffer): T {
  return JSON.parse(bytes.toString(), (_, part: unknown) =>
    typeof part === 'string' && /^#-?\d+$/.test(part) ? BigInt(part.slice(1)) : part,
  ) as T;
}
