import type { RowWrite, WriterIdentity, WriterRecord } from '@harikube/keyspace';

/*
 * What the main thread and the threads that own SQLite connections say to each other. Rows travel packed into one
 * ArrayBuffer that changes hands: cloning an object per row costs several times its insert.
 */

/** How a file is opened by a thread. */
export interface OpenOptions {
  readonly file: string;
  readonly synchronous: 'full' | 'normal';
  readonly busyTimeoutMs: number;
  /** Memory for pages of the file, for each connection. */
  readonly cacheKib: number;
}

export interface RangeCall {
  readonly start: Uint8Array;
  readonly end: Uint8Array | null;
  /** 0n: latest. */
  readonly revision: bigint;
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly count: boolean;
}

export interface RangeReply {
  readonly lastRevision: bigint;
  /** Those of the whole answer; with a cursor, only of `blocks`: the rest has to be measured. */
  readonly count: number | null;
  readonly more: boolean;
  readonly records: number;
  readonly bytes: number;
  readonly blocks: readonly Uint8Array<ArrayBuffer>[];
  /** Not null: the answer goes on; `measure`, `nextBlock` and `endCursor` take this number. */
  readonly cursor: number | null;
}

/** What one step has found of an answer that goes on. */
export interface MeasureReply {
  readonly records: number;
  readonly bytes: number;
  /** Null: there are steps left. */
  readonly end: { readonly more: boolean; readonly count: number | null } | null;
}

export interface ChangesCall {
  readonly start: Uint8Array;
  readonly end: Uint8Array | null;
  readonly after: bigint;
  readonly through: bigint;
  readonly maxBytes: number;
}

export interface ChangesReply {
  readonly lastRevision: bigint;
  /** Packed by `packChange`. */
  readonly packed: Uint8Array<ArrayBuffer>;
  readonly count: number;
  readonly through: bigint;
}

export interface LoadReply {
  readonly lastRevision: bigint;
  /** For each key: 0, or 1, id, length, record. */
  readonly packed: Uint8Array<ArrayBuffer>;
}

export interface CommitCall {
  readonly epoch: bigint;
  readonly previousRevision: bigint;
  readonly lastRevision: bigint;
  readonly count: number;
  readonly packed: Uint8Array<ArrayBuffer>;
}

export type CommitReply =
  | { readonly outcome: 'done' }
  /** Nothing of it is there. */
  | { readonly outcome: 'failed'; readonly message: string; readonly isConflict: boolean }
  /** The file stands elsewhere than this writer left it. */
  | { readonly outcome: 'refused'; readonly epoch: bigint; readonly lastRevision: bigint }
  | { readonly outcome: 'unknown'; readonly message: string };

export interface CompactCall {
  readonly epoch: bigint;
  readonly revision: bigint;
  /** Rows of the log that one step goes through. */
  readonly rows: number;
}

export interface MetaReply {
  readonly identity: string;
  readonly storeId: string | null;
  readonly epoch: bigint;
  readonly lastRevision: bigint;
  readonly compactedId: bigint;
}

