import type { SqlConnection } from './sql-connection.js';

/** One session for work that goes one after the other. It is opened when it is needed, and again after it was lost. */
export class SerialConnection {
  #connection: SqlConnection | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(
    private readonly open: () => Promise<SqlConnection>,
    private readonly patienceMs: () => number,
  ) {}

  /** Rejects, with nothing done, when the work before it takes too long. */
  run<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let isGivenUp = false;
      const patienceMs = this.patienceMs();
      const timer = setTimeout(() => {
        isGivenUp = true;
        reject(new Error(`the work before it takes longer than ${patienceMs} ms`));
      }, patienceMs);
      const turn = async (): Promise<void> => {
        clearTimeout(timer);
        if (isGivenUp) return;
        await this.#ready().then(work).then(resolve, reject);
      };
      this.#last = this.#last.then(turn);
    });
  }

  /** The next work gets another session. */
  renew(): void {
    this.#last = this.#last.then(() => this.#drop());
  }

  /** What is under way is cut. */
  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  async #ready(): Promise<SqlConnection> {
    if (this.#isClosed) throw new Error('the database is closed');
    if (this.#connection?.isUsable === true) return this.#connection;
    this.#drop();
    const connection = await this.open();
    if (this.#isClosed) {
      connection.destroy();
      throw new Error('the database is closed');
    }
    this.#connection = connection;
    return connection;
  }

  #drop(): void {
    this.#connection?.destroy();
    this.#connection = null;
  }
}
