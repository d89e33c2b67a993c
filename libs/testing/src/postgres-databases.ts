import { type DatabaseSettings, parsePostgres, type PostgresEndpoint } from '@harikube/datasources';
import { PostgresBackend } from '@harikube/datasources/engines';
import { type PostgresServer, type PostgresServerOptions, startPostgres } from './databases/postgres-server.js';

/** How tests use a PostgreSQL server, unless they say otherwise. */
export const POSTGRES_SETTINGS: DatabaseSettings = {
  name: 'main',
  tls: null,
  pool: {},
  compactBatchSize: 500,
  requestTimeoutMs: 10_000,
  expectedIdentity: null,
};

/** The PostgreSQL of one spec, started when it is first asked for. */
export class PostgresDatabases {
  #server: Promise<PostgresServer> | undefined;

  constructor(private readonly options: PostgresServerOptions = { isDurable: false }) {}

  server(): Promise<PostgresServer> {
    return (this.#server ??= startPostgres(this.options));
  }

  /** The data source name of an empty database. */
  async create(): Promise<string> {
    return (await this.server()).createDatabase();
  }

  async close(): Promise<void> {
    await (await this.#server)?.stop();
  }
}

export function postgresEndpoint(dataSourceName: string, changes: Partial<PostgresEndpoint> = {}): PostgresEndpoint {
  return { ...parsePostgres(dataSourceName, 'TEST'), ...changes };
}

/** Not opened yet. */
export function postgresBackend(dataSourceName: string, settings: Partial<DatabaseSettings> = {}): PostgresBackend {
  return new PostgresBackend(postgresEndpoint(dataSourceName), { ...POSTGRES_SETTINGS, ...settings });
}

export async function openPostgres(dataSourceName: string, settings: Partial<DatabaseSettings> = {}): Promise<PostgresBackend> {
  const backend = postgresBackend(dataSourceName, settings);
  await backend.open();
  return backend;
}