/** Methods of a thread, each with its argument and its reply. */
export interface ThreadMethods {
  open(options: OpenOptions): MetaReply;
  /** Other settings for connections that are open and for those to come. */
  configure(options: OpenOptions): void;
  close(): void;
  writer(): WriterRecord | null;
  /** Null: the writer on record is another one than `seen`. */
  begin(call: {
    readonly fresh: { readonly storeId: string; readonly clusterId: bigint };
    readonly self: WriterIdentity;
    readonly seen: WriterRecord | null;
  }): {
    readonly storeId: string;
    readonly clusterId: bigint;
    readonly reservedRevision: bigint;
    readonly compactRevision: bigint;
    readonly epoch: bigint;
    readonly leases: readonly { readonly id: bigint; readonly ttl: bigint; readonly expiresAt: number; readonly renewed: boolean }[];
    readonly marks: string;
  } | null;
  /** The owner and the epoch are those that the file has then: it is claimed when they are those of the claim. */
  claim(claim: { readonly storeId: string; readonly epoch: bigint }): {
    readonly lastRevision: bigint;
    readonly owner: string;
    readonly epoch: bigint;
  };
  commit(call: CommitCall): CommitReply;
  /** Behind every commit that was begun before. */
  standing(): { readonly epoch: bigint; readonly lastRevision: bigint };
  /** One write of the control tables, under the epoch. The epoch of the file: nothing was written when it is another one. */
  control(call: {
    readonly epoch: bigint;
    readonly statement: ControlStatement;
    readonly parameters: readonly (bigint | number | string)[];
  }): bigint;
  appliedTopology(): string | null;
  load(call: { readonly count: number; readonly packed: Uint8Array<ArrayBuffer> }): LoadReply;
  range(call: RangeCall): RangeReply;
  prepareLists(): void;
  warmUp(): void;
  /** One step of finding out how long an answer is that goes on; comes before its first `nextBlock`, until it tells the end. */
  measure(cursor: number): MeasureReply;
  nextBlock(cursor: number): { readonly block: Uint8Array<ArrayBuffer> | null };
  endCursor(cursor: number): void;
  changes(call: ChangesCall): ChangesReply;
  keysOfLease(call: { readonly lease: bigint; readonly limit: number }): readonly Uint8Array[];
  leasesInUse(): readonly bigint[];
  /** The epoch of the file: nothing was done when it is another one. */
  compactStep(call: CompactCall): { readonly epoch: bigint; readonly hasMore: boolean };
  /** Moves the write-ahead log into the database file as far as readers allow. */
  checkpoint(): void;
  size(): { readonly bytes: number; readonly inUse: number };
}

export type ControlStatement = 'reserve' | 'setCompactRevision' | 'saveLease' | 'removeLease' | 'saveTopology' | 'renew' | 'release';

/** A request to a thread: which file's connection, which method. */
export interface ThreadRequest {
  readonly id: number;
  readonly file: number;
  readonly method: keyof ThreadMethods;
  readonly argument: unknown;
}

export type ThreadResponse =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly code: string | undefined } };

/** Bytes in memory of their own: a message that carries a small Buffer would copy the whole pool that it lies in. */
export function ownMemory(bytes: Buffer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** Packs keys for `load`. */
export function packKeys(keys: readonly Buffer[]): Buffer<ArrayBuffer> {
  let size = 0;
  for (const key of keys) size += 4 + key.length;
  const packed = ownBuffer(size);
  let at = 0;
  for (const key of keys) {
    at = packed.writeUInt32LE(key.length, at);
    at += key.copy(packed, at);
  }
  return packed;
}

/** The packed keys, as slices. */
export function* unpackKeys(packed: Buffer, count: number): Generator<Buffer, void, void> {
  let at = 0;
  for (let i = 0; i < count; i++) {
    const length = packed.readUInt32LE(at);
    yield packed.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
}

/** Bytes of a packed row before its record. */
const ROW_HEADER = 8 + 8 + 1 + 4;

/** What the log keeps of a row beside what its record says. */
export interface PackedRow {
  readonly id: bigint;
  readonly prevId: bigint;
  readonly tombstone: boolean;
  /** A slice of what was packed. */
  readonly record: Buffer;
}

/** Packs rows for `commit`. */
export function packRows(rows: readonly RowWrite[]): Buffer<ArrayBuffer> {
  let size = 0;
  for (const row of rows) size += ROW_HEADER + row.record.length;
  const packed = ownBuffer(size);
  let at = 0;
  for (const row of rows) {
    packed.writeBigInt64LE(row.id, at);
    packed.writeBigInt64LE(row.prevId, at + 8);
    packed[at + 16] = row.tombstone ? 1 : 0;
    packed.writeUInt32LE(row.record.length, at + 17);
    at += ROW_HEADER;
    at += row.record.copy(packed, at);
  }
  return packed;
}

export function* unpackRows(packed: Buffer, count: number): Generator<PackedRow, void, void> {
  let at = 0;
  for (let i = 0; i < count; i++) {
    const start = at + ROW_HEADER;
    const end = start + packed.readUInt32LE(at + 17);
    const record = packed.subarray(start, end);
    yield { id: packed.readBigInt64LE(at), prevId: packed.readBigInt64LE(at + 8), tombstone: packed[at + 16] === 1, record };
    at = end;
  }
}

/** Memory that no other Buffer shares, so that it can change hands; not zeroed, whoever takes it fills it. */
export function ownBuffer(size: number): Buffer<ArrayBuffer> {
  return Buffer.allocUnsafeSlow(size);
}
