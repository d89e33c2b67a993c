/**
 * The vocabulary of the keyspace: what etcd's KV, Watch and Lease say, freed from protobuf's framing.
 *
 * One thing stays in its wire form: a key's record. It is an encoded `mvccpb.KeyValue` (etcd api/mvccpb/kv.proto, v3.6),
 * made once when the record is written or read from a database, so that a list or a watch message is made by putting
 * records one after another. `key-value.ts` encodes and decodes it.
 */

import type { BlockStream } from './block-stream.js';

/** A store revision. An empty store stands at 1. */
export type Revision = bigint;

/** An encoded `mvccpb.KeyValue`. */
export type KeyValueBytes = Buffer;

/** A contiguous range of keys in bytewise order. */
export interface KeyRange {
  /** First key of the range. */
  readonly start: Buffer;
  /** First key after the range; `null`: no upper end. */
  readonly end: Buffer | null;
  /** Exactly the key `start`; `end` is then `start` followed by a zero byte. */
  readonly single: boolean;
}

export interface RangeRequest {
  readonly type: 'range';
  readonly range: KeyRange;
  /** Most records to return; 0: all. */
  readonly limit: number;
  /** 0: latest. Below 0, which only a range inside a txn may be: etcd takes it for compacted, except -1 in a store that never was. */
  readonly revision: Revision;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** Absent: every record, in key order. */
  readonly selection?: RangeSelection | undefined;
}

export type SortTarget = 'key' | 'version' | 'create' | 'mod' | 'value';

/** Which records of a range are returned, and in which order. `count` stays that of all of them. */
export interface RangeSelection {
  readonly target: SortTarget;
  /** `none`: by another target than the key it is `ascend`, but among the first records of the key order that the limit lets through. */
  readonly order: 'none' | 'ascend' | 'descend';
  /** Bounds, inclusive; 0: none. */
  readonly minModRevision: Revision;
  readonly maxModRevision: Revision;
  readonly minCreateRevision: Revision;
  readonly maxCreateRevision: Revision;
}

export interface RangeResult {
  /** The store's revision at which a read at latest holds, or the current one for a read at an older revision. */
  readonly revision: Revision;
  /** Keys in the range at the revision read, whatever the limit. */
  readonly count: number;
  /** The limit cut the answer short. */
  readonly more: boolean;
  /** Number of records in `blocks` and `rest` together. */
  readonly records: number;
  /** Bytes of all blocks, those of `rest` included. */
  readonly bytes: number;
  /** Records in key order, each framed as field 2 of RangeResponse (tag 0x12, varint length, KeyValue). */
  readonly blocks: readonly Buffer[];
  /**
   * Further blocks of the same snapshot, read while they are sent; absent when `blocks` holds everything. Whoever gets
   * it must iterate it, or call its `return()`, since it holds a database snapshot.
   */
  readonly rest?: BlockStream;
}

