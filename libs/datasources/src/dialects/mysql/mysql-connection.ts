import mysql, { type Connection, type ConnectionOptions, type QueryError, type ResultSetHeader } from 'mysql2';

/** What a parameter may be. Integers are bigint: a number is sent as a double, which cannot hold every id. */
export type Parameter = bigint | string | Buffer | null;
/** 64-bit integers come as decimal text, smaller ones as numbers. */
export type Row = readonly (string | number | Buffer | null)[];

export interface Answer {
  readonly rows: readonly Row[];
  /** Rows that a write has changed. */
  readonly affected: number;
}

/** The server has refused a statement; the connection goes on. */
export class RefusedStatementError extends Error {
  override readonly name = 'RefusedStatementError';
  constructor(
    message: string,
    /** Of the server's table of errors. */
    readonly number: number,
  ) {
    super(message);
  }
}

/** The connection has ended, and what it was doing may or may not have taken place. */
export class LostConnectionError extends Error {
  override readonly name = 'LostConnectionError';
}

/** How a connection to a MySQL server is made and what holds on it. */
export interface ConnectionSettings {
  readonly options: ConnectionOptions;
  /** Statements that run before anything else does. */
  readonly session: readonly string[];
  /** Milliseconds after which an answer is not waited for any more. */
  readonly answerTimeoutMs: number;
  /** How long a statement waits for a lock. */
  readonly lockSeconds: number;
}

/** One connection. Calls are answered in their order. */
export class MysqlConnection {
  #lost: LostConnectionError | null = null;
  #isOpen = false;
  /** Those who wait for an answer. */
  readonly #waiting = new Set<(error: Error) => void>();

  private constructor(
    private readonly connection: Connection,
    private readonly settings: ConnectionSettings,
  ) {
    // Without a listener an error between two calls would end the process.
    connection.on('error', (error: Error) => this.#lose(error));
    connection.on('end', () => this.#lose(new Error('the server closed the connection')));
  }

  /** Rejects with RefusedStatementError when the server does not let us in, with LostConnectionError when there is none. */
  static async open(settings: ConnectionSettings): Promise<MysqlConnection> {
    const made = new MysqlConnection(mysql.createConnection({ ...settings.options, queryFormat: asItIs }), settings);
    try {
      await made.#call((answer) => made.connection.connect((error) => answer(error, [])));
      made.#isOpen = true;
      for (const statement of settings.session) await made.query(statement);
      return made;
    } catch (error) {
      made.destroy();
      throw error;
    }
  }

  get isLost(): boolean {
    return this.#lost !== null;
  }

  /** Statements without parameters, one or several with `;` between them: the answer is that of the last one. */
  query(text: string): Promise<Answer> {
    return this.#call((answer) => this.connection.query({ sql: text, rowsAsArray: true }, answer));
  }

  /** The answers of several statements in one round trip; the first that fails is the last that runs. */
  async queryAll(statements: readonly string[]): Promise<readonly Answer[]> {
    let answers: readonly Answer[] = [];
    await this.#call((answer) =>
      this.connection.query({ sql: statements.join(';'), rowsAsArray: true }, (error: QueryError | null, results: unknown) => {
        if (error === null && Array.isArray(results)) answers = results.map(answerOf);
        answer(error, results);
      }),
    );
    return answers;
  }

  /** A statement that the server prepares once for this connection. */
  execute(text: string, parameters: readonly Parameter[]): Promise<Answer> {
    const typed = parameters.map((one) => (typeof one === 'bigint' ? mysql.TypedParameter.BIGINT(one) : one));
    return this.#call((answer) => this.connection.execute({ sql: text, rowsAsArray: true }, typed, answer));
  }

  /** Ends it at once, whatever it is doing. */
  destroy(): void {
    this.#lose(new LostConnectionError('the connection was closed'));
    this.connection.destroy();
  }

  /** Ends it in order, so that the server does not count an aborted one. */
  async close(): Promise<void> {
    if (this.#lost !== null) return;
    this.#lose(new LostConnectionError('the connection was closed'));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.connection.destroy();
        resolve();
      }, this.settings.answerTimeoutMs);
      this.connection.end(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #call(send: (answer: (error: QueryError | null, result: unknown) => void) => void): Promise<Answer> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    return new Promise<Answer>((resolve, reject) => {
      const { answerTimeoutMs } = this.settings;
      const fail = (error: Error): void => {
        clearTimeout(timer);
        this.#waiting.delete(fail);
        reject(error);
      };
      const timer = setTimeout(() => {
        this.#lose(new LostConnectionError(`no answer within ${answerTimeoutMs} ms`));
        // Never used again: what comes late would be taken for the answer to something else.
        this.connection.destroy();
      }, answerTimeoutMs);
      this.#waiting.add(fail);
      send((error, result) => {
        if (error !== null && isFromServer(error)) {
          fail(new RefusedStatementError(error.sqlMessage, error.errno));
        } else if (error !== null) {
          this.#lose(error);
        } else {
          clearTimeout(timer);
          this.#waiting.delete(fail);
          resolve(answerOf(result));
        }
      });
    });
  }

  /** The connection is of no use any more, and nobody waits for its answers. */
  #lose(error: Error): void {
    // What the server says to whom it does not let in is its answer.
    const reason = !this.#isOpen && isFromServer(error) ? new RefusedStatementError(error.sqlMessage, error.errno) : lostBy(error);
    this.#lost ??= lostBy(error);
    for (const fail of [...this.#waiting]) fail(reason);
  }
}

/** Values stand in a text before it comes here: nobody has to look through it for places that wait for some. */
function asItIs(text: string): string {
  return text;
}

function lostBy(error: Error): LostConnectionError {
  return error instanceof LostConnectionError ? error : new LostConnectionError(error.message, { cause: error });
}

/** What the server said, not what became of the connection. */
function isFromServer(error: Error): error is Error & { readonly sqlMessage: string; readonly errno: number } {
  return 'sqlMessage' in error && 'errno' in error && typeof error.errno === 'number';
}

function answerOf(result: unknown): Answer {
  return Array.isArray(result)
    ? { rows: result as readonly Row[], affected: 0 }
    : { rows: [], affected: (result as Partial<ResultSetHeader> | undefined)?.affectedRows ?? 0 };
}
