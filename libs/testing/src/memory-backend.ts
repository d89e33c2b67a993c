import {
  type Backend,
  type BackendState,
  type Change,
  type ChangesAnswer,
  type ChangesQuery,
  CommitFailedError,
  type CommitBatch,
  type ControlState,
  type ControlStore,
  contains,
  encodeKeyValue,
  FencedError,
  frameRecord,
  type Head,
  type KeyRange,
  type KeyValueBytes,
  type LeaseRow,
  type LoadAnswer,
  type RangeAnswer,
  type RangeQuery,
  type Revision,
  revisionOf,
  RolledBackError,
  type RowWrite,
  type WriterClaim,
  type WriterIdentity,
  type WriterRecord,
  BlockStream,
} from '@harikube/keyspace';

/** Bytes of a block of a range's answer; blocks after the first come through `rest`. */
const BLOCK_BYTES = 64 * 1024;

const NO_BYTES = Buffer.alloc(0);

interface Control {
  readonly clusterId: bigint;
  readonly storeId: string;
  reservedRevision: Revision;
  compactRevision: Revision;
  readonly leases: Map<bigint, LeaseRow>;
  writer: Omit<WriterRecord, 'epoch'>;
  marks: ReadonlyMap<string, Revision>;
}

type ControlMethod = 'begin' | 'claim' | 'reserve' | 'setCompactRevision' | 'saveLease' | 'removeLease' | 'writer' | 'renew' | 'release';

/** What a closed `MemoryBackend` leaves behind, and the next one on it finds. */
export class MemoryDatabase {
  readonly identity: string = crypto.randomUUID();
  /** Every row that was committed and not compacted away, in the order of ids. */
  log: RowWrite[] = [];
  /** Whom the database belongs to; null before the first claim. */
  storeId: string | null = null;
  /** Number of the newest writer. */
  epoch = 0n;
  lastRevision: Revision = 0n;
  control: Control | null = null;

  /** What a copy of its files would be at this moment. */
  copy(): MemoryDatabase {
    const copy = Object.assign(new MemoryDatabase(), this);
    copy.log = [...this.log];
    copy.control = this.control === null ? null : { ...this.control, leases: new Map(this.control.leases) };
    return copy;
  }

  /** The database becomes what the copy is, under whoever has it open. */
  restore(copy: MemoryDatabase): void {
    Object.assign(this, copy.copy());
  }
}

/**
 * Where a test reaches into a backend. A hook that throws makes the call reject with what it threw; one that returns a
 * promise delays the call.
 */
export interface MemoryHooks {
  /** False: commits are given to it one at a time. */
  ordersCommits?: boolean;
  /** A commit is given to it, maybe behind another. */
  onCommit?: (batch: CommitBatch) => void;
  /** Before anything is written: throwing means that the commit did not take place. */
  beforeCommit?: (batch: CommitBatch) => void | Promise<void>;
  /** The batch is written and visible, but nobody was told: throwing means that it took place all the same. */
  afterCommit?: (batch: CommitBatch) => void | Promise<void>;
  /** Before the snapshot of a read is taken. */
  beforeRead?: (method: 'load' | 'range' | 'changes' | 'keysOfLease' | 'leasesInUse') => void | Promise<void>;
  /** The snapshot is taken, but its answer was not given yet. */
  afterRead?: (method: 'load' | 'range' | 'changes') => void | Promise<void>;
  /** Before each block of a large answer but the first. */
  beforeBlock?: () => void | Promise<void>;
  beforeResolve?: () => void | Promise<void>;
  /** Before a call of the control store or a claim. */
  beforeControl?: (method: ControlMethod) => void | Promise<void>;
  beforeCompact?: (revision: Revision) => void | Promise<void>;
  misfit?: (key: Buffer, value: Buffer) => string | null;
}

/**
 * The reference model of a backend: the whole log in an array, every question answered by going through it. It is slow
 * and meant to be obviously right, so that others can be compared with it.
 */
export class MemoryBackend implements Backend, ControlStore {
  /** Answers whose `rest` was neither read to its end nor returned. */
  openSnapshots = 0;
  readonly isExclusive = false;
  #epoch = 0n;
  #isClosed = false;
  #commits = 0;
  #lastCommit: Promise<void> = Promise.resolve();

