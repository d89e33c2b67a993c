import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP, connect } from 'node:net';
import mysql, { type ConnectionOptions, type SslOptions } from 'mysql2';
import { DatabaseOpenError, RefusedDatabaseError } from '../../database-errors.js';
import type { DatabaseSettings } from '../../database.js';
import { migrate, MIGRATIONS_TABLE } from '../../migrate.js';
import { type MysqlEndpoint, mysqlLocation } from '../../topology/endpoints/mysql.js';
import type { SqlStatement } from '../sql/sql-connection.js';
import { MYSQL_MIGRATIONS } from './migrations.js';
import { type ConnectionSettings, MysqlConnection, RefusedStatementError } from './mysql-connection.js';
import { BEGIN_READ, BEGIN_WRITE } from './mysql-session.js';
import { FILE_SIZES } from './statements.js';
import { judgeServer, SETTINGS_TO_READ, type ServerVerdict } from './server-settings.js';

/** Errors of the server, by their numbers. */
const ACCESS_DENIED = [1044, 1045, 1142, 1227, 1698];
export const UNKNOWN_DATABASE = 1049;

/** A transaction whose router is cut off must not hold the lock of the writer for longer than that router's lease. */
const IDLE_TRANSACTION_SECONDS = 5;

/** How connections to a database are made. Reads the files of its certificates. */
export async function connectionSettings(endpoint: MysqlEndpoint, settings: DatabaseSettings): Promise<ConnectionSettings> {
  const { address, user, password, database, connectTimeoutMs, readTimeoutMs, allowsCleartextPasswords } = endpoint;
  const answerTimeoutMs = Math.min(settings.requestTimeoutMs, readTimeoutMs ?? Number.POSITIVE_INFINITY);
  const seconds = Math.max(1, Math.ceil(answerTimeoutMs / 1000));
  // The server says that it has waited too long before the answer is given up.
  const lockSeconds = Math.max(1, Math.floor((answerTimeoutMs * 0.8) / 1000));
  const ssl = await sslOptions(endpoint, settings);
  const options: ConnectionOptions = {
    ...('socketPath' in address ? { socketPath: address.socketPath } : tcpOptions(address, ssl?.verifyIdentity === true)),
    ...(ssl === null ? {} : { ssl }),
    user,
    password,
    database,
    connectTimeout: Math.min(connectTimeoutMs ?? Number.POSITIVE_INFINITY, settings.requestTimeoutMs),
    enableCleartextPlugin: allowsCleartextPasswords,
    charset: 'utf8mb4',
    supportBigNumbers: true,
    bigNumberStrings: true,
    dateStrings: true,
    multipleStatements: true,
    // An update counts the rows that it finds, whether or not they were different.
    flags: ['FOUND_ROWS'],
  };
  const session = [
    // What a lost connection is doing ends with the time that its caller had. The comments are for one product each.
    `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, innodb_lock_wait_timeout = ${lockSeconds}, lock_wait_timeout = ${lockSeconds}` +
      `/*M!100306 , idle_write_transaction_timeout = ${IDLE_TRANSACTION_SECONDS} */ /*M!100101 , max_statement_time = ${seconds} */` +
      `/*!50708 , max_execution_time = ${seconds * 1000} */ /*!80000 , information_schema_stats_expiry = 0 */`,
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  ];
  return { options, session, answerTimeoutMs, lockSeconds };
}

function tcpOptions({ host, port }: { readonly host: string; readonly port: number }, verifiesIdentity: boolean): ConnectionOptions {
  if (!verifiesIdentity || isIP(host) === 0) return { host, port, enableKeepAlive: true };
  // mysql2 has the certificate of an IP address compared with the name `localhost`; with a dot behind it, which Node takes away again, it is
  // compared with the address.
  return { host: `${host}.`, port, stream: () => connect({ host, port, keepAlive: true, noDelay: true }) };
}

