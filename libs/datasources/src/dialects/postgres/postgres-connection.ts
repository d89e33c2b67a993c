import type { Duplex } from 'node:stream';
import pg from 'pg';
import { type SqlCall, type SqlConnection, SqlError, type SqlRow, type SqlStatement, type SqlTransaction } from '../sql/sql-connection.js';
import {
  decodeError,
  decodeRow,
  decodeTag,
  decodeTextRow,
  MessageReader,
  MessageWriter,
  type ServerMessage,
  sizeOfCall,
} from './messages.js';

export interface PostgresConnectionOptions {
  readonly client: pg.ClientConfig;
  /** What takes longer has failed, and the connection is cut. */
  readonly timeoutMs: number;
  /** Run once it is connected. */
  readonly setUp: string;
}

/** Codes of messages. */
const CODE = {
  parseComplete: 0x31, // 1
  dataRow: 0x44, // D
  commandComplete: 0x43, // C
  error: 0x45, // E
  emptyQuery: 0x49, // I
  readyForQuery: 0x5a, // Z
} as const;

const UNIQUE_VIOLATION = '23505';
const LOCK_NOT_AVAILABLE = '55P03';
const DIVISION_BY_ZERO = '22012';
const READ_ONLY = '25006';
/** A server that shuts down, or that is not the one to write to any more. */
const LOST_CODES = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', READ_ONLY]);

/** Calls that were sent together and end with one ReadyForQuery. */
interface Flight {
  readonly calls: readonly SqlCall[];
  readonly rows: SqlRow[][];
  /** Statements of this flight that the server was told to prepare and has not confirmed, in order. */
  readonly preparing: SqlStatement[];
  /** The call whose answer comes. */
  position: number;
  tag: string;
  error: ServerMessage | null;
  /** Its rows are text. */
  readonly isPlain: boolean;
  readonly textRows: (string | null)[][];
  readonly timer: NodeJS.Timeout;
  readonly resolve: (flight: Flight) => void;
  readonly reject: (error: SqlError) => void;
}

const BEGIN: SqlStatement = { text: 'BEGIN', parameters: [], columns: [] };
const COMMIT: SqlStatement = { text: 'COMMIT', parameters: [], columns: [] };
/** A writer that takes over does not wait for one whose time is up. */
const SHORT_LOCKS: SqlStatement = { text: 'SET LOCAL lock_timeout = 300', parameters: [], columns: [] };
const ROLLBACK: SqlStatement = { text: 'ROLLBACK', parameters: [], columns: [] };
const END_SESSION: SqlStatement = {
  text: 'SELECT pg_terminate_backend(pid, 5000)::int FROM pg_stat_activity WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::int8 = $2',
  parameters: ['int', 'int'],
  columns: ['int'],
};
/** Every UPDATE of `meta` or `control` holds this lock until its transaction has ended; the lock on the row itself names no table. */
const END_WRITERS: SqlStatement = {
  text: `SELECT pg_terminate_backend(pid, 1000)::int FROM pg_locks
    WHERE locktype = 'relation' AND relation IN ('meta'::regclass, 'control'::regclass) AND mode IN ('RowExclusiveLock', 'RowShareLock') AND granted AND pid <> pg_backend_pid()`,
  parameters: [],
  columns: ['int'],
};

/** A statement that fails when it changes no row, made of one that changes some. */
const guards = new WeakMap<SqlStatement, SqlStatement>();

/**
 * A session with a PostgreSQL server. pg connects: addresses, TLS, passwords; what follows on the same socket goes by
 * `messages.ts`. The calls of a method are sent together, with one Sync behind them, and take one round trip: without a BEGIN
 * among them they are one transaction, which the server commits when it comes to that Sync.
 */
export class PostgresConnection implements SqlConnection {
  readonly #stream: Duplex;
  readonly #reader = new MessageReader((code, body) => this.#onMessage(code, body));
  readonly #flights: Flight[] = [];
  readonly #names = new Map<SqlStatement, string>();
  #nextName = 1;
  #isLost = false;
  /** Why the server has ended the session, if it said so. */
  #farewell: ServerMessage | null = null;
  #session = '';
  #processId = '';
  #snapshot: 'none' | 'wanted' | 'begun' = 'none';

  private constructor(
    client: pg.Client,
    private readonly timeoutMs: number,
  ) {
    this.#stream = client.connection.stream;
    // pg's own reader would take every row for text.
    this.#stream.removeAllListeners('data');
    this.#stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#stream.on('error', (error: Error) => this.#lose(error.message));
    this.#stream.on('close', () => this.#lose('the connection was closed'));
  }

