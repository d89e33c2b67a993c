import { type Head, type RowId, type RowWrite, revisionOf, rowId } from './backend.js';
import { CompactedError, KeyNotFoundError, LeaseNotFoundError, UnsupportedError } from './errors.js';
import type { StoreEvent } from './event-ring.js';
import { keyText, textKey } from './key-text.js';
import { contains } from './key-range.js';
import { decodeKeyValue, keyOf, keyValueSize, writeKeyValue } from './key-value.js';
import type {
  Compare,
  DeleteRangeRequest,
  KeyRange,
  KeyValueBytes,
  PutRequest,
  RangeRequest,
  Revision,
  TxnOp,
  TxnOpResult,
  TxnRequest,
} from './model.js';
import type { RecordArena } from './record-arena.js';

/** What a batch is judged against: settled heads. Every key and range that its txns name is at hand. */
export interface SettledHeads {
  head(keyText: string): Head | null;
  /** Settled live keys of a range; only asked for ranges that were loaded beforehand. */
  keysIn(range: KeyRange): Iterable<string>;
}

export interface Judgement {
  readonly succeeded: boolean;
  readonly responses: readonly TxnOpResult[];
  /** The revision that the txn wrote at; null when it wrote nothing. */
  readonly revision: Revision | null;
  /** The last revision of the batch before this txn; null when no write of the batch went before. */
  readonly precedingRevision: Revision | null;
  /** It saw a write of its own batch: the answer must wait for the commit. */
  readonly isDerived: boolean;
}

const NO_BYTES = Buffer.alloc(0);

/**
 * Judges txns one after another against the settled heads and the writes of the batch so far, and collects the rows to
 * commit. A txn that throws leaves no trace. All of it is synchronous: between the first judgement and handing out the
 * revisions nothing else can take a number.
 */
export class TxnJudge {
  readonly rows: RowWrite[] = [];
  readonly events: StoreEvent[] = [];
  /** Heads as this batch leaves them. */
  readonly heads = new Map<string, Head | null>();
  #bytes = 0;
  #last: Revision | null = null;
  #isDerived = false;

  constructor(
    private readonly settled: SettledHeads,
    private readonly firstRevision: Revision,
    private readonly compactRevision: Revision,
    private readonly hasLease: (id: bigint) => boolean,
    private readonly arena: RecordArena,
  ) {}

  /** Bytes of keys and values to be written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The last revision of the batch so far; null when nothing was written. */
  get lastRevision(): Revision | null {
    return this.#last;
  }

  /** The txn judged last saw a write of its batch, even if judging it threw. */
  get isDerived(): boolean {
    return this.#isDerived;
  }

  judge(txn: TxnRequest): Judgement {
    this.#isDerived = false;
    const precedingRevision = this.#last;
    const succeeded = txn.compares.every((compare) => this.#holds(compare));
    const branch = succeeded ? txn.success : txn.failure;
    for (const op of branch) this.#check(op);
    const revision = precedingRevision === null ? this.firstRevision : precedingRevision + 1n;
    const responses: TxnOpResult[] = [];
    let position = 0;
    for (const op of branch) {
      switch (op.type) {
        case 'put':
          responses.push(this.#put(op, rowId(revision, position++)));
          break;
        case 'delete': {
          const result = this.#delete(op, revision, position);
          position += result.deleted;
          responses.push(result);
          break;
        }
        case 'range':
          responses.push(this.#range(op));
          break;
        case 'txn':
          throw new UnsupportedError('a txn inside a txn');
      }
    }
    if (position > 0) this.#last = revision;
    return { succeeded, responses, revision: position > 0 ? revision : null, precedingRevision, isDerived: this.#isDerived };
  }

  /** The head of a key as the batch leaves it so far. */
  #head(text: string): Head | null {
    const written = this.heads.get(text);
    if (written === undefined) return this.settled.head(text);
    this.#isDerived = true;
    return written;
  }

  #holds(compare: Compare): boolean {
    if (!compare.range.single) throw new UnsupportedError('range_end in a compare');
    const head = this.#head(keyText(compare.range.start));
    if (compare.target === 'mod') return relates(compare, head === null ? 0n : revisionOf(head.id));
    if (head === null) return compare.target !== 'value' && relates(compare, 0n);
    const kv = decodeKeyValue(head.record);
    switch (compare.target) {
      case 'version':
        return relates(compare, kv.version);
      case 'create':
        return relates(compare, kv.createRevision);
      case 'lease':
        return relates(compare, kv.lease);
      case 'value':
        return relatesOrder(compare, Buffer.compare(kv.value, compare.value));
    }
  }

  /** Everything that can be wrong with an operation, before any of its txn takes effect. */
  #check(op: TxnOp): void {
    if (op.type === 'put') {
      if (op.lease !== 0n && !this.hasLease(op.lease)) throw new LeaseNotFoundError();
      if ((op.ignoreValue || op.ignoreLease) && this.#head(keyText(op.key)) === null) throw new KeyNotFoundError();
    } else if (op.type === 'range' && op.revision > 0n) {
      if (op.revision < this.compactRevision) throw new CompactedError(this.compactRevision);
      throw new UnsupportedError('a revision in a range inside a txn');
    } else if (op.type === 'txn') {
      throw new UnsupportedError('a txn inside a txn');
    }
  }

  #put(op: PutRequest, id: RowId): TxnOpResult {
    const text = keyText(op.key);
    const head = this.#head(text);
    const old = head === null ? null : decodeKeyValue(head.record);
    const revision = revisionOf(id);
    const kv = {
      key: op.key,
      createRevision: old === null ? revision : old.createRevision,
      modRevision: revision,
      version: old === null ? 1n : old.version + 1n,
      value: op.ignoreValue && old !== null ? old.value : op.value,
      lease: op.ignoreLease && old !== null ? old.lease : op.lease,
    };
    const record = this.arena.allocate(keyValueSize(kv));
    writeKeyValue(record, 0, kv);
    this.#write(
      text,
      {
        id,
        key: op.key,
        record,
        value: kv.value,
        createRevision: kv.createRevision,
        version: kv.version,
        lease: kv.lease,
        tombstone: false,
        prevId: head === null ? 0n : head.id,
      },
      head,
    );
    return { type: 'put', prevKv: op.prevKv && head !== null ? head.record : null };
  }

