import type { KeyspaceLog } from '@harikube/keyspace';
import type { Database, DatabaseGlance, DatabaseSettings } from './database.js';
import { StoreThreads } from './dialects/sqlite/store-threads.js';
import { type Endpoint, endpointIdentity, type SqliteEndpoint } from './topology/endpoint.js';
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

/** The databases of one store, each once, whatever the rules call it; with what they share. The code for a kind of database is loaded with the first one. */
export class Databases {
  readonly #threads = new StoreThreads();
  readonly #making = new Map<string, Promise<KnownDatabase>>();
  /** Those that are made. */
  readonly #known = new Map<string, KnownDatabase>();

  constructor(
    private readonly defaults: DatabaseDefaults,
    private readonly log: KeyspaceLog,
  ) {}

  /** The database of an endpoint, if there was one before. */
  find(endpoint: Endpoint): Database | undefined {
    return this.#known.get(endpointIdentity(endpoint))?.database;
  }

  /** Not opened yet, unless it was there before; `name` and identity are those of the first time then. */
  async get(use: DatabaseUse, expectedIdentity: string | null): Promise<Database> {
    const key = endpointIdentity(use.endpoint);
    let making = this.#making.get(key);
    if (making === undefined) {
      making = this.#make(use.endpoint, this.#settingsOf(use, expectedIdentity));
      this.#making.set(key, making);
      this.#known.set(key, await making);
    }
    return (await making).database;
  }

  /** Uses a database that is known by other settings from now on. */
  async configure(use: DatabaseUse): Promise<void> {
    await this.#known.get(endpointIdentity(use.endpoint))?.configure(use.endpoint, this.#settingsOf(use, null));
  }

  /** What a database holds of which this store knows nothing yet. Rejects, with the reason, when it cannot be one. */
  async glance(use: DatabaseUse): Promise<DatabaseGlance> {
    const { endpoint } = use;
    const settings = this.#settingsOf(use, null);
    switch (endpoint.scheme) {
      case 'sqlite':
        return (await import('./dialects/sqlite/inspect-file.js')).inspectFile(endpoint.path);
      case 'postgres':
        return (await import('./dialects/postgres/postgres-backend.js')).glanceAtPostgres(endpoint, settings);
      case 'mysql':
        return (await import('./dialects/mysql/glance-at-mysql.js')).glanceAtMysql(endpoint, settings);
      case 'http':
      case 'https':
        return (await import('./etcd/etcd-backend.js')).glanceAtEtcd(endpoint, settings);
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#making.values());
    await Promise.all([...this.#known.values()].map(({ database }) => database.close()));
    await this.#threads.close();
  }

  async #make(endpoint: Endpoint, settings: DatabaseSettings): Promise<KnownDatabase> {
    switch (endpoint.scheme) {
      case 'sqlite':
        return this.#makeSqlite(endpoint, settings);
      case 'postgres': {
        const { PostgresBackend } = await import('./dialects/postgres/postgres-backend.js');
        const database = new PostgresBackend(endpoint, settings);
        return { database, configure: ofScheme(['postgres'], (now, other) => database.configure(now, other)) };
      }
      case 'mysql': {
        const { MysqlBackend } = await import('./dialects/mysql/mysql-backend.js');
        const database = new MysqlBackend(endpoint, settings);
        return { database, configure: ofScheme(['mysql'], (now, other) => database.configure(now, other)) };
      }
      case 'http':
      case 'https': {
        const { EtcdBackend } = await import('./etcd/etcd-backend.js');
        const database = new EtcdBackend(endpoint, settings);
        return { database, configure: ofScheme(['http', 'https'], (now, other) => database.configure(now, other)) };
      }
    }
  }

  async #makeSqlite(endpoint: SqliteEndpoint, { name, compactBatchSize, expectedIdentity }: DatabaseSettings): Promise<KnownDatabase> {
    const { SqliteBackend } = await import('./dialects/sqlite/sqlite-backend.js');
    const { path: file, synchronous, busyTimeoutMs } = endpoint;
    const options = { name, file, synchronous, busyTimeoutMs, compactBatchSize, expectedIdentity };
    const database = new SqliteBackend(options, this.#threads.add());
    return { database, configure: ofScheme(['sqlite'], (now, settings) => database.configure({ ...now, ...settings })) };
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
  schemes: readonly S[],
  configure: (endpoint: Extract<Endpoint, { scheme: S }>, settings: DatabaseSettings) => Promise<void>,
): KnownDatabase['configure'] {
  return (endpoint, settings) => {
    if (!hasScheme(endpoint, schemes)) throw new Error(`an endpoint of ${endpoint.scheme} for a database of ${schemes[0]}`);
    return configure(endpoint, settings);
  };
}

function hasScheme<S extends Endpoint['scheme']>(endpoint: Endpoint, schemes: readonly S[]): endpoint is Extract<Endpoint, { scheme: S }> {
  return (schemes as readonly string[]).includes(endpoint.scheme);
}
