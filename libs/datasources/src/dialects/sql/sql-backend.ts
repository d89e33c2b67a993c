import { randomBytes, randomUUID } from 'node:crypto';
import {
  type BackendState,
  BlockStream,
  type Change,
  type ChangesAnswer,
  type ChangesQuery,
  type CommitBatch,
  CommitFailedError,
  CommitUnknownError,
  type ControlState,
  countedPrefix,
  FencedError,
  type Head,
  keyOf,
  type LeaseRow,
  type LoadAnswer,
  prefixOf,
  type RangeAnswer,
  type RangeQuery,
  type Revision,
  revisionOf,
  RolledBackError,
  rowId,
  type WriterClaim,
  type WriterIdentity,
  type WriterRecord,
  messageOf,
} from '@harikube/keyspace';
import type { Database, DatabaseSettings } from '../../database.js';
import { RefusedDatabaseError } from '../../database-errors.js';
import { planBatch } from './batch-plan.js';
import { ConnectionPool } from './connection-pool.js';
import { Connector } from './connector.js';
import { BLOCK_BYTES, blocksOf, idBehind, PageReader, withoutValue } from './page-reader.js';
import { SerialConnection } from './serial-connection.js';
import { Slots } from './slots.js';
import {
  type SqlCall,
  type SqlConnection,
  SqlError,
  type SqlRole,
  type SqlRow,
  type SqlStatement,
  type SqlTransaction,
  type SqlValue,
} from './sql-connection.js';
import type { SqlDialect } from './sql-dialect.js';

/** Bytes of an answer that are read at once; more than that is read while it is sent. */
const ANSWER_BYTES = 4 * 1024 * 1024;
/** Rows of the log that one page of changes goes through. */
const CHANGES_ROWS = 1000;
/** A page of changes holds at least this much, so that a watch which is far behind does not ask for every row alone. */
const CHANGES_BYTES = 64 * 1024;

/** Sessions that are there before the first reads come. */
const WARM_READERS = 2;

interface Meta {
  readonly identity: string;
  readonly storeId: string | null;
  readonly epoch: bigint;
  readonly lastRevision: Revision;
  readonly compactedId: bigint;
}

/** What is built anew when the settings change. */
interface Wiring {
  readonly dialect: SqlDialect;
  readonly settings: DatabaseSettings;
}

/**
 * A backend in a SQL server. One session commits, one renews the lease beside it, so that no long commit holds the lease up,
 * and a bounded number of them read.
 */
export abstract class SqlBackend implements Database {
  readonly name: string;
  readonly isExclusive = false;
  readonly ordersCommits = true;
  #wiring: Wiring;
  #connector: Connector;
  readonly #writer: SerialConnection;
  readonly #control: SerialConnection;
  readonly #readers: ConnectionPool;
  #isOpen = false;
  #isClosed = false;
  #opening: Promise<void> | null = null;
  #identity = '';
  #owner: string | null = null;
  #epoch = 0n;
  /** No revision of this database that was seen is above it. */
  #lastRevision: Revision = 0n;
  /** The session whose last commit may or may not have taken place. */
  #lostSession: string | null = null;
  /** Large answers that are being read, each with a session of its own: the others are for small ones. */
  readonly #snapshots: Slots;

  protected constructor(dialect: SqlDialect, settings: DatabaseSettings) {
    this.name = settings.name;
    this.#wiring = { dialect, settings };
    this.#connector = new Connector((role) => this.#connect(role));
    const patience = (): number => this.#wiring.settings.requestTimeoutMs;
    this.#writer = new SerialConnection(() => this.#connector.open('writer'), patience);
    this.#control = new SerialConnection(() => this.#connector.open('control'), patience);
    this.#readers = new ConnectionPool(() => this.#connector.open('reader'), settings.pool, settings.requestTimeoutMs);
    this.#snapshots = new Slots(() => Math.max(1, Math.floor(this.#readers.size / 2)), patience);
  }

  get location(): string {
    return this.#wiring.dialect.location;
  }

  get identity(): string {
    return this.#identity;
  }

