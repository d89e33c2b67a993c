import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { DatabaseGlance, DatabaseSettings } from '../../database.js';
import { DatabaseOpenError, RefusedDatabaseError } from '../../database-errors.js';
import { migrate, MIGRATIONS_TABLE } from '../../migrate.js';
import { type PostgresEndpoint, postgresLocation } from '../../topology/endpoints/postgres.js';
import type { BatchPlan } from '../sql/batch-plan.js';
import type { SqlCall, SqlConnection, SqlRole } from '../sql/sql-connection.js';
import type { PreparedDatabase, SqlDialect } from '../sql/sql-dialect.js';
import { clientConfig } from './client-config.js';
import { POSTGRES_MIGRATIONS } from './migrations.js';
import { PostgresConnection } from './postgres-connection.js';
import { checkServer } from './server-facts.js';
import { batchCalls, loadCall, POSTGRES_STATEMENTS, TABLES } from './statements.js';

/** A B-tree's entry fits a third of its page (2704 bytes), with two numbers in the index of replacements. */
const MAX_KEY_BYTES = 2640;

/** Another router may be bringing the tables up to date. */
const LOCK_PATIENCE_MS = 60_000;
const LOCK_PAUSE_MS = 50;

/** Whoever reads an answer that slowly holds rows that could be removed. */
const SNAPSHOT_TIMEOUT_MS = 120_000;

const NO_DATABASE = '3D000';
const NO_PRIVILEGE = '42501';
/** CREATE DATABASE while somebody else does the same. */
const MADE_MEANWHILE = new Set(['42P04', '23505']);
const TEMPLATE_IN_USE = '55006';
const CREATE_ATTEMPTS = 20;

/** Every statement of the router has one good plan, by an index; statistics that are not there yet must not talk the server out of it. */
const PLANS = ['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_sort', 'jit']
  .map((name) => `SET ${name} = off`)
  .join('; ');

export class PostgresDialect implements SqlDialect {
  readonly location: string;
  readonly statements = POSTGRES_STATEMENTS;
  readonly maxKeyBytes = MAX_KEY_BYTES;

  constructor(
    private readonly endpoint: PostgresEndpoint,
    private readonly settings: DatabaseSettings,
  ) {
    this.location = postgresLocation(endpoint);
  }

  load(keys: readonly Buffer[]): SqlCall {
    return loadCall(keys);
  }

  batch(plan: BatchPlan): readonly SqlCall[] {
    return batchCalls(plan);
  }

  isWhole(): boolean {
    return true;
  }

  connect(role: SqlRole): Promise<SqlConnection> {
    const { requestTimeoutMs } = this.settings;
    const setUp = [
      this.#session(),
      PLANS,
      'SET plan_cache_mode = force_generic_plan; SET max_parallel_workers_per_gather = 0',
      `SET statement_timeout = ${requestTimeoutMs}; SET lock_timeout = ${requestTimeoutMs}`,
      role === 'reader'
        ? `SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on;
           SET idle_in_transaction_session_timeout = ${SNAPSHOT_TIMEOUT_MS}`
        : `SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;
           SET idle_in_transaction_session_timeout = ${requestTimeoutMs};
           SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')`,
    ];
    return this.#open(setUp.join('; '));
  }

