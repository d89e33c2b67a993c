import { messageOf } from '@harikube/keyspace';
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import {
  type SqlCall,
  type SqlConnection,
  SqlError,
  type SqlRole,
  type SqlRow,
  type SqlTransaction,
  type SqlType,
  type SqlValue,
} from '../sql/sql-connection.js';
import {
  type Answer,
  type ConnectionSettings,
  LostConnectionError,
  MysqlConnection,
  type Parameter,
  RefusedStatementError,
} from './mysql-connection.js';
import { insertsHeads } from './statements.js';

/*
 * Statements that are sent as text go several at a time, in one round trip, and a usual batch is one text. Of a large one, statements with many
 * bytes in them are prepared, since bytes may have twice their length in a text and take the server as long to read. The server
 * stops at the first statement of a text that fails.
 */

/** Bytes of values above which a call is prepared, where it is one of several trips. */
const TEXT_BYTES = 4096;
/** Bytes of values up to which a whole write is one text, and so one round trip. */
const WHOLE_TEXT_BYTES = 65_536;
/** Ends the text when the statement before it has changed no row, by a number above the largest one. It opens no table and answers with no rows. */
const UNLESS_CHANGED = 'SET @harikube_guard = 9223372036854775807 + (ROW_COUNT() < 1)';

/** Everything that follows is read from one snapshot. */
export const BEGIN_READ = ['SET TRANSACTION ISOLATION LEVEL REPEATABLE READ', 'START TRANSACTION WITH CONSISTENT SNAPSHOT'];
/** Locks nothing beside the rows that are written: sessions read what is committed. */
export const BEGIN_WRITE = ['START TRANSACTION'];
/** The text before it may fail and leave its transaction open: START TRANSACTION would commit that. */
const BEGIN_BEHIND = ['ROLLBACK', ...BEGIN_WRITE];

/** Errors of the server, by their numbers. */
const DUPLICATE_KEY = 1062;
const LOCK_WAIT_TIMEOUT = 1205;
const DEADLOCK = 1213;
const NO_SUCH_THREAD = 1094;
/** A number is above the largest one. */
const OUT_OF_RANGE = 1690;
/** After these it is certain that the text which ends in COMMIT has committed nothing: rows that cannot be written, and servers that take none. */
const CERTAIN_FAILURES = new Set([
  DUPLICATE_KEY,
  LOCK_WAIT_TIMEOUT,
  DEADLOCK,
  OUT_OF_RANGE,
  1021,
  1114,
  1142,
  1264,
  1290,
  1366,
  1406,
  1792,
  1836,
]);

/** A statement that waits longer for a lock in a transaction of its own has found somebody who does not give it back. */
const LOCK_PATIENCE_SECONDS = 1;

export interface MysqlSessionOptions {
  readonly role: SqlRole;
  /** Of the database, for the names of its locks. */
  readonly lockName: string;
  /** The server closes a session that is idle for so long: before that it is not used any more; null: never. */
  readonly idleMs: number | null;
  /** How long a statement of a commit waits for a lock. */
  readonly lockSeconds: number;
  /** The session's texts are bytes, a character for each (BYTES_CHARSET), so that values need not be written in hexadecimal. */
  readonly takesBytes: boolean;
}

/** Of a session whose texts are bytes. Its user and its database are sent in it, too: they have to be of ASCII. */
export const BYTES_CHARSET = 'binary';

/** A session for SqlBackend. */
export class MysqlSession implements SqlConnection {
  /** The name of a lock that the session holds as long as it lives: it tells the server's number of it, across restarts. */
  readonly session: string;
  #isBroken = false;
  #lastUse = performance.now();
  /** Writes that were sent as one text, and those of them that are over. */
  readonly #writes = { sent: 0, over: 0 };
  readonly #textOf: (call: SqlCall) => string;
  /** `wanted`: a snapshot begins with the next read. */
  #snapshot: 'none' | 'wanted' | 'open' = 'none';

  private constructor(
    private readonly connection: MysqlConnection,
    private readonly options: MysqlSessionOptions,
    session: string,
  ) {
    this.session = session;
    const bytesText = options.takesBytes ? plainText : hexText;
    this.#textOf = (call) => textOf(call, bytesText);
  }

