import { type BatchPlan, type HeadWrite, valueFrom } from '../sql/batch-plan.js';
import type { SqlCall, SqlStatement, SqlType } from '../sql/sql-connection.js';
import { type RangeStatements, type SqlStatements, sqlStatements } from '../sql/sql-statements.js';

/*
 * The statements of PostgreSQL beside those that it shares. Many rows come as one array for each column: a statement is
 * the same for any number of them.
 */

/** The tables, in the order in which they are made. */
export const TABLES = ['log', 'head', 'resource_count', 'meta', 'control', 'lease'] as const;

const shared = sqlStatements({
  text: (shared) => {
    let position = 0;
    return shared.replaceAll('?', () => `$${++position}`);
  },
  size: `SELECT pg_database_size(current_database()), sum(pg_total_relation_size(name::regclass))::int8
    FROM unnest(ARRAY[${TABLES.map((name) => `'${name}'`).join(', ')}]) name`,
  saveLease: `INSERT INTO lease (id, ttl, expires_at, renewed) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, renewed = excluded.renewed`,
});

const KEY_TYPES = ['bytes', 'int', 'int', 'int', 'int'] as const;
const KEY = 'l.key, l.id, l.create_revision, l.version, l.lease';
const BYTES = 'octet_length(l.record) AS bytes';
/** Bytes of a record with its frame. */
const FRAMED = 's.bytes + 1 + CASE WHEN s.bytes < 128 THEN 1 WHEN s.bytes < 16384 THEN 2 WHEN s.bytes < 2097152 THEN 3 ELSE 4 END';

/** Rows of a page in order of `place`, until the bytes of those before are as many as the parameter says. No value is read for that. */
function budgeted(columns: string, page: string, parameter: string): string {
  return `SELECT ${columns} FROM (SELECT p.*, sum(p.bytes) OVER (ORDER BY p.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM (${page}) p) r WHERE r.bytes_before IS NULL OR r.bytes_before < ${parameter} ORDER BY r.place`;
}

function latest(isBounded: boolean): RangeStatements {
  const where = isBounded ? 'h.key >= $1 AND h.key < $2' : 'h.key >= $1';
  const [limit, bytes] = isBounded ? ['$3', '$4'] : ['$2', '$3'];
  const range: SqlType[] = isBounded ? ['bytes', 'bytes'] : ['bytes'];
  const from = `FROM head h JOIN log l ON l.id = h.id WHERE ${where} ORDER BY h.key LIMIT ${limit}`;
  return {
    records: {
      text: budgeted('r.record', `SELECT h.key AS place, l.record, ${BYTES} ${from}`, bytes),
      parameters: [...range, 'int', 'int'],
      columns: ['bytes'],
    },
    keys: { text: `SELECT ${KEY} ${from}`, parameters: [...range, 'int'], columns: KEY_TYPES },
    size: {
      text: `SELECT count(*), coalesce(sum(${FRAMED}), 0) FROM (SELECT ${BYTES} ${from}) s`,
      parameters: [...range, 'int'],
      columns: ['int', 'int'],
    },
    count: { text: `SELECT count(*) FROM head h WHERE ${where}`, parameters: range, columns: ['int'] },
  };
}

/**
 * What the latest rows of the keys were below an id: a key's head, where it is older than that; else what the first later row
 * of the key replaced, of which there is one at most. A key that was created later has neither. Each part is read no further
 * than a page.
 */
function at(isBounded: boolean): RangeStatements {
  const range: SqlType[] = isBounded ? ['bytes', 'bytes', 'int', 'bytes', 'bytes', 'int', 'int'] : ['bytes', 'int', 'bytes', 'int', 'int'];
  const heads = `head h WHERE ${isBounded ? 'h.key >= $1 AND h.key < $2 AND h.id < $3' : 'h.key >= $1 AND h.id < $2'}`;
  const replaced = `log r WHERE r.prev_id > 0 AND ${
    isBounded ? 'r.key >= $4 AND r.key < $5 AND r.id >= $6 AND r.prev_id < $7' : 'r.key >= $3 AND r.id >= $4 AND r.prev_id < $5'
  }`;
  const [limit, bytes] = isBounded ? ['$8', '$9'] : ['$6', '$7'];
  const page = (columns: string): string => `SELECT h.key AS place, ${columns}
      FROM (SELECT h.key, h.id FROM ${heads} ORDER BY h.key LIMIT ${limit}) h JOIN log l ON l.id = h.id
    UNION ALL SELECT r.key, ${columns}
      FROM (SELECT r.key, r.prev_id FROM ${replaced} ORDER BY r.key LIMIT ${limit}) r JOIN log l ON l.id = r.prev_id
    ORDER BY place LIMIT ${limit}`;
  return {
    records: { text: budgeted('r.record', page(`l.record, ${BYTES}`), bytes), parameters: [...range, 'int', 'int'], columns: ['bytes'] },
    keys: {
      text: `SELECT k.key, k.id, k.create_revision, k.version, k.lease FROM (${page(KEY)}) k ORDER BY k.place`,
      parameters: [...range, 'int'],
      columns: KEY_TYPES,
    },
    size: {
      text: `SELECT count(*), coalesce(sum(${FRAMED}), 0) FROM (${page(BYTES)}) s`,
      parameters: [...range, 'int'],
      columns: ['int', 'int'],
    },
    count: { text: `SELECT (SELECT count(*) FROM ${heads}) + (SELECT count(*) FROM ${replaced})`, parameters: range, columns: ['int'] },
  };
}

