import { type Head, type RowId, type RowWrite, revisionOf, rowId } from './backend.js';
import { CompactedError, KeyNotFoundError, LeaseNotFoundError } from './errors.js';
import type { StoreEvent } from './event-ring.js';
import { keyText, textKey } from './key-text.js';
import { contains } from './key-range.js';
import { decodeKeyValue, keyOf, keyValueSize, withoutValue, writeKeyValue } from './key-value.js';
import type {
  Compare,
  DeleteRangeRequest,
  KeyRange,
  KeyValueBytes,
  PutRequest,
  RangeRequest,
  Revision,
  TxnOpResult,
  TxnRangeResult,
  TxnRequest,
} from './model.js';
import { fetchFor, RangeSelector } from './range-selection.js';
import type { RecordArena } from './record-arena.js';

/** What a batch is judged against: settled heads. Every key and range that its txns name is at hand. */
export interface SettledHeads {
  head(keyText: string): Head | null;
  /** Settled live keys of a range; only asked for ranges that were loaded beforehand. */
  keysIn(range: KeyRange): Iterable<string>;
  /** What a range at an old revision was answered with, or why it could not be; loaded beforehand. */
  past(op: RangeRequest): TxnRangeResult | Error;
}

/** Which branch a txn takes, and which the txns of that branch take, in their order. */
interface TakenPath {
  readonly succeeded: boolean;
  readonly nested: readonly TakenPath[];
}

const NO_PATHS: readonly TakenPath[] = [];
const SUCCESS: TakenPath = { succeeded: true, nested: NO_PATHS };
const FAILURE: TakenPath = { succeeded: false, nested: NO_PATHS };

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
  /** Writes of the txn under way so far, and its answers before the first of them. */
  #position = 0;
  readonly #leading: { isBefore?: boolean }[] = [];

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
    const path = this.#pathOf(txn);
    this.#checkBranch(txn, path);
    const revision = precedingRevision === null ? this.firstRevision : precedingRevision + 1n;
    this.#position = 0;
    this.#leading.length = 0;
    const responses: TxnOpResult[] = [];
    this.#execute(txn, path, revision, responses);
    const isWritten = this.#position > 0;
    if (isWritten) {
      this.#last = revision;
      for (const result of this.#leading) result.isBefore = true;
    }
    const { succeeded } = path;
    return { succeeded, responses, revision: isWritten ? revision : null, precedingRevision, isDerived: this.#isDerived };
  }

  /** All compares, those of nested txns too, are about what was there before the txn. */
  #pathOf(txn: TxnRequest): TakenPath {
    const succeeded = txn.compares.every((compare) => this.#holds(compare));
    let nested = NO_PATHS;
    for (const op of succeeded ? txn.success : txn.failure) if (op.type === 'txn') nested = [...nested, this.#pathOf(op)];
    if (nested.length > 0) return { succeeded, nested };
    return succeeded ? SUCCESS : FAILURE;
  }

  /** Everything that can be wrong with the operations that are to be done, before any of them takes effect. */
  #checkBranch(txn: TxnRequest, { succeeded, nested }: TakenPath): void {
    let next = 0;
    for (const op of succeeded ? txn.success : txn.failure) {
      if (op.type === 'put') this.#checkPut(op);
      else if (op.type === 'range') this.#checkRange(op);
      else if (op.type === 'txn') this.#checkBranch(op, nested[next++] as TakenPath);
    }
  }

  #execute(txn: TxnRequest, { succeeded, nested }: TakenPath, revision: Revision, responses: TxnOpResult[]): void {
    let next = 0;
    for (const op of succeeded ? txn.success : txn.failure) {
      switch (op.type) {
        case 'put':
          responses.push(this.#put(op, rowId(revision, this.#position++)));
          break;
        case 'delete': {
          const result = this.#delete(op, revision, this.#position);
          this.#position += result.deleted;
          if (this.#position === 0) this.#leading.push(result);
          responses.push(result);
          break;
        }
        case 'range': {
          const result = this.#range(op);
          if (this.#position === 0) this.#leading.push(result);
          responses.push(result);
          break;
        }
        case 'txn': {
          const path = nested[next++] as TakenPath;
          const inner: TxnOpResult[] = [];
          this.#execute(op, path, revision, inner);
          // Only the outermost txn tells its revision.
          responses.push({ type: 'txn', revision: 0n, succeeded: path.succeeded, responses: inner });
        }
      }
    }
  }

  /** The head of a key as the batch leaves it so far. */
  #head(text: string): Head | null {
    const written = this.heads.get(text);
    if (written === undefined) return this.settled.head(text);
    this.#isDerived = true;
    return written;
  }

  #holds(compare: Compare): boolean {
    if (compare.range.single) return this.#holdsFor(compare, this.#head(keyText(compare.range.start)));
    let isEmpty = true;
    for (const text of this.#textsIn(compare.range)) {
      const head = this.#head(text);
      if (head === null) continue;
      if (!this.#holdsFor(compare, head)) return false;
      isEmpty = false;
    }
    return !isEmpty || this.#holdsFor(compare, null);
  }

  #holdsFor(compare: Compare, head: Head | null): boolean {
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

  #checkPut(op: PutRequest): void {
    if ((op.ignoreValue || op.ignoreLease) && this.#head(keyText(op.key)) === null) throw new KeyNotFoundError();
    if (op.lease !== 0n && !this.hasLease(op.lease)) throw new LeaseNotFoundError();
  }

  #checkRange(op: RangeRequest): void {
    if (op.revision === 0n) return;
    const oldest = this.compactRevision === 0n ? -1n : this.compactRevision;
    if (op.revision < oldest) throw new CompactedError(this.compactRevision);
    if (op.revision < 0n) return;
    const past = this.settled.past(op);
    if (past instanceof Error) throw past;
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

  #range(op: RangeRequest): TxnRangeResult {
    if (op.revision > 0n) {
      const past = this.settled.past(op);
      if (past instanceof Error) throw past;
      return { ...past };
    }
    const { selection } = op;
    const selector = selection === undefined || op.countOnly ? null : new RangeSelector(op, selection);
    // What a selection without an order looks at; see `fetchFor`.
    const fetched = selection === undefined ? 0 : fetchFor(op, selection).limit;
    const kvs: KeyValueBytes[] = [];
    let count = 0;
    for (const text of this.#textsIn(op.range)) {
      const head = this.#head(text);
      if (head === null) continue;
      count++;
      if (op.countOnly) continue;
      if (selector !== null) {
        if (fetched === 0 || count <= fetched) selector.add(head.record);
      } else if (op.limit === 0 || kvs.length < op.limit) kvs.push(op.keysOnly ? withoutValue(head.record) : head.record);
    }
    if (selector !== null) return { type: 'range', count, ...selector.result() };
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