  static async open(settings: ConnectionSettings, options: MysqlSessionOptions): Promise<MysqlSession> {
    const session = `harikube_${randomUUID()}`;
    const connection = await MysqlConnection.open(settings);
    try {
      // One that writes shows by a second lock that it may be the holder of meta's row; an older session that has it, keeps it.
      const locks = options.role === 'reader' ? [session] : [session, writerLock(options.lockName, options.role)];
      await connection.queryAll(['DO 0', ...locks.map((lock) => `DO GET_LOCK('${lock}', 0)`)]);
    } catch (error) {
      connection.destroy();
      throw error;
    }
    return new MysqlSession(connection, options, session);
  }

  get isUsable(): boolean {
    const { idleMs } = this.options;
    return !this.#isBroken && !this.connection.isLost && (idleMs === null || performance.now() - this.#lastUse < idleMs);
  }

  async read(calls: readonly SqlCall[]): Promise<readonly (readonly SqlRow[])[]> {
    return this.#using(async () => {
      const statements = calls.map(this.#textOf);
      // One statement is a snapshot by itself.
      const isAlone = this.#snapshot === 'none' && calls.length < 2;
      const before = this.#snapshot === 'open' || isAlone ? [] : BEGIN_READ;
      const behind = this.#snapshot === 'none' && !isAlone ? ['COMMIT'] : [];
      if (this.#snapshot === 'wanted') this.#snapshot = 'open';
      const answers = await this.#texts([...before, ...statements, ...behind]);
      return calls.map((call, i) => rowsOf(call, answers[before.length + i]));
    });
  }

  beginSnapshot(): Promise<void> {
    this.#snapshot = 'wanted';
    return Promise.resolve();
  }

  /** Nobody waits for it: what comes next waits behind it in the connection. */
  endSnapshot(): Promise<void> {
    if (this.#snapshot === 'open') this.connection.query('COMMIT').catch(() => this.destroy());
    this.#snapshot = 'none';
    return Promise.resolve();
  }

  async write(calls: readonly SqlCall[]): Promise<boolean> {
    return this.#using(async () => {
      const [guard, ...others] = calls;
      if (guard === undefined) return true;
      if (others.length === 0) return (await this.#commit([this.#textOf(guard)])) > 0;
      try {
        const hasCommitted = isOneText(calls) ? await this.#writeText(calls) : await this.#write(guard, inTrips(others));
        if (hasCommitted !== null) return hasCommitted;
      } catch (error) {
        if (!(error instanceof RefusedStatementError) || error.number !== DUPLICATE_KEY) throw error;
      }
      // Several statements went together, so that nothing tells which of them found a row that is there: they go one by one.
      return this.#write(guard, [...others.map((call) => [call]), []]);
    });
  }

  writeWhole(calls: readonly SqlCall[]): Promise<boolean | null> {
    return this.#using(() => this.#writeText(calls));
  }

  /** In one round trip, behind those that are under way. Null: a row is there already. */
  async #writeText([guard, ...others]: readonly SqlCall[]): Promise<boolean | null> {
    if (guard === undefined) return true;
    const begin = this.#writes.sent === this.#writes.over ? BEGIN_WRITE : BEGIN_BEHIND;
    const number = ++this.#writes.sent;
    try {
      await this.connection.queryAll([...begin, this.#textOf(guard), UNLESS_CHANGED, ...others.map(this.#textOf), 'COMMIT']);
      return true;
    } catch (error) {
      if (!(error instanceof RefusedStatementError) || !CERTAIN_FAILURES.has(error.number)) throw this.#unknown(error);
      // One behind it begins with a rollback, and may be under way already.
      if (number === this.#writes.sent) await this.#rollBack();
      if (error.number === OUT_OF_RANGE) return false;
      if (error.number === DUPLICATE_KEY) return null;
      throw error;
    } finally {
      this.#writes.over++;
    }
  }

  /** The last trip commits. */
  async #write(guard: SqlCall, trips: readonly (readonly SqlCall[])[]): Promise<boolean> {
    const [guarded] = (await this.#texts([...BEGIN_WRITE, this.#textOf(guard)])).slice(BEGIN_WRITE.length);
    if ((guarded?.affected ?? 0) === 0) {
      await this.connection.query('ROLLBACK');
      return false;
    }
    let current: readonly SqlCall[] = [];
    try {
      for (const trip of trips.slice(0, -1)) {
        current = trip;
        await this.#send(trip);
      }
      current = trips.at(-1) ?? [];
    } catch (error) {
      await this.#rollBack();
      throw takenKey(error, current);
    }
    try {
      await this.#commit([...current.map(this.#textOf), 'COMMIT']);
    } catch (error) {
      throw takenKey(error, current);
    }
    return true;
  }

  /** Rows that the first statement has changed. */
  async #commit(texts: readonly string[]): Promise<number> {
    try {
      const [first] = await this.#texts(texts);
      return first?.affected ?? 0;
    } catch (error) {
      if (error instanceof RefusedStatementError && CERTAIN_FAILURES.has(error.number)) {
        await this.#rollBack();
        throw error;
      }
      throw this.#unknown(error);
    }
  }

  /** What was to be committed may have been; the session is over. */
  #unknown(error: unknown): SqlError {
    this.destroy();
    return new SqlError(messageOf(error), { isUnknown: true, cause: error });
  }

