import { randomUUID } from 'node:crypto';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Bytes of the longest key. InnoDB indexes at most 3072 of them in a page of 16 KiB and 1536 in one of 8 KiB, where the
 * ids beside the key count, too. The longest key of Kubernetes has about 700.
 */
export const MAX_KEY_BYTES = 1024;
/** Smaller pages cannot index the longest key. */
export const MIN_PAGE_BYTES = 8192;

/**
 * The tables of a MySQL or MariaDB backend, as docs/architecture.md explains them. A row's `record` is the key's encoded
 * `mvccpb.KeyValue`; `value_from` and `value_length` say where the value lies in it. MySQL has no partial index:
 * `replacing` is the key of a row that replaces another and NULL in a creation, whose entries all lie behind one another
 * in one page of the index, so that a creation costs next to nothing there.
 */
class CreateTables1764600000000 implements MigrationInterface {
  readonly name = 'CreateTables1764600000000';

  async up(runner: QueryRunner): Promise<void> {
    // MySQL ends the transaction with each statement: what an interrupted run has made is found again.
    for (const statement of TABLES) await runner.query(statement);
    await runner.query('INSERT IGNORE INTO meta VALUES (1, ?, NULL, 0, 0, 0)', [randomUUID()]);
  }

  async down(): Promise<void> {
    return Promise.reject(new Error('the tables of a backend are never dropped; drop its database instead'));
  }
}

const KEY = `VARBINARY(${MAX_KEY_BYTES})`;
const IDENTIFIER = 'VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin';
const TEXT = 'LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
const STORAGE = 'ENGINE = InnoDB ROW_FORMAT = DYNAMIC';

const TABLES = [
  // id = revision << 20 | position in the txn; value_from counts from 1, as substr does.
  `CREATE TABLE IF NOT EXISTS log (
    id BIGINT NOT NULL PRIMARY KEY,
    \`key\` ${KEY} NOT NULL,
    create_revision BIGINT NOT NULL,
    version BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    tombstone TINYINT NOT NULL,
    prev_id BIGINT NOT NULL,
    value_from BIGINT NOT NULL,
    value_length BIGINT NOT NULL,
    record LONGBLOB NOT NULL,
    replacing ${KEY} AS (CASE WHEN prev_id > 0 THEN \`key\` END) STORED,
    INDEX log_replacement (replacing, id, prev_id)
  ) ${STORAGE}`,
  // One row per live key.
  `CREATE TABLE IF NOT EXISTS head (
    \`key\` ${KEY} NOT NULL PRIMARY KEY,
    id BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    INDEX head_lease (lease)
  ) ${STORAGE}`,
  // Live keys per resource, kept by the commits.
  `CREATE TABLE IF NOT EXISTS resource_count (
    prefix ${KEY} NOT NULL PRIMARY KEY,
    live BIGINT NOT NULL
  ) ${STORAGE}`,
  `CREATE TABLE IF NOT EXISTS meta (
    only_row TINYINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    identity ${IDENTIFIER} NOT NULL,
    store_id ${IDENTIFIER},
    epoch BIGINT NOT NULL,
    last_revision BIGINT NOT NULL,
    compacted_id BIGINT NOT NULL
  ) ${STORAGE}`,
  // The rest is filled in the default backend only.
  `CREATE TABLE IF NOT EXISTS control (
    only_row TINYINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    store_id ${IDENTIFIER} NOT NULL,
    cluster_id BIGINT NOT NULL,
    reserved_revision BIGINT NOT NULL,
    compact_revision BIGINT NOT NULL,
    applied_topology ${TEXT},
    epoch BIGINT NOT NULL DEFAULT 0,
    holder ${IDENTIFIER} NOT NULL DEFAULT '',
    address VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    lease_ms BIGINT NOT NULL DEFAULT 0,
    renewals BIGINT NOT NULL DEFAULT 0,
    released TINYINT NOT NULL DEFAULT 1,
    marks ${TEXT} NOT NULL
  ) ${STORAGE}`,
  `CREATE TABLE IF NOT EXISTS lease (
    id BIGINT NOT NULL PRIMARY KEY,
    ttl BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    renewed TINYINT NOT NULL
  ) ${STORAGE}`,
  // For people with a SQL shell.
  `CREATE OR REPLACE VIEW records AS
    SELECT l.id >> 20 AS revision, CONVERT(l.\`key\` USING utf8mb4) AS \`key\`, l.create_revision, l.version, l.lease,
      CONVERT(SUBSTRING(l.record, l.value_from, l.value_length) USING utf8mb4) AS value
    FROM head h JOIN log l ON l.id = h.id`,
  `CREATE OR REPLACE VIEW history AS
    SELECT id >> 20 AS revision, CONVERT(\`key\` USING utf8mb4) AS \`key\`, CASE tombstone WHEN 1 THEN 'DELETE' ELSE 'PUT' END AS type,
      create_revision, version, lease, prev_id >> 20 AS prev_revision,
      CONVERT(SUBSTRING(record, value_from, value_length) USING utf8mb4) AS value
    FROM log`,
];

export const MYSQL_MIGRATIONS = [CreateTables1764600000000];
