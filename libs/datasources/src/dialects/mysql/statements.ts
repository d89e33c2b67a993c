import { CommitFailedError } from '@harikube/keyspace';
import { type BatchPlan, type HeadWrite, valueFrom } from '../sql/batch-plan.js';
import type { SqlCall, SqlStatement, SqlType, SqlValue } from '../sql/sql-connection.js';
import { type RangeStatements, type SqlStatements, sqlStatements } from '../sql/sql-statements.js';

/** Of the shared statements the text that MySQL understands. */
function mysqlText(shared: string): string {
  return shared.replaceAll('"key"', '`key`');
}

/** What InnoDB counts, which it brings up to date some seconds after a tenth of a table has changed. */
const COUNTED_SIZE = `SELECT COALESCE(SUM(data_length + index_length + data_free), 0), COALESCE(SUM(data_length + index_length), 0)
  FROM information_schema.tables WHERE table_schema = DATABASE()`;

/** The files themselves, which only a user with the right PROCESS sees, by the names of the two products for the same table. */
export const FILE_SIZES = ['innodb_sys_tablespaces', 'innodb_tablespaces'].map((table): SqlStatement => ({
  text: `SELECT COALESCE(SUM(f.file_size), 0), COALESCE(SUM(f.file_size - t.data_free), 0)
      FROM information_schema.${table} f JOIN information_schema.tables t ON f.name = CONCAT(t.table_schema, '/', t.table_name)
      WHERE t.table_schema = DATABASE()`,
  parameters: [],
  columns: ['int', 'int'],
}));

const shared = sqlStatements({
  text: mysqlText,
  size: COUNTED_SIZE,
  saveLease:
    'INSERT INTO lease (id, ttl, expires_at, renewed) VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE expires_at = VALUES(expires_at), renewed = VALUES(renewed)',
});

const KEY_TYPES = ['bytes', 'int', 'int', 'int', 'int'] as const;
const KEY = 'l.`key`, l.id, l.create_revision, l.version, l.lease';
const FRAME = '1 + CASE WHEN s.bytes < 128 THEN 1 WHEN s.bytes < 16384 THEN 2 WHEN s.bytes < 2097152 THEN 3 ELSE 4 END';
const BYTES = 'OCTET_LENGTH(l.record) AS bytes';

/**
 * Records of a page in order of `place`, until those before have so many bytes. What a
 * window function goes through is written to a temporary table: ids and sizes, without the records.
 */
function budgeted(page: string, bytes: string): string {
  return `SELECT l.record FROM (SELECT p.id, p.place, SUM(p.bytes) OVER (ORDER BY p.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM (${page}) p) r STRAIGHT_JOIN log l ON l.id = r.id WHERE r.bytes_before IS NULL OR r.bytes_before < ${bytes} ORDER BY r.place`;
}

/** The order of the tables is said: a list goes through the heads and looks each row up, however few there are. */
function latest(isBounded: boolean): RangeStatements {
  const end = isBounded ? 'AND h.`key` < ?' : '';
  const range: SqlType[] = isBounded ? ['bytes', 'bytes'] : ['bytes'];
  const from = `FROM head h FORCE INDEX (PRIMARY) STRAIGHT_JOIN log l ON l.id = h.id WHERE h.\`key\` >= ? ${end} ORDER BY h.\`key\` LIMIT ?`;
  return {
    records: {
      text: budgeted(`SELECT h.\`key\` AS place, h.id, ${BYTES} ${from}`, '?'),
      parameters: [...range, 'int', 'int'],
      columns: ['bytes'],
    },
    keys: { text: `SELECT ${KEY} ${from}`, parameters: [...range, 'int'], columns: KEY_TYPES },
    size: {
      text: `SELECT COUNT(*), COALESCE(SUM(s.bytes + ${FRAME}), 0) FROM (SELECT ${BYTES} ${from}) s`,
      parameters: [...range, 'int'],
      columns: ['int', 'int'],
    },
    count: { text: `SELECT COUNT(*) FROM head h WHERE h.\`key\` >= ? ${end}`, parameters: range, columns: ['int'] },
  };
}

/**
 * `replacing` is the key of a row that replaces another one, and indexed. Each part stops at the limit by itself, so that a
 * page never goes through all keys. `?3` is the third value.
 */