  async transaction<T>(work: (transaction: SqlTransaction) => Promise<T>): Promise<T> {
    return this.#using(async () => {
      const { lockSeconds } = this.options;
      await this.#texts([`SET SESSION innodb_lock_wait_timeout = ${LOCK_PATIENCE_SECONDS}`, ...BEGIN_WRITE]);
      let result: T;
      try {
        result = await work({
          query: async (call) => {
            try {
              return rowsOf(call, await this.connection.query(this.#textOf(call)));
            } catch (error) {
              throw asSqlError(error);
            }
          },
        });
      } catch (error) {
        await this.#rollBack();
        throw error;
      } finally {
        this.connection.query(`SET SESSION innodb_lock_wait_timeout = ${lockSeconds}`).catch(() => this.destroy());
      }
      await this.#commit(['COMMIT']);
      return result;
    });
  }

  endSession(session: string): Promise<void> {
    return this.#using(() => this.#endHolder(session, true));
  }

  endWriters(): Promise<void> {
    return this.#using(async () => {
      const { lockName } = this.options;
      for (const role of ['writer', 'control'] as const) await this.#endHolder(writerLock(lockName, role), role !== this.options.role);
    });
  }

  /** Ends the session that holds a lock, and waits until the server has rolled back what it was doing. */
  async #endHolder(lock: string, isGivenBack: boolean): Promise<void> {
    const { rows } = await this.connection.query(`SELECT IS_USED_LOCK('${lock}'), CONNECTION_ID()`);
    const [holder, own] = rows[0] ?? [];
    if (holder === null || holder === undefined || String(holder) === String(own)) return;
    try {
      await this.connection.query(`KILL CONNECTION ${BigInt(holder.toString())}`);
    } catch (error) {
      if (!(error instanceof RefusedStatementError) || error.number !== NO_SUCH_THREAD) throw error;
    }
    const { rows: taken } = await this.connection.query(`SELECT GET_LOCK('${lock}', ${this.options.lockSeconds})`);
    if (Number(taken[0]?.[0]) !== 1) throw new Error('another session that writes to this database was told to end and does not');
    if (isGivenBack) await this.connection.query(`DO RELEASE_LOCK('${lock}')`);
  }

  destroy(): void {
    this.#isBroken = true;
    this.connection.destroy();
  }

  /** Work that nothing else comes between; every error of the server as SqlError. */
  async #using<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw asSqlError(error);
    } finally {
      this.#lastUse = performance.now();
    }
  }

  /** Statements in one round trip; after one that fails the transaction that it was in is over. */
  async #texts(texts: readonly string[]): Promise<readonly Answer[]> {
    try {
      const [only] = texts;
      return texts.length === 1 && only !== undefined ? [await this.connection.query(only)] : await this.connection.queryAll(texts);
    } catch (error) {
      if (texts.length > 1) await this.#rollBack();
      throw error;
    }
  }

  async #send(calls: readonly SqlCall[]): Promise<void> {
    const [only] = calls;
    if (calls.length === 1 && only !== undefined && bytesOf(only) > TEXT_BYTES) {
      await this.connection.execute(
        only.statement.text,
        only.values.map((value, i) => parameterOf(value, only.statement.parameters[i])),
      );
    } else if (calls.length > 0) {
      await this.#texts(calls.map(this.#textOf));
    }
  }

  /** The transaction is over in any case: without an answer the connection is. */
  async #rollBack(): Promise<void> {
    this.#snapshot = 'none';
    if (this.connection.isLost) return;
    try {
      await this.connection.query('ROLLBACK');
    } catch {
      this.destroy();
    }
  }
}

function writerLock(lockName: string, role: SqlRole): string {
  return `${lockName}_${role}`;
}