function changes(isBounded: boolean): SqlStatement {
  const [limit, bytes] = isBounded ? ['$5', '$6'] : ['$4', '$5'];
  const page = `SELECT l.id AS place, l.tombstone, l.record, p.record AS prev_record,
      octet_length(l.record) + coalesce(octet_length(p.record), 0) AS bytes
    FROM log l LEFT JOIN log p ON p.id = l.prev_id
    WHERE l.id > $1 AND l.id <= $2 AND l.key >= $3 ${isBounded ? 'AND l.key < $4' : ''} ORDER BY l.id LIMIT ${limit}`;
  return {
    text: budgeted('r.place, r.tombstone, r.record, r.prev_record', page, bytes),
    parameters: isBounded ? ['int', 'int', 'bytes', 'bytes', 'int', 'int'] : ['int', 'int', 'bytes', 'int', 'int'],
    columns: ['int', 'int', 'bytes', 'bytes'],
  };
}

export const POSTGRES_STATEMENTS: SqlStatements = {
  ...shared,
  latest: { bounded: latest(true), unbounded: latest(false) },
  at: { bounded: at(true), unbounded: at(false) },
  changes: { bounded: changes(true), unbounded: changes(false) },
};

const LOAD: SqlStatement = {
  text: 'SELECT m.last_revision, h.id, l.record FROM meta m LEFT JOIN (head h JOIN log l ON l.id = h.id) ON h.key = ANY($1)',
  parameters: ['bytesList'],
  columns: ['int', 'int', 'bytes'],
};

const INSERT_LOG: SqlStatement = {
  text: `INSERT INTO log (id, key, create_revision, version, lease, tombstone, prev_id, value_from, value_length, record)
    SELECT * FROM unnest($1::int8[], $2::bytea[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::bytea[])`,
  parameters: ['ints', 'bytesList', 'ints', 'ints', 'ints', 'ints', 'ints', 'ints', 'ints', 'bytesList'],
  columns: [],
};

const INSERT_HEAD: SqlStatement = {
  text: 'INSERT INTO head (key, id, lease) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[])',
  parameters: ['bytesList', 'ints', 'ints'],
  columns: [],
};

const UPDATE_HEAD: SqlStatement = {
  text: `UPDATE head SET id = changed.id, lease = changed.lease
    FROM unnest($1::bytea[], $2::int8[], $3::int8[]) changed (key, id, lease) WHERE head.key = changed.key`,
  parameters: ['bytesList', 'ints', 'ints'],
  columns: [],
};

const DELETE_HEAD: SqlStatement = { text: 'DELETE FROM head WHERE key = ANY($1)', parameters: ['bytesList'], columns: [] };

const ADD_COUNT: SqlStatement = {
  text: `INSERT INTO resource_count (prefix, live) SELECT * FROM unnest($1::bytea[], $2::int8[])
    ON CONFLICT (prefix) DO UPDATE SET live = resource_count.live + excluded.live`,
  parameters: ['bytesList', 'ints'],
  columns: [],
};

export function loadCall(keys: readonly Buffer[]): SqlCall {
  return { statement: LOAD, values: [keys] };
}

export function batchCalls({ rows, inserted, updated, deleted, counts }: BatchPlan): readonly SqlCall[] {
  const calls: SqlCall[] = [
    {
      statement: INSERT_LOG,
      values: [
        rows.map(({ id }) => id),
        rows.map(({ key }) => key),
        rows.map(({ createRevision }) => createRevision),
        rows.map(({ version }) => version),
        rows.map(({ lease }) => lease),
        rows.map(({ tombstone }) => (tombstone ? 1 : 0)),
        rows.map(({ prevId }) => prevId),
        rows.map(valueFrom),
        rows.map(({ value }) => value.length),
        rows.map(({ record }) => record),
      ],
    },
  ];
  if (inserted.length > 0) calls.push({ statement: INSERT_HEAD, values: headValues(inserted) });
  if (updated.length > 0) calls.push({ statement: UPDATE_HEAD, values: headValues(updated) });
  if (deleted.length > 0) calls.push({ statement: DELETE_HEAD, values: [deleted] });
  if (counts.length > 0) {
    calls.push({ statement: ADD_COUNT, values: [counts.map(({ prefix }) => prefix), counts.map(({ change }) => change)] });
  }
  return calls;
}

function headValues(heads: readonly HeadWrite[]): SqlCall['values'] {
  return [heads.map(({ key }) => key), heads.map(({ id }) => id), heads.map(({ lease }) => lease)];
}
