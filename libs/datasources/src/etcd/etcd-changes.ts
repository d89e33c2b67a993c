import {
  type Change,
  type ChangesAnswer,
  type ChangesQuery,
  contains,
  encodeKeyValue,
  type KeyValue,
  type KeyValueBytes,
  type Revision,
  revisionOf,
  rowId,
} from '@harikube/keyspace';
import type { EtcdClient } from './etcd-client.js';
import type { EtcdGuard, Pin } from './etcd-guard.js';
import type { RangeCall } from './etcd-messages.js';
import { type Entry, EtcdSnapshot, recordOf } from './etcd-snapshot.js';
import { decodeKeyMeta, decodePart, metaKey, partKey, type PartRow, PARTS_END } from './own-keys.js';

/** Parts of the log that are read at once. */
const PAGE_PARTS = 64;
/** Bytes of values that are read at once, where it is known how large they are. */
const PIECE_BYTES = 1024 * 1024;

interface LoggedRow extends PartRow {
  /** Local revision of its part. */
  readonly local: bigint;
}

/** What stood there before the log, in the order of ids. */
interface Standing {
  readonly floor: bigint;
  readonly start: Buffer;
  readonly end: Buffer | null;
  readonly entries: readonly Entry[];
}

/**
 * The changes of an etcd backend: those of its log, whose values are in etcd's history, and before them the keys that were
 * there when the log begins, each as its last put.
 */
export class EtcdChanges {
  /** Of a walk that goes through what stood there in many steps; dropped at its end. */
  #standing: Standing | null = null;

  constructor(
    private readonly client: EtcdClient,
    private readonly guard: EtcdGuard,
    private readonly maxTxnOps: () => number,
  ) {}