async function sslOptions({ tls, address }: MysqlEndpoint, { tls: files }: DatabaseSettings): Promise<SslOptions | null> {
  if (files === null && tls === 'off') return null;
  const isVerified = !(files?.skipVerify ?? false) && tls !== 'skip-verify';
  const [ca, cert, key] = await Promise.all([files?.caFile, files?.certFile, files?.keyFile].map((file) => readPem(file ?? null)));
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: isVerified,
    // A socket has no name that a certificate could hold.
    verifyIdentity: isVerified && !('socketPath' in address),
    ...(ca === null ? {} : { ca }),
    ...(cert === null ? {} : { cert }),
    ...(key === null ? {} : { key }),
  };
}

async function readPem(file: string | null): Promise<string | null> {
  return file === null ? null : await readFile(file, 'utf8');
}

export interface OpenedDatabase {
  readonly identity: string;
  readonly storeId: string | null;
  readonly connection: ConnectionSettings;
  readonly verdict: ServerVerdict;
  /** Tells the size of the files; null: the user may not see them. */
  readonly fileSize: SqlStatement | null;
}

/**
 * Makes the database when it is absent and the user may, judges the server, and brings the tables up to date. Several
 * routers may do that at once. Rejects with DatabaseOpenError or RefusedDatabaseError.
 */
export async function openDatabase(endpoint: MysqlEndpoint, settings: DatabaseSettings): Promise<OpenedDatabase> {
  const location = mysqlLocation(endpoint);
  try {
    const connection = await connectionSettings(endpoint, settings);
    const first = await connectOrCreate(endpoint, connection);
    try {
      const verdict = await readVerdict(first);
      if (verdict.refusals.length > 0) throw new RefusedDatabaseError(`${location} cannot be a backend: ${verdict.refusals.join('; ')}`);
      if (verdict.obstacles.length > 0) throw new Error(verdict.obstacles.join('; '));
      await updateTables(first, endpoint, connection);
      const { rows } = await first.query('SELECT identity, store_id FROM meta');
      const [identity, storeId = null] = rows[0] ?? [];
      if (identity === undefined || identity === null) throw new Error('the meta row is missing');
      await checkCapabilities(first, location);
      const fileSize = await findFileSize(first);
      return { identity: String(identity), storeId: storeId === null ? null : String(storeId), connection, verdict, fileSize };
    } finally {
      first.destroy();
    }
  } catch (error) {
    throw error instanceof RefusedDatabaseError ? error : new DatabaseOpenError(location, explained(error, endpoint));
  }
}

/** What a backend needs and servers that only speak MySQL's protocol may lack. */
const CAPABILITIES: readonly { readonly name: string; readonly statements: readonly string[] }[] = [
  { name: 'snapshots', statements: [...BEGIN_READ, 'SELECT last_revision FROM meta', 'COMMIT'] },
  { name: 'row locks', statements: [...BEGIN_WRITE, 'SELECT id FROM lease WHERE id = 0 FOR UPDATE', 'ROLLBACK'] },
  { name: 'locks by name', statements: ["DO GET_LOCK('harikube', 0)", "SELECT IS_USED_LOCK('harikube')", "DO RELEASE_LOCK('harikube')"] },
  {
    name: 'window functions',
    statements: ['DO 0', 'SELECT SUM(epoch) OVER (ORDER BY epoch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) FROM meta'],
  },
];

async function checkCapabilities(connection: MysqlConnection, location: string): Promise<void> {
  for (const { name, statements } of CAPABILITIES) {
    try {
      await connection.queryAll(statements);
    } catch (error) {
      if (!(error instanceof RefusedStatementError)) throw error;
      throw new RefusedDatabaseError(`${location} cannot be a backend: its server has no ${name} as MySQL has them: ${error.message}`, {
        cause: error,
      });
    }
  }
}

async function findFileSize(connection: MysqlConnection): Promise<SqlStatement | null> {
  for (const statement of FILE_SIZES) {
    try {
      const { rows } = await connection.query(statement.text);
      if (Number(rows[0]?.[0]) > 0) return statement;
    } catch (error) {
      if (!(error instanceof RefusedStatementError)) throw error;
    }
  }
  return null;
}

