import { DatabaseOpenError, RefusedDatabaseError } from '../../database-errors.js';
import type { DatabaseGlance, DatabaseSettings } from '../../database.js';
import { type MysqlEndpoint, mysqlLocation } from '../../topology/endpoints/mysql.js';
import { MysqlConnection, RefusedStatementError } from './mysql-connection.js';
import { connectionSettings, explained, readVerdict, tablesOf, UNKNOWN_DATABASE } from './open-database.js';

const NO_DATABASE: DatabaseGlance = { identity: null, storeId: null, keys: 0 };

/** Looks at a database and changes nothing. Rejects, with the reason, when it cannot be a backend. */
export async function glanceAtMysql(endpoint: MysqlEndpoint, settings: DatabaseSettings): Promise<DatabaseGlance> {
  try {
    const connection = await MysqlConnection.open(await connectionSettings(endpoint, settings));
    try {
      const { refusals, obstacles } = await readVerdict(connection);
      if (refusals.length > 0) throw new RefusedDatabaseError(`${mysqlLocation(endpoint)} cannot be a backend: ${refusals.join('; ')}`);
      if (obstacles.length > 0) throw new Error(obstacles.join('; '));
      return await glance(connection, endpoint);
    } finally {
      connection.destroy();
    }
  } catch (error) {
    // Whether the user may make it shows when it is opened.
    if (error instanceof RefusedStatementError && error.number === UNKNOWN_DATABASE) return NO_DATABASE;
    throw error instanceof RefusedDatabaseError ? error : new DatabaseOpenError(mysqlLocation(endpoint), explained(error, endpoint));
  }
}

async function glance(connection: MysqlConnection, endpoint: MysqlEndpoint): Promise<DatabaseGlance> {
  const tables = await tablesOf(connection, endpoint);
  // The tables are made one after the other: meta's row comes last.
  if (!['head', 'meta'].every((name) => tables.has(name))) return NO_DATABASE;
  const [meta, heads] = await connection.queryAll(['SELECT identity, store_id FROM meta', 'SELECT COUNT(*) FROM head']);
  const [identity = null, storeId = null] = meta?.rows[0] ?? [];
  return {
    identity: identity === null ? null : String(identity),
    storeId: storeId === null ? null : String(storeId),
    keys: Number(heads?.rows[0]?.[0] ?? 0),
  };
}
