import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The tables of a PostgreSQL backend, the same as those of the other dialects. Keys are `bytea`, which sorts bytewise
 * whatever the database's collation is. A row of `meta`, `head` or `resource_count` is changed again and again: room is
 * left in their pages, so that a change stays in its page and touches no index.
 */
class CreateTables1764600000000 implements MigrationInterface {
  readonly name = 'CreateTables1764600000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(): Promise<void> {
    return Promise.reject(new Error('the tables of a backend are never dropped; remove its database instead'));
  }
}

const STATEMENTS = [
  // id = revision << 20 | position in the txn; value_from counts from 1, as substr does.
  `CREATE TABLE log (
    id bigint PRIMARY KEY,
    create_revision bigint NOT NULL,
    version bigint NOT NULL,
    lease bigint NOT NULL,
    prev_id bigint NOT NULL,
    value_from integer NOT NULL,
    value_length integer NOT NULL,
    tombstone smallint NOT NULL,
    key bytea NOT NULL,
    record bytea NOT NULL
  )`,
  // A commit does not wait for the server to compress values.
  `ALTER TABLE log ALTER COLUMN record SET STORAGE EXTERNAL`,
  // What a key was at an older revision is told by the later row that replaced it.
  `CREATE INDEX log_replacement ON log (key, id, prev_id) WHERE prev_id > 0`,
  // One row per live key.
  `CREATE TABLE head (
    key bytea NOT NULL,
    id bigint NOT NULL,
    lease bigint NOT NULL,
    CONSTRAINT head_pkey PRIMARY KEY (key)
  ) WITH (fillfactor = 80)`,
  `CREATE INDEX head_lease ON head (lease, key) WHERE lease <> 0`,
  // Live keys per resource, kept by the commits.
  `CREATE TABLE resource_count (
    prefix bytea PRIMARY KEY,
    live bigint NOT NULL
  ) WITH (fillfactor = 20)`,
  `CREATE TABLE meta (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    identity text NOT NULL,
    store_id text,
    epoch bigint NOT NULL,
    last_revision bigint NOT NULL,
    compacted_id bigint NOT NULL
  ) WITH (fillfactor = 10)`,
  `INSERT INTO meta VALUES (1, gen_random_uuid()::text, NULL, 0, 0, 0)`,
  // The rest is filled in the default backend only. The epoch is that of `meta`: a renewal must not wait for its lock.
  `CREATE TABLE control (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    store_id text NOT NULL,
    cluster_id bigint NOT NULL,
    reserved_revision bigint NOT NULL,
    compact_revision bigint NOT NULL,
    applied_topology text,
    holder text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    lease_ms bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    renewals bigint NOT NULL DEFAULT 0,
    released smallint NOT NULL DEFAULT 1,
    marks text NOT NULL
  ) WITH (fillfactor = 10)`,
  `CREATE TABLE lease (
    id bigint PRIMARY KEY,
    ttl bigint NOT NULL,
    expires_at bigint NOT NULL,
    renewed smallint NOT NULL
  )`,
  // For people with a SQL shell. Bytes that are not UTF-8 are shown escaped.
  `CREATE FUNCTION harikube_text(bytes bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    BEGIN
      RETURN convert_from(bytes, 'UTF8');
    EXCEPTION WHEN OTHERS THEN
      RETURN encode(bytes, 'escape');
    END $$`,
  `CREATE VIEW records AS
    SELECT l.id >> 20 AS revision, harikube_text(l.key) AS key, l.create_revision, l.version, l.lease,
      harikube_text(substr(l.record, l.value_from, l.value_length)) AS value
    FROM head h JOIN log l ON l.id = h.id`,
  `CREATE VIEW history AS
    SELECT id >> 20 AS revision, harikube_text(key) AS key, CASE tombstone WHEN 1 THEN 'DELETE' ELSE 'PUT' END AS type,
      create_revision, version, lease, prev_id >> 20 AS prev_revision,
      harikube_text(substr(record, value_from, value_length)) AS value
    FROM log`,
];

export const POSTGRES_MIGRATIONS = [CreateTables1764600000000];
