import {
  decodeKeyValue,
  encodeKeyValue,
  framedSize,
  keyOf,
  type KeyValueBytes,
  ownedBlock,
  type RangeQuery,
  revisionOf,
  type Revision,
  rowId,
  writeFramedRecord,
} from '@harikube/keyspace';
import type { SqlCall, SqlConnection, SqlRow, SqlValue } from './sql-connection.js';
import type { RangeStatements, SqlStatements } from './sql-statements.js';

/** Bytes of one block of an answer. */
export const BLOCK_BYTES = 1024 * 1024;
/** Rows that a page without a known size of its records asks for, and the bounds for the others. */
const FIRST_ROWS = 2048;
const MIN_ROWS = 32;
const MAX_ROWS = 10_000;
const ALL_ROWS = 1n << 62n;

const ZERO = Buffer.from([0]);
const NO_BYTES = Buffer.alloc(0);

export interface Page {
  /** In key order, without frames. */
  readonly records: readonly KeyValueBytes[];
  /** With their frames. */
  readonly bytes: number;
}

/** Reads the records of a range one page after the other, from one snapshot. */
export class PageReader {
  #start: Buffer;
  #left: number;
  #isEnd = false;
  #hasMore = false;
  #seenRecords = 0;
  #seenBytes = 0;

  constructor(
    private readonly statements: SqlStatements,
    private readonly query: RangeQuery,
    /** The first id that is too new; null: none is. */
    private readonly before: bigint | null,
  ) {
    this.#start = query.range.start;
    this.#left = query.limit > 0 ? query.limit : Number.MAX_SAFE_INTEGER;
  }

  /** Nothing is left to be read. */
  get isEnd(): boolean {
    return this.#isEnd;
  }

  /** At the end: the limit has cut the answer. */
  get hasMore(): boolean {
    return this.#hasMore;
  }

  /** The next records: no more than the last of them needs to reach so many bytes. `take` gets the rows. */
  ask(bytes: number): { readonly call: SqlCall; readonly take: (rows: readonly SqlRow[]) => Page } {
    const average = this.#seenRecords === 0 ? 0 : this.#seenBytes / this.#seenRecords;
    const fitting = average === 0 ? FIRST_ROWS : Math.min(Math.max(Math.ceil((bytes / average) * 1.5), MIN_ROWS), MAX_ROWS);
    // One more than wanted tells whether anything follows.
    const rows = Math.min(this.#left + 1, this.query.keysOnly ? MAX_ROWS : fitting);
    const statements = this.#statements();
    const call = this.query.keysOnly
      ? { statement: statements.keys, values: [...this.#range(), rows] }
      : { statement: statements.records, values: [...this.#range(), rows, bytes] };
    return { call, take: (found) => this.#take(found, rows, bytes) };
  }

  async read(connection: SqlConnection, bytes: number): Promise<Page> {
    const { call, take } = this.ask(bytes);
    return take((await connection.read([call]))[0] ?? []);
  }

  /** Number and framed size of the records that are left, and whether the limit cuts them. */
  async sizeOfRest(connection: SqlConnection): Promise<{ readonly records: number; readonly bytes: number; readonly hasMore: boolean }> {
    if (this.query.keysOnly) return this.#sizeOfKeys(connection);
    const statements = this.#statements();
    const isLimited = this.#left < Number.MAX_SAFE_INTEGER;
    const calls: SqlCall[] = [{ statement: statements.size, values: [...this.#range(), isLimited ? this.#left : ALL_ROWS] }];
    if (isLimited) calls.push({ statement: statements.count, values: this.#range() });
    const [size, count] = await connection.read(calls);
    const records = Number(size?.[0]?.[0] ?? 0n);
    return { records, bytes: Number(size?.[0]?.[1] ?? 0n), hasMore: isLimited && Number(count?.[0]?.[0] ?? 0n) > records };
  }

  async #sizeOfKeys(connection: SqlConnection): Promise<{ readonly records: number; readonly bytes: number; readonly hasMore: boolean }> {
    const ahead = new PageReader(this.statements, this.query, this.before);
    ahead.#start = this.#start;
    ahead.#left = this.#left;
    let records = 0;
    let bytes = 0;
    while (!ahead.isEnd) {
      const page = await ahead.read(connection, BLOCK_BYTES);
      records += page.records.length;
      bytes += page.bytes;
    }
    return { records, bytes, hasMore: ahead.hasMore };
  }

  /** The call that counts all keys of the range. */
  countAll(): SqlCall {
    return { statement: this.#statements().count, values: this.#range(this.query.range.start) };
  }

  #take(rows: readonly SqlRow[], asked: number, bytes: number): Page {
    const records: KeyValueBytes[] = [];
    let framed = 0;
    let unframed = 0;
    for (const row of rows.slice(0, this.#left)) {
      const record = this.query.keysOnly ? bareRecord(row) : (row[0] as Buffer);
      records.push(record);
      unframed += record.length;
      framed += framedSize(record.length);
    }
    this.#hasMore = rows.length > this.#left;
    this.#isEnd = this.#hasMore || (rows.length < asked && (this.query.keysOnly || unframed < bytes));
    this.#left -= records.length;
    this.#seenRecords += records.length;
    this.#seenBytes += unframed;
    const last = records.at(-1);
    if (last !== undefined) this.#start = Buffer.concat([keyOf(last), ZERO]);
    return { records, bytes: framed };
  }

  #statements(): RangeStatements {
    const statements = this.before === null ? this.statements.latest : this.statements.at;
    return this.query.range.end === null ? statements.unbounded : statements.bounded;
  }

  #range(start = this.#start): SqlValue[] {
    const { end } = this.query.range;
    const keys = end === null ? [start] : [start, end];
    return this.before === null ? keys : [...keys, this.before, ...keys, this.before, this.before];
  }
}

/** The first id behind a revision. */
export function idBehind(revision: Revision): bigint {
  return rowId(revision + 1n, 0);
}

/** Records as an answer's blocks, each in memory of its own. */
export function blocksOf({ records }: Page): Buffer[] {
  const blocks: Buffer[] = [];
  for (let first = 0; first < records.length;) {
    let size = 0;
    let end = first;
    while (end < records.length && size < BLOCK_BYTES) size += framedSize((records[end++] as KeyValueBytes).length);
    const block = Buffer.allocUnsafeSlow(size);
    let at = 0;
    while (first < end) at = writeFramedRecord(block, at, records[first++] as KeyValueBytes);
    blocks.push(ownedBlock(block));
  }
  return blocks;
}

/** Key, id, create revision, version, lease as a record without its value. */
function bareRecord(row: SqlRow): KeyValueBytes {
  const [key, id, createRevision, version, lease] = row as readonly [Buffer, bigint, bigint, bigint, bigint];
  return encodeKeyValue({ key, createRevision, modRevision: revisionOf(id), version, value: NO_BYTES, lease });
}

/** A record without its value. */
export function withoutValue(record: KeyValueBytes): KeyValueBytes {
  return encodeKeyValue({ ...decodeKeyValue(record), value: NO_BYTES });
}
