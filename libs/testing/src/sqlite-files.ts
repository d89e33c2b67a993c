import { DataSourceRegistry, SqliteBackend, StoreThreads } from '@harikube/datasources';

/** Opens SQLite backends for tests, with the threads that they share. */
export class SqliteFiles {
  readonly #threads = new StoreThreads();
  readonly #registry = new DataSourceRegistry();

  /** An absolute path; a file that is there is opened again. */
  async open(name: string, file: string): Promise<SqliteBackend> {
    const options = { name, file, synchronous: 'full', busyTimeoutMs: 5_000, compactBatchSize: 500, expectedIdentity: null } as const;
    const backend = new SqliteBackend(options, this.#threads.add(), this.#registry);
    await backend.open();
    return backend;
  }

  async close(): Promise<void> {
    await this.#registry.closeAll();
    await this.#threads.close();
  }
}
