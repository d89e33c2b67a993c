import type { SqlStatement, SqlType } from './sql-connection.js';

/*
 * The statements that SQL dialects share. Written with `?` for each parameter and "key" in double quotes; a dialect makes
 * its own text of that, and puts its own statements in the place of those that it cannot run. Bounds of key ranges are half
 * open; a range without an upper end has a statement of its own, since no key stands for "behind every key".
 */

/** Of the state at the newest revision. Parameters of a range: start, end unless it is unbounded. */
export interface RangeStatements {
  /** Records in key order. Parameters: the range, limit, and bytes: the row with which so many are reached is the last. */
  readonly records: SqlStatement;
  /** Key, id, create revision, version, lease in key order. Parameters: the range, limit. */
  readonly keys: SqlStatement;
  /** Number of records, and bytes of them with their frames. Parameters: the range, limit. */
  readonly size: SqlStatement;
  /** Number of keys. Parameters: the range. */
  readonly count: SqlStatement;
}

export interface SqlStatements {
  /** identity, store_id, epoch, last_revision, compacted_id. */
  readonly selectMeta: SqlStatement;
  /** The same with the lock that every commit takes. */
  readonly lockMeta: SqlStatement;
  readonly selectLastRevision: SqlStatement;
  /** Parameters: last revision, epoch, previous revision. */
  readonly advanceRevision: SqlStatement;
  /** Parameters: store, epoch. */
  readonly claim: SqlStatement;
  readonly latest: { readonly bounded: RangeStatements; readonly unbounded: RangeStatements };
  /** As of an older revision: the parameters of a range are start, end, before, start, end, before, before; without end where it is unbounded. */
  readonly at: { readonly bounded: RangeStatements; readonly unbounded: RangeStatements };
  /** Live keys of a counted prefix. */
  readonly selectCount: SqlStatement;
  /** id, tombstone, record, record that was replaced. Parameters: id after, last id, start, end unless unbounded, limit, bytes. */
  readonly changes: { readonly bounded: SqlStatement; readonly unbounded: SqlStatement };
  /** Parameters: lease, limit. */
  readonly keysOfLease: SqlStatement;
  readonly leasesInUse: SqlStatement;
  /** The last id of the next compaction step. Parameters: id after, id before which it ends, rows to skip. */
  readonly selectStepEnd: SqlStatement;
  /** Rows that a row of the step replaced. Parameters: id after, last id. */
  readonly deleteReplaced: SqlStatement;
  readonly deleteTombstones: SqlStatement;
  readonly setCompacted: SqlStatement;
  /** bytes, bytes in use. */
  readonly size: SqlStatement;
  /** holder, address, lease_ms, epoch, renewals, released. */
  readonly selectWriter: SqlStatement;
  /** The same with a lock. */
  readonly lockWriter: SqlStatement;
  /** store_id, cluster_id, reserved_revision, compact_revision, marks. */
  readonly selectControl: SqlStatement;
  /** Parameters: store, cluster. */
  readonly insertControl: SqlStatement;
  readonly beginEpoch: SqlStatement;
  /** Parameters: holder, address, lease_ms, epoch. */
  readonly setWriter: SqlStatement;
  /** Of the following ones the last parameter is the epoch that the writer has to have. */
  readonly renewWriter: SqlStatement;
  readonly releaseWriter: SqlStatement;
  readonly setReserved: SqlStatement;
  readonly setCompactRevision: SqlStatement;
  readonly setAppliedTopology: SqlStatement;
  /** Changes nothing, but the row is locked. */
  readonly guardControl: SqlStatement;
  readonly selectAppliedTopology: SqlStatement;
  readonly selectLeases: SqlStatement;
  /** Parameters: id, ttl, expires_at, renewed. */
  readonly saveLease: SqlStatement;
  readonly removeLease: SqlStatement;
}

/** What differs between the dialects in the statements that they share. */
export interface SqlSyntax {
  /** Makes the dialect's text of one with `?` and "key". */
  readonly text: (shared: string) => string;
  /** Bytes of the database and bytes in use: one row of two numbers. */
  readonly size: string;
  /** `INSERT INTO lease (id, ttl, expires_at, renewed) VALUES (?, ?, ?, ?)` that takes the place of a row which is there. */
  readonly saveLease: string;
}

