import {
  type Backend,
  type Compare,
  type ControlStore,
  type DeleteRangeResult,
  decodeKeyValue,
  isEmptyRange,
  Keyspace,
  type KeyRange,
  keyRange,
  type KeyspaceOptions,
  type KeyValue,
  prefixRange,
  type PutRequest,
  type RangeRequest,
  type RangeResult,
  recordsOf,
  type Revision,
  type Routing,
  singleKey,
  type TxnOp,
  type TxnOpResult,
  type TxnResult,
  type WatchRequest,
  WriterLease,
} from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import type { WatchedEvent } from './history-checker.js';
import { MemoryBackend, MemoryDatabase, type MemoryHooks } from './memory-backend.js';
import { someWriter } from './take-over.js';
import { watchedEvent, WatchRecorder } from './watch-recorder.js';

type AnyBackend = Backend & ControlStore;

/**
 * Routes `/user/…` to the backend `user` and so on, everything else to `main`: the names are those of the backends beside
 * the main one.
 */
export function routingByFirstSegment(others: readonly string[]): Routing {
  const prefixes = others.map((name) => ({ name, range: prefixRange(bytesOf(`/${name}/`)) }));
  return {
    route: (key) => prefixes.find(({ name }) => key.toString('latin1').startsWith(`/${name}/`))?.name ?? 'main',
    backendsFor: (range) => {
      const reached = prefixes.filter((prefix) => overlaps(prefix.range, range));
      const [only] = reached;
      if (only !== undefined && reached.length === 1 && isWithin(range, only.range)) return [only.name];
      return ['main', ...reached.map(({ name }) => name)];
    },
  };
}

function overlaps(a: KeyRange, b: KeyRange): boolean {
  if (isEmptyRange(a) || isEmptyRange(b)) return false;
  return (b.end === null || Buffer.compare(a.start, b.end) < 0) && (a.end === null || Buffer.compare(b.start, a.end) < 0);
}

function isWithin(inner: KeyRange, outer: KeyRange): boolean {
  return (
    Buffer.compare(inner.start, outer.start) >= 0 && inner.end !== null && outer.end !== null && Buffer.compare(inner.end, outer.end) <= 0
  );
}

export interface HarnessOptions {
  /** Backends beside `main`. */
  readonly others?: readonly string[];
  readonly eventBytes?: number;
  readonly cacheBytes?: number;
  readonly progressIntervalMs?: number;
  /** Of the writer. */
  readonly leaseMs?: number;
  readonly requestTimeoutMs?: number;
  readonly acceptRestored?: ReadonlySet<string>;
  /** Opens the backend of a name, again after a restart: on the same database. Absent: in memory. */
  readonly open?: (name: string) => Promise<AnyBackend>;
}

/** A keyspace over a few backends, spoken to in short words. */
export class KeyspaceHarness {
  readonly warnings: string[] = [];
  /** Of the backends in memory; empty objects until a test sets one. */
  readonly hooks: Record<string, MemoryHooks> = {};
  readonly #databases = new Map<string, MemoryDatabase>();
  #backends: AnyBackend[] = [];
  #keyspace: Keyspace | null = null;

  private constructor(private readonly options: HarnessOptions) {}

  static async open(options: HarnessOptions = {}): Promise<KeyspaceHarness> {
    const harness = new KeyspaceHarness(options);
    for (const name of harness.names) {
      harness.hooks[name] = {};
      harness.#databases.set(name, new MemoryDatabase());
    }
    await harness.start();
    return harness;
  }

  get names(): readonly string[] {
    return ['main', ...(this.options.others ?? [])];
  }