/** Calls that go together, each trip after the one before; the last one goes with COMMIT and may be empty. */
function inTrips(calls: readonly SqlCall[]): SqlCall[][] {
  const trips: SqlCall[][] = [];
  let small: SqlCall[] = [];
  let bytes = 0;
  for (const call of calls) {
    const size = bytesOf(call);
    if (bytes + size > TEXT_BYTES) {
      if (small.length > 0) trips.push(small);
      small = [];
      bytes = 0;
    }
    if (size > TEXT_BYTES) {
      trips.push([call]);
    } else {
      small.push(call);
      bytes += size;
    }
  }
  return [...trips, small];
}

/** A write of these calls takes one round trip. */
export function isOneText([, ...others]: readonly SqlCall[]): boolean {
  return others.length > 0 && others.reduce((bytes, call) => bytes + bytesOf(call), 0) <= WHOLE_TEXT_BYTES;
}

function bytesOf({ values }: SqlCall): number {
  let bytes = 0;
  for (const value of values) bytes += Buffer.isBuffer(value) ? value.length : typeof value === 'string' ? value.length : 8;
  return bytes;
}

interface TextPieces {
  readonly texts: readonly string[];
  /** Which value stands behind each of the texts but the last. */
  readonly values: readonly number[];
}

const pieces = new Map<string, TextPieces>();

/** The statement with its values in it: `?` is the next one, `?3` the third. None of ours has a question mark that stands for itself. */
function textOf({ statement, values }: SqlCall, bytesText: BytesText): string {
  let parts = pieces.get(statement.text);
  if (parts === undefined) {
    let next = 0;
    const marks = [...statement.text.matchAll(/\?(\d*)/g)].map(([, number]) => (number ? Number(number) - 1 : next++));
    parts = { texts: statement.text.split(/\?\d*/), values: marks };
    pieces.set(statement.text, parts);
  }
  let text = parts.texts[0] ?? '';
  for (let i = 0; i < parts.values.length; i++) {
    text += literal(values[parts.values[i] ?? 0] ?? null, bytesText) + (parts.texts[i + 1] ?? '');
  }
  return text;
}

type BytesText = (bytes: Buffer) => string;

function hexText(bytes: Buffer): string {
  return `x'${bytes.toString('hex')}'`;
}

/** The server reads everything but a quote and a backslash as it is. */
function plainText(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  return text.includes("'") || text.includes('\\') ? hexText(bytes) : `_binary'${text}'`;
}

function literal(value: SqlValue, bytesText: BytesText): string {
  if (value === null) return 'NULL';
  if (Buffer.isBuffer(value)) return bytesText(value);
  if (typeof value === 'string') return `_utf8mb4 ${hexText(Buffer.from(value))}`;
  if (typeof value === 'bigint' || typeof value === 'number') return String(value);
  return value.map((each) => literal(each, bytesText)).join(',');
}

function parameterOf(value: SqlValue, type: SqlType | undefined): Parameter {
  if (typeof value === 'number' || (typeof value === 'bigint' && type === 'int')) return BigInt(value);
  if (value === null || typeof value === 'string' || Buffer.isBuffer(value)) return value;
  throw new Error(`a value of type ${type ?? 'unknown'} is not prepared`);
}

function rowsOf({ statement: { columns } }: SqlCall, answer: Answer | undefined): readonly SqlRow[] {
  return (answer?.rows ?? []).map((row) => row.map((value, i) => valueOf(value, columns[i])));
}

function valueOf(value: string | number | Buffer | null, type: SqlType | undefined): SqlValue {
  if (value === null) return null;
  if (type === 'int') return BigInt(value.toString());
  if (type === 'bytes') return Buffer.isBuffer(value) ? value : Buffer.from(String(value));
  return value.toString();
}

/** A head that was to be made is there. */
function takenKey(error: unknown, calls: readonly SqlCall[]): unknown {
  if (!(error instanceof RefusedStatementError) || error.number !== DUPLICATE_KEY) return error;
  const [only] = calls;
  if (calls.length !== 1 || only === undefined) return error;
  return new SqlError(error.message, { isTakenKey: insertsHeads(only.statement), cause: error });
}

function asSqlError(error: unknown): unknown {
  if (error instanceof RefusedStatementError) {
    return new SqlError(error.message, { isLocked: error.number === LOCK_WAIT_TIMEOUT, cause: error });
  }
  return error instanceof LostConnectionError ? new SqlError(error.message, { cause: error }) : error;
}