  #delete(op: DeleteRangeRequest, revision: Revision, position: number): TxnOpResult & { type: 'delete' } {
    const prevKvs: KeyValueBytes[] = [];
    let deleted = 0;
    for (const text of this.#textsIn(op.range)) {
      const head = this.#head(text);
      if (head === null) continue;
      const id = rowId(revision, position + deleted++);
      // A slice of the record would keep that alive as long as the tombstone.
      const key = op.range.single ? op.range.start : Buffer.from(keyOf(head.record));
      const tombstone = { key, createRevision: 0n, modRevision: revision, version: 0n, value: NO_BYTES, lease: 0n };
      const record = this.arena.allocate(keyValueSize(tombstone));
      writeKeyValue(record, 0, tombstone);
      this.#write(
        text,
        { id, key, record, value: NO_BYTES, createRevision: 0n, version: 0n, lease: 0n, tombstone: true, prevId: head.id },
        head,
      );
      if (op.prevKv) prevKvs.push(head.record);
    }
    return { type: 'delete', deleted, prevKvs };
  }

  #range(op: RangeRequest): TxnOpResult {
    const kvs: KeyValueBytes[] = [];
    let count = 0;
    for (const text of this.#textsIn(op.range)) {
      const head = this.#head(text);
      if (head === null) continue;
      count++;
      if (op.countOnly || (op.limit > 0 && kvs.length >= op.limit)) continue;
      kvs.push(op.keysOnly ? withoutValue(head.record) : head.record);
    }
    return { type: 'range', count, more: !op.countOnly && kvs.length < count, kvs };
  }

  /** Candidate keys of a range in bytewise order; some may be absent. */
  #textsIn(range: KeyRange): Iterable<string> {
    if (range.single) return [keyText(range.start)];
    const texts = new Set(this.settled.keysIn(range));
    for (const text of this.heads.keys()) if (contains(range, textKey(text))) texts.add(text);
    return [...texts].sort((a, b) => (a < b ? -1 : 1));
  }

  #write(text: string, row: RowWrite, replaced: Head | null): void {
    const { record } = row;
    this.rows.push(row);
    this.#bytes += row.key.length + row.value.length;
    this.heads.set(text, row.tombstone ? null : { id: row.id, record });
    this.events.push({
      id: row.id,
      revision: revisionOf(row.id),
      keyText: text,
      isDelete: row.tombstone,
      record,
      prevRecord: replaced === null ? null : replaced.record,
    });
  }
}

function withoutValue(record: KeyValueBytes): KeyValueBytes {
  const kv = { ...decodeKeyValue(record), value: NO_BYTES };
  const bare = Buffer.allocUnsafe(keyValueSize(kv));
  writeKeyValue(bare, 0, kv);
  return bare;
}

function relates(compare: Compare, actual: bigint): boolean {
  return relatesOrder(compare, actual === compare.number ? 0 : actual > compare.number ? 1 : -1);
}

/** `order`: the stored one compared with the given one. */
function relatesOrder(compare: Compare, order: number): boolean {
  switch (compare.result) {
    case 'equal':
      return order === 0;
    case 'not-equal':
      return order !== 0;
    case 'greater':
      return order > 0;
    case 'less':
      return order < 0;
  }
}
