/*
 * Every statement of the SQLite dialect, prepared once per connection. Bounds of key ranges are half open; a range
 * without an upper end has a statement of its own, since no key stands for "behind every key".
 */

export const BEGIN_READ = 'BEGIN';
export const BEGIN_WRITE = 'BEGIN IMMEDIATE';
export const COMMIT = 'COMMIT';
export const ROLLBACK = 'ROLLBACK';

export const SELECT_META = 'SELECT identity, store_id, epoch, last_revision, compacted_id FROM meta';
export const SELECT_LAST_REVISION = 'SELECT last_revision FROM meta';
export const SELECT_SPAN = 'SELECT last_revision, compacted_id FROM meta';

/** Changes a row only while this writer's epoch and the revision that it knows stand: the check that every commit makes. */
export const ADVANCE_REVISION = 'UPDATE meta SET last_revision = ? WHERE epoch = ? AND last_revision = ?';
export const CLAIM = 'UPDATE meta SET store_id = ?, epoch = ?';

/** Together they change nothing, but have a page written: an update to the same value has not. No resource has this prefix. */
export const INSERT_NOTHING = "INSERT INTO resource_count (prefix, live) VALUES (x'', 0)";
export const DELETE_NOTHING = "DELETE FROM resource_count WHERE prefix = x''";

export const INSERT_LOG =
  'INSERT INTO log (id, key, create_revision, version, lease, tombstone, prev_id, value_from, value_length, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)';
export const INSERT_HEAD = 'INSERT INTO head (id, lease, record_bytes, bare_bytes, key) VALUES (?, ?, ?, ?, ?)';
export const UPDATE_HEAD = 'UPDATE head SET id = ?, lease = ?, record_bytes = ?, bare_bytes = ? WHERE key = ?';
export const DELETE_HEAD = 'DELETE FROM head WHERE key = ?';
export const ADD_COUNT =
  'INSERT INTO resource_count (prefix, live) VALUES (?, ?) ON CONFLICT (prefix) DO UPDATE SET live = live + excluded.live';
export const SELECT_COUNT = 'SELECT live FROM resource_count WHERE prefix = ?';

/** What a record without its value is made from. */
const KEY = 'l.key, l.id, l.create_revision, l.version, l.lease';

const varintBytes = (number: string): string =>
  `CASE WHEN ${number} < 128 THEN 1 WHEN ${number} < 16384 THEN 2 WHEN ${number} < 2097152 THEN 3 ELSE 4 END`;
const fieldBytes = (length: string): string => `(${length}) + 1 + ${varintBytes(`(${length})`)}`;
/** Bytes of a row of the log in an answer, its frame included: what `head` keeps of each live key. */
export const RECORD_BYTES = fieldBytes('length(l.record)');
/** The same without its value. */
export const BARE_BYTES = fieldBytes(`length(l.record) - CASE l.value_length WHEN 0 THEN 0 ELSE ${fieldBytes('l.value_length')} END`);

export const SELECT_HEAD = `SELECT l.id, l.record FROM head h JOIN log l ON l.id = h.id WHERE h.key = ?`;

/** The bytes 0 to 255, as a literal: the one place that a byte with the highest bit can be taken from, since `char` gives UTF-8. */
const BYTES = `x'${Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('hex')}'`;
const byteOf = (number: string): string => `substr(${BYTES}, (${number}) + 1, 1)`;
const lengthByte = (shift: number, isLast: boolean): string => {
  const bits = shift === 0 ? 'length(l.record)' : `(length(l.record) >> ${shift})`;
  return byteOf(isLast ? bits : `(${bits} & 127) + 128`);
};
/** What stands before a row of the log in an answer: the tag of field 2 of RangeResponse, and the record's length as a varint. */
const FRAME = `CASE
  WHEN length(l.record) < 128 THEN x'12' || ${lengthByte(0, true)}
  WHEN length(l.record) < 16384 THEN x'12' || ${lengthByte(0, false)} || ${lengthByte(7, true)}
  WHEN length(l.record) < 2097152 THEN x'12' || ${lengthByte(0, false)} || ${lengthByte(7, false)} || ${lengthByte(14, true)}
  ELSE x'12' || ${lengthByte(0, false)} || ${lengthByte(7, false)} || ${lengthByte(14, false)} || ${lengthByte(21, true)} END`;

/**
 * Rows of the log as one block of an answer, in the order of `ids`: row by row a list takes three times as long. SQLite takes a blob for text
 * here as it is, in a database whose encoding is UTF-8.
 */
const blockOf = (ids: string): string =>
  `SELECT CAST(group_concat(${FRAME} || l.record, '') AS BLOB), max(h.place) FROM (${ids}) h CROSS JOIN log l ON l.id = h.id`;

/** Statements of a range read. Parameters: @start, @end unless unbounded, @limit, and for an old revision @before, the first id behind it. */
export interface RangeStatements {
  /** In one row: all records, framed, and the last key; nulls where there is none. */
  readonly block: string;
  /** Key, id, create revision, version, lease. */
  readonly keys: string;
  /** In one row: how many, their bytes in an answer, their bytes without values, the last key. */
  readonly size: string;
  readonly count: string;
}

/** With the parameter alone, on which its plan might depend, SQLite compiles a statement anew at each call: 10 to 50 microseconds. */
const LIMIT = 'LIMIT @limit + 0';