function at(isBounded: boolean): RangeStatements {
  const range: SqlType[] = isBounded ? ['bytes', 'bytes', 'int', 'bytes', 'bytes', 'int', 'int'] : ['bytes', 'int', 'bytes', 'int', 'int'];
  const before = isBounded ? '?3' : '?2';
  const limit = `?${range.length + 1}`;
  const bytes = `?${range.length + 2}`;
  const keys = (column: string): string => `${column} >= ?1 ${isBounded ? `AND ${column} < ?2` : ''}`;
  const heads = `head h FORCE INDEX (PRIMARY) WHERE ${keys('h.`key`')} AND h.id < ${before}`;
  const replaced = `log r FORCE INDEX (log_replacement) WHERE ${keys('r.replacing')} AND r.id >= ${before} AND r.prev_id < ${before}`;
  const page = (columns: string): string => `SELECT ${columns} FROM (
      (SELECT h.\`key\` AS place, h.id FROM ${heads} ORDER BY h.\`key\` LIMIT ${limit})
      UNION ALL (SELECT r.replacing AS place, r.prev_id FROM ${replaced} ORDER BY r.replacing LIMIT ${limit})
      ORDER BY place LIMIT ${limit}
    ) h STRAIGHT_JOIN log l ON l.id = h.id`;
  return {
    records: { text: budgeted(page(`h.place, h.id, ${BYTES}`), bytes), parameters: [...range, 'int', 'int'], columns: ['bytes'] },
    keys: { text: `${page(KEY)} ORDER BY h.place`, parameters: [...range, 'int'], columns: KEY_TYPES },
    size: {
      text: `SELECT COUNT(*), COALESCE(SUM(s.bytes + ${FRAME}), 0) FROM (${page(BYTES)}) s`,
      parameters: [...range, 'int'],
      columns: ['int', 'int'],
    },
    count: { text: `SELECT (SELECT COUNT(*) FROM ${heads}) + (SELECT COUNT(*) FROM ${replaced})`, parameters: range, columns: ['int'] },
  };
}

function changes(isBounded: boolean): SqlStatement {
  const range: SqlType[] = isBounded ? ['bytes', 'bytes'] : ['bytes'];
  return {
    text: `SELECT r.id, l.tombstone, l.record, p.record
      FROM (SELECT c.id, SUM(c.bytes) OVER (ORDER BY c.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
        FROM (SELECT l.id, OCTET_LENGTH(l.record) + COALESCE(OCTET_LENGTH(p.record), 0) AS bytes
          FROM log l FORCE INDEX (PRIMARY) LEFT JOIN log p ON p.id = l.prev_id
          WHERE l.id > ? AND l.id <= ? AND l.\`key\` >= ? ${isBounded ? 'AND l.`key` < ?' : ''} ORDER BY l.id LIMIT ?) c) r
      STRAIGHT_JOIN log l ON l.id = r.id LEFT JOIN log p ON p.id = l.prev_id
      WHERE r.bytes_before IS NULL OR r.bytes_before < ? ORDER BY r.id`,
    parameters: ['int', 'int', ...range, 'int', 'int'],
    columns: ['int', 'int', 'bytes', 'bytes'],
  };
}

export const MYSQL_STATEMENTS: SqlStatements = {
  ...shared,
  latest: { bounded: latest(true), unbounded: latest(false) },
  at: { bounded: at(true), unbounded: at(false) },
  changes: { bounded: changes(true), unbounded: changes(false) },
  // MySQL does not read in a subquery what the statement deletes, unless the subquery is a table of its own.
  deleteReplaced: {
    ...shared.deleteReplaced,
    text: 'DELETE l FROM (SELECT DISTINCT prev_id FROM log WHERE id > ? AND id <= ? AND prev_id > 0) r STRAIGHT_JOIN log l ON l.id = r.prev_id',
  },
};

const LOAD_COLUMNS = ['int', 'int', 'bytes'] as const;

const LOAD: SqlStatement = {
  text: `SELECT last_revision, NULL, NULL FROM meta UNION ALL
    SELECT (SELECT last_revision FROM meta), l.id, l.record FROM head h FORCE INDEX (PRIMARY) STRAIGHT_JOIN log l ON l.id = h.id WHERE h.\`key\` IN (?)`,
  parameters: ['bytesList'],
  columns: LOAD_COLUMNS,
};

const LOAD_NOTHING: SqlStatement = { text: 'SELECT last_revision, NULL, NULL FROM meta', parameters: [], columns: LOAD_COLUMNS };

/** last_revision, id, record of the heads of keys; and last_revision alone. */
export function loadCall(keys: readonly Buffer[]): SqlCall {
  return keys.length === 0 ? { statement: LOAD_NOTHING, values: [] } : { statement: LOAD, values: [keys] };
}

/** A statement for any number of rows, and what one row gives to it. */
class RowStatement<R> {
  readonly #byRows = new Map<number, SqlStatement>();
  readonly #statements = new Set<SqlStatement>();

  constructor(
    private readonly before: string,
    private readonly row: string,
    private readonly behind: string,
    private readonly types: readonly SqlType[],
    private readonly values: (row: R) => readonly SqlValue[],
    private readonly bytes: (row: R) => number,
  ) {}