  /** Rejects with what pg or the server says. */
  static async open({ client: config, timeoutMs, setUp }: PostgresConnectionOptions): Promise<PostgresConnection> {
    const client = new pg.Client({ ...config, connectionTimeoutMillis: config.connectionTimeoutMillis ?? timeoutMs });
    client.on('error', () => undefined); // the connection hears it, too
    try {
      await client.connect();
    } catch (error) {
      client.connection.stream.destroy();
      throw error;
    }
    const connection = new PostgresConnection(client, timeoutMs);
    try {
      const [row] = await connection.plain(
        `${setUp}; SELECT pg_backend_pid(), (extract(epoch FROM backend_start) * 1000000)::int8 FROM pg_stat_activity WHERE pid = pg_backend_pid()`,
      );
      connection.#session = `${row?.[0]} ${row?.[1]}`;
      connection.#processId = `${(client as pg.Client & { readonly processID: number | null }).processID}`;
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  get isUsable(): boolean {
    return !this.#isLost;
  }

  /** The server's process, as it was told when the session began. */
  get processId(): string {
    return this.#processId;
  }

  get session(): string {
    return this.#session;
  }

  async read(calls: readonly SqlCall[]): Promise<readonly (readonly SqlRow[])[]> {
    if (this.#snapshot !== 'wanted') return (await this.#run(calls)).rows;
    this.#snapshot = 'begun';
    const [, ...rows] = (await this.#run([{ statement: BEGIN, values: [] }, ...calls])).rows;
    return rows;
  }

  beginSnapshot(): Promise<void> {
    this.#snapshot = 'wanted';
    return Promise.resolve();
  }

  /** Nobody waits for the answer: what comes next on this session stands behind it. */
  endSnapshot(): Promise<void> {
    const hasBegun = this.#snapshot === 'begun';
    this.#snapshot = 'none';
    if (hasBegun) this.#run([{ statement: COMMIT, values: [] }]).catch(() => this.destroy());
    return Promise.resolve();
  }

  async write([guard, ...others]: readonly SqlCall[]): Promise<boolean> {
    if (guard === undefined) throw new Error('a write begins with the call that has to change a row');
    const { statement, values } = guard;
    try {
      await this.#run([{ statement: guardOf(statement), values }, ...others], true);
      return true;
    } catch (error) {
      if (error instanceof PostgresError && error.server.code === DIVISION_BY_ZERO) return false;
      throw error;
    }
  }

  writeWhole(calls: readonly SqlCall[]): Promise<boolean> {
    return this.write(calls);
  }

  async transaction<T>(work: (transaction: SqlTransaction) => Promise<T>): Promise<T> {
    let hasBegun = false;
    const query = async (call: SqlCall): Promise<readonly SqlRow[]> => {
      const opening = hasBegun ? [] : [BEGIN, SHORT_LOCKS].map((statement) => ({ statement, values: [] }));
      hasBegun = true;
      const { rows } = await this.#run([...opening, call]);
      return rows.at(-1) ?? [];
    };
    try {
      const result = await work({ query });
      if (hasBegun) await this.#commit();
      return result;
    } catch (error) {
      await this.#run([{ statement: ROLLBACK, values: [] }]).catch(() => this.destroy());
      throw error;
    }
  }

  async endSession(session: string): Promise<void> {
    const [pid = '', start = ''] = session.split(' ');
    const [rows] = await this.read([{ statement: END_SESSION, values: [BigInt(pid), BigInt(start)] }]);
    if (rows?.some(([hasEnded]) => hasEnded !== 1n) === true) throw new SqlError('a lost session of this router does not end');
  }

  async endWriters(): Promise<void> {
    await this.read([{ statement: END_WRITERS, values: [] }]);
  }

  /** Statements without parameters; the rows of all of them as text. */
  async plain(text: string): Promise<readonly (readonly (string | null)[])[]> {
    const writer = new MessageWriter(text.length + 64);
    writer.query(text);
    return (await this.#send(writer.take(), { calls: [], preparing: [], isPlain: true })).textRows;
  }

  destroy(): void {
    this.#lose('the connection was given up');
  }

  async #commit(): Promise<void> {
    const { tag } = await this.#run([{ statement: COMMIT, values: [] }], true);
    if (tag !== 'COMMIT') throw new SqlError('the server has rolled the transaction back');
  }

  /** `isCommit`: when the connection is lost before the answer, nobody knows. */
  async #run(calls: readonly SqlCall[], isCommit = false): Promise<Flight> {
    let size = 16;
    for (const call of calls) size += sizeOfCall(call) + (this.#names.has(call.statement) ? 0 : call.statement.text.length + 64);
    const writer = new MessageWriter(size);
    const preparing: SqlStatement[] = [];
    for (const call of calls) {
      let name = this.#names.get(call.statement);
      if (name === undefined) {
        name = `s${this.#nextName++}`;
        this.#names.set(call.statement, name);
        preparing.push(call.statement);
        writer.parse(name, call.statement);
      }
      writer.bind(name, call);
      writer.execute();
    }
    writer.sync();
    try {
      return await this.#send(writer.take(), { calls, preparing, isPlain: false });
    } catch (error) {
      if (isCommit && error instanceof SqlError && !isVerdict(error)) throw new SqlError(error.message, { isUnknown: true, cause: error });
      throw error;
    }
  }

  #send(bytes: Buffer, { calls, preparing, isPlain }: Pick<Flight, 'calls' | 'preparing' | 'isPlain'>): Promise<Flight> {
    return new Promise((resolve, reject) => {
      if (this.#isLost) {
        reject(new PostgresError({ severity: 'ERROR', code: '', message: 'the connection was lost before', constraint: null }));
        return;
      }
      const timer = setTimeout(() => this.#lose(`no answer within ${this.timeoutMs} ms`), this.timeoutMs);
      const rows = calls.map((): SqlRow[] => []);
      this.#flights.push({ calls, rows, preparing, position: 0, tag: '', error: null, isPlain, textRows: [], timer, resolve, reject });
      this.#stream.write(bytes);
    });
  }

  #receive(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#lose(`what the server says cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #onMessage(code: number, body: Buffer): void {
    const flight = this.#flights[0];
    if (code === CODE.error) {
      const error = decodeError(body);
      if (error.severity !== 'ERROR') this.#farewell = error;
      if (flight !== undefined) flight.error ??= error;
      return;
    }
    if (flight === undefined) return;
    switch (code) {
      case CODE.parseComplete:
        flight.preparing.shift();
        break;
      case CODE.dataRow:
        if (flight.isPlain) flight.textRows.push(decodeTextRow(body));
        else flight.rows[flight.position]?.push(decodeRow(body, flight.calls[flight.position]?.statement.columns ?? []));
        break;
      case CODE.commandComplete:
        flight.tag = decodeTag(body);
        flight.position++;
        break;
      case CODE.emptyQuery:
        flight.position++;
        break;
      case CODE.readyForQuery:
        this.#land(flight);
        break;
      default:
        break; // notices, parameters of the session, BindComplete, NoData
    }
  }

  #land(flight: Flight): void {
    this.#flights.shift();
    clearTimeout(flight.timer);
    // What failed before the server came to it was not prepared.
    for (const statement of flight.preparing) this.#names.delete(statement);
    if (flight.error === null) {
      flight.resolve(flight);
      return;
    }
    const error = new PostgresError(flight.error);
    flight.reject(error);
    if (LOST_CODES.has(flight.error.code)) this.#lose(error.message);
  }

  #lose(reason: string): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#stream.destroy();
    const message = this.#farewell === null ? reason : `${this.#farewell.message} (${this.#farewell.code})`;
    for (const flight of this.#flights.splice(0)) {
      clearTimeout(flight.timer);
      // An error of the statement rolls back, whether or not the session lives to say that it is ready again.
      if (flight.error !== null && flight.error.severity === 'ERROR') flight.reject(new PostgresError(flight.error));
      else flight.reject(new SqlError(message));
    }
  }
}

/** The server's verdict on a statement: its transaction has certainly not taken place. */
class PostgresError extends SqlError {
  constructor(readonly server: ServerMessage) {
    const { code, message, constraint } = server;
    super(code === '' ? message : `${message} (${code})`, {
      isTakenKey: code === UNIQUE_VIOLATION && constraint === 'head_pkey',
      isLocked: code === LOCK_NOT_AVAILABLE,
    });
  }
}

/** A server that ends a session may do so right behind the commit: only an ERROR tells that nothing was committed. */
function isVerdict(error: SqlError): boolean {
  return error instanceof PostgresError && error.server.severity === 'ERROR';
}

function guardOf(statement: SqlStatement): SqlStatement {
  let guard = guards.get(statement);
  if (guard === undefined) {
    const text = `WITH changed AS (${statement.text} RETURNING 1) SELECT 1 / count(*) FROM changed`;
    guard = { text, parameters: statement.parameters, columns: ['int'] };
    guards.set(statement, guard);
  }
  return guard;
}