const sizeOf = (page: string): string => `SELECT count(*), sum(record_bytes), sum(bare_bytes), max(place) FROM (${page})`;

function latest(end: string): RangeStatements {
  const from = `FROM head h JOIN log l ON l.id = h.id WHERE h.key >= @start ${end.replace('key', 'h.key')} ORDER BY h.key ${LIMIT}`;
  return {
    block: blockOf(`SELECT key AS place, id FROM head WHERE key >= @start ${end} ORDER BY key ${LIMIT}`),
    keys: `SELECT ${KEY} ${from}`,
    size: sizeOf(`SELECT key AS place, record_bytes, bare_bytes FROM head WHERE key >= @start ${end} ORDER BY key ${LIMIT}`),
    count: `SELECT count(*) FROM head WHERE key >= @start ${end}`,
  };
}

/**
 * What the latest rows of the keys were below an id: a key's head, where it is older than that; else what the first later row of the key replaced, of
 * which there is one at most. A key that was created later has neither. Both parts come in the order of keys and are merged, so that a page stops at
 * its limit; that a row replaces another is all that the index holds, so that a creation costs nothing there.
 */
function at(end: string): RangeStatements {
  const heads = `head h WHERE h.key >= @start ${end.replace('key', 'h.key')} AND h.id < @before`;
  const replaced = `log r INDEXED BY log_replacement
    WHERE r.prev_id > 0 AND r.key >= @start ${end.replace('key', 'r.key')} AND r.id >= @before AND r.prev_id < @before`;
  const ids = `SELECT h.key AS place, h.id FROM ${heads} UNION ALL SELECT r.key, r.prev_id FROM ${replaced} ORDER BY place ${LIMIT}`;
  return {
    block: blockOf(ids),
    keys: `SELECT ${KEY} FROM (${ids}) h CROSS JOIN log l ON l.id = h.id`,
    size: sizeOf(`SELECT h.key AS place, h.record_bytes, h.bare_bytes FROM ${heads}
      UNION ALL SELECT r.key, ${RECORD_BYTES}, ${BARE_BYTES} FROM (SELECT r.key, r.prev_id FROM ${replaced}) r JOIN log l ON l.id = r.prev_id
      ORDER BY place ${LIMIT}`),
    count: `SELECT (SELECT count(*) FROM ${heads}) + (SELECT count(*) FROM ${replaced})`,
  };
}

const END = 'AND key < @end';

export const LATEST_RANGE = { bounded: latest(END), unbounded: latest('') };
export const RANGE_AT = { bounded: at(END), unbounded: at('') };

/** The log in order of ids. Parameters: @after, @through, @start, @end. */
export const SELECT_CHANGES = `SELECT l.id, l.tombstone, l.record, p.record
  FROM log l LEFT JOIN log p ON p.id = l.prev_id
  WHERE l.id > @after AND l.id <= @through AND l.key >= @start AND (@end IS NULL OR l.key < @end) ORDER BY l.id`;

export const SELECT_KEYS_OF_LEASE = 'SELECT key FROM head WHERE lease = ? ORDER BY key LIMIT ?';
export const SELECT_LEASES_IN_USE = 'SELECT DISTINCT lease FROM head WHERE lease <> 0';

/** The last id of the next compaction step. Parameters: after, before, rows to skip. */
export const SELECT_STEP_END = 'SELECT id FROM log WHERE id > ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?';
/** Rows that a row of the step replaced. */
export const DELETE_REPLACED = 'DELETE FROM log WHERE id IN (SELECT prev_id FROM log WHERE id > ? AND id <= ? AND prev_id > 0)';
export const DELETE_TOMBSTONES = 'DELETE FROM log WHERE id > ? AND id <= ? AND tombstone = 1';
export const SET_COMPACTED = 'UPDATE meta SET compacted_id = ?';

export const SELECT_CONTROL = 'SELECT store_id, cluster_id, reserved_revision, compact_revision, marks FROM control';
export const SELECT_WRITER = 'SELECT c.holder, c.address, c.lease_ms, m.epoch, c.renewals, c.released FROM control c, meta m';
export const INSERT_CONTROL =
  'INSERT INTO control (only_row, store_id, cluster_id, reserved_revision, compact_revision) VALUES (1, ?, ?, 1, 0)';
export const BEGIN_EPOCH = 'UPDATE meta SET epoch = epoch + 1';
export const SET_WRITER = 'UPDATE control SET holder = ?, address = ?, lease_ms = ?, renewals = 0, released = 0';
export const RENEW_WRITER = 'UPDATE control SET renewals = renewals + 1, marks = ?';
export const RELEASE_WRITER = 'UPDATE control SET released = 1';
export const SET_RESERVED = 'UPDATE control SET reserved_revision = ?';
export const SET_COMPACT_REVISION = 'UPDATE control SET compact_revision = ?';
export const SET_APPLIED_TOPOLOGY = 'UPDATE control SET applied_topology = ?';
export const SELECT_APPLIED_TOPOLOGY = 'SELECT applied_topology FROM control';
export const SELECT_LEASES = 'SELECT id, ttl, expires_at, renewed FROM lease';
export const SAVE_LEASE =
  'INSERT INTO lease (id, ttl, expires_at, renewed) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, renewed = excluded.renewed';
export const REMOVE_LEASE = 'DELETE FROM lease WHERE id = ?';