  get keyspace(): Keyspace {
    if (this.#keyspace === null) throw new Error('the keyspace is not open');
    return this.#keyspace;
  }

  get revision(): Revision {
    return this.keyspace.status().revision;
  }

  /** One process at a time can have the databases open. */
  get isExclusive(): boolean {
    return this.#backends.some(({ isExclusive }) => isExclusive);
  }

  /** Answers of the backends in memory that hold a snapshot. */
  get openSnapshots(): number {
    return this.#backends.reduce((sum, backend) => sum + (backend instanceof MemoryBackend ? backend.openSnapshots : 0), 0);
  }

  hook(name: string): MemoryHooks {
    return (this.hooks[name] ??= {});
  }

  async start(): Promise<void> {
    const { others = [] } = this.options;
    this.#backends = await Promise.all(this.names.map((name) => this.openBackend(name)));
    const [main, ...rest] = this.#backends;
    if (main === undefined) throw new Error('there is no main backend');
    const log = {
      info: () => undefined,
      warn: (message: string, fields?: Record<string, unknown>) => void this.warnings.push(`${message} ${JSON.stringify(fields)}`),
    };
    const lease = await WriterLease.acquire(main, { identity: someWriter(this.options.leaseMs), log });
    const options: KeyspaceOptions = {
      main,
      lease,
      backends: new Map(rest.map((backend) => [backend.name, backend])),
      routing: routingByFirstSegment(others),
      cacheBytes: this.options.cacheBytes ?? 16 << 20,
      eventBytes: this.options.eventBytes ?? 16 << 20,
      progressIntervalMs: this.options.progressIntervalMs ?? 3_600_000,
      requestTimeoutMs: this.options.requestTimeoutMs ?? 5_000,
      acceptRestored: this.options.acceptRestored ?? new Set(),
      log,
    };
    this.#keyspace = await Keyspace.open(options);
  }

  async close(): Promise<void> {
    const keyspace = this.#keyspace;
    this.#keyspace = null;
    await keyspace?.close();
  }

  /** A clean stop and a start on the same databases. */
  async restart(): Promise<void> {
    await this.close();
    await this.start();
  }

  async put(key: string, value = '', options: Partial<PutRequest> = {}): Promise<Revision> {
    return (await this.keyspace.put(putOp(key, value, options))).revision;
  }

  async delete(key: string, prefix = false): Promise<DeleteRangeResult & { readonly revision: Revision }> {
    return this.keyspace.deleteRange({ type: 'delete', range: rangeFor(key, prefix), prevKv: true });
  }

  txn(compares: readonly Compare[], success: readonly TxnOp[], failure: readonly TxnOp[] = []): Promise<TxnResult> {
    return this.keyspace.txn({ type: 'txn', compares, success, failure });
  }

  /** Kubernetes' create, update and delete: a compare of the mod revision, and the current record when it fails. */
  create(key: string, value: string, lease = 0n): Promise<TxnResult> {
    return this.txn([modIs(key, 0n)], [putOp(key, value, { lease })]);
  }

  update(key: string, value: string, expected: Revision, lease = 0n): Promise<TxnResult> {
    return this.txn([modIs(key, expected)], [putOp(key, value, { lease })], [getOp(key)]);
  }

  remove(key: string, expected: Revision): Promise<TxnResult> {
    return this.txn([modIs(key, expected)], [deleteOp(key)], [getOp(key)]);
  }

  range(range: KeyRange, options: Partial<RangeRequest> = {}): Promise<RangeResult> {
    return this.keyspace.range({ type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false, ...options });
  }

  async get(key: string, options: Partial<RangeRequest> = {}): Promise<{ readonly revision: Revision; readonly kv: KeyValue | null }> {
    const result = await this.range(singleKey(bytesOf(key)), options);
    const [kv] = await kvsOf(result);
    return { revision: result.revision, kv: kv ?? null };
  }

  /** `key=value@mod` of each record, and the header. */
  async list(
    prefix: string,
    options: Partial<RangeRequest> = {},
  ): Promise<{ revision: Revision; count: number; more: boolean; kvs: string[] }> {
    const result = await this.range(prefix === '' ? EVERYTHING : prefixRange(bytesOf(prefix)), options);
    const { revision, count, more } = result;
    return { revision, count, more, kvs: (await kvsOf(result)).map(kvText) };
  }

  watch(prefix: string, options: Partial<WatchRequest> = {}, recorder = new WatchRecorder()): WatchRecorder {
    this.keyspace.watch(recorder).create(watchOf(prefix, options));
    return recorder;
  }

  /** Every change that the databases hold, in the order of revisions: what all that clients see has to agree with. */
  async truth(): Promise<WatchedEvent[]> {
    const query = { range: { start: Buffer.alloc(0), end: null, single: false }, after: 0n, through: this.revision, maxBytes: 1 << 30 };
    const answers = await Promise.all(this.#backends.map((backend) => backend.changes(query)));
    return answers
      .flatMap(({ changes }) => changes)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ isDelete, record, prevRecord }) => watchedEvent(isDelete, record, prevRecord));
  }

  database(name: string): MemoryDatabase {
    const database = this.#databases.get(name);
    if (database === undefined) throw new Error(`there is no database ${name}`);
    return database;
  }

  /** Another one on the same database. */
  async openBackend(name: string): Promise<AnyBackend> {
    return this.options.open?.(name) ?? new MemoryBackend(name, this.database(name), this.hook(name));
  }
}