  get owner(): string | null {
    return this.#owner;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Other ways to the same database. Sessions that are open are used for what is under way, and no longer. */
  protected rewire(dialect: SqlDialect, settings: DatabaseSettings): void {
    this.#wiring = { dialect, settings };
    this.#connector = new Connector((role) => this.#connect(role));
    this.#writer.renew();
    this.#control.renew();
    this.#readers.configure(settings.pool, settings.requestTimeoutMs);
  }

  open(): Promise<void> {
    if (this.#isOpen) return Promise.resolve();
    return (this.#opening ??= this.#open().finally(() => (this.#opening = null)));
  }

  async #open(): Promise<void> {
    if (this.#isClosed) throw new Error(`${this.location} is closed`);
    const { dialect, settings } = this.#wiring;
    const { identity, storeId, warnings } = await dialect.prepare();
    const { expectedIdentity } = settings;
    if (expectedIdentity !== null && identity !== expectedIdentity) {
      throw new RefusedDatabaseError(
        `${this.location} is not the database that backend "${this.name}" had: its identity is ${identity}, recorded is ${expectedIdentity}; ` +
          'lead the endpoint to the old database, or give the new one another name in the topology',
      );
    }
    this.#identity = identity;
    this.#owner = storeId;
    for (const warning of warnings) settings.onWarning?.(warning);
    this.#isOpen = true;
  }

  async writer(): Promise<WriterRecord | null> {
    const { selectWriter } = this.#statements();
    return this.#controlling(async (connection) => writerOf(await rowOf(connection, { statement: selectWriter, values: [] })));
  }

  begin(self: WriterIdentity, seen: WriterRecord | null): Promise<ControlState | null> {
    return this.#controlling((connection) => this.#lockedOut(connection, (transaction) => this.#begin(transaction, self, seen)));
  }

  async #begin(transaction: SqlTransaction, self: WriterIdentity, seen: WriterRecord | null): Promise<ControlState | null> {
    const statements = this.#statements();
    const run = (statement: SqlStatement, ...values: SqlValue[]): Promise<readonly SqlRow[]> => transaction.query({ statement, values });
    const meta = metaOf((await run(statements.lockMeta))[0]);
    const found = writerOf((await run(statements.lockWriter))[0]);
    if (found?.epoch !== seen?.epoch || found?.renewals !== seen?.renewals || found?.isReleased !== seen?.isReleased) return null;
    if (found === null) {
      if (meta.storeId !== null) {
        throw new RefusedDatabaseError(
          `${this.location} cannot be the default database: it is one of the other databases of the store ${meta.storeId}; ` +
            'name the right database in --endpoint',
        );
      }
      await run(statements.insertControl, randomUUID(), (randomBytes(8).readBigUInt64BE() >> 1n) | 1n);
    }
    const epoch = meta.epoch + 1n;
    await run(statements.beginEpoch);
    await run(statements.setWriter, self.holder, self.address, self.leaseMs, epoch);
    const [control] = await run(statements.selectControl);
    if (control === undefined) throw new Error('the control row is missing');
    const [storeId, clusterId, reservedRevision, compactRevision, marks] = control as readonly [string, bigint, bigint, bigint, string];
    const leases = (await run(statements.selectLeases)) as readonly (readonly [bigint, bigint, bigint, bigint])[];
    this.#epoch = epoch;
    this.#owner = storeId;
    return {
      storeId,
      clusterId: BigInt.asUintN(64, clusterId),
      reservedRevision,
      compactRevision,
      epoch,
      leases: leases.map(([id, ttl, expiresAt, renewed]) => ({ id, ttl, expiresAt: Number(expiresAt), renewed: renewed === 1n })),
      marks: marksOf(marks),
    };
  }

  async claim(claim: WriterClaim): Promise<BackendState> {
    if (!this.#isOpen) await this.open();
    const { lockMeta, claim: setOwner } = this.#statements();
    const meta = await this.#writing((connection) =>
      this.#lockedOut(connection, async (transaction) => {
        const found = metaOf((await transaction.query({ statement: lockMeta, values: [] }))[0]);
        this.#owner = found.storeId ?? claim.storeId;
        if (this.#owner !== claim.storeId) {
          throw new RefusedDatabaseError(
            `${this.location} belongs to the store ${this.#owner}, not to this one (${claim.storeId}); ` +
              'start with the default database that it belongs to, or name a database of its own',
          );
        }
        if (found.epoch > claim.epoch) throw new FencedError(this.name, claim.epoch, found.epoch);
        await transaction.query({ statement: setOwner, values: [claim.storeId, claim.epoch] });
        return found;
      }),
    );
    this.#epoch = claim.epoch;
    this.#lostSession = null;
    this.#lastRevision = meta.lastRevision;
    // Opened now, so that the first reads do not wait for sessions and their statements.
    for (let i = 0; i < WARM_READERS; i++) this.load([]).catch(() => undefined);
    return { identity: meta.identity, lastRevision: meta.lastRevision };
  }