async function connectOrCreate(endpoint: MysqlEndpoint, connection: ConnectionSettings): Promise<MysqlConnection> {
  const { database, user } = endpoint;
  try {
    return await MysqlConnection.open(connection);
  } catch (error) {
    if (!(error instanceof RefusedStatementError) || error.number !== UNKNOWN_DATABASE) throw error;
  }
  const { database: _absent, ...anywhere } = connection.options;
  const maker = await MysqlConnection.open({ ...connection, options: anywhere });
  try {
    await maker.query(`CREATE DATABASE IF NOT EXISTS ${quotedName(database)} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
  } catch (error) {
    if (!(error instanceof RefusedStatementError) || !ACCESS_DENIED.includes(error.number)) throw error;
    throw new Error(`there is no database "${database}", and "${user}" may not create it; create it, or grant CREATE on it`, {
      cause: error,
    });
  } finally {
    maker.destroy();
  }
  return await MysqlConnection.open(connection);
}

function quotedName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** What the server is and how it is set. */
export async function readVerdict(connection: MysqlConnection): Promise<ServerVerdict> {
  const names = SETTINGS_TO_READ.map((name) => `'${name}'`).join(', ');
  const [version, settings, innodb] = await connection.queryAll([
    'SELECT version()',
    `SHOW GLOBAL VARIABLES WHERE Variable_name IN (${names})`,
    `SELECT 1 FROM information_schema.engines WHERE engine = 'InnoDB' AND support IN ('YES', 'DEFAULT')`,
  ]);
  return judgeServer({
    version: String(version?.rows[0]?.[0] ?? ''),
    settings: new Map((settings?.rows ?? []).map(([name, value]) => [String(name).toLowerCase(), String(value)])),
    hasInnodb: (innodb?.rows.length ?? 0) > 0,
  });
}

/** The lock is the server's own and ends with the connection; TypeORM migrates on another one meanwhile. */
async function updateTables(
  holder: MysqlConnection,
  endpoint: MysqlEndpoint,
  { options, answerTimeoutMs }: ConnectionSettings,
): Promise<void> {
  const { database } = endpoint;
  const lock = lockNameOf(database);
  const patience = Math.max(1, Math.floor(answerTimeoutMs / 1000) - 1);
  const { rows } = await holder.query(`SELECT get_lock('${lock}', ${patience})`);
  if (Number(rows[0]?.[0]) !== 1) throw new Error('another router is making its tables; try again when it is done');
  const tables = await tablesOf(holder, endpoint);
  const done = tables.has(MIGRATIONS_TABLE) ? (await holder.query(`SELECT name FROM ${MIGRATIONS_TABLE}`)).rows : [];
  await migrate(
    mysqlLocation(endpoint),
    done.map(([name]) => String(name)),
    { type: 'mysql', driver: mysql, database, poolSize: 1, extra: options, migrations: MYSQL_MIGRATIONS },
  );
}

/** The tables of the database, in lower case. Rejects with RefusedDatabaseError when they are those of another program. */
export async function tablesOf(connection: MysqlConnection, endpoint: MysqlEndpoint): Promise<ReadonlySet<string>> {
  const { rows } = await connection.query('SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1');
  const tables = new Set(rows.map(([name]) => String(name).toLowerCase()));
  const [first] = tables;
  if (first !== undefined && !tables.has(MIGRATIONS_TABLE)) {
    throw new RefusedDatabaseError(
      `${mysqlLocation(endpoint)} is another program's database: it has the table "${first}"; name one of its own`,
    );
  }
  return tables;
}

/** What the names of a database's locks begin with: they have at most 64 characters, and hold for the whole server. */
export function lockNameOf(database: string): string {
  return `harikube_${createHash('sha1').update(database).digest('hex')}`;
}

/** Names what the user can do about it. */
export function explained(error: unknown, { user, database }: MysqlEndpoint): unknown {
  if (!(error instanceof RefusedStatementError) || !ACCESS_DENIED.includes(error.number)) return error;
  return new Error(
    `the server refuses user "${user}" for database "${database}": ${error.message}; check its password and its grants, and whether the server wants TLS`,
    {
      cause: error,
    },
  );
}
