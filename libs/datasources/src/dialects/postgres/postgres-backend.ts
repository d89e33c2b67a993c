import type { DatabaseGlance, DatabaseSettings } from '../../database.js';
import type { PostgresEndpoint } from '../../topology/endpoints/postgres.js';
import { SqlBackend } from '../sql/sql-backend.js';
import { PostgresDialect } from './postgres-dialect.js';

/** A backend in a PostgreSQL database. */
export class PostgresBackend extends SqlBackend {
  constructor(endpoint: PostgresEndpoint, settings: DatabaseSettings) {
    super(new PostgresDialect(endpoint, settings), settings);
  }

  /** Other options of the same database. They hold for what begins after the work that is under way. */
  configure(endpoint: PostgresEndpoint, settings: DatabaseSettings): Promise<void> {
    this.rewire(new PostgresDialect(endpoint, settings), settings);
    return Promise.resolve();
  }
}

/** What a database is, without a change to it. Rejects with RefusedDatabaseError or DatabaseOpenError when it cannot be a backend. */
export function glanceAtPostgres(endpoint: PostgresEndpoint, settings: DatabaseSettings): Promise<DatabaseGlance> {
  return new PostgresDialect(endpoint, settings).glance();
}