export const EVERYTHING: KeyRange = { start: Buffer.from([0]), end: null, single: false };

function rangeFor(key: string, prefix: boolean): KeyRange {
  return prefix ? prefixRange(bytesOf(key)) : singleKey(bytesOf(key));
}

export function watchOf(prefix: string, options: Partial<WatchRequest> = {}): WatchRequest {
  const range = prefix === '' ? EVERYTHING : prefixRange(bytesOf(prefix));
  return { range, startRevision: 0n, progressNotify: false, prevKv: false, noPut: false, noDelete: false, watchId: 0n, ...options };
}

export function putOp(key: string, value: string, options: Partial<PutRequest> = {}): PutRequest {
  return {
    type: 'put',
    key: bytesOf(key),
    value: bytesOf(value),
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    ...options,
  };
}

export function deleteOp(key: string, prefix = false): TxnOp {
  return { type: 'delete', range: rangeFor(key, prefix), prevKv: false };
}

export function getOp(key: string, prefix = false): TxnOp {
  return { type: 'range', range: rangeFor(key, prefix), limit: 0, revision: 0n, keysOnly: false, countOnly: false };
}

export function modIs(key: string, revision: Revision): Compare {
  return compare(key, 'mod', revision);
}

export function compare(key: string, target: Compare['target'], wanted: bigint | string, result: Compare['result'] = 'equal'): Compare {
  const isText = typeof wanted === 'string';
  return { range: singleKey(bytesOf(key)), target, result, number: isText ? 0n : wanted, value: bytesOf(isText ? wanted : '') };
}

export function between(start: string, end: string): KeyRange {
  return keyRange(bytesOf(start), bytesOf(end));
}

export async function kvsOf(result: RangeResult): Promise<KeyValue[]> {
  const blocks = [...result.blocks];
  if (result.rest !== undefined) for await (const block of result.rest) blocks.push(block);
  return blocks.flatMap((block) => [...recordsOf(block)].map(decodeKeyValue));
}

function kvText({ key, value, modRevision }: KeyValue): string {
  return `${key.toString('latin1')}=${value.toString('latin1')}@${modRevision}`;
}

/** The operations' answers as text. */
export function responsesOf(result: TxnResult): string[] {
  return result.responses.map((response: TxnOpResult) => {
    switch (response.type) {
      case 'put':
        return response.prevKv === null ? 'put' : `put over ${kvText(decodeKeyValue(response.prevKv))}`;
      case 'delete':
        return `deleted ${response.deleted}`;
      case 'range':
        return `range ${response.count}${response.more ? '+' : ''}: ${response.kvs.map((kv) => kvText(decodeKeyValue(kv))).join(', ')}`;
      case 'txn':
        return 'txn';
    }
  });
}