  misfit(key: Buffer, value: Buffer): string | null {
    const { dialect } = this.#wiring;
    if (key.length > dialect.maxKeyBytes) {
      return `its key has ${key.length} bytes, and the indexes of ${this.location} take ${dialect.maxKeyBytes}`;
    }
    return dialect.misfit?.(key, value) ?? null;
  }

  async commit(batch: CommitBatch): Promise<void> {
    const { dialect } = this.#wiring;
    const { advanceRevision } = dialect.statements;
    const plan = planBatch(batch);
    for (const { key, value } of batch.rows) {
      const misfit = this.misfit(key, value);
      if (misfit !== null) throw new CommitFailedError(misfit);
    }
    const calls = [
      { statement: advanceRevision, values: [batch.lastRevision, this.#epoch, batch.previousRevision] },
      ...dialect.batch(plan),
    ];
    let session: string | null = null;
    let hasCommitted: boolean;
    try {
      hasCommitted = await this.#write(calls, (used) => (session = used));
    } catch (error) {
      if (!(error instanceof SqlError)) throw new CommitFailedError(messageOf(error));
      if (!error.isUnknown) throw new CommitFailedError(error.message, error.isTakenKey);
      this.#lostSession = session;
      throw new CommitUnknownError(error.message, { cause: error });
    }
    if (!hasCommitted) throw await this.#refusal(batch.previousRevision);
    this.#saw(batch.lastRevision);
  }

  async #write(calls: readonly SqlCall[], onSession: (session: string) => void): Promise<boolean> {
    if (this.#isOpen && this.#wiring.dialect.isWhole(calls)) {
      const hasCommitted = await this.#writer.follow((connection) => {
        onSession(connection.session);
        return connection.writeWhole(calls);
      });
      if (hasCommitted !== null) return hasCommitted;
    }
    return this.#writing((connection) => {
      onSession(connection.session);
      return connection.write(calls);
    });
  }

  /** Why a commit did not find `meta` as it has to be. */
  async #refusal(previousRevision: Revision): Promise<CommitFailedError> {
    try {
      const meta = await this.#writing((connection) => this.#meta(connection));
      if (meta.epoch !== this.#epoch) return new FencedError(this.name, this.#epoch, meta.epoch);
      return new RolledBackError(this.name, previousRevision, meta.lastRevision);
    } catch (error) {
      return new CommitFailedError(`the database does not stand where it did, and does not tell where: ${messageOf(error)}`);
    }
  }

  async resolve(): Promise<Revision> {
    const { lockMeta } = this.#statements();
    const meta = await this.#writing(async (connection) => {
      // What is still on its way to the lost session must not arrive behind the answer.
      if (this.#lostSession !== null && this.#lostSession !== connection.session) await connection.endSession(this.#lostSession);
      return connection.transaction(async (transaction) => metaOf((await transaction.query({ statement: lockMeta, values: [] }))[0]));
    });
    this.#lostSession = null;
    if (meta.epoch !== this.#epoch) throw new FencedError(this.name, this.#epoch, meta.epoch);
    return this.#saw(meta.lastRevision);
  }

  /** For a commit in the session that commits: it is free then, which those that read may not be. */
  async load(keys: readonly Buffer[], purpose: 'read' | 'commit' = 'read'): Promise<LoadAnswer> {
    const call = this.#wiring.dialect.load(keys);
    const read = async (connection: SqlConnection): Promise<readonly SqlRow[]> => (await connection.read([call]))[0] ?? [];
    const rows = (await (purpose === 'commit' ? this.#writing(read) : this.#reading(read))) as readonly (readonly [
      bigint,
      bigint | null,
      Buffer | null,
    ])[];
    const found = new Map<string, Head>();
    for (const [, id, record] of rows) {
      // Its own memory: a slice would keep everything alive that came with it.
      if (id !== null && record !== null) found.set(keyOf(record).toString('latin1'), { id, record: Buffer.from(record) });
    }
    const lastRevision = this.#saw(rows[0]?.[0] ?? 0n);
    return { lastRevision, heads: keys.map((key) => found.get(key.toString('latin1')) ?? null) };
  }

  async range(query: RangeQuery): Promise<RangeAnswer> {
    const { range, revision } = query;
    // Where nothing newer can be, the heads are the state; that it is so, the answer tells.
    const isLatest = revision === 0n || revision >= this.#lastRevision;
    if (range.single && isLatest && !query.countOnly) {
      const answer = await this.#single(query);
      if (answer !== null) return answer;
    }
    const answer = await this.#rangeInSnapshot(query, isLatest, false);
    if (answer !== 'crowded') return answer;
    // Whoever waits for others to be done holds no session meanwhile.
    await this.#snapshots.take(
      (most, patienceMs) =>
        `${most} large lists have been read from this database for ${patienceMs} ms; connectionPool.maxOpen allows more at a time`,
    );
    let isKept = false;
    try {
      const again = await this.#rangeInSnapshot(query, isLatest, true);
      if (again === 'crowded') throw new Error('a list that had its turn got none');
      isKept = again.rest !== undefined;
      return again;
    } finally {
      if (!isKept) this.#snapshots.give();
    }
  }

  /** `hasSlot`: it may be a large answer. */
  async #rangeInSnapshot(query: RangeQuery, isLatest: boolean, hasSlot: boolean): Promise<RangeAnswer | 'crowded'> {
    const connection = await this.#acquire();
    let isKept = false;
    try {
      await connection.beginSnapshot();
      const answer = await this.#range(connection, query, isLatest, hasSlot);
      isKept = answer !== 'crowded' && answer.rest !== undefined;
      return answer;
    } finally {
      if (!isKept) await this.#release(connection);
    }
  }

  /** One key; null: it has changed behind the revision that was asked for. */
  async #single({ range, revision, keysOnly }: RangeQuery): Promise<RangeAnswer | null> {
    const { lastRevision, heads } = await this.load([range.start]);
    if (revision !== 0n && lastRevision > revision) return null;
    const [head = null] = heads;
    if (head === null) return { lastRevision, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    const records = [keysOnly ? withoutValue(head.record) : head.record];
    const blocks = blocksOf({ records, bytes: 0 });
    return { lastRevision, count: 1, more: false, records: 1, bytes: blocks.reduce((sum, block) => sum + block.length, 0), blocks };
  }

  async #range(connection: SqlConnection, query: RangeQuery, isLatest: boolean, hasSlot: boolean): Promise<RangeAnswer | 'crowded'> {
    const { revision, countOnly } = query;
    const statements = this.#statements();
    let before = isLatest ? null : idBehind(revision);
    for (;;) {
      const reader = new PageReader(statements, query, before);
      const { call, take } = countOnly ? { call: this.#countCall(reader, query, before), take: null } : reader.ask(ANSWER_BYTES);
      const [last, rows] = await connection.read([{ statement: statements.selectLastRevision, values: [] }, call]);
      const lastRevision = this.#saw((last?.[0]?.[0] as bigint | undefined) ?? 0n);
      if (before === null && revision !== 0n && lastRevision > revision) {
        before = idBehind(revision);
        continue;
      }
      if (take === null) {
        return { lastRevision, count: Number(rows?.[0]?.[0] ?? 0n), more: false, records: 0, bytes: 0, blocks: [] };
      }
      const count = (): Promise<number> => this.#count(connection, this.#countCall(reader, query, before));
      const first = take(rows ?? []);
      let records = first.records.length;
      let bytes = first.bytes;
      const blocks = blocksOf(first);
      while (!reader.isEnd && bytes < ANSWER_BYTES) {
        const page = await reader.read(connection, ANSWER_BYTES - bytes);
        records += page.records.length;
        bytes += page.bytes;
        blocks.push(...blocksOf(page));
      }
      const answer = { lastRevision, blocks };
      if (reader.isEnd) {
        const total = !reader.hasMore ? records : query.count ? await count() : null;
        return { ...answer, count: total, more: reader.hasMore, records, bytes };
      }
      const rest = await reader.sizeOfRest(connection);
      records += rest.records;
      bytes += rest.bytes;
      const total = !rest.hasMore ? records : query.count ? await count() : null;
      const whole = { ...answer, count: total, more: rest.hasMore, records, bytes };
      if (rest.records === 0) return whole;
      if (!hasSlot && !this.#snapshots.tryTake()) return 'crowded';
      return { ...whole, rest: this.#rest(connection, reader, rest.records) };
    }
  }

  /** The blocks of a large answer, read while they are sent. */
  #rest(connection: SqlConnection, reader: PageReader, records: number): BlockStream {
    let left = records;
    const ready: Buffer[] = [];
    const read = async (): Promise<Buffer | null> => {
      if (ready.length === 0 && left > 0) {
        const page = await reader.read(connection, BLOCK_BYTES);
        left -= page.records.length;
        if (page.records.length === 0) throw new Error('the answer ends before its time');
        ready.push(...blocksOf(page));
      }
      return ready.shift() ?? null;
    };
    return new BlockStream(read, async () => {
      this.#snapshots.give();
      await this.#release(connection);
    });
  }

  #countCall(reader: PageReader, { range }: RangeQuery, before: bigint | null): SqlCall {
    const prefix = before === null ? prefixOf(range) : null;
    if (prefix !== null && countedPrefix(prefix)?.length === prefix.length) {
      return { statement: this.#statements().selectCount, values: [prefix] };
    }
    return reader.countAll();
  }

  async #count(connection: SqlConnection, call: SqlCall): Promise<number> {
    return Number((await rowOf(connection, call))?.[0] ?? 0n);
  }

  async changes({ range, after, through, maxBytes }: ChangesQuery): Promise<ChangesAnswer> {
    const { changes: statements, selectLastRevision } = this.#statements();
    const statement = range.end === null ? statements.unbounded : statements.bounded;
    const keys = range.end === null ? [range.start] : [range.start, range.end];
    const lastId = idBehind(through) - 1n;
    const connection = await this.#acquire();
    try {
      await connection.beginSnapshot();
      const changes: Change[] = [];
      let bytes = 0;
      let position = idBehind(after) - 1n;
      let revision = after;
      let lastRevision: Revision | null = null;
      for (;;) {
        const budget = Math.max(Math.min(maxBytes - bytes, ANSWER_BYTES), CHANGES_BYTES);
        const calls: SqlCall[] = [{ statement, values: [position, lastId, ...keys, CHANGES_ROWS, budget] }];
        if (lastRevision === null) calls.push({ statement: selectLastRevision, values: [] });
        const [rows = [], last] = await connection.read(calls);
        lastRevision ??= this.#saw((last?.[0]?.[0] as bigint | undefined) ?? 0n);
        let pageBytes = 0;
        for (const row of rows as readonly (readonly [bigint, bigint, Buffer, Buffer | null])[]) {
          const [id, tombstone, record, prevRecord] = row;
          if (bytes >= maxBytes && revisionOf(id) > revision) return { lastRevision, changes, through: revision };
          const own = Buffer.from(record);
          changes.push({ id, key: keyOf(own), isDelete: tombstone === 1n, record: own, prevRecord: prevRecord && Buffer.from(prevRecord) });
          position = id;
          revision = revisionOf(id);
          const size = record.length + (prevRecord?.length ?? 0);
          bytes += size;
          pageBytes += size;
        }
        if (rows.length < CHANGES_ROWS && pageBytes < budget) return { lastRevision, changes, through };
      }
    } finally {
      await this.#release(connection);
    }
  }

  async keysOfLease(lease: bigint, limit: number): Promise<readonly Buffer[]> {
    const rows = await this.#rows({ statement: this.#statements().keysOfLease, values: [lease, limit] });
    return rows.map(([key]) => Buffer.from(key as Buffer));
  }

  async leasesInUse(): Promise<readonly bigint[]> {
    const rows = await this.#rows({ statement: this.#statements().leasesInUse, values: [] });
    return rows.map(([lease]) => lease as bigint);
  }

  async compact(revision: Revision, signal: AbortSignal): Promise<void> {
    // One step at a time: commits that wait go in between.
    while (!signal.aborted && (await this.#writing((connection) => connection.transaction((step) => this.#compactStep(step, revision)))));
  }

  /** True: there is more to do. */
  async #compactStep(transaction: SqlTransaction, revision: Revision): Promise<boolean> {
    const statements = this.#statements();
    const run = (statement: SqlStatement, ...values: SqlValue[]): Promise<readonly SqlRow[]> => transaction.query({ statement, values });
    const { compactedId, epoch } = metaOf((await run(statements.lockMeta))[0]);
    if (epoch !== this.#epoch) throw new FencedError(this.name, this.#epoch, epoch);
    // What a row of the revision itself replaced stays for watches from it on, and so do its tombstones.
    const last = rowId(revision, 0) - 1n;
    const [end] = await run(statements.selectStepEnd, compactedId, last + 1n, this.#wiring.settings.compactBatchSize - 1);
    const stepEnd = (end?.[0] as bigint | undefined) ?? last;
    if (stepEnd <= compactedId) return false;
    await run(statements.deleteReplaced, compactedId, stepEnd);
    await run(statements.deleteTombstones, compactedId, stepEnd);
    await run(statements.setCompacted, stepEnd);
    return stepEnd < last;
  }

  async size(): Promise<{ readonly bytes: number; readonly inUse: number }> {
    const [row] = await this.#rows({ statement: this.#statements().size, values: [] });
    return { bytes: Number(row?.[0] ?? 0n), inUse: Number(row?.[1] ?? 0n) };
  }

  renew(marks: ReadonlyMap<string, Revision>): Promise<void> {
    const text = JSON.stringify(Object.fromEntries([...marks].map(([identity, revision]) => [identity, `${revision}`])));
    return this.#record({ statement: this.#statements().renewWriter, values: [text, this.#epoch] });
  }

  release(): Promise<void> {
    return this.#record({ statement: this.#statements().releaseWriter, values: [this.#epoch] });
  }

  reserve(revision: Revision): Promise<void> {
    return this.#record({ statement: this.#statements().setReserved, values: [revision, this.#epoch] });
  }

  setCompactRevision(revision: Revision): Promise<void> {
    return this.#record({ statement: this.#statements().setCompactRevision, values: [revision, this.#epoch] });
  }

  saveLease({ id, ttl, expiresAt, renewed }: LeaseRow): Promise<void> {
    const { guardControl, saveLease } = this.#statements();
    return this.#record(
      { statement: guardControl, values: [this.#epoch] },
      { statement: saveLease, values: [id, ttl, expiresAt, renewed ? 1 : 0] },
    );
  }

  removeLease(id: bigint): Promise<void> {
    const { guardControl, removeLease } = this.#statements();
    return this.#record({ statement: guardControl, values: [this.#epoch] }, { statement: removeLease, values: [id] });
  }

  async appliedTopology(): Promise<string | null> {
    const { selectAppliedTopology } = this.#statements();
    const row = await this.#controlling((connection) => rowOf(connection, { statement: selectAppliedTopology, values: [] }));
    return (row?.[0] as string | null | undefined) ?? null;
  }

  saveAppliedTopology(topology: string): Promise<void> {
    return this.#record({ statement: this.#statements().setAppliedTopology, values: [topology, this.#epoch] });
  }

  close(): Promise<void> {
    this.#isOpen = false;
    this.#isClosed = true;
    this.#writer.close();
    this.#control.close();
    this.#readers.close();
    return Promise.resolve();
  }

  /** A write of the control tables, under the epoch. */
  async #record(guard: SqlCall, ...others: readonly SqlCall[]): Promise<void> {
    const { selectWriter } = this.#statements();
    await this.#controlling(async (connection) => {
      if (await connection.write([guard, ...others])) return;
      const found = writerOf(await rowOf(connection, { statement: selectWriter, values: [] }));
      throw new FencedError(this.name, this.#epoch, found?.epoch ?? 0n);
    });
  }

  /** A transaction of a writer that takes over: whoever holds the lock too long is a writer whose time is up. */
  async #lockedOut<T>(connection: SqlConnection, work: (transaction: SqlTransaction) => Promise<T>): Promise<T> {
    try {
      return await connection.transaction(work);
    } catch (error) {
      if (!(error instanceof SqlError) || !error.isLocked) throw error;
      await connection.endWriters();
      return connection.transaction(work);
    }
  }

  async #meta(connection: SqlConnection): Promise<Meta> {
    return metaOf(await rowOf(connection, { statement: this.#statements().selectMeta, values: [] }));
  }

  #statements(): SqlDialect['statements'] {
    return this.#wiring.dialect.statements;
  }

  async #connect(role: SqlRole): Promise<SqlConnection> {
    const connection = await this.#wiring.dialect.connect(role);
    try {
      const { identity } = await this.#meta(connection);
      if (identity !== this.#identity) {
        throw new Error(
          `${this.location} leads to another database now: its identity is ${identity}, that of backend "${this.name}" is ${this.#identity}`,
        );
      }
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  #writing<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return this.#isOpen ? this.#writer.run(work) : Promise.reject(this.#notOpen());
  }

  #controlling<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return this.#isOpen ? this.#control.run(work) : Promise.reject(this.#notOpen());
  }

  #reading<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return this.#isOpen ? this.#readers.use(work) : Promise.reject(this.#notOpen());
  }

  #rows(call: SqlCall): Promise<readonly SqlRow[]> {
    return this.#reading(async (connection) => (await connection.read([call]))[0] ?? []);
  }

  #acquire(): Promise<SqlConnection> {
    return this.#isOpen ? this.#readers.acquire() : Promise.reject(this.#notOpen());
  }

  async #release(connection: SqlConnection): Promise<void> {
    try {
      if (connection.isUsable) await connection.endSnapshot();
    } catch {
      connection.destroy(); // what it has read is whole; the session is not needed any more
    } finally {
      this.#readers.release(connection);
    }
  }

  #notOpen(): Error {
    return new Error(`${this.location} is not open`);
  }

  #saw(revision: Revision): Revision {
    if (revision > this.#lastRevision) this.#lastRevision = revision;
    return revision;
  }
}

async function rowOf(connection: SqlConnection, call: SqlCall): Promise<SqlRow | undefined> {
  return (await connection.read([call]))[0]?.[0];
}

function metaOf(row: SqlRow | undefined): Meta {
  if (row === undefined) throw new Error('the meta row is missing');
  const [identity, storeId, epoch, lastRevision, compactedId] = row as readonly [string, string | null, bigint, bigint, bigint];
  return { identity, storeId, epoch, lastRevision, compactedId };
}

function writerOf(row: SqlRow | undefined): WriterRecord | null {
  if (row === undefined) return null;
  const [holder, address, leaseMs, epoch, renewals, released] = row as readonly [string, string, bigint, bigint, bigint, bigint];
  return { holder, address, leaseMs: Number(leaseMs), epoch, renewals, isReleased: released === 1n };
}

function marksOf(text: string): ReadonlyMap<string, Revision> {
  return new Map(Object.entries(JSON.parse(text) as Record<string, string>).map(([identity, revision]) => [identity, BigInt(revision)]));
}
