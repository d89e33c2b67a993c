import { randomBytes, randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type BackendState,
  BlockStream,
  type Change,
  type ChangesAnswer,
  type ChangesQuery,
  type CommitBatch,
  CommitFailedError,
  CommitUnknownError,
  type ControlState,
  FencedError,
  type Head,
  type LeaseRow,
  type LoadAnswer,
  type RangeAnswer,
  type RangeQuery,
  type Revision,
  RolledBackError,
  type WriterClaim,
  type WriterIdentity,
  type WriterRecord,
  keyOf,
  freeBlock,
  ownedBlock,
  messageOf,
} from '@harikube/keyspace';
import { DatabaseOpenError, RefusedDatabaseError } from '../../database-errors.js';
import type { Database } from '../../database.js';
import { BlockReader } from './block-writer.js';
import { SideLock } from './side-lock.js';
import type { FileThreads, StoreThread } from './store-threads.js';
import {
  type CommitReply,
  type ControlStatement,
  type OpenOptions,
  type ThreadMethods,
  ownMemory,
  packKeys,
  packRows,
} from './thread-protocol.js';
import { updateTables } from './update-tables.js';

interface SqliteBackendOptions {
  readonly name: string;
  /** Absolute path. */
  readonly file: string;
  readonly synchronous: 'full' | 'normal';
  readonly busyTimeoutMs: number;
  /** Rows of the log that one step of a compaction goes through. */
  readonly compactBatchSize: number;
  /** Identity that the file must have, when one is on record; null: any. */
  readonly expectedIdentity: string | null;
}

/** Memory for pages of the file, for each connection: the writer's index pages are used again and again. */
const CACHE_KIB = { writer: 16 * 1024, reader: 4 * 1024 };
/** How often the write-ahead log is moved into the file. */
const CHECKPOINT_INTERVAL_MS = 500;
/** Whoever waited for the start has what it asked for by then; a router that ends sooner has spared itself a third of its processor time. */
const WARM_UP_AFTER_MS = 3000;
/** Enough for the thread's first collections, too, which take 5 ms where later ones take 0.3. */
const WARM_UP_ROUNDS = 4;
const WARM_UP_PAUSE_MS = 50;
/** The write-ahead log may grow to this before the writer itself moves it, between two commits. */
const MAX_WAL_BYTES = 64 * 1024 * 1024;

/** A backend in one SQLite file. All that blocks runs in threads (`file-connection.ts`); here is only what talks to them. */
export class SqliteBackend implements Database {
  readonly name: string;
  readonly isExclusive = true;
  readonly ordersCommits = true;
  #options: SqliteBackendOptions;
  #owner: string | null = null;
  #lock: SideLock | null = null;
  #identity = '';
  #epoch = 0n;
  #checkpointTimer: NodeJS.Timeout | undefined;
  #checkpointing: Promise<void> | undefined;
  #hasNewRows = false;
  /** Threads that have the file open, each with the life in which it was opened there. */
  readonly #opened = new Map<StoreThread, number>();

  constructor(
    options: SqliteBackendOptions,
    private readonly threads: FileThreads,
  ) {
    this.name = options.name;
    this.#options = options;
  }

  get location(): string {
    return this.#options.file;
  }

  /** UUID of the database, made with it. */
  get identity(): string {
    return this.#identity;
  }

  /** The store that the database belongs to; null: not known yet. */
  get owner(): string | null {
    return this.#owner;
  }

  get isOpen(): boolean {
    return this.#lock !== null;
  }

