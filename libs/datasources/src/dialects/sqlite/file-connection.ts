import Database from 'better-sqlite3';
import {
  type RowWrite,
  type WriterRecord,
  countedPrefix,
  decodeKeyValue,
  encodeKeyValue,
  framedSize,
  prefixOf,
  recordSize,
  revisionOf,
  rowId,
  messageOf,
} from '@harikube/keyspace';
import { BlockWriter } from './block-writer.js';
import { TABLES } from './migrations.js';
import * as sql from './statements.js';
import {
  type ChangesCall,
  type ChangesReply,
  type CommitCall,
  type CommitReply,
  type CompactCall,
  type ControlStatement,
  type LoadReply,
  type MeasureReply,
  type MetaReply,
  type OpenOptions,
  type RangeCall,
  type RangeReply,
  type ThreadMethods,
  ownBuffer,
  packRows,
  unpackKeys,
  unpackRows,
} from './thread-protocol.js';
import { applyPragmas } from './pragmas.js';

/** Bytes of an answer that are measured and read in one go, if not of a single record. */
const BLOCK_BYTES = 1024 * 1024;
/** Records of such a go: those of an object of 1 kB each fill it. */
const BLOCK_RECORDS = 1000;
/** Bytes that SQLite puts together at once: memory of this size is there again and again, where the system would have to give and take larger ones. */
const PIECE_BYTES = 32 * 1024;
/** Bytes of an answer that are read at once; more than that is read while it is sent. */
const ANSWER_BYTES = 4 * 1024 * 1024;
const WARM_UP_LISTS = 8;
const WARM_UP_ROWS = 500;
/** Keys that one step of measuring a large answer goes through: some milliseconds, in which other lists wait. */
const MEASURED_KEYS = 50_000;
/** Snapshots of large answers that may be open at the same time in one file. */
const MAX_CURSORS = 64;

type KeyRow = readonly [key: Buffer, id: bigint, createRevision: bigint, version: bigint, lease: bigint];
type SizeRow = readonly [records: bigint, recordBytes: bigint | null, bareBytes: bigint | null, last: Buffer | null];
type PieceRow = readonly [framed: Buffer<ArrayBuffer>, last: Buffer] | typeof NO_PIECE;
type ChangeRow = readonly [id: bigint, tombstone: bigint, record: Buffer, prevRecord: Buffer | null];

/** Records that follow, and their bytes in an answer. */
interface Size {
  readonly records: number;
  readonly bytes: number;
  /** The key of the last one. */
  readonly last: Buffer | null;
}

interface Cursor {
  readonly connection: Connection;
  readonly call: RangeCall;
  readonly before: bigint | null;
  /** The key to go on with. */
  start: Buffer;
  /** Records still to be read; what is not measured yet is not among them. */
  left: number;
  /** The key to go on measuring with, and how many records the limit leaves from there on. */
  unmeasured: { start: Buffer; limit: number };
  /** Records of the blocks that were read at once. */
  readonly records: number;
}

/** A connection with its statements, each prepared when it is first used. */
class Connection {
  readonly #statements = new Map<string, Database.Statement>();

  constructor(readonly database: Database.Database) {}

  statement(text: string): Database.Statement {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.database.prepare(text).safeIntegers(true);
      if (statement.reader) statement.raw(true);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  run(text: string, ...parameters: unknown[]): number {
    return this.statement(text).run(...parameters).changes;
  }

  row<R>(text: string, ...parameters: unknown[]): R | undefined {
    return this.statement(text).get(...parameters) as R | undefined;
  }

  rows<R>(text: string, ...parameters: unknown[]): R[] {
    return this.statement(text).all(...parameters) as R[];
  }

  iterate<R>(text: string, ...parameters: unknown[]): IterableIterator<R> {
    return this.statement(text).iterate(...parameters) as IterableIterator<R>;
  }

  /** Runs a read in one snapshot. */
  reading<T>(work: () => T): T {
    this.run(sql.BEGIN_READ);
    try {
      return work();
    } finally {
      this.run(sql.COMMIT);
    }
  }

  /** Runs a write whole or not at all. */
  writing<T>(work: () => T): T {
    this.run(sql.BEGIN_WRITE);
    try {
      const result = work();
      this.run(sql.COMMIT);
      return result;
    } catch (error) {
      if (this.database.inTransaction) this.run(sql.ROLLBACK);
      throw error;
    }
  }
}

/** One SQLite file in one thread: everything that blocks. */
export class FileConnection implements ThreadMethods {
  #options: OpenOptions | null = null;
  #main: Connection | null = null;
  readonly #cursors = new Map<number, Cursor>();
  readonly #spare: Connection[] = [];
  #nextCursor = 1;

