import { type BatchPlan, type HeadWrite, valueFrom } from '../sql/batch-plan.js';
import type { SqlCall, SqlStatement } from '../sql/sql-connection.js';
import { sqlStatements } from '../sql/sql-statements.js';

/*
 * The statements of PostgreSQL beside those that it shares. Many rows come as one array for each column: a statement is
 * the same for any number of them.
 */

/** The tables, in the order in which they are made. */
export const TABLES = ['log', 'head', 'resource_count', 'meta', 'control', 'lease'] as const;

export const POSTGRES_STATEMENTS = sqlStatements({
  text: (shared) => {
    let position = 0;
    return shared.replaceAll('?', () => `$${++position}`);
  },
  size: `SELECT pg_database_size(current_database()), sum(pg_total_relation_size(name::regclass))::int8
    FROM unnest(ARRAY[${TABLES.map((name) => `'${name}'`).join(', ')}]) name`,
  saveLease: `INSERT INTO lease (id, ttl, expires_at, renewed) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, renewed = excluded.renewed`,
});

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
