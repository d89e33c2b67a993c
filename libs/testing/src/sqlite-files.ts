import { SqliteBackend, StoreThreads } from '@harikube/datasources/engines';

/** Opens SQLite backends for tests, with the threads that they share. */
export class SqliteFiles {
  readonly #threads = new StoreThreads();
  readonly #used: ReturnType<StoreThreads['add']>[] = [];

  /** An absolute path; a file that is there is opened again. */
  async open(name: string, file: string): Promise<SqliteBackend> {
    const options = { name, file, synchronous: 'full', busyTimeoutMs: 5_000, compactBatchSize: 500, expectedIdentity: null } as const;
    const threads = this.#threads.add();
    this.#used.push(threads);
    const backend = new SqliteBackend(options, threads);
    await backend.open();
    return backend;
  }

  /** Ends every thread as if it had crashed. */
  async loseThreads(): Promise<void> {
    await Promise.all(
      this.#used.flatMap(({ writer, points, ranges, keeper }) => [writer, points, ranges, keeper].map((thread) => thread.close())),
    );
  }

  async close(): Promise<void> {
    await this.#threads.close();
  }
}
