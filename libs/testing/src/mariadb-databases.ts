import { type DatabaseSettings, type MysqlEndpoint, parseMysql } from '@harikube/datasources';
import { MysqlBackend } from '@harikube/datasources/engines';
import { createConnection } from 'mysql2/promise';
import { type MariadbOptions, type MariadbServer, startMariadb } from './databases/mariadb-server.js';

/** How tests use a MySQL or MariaDB server, unless they say otherwise. */
export const MYSQL_SETTINGS: DatabaseSettings = {
  name: 'main',
  tls: null,
  pool: {},
  compactBatchSize: 500,
  requestTimeoutMs: 10_000,
  expectedIdentity: null,
};

/** Where databases for tests come from: each is empty. */
export interface MysqlDatabases {
  /** A data source name. */
  create(): Promise<string>;
  close(): Promise<void>;
}

/** The MariaDB of one spec, started when it is first asked for. */
export class MariadbDatabases implements MysqlDatabases {
  #server: Promise<MariadbServer> | undefined;

  constructor(private readonly options: MariadbOptions = { isDurable: false }) {}

  server(): Promise<MariadbServer> {
    return (this.#server ??= startMariadb(this.options));
  }

  async create(): Promise<string> {
    return (await this.server()).createDatabase();
  }

  async close(): Promise<void> {
    await (await this.#server)?.stop();
  }
}

/** Databases of a server that is there, named by the data source name of a user who may make them; they are dropped at the end. */
export class GivenMysqlDatabases implements MysqlDatabases {
  readonly #names: string[] = [];

  constructor(private readonly url: string) {}

  async create(): Promise<string> {
    const name = `harikube_test_${crypto.randomUUID().replaceAll('-', '')}`;
    this.#names.push(name);
    await this.#query(`CREATE DATABASE ${name}`);
    return this.url.replace(/\/[^/?]*(\?.*)?$/, `/${name}$1`);
  }

  async close(): Promise<void> {
    for (const name of this.#names.splice(0)) await this.#query(`DROP DATABASE ${name}`);
  }

  async #query(statement: string): Promise<void> {
    const { user, password, address } = mysqlEndpoint(this.url);
    const connection = await createConnection({ user, password, ...address });
    await connection.query(statement);
    await connection.end();
  }
}

export function mysqlEndpoint(url: string, changes: Partial<MysqlEndpoint> = {}): MysqlEndpoint {
  return { ...parseMysql(url, 'TEST'), ...changes };
}

export async function openMysql(url: string, settings: Partial<DatabaseSettings> = {}): Promise<MysqlBackend> {
  const backend = new MysqlBackend(mysqlEndpoint(url), { ...MYSQL_SETTINGS, ...settings });
  await backend.open();
  return backend;
}