  async read(query: ChangesQuery, pin: Pin): Promise<ChangesAnswer> {
    const collected = new Collected(query);
    const { floor } = this.guard.meta;
    if (query.after >= floor.lastRevision || (await this.#addStanding(query, floor.local, collected)))
      await this.#addLogged(query, pin, collected);
    return { lastRevision: pin.lastRevision, changes: collected.changes, through: collected.through };
  }

  /** What stood there is another matter since a compaction. */
  forget(): void {
    this.#standing = null;
  }

  /** False: the answer is full. */
  async #addStanding(query: ChangesQuery, floor: bigint, collected: Collected): Promise<boolean> {
    const { range, after, through } = query;
    const snapshot = this.#snapshot(floor);
    const standing = await this.#standingAt(query, snapshot);
    const wanted = standing.entries.filter(({ id }) => revisionOf(id) > after && revisionOf(id) <= through);
    for (let at = 0; at < wanted.length;) {
      let bytes = 0;
      let end = at;
      for (; end < wanted.length && (end === at || (bytes < PIECE_BYTES && end - at < this.maxTxnOps())); end++) {
        bytes += (wanted[end] as Entry).valueLength;
      }
      const piece = wanted.slice(at, end);
      const values = await this.#read(piece.map(({ key }) => ({ start: key, end: null, revision: floor })));
      for (const [i, entry] of piece.entries()) {
        const kv = values[i];
        if (kv === undefined) throw this.guard.foreign(`the key ${entry.key.toString()} is gone, its metadata is there`);
        const { id, key } = entry;
        if (!collected.add({ id, key, isDelete: false, record: recordOf(entry, kv.value), prevRecord: null })) return false;
      }
      at = end;
    }
    if (this.#standing?.start.equals(range.start) === true) this.#standing = null;
    return true;
  }

  async #standingAt({ range }: ChangesQuery, snapshot: EtcdSnapshot): Promise<Standing> {
    const { start, end } = range;
    const known = this.#standing;
    const isSame = known?.floor === snapshot.local && known.start.equals(start);
    if (known !== null && isSame && (known.end === null ? end === null : end !== null && known.end.equals(end))) return known;
    const entries: Entry[] = [];
    for (let from: Buffer | null = start; from !== null;) {
      const page = await snapshot.page(from, end, Number.MAX_SAFE_INTEGER);
      // A slice would keep the whole message.
      for (const entry of page.entries) entries.push({ ...entry, key: Buffer.from(entry.key) });
      from = page.next;
    }
    entries.sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#standing = { floor: snapshot.local, start: Buffer.from(start), end: end === null ? null : Buffer.from(end), entries };
    return this.#standing;
  }

  async #addLogged({ range, after, through }: ChangesQuery, pin: Pin, collected: Collected): Promise<void> {
    let waiting: LoggedRow[] = [];
    let ops = 0;
    for (let start: Buffer | null = partKey(rowId(after + 1n, 0)); start !== null;) {
      const page = await this.client.range({ start, end: PARTS_END, limit: PAGE_PARTS, revision: pin.local });
      for (const { value, modRevision } of page.kvs) {
        for (const row of decodePart(value)) {
          if (revisionOf(row.id) <= after || revisionOf(row.id) > through || !contains(range, row.key)) continue;
          const cost = readsOf(row);
          if (ops + cost > this.maxTxnOps()) {
            if (!(await this.#add(waiting, collected))) return;
            waiting = [];
            ops = 0;
          }
          waiting.push({ ...row, local: modRevision });
          ops += cost;
        }
      }
      const last = page.kvs.at(-1);
      const isOver = !page.more || last === undefined || Buffer.compare(last.key, partKey(rowId(through + 1n, 0))) >= 0;
      start = isOver ? null : Buffer.concat([last.key, Buffer.from([0])]);
    }
    await this.#add(waiting, collected);
  }

  /** False: the answer is full. */
  async #add(rows: readonly LoggedRow[], collected: Collected): Promise<boolean> {
    const found = await this.#read(rows.flatMap(callsOf));
    let at = 0;
    for (const row of rows) {
      const kvs = found.slice(at, at + readsOf(row));
      at += readsOf(row);
      if (!collected.add(this.#changeOf(row, kvs))) return false;
    }
    return true;
  }

  #changeOf(row: LoggedRow, kvs: readonly (KeyValue | undefined)[]): Change {
    const { id, isDelete, isReplacement, createRevision, version, lease } = row;
    const key = Buffer.from(row.key);
    const modRevision = revisionOf(id);
    const put = isDelete ? null : kvs[0];
    const [before, metaBefore] = kvs.slice(isDelete ? 0 : 1);
    if (put === undefined || (isReplacement && (before === undefined || metaBefore === undefined))) {
      throw this.guard.foreign(`the history of the key ${key.toString()} is not the one that was written`);
    }
    const prevRecord =
      before === undefined || metaBefore === undefined ? null : recordOf({ ...decodeKeyMeta(metaBefore.value), key }, before.value);
    return { id, key, isDelete, record: recordAt({ key, createRevision, modRevision, version, lease }, put?.value), prevRecord };
  }

  #snapshot(local: bigint): EtcdSnapshot {
    return new EtcdSnapshot(
      this.client,
      local,
      [],
      () => undefined,
      (what) => this.guard.foreign(what),
    );
  }

  async #read(calls: readonly RangeCall[]): Promise<readonly (KeyValue | undefined)[]> {
    if (calls.length === 0) return [];
    const { ranges } = await this.client.ranges(calls);
    return ranges.map(({ kvs }) => kvs[0]);
  }
}

/** Changes of an answer, until it is full at the end of a revision. */
class Collected {
  readonly changes: Change[] = [];
  through: Revision;
  #bytes = 0;

  constructor(private readonly query: ChangesQuery) {
    this.through = query.through;
  }

  /** False: the answer is full without this one. */
  add(change: Change): boolean {
    const last = this.changes.at(-1);
    if (this.#bytes >= this.query.maxBytes && last !== undefined && revisionOf(last.id) !== revisionOf(change.id)) {
      this.through = revisionOf(last.id);
      return false;
    }
    this.changes.push(change);
    this.#bytes += change.key.length + change.record.length + (change.prevRecord?.length ?? 0);
    return true;
  }
}

function recordAt(kv: Omit<KeyValue, 'value'>, value: Buffer | undefined): KeyValueBytes {
  return encodeKeyValue({ ...kv, value: value ?? NO_BYTES });
}

/** The value, unless it is a deletion; what stood there before, with its metadata, if anything did. */
function callsOf({ key, local, isDelete, isReplacement }: LoggedRow): RangeCall[] {
  const calls: RangeCall[] = isDelete ? [] : [{ start: key, end: null, revision: local }];
  if (isReplacement) calls.push(...[key, metaKey(key)].map((start) => ({ start, end: null, revision: local - 1n })));
  return calls;
}

function readsOf({ isDelete, isReplacement }: PartRow): number {
  return (isDelete ? 0 : 1) + (isReplacement ? 2 : 0);
}

const NO_BYTES = Buffer.alloc(0);