  /** Calls that write all rows, each of a size that the server takes and of a number of rows for which a statement is prepared. */
  *calls(rows: readonly R[], maxBytes: number): Generator<SqlCall, void, void> {
    let start = 0;
    while (start < rows.length) {
      let end = start;
      let bytes = 0;
      for (let row = rows[end]; row !== undefined && end - start < MAX_ROWS; row = rows[++end]) {
        bytes += this.bytes(row) + ROW_OVERHEAD_BYTES;
        if (bytes > maxBytes && end > start) break;
      }
      const count = preparedRows(end - start);
      yield { statement: this.#statement(count), values: rows.slice(start, start + count).flatMap(this.values) };
      start += count;
    }
  }

  /** Whether a statement is one of these. */
  has(statement: SqlStatement): boolean {
    return this.#statements.has(statement);
  }

  #statement(rows: number): SqlStatement {
    let statement = this.#byRows.get(rows);
    if (statement === undefined) {
      const every = <T>(of: T): T[] => Array.from({ length: rows }, () => of);
      statement = { text: `${this.before}${every(this.row).join(', ')}${this.behind}`, parameters: every(this.types).flat(), columns: [] };
      this.#byRows.set(rows, statement);
      this.#statements.add(statement);
    }
    return statement;
  }
}

/** Most rows of one statement. */
const MAX_ROWS = 256;
/** Each number of rows up to this one has a statement of its own, above it powers of two have: as many as a connection can keep prepared. */
const EXACT_ROWS = 32;
/** Of a row that is written, beside its key and its record: numbers, types and lengths. */
const ROW_OVERHEAD_BYTES = 160;
/** Of a statement, beside its rows. */
const STATEMENT_BYTES = 1024;

function preparedRows(rows: number): number {
  return rows <= EXACT_ROWS ? rows : 2 ** Math.floor(Math.log2(rows));
}

const INSERT_LOG = new RowStatement<BatchPlan['rows'][number]>(
  'INSERT INTO log (id, `key`, create_revision, version, lease, tombstone, prev_id, value_from, value_length, record) VALUES ',
  '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  '',
  ['int', 'bytes', 'int', 'int', 'int', 'int', 'int', 'int', 'int', 'bytes'],
  (row) => [
    row.id,
    row.key,
    row.createRevision,
    row.version,
    row.lease,
    row.tombstone ? 1 : 0,
    row.prevId,
    valueFrom(row),
    row.value.length,
    row.record,
  ],
  ({ key, record }) => key.length + record.length,
);

const HEAD_ROW = ['(?, ?, ?)', ['bytes', 'int', 'int'], ({ key, id, lease }: HeadWrite) => [key, id, lease]] as const;

const INSERT_HEADS = new RowStatement<HeadWrite>(
  'INSERT INTO head (`key`, id, lease) VALUES ',
  HEAD_ROW[0],
  '',
  HEAD_ROW[1],
  HEAD_ROW[2],
  ({ key }) => key.length,
);

const UPDATE_HEADS = new RowStatement<HeadWrite>(
  'INSERT INTO head (`key`, id, lease) VALUES ',
  HEAD_ROW[0],
  ' ON DUPLICATE KEY UPDATE id = VALUES(id), lease = VALUES(lease)',
  HEAD_ROW[1],
  HEAD_ROW[2],
  ({ key }) => key.length,
);

const DELETE_HEADS = new RowStatement<Buffer>(
  'DELETE FROM head WHERE `key` IN (',
  '?',
  ')',
  ['bytes'],
  (key) => [key],
  (key) => key.length,
);

const ADD_COUNTS = new RowStatement<BatchPlan['counts'][number]>(
  'INSERT INTO resource_count (prefix, live) VALUES ',
  '(?, ?)',
  ' ON DUPLICATE KEY UPDATE live = live + VALUES(live)',
  ['bytes', 'int'],
  ({ prefix, change }) => [prefix, change],
  ({ prefix }) => prefix.length,
);

/** A key that this statement inserts may be there: its creation is a conflict. */
export function insertsHeads(statement: SqlStatement): boolean {
  return INSERT_HEADS.has(statement);
}

/** Why the server does not take a record of a key; null: it does. */
export function packetMisfit(key: Buffer, recordBytes: number, maxPacketBytes: number): string | null {
  if (key.length + recordBytes + ROW_OVERHEAD_BYTES <= maxPacketBytes - STATEMENT_BYTES) return null;
  return `"${key.toString()}" has ${recordBytes} bytes; the server takes statements of max_allowed_packet=${maxPacketBytes} bytes, so set that higher`;
}

/** The calls that apply a batch, in order. Throws CommitFailedError for a record that the server does not take. */
export function applyBatch(plan: BatchPlan, maxPacketBytes: number): SqlCall[] {
  const maxBytes = maxPacketBytes - STATEMENT_BYTES;
  for (const { key, record } of plan.rows) {
    const misfit = packetMisfit(key, record.length, maxPacketBytes);
    if (misfit !== null) throw new CommitFailedError(misfit);
  }
  return [
    ...INSERT_LOG.calls(plan.rows, maxBytes),
    ...INSERT_HEADS.calls(plan.inserted, maxBytes),
    ...UPDATE_HEADS.calls(plan.updated, maxBytes),
    ...DELETE_HEADS.calls(plan.deleted, maxBytes),
    ...ADD_COUNTS.calls(plan.counts, maxBytes),
  ];
}