  async prepare(): Promise<PreparedDatabase> {
    return this.#named(async () => {
      const connection = await this.#openOrMake();
      try {
        const warnings = await checkServer(connection, this.location);
        await this.#lock(connection);
        await this.#migrate(connection);
        const [row] = await connection.plain('SELECT identity, store_id FROM meta');
        const [identity, storeId = null] = row ?? [];
        if (typeof identity !== 'string') throw new Error('the meta row is missing');
        return { identity, storeId, warnings };
      } finally {
        connection.destroy(); // and the lock with it
      }
    });
  }

  /** Changes nothing. */
  glance(): Promise<DatabaseGlance> {
    return this.#named(async () => {
      const connection = await this.#openUnlessAbsent();
      if (connection === null) {
        await this.#checkMayMake();
        return { identity: null, storeId: null, keys: 0 };
      }
      try {
        await checkServer(connection, this.location);
        if ((await this.#migrationsIn(connection)).length === 0) return { identity: null, storeId: null, keys: 0 };
        const [row] = await connection.plain('SELECT identity, store_id, (SELECT count(*) FROM head) FROM meta');
        const [identity = null, storeId = null, keys] = row ?? [];
        return { identity, storeId, keys: Number(keys ?? 0) };
      } finally {
        connection.destroy();
      }
    });
  }

  async #openOrMake(): Promise<PostgresConnection> {
    const connection = await this.#openUnlessAbsent();
    if (connection !== null) return connection;
    await this.#makeDatabase();
    return this.#open(this.#session());
  }

  async #openUnlessAbsent(): Promise<PostgresConnection | null> {
    try {
      return await this.#open(this.#session());
    } catch (error) {
      if (codeOf(error) === NO_DATABASE) return null;
      throw error;
    }
  }

  async #makeDatabase(): Promise<void> {
    const { database } = this.endpoint;
    const connection = await this.#openMaintenance();
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          await connection.plain(`CREATE DATABASE ${pg.escapeIdentifier(database)} ENCODING 'UTF8' TEMPLATE template0`);
          return;
        } catch (error) {
          const code = codeOf(error);
          if (MADE_MEANWHILE.has(code)) return;
          if (code === NO_PRIVILEGE) throw this.#mayNotMake();
          if (code !== TEMPLATE_IN_USE || attempt === CREATE_ATTEMPTS) throw error;
          await delay(LOCK_PAUSE_MS);
        }
      }
    } finally {
      connection.destroy();
    }
  }

  async #checkMayMake(): Promise<void> {
    const connection = await this.#openMaintenance();
    try {
      await checkServer(connection, this.location);
      const [row] = await connection.plain('SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user');
      if (row?.[0] !== 't') throw this.#mayNotMake();
    } finally {
      connection.destroy();
    }
  }

  #mayNotMake(): RefusedDatabaseError {
    const { database, user } = this.endpoint;
    return new RefusedDatabaseError(
      `the database of ${this.location} does not exist, and user "${user}" may not make it; ` +
        `have it made: CREATE DATABASE "${database}" OWNER "${user}" ENCODING 'UTF8' TEMPLATE template0`,
    );
  }

  /** A database that every server has, to make another one from. */
  async #openMaintenance(): Promise<PostgresConnection> {
    try {
      return await this.#open('SET client_min_messages = warning', 'postgres');
    } catch (error) {
      if (codeOf(error) !== NO_DATABASE) throw error;
      return this.#open('SET client_min_messages = warning', 'template1');
    }
  }

  /** Holds until the session ends. Another router that opens the database at the same time waits for it. */
  async #lock(connection: PostgresConnection): Promise<void> {
    const key = `hashtextextended(${pg.escapeLiteral(`harikube ${this.endpoint.schema}`)}, 0)`;
    for (let waited = 0; ; waited += LOCK_PAUSE_MS) {
      const [row] = await connection.plain(`SELECT pg_try_advisory_lock(${key})`);
      if (row?.[0] === 't') break;
      if (waited >= LOCK_PATIENCE_MS) throw new Error('another router has been bringing its tables up to date for a minute');
      await delay(LOCK_PAUSE_MS);
    }
    const [held] = await connection.plain(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`);
    if (held?.[0] === '0')
      throw new RefusedDatabaseError(`${this.location} has no advisory locks, which keep two routers from making its tables at once`);
  }

  async #migrate(connection: PostgresConnection): Promise<void> {
    const { schema, user, database } = this.endpoint;
    try {
      const [found] = await connection.plain(`SELECT to_regnamespace(${pg.escapeLiteral(pg.escapeIdentifier(schema))})`);
      if (typeof found?.[0] !== 'string') await connection.plain(`CREATE SCHEMA ${pg.escapeIdentifier(schema)}`);
      const client = await clientConfig(this.endpoint, this.settings);
      const searchPath = `-c search_path=${pg.escapeIdentifier(schema).replace(/([\\ ])/g, '\\$1')}`;
      await migrate(this.location, await this.#migrationsIn(connection), {
        type: 'postgres',
        driver: pg,
        database,
        schema,
        poolSize: 1,
        extra: { ...client, options: client.options === undefined ? searchPath : `${client.options} ${searchPath}` },
        installExtensions: false,
        poolErrorHandler: () => undefined,
        logging: false,
        migrations: POSTGRES_MIGRATIONS,
      });
    } catch (error) {
      if (codeOf(error) !== NO_PRIVILEGE) throw error;
      throw new RefusedDatabaseError(
        `user "${user}" may not make the tables of ${this.location}; grant it: GRANT CREATE ON SCHEMA "${schema}" TO "${user}" (and CREATE ON DATABASE "${database}" where the schema is not there)`,
        { cause: error },
      );
    }
  }

  /** Names of the migrations that the schema has had; none in one that was never a backend. */
  async #migrationsIn(connection: PostgresConnection): Promise<readonly string[]> {
    const schema = pg.escapeIdentifier(this.endpoint.schema);
    const present = async (table: string): Promise<boolean> =>
      typeof (await connection.plain(`SELECT to_regclass(${pg.escapeLiteral(`${schema}.${table}`)})`))[0]?.[0] === 'string';
    if (!(await present(MIGRATIONS_TABLE))) {
      for (const table of TABLES) {
        if (!(await present(table))) continue;
        throw new RefusedDatabaseError(
          `${this.location} has a table "${table}" of another program; name a schema of its own with ?search_path=NAME, or another database`,
        );
      }
      return [];
    }
    return (await connection.plain(`SELECT name FROM ${schema}.${MIGRATIONS_TABLE}`)).map(([name]) => name ?? '');
  }

  #session(): string {
    return `SET client_min_messages = warning; SET search_path = ${pg.escapeIdentifier(this.endpoint.schema)}`;
  }

  async #open(setUp: string, database = this.endpoint.database): Promise<PostgresConnection> {
    const client = { ...(await clientConfig(this.endpoint, this.settings)), database };
    return PostgresConnection.open({ client, timeoutMs: this.settings.requestTimeoutMs, setUp });
  }

  async #named<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof RefusedDatabaseError ? error : new DatabaseOpenError(this.location, error);
    }
  }
}

/** SQLSTATE, of pg's errors, TypeORM's and our own. */
function codeOf(error: unknown): string {
  const { code, server, driverError } = error as { code?: string; server?: { code?: string }; driverError?: { code?: string } };
  return code ?? server?.code ?? driverError?.code ?? '';
}
