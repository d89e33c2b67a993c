import type { Database, DatabaseGlance, DatabaseSettings } from './database.js';
import { DataSourceRegistry } from './data-source-registry.js';
import { inspectFile } from './dialects/sqlite/inspect-file.js';
import { SqliteBackend } from './dialects/sqlite/sqlite-backend.js';
import { StoreThreads } from './dialects/sqlite/store-threads.js';
import { DatabaseOpenError } from './database-errors.js';
import { type Endpoint, endpointIdentity, endpointLocation, type SqliteEndpoint } from './topology/endpoint.js';
import type { BackendTls, CompactionPace, ConnectionPool } from './topology/topology.js';

/** How databases are used where nobody says otherwise. */
export interface DatabaseDefaults {
  /** Rows of the log that one step of a compaction goes through. */
  readonly compactBatchSize: number;
  /** No request waits longer for a database. */
  readonly requestTimeoutMs: number;
}

/** What names a database and how it is used: a rule of the topology, or the flags of the default one. */
export interface DatabaseUse {
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly tls: BackendTls | null;
  readonly pool: ConnectionPool;
  readonly compaction: Pick<CompactionPace, 'batchSize'>;
}

interface KnownDatabase {
  readonly database: Database;
  readonly configure: (endpoint: Endpoint, settings: DatabaseSettings) => Promise<void>;
}

/** The databases of one store, each once, whatever the rules call it; with what they share. */
export class Databases {
  readonly #threads = new StoreThreads();
  readonly #registry = new DataSourceRegistry();
  readonly #known = new Map<string, KnownDatabase>();

  constructor(private readonly defaults: DatabaseDefaults) {}

  /** The database of an endpoint, if there was one before. */
  find(endpoint: Endpoint): Database | undefined {
    return this.#known.get(endpointIdentity(endpoint))?.database;
  }

  /** Not opened yet, unless it was there before; `name` and identity are those of the first time then. */
  get(use: DatabaseUse, expectedIdentity: string | null): Database {
    const key = endpointIdentity(use.endpoint);
    let known = this.#known.get(key);
    if (known === undefined) {
      known = this.#make(use.endpoint, this.#settingsOf(use, expectedIdentity));
      this.#known.set(key, known);
    }
    return known.database;
  }

  /** Uses a database that is known by other settings from now on. */
  async configure(use: DatabaseUse): Promise<void> {
    await this.#known.get(endpointIdentity(use.endpoint))?.configure(use.endpoint, this.#settingsOf(use, null));
  }

  /** What a database holds of which this store knows nothing yet. Rejects, with the reason, when it cannot be one. */
  async glance(use: DatabaseUse): Promise<DatabaseGlance> {
    const { endpoint } = use;
    if (endpoint.scheme === 'sqlite') return inspectFile(endpoint.path);
    throw new DatabaseOpenError(endpointLocation(endpoint), new Error('databases of this kind are not served'));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#known.values()].map(({ database }) => database.close()));
    await this.#registry.closeAll();
    await this.#threads.close();
  }

  #make(endpoint: Endpoint, settings: DatabaseSettings): KnownDatabase {
    if (endpoint.scheme === 'sqlite') return this.#makeSqlite(endpoint, settings);
    throw new DatabaseOpenError(endpointLocation(endpoint), new Error('databases of this kind are not served'));
  }

  #makeSqlite(endpoint: SqliteEndpoint, { name, compactBatchSize, expectedIdentity }: DatabaseSettings): KnownDatabase {
    const { path: file, synchronous, busyTimeoutMs } = endpoint;
    const options = { name, file, synchronous, busyTimeoutMs, compactBatchSize, expectedIdentity };
    const database = new SqliteBackend(options, this.#threads.add(), this.#registry);
    return { database, configure: ofScheme('sqlite', (now, settings) => database.configure({ ...now, ...settings })) };
  }

  #settingsOf({ name, tls, pool, compaction }: DatabaseUse, expectedIdentity: string | null): DatabaseSettings {
    const { requestTimeoutMs } = this.defaults;
    return {
      name,
      tls,
      pool,
      compactBatchSize: compaction.batchSize ?? this.defaults.compactBatchSize,
      requestTimeoutMs,
      expectedIdentity,
    };
  }
}

/** A database that is the same has an endpoint of the same scheme. */
function ofScheme<S extends Endpoint['scheme']>(
  scheme: S,
  configure: (endpoint: Extract<Endpoint, { scheme: S }>, settings: DatabaseSettings) => Promise<void>,
): KnownDatabase['configure'] {
  return (endpoint, settings) => {
    if (!hasScheme(endpoint, scheme)) throw new Error(`an endpoint of ${endpoint.scheme} for a database of ${scheme}`);
    return configure(endpoint, settings);
  };
}

function hasScheme<S extends Endpoint['scheme']>(endpoint: Endpoint, scheme: S): endpoint is Extract<Endpoint, { scheme: S }> {
  return endpoint.scheme === scheme;
}
