import type { DatabaseSettings } from '../../database.js';
import type { MysqlEndpoint } from '../../topology/endpoints/mysql.js';
import { SqlBackend } from '../sql/sql-backend.js';
import { MysqlDialect } from './mysql-dialect.js';

/** A backend in one database of a MySQL or MariaDB server. */
export class MysqlBackend extends SqlBackend {
  constructor(endpoint: MysqlEndpoint, settings: DatabaseSettings) {
    super(new MysqlDialect(endpoint, settings), settings);
  }

  /** Other options of the same database, for sessions to come. */
  configure(endpoint: MysqlEndpoint, settings: DatabaseSettings): Promise<void> {
    this.rewire(new MysqlDialect(endpoint, settings), settings);
    return Promise.resolve();
  }
}
