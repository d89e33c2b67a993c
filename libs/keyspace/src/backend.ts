import type { BlockStream } from './block-stream.js';
import type { KeyRange, KeyValueBytes, Revision } from './model.js';

/**
 * Identity of a row: `revision << 20 | position of the write in its txn`. One integer orders the writes of a txn, which
 * share a revision, and is the primary key of the log in every database. It holds 2^20 writes a txn and 2^43 revisions.
 */
export type RowId = bigint;

const POSITION_BITS = 20n;

export function rowId(revision: Revision, position: number): RowId {
  return (revision << POSITION_BITS) | BigInt(position);
}

export function revisionOf(id: RowId): Revision {
  return id >> POSITION_BITS;
}

/** A live key's newest row. */
export interface Head {
  readonly id: RowId;
  readonly record: KeyValueBytes;
}

export interface LoadAnswer {
  /** The newest revision of this backend in the snapshot that was read. */
  readonly lastRevision: Revision;
  /** In the order of the keys; null where there is none. */
  readonly heads: readonly (Head | null)[];
}

/** One row of the log, to be written. */
export interface RowWrite {
  readonly id: RowId;
  readonly key: Buffer;
  /** The encoded `mvccpb.KeyValue` of all that follows; of a tombstone, key and mod_revision. */
  readonly record: KeyValueBytes;
  /** Empty for a tombstone. */
  readonly value: Buffer;
  /** 0 for a tombstone. */
  readonly createRevision: Revision;
  /** 0 for a tombstone. */
  readonly version: bigint;
  readonly lease: bigint;
  readonly tombstone: boolean;
  /** The row that this one replaces; 0n for the creation of a key. */
  readonly prevId: RowId;
}

export interface CommitBatch {
  /** In the order of their ids. */
  readonly rows: readonly RowWrite[];
  readonly firstRevision: Revision;
  readonly lastRevision: Revision;
  /** The last revision that this database is known to hold, or that the commit under way leaves. The commit takes place only if it is the last one then. */
  readonly previousRevision: Revision;
}

export interface RangeQuery {
  readonly range: KeyRange;
  /**
   * 0: latest. Otherwise a revision that is settled in this backend and not compacted. Where a compaction has overtaken the read, the answer
   * may hold anything, and is no error: the caller looks again at what is compacted.
   */
  readonly revision: Revision;
  /** Most records; 0: all. */
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** Whether `count` is needed when the limit cuts the answer. */
  readonly count: boolean;
}

export interface RangeAnswer {
  /** The newest revision of this backend in the snapshot that was read. */
  readonly lastRevision: Revision;
  /** Keys in the range, whatever the limit; null when it was not asked for and the limit cut the answer. */
  readonly count: number | null;
  readonly more: boolean;
  /** Records in `blocks` and `rest` together. */
  readonly records: number;
  readonly bytes: number;
  /** Framed records (field 2 of RangeResponse) in key order. */
  readonly blocks: readonly Buffer[];
  /** The rest of a large answer, from the same snapshot; to be iterated or returned. */
  readonly rest?: BlockStream;
}

/** One change as the log has it. */
export interface Change {
  readonly id: RowId;
  readonly key: Buffer;
  readonly isDelete: boolean;
  /** Put: the record. Delete: key and mod_revision. */
  readonly record: KeyValueBytes;
  /** The record that was replaced; null for a creation. */
  readonly prevRecord: KeyValueBytes | null;
}

export interface ChangesQuery {
  readonly range: KeyRange;
  /** Exclusive. */
  readonly after: Revision;
  /** Inclusive; settled in this backend. */
  readonly through: Revision;
  /** Stops at the end of the revision in which this many bytes are reached. */
  readonly maxBytes: number;
}

export interface ChangesAnswer {
  /** The newest revision of this backend in the snapshot that was read. */
  readonly lastRevision: Revision;
  /** In the order of their ids; a revision is never cut. */
  readonly changes: readonly Change[];
  /** Everything of the range in (after, through] is in `changes`. */
  readonly through: Revision;
}

/** What a writer tells a backend when it takes it over. */
export interface WriterClaim {
  /** Identity of the whole store; a database that belongs to another one is refused. */
  readonly storeId: string;
  /** Number of this writer; every commit of an older one fails from now on. */
  readonly epoch: bigint;
}

export interface BackendState {
  /** UUID of the database, made with it. */
  readonly identity: string;
  /** Newest revision in this database; 0 when it is empty. */
  readonly lastRevision: Revision;
}

/** A commit that certainly did not take place; nothing of it is there. */
export class CommitFailedError extends Error {
  override readonly name: string = 'CommitFailedError';
  constructor(
    message: string,
    /** A row that replaces nothing names a key that is live. */
    readonly isConflict = false,
  ) {
    super(message);
  }
}

/** The database has a writer of another epoch. Nothing was written. */
export class FencedError extends CommitFailedError {
  override readonly name = 'FencedError';
  constructor(
    backend: string,
    /** Of this writer. */
    readonly epoch: bigint,
    /** In the database. */
    readonly foundEpoch: bigint,
  ) {
    super(`backend "${backend}" has a writer of epoch ${foundEpoch}; this one is of epoch ${epoch}`);
  }
}

/** The database does not stand at the revision that it is known to have held: it was restored from another copy. Nothing was written. */
export class RolledBackError extends CommitFailedError {
  override readonly name = 'RolledBackError';
  constructor(
    backend: string,
    /** The last revision that it is known to have held. */
    readonly knownRevision: Revision,
    /** The last revision that it holds. */
    readonly foundRevision: Revision,
  ) {
    super(
      `the database of backend "${backend}" holds revision ${foundRevision}, but it had revision ${knownRevision}: ` +
        'it was restored from another copy; restore the right copy',
    );
  }
}