  /** Other settings for the same file. They take effect behind what its threads are doing. */
  async configure({
    synchronous,
    busyTimeoutMs,
    compactBatchSize,
  }: Pick<SqliteBackendOptions, 'synchronous' | 'busyTimeoutMs' | 'compactBatchSize'>): Promise<void> {
    this.#options = { ...this.#options, synchronous, busyTimeoutMs, compactBatchSize };
    const open = [...this.#opened].filter(([thread, life]) => thread.life === life);
    await Promise.all(open.map(([thread]) => thread.call(this.threads.file, 'configure', this.#openOptions(thread))));
  }

  /** Locks the file, makes it when absent, brings its tables up to date. Throws when another router has it. */
  async open(): Promise<void> {
    if (this.isOpen) return;
    const { file, synchronous } = this.#options;
    try {
      const made = mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      if (made !== undefined) syncFolders(made, dirname(file));
      // Made here for its mode, which SQLite gives to the files beside it, too.
      closeSync(openSync(file, 'a', 0o600));
      closeSync(openSync(`${file}.lock`, 'a', 0o600));
    } catch (error) {
      throw new DatabaseOpenError(file, error);
    }
    this.#lock = SideLock.take(file);
    try {
      await updateTables(file, this.#options.busyTimeoutMs, { synchronous, cacheKib: CACHE_KIB.reader });
      const { identity } = await this.#open(this.threads.writer);
      const { expectedIdentity } = this.#options;
      if (expectedIdentity !== null && identity !== expectedIdentity) {
        throw new RefusedDatabaseError(
          `${file} is not the database that backend "${this.name}" had: its identity is ${identity}, recorded is ${expectedIdentity}; ` +
            'put the old file back, or give the new one another name in the topology',
        );
      }
      this.#identity = identity;
    } catch (error) {
      await this.close();
      throw error instanceof RefusedDatabaseError ? error : new DatabaseOpenError(file, error);
    }
    // Started and tried now, so that the first reads do not wait for a thread and its statements.
    this.#open(this.threads.points).catch(() => undefined);
    if (this.threads.file === 0) this.#open(this.threads.ranges).catch(() => undefined);
    this.#warmUpLists().catch(() => undefined);
    this.#checkpointTimer = setInterval(() => this.#checkpoint(), CHECKPOINT_INTERVAL_MS);
    this.#checkpointTimer.unref();
  }

  /** The file's own connection, and once for all files the code; in rounds, so that a list which comes meanwhile waits for one of them at most. */
  async #warmUpLists(): Promise<void> {
    await delay(WARM_UP_AFTER_MS, undefined, { ref: false });
    await this.#call(this.threads.ranges, 'prepareLists', undefined);
    if (this.threads.file !== 0) return;
    for (let round = 0; round < WARM_UP_ROUNDS; round++) {
      await this.#call(this.threads.ranges, 'warmUp', undefined);
      await delay(WARM_UP_PAUSE_MS, undefined, { ref: false });
    }
  }

  writer(): Promise<WriterRecord | null> {
    return this.#call(this.threads.writer, 'writer', undefined);
  }

  async begin(self: WriterIdentity, seen: WriterRecord | null): Promise<ControlState | null> {
    const clusterId = (randomBytes(8).readBigUInt64BE() >> 1n) | 1n;
    try {
      const control = await this.#call(this.threads.writer, 'begin', { fresh: { storeId: randomUUID(), clusterId }, self, seen });
      if (control === null) return null;
      this.#epoch = control.epoch;
      this.#owner = control.storeId;
      return { ...control, marks: marksOf(control.marks) };
    } catch (error) {
      throw new RefusedDatabaseError(
        `${this.#options.file} cannot be the default database: ${messageOf(error)}; name the right file in --endpoint`,
        {
          cause: error,
        },
      );
    }
  }

  async claim(claim: WriterClaim): Promise<BackendState> {
    await this.open();
    const { lastRevision, owner, epoch } = await this.#call(this.threads.writer, 'claim', claim);
    this.#owner = owner;
    if (owner !== claim.storeId) {
      throw new RefusedDatabaseError(
        `${this.#options.file} belongs to the store ${owner}, not to this one (${claim.storeId}); ` +
          'start with the default database that it belongs to, or name a file of its own',
      );
    }
    this.#checkEpoch(epoch, claim.epoch);
    this.#epoch = claim.epoch;
    return { identity: this.#identity, lastRevision };
  }

  async commit(batch: CommitBatch): Promise<void> {
    const { rows, previousRevision, lastRevision } = batch;
    const packed = packRows(rows);
    const call = { epoch: this.#epoch, previousRevision, lastRevision, count: rows.length, packed };
    let reply: CommitReply;
    try {
      reply = await this.#call(this.threads.writer, 'commit', call, [packed.buffer]);
    } catch (error) {
      throw new CommitUnknownError(messageOf(error), { cause: error });
    }
    if (reply.outcome === 'refused') {
      this.#checkEpoch(reply.epoch);
      throw new RolledBackError(this.name, previousRevision, reply.lastRevision);
    }
    if (reply.outcome === 'failed') throw new CommitFailedError(reply.message, reply.isConflict);
    if (reply.outcome === 'unknown') throw new CommitUnknownError(reply.message);
    this.#hasNewRows = true;
  }

  async resolve(): Promise<Revision> {
    const found = await this.#call(this.threads.writer, 'standing', undefined);
    this.#checkEpoch(found.epoch);
    return found.lastRevision;
  }

  /**
   * For a commit from the writer: its pages are warm and current, and the batch needs the same ones again. Another
   * connection has to read what each commit has changed once more (measured: 25 against 8 microseconds a key).
   */
  async load(keys: readonly Buffer[], purpose: 'read' | 'commit' = 'read'): Promise<LoadAnswer> {
    const wanted = packKeys(keys);
    const { lastRevision, packed } = await this.#call(
      purpose === 'commit' ? this.threads.writer : this.threads.points,
      'load',
      { count: keys.length, packed: wanted },
      [wanted.buffer],
    );
    const reader = new BlockReader(asBuffer(packed));
    const heads = keys.map((): Head | null => (reader.byte() === 0 ? null : { id: reader.int64(), record: reader.record() }));
    return { lastRevision, heads };
  }

  async range(query: RangeQuery): Promise<RangeAnswer> {
    const { range, revision, limit, keysOnly, countOnly, count } = query;
    const { cursor, ...reply } = await this.#call(this.threads.ranges, 'range', {
      start: ownMemory(range.start),
      end: range.end === null ? null : ownMemory(range.end),
      revision,
      limit,
      keysOnly,
      countOnly,
      count,
    });
    const answer = { ...reply, blocks: reply.blocks.map(ownedBlock) };
    return cursor === null ? answer : await this.#measured(answer, this.#rest(cursor), cursor);
  }

  /** The answer with the length of all of it. Others' lists go in between the steps. */
  async #measured(answer: RangeAnswer, rest: BlockStream, cursor: number): Promise<RangeAnswer> {
    let { records, bytes } = answer;
    try {
      for (;;) {
        const step = await this.#call(this.threads.ranges, 'measure', cursor);
        records += step.records;
        bytes += step.bytes;
        if (step.end !== null) return { ...answer, ...step.end, records, bytes, rest };
      }
    } catch (error) {
      answer.blocks.forEach(freeBlock);
      await rest.return();
      throw error;
    }
  }

  /** The blocks of a large answer, read while they are sent. */
  #rest(cursor: number): BlockStream {
    const { ranges } = this.threads;
    const { life } = ranges;
    const read = async (): Promise<Buffer | null> => {
      // The number may be that of somebody else's answer by now.
      if (ranges.life !== life) throw new Error('the answer was lost with its database thread');
      const { block } = await this.#call(ranges, 'nextBlock', cursor);
      return block === null ? null : ownedBlock(block);
    };
    return new BlockStream(read, async () => {
      if (ranges.life === life) await this.#call(ranges, 'endCursor', cursor);
    });
  }

  async changes(query: ChangesQuery): Promise<ChangesAnswer> {
    const { range, after, through, maxBytes } = query;
    const start = ownMemory(range.start);
    const end = range.end === null ? null : ownMemory(range.end);
    const reply = await this.#call(this.threads.points, 'changes', { start, end, after, through, maxBytes });
    const reader = new BlockReader(asBuffer(reply.packed));
    const changes = Array.from({ length: reply.count }, (): Change => {
      const id = reader.int64();
      const flags = reader.byte();
      const record = reader.record();
      const prevRecord = (flags & 2) === 0 ? null : reader.record();
      return { id, key: keyOf(record), isDelete: (flags & 1) === 1, record, prevRecord };
    });
    return { lastRevision: reply.lastRevision, changes, through: reply.through };
  }

  async keysOfLease(lease: bigint, limit: number): Promise<readonly Buffer[]> {
    return (await this.#call(this.threads.points, 'keysOfLease', { lease, limit })).map(asBuffer);
  }

  leasesInUse(): Promise<readonly bigint[]> {
    return this.#call(this.threads.points, 'leasesInUse', undefined);
  }

  async compact(revision: Revision, signal: AbortSignal): Promise<void> {
    const call = { epoch: this.#epoch, revision, rows: this.#options.compactBatchSize };
    // One step at a time: commits that wait go in between.
    while (!signal.aborted) {
      const { epoch, hasMore } = await this.#call(this.threads.writer, 'compactStep', call);
      this.#checkEpoch(epoch);
      this.#hasNewRows = true;
      if (!hasMore) return;
    }
  }

  size(): Promise<{ readonly bytes: number; readonly inUse: number }> {
    return this.#call(this.threads.points, 'size', undefined);
  }

  renew(marks: ReadonlyMap<string, Revision>): Promise<void> {
    return this.#control('renew', [
      JSON.stringify(Object.fromEntries([...marks].map(([identity, revision]) => [identity, `${revision}`]))),
    ]);
  }

  release(): Promise<void> {
    return this.#control('release', []);
  }

  reserve(revision: Revision): Promise<void> {
    return this.#control('reserve', [revision]);
  }

  setCompactRevision(revision: Revision): Promise<void> {
    return this.#control('setCompactRevision', [revision]);
  }

  saveLease(lease: LeaseRow): Promise<void> {
    return this.#control('saveLease', [lease.id, lease.ttl, lease.expiresAt, lease.renewed ? 1 : 0]);
  }

  removeLease(id: bigint): Promise<void> {
    return this.#control('removeLease', [id]);
  }

  /** The topology that was last in force; null in a fresh store. */
  appliedTopology(): Promise<string | null> {
    return this.#call(this.threads.writer, 'appliedTopology', undefined);
  }

  saveAppliedTopology(topology: string): Promise<void> {
    return this.#control('saveTopology', [topology]);
  }

  async close(): Promise<void> {
    clearInterval(this.#checkpointTimer);
    await this.#checkpointing;
    const open = [...this.#opened].filter(([thread, life]) => thread.life === life);
    this.#opened.clear();
    // A thread that is lost meanwhile has closed the file, too.
    await Promise.allSettled(open.map(([thread]) => thread.call(this.threads.file, 'close', undefined)));
    this.#lock?.release();
    this.#lock = null;
  }

  async #control(statement: ControlStatement, parameters: readonly (bigint | number | string)[]): Promise<void> {
    this.#checkEpoch(await this.#call(this.threads.writer, 'control', { epoch: this.#epoch, statement, parameters }));
  }

  #checkEpoch(found: bigint, own: bigint = this.#epoch): void {
    if (found !== own) throw new FencedError(this.name, own, found);
  }

  /** Opens the file in a thread before its first call there. */
  #open(thread: StoreThread): Promise<{ readonly identity: string }> {
    const opening = thread.call(this.threads.file, 'open', this.#openOptions(thread));
    this.#opened.set(thread, thread.life);
    // A thread that failed to open opens again with the next call.
    opening.catch(() => this.#opened.delete(thread));
    return opening;
  }

  #openOptions(thread: StoreThread): OpenOptions {
    const { file, synchronous, busyTimeoutMs } = this.#options;
    return { file, synchronous, busyTimeoutMs, cacheKib: thread === this.threads.writer ? CACHE_KIB.writer : CACHE_KIB.reader };
  }

  async #call<M extends keyof ThreadMethods>(
    thread: StoreThread,
    method: M,
    argument: Parameters<ThreadMethods[M]>[0],
    transfer: ArrayBuffer[] = [],
  ): Promise<ReturnType<ThreadMethods[M]>> {
    if (this.#lock === null) throw new Error(`${this.#options.file} is not open`);
    if (this.#opened.get(thread) !== thread.life) await this.#open(thread);
    return thread.call(this.threads.file, method, argument, transfer);
  }

  #checkpoint(): void {
    if (!this.#hasNewRows || this.#checkpointing !== undefined) return;
    this.#hasNewRows = false;
    this.#checkpointing = this.#runCheckpoint()
      .catch(() => {
        this.#hasNewRows = true; // the log stays longer; whatever is wrong with the file, its commits report
      })
      .finally(() => (this.#checkpointing = undefined));
  }

  /**
   * A checkpoint beside a busy writer never reaches the log's end, so the log would grow for ever: above a bound the
   * writer does what is left of it itself, when no commit can come in between.
   */
  async #runCheckpoint(): Promise<void> {
    await this.#call(this.threads.keeper, 'checkpoint', undefined);
    if (walBytes(this.#options.file) > MAX_WAL_BYTES) await this.#call(this.threads.writer, 'checkpoint', undefined);
  }
}

/**
 * Has folders on the disk that were made just now, from the outermost to the innermost. SQLite does the same for the names of its files, but a folder
 * whose own name is lost with the machine's power takes all of them along.
 */
function syncFolders(outermost: string, innermost: string): void {
  for (let folder = innermost; folder.length >= outermost.length; folder = dirname(folder)) {
    const parent = openSync(dirname(folder), 'r');
    try {
      fsyncSync(parent);
    } finally {
      closeSync(parent);
    }
  }
}

function marksOf(text: string): ReadonlyMap<string, Revision> {
  return new Map(Object.entries(JSON.parse(text) as Record<string, string>).map(([identity, revision]) => [identity, BigInt(revision)]));
}

function walBytes(file: string): number {
  return statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
