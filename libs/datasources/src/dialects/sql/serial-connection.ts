import type { SqlConnection } from './sql-connection.js';

/** Works that were begun one behind the other, none of which waits for an answer before all of it is sent. */
interface Train {
  readonly connection: SqlConnection;
  readonly ends: Promise<unknown>[];
}

/** One session for work that goes one after the other. It is opened when it is needed, and again after it was lost. */
export class SerialConnection {
  #connection: SqlConnection | null = null;
  /** What is under way, where more may follow it at once: nothing else waits. */
  #train: Train | null = null;
  #asked = 0;
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(
    private readonly open: () => Promise<SqlConnection>,
    private readonly patienceMs: () => number,
  ) {}

  /** Rejects, with nothing done, when the work before it takes too long. */
  run<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    this.#train = null;
    this.#asked++;
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

  /** Like `run`, for work that is sent whole at once: it may begin while other such work is under way in the session, whose order the session keeps. */
  follow<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    const train = this.#train;
    if (train?.connection.isUsable === true) return onTrain(train, work);
    const number = this.#asked + 1;
    return new Promise<T>((resolve, reject) => {
      const lead = async (connection: SqlConnection): Promise<void> => {
        const led: Train = { connection, ends: [] };
        if (number === this.#asked) this.#train = led;
        onTrain(led, work).then(resolve, reject);
        for (let end = led.ends.shift(); end !== undefined; end = led.ends.shift()) await end;
        if (this.#train === led) this.#train = null;
      };
      this.run(lead).catch(reject);
    });
  }

  /** The next work gets another session. */
  renew(): void {
    this.#train = null;
    this.#asked++;
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

function onTrain<T>(train: Train, work: (connection: SqlConnection) => Promise<T>): Promise<T> {
  const result = work(train.connection);
  train.ends.push(result.catch(() => undefined));
  return result;
}
