import {
  type Backend,
  type CommitBatch,
  contains,
  type KeyRange,
  type KeyValue,
  type Revision,
  rowId,
  type RowId,
  type RowWrite,
  encodeKeyValue,
} from '@harikube/keyspace';

export type Write =
  | { readonly put: string | Buffer; readonly value?: string | Buffer; readonly lease?: bigint }
  | { readonly delete: string | Buffer };

interface Row {
  readonly id: RowId;
  readonly kv: KeyValue;
}

export interface PreparedBatch {
  readonly batch: CommitBatch;
  readonly states: readonly { readonly revision: Revision; readonly live: ReadonlyMap<string, Row> }[];
}

const NO_BYTES = Buffer.alloc(0);

/** Keys and values as tests spell them. */
export function bytesOf(text: string | Buffer): Buffer {
  return typeof text === 'string' ? Buffer.from(text) : text;
}

/**
 * Stands in for the keyspace in front of one backend: gives writes their revisions, versions and predecessors, and keeps
 * every state that it has written, to be compared with what the backend tells.
 */
export class BatchWriter {
  /** Live keys after each revision, oldest first. */
  readonly #states: { readonly revision: Revision; readonly live: ReadonlyMap<string, Row> }[] = [];
  #last: Revision;
  /** The last revision that the database holds. */
  #held: Revision = 0n;

  constructor(
    private backend: Backend,
    start: Revision = 1n,
  ) {
    this.#last = start;
    this.#states.push({ revision: start, live: new Map() });
  }

  /** The last revision that was handed out, whether or not its commit took place. */
  get lastRevision(): Revision {
    return this.#last;
  }

  /** The last revision whose commit took place. */
  get lastCommitted(): Revision {
    return this.#newest.revision;
  }

  /** Goes on writing through another backend on the same database. */
  moveTo(backend: Backend): void {
    this.backend = backend;
  }

  /** Commits txns in one batch, each with a revision of its own; the last of these revisions. */
  async commit(...txns: readonly (readonly Write[])[]): Promise<Revision> {
    const prepared = this.prepare(...txns);
    await this.backend.commit(prepared.batch);
    this.tookPlace(prepared);
    return this.#last;
  }

  /** A batch that was prepared, and committed by somebody else. */
  tookPlace({ batch, states }: PreparedBatch): void {
    this.#held = batch.lastRevision;
    this.#states.push(...states);
  }

  async put(key: string | Buffer, value: string | Buffer = NO_BYTES, lease = 0n): Promise<Revision> {
    return this.commit([{ put: key, value, lease }]);
  }

  async delete(key: string | Buffer): Promise<Revision> {
    return this.commit([{ delete: key }]);
  }

  /** A batch whose revisions are used up, and the states that it leads to. */
  prepare(...txns: readonly (readonly Write[])[]): PreparedBatch {
    const firstRevision = this.#last + 1n;
    const rows: RowWrite[] = [];
    const states: { revision: Revision; live: ReadonlyMap<string, Row> }[] = [];
    let live = this.#newest.live;
    for (const writes of txns) {
      const revision = ++this.#last;
      const next = new Map(live);
      writes.forEach((write, position) => rows.push(rowOf(write, rowId(revision, position), revision, next)));
      states.push({ revision, live: next });
      live = next;
    }
    return { batch: { rows, firstRevision, lastRevision: this.#last, previousRevision: this.#held }, states };
  }

  /** Leaves out numbers, as other backends use them. */
  skip(count: number): void {
    this.#last += BigInt(count);
  }

  /** What lives at a revision (0: the newest), in bytewise order. */
  live(range: KeyRange, revision: Revision = 0n): KeyValue[] {
    const state = revision === 0n ? this.#newest : this.#states.findLast((candidate) => candidate.revision <= revision);
    const rows = [...(state?.live.values() ?? [])].map((row) => row.kv);
    return rows.filter((kv) => contains(range, kv.key)).sort((a, b) => Buffer.compare(a.key, b.key));
  }

  /** Every revision at which something was committed. */
  get revisions(): Revision[] {
    return this.#states.map((state) => state.revision);
  }

  get #newest(): { readonly revision: Revision; readonly live: ReadonlyMap<string, Row> } {
    return this.#states.at(-1) as { revision: Revision; live: ReadonlyMap<string, Row> };
  }
}

function rowOf(write: Write, id: RowId, revision: Revision, live: Map<string, Row>): RowWrite {
  const key = bytesOf('put' in write ? write.put : write.delete);
  const name = key.toString('latin1');
  const replaced = live.get(name);
  const prevId = replaced?.id ?? 0n;
  if (!('put' in write)) {
    live.delete(name);
    const tombstone = { key, value: NO_BYTES, createRevision: 0n, version: 0n, lease: 0n };
    return { ...tombstone, id, record: encodeKeyValue({ ...tombstone, modRevision: revision }), tombstone: true, prevId };
  }
  const kv = {
    key,
    value: bytesOf(write.value ?? NO_BYTES),
    createRevision: replaced?.kv.createRevision ?? revision,
    modRevision: revision,
    version: (replaced?.kv.version ?? 0n) + 1n,
    lease: write.lease ?? 0n,
  };
  live.set(name, { id, kv });
  const record = encodeKeyValue(kv);
  return {
    id,
    key,
    record,
    value: kv.value,
    createRevision: kv.createRevision,
    version: kv.version,
    lease: kv.lease,
    tombstone: false,
    prevId,
  };
}