export interface PutRequest {
  readonly type: 'put';
  readonly key: Buffer;
  readonly value: Buffer;
  /** 0n: none. */
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRangeRequest {
  readonly type: 'delete';
  readonly range: KeyRange;
  readonly prevKv: boolean;
}

export type CompareTarget = 'version' | 'create' | 'mod' | 'value' | 'lease';
export type CompareResult = 'equal' | 'greater' | 'less' | 'not-equal';

export interface Compare {
  /** Of a range, every key must satisfy it; one without keys counts as a single absent key. */
  readonly range: KeyRange;
  readonly target: CompareTarget;
  readonly result: CompareResult;
  /** The number to compare with: version, create, mod, lease. */
  readonly number: bigint;
  /** The bytes to compare with: value. */
  readonly value: Buffer;
}

export type TxnOp = RangeRequest | PutRequest | DeleteRangeRequest | TxnRequest;

export interface TxnRequest {
  readonly type: 'txn';
  readonly compares: readonly Compare[];
  readonly success: readonly TxnOp[];
  readonly failure: readonly TxnOp[];
}

export interface PutResult {
  readonly type: 'put';
  readonly prevKv: KeyValueBytes | null;
}

export interface DeleteRangeResult {
  readonly type: 'delete';
  readonly deleted: number;
  readonly prevKvs: readonly KeyValueBytes[];
  /** In a txn that wrote: it deleted nothing before the first write, so it holds at the revision before the txn's. */
  readonly isBefore?: boolean;
}

export interface TxnRangeResult {
  readonly type: 'range';
  readonly count: number;
  readonly more: boolean;
  readonly kvs: readonly KeyValueBytes[];
  /** In a txn that wrote: it was read before the first write, at the revision before the txn's. */
  readonly isBefore?: boolean;
}

export type TxnOpResult = PutResult | DeleteRangeResult | TxnRangeResult | TxnResult;

export interface TxnResult {
  readonly type: 'txn';
  /** The txn's own revision when it wrote, else the current one. */
  readonly revision: Revision;
  readonly succeeded: boolean;
  /** One for each operation of the branch taken, in order and of the same type. */
  readonly responses: readonly TxnOpResult[];
}

export interface WatchRequest {
  readonly range: KeyRange;
  /** Inclusive; 0: everything after the current revision. */
  readonly startRevision: Revision;
  readonly progressNotify: boolean;
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  /** Chosen by the client; 0: the server picks one. */
  readonly watchId: bigint;
}

/** What a watch stream tells its client, in the order it has to be sent. */
export type WatchMessage =
  | { readonly type: 'created'; readonly watchId: bigint; readonly revision: Revision }
  | {
      readonly type: 'canceled';
      readonly watchId: bigint;
      readonly revision: Revision;
      /** Not 0: the watch fell behind the compaction. */
      readonly compactRevision: Revision;
      readonly reason: string;
      /** The creation was refused: sent with `created` set, too. */
      readonly refused: boolean;
    }
  | {
      readonly type: 'events';
      readonly watchId: bigint;
      readonly revision: Revision;
      /** Each framed as field 11 of WatchResponse (tag 0x5a, varint length, Event); one revision is never split over messages. */
      readonly events: readonly Buffer[];
    }
  /** `watchId` -1: every watch of the stream has got everything up to `revision`. */
  | { readonly type: 'progress'; readonly watchId: bigint; readonly revision: Revision };

/** The outgoing side of a watch stream. */
export interface WatchSink {
  /**
   * Takes one message. False: the client reads too slowly; the stream then sends no events until `WatchStream.drained()`
   * is called (it reads on from the ring or the database later, so nothing is lost and nothing piles up).
   */
  send(message: WatchMessage): boolean;
  /** Ends the stream with an error; no message follows. */
  fail(error: Error): void;
}

/** One client's bundle of watches. */
export interface WatchStream {
  create(request: WatchRequest): void;
  cancel(watchId: bigint): void;
  requestProgress(): void;
  drained(): void;
  close(): void;
}

export interface StoreStatus {
  readonly revision: Revision;
  readonly compactRevision: Revision;
  /** Bytes on disk of every backend that answers, as last measured; never waits for a database. */
  readonly sizeBytes: number;
  /** Bytes of `sizeBytes` that hold data. */
  readonly sizeInUseBytes: number;
  /** Stable identity of the store (uint64, never 0). */
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

export interface LeaseGranted {
  readonly id: bigint;
  /** Seconds. */
  readonly ttl: bigint;
  readonly revision: Revision;
}

export interface LeaseLife {
  /** Whole seconds that are left. */
  readonly ttl: bigint;
  /** Seconds of a whole life. */
  readonly granted: bigint;
  /** Keys attached to it, in key order; empty unless they were asked for. */
  readonly keys: readonly Buffer[];
}

export interface KeyspaceHash {
  /** uint32; equal for equal content. */
  readonly hash: number;
  /** The revision that was hashed. */
  readonly hashRevision: Revision;
  /** Where compaction stood; -1: there was none. */
  readonly compactRevision: Revision;
  /** The current one. */
  readonly revision: Revision;
}

/** What the etcd API needs of the store behind it. `Keyspace` is the one implementation; the interface keeps the wire testable alone. */
export interface Store {
  status(): StoreStatus;
  range(request: RangeRequest): Promise<RangeResult>;
  txn(request: TxnRequest): Promise<TxnResult>;
  /** Header revision and result of a put or delete outside a txn. */
  put(request: PutRequest): Promise<PutResult & { readonly revision: Revision }>;
  deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResult & { readonly revision: Revision }>;
  /**
   * Resolves when reads below `revision` are refused everywhere; the header's revision is the current one. `isPhysical`: when what they
   * needed is removed, too, from every backend that answers.
   */
  compact(revision: Revision, isPhysical?: boolean): Promise<Revision>;
  watch(sink: WatchSink): WatchStream;
  /** `id` 0: the store picks one. */
  grantLease(ttl: bigint, id: bigint): Promise<LeaseGranted>;
  /** Resolves when the lease and its keys are gone. */
  revokeLease(id: bigint): Promise<Revision>;
  /** Seconds granted anew; 0: the lease does not exist. */
  keepAliveLease(id: bigint): Promise<bigint>;
  /** What is left of a lease; null: it does not exist. */
  leaseLife(id: bigint, withKeys: boolean): Promise<LeaseLife | null>;
  /** Every lease, the one that ends first before the others. */
  leases(): readonly bigint[];
  /** A hash over what is live at `revision` (0: latest) and over every change up to it that is not compacted. */
  hash(revision: Revision): Promise<KeyspaceHash>;
}
