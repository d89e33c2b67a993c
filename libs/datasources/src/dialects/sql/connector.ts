import { performance } from 'node:perf_hooks';
import type { SqlConnection, SqlRole } from './sql-connection.js';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

/**
 * Connects, and after a failure waits a little before it tries again: meanwhile everybody hears at once of the failure,
 * so that no request waits for a database that is not there.
 */
export class Connector {
  #pauseMs = 0;
  #until = 0;
  #problem: unknown;

  constructor(private readonly connect: (role: SqlRole) => Promise<SqlConnection>) {}

  async open(role: SqlRole): Promise<SqlConnection> {
    if (performance.now() < this.#until) throw this.#problem;
    try {
      const connection = await this.connect(role);
      this.#pauseMs = 0;
      return connection;
    } catch (error) {
      this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
      this.#until = performance.now() + this.#pauseMs;
      this.#problem = error;
      throw error;
    }
  }
}