  open(options: OpenOptions): MetaReply {
    this.#options = options;
    this.#main = this.#connect();
    return this.#meta();
  }

  configure(options: OpenOptions): void {
    this.#options = options;
    const used = [...this.#cursors.values()].map(({ connection }) => connection);
    for (const { database } of [this.#connection(), ...this.#spare, ...used]) {
      database.pragma(`busy_timeout = ${options.busyTimeoutMs}`);
      // SQLite refuses it inside a transaction; those are reads, to which it makes no difference.
      if (!database.inTransaction) applyPragmas(database, options);
    }
  }

  close(): void {
    for (const cursor of [...this.#cursors.keys()]) this.endCursor(cursor);
    for (const connection of this.#spare.splice(0)) connection.database.close();
    this.#main?.database.close();
    this.#main = null;
  }

  writer(): WriterRecord | null {
    const row = this.#connection().row<[string, string, bigint, bigint, bigint, bigint]>(sql.SELECT_WRITER);
    if (row === undefined) return null;
    const [holder, address, leaseMs, epoch, renewals, released] = row;
    return { holder, address, leaseMs: Number(leaseMs), epoch, renewals, isReleased: released === 1n };
  }

  begin({ fresh, self, seen }: Parameters<ThreadMethods['begin']>[0]): ReturnType<ThreadMethods['begin']> {
    const connection = this.#connection();
    return connection.writing(() => {
      const found = this.writer();
      if (found?.epoch !== seen?.epoch || found?.renewals !== seen?.renewals || found?.isReleased !== seen?.isReleased) return null;
      if (connection.row(sql.SELECT_CONTROL) === undefined) {
        const { storeId } = this.#meta();
        if (storeId !== null) throw new Error(`it is one of the other databases of the store ${storeId}, not a default database`);
        connection.run(sql.INSERT_CONTROL, fresh.storeId, fresh.clusterId);
      }
      connection.run(sql.BEGIN_EPOCH);
      connection.run(sql.SET_WRITER, self.holder, self.address, self.leaseMs);
      const control = connection.row<[string, bigint, bigint, bigint, string]>(sql.SELECT_CONTROL);
      if (control === undefined) throw new Error('the control row is missing');
      const [storeId, clusterId, reservedRevision, compactRevision, marks] = control;
      const leases = connection
        .rows<[bigint, bigint, bigint, bigint]>(sql.SELECT_LEASES)
        .map(([id, ttl, expiresAt, renewed]) => ({ id, ttl, expiresAt: Number(expiresAt), renewed: renewed === 1n }));
      const { epoch } = this.#meta();
      return { storeId, clusterId: BigInt.asUintN(64, clusterId), reservedRevision, compactRevision, epoch, leases, marks };
    });
  }

  claim(claim: { readonly storeId: string; readonly epoch: bigint }): ReturnType<ThreadMethods['claim']> {
    const connection = this.#connection();
    return connection.writing(() => {
      const { storeId, lastRevision, epoch } = this.#meta();
      const owner = storeId ?? claim.storeId;
      if (owner !== claim.storeId || epoch > claim.epoch) return { lastRevision, owner, epoch };
      connection.run(sql.CLAIM, claim.storeId, claim.epoch);
      return { lastRevision, owner, epoch: claim.epoch };
    });
  }

  commit(call: CommitCall): CommitReply {
    try {
      return this.#commit(call);
    } finally {
      call.packed.buffer.transfer(0); // given back at once: the collector would let tens of megabytes pile up
    }
  }

  #commit(call: CommitCall): CommitReply {
    const connection = this.#connection();
    try {
      connection.run(sql.BEGIN_WRITE);
      if (connection.run(sql.ADVANCE_REVISION, call.lastRevision, call.epoch, call.previousRevision) !== 1) {
        const { epoch, lastRevision } = this.#meta();
        connection.run(sql.ROLLBACK);
        return { outcome: 'refused', epoch, lastRevision };
      }
      this.#writeRows(connection, call.packed, call.count);
    } catch (error) {
      if (connection.database.inTransaction) connection.run(sql.ROLLBACK);
      return { outcome: 'failed', message: messageOf(error), isConflict: isTakenKey(error) };
    }
    try {
      connection.run(sql.COMMIT);
      return { outcome: 'done' };
    } catch (error) {
      // SQLite keeps the transaction open when COMMIT was refused before anything was decided.
      if (!connection.database.inTransaction) return { outcome: 'unknown', message: messageOf(error) };
      connection.run(sql.ROLLBACK);
      return { outcome: 'failed', message: messageOf(error), isConflict: false };
    }
  }

  /**
   * Also settles what it tells. A COMMIT whose fsync failed is rolled back, but all of it stands behind the end of the write-ahead log, where the next
   * start of the process would find it. Its place is written over here, and synced, before anybody is told that it did not take place.
   */
  standing(): { epoch: bigint; lastRevision: bigint } {
    const connection = this.#connection();
    return connection.writing(() => {
      const { epoch, lastRevision } = this.#meta();
      connection.run(sql.INSERT_NOTHING);
      connection.run(sql.DELETE_NOTHING);
      return { epoch, lastRevision };
    });
  }

  control({ epoch, statement, parameters }: Parameters<ThreadMethods['control']>[0]): bigint {
    const connection = this.#connection();
    return connection.writing(() => {
      const found = this.#meta().epoch;
      if (found === epoch) connection.run(CONTROL_STATEMENTS[statement], ...parameters);
      return found;
    });
  }

  appliedTopology(): string | null {
    return this.#connection().row<[string | null]>(sql.SELECT_APPLIED_TOPOLOGY)?.[0] ?? null;
  }

  load({ count, packed }: Parameters<ThreadMethods['load']>[0]): LoadReply {
    const connection = this.#connection();
    return connection.reading(() => {
      const lastRevision = this.#lastRevision(connection);
      const writer = new BlockWriter(256 + count * 64);
      for (const key of unpackKeys(asBuffer(packed), count)) {
        const row = connection.row<[bigint, Buffer]>(sql.SELECT_HEAD, key);
        writer.addByte(row === undefined ? 0 : 1);
        if (row === undefined) continue;
        writer.addInt64(row[0]);
        writer.addRecord(row[1]);
      }
      return { lastRevision, packed: writer.take() };
    });
  }

  range(call: RangeCall): RangeReply {
    const connection = this.#spare.pop() ?? this.#connect();
    connection.run(sql.BEGIN_READ);
    let isKept = false;
    try {
      const reply = this.#range(connection, call);
      isKept = reply.cursor !== null;
      return reply;
    } finally {
      if (!isKept) this.#giveBack(connection);
    }
  }

  /** Makes the connection that the first list takes, and the statements of a list: the first block of records is there half a millisecond earlier. */
  prepareLists(): void {
    const connection = this.#spare.pop() ?? this.#connect();
    for (const text of [sql.SELECT_SPAN, sql.SELECT_COUNT]) connection.statement(text);
    for (const { size, block, count } of [sql.LATEST_RANGE.bounded, sql.RANGE_AT.bounded]) {
      for (const text of [size, block, count]) connection.statement(text);
    }
    this.#spare.push(connection);
  }

  /**
   * Answers lists from tables in memory that end with this call, so that V8 has compiled what lists run before the first
   * one comes. Until then 500 rows take 4 to 30 ms instead of 1.4.
   */
  warmUp(): void {
    const database = new Database(':memory:');
    try {
      for (const statement of TABLES) database.exec(statement);
      const connection = new Connection(database);
      const rows = Array.from({ length: WARM_UP_ROWS }, (_, i) => warmUpRow(i));
      const start = ownBuffer(0);
      this.#writeRows(connection, packRows(rows), rows.length);
      const call = { start, end: null, revision: 0n, limit: WARM_UP_ROWS - 1, keysOnly: false, countOnly: false, count: true };
      for (let i = 0; i < WARM_UP_LISTS; i++) for (const block of this.#range(connection, call).blocks) block.buffer.transfer(0);
    } finally {
      database.close();
    }
  }

  measure(id: number): MeasureReply {
    const cursor = this.#cursor(id);
    const { connection, call, before, unmeasured } = cursor;
    const limit = Math.min(unmeasured.limit, MEASURED_KEYS);
    const { records, bytes, last } = measure(connection, call, before, unmeasured.start, limit);
    cursor.left += records;
    if (last !== null) unmeasured.start = behind(last);
    unmeasured.limit -= records;
    if (records === MEASURED_KEYS && unmeasured.limit > 0) return { records, bytes, end: null };
    const more = unmeasured.limit === 0 && measure(connection, call, before, unmeasured.start, 1).records > 0;
    const count = more ? (call.count ? this.#count(connection, call, before) : null) : cursor.records + cursor.left;
    return { records, bytes, end: { more, count } };
  }

  nextBlock(id: number): { block: Uint8Array<ArrayBuffer> | null } {
    const cursor = this.#cursor(id);
    if (cursor.left === 0) {
      this.endCursor(id);
      return { block: null };
    }
    const { blocks, records, next, isEnd } = readBlocks(cursor.connection, cursor.call, cursor.before, cursor.start, cursor.left);
    cursor.left = isEnd ? 0 : cursor.left - records;
    cursor.start = next;
    return { block: joined(blocks) };
  }

  #cursor(id: number): Cursor {
    const cursor = this.#cursors.get(id);
    if (cursor === undefined) throw new Error('the snapshot of this answer is gone');
    return cursor;
  }

  endCursor(id: number): void {
    const cursor = this.#cursors.get(id);
    if (cursor === undefined) return;
    this.#cursors.delete(id);
    this.#giveBack(cursor.connection);
  }

  changes(call: ChangesCall): ChangesReply {
    const connection = this.#connection();
    return connection.reading(() => this.#changes(connection, call));
  }

  #changes(connection: Connection, call: ChangesCall): ChangesReply {
    const lastRevision = this.#lastRevision(connection);
    const writer = new BlockWriter(64 * 1024);
    let count = 0;
    let last = call.after;
    const parameters = {
      after: rowId(call.after + 1n, 0) - 1n,
      through: rowId(call.through + 1n, 0) - 1n,
      start: call.start,
      end: call.end,
    };
    for (const row of connection.iterate<ChangeRow>(sql.SELECT_CHANGES, parameters)) {
      const revision = revisionOf(row[0]);
      if (writer.length >= call.maxBytes && revision > last) return { lastRevision, packed: writer.take(), count, through: last };
      last = revision;
      addChange(writer, row);
      count++;
    }
    return { lastRevision, packed: writer.take(), count, through: call.through };
  }

  keysOfLease({ lease, limit }: { readonly lease: bigint; readonly limit: number }): readonly Uint8Array[] {
    return this.#connection()
      .rows<[Buffer]>(sql.SELECT_KEYS_OF_LEASE, lease, limit)
      .map(([key]) => key);
  }

  leasesInUse(): readonly bigint[] {
    return this.#connection()
      .rows<[bigint]>(sql.SELECT_LEASES_IN_USE)
      .map(([lease]) => lease);
  }

  compactStep({ epoch, revision, rows }: CompactCall): { epoch: bigint; hasMore: boolean } {
    const connection = this.#connection();
    return connection.writing(() => {
      const { compactedId, epoch: found } = this.#meta();
      if (found !== epoch) return { epoch: found, hasMore: false };
      // What a row of the revision itself replaced stays for watches from it on, and so do its tombstones.
      const last = rowId(revision, 0) - 1n;
      const stepEnd = connection.row<[bigint]>(sql.SELECT_STEP_END, compactedId, last + 1n, rows - 1)?.[0] ?? last;
      connection.run(sql.DELETE_REPLACED, compactedId, stepEnd);
      connection.run(sql.DELETE_TOMBSTONES, compactedId, stepEnd);
      connection.run(sql.SET_COMPACTED, stepEnd > compactedId ? stepEnd : compactedId);
      return { epoch, hasMore: stepEnd < last };
    });
  }

  checkpoint(): void {
    this.#connection().database.pragma('wal_checkpoint(PASSIVE)');
  }

  size(): { bytes: number; inUse: number } {
    const { database } = this.#connection();
    const pageSize = Number(database.pragma('page_size', { simple: true }));
    const pages = Number(database.pragma('page_count', { simple: true }));
    const free = Number(database.pragma('freelist_count', { simple: true }));
    return { bytes: pages * pageSize, inUse: (pages - free) * pageSize };
  }

  #connect(): Connection {
    const options = this.#options;
    if (options === null) throw new Error('the file is not open');
    const database = new Database(options.file, { timeout: options.busyTimeoutMs });
    applyPragmas(database, options);
    return new Connection(database);
  }

  #connection(): Connection {
    if (this.#main === null) throw new Error('the file is closed');
    return this.#main;
  }

  #giveBack(connection: Connection): void {
    connection.run(sql.COMMIT);
    if (this.#spare.length < 2) this.#spare.push(connection);
    else connection.database.close();
  }

  #meta(): MetaReply {
    const row = this.#connection().row<[string, string | null, bigint, bigint, bigint]>(sql.SELECT_META);
    if (row === undefined) throw new Error('the meta row is missing');
    const [identity, storeId, epoch, lastRevision, compactedId] = row;
    return { identity, storeId, epoch, lastRevision, compactedId };
  }

  #lastRevision(connection: Connection): bigint {
    return connection.row<[bigint]>(sql.SELECT_LAST_REVISION)?.[0] ?? 0n;
  }

  #writeRows(connection: Connection, packed: Uint8Array, count: number): void {
    const counts = new Map<string, number>();
    for (const { id, prevId, tombstone, record } of unpackRows(asBuffer(packed), count)) {
      const { key, createRevision, modRevision, version, lease, value } = decodeKeyValue(record);
      const valueFrom = value.length === 0 ? 1 : value.byteOffset - record.byteOffset + 1;
      const type = tombstone ? 1 : 0;
      connection.run(sql.INSERT_LOG, id, key, createRevision, version, lease, type, prevId, valueFrom, value.length, record);
      if (tombstone) connection.run(sql.DELETE_HEAD, key);
      else {
        const bare = recordSize({ createRevision, modRevision, version, lease, keyLength: key.length, valueLength: 0 });
        const statement = prevId === 0n ? sql.INSERT_HEAD : sql.UPDATE_HEAD;
        connection.run(statement, id, lease, framedSize(record.length), framedSize(bare), key);
      }
      if (!tombstone && prevId !== 0n) continue;
      const prefix = countedPrefix(key)?.toString('latin1');
      if (prefix !== undefined) counts.set(prefix, (counts.get(prefix) ?? 0) + (tombstone ? -1 : 1));
    }
    for (const [prefix, change] of counts) if (change !== 0) connection.run(sql.ADD_COUNT, Buffer.from(prefix, 'latin1'), change);
  }

  #range(connection: Connection, call: RangeCall): RangeReply {
    const [lastRevision, compactedId] = connection.row<[bigint, bigint]>(sql.SELECT_SPAN) ?? [0n, 0n];
    // Nothing newer than the revision asked for: the heads are the state at it.
    const before = call.revision === 0n || call.revision >= lastRevision ? null : rowId(call.revision + 1n, 0);
    // A compaction has overtaken the read, and removed some of what it asks for.
    if (before !== null && compactedId >= before) {
      return { lastRevision, count: 0, more: false, records: 0, bytes: 0, blocks: [], cursor: null };
    }
    if (call.countOnly) {
      const count = this.#count(connection, call, before);
      return { lastRevision, count, more: false, records: 0, bytes: 0, blocks: [], cursor: null };
    }
    const limit = call.limit > 0 ? call.limit : Number.MAX_SAFE_INTEGER;
    const blocks: Uint8Array<ArrayBuffer>[] = [];
    let records = 0;
    let bytes = 0;
    let start = asBuffer(call.start);
    for (;;) {
      const read = readBlocks(connection, call, before, start, limit - records);
      records += read.records;
      for (const block of read.blocks) bytes += block.length;
      blocks.push(...read.blocks);
      start = read.next;
      if (read.isEnd) return { lastRevision, count: records, more: false, records, bytes, blocks, cursor: null };
      if (records >= limit) break;
      if (bytes < ANSWER_BYTES) continue;
      if (this.#cursors.size >= MAX_CURSORS)
        throw new Error(`more than ${MAX_CURSORS} large lists are being read from this database at once`);
      const cursor = this.#nextCursor++;
      this.#cursors.set(cursor, { connection, call, before, start, left: 0, unmeasured: { start, limit: limit - records }, records });
      return { lastRevision, count: null, more: true, records, bytes, blocks, cursor };
    }
    return {
      lastRevision,
      count: call.count ? this.#count(connection, call, before) : null,
      more: true,
      records,
      bytes,
      blocks,
      cursor: null,
    };
  }

  #count(connection: Connection, call: RangeCall, before: bigint | null): number {
    if (before === null) {
      const prefix = prefixOf({ start: asBuffer(call.start), end: call.end === null ? null : asBuffer(call.end), single: false });
      if (prefix !== null && countedPrefix(prefix)?.length === prefix.length) {
        return Number(connection.row<[bigint]>(sql.SELECT_COUNT, prefix)?.[0] ?? 0n);
      }
    }
    const statements = statementsOf(call, before);
    return Number(connection.row<[bigint]>(statements.count, parametersOf(call, before, call.start, 0))?.[0] ?? 0n);
  }
}

const CONTROL_STATEMENTS: Record<ControlStatement, string> = {
  reserve: sql.SET_RESERVED,
  setCompactRevision: sql.SET_COMPACT_REVISION,
  saveLease: sql.SAVE_LEASE,
  removeLease: sql.REMOVE_LEASE,
  saveTopology: sql.SET_APPLIED_TOPOLOGY,
  renew: sql.RENEW_WRITER,
  release: sql.RELEASE_WRITER,
};

function statementsOf(call: RangeCall, before: bigint | null): sql.RangeStatements {
  const bound = call.end === null ? 'unbounded' : 'bounded';
  return before === null ? sql.LATEST_RANGE[bound] : sql.RANGE_AT[bound];
}

function parametersOf(call: RangeCall, before: bigint | null, start: Uint8Array, limit: number): Record<string, unknown> {
  const parameters: Record<string, unknown> = { start, limit };
  if (call.end !== null) parameters['end'] = call.end;
  if (before !== null) parameters['before'] = before;
  return parameters;
}

const NO_PIECE = [null, null] as const;
const ZERO = Buffer.from([0]);
const NO_BYTES = Buffer.alloc(0);

/** Reads at most `limit` records, together a megabyte. `next`: the key to go on with. `isEnd`: nothing is left behind it. */
function readBlocks(
  connection: Connection,
  call: RangeCall,
  before: bigint | null,
  start: Buffer,
  limit: number,
): { blocks: Uint8Array<ArrayBuffer>[]; records: number; next: Buffer; isEnd: boolean } {
  let wanted = Math.min(limit, BLOCK_RECORDS);
  let size = measure(connection, call, before, start, wanted);
  while (size.bytes > BLOCK_BYTES && size.records > 1) {
    wanted = Math.max(1, Math.floor((size.records * BLOCK_BYTES) / size.bytes));
    size = measure(connection, call, before, start, wanted);
  }
  const { records, last } = size;
  if (last === null) return { blocks: [], records, next: start, isEnd: true };
  const blocks = call.keysOnly ? [bareRecords(connection, call, before, start, size)] : fullRecords(connection, call, before, start, size);
  const next = behind(last);
  return { blocks, records, next, isEnd: records < wanted || measure(connection, call, before, next, 1).records === 0 };
}

/** An object of 1.5 kB under a key like those of Kubernetes. */
function warmUpRow(index: number): RowWrite {
  const key = Buffer.from(`/registry/warm-up.harikube.info/namespace/object-${1000 + index}`);
  const row = { key, createRevision: BigInt(index + 1), version: 1n, value: Buffer.alloc(1500), lease: 0n };
  const record = encodeKeyValue({ ...row, modRevision: row.createRevision });
  return { ...row, id: rowId(row.createRevision, 0), record, tombstone: false, prevId: 0n };
}

function fullRecords(
  connection: Connection,
  call: RangeCall,
  before: bigint | null,
  start: Buffer,
  { records, bytes }: Size,
): Uint8Array<ArrayBuffer>[] {
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  const piece = Math.max(1, Math.floor((records * PIECE_BYTES) / bytes));
  let next = start;
  for (let left = records; left > 0; left -= piece) {
    const parameters = parametersOf(call, before, next, Math.min(left, piece));
    const [framed, last] = connection.row<PieceRow>(statementsOf(call, before).block, parameters) ?? NO_PIECE;
    if (framed === null) throw new Error('the log does not have the records of `head`: the file is damaged');
    blocks.push(framed);
    next = behind(last);
  }
  return blocks;
}

function bareRecords(
  connection: Connection,
  call: RangeCall,
  before: bigint | null,
  start: Buffer,
  { records, bytes }: Size,
): Uint8Array<ArrayBuffer> {
  const writer = new BlockWriter(bytes);
  const parameters = parametersOf(call, before, start, records);
  for (const [key, id, createRevision, version, lease] of connection.iterate<KeyRow>(statementsOf(call, before).keys, parameters)) {
    writer.addFramed(encodeKeyValue({ key, createRevision, modRevision: revisionOf(id), version, value: NO_BYTES, lease }));
  }
  return writer.take();
}

/** One block with the bytes of all. */
function joined(blocks: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const writer = new BlockWriter(blocks.reduce((sum, { length }) => sum + length, 0));
  for (const block of blocks) {
    writer.addBytes(asBuffer(block));
    block.buffer.transfer(0);
  }
  return writer.take();
}

/** The first key behind another one. */
function behind(key: Buffer): Buffer {
  return Buffer.concat([key, ZERO]);
}

/** How many records follow, at most `limit`, and their bytes in an answer: no record is looked at. */
function measure(connection: Connection, call: RangeCall, before: bigint | null, start: Buffer, limit: number): Size {
  const parameters = parametersOf(call, before, start, limit);
  const [records = 0n, recordBytes, bareBytes, last = null] = connection.row<SizeRow>(statementsOf(call, before).size, parameters) ?? [];
  return { records: Number(records), bytes: Number((call.keysOnly ? bareBytes : recordBytes) ?? 0n), last };
}

function addChange(writer: BlockWriter, [id, tombstone, record, prevRecord]: ChangeRow): void {
  writer.addInt64(id);
  writer.addByte((tombstone === 1n ? 1 : 0) | (prevRecord === null ? 0 : 2));
  writer.addRecord(record);
  if (prevRecord !== null) writer.addRecord(prevRecord);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The key of a new head has one already. */
function isTakenKey(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code === 'SQLITE_CONSTRAINT_PRIMARYKEY' && error.message.endsWith(' head.key');
}
