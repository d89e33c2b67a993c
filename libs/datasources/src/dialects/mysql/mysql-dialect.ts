import type { DatabaseSettings } from '../../database.js';
import { type MysqlEndpoint, mysqlLocation } from '../../topology/endpoints/mysql.js';
import type { BatchPlan } from '../sql/batch-plan.js';
import type { SqlCall, SqlConnection, SqlRole } from '../sql/sql-connection.js';
import type { PreparedDatabase, SqlDialect } from '../sql/sql-dialect.js';
import type { SqlStatements } from '../sql/sql-statements.js';
import { MAX_KEY_BYTES } from './migrations.js';
import type { ConnectionSettings } from './mysql-connection.js';
import { BYTES_CHARSET, isOneText, MysqlSession } from './mysql-session.js';
import { connectionSettings, explained, lockNameOf, openDatabase } from './open-database.js';
import { DEFAULT_PACKET_BYTES } from './server-settings.js';
import { applyBatch, loadCall, MYSQL_STATEMENTS, packetMisfit } from './statements.js';

/** MySQL has no limit for a transaction that waits for its client: a session that writes ends when it has been idle for so long. */
const WRITER_WAIT_SECONDS = 10;

/** Of a record, beside key and value: numbers and lengths. */
const RECORD_OVERHEAD_BYTES = 64;

/** One database of a MySQL or MariaDB server. */
export class MysqlDialect implements SqlDialect {
  readonly location: string;
  readonly maxKeyBytes = MAX_KEY_BYTES;
  #statements: SqlStatements = MYSQL_STATEMENTS;
  #connection: ConnectionSettings | null = null;
  #maxPacketBytes = DEFAULT_PACKET_BYTES;
  #endsIdleTransactions = false;

  constructor(
    private readonly endpoint: MysqlEndpoint,
    private readonly settings: DatabaseSettings,
  ) {
    this.location = mysqlLocation(endpoint);
  }

  get statements(): SqlStatements {
    return this.#statements;
  }

  async prepare(): Promise<PreparedDatabase> {
    const { identity, storeId, connection, verdict, fileSize } = await openDatabase(this.endpoint, this.settings);
    this.#connection = connection;
    this.#maxPacketBytes = verdict.maxPacketBytes;
    this.#endsIdleTransactions = verdict.product === 'MariaDB';
    if (fileSize !== null) this.#statements = { ...MYSQL_STATEMENTS, size: fileSize };
    return { identity, storeId, warnings: verdict.warnings };
  }

  async connect(role: SqlRole): Promise<SqlConnection> {
    // Other options of a database that is open are taken up without opening it again.
    const connection = (this.#connection ??= await connectionSettings(this.endpoint, this.settings));
    const endsWhenIdle = role !== 'reader' && !this.#endsIdleTransactions;
    const session = endsWhenIdle ? [...connection.session, `SET SESSION wait_timeout = ${WRITER_WAIT_SECONDS}`] : connection.session;
    const takesBytes = role === 'writer' && isAscii(this.endpoint.user) && isAscii(this.endpoint.database);
    const options = takesBytes ? { ...connection.options, charset: BYTES_CHARSET } : connection.options;
    try {
      return await MysqlSession.open(
        { ...connection, options, session },
        {
          role,
          lockName: lockNameOf(this.endpoint.database),
          idleMs: endsWhenIdle ? (WRITER_WAIT_SECONDS * 1000) / 2 : null,
          lockSeconds: connection.lockSeconds,
          takesBytes,
        },
      );
    } catch (error) {
      throw explained(error, this.endpoint);
    }
  }

  load(keys: readonly Buffer[]): SqlCall {
    return loadCall(keys);
  }

  misfit(key: Buffer, value: Buffer): string | null {
    return packetMisfit(key, key.length + value.length + RECORD_OVERHEAD_BYTES, this.#maxPacketBytes);
  }

  batch(plan: BatchPlan): readonly SqlCall[] {
    return applyBatch(plan, this.#maxPacketBytes);
  }

  isWhole(calls: readonly SqlCall[]): boolean {
    return isOneText(calls);
  }
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}