  constructor(
    readonly name: string,
    private readonly database: MemoryDatabase,
    readonly hooks: MemoryHooks = {},
  ) {}

  get ordersCommits(): boolean {
    return this.hooks.ordersCommits ?? true;
  }

  misfit(key: Buffer, value: Buffer): string | null {
    return this.hooks.misfit?.(key, value) ?? null;
  }

  async claim({ storeId, epoch }: WriterClaim): Promise<BackendState> {
    await this.hooks.beforeControl?.('claim');
    const { database } = this;
    if (database.storeId !== null && database.storeId !== storeId) {
      throw new Error(`backend "${this.name}" belongs to the store ${database.storeId}, not to ${storeId}`);
    }
    if (epoch < database.epoch) throw new FencedError(this.name, epoch, database.epoch);
    this.#isClosed = false;
    database.storeId = storeId;
    database.epoch = epoch;
    this.#epoch = epoch;
    return { identity: database.identity, lastRevision: database.lastRevision };
  }

  async commit(batch: CommitBatch): Promise<void> {
    if (this.#commits > (this.ordersCommits ? 1 : 0)) throw new Error(`a commit was given while ${this.#commits} were under way`);
    this.hooks.onCommit?.(batch);
    this.#commits++;
    const committing = this.#lastCommit.then(async () => {
      await this.hooks.beforeCommit?.(batch);
      this.#write(batch);
      await this.hooks.afterCommit?.(batch);
    });
    this.#lastCommit = committing.catch(() => undefined);
    try {
      await committing;
    } finally {
      this.#commits--;
    }
  }

  async resolve(): Promise<Revision> {
    await this.hooks.beforeResolve?.();
    this.#checkWriter();
    return this.database.lastRevision;
  }

  async load(keys: readonly Buffer[]): Promise<LoadAnswer> {
    await this.#beforeRead('load');
    const newest = this.#newestOf(keys);
    const heads = keys.map((key): Head | null => {
      const row = newest.get(key.toString('latin1'));
      return row === undefined || row.tombstone ? null : { id: row.id, record: recordOf(row) };
    });
    const { lastRevision } = this.database;
    await this.hooks.afterRead?.('load');
    return { lastRevision, heads };
  }

  async range(query: RangeQuery): Promise<RangeAnswer> {
    await this.#beforeRead('range');
    const { lastRevision } = this.database;
    const found = this.#stateAt(query.range, query.revision);
    await this.hooks.afterRead?.('range');
    if (query.countOnly) return { lastRevision, count: found.length, more: false, records: 0, bytes: 0, blocks: [] };
    const page = query.limit > 0 ? found.slice(0, query.limit) : found;
    const more = page.length < found.length;
    const blocks = blocksOf(page.map((row) => frameRecord(recordOf(query.keysOnly ? { ...row, value: NO_BYTES } : row))));
    const answer = {
      lastRevision,
      count: more && !query.count ? null : found.length,
      more,
      records: page.length,
      bytes: blocks.reduce((sum, block) => sum + block.length, 0),
    };
    if (blocks.length <= 1) return { ...answer, blocks };
    return { ...answer, blocks: blocks.slice(0, 1), rest: this.#rest(blocks.slice(1)) };
  }

  async changes({ range, after, through, maxBytes }: ChangesQuery): Promise<ChangesAnswer> {
    await this.#beforeRead('changes');
    const { lastRevision } = this.database;
    const changes: Change[] = [];
    let bytes = 0;
    let reached = through;
    for (const row of this.database.log) {
      const revision = revisionOf(row.id);
      if (revision <= after || revision > through || !contains(range, row.key)) continue;
      const last = changes.at(-1);
      if (bytes >= maxBytes && last !== undefined && revisionOf(last.id) !== revision) {
        reached = revisionOf(last.id);
        break;
      }
      const change = this.#changeOf(row);
      changes.push(change);
      bytes += change.key.length + change.record.length + (change.prevRecord?.length ?? 0);
    }
    await this.hooks.afterRead?.('changes');
    return { lastRevision, changes, through: reached };
  }

  async keysOfLease(lease: bigint, limit: number): Promise<readonly Buffer[]> {
    await this.#beforeRead('keysOfLease');
    return this.#stateAt(EVERYTHING, 0n)
      .filter((row) => row.lease === lease)
      .slice(0, limit)
      .map((row) => row.key);
  }

  async leasesInUse(): Promise<readonly bigint[]> {
    await this.#beforeRead('leasesInUse');
    const leases = new Set(this.#stateAt(EVERYTHING, 0n).map((row) => row.lease));
    leases.delete(0n);
    return [...leases];
  }

  /** Keeps what is live at `revision`, everything that was written from it on, and what that replaced. */
  async compact(revision: Revision, signal: AbortSignal): Promise<void> {
    await this.hooks.beforeCompact?.(revision);
    signal.throwIfAborted();
    this.#checkWriter();
    const replacedAt = new Map<bigint, Revision>();
    for (const row of this.database.log) if (row.prevId !== 0n) replacedAt.set(row.prevId, revisionOf(row.id));
    this.database.log = this.database.log.filter((row) => {
      const end = row.tombstone ? revisionOf(row.id) : replacedAt.get(row.id);
      return end === undefined || end >= revision;
    });
  }

  async size(): Promise<{ bytes: number; inUse: number }> {
    this.#checkOpen();
    const bytes = this.database.log.reduce((sum, row) => sum + 64 + row.key.length + row.value.length, 64);
    return { bytes, inUse: bytes };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  async writer(): Promise<WriterRecord | null> {
    await this.hooks.beforeControl?.('writer');
    this.#checkOpen();
    return this.#record();
  }

  async begin(self: WriterIdentity, seen: WriterRecord | null): Promise<ControlState | null> {
    await this.hooks.beforeControl?.('begin');
    this.#checkOpen();
    const { database } = this;
    const record = this.#record();
    if (record?.epoch !== seen?.epoch || record?.renewals !== seen?.renewals || record?.isReleased !== seen?.isReleased) return null;
    const writer = { ...self, renewals: 0n, isReleased: false };
    database.control ??= {
      clusterId: crypto.getRandomValues(new BigUint64Array(1))[0] || 1n,
      storeId: crypto.randomUUID(),
      reservedRevision: 1n,
      compactRevision: 0n,
      leases: new Map(),
      writer,
      marks: new Map(),
    };
    database.control.writer = writer;
    database.epoch++;
    this.#epoch = database.epoch;
    const { clusterId, storeId, reservedRevision, compactRevision, leases, marks } = database.control;
    return { clusterId, storeId, reservedRevision, compactRevision, epoch: database.epoch, leases: [...leases.values()], marks };
  }

  async renew(marks: ReadonlyMap<string, Revision>): Promise<void> {
    const control = await this.#control('renew');
    control.writer = { ...control.writer, renewals: control.writer.renewals + 1n };
    control.marks = new Map(marks);
  }

  async release(): Promise<void> {
    const control = await this.#control('release');
    control.writer = { ...control.writer, isReleased: true };
  }

  #record(): WriterRecord | null {
    const { control, epoch } = this.database;
    return control === null ? null : { ...control.writer, epoch };
  }

  async reserve(revision: Revision): Promise<void> {
    (await this.#control('reserve')).reservedRevision = revision;
  }

  async setCompactRevision(revision: Revision): Promise<void> {
    (await this.#control('setCompactRevision')).compactRevision = revision;
  }

  async saveLease(lease: LeaseRow): Promise<void> {
    (await this.#control('saveLease')).leases.set(lease.id, { ...lease });
  }

  async removeLease(id: bigint): Promise<void> {
    (await this.#control('removeLease')).leases.delete(id);
  }

  async #control(method: ControlMethod): Promise<Control> {
    await this.hooks.beforeControl?.(method);
    this.#checkWriter();
    const { control } = this.database;
    if (control === null) throw new Error(`backend "${this.name}" was not begun`);
    return control;
  }

  async #beforeRead(method: 'load' | 'range' | 'changes' | 'keysOfLease' | 'leasesInUse'): Promise<void> {
    await this.hooks.beforeRead?.(method);
    this.#checkOpen();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error(`backend "${this.name}" is closed`);
  }

  #checkWriter(): void {
    this.#checkOpen();
    if (this.#epoch === this.database.epoch) return;
    throw new FencedError(this.name, this.#epoch, this.database.epoch);
  }

  #write(batch: CommitBatch): void {
    this.#checkWriter();
    const { database } = this;
    if (batch.previousRevision !== database.lastRevision)
      throw new RolledBackError(this.name, batch.previousRevision, database.lastRevision);
    let last = database.log.at(-1)?.id ?? 0n;
    for (const row of batch.rows) {
      const revision = revisionOf(row.id);
      if (row.id <= last) throw new CommitFailedError(`row ${row.id} is not above ${last}`);
      if (revision < batch.firstRevision || revision > batch.lastRevision)
        throw new CommitFailedError(`row ${row.id} is outside of its batch`);
      last = row.id;
    }
    const live = new Set(this.#stateAt(EVERYTHING, 0n).map((row) => row.key.toString('latin1')));
    for (const row of batch.rows) {
      const name = row.key.toString('latin1');
      if (row.prevId === 0n && live.has(name)) throw new CommitFailedError(`key ${name} is there`, true);
      if (row.tombstone) live.delete(name);
      else live.add(name);
    }
    // Copies, as a database makes them: what the caller does to its buffers afterwards changes nothing here.
    for (const row of batch.rows) database.log.push({ ...row, key: Buffer.from(row.key), value: Buffer.from(row.value) });
    database.lastRevision = batch.lastRevision;
  }

  #newestOf(keys: readonly Buffer[]): ReadonlyMap<string, RowWrite | undefined> {
    const newest = new Map<string, RowWrite | undefined>(keys.map((key) => [key.toString('latin1'), undefined]));
    for (const row of this.database.log) {
      const name = row.key.toString('latin1');
      if (newest.has(name)) newest.set(name, row);
    }
    return newest;
  }

  /** Live rows of a range at a revision (0: latest), in bytewise order of their keys. */
  #stateAt(range: KeyRange, revision: Revision): RowWrite[] {
    const newest = new Map<string, RowWrite>();
    for (const row of this.database.log) {
      if (revision > 0n && revisionOf(row.id) > revision) break;
      if (contains(range, row.key)) newest.set(row.key.toString('latin1'), row);
    }
    return [...newest.values()].filter((row) => !row.tombstone).sort((a, b) => Buffer.compare(a.key, b.key));
  }

  #changeOf(row: RowWrite): Change {
    const replaced = row.prevId === 0n ? undefined : this.database.log.find((candidate) => candidate.id === row.prevId);
    return {
      id: row.id,
      key: row.key,
      isDelete: row.tombstone,
      record: recordOf(row),
      prevRecord: replaced === undefined ? null : recordOf(replaced),
    };
  }

  #rest(blocks: readonly Buffer[]): BlockStream {
    let next = 0;
    this.openSnapshots++;
    const read = async (): Promise<Buffer | null> => {
      await this.hooks.beforeBlock?.();
      await new Promise((resolve) => setImmediate(resolve)); // so that writes get in between
      return blocks[next++] ?? null;
    };
    return new BlockStream(read, async () => void this.openSnapshots--);
  }
}

const EVERYTHING: KeyRange = { start: NO_BYTES, end: null, single: false };

function recordOf(row: RowWrite): KeyValueBytes {
  const { key, createRevision, version, value, lease } = row;
  return encodeKeyValue({ key, createRevision, modRevision: revisionOf(row.id), version, value, lease });
}

function blocksOf(framed: readonly Buffer[]): Buffer[] {
  const blocks: Buffer[] = [];
  let pending: Buffer[] = [];
  let bytes = 0;
  for (const record of framed) {
    pending.push(record);
    bytes += record.length;
    if (bytes < BLOCK_BYTES) continue;
    blocks.push(Buffer.concat(pending));
    pending = [];
    bytes = 0;
  }
  if (pending.length > 0) blocks.push(Buffer.concat(pending));
  return blocks;
}