/** Those that read pages are each dialect's own: servers differ most in what they make of them. */
export function sqlStatements({ text, size, saveLease }: SqlSyntax): Omit<SqlStatements, 'latest' | 'at' | 'changes'> {
  const statement = (shared: string, parameters: readonly SqlType[], columns: readonly SqlType[] = []): SqlStatement => ({
    text: text(shared),
    parameters,
    columns,
  });
  const META = 'SELECT identity, store_id, epoch, last_revision, compacted_id FROM meta';
  const META_TYPES = ['text', 'text', 'int', 'int', 'int'] as const;
  const WRITER = 'SELECT holder, address, lease_ms, epoch, renewals, released FROM control';
  const WRITER_TYPES = ['text', 'text', 'int', 'int', 'int', 'int'] as const;

  return {
    selectMeta: statement(META, [], META_TYPES),
    lockMeta: statement(`${META} FOR UPDATE`, [], META_TYPES),
    selectLastRevision: statement('SELECT last_revision FROM meta', [], ['int']),
    advanceRevision: statement('UPDATE meta SET last_revision = ? WHERE epoch = ? AND last_revision = ?', ['int', 'int', 'int']),
    claim: statement('UPDATE meta SET store_id = ?, epoch = ?', ['text', 'int']),
    selectCount: statement('SELECT live FROM resource_count WHERE prefix = ?', ['bytes'], ['int']),
    keysOfLease: statement('SELECT "key" FROM head WHERE lease = ? AND lease <> 0 ORDER BY "key" LIMIT ?', ['int', 'int'], ['bytes']),
    leasesInUse: statement('SELECT DISTINCT lease FROM head WHERE lease <> 0', [], ['int']),
    selectStepEnd: statement('SELECT id FROM log WHERE id > ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?', ['int', 'int', 'int'], ['int']),
    // By the ids of the step: `prev_id > 0` would lead PostgreSQL through the whole index of replacements, which is in key order.
    deleteReplaced: statement('DELETE FROM log WHERE id IN (SELECT prev_id FROM log WHERE id > ? AND id <= ? AND prev_id + 0 > 0)', [
      'int',
      'int',
    ]),
    deleteTombstones: statement('DELETE FROM log WHERE id > ? AND id <= ? AND tombstone = 1', ['int', 'int']),
    setCompacted: statement('UPDATE meta SET compacted_id = ?', ['int']),
    size: statement(size, [], ['int', 'int']),
    selectWriter: statement(WRITER, [], WRITER_TYPES),
    lockWriter: statement(`${WRITER} FOR UPDATE`, [], WRITER_TYPES),
    selectControl: statement(
      'SELECT store_id, cluster_id, reserved_revision, compact_revision, marks FROM control',
      [],
      ['text', 'int', 'int', 'int', 'text'],
    ),
    insertControl: statement(
      `INSERT INTO control (only_row, store_id, cluster_id, reserved_revision, compact_revision, marks) VALUES (1, ?, ?, 1, 0, '{}')`,
      ['text', 'int'],
    ),
    beginEpoch: statement('UPDATE meta SET epoch = epoch + 1', []),
    setWriter: statement('UPDATE control SET holder = ?, address = ?, lease_ms = ?, epoch = ?, renewals = 0, released = 0', [
      'text',
      'text',
      'int',
      'int',
    ]),
    renewWriter: statement('UPDATE control SET renewals = renewals + 1, marks = ? WHERE epoch = ?', ['text', 'int']),
    releaseWriter: statement('UPDATE control SET released = 1 WHERE epoch = ?', ['int']),
    setReserved: statement('UPDATE control SET reserved_revision = ? WHERE epoch = ?', ['int', 'int']),
    setCompactRevision: statement('UPDATE control SET compact_revision = ? WHERE epoch = ?', ['int', 'int']),
    setAppliedTopology: statement('UPDATE control SET applied_topology = ? WHERE epoch = ?', ['text', 'int']),
    guardControl: statement('UPDATE control SET renewals = renewals WHERE epoch = ?', ['int']),
    selectAppliedTopology: statement('SELECT applied_topology FROM control', [], ['text']),
    selectLeases: statement('SELECT id, ttl, expires_at, renewed FROM lease', [], ['int', 'int', 'int', 'int']),
    saveLease: statement(saveLease, ['int', 'int', 'int', 'int']),
    removeLease: statement('DELETE FROM lease WHERE id = ?', ['int']),
  };
}
