import { DataSourceRegistry } from '../../data-source-registry.js';
import { endpointIdentity, type SqliteEndpoint } from '../../topology/endpoint.js';
import { SqliteBackend } from './sqlite-backend.js';
import { StoreThreads } from './store-threads.js';

/** The backends of one store, one for each file, whatever the rules call it; with the threads that they share. */
export class SqliteDatabases {
  readonly #threads = new StoreThreads();
  readonly #registry = new DataSourceRegistry();
  readonly #backends = new Map<string, SqliteBackend>();

  /** Rows of the log that one step of a compaction goes through, where a rule does not say. */
  constructor(private readonly compactBatchSize: number) {}

  /** The backend of an endpoint's file, if there was one before. */
  find(endpoint: SqliteEndpoint): SqliteBackend | undefined {
    return this.#backends.get(endpointIdentity(endpoint));
  }

  /** Not opened yet, unless it was there before; `name` and identity are those of the first time then. */
  get(name: string, endpoint: SqliteEndpoint, batchSize: number | undefined, expectedIdentity: string | null): SqliteBackend {
    const key = endpointIdentity(endpoint);
    let backend = this.#backends.get(key);
    if (backend === undefined) {
      const { path: file, synchronous, busyTimeoutMs } = endpoint;
      const compactBatchSize = batchSize ?? this.compactBatchSize;
      const options = { name, file, synchronous, busyTimeoutMs, compactBatchSize, expectedIdentity };
      backend = new SqliteBackend(options, this.#threads.add(), this.#registry);
      this.#backends.set(key, backend);
    }
    return backend;
  }

  /** Opens an open file's connections by other settings; one that is closed has them when it is opened. */
  configure(backend: SqliteBackend, { synchronous, busyTimeoutMs }: SqliteEndpoint, batchSize: number | undefined): Promise<void> {
    return backend.configure({ synchronous, busyTimeoutMs, compactBatchSize: batchSize ?? this.compactBatchSize });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#backends.values()].map((backend) => backend.close()));
    await this.#registry.closeAll();
    await this.#threads.close();
  }
}
