import type { MigrationInterface, QueryRunner } from 'typeorm';
import { BARE_BYTES, RECORD_BYTES } from './statements.js';

/**
 * The tables of a SQLite backend, as docs/architecture.md explains them. A row's `record` is the key's encoded
 * `mvccpb.KeyValue`, so that a list is made by putting records one after another; `value_from` and `value_length` say
 * where the value lies in it. It stands last, so that reading the columns before it never touches the pages that a long
 * record overflows into.
 */
class CreateTables1700000000000 implements MigrationInterface {
  readonly name = 'CreateTables1700000000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of FIRST_TABLES) await runner.query(statement);
  }

  async down(): Promise<void> {
    return Promise.reject(new Error('the tables of a backend are never dropped; remove its file instead'));
  }
}

/**
 * What a key was at an older revision is told by the later row that replaced it: only those rows are indexed, and a creation, which replaces nothing,
 * writes a third fewer pages.
 */
class IndexReplacements1764200000000 implements MigrationInterface {
  readonly name = 'IndexReplacements1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of REPLACEMENT_INDEX) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX log_replacement');
    await runner.query('CREATE INDEX log_key ON log (key, id)');
  }
}

/** Who writes, and how far each database was at the writer's last renewal. */
class RecordWriter1764500000000 implements MigrationInterface {
  readonly name = 'RecordWriter1764500000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of WRITER_COLUMNS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const column of ['marks', 'released', 'renewals', 'lease_ms', 'address', 'holder']) {
      await runner.query(`ALTER TABLE control DROP COLUMN ${column}`);
    }
  }
}

/** How long each key's part of an answer is: a large one is announced by its length, for which no record is looked at. */
class MeasureHeads1764700000000 implements MigrationInterface {
  readonly name = 'MeasureHeads1764700000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of HEAD_SIZES) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const column of ['bare_bytes', 'record_bytes']) await runner.query(`ALTER TABLE head DROP COLUMN ${column}`);
  }
}

const HEAD_SIZES = [
  'ALTER TABLE head ADD COLUMN record_bytes INTEGER NOT NULL DEFAULT 0',
  'ALTER TABLE head ADD COLUMN bare_bytes INTEGER NOT NULL DEFAULT 0',
  `UPDATE head SET (record_bytes, bare_bytes) = (SELECT ${RECORD_BYTES}, ${BARE_BYTES} FROM log l WHERE l.id = head.id)`,
];

const REPLACEMENT_INDEX = ['DROP INDEX log_key', 'CREATE INDEX log_replacement ON log (key, id, prev_id) WHERE prev_id > 0'];

const WRITER_COLUMNS = [
  `ALTER TABLE control ADD COLUMN holder TEXT NOT NULL DEFAULT ''`,
  `ALTER TABLE control ADD COLUMN address TEXT NOT NULL DEFAULT ''`,
  'ALTER TABLE control ADD COLUMN lease_ms INTEGER NOT NULL DEFAULT 0',
  'ALTER TABLE control ADD COLUMN renewals INTEGER NOT NULL DEFAULT 0',
  'ALTER TABLE control ADD COLUMN released INTEGER NOT NULL DEFAULT 1',
  // A JSON object: last revisions, as decimal text, by the identities of the databases.
  `ALTER TABLE control ADD COLUMN marks TEXT NOT NULL DEFAULT '{}'`,
];

const FIRST_TABLES = [
  // id = revision << 20 | position in the txn; value_from counts from 1, as substr does.
  `CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    tombstone INTEGER NOT NULL,
    prev_id INTEGER NOT NULL,
    value_from INTEGER NOT NULL,
    value_length INTEGER NOT NULL,
    record BLOB NOT NULL
  ) STRICT`,
  `CREATE INDEX log_key ON log (key, id)`,
  // One row per live key.
  `CREATE TABLE head (
    key BLOB NOT NULL PRIMARY KEY,
    id INTEGER NOT NULL,
    lease INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX head_lease ON head (lease) WHERE lease <> 0`,
  // Live keys per resource, kept by the commits.
  `CREATE TABLE resource_count (
    prefix BLOB NOT NULL PRIMARY KEY,
    live INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    identity TEXT NOT NULL,
    store_id TEXT,
    epoch INTEGER NOT NULL,
    last_revision INTEGER NOT NULL,
    compacted_id INTEGER NOT NULL
  ) STRICT`,
  `INSERT INTO meta VALUES (
    1,
    lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(6))),
    NULL, 0, 0, 0
  )`,
  // The rest is filled in the default backend only.
  `CREATE TABLE control (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    store_id TEXT NOT NULL,
    cluster_id INTEGER NOT NULL,
    reserved_revision INTEGER NOT NULL,
    compact_revision INTEGER NOT NULL,
    applied_topology TEXT
  ) STRICT`,
  `CREATE TABLE lease (
    id INTEGER PRIMARY KEY,
    ttl INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    renewed INTEGER NOT NULL
  ) STRICT`,
  // For people with a SQL shell.
  `CREATE VIEW records AS
    SELECT l.id >> 20 AS revision, CAST(l.key AS TEXT) AS key, l.create_revision, l.version, l.lease,
      CAST(substr(l.record, l.value_from, l.value_length) AS TEXT) AS value
    FROM head h JOIN log l ON l.id = h.id`,
  `CREATE VIEW history AS
    SELECT id >> 20 AS revision, CAST(key AS TEXT) AS key, CASE tombstone WHEN 1 THEN 'DELETE' ELSE 'PUT' END AS type,
      create_revision, version, lease, prev_id >> 20 AS prev_revision,
      CAST(substr(record, value_from, value_length) AS TEXT) AS value
    FROM log`,
];

/** The tables of an empty backend, by all migrations. */
export const TABLES = [...FIRST_TABLES, ...REPLACEMENT_INDEX, ...WRITER_COLUMNS, ...HEAD_SIZES];

export const SQLITE_MIGRATIONS = [
  CreateTables1700000000000,
  IndexReplacements1764200000000,
  RecordWriter1764500000000,
  MeasureHeads1764700000000,
];
