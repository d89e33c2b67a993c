import { readFile, writeFile } from 'node:fs/promises';
import type { Revision } from '@harikube/keyspace';

/*
 * What the clients of a workload were told, in one process and on one monotonic clock (milliseconds). Keys and values are text, one
 * character a byte. `end` is the first key after a range; '': the range is the one key `key`.
 */

/** A key as etcd shows it. */
export interface Kv {
  readonly key: string;
  readonly value: string;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: bigint;
  readonly lease: bigint;
}

export interface RangeOperation {
  readonly type: 'range';
  readonly key: string;
  readonly end: string;
  /** 0: latest. */
  readonly revision: Revision;
  /** 0: all. */
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
}

export interface PutOperation {
  readonly type: 'put';
  readonly key: string;
  /** No value is put twice, so that it tells which request wrote it. */
  readonly value: string;
  /** 0: none. */
  readonly lease: bigint;
  readonly prevKv: boolean;
}

export interface DeleteOperation {
  readonly type: 'delete';
  readonly key: string;
  readonly end: string;
  readonly prevKv: boolean;
}

export interface Compare {
  readonly key: string;
  readonly end: string;
  readonly target: 'version' | 'create' | 'mod' | 'lease' | 'value';
  readonly result: 'equal' | 'greater' | 'less' | 'not-equal';
  /** What the target is compared with, unless that is the value. */
  readonly number: bigint;
  readonly value: string;
}

export interface TxnOperation {
  readonly type: 'txn';
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export type Operation = RangeOperation | PutOperation | DeleteOperation | TxnOperation;

export type Request =
  | Operation
  | { readonly type: 'compact'; readonly revision: Revision }
  /** The client chooses the id; `ttl` in seconds. */
  | { readonly type: 'grant'; readonly lease: bigint; readonly ttl: bigint }
  | { readonly type: 'revoke'; readonly lease: bigint }
  | { readonly type: 'keep-alive'; readonly lease: bigint };

export type OperationResult =
  | { readonly type: 'range'; readonly kvs: readonly Kv[]; readonly count: number; readonly more: boolean }
  | { readonly type: 'put'; readonly prev: Kv | null }
  | { readonly type: 'delete'; readonly deleted: number; readonly prevs: readonly Kv[] }
  | { readonly type: 'txn'; readonly succeeded: boolean; readonly results: readonly OperationResult[] };

export type Result =
  | OperationResult
  | { readonly type: 'compact' | 'revoke' }
  /** Seconds; 0: there is no such lease. */
  | { readonly type: 'grant' | 'keep-alive'; readonly ttl: bigint };

export type Outcome =
  /** `revision`: the header's. */
  | { readonly type: 'done'; readonly revision: Revision; readonly result: Result }
  /** It certainly had no effect. `code`: gRPC's. */
  | { readonly type: 'refused'; readonly code: number; readonly text: string }
  /** Nobody was told whether it had an effect. */
  | { readonly type: 'unknown'; readonly text: string };

export interface RecordedCall {
  readonly client: number;
  readonly request: Request;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: Outcome;
}

export interface Change {
  readonly isDelete: boolean;
  /** Of a deletion only the key and the mod revision count; the rest has to be empty. */
  readonly kv: Kv;
  readonly prev: Kv | null;
}

export type WatchMessage =
  | { readonly type: 'created'; readonly at: number; readonly revision: Revision }
  /** `isFragment`: the next message goes on with the same one. */
  | {
      readonly type: 'events';
      readonly at: number;
      readonly revision: Revision;
      readonly isFragment: boolean;
      readonly changes: readonly Change[];
    }
  | { readonly type: 'progress'; readonly at: number; readonly revision: Revision }
  /** By the router. `compactRevision` 0: for another reason than a compaction. */
  | { readonly type: 'canceled'; readonly at: number; readonly compactRevision: Revision; readonly reason: string }
  /** The stream has ended, and not by the client. */
  | { readonly type: 'broken'; readonly at: number; readonly code: number; readonly text: string };

export interface RecordedWatch {
  readonly name: string;
  readonly key: string;
  readonly end: string;
  /** 0: what comes after the current revision. */
  readonly startRevision: Revision;
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly startedAt: number;
  readonly messages: WatchMessage[];
  /** It has to have everything up to here, for it was waited for; null: nobody waited, as the client gave it up before. */
  dueThrough: Revision | null;
}

/** Keys that one database holds. */
export interface Area {
  /** The backend's name. */
  readonly name: string;
  /** Each of its keys begins with this, and no other key of the workload does. */
  readonly prefix: string;
}

export interface History {
  readonly seed: number;
  readonly areas: readonly Area[];
  /** What the prefixes of all areas begin with. */
  readonly common: string;
  /** Something was made to fail meanwhile: calls may end unavailable, and streams may break. */
  readonly hasFaults: boolean;
  /** What was there, and the revision at which it was. */
  readonly base: Revision;
  readonly initial: readonly Kv[];
  readonly calls: readonly RecordedCall[];
  readonly watches: readonly RecordedWatch[];
  /** What the router said in the end, when nothing held it up any more, instead of its state; null: it told it. */
  readonly untoldEnd: string | null;
}

/** Revisions are no numbers of JSON's. */
const BIGINT = /^-?\d+n$/;

export async function saveHistory(file: string, history: History): Promise<void> {
  await writeFile(
    file,
    JSON.stringify(history, (_name, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)),
  );
}

export async function loadHistory(file: string): Promise<History> {
  const text = await readFile(file, 'utf8');
  return JSON.parse(text, (_name, value: unknown) =>
    typeof value === 'string' && BIGINT.test(value) ? BigInt(value.slice(0, -1)) : value,
  ) as History;
}

/** Whether a range covers a key. */
export function covers(range: { readonly key: string; readonly end: string }, key: string): boolean {
  return range.end === '' ? key === range.key : key >= range.key && key < range.end;
}

/** The range of all keys that begin with the prefix, which does not end in the last byte. */
export function prefixRange(prefix: string): { readonly key: string; readonly end: string } {
  return { key: prefix, end: prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1) };
}