/** A commit that may or may not have taken place. `Backend.resolve` finds out. */
export class CommitUnknownError extends Error {
  override readonly name = 'CommitUnknownError';
}

/**
 * One database. It stores what the keyspace decided; it judges nothing. Any method may reject with an Error when the
 * database fails; reads may then be repeated.
 */
export interface Backend {
  readonly name: string;
  /**
   * A second commit may be given to it while one is under way: they take place in that order, the second one only if the first has. Absent: one
   * at a time.
   */
  readonly ordersCommits?: boolean;
  /**
   * Why a row of this key and value cannot be stored, whatever else is; null: it can. Asked before a write joins a batch, so that one which does
   * not fit fails alone. Absent: every row that a client may send fits.
   */
  misfit?(key: Buffer, value: Buffer): string | null;
  /** Takes the database over for this writer and tells where it stands. Rejects with FencedError when it has a newer one. */
  claim(claim: WriterClaim): Promise<BackendState>;
  /**
   * Writes all rows durably, or none. Calls never overlap but for `ordersCommits`. Rejects with CommitFailedError (FencedError for another epoch,
   * RolledBackError for another `previousRevision`) or CommitUnknownError. A row without `prevId` whose key is live is a
   * conflict, which fails the batch: a creation is committed on trust, without a load before it.
   */
  commit(batch: CommitBatch): Promise<void>;
  /**
   * After CommitUnknownError: the last revision that the database holds, which tells whether the batch took place. It takes the lock
   * that every commit takes, so that the commit in question cannot take place behind it. Rejects while that cannot be told.
   */
  resolve(): Promise<Revision>;
  /**
   * The heads of these keys. Sees every commit that resolved before the call. `commit`: they are wanted for judging the
   * next batch, so the answer may wait for the commit under way, and comes best from where that batch will be written.
   */
  load(keys: readonly Buffer[], purpose?: 'read' | 'commit'): Promise<LoadAnswer>;
  range(query: RangeQuery): Promise<RangeAnswer>;
  changes(query: ChangesQuery): Promise<ChangesAnswer>;
  /** Live keys attached to a lease, in key order, at most `limit`. */
  keysOfLease(lease: bigint, limit: number): Promise<readonly Buffer[]>;
  /** Leases that live keys are attached to. */
  leasesInUse(): Promise<readonly bigint[]>;
  /**
   * Removes what no read at or above `revision` can see, in small steps that let commits pass in between. Rows that a
   * watch from `revision` on needs stay.
   */
  compact(revision: Revision, signal: AbortSignal): Promise<void>;
  /** Bytes of the database, and those of them in use. */
  size(): Promise<{ readonly bytes: number; readonly inUse: number }>;
  close(): Promise<void>;
}

export interface LeaseRow {
  readonly id: bigint;
  /** Seconds. */
  readonly ttl: bigint;
  /** Milliseconds since 1970 at which it ends unless it is renewed. */
  readonly expiresAt: number;
  /** It was kept alive at least once: after a restart it is given its whole ttl. */
  readonly renewed: boolean;
}

/** What the default backend records for the whole store. */
export interface ControlState {
  /** uint64, never 0; made when the store is. */
  readonly clusterId: bigint;
  readonly storeId: string;
  /** No revision above this one was ever handed out. After a clean stop it is exactly the last one. */
  readonly reservedRevision: Revision;
  readonly compactRevision: Revision;
  readonly epoch: bigint;
  readonly leases: readonly LeaseRow[];
  /** The last revision of each database at the last renewal, by identity. */
  readonly marks: ReadonlyMap<string, Revision>;
}

/** A process that writes, or wants to. */
export interface WriterIdentity {
  /** UUID of the process. */
  readonly holder: string;
  /** HOST:PORT at which others reach its etcd API; empty: none. */
  readonly address: string;
  /** How long its lease lasts without a renewal. */
  readonly leaseMs: number;
}

/** Who wrote last. */
export interface WriterRecord extends WriterIdentity {
  readonly epoch: bigint;
  /** Grows with each renewal. */
  readonly renewals: bigint;
  /** Given back: nobody writes. */
  readonly isReleased: boolean;
}

/** The default backend's further duties. Every write is durable when it resolves, and rejects with FencedError for an older epoch. */
export interface ControlStore {
  /** No other process can have the database open: a writer found in it is of the past. */
  readonly isExclusive: boolean;
  /** Who wrote last, as the database has it at this moment; null: nobody yet. */
  writer(): Promise<WriterRecord | null>;
  /**
   * Begins a new epoch if the record still is the one that was seen (epoch, renewals, isReleased), and tells what was
   * recorded; comes before `claim`. Null: the record is another one, nothing has changed.
   */
  begin(self: WriterIdentity, seen: WriterRecord | null): Promise<ControlState | null>;
  /** Renews the lease; `marks` takes the place of the marks that were recorded. */
  renew(marks: ReadonlyMap<string, Revision>): Promise<void>;
  /** Ends the lease: whoever waits may begin at once. */
  release(): Promise<void>;
  /** Revisions up to this one may be handed out. */
  reserve(revision: Revision): Promise<void>;
  setCompactRevision(revision: Revision): Promise<void>;
  saveLease(lease: LeaseRow): Promise<void>;
  removeLease(id: bigint): Promise<void>;
}
