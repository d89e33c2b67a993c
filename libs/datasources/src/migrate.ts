import type { DataSourceOptions, MigrationInterface } from 'typeorm';
import { RefusedDatabaseError } from './database-errors.js';

/** Where TypeORM writes down the migrations that a database has had, in a column `name`. */
export const MIGRATIONS_TABLE = 'harikube_migrations';

/** A database, and the migrations that its tables need. */
export type MigrationOptions = DataSourceOptions & {
  readonly migrations: readonly (new () => MigrationInterface & { readonly name: string })[];
};

/**
 * Brings a database's tables up to date by a DataSource of TypeORM's, which nothing else makes. `done` names the migrations that it has had; with all of them,
 * nobody connects. The caller holds a lock against other routers meanwhile. `location` tells people which database it is. Rejects with RefusedDatabaseError when a
 * newer router had it: what this one would do to its tables, nobody can tell.
 */
export async function migrate(location: string, done: readonly string[], options: MigrationOptions): Promise<void> {
  // By the names that TypeORM writes down: a bundle may call classes otherwise.
  const known = options.migrations.map((Migration) => new Migration().name);
  const unknown = done.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new RefusedDatabaseError(
      `${location} was brought up to date by a newer router: its tables have had the migration "${unknown}", which this one does not know; ` +
        'use the newer router again, or restore the copies of all databases from before the upgrade',
    );
  }
  if (known.every((name) => done.includes(name))) return;
  const { runMigrations } = await import('./run-migrations.js');
  await runMigrations({ ...options, migrationsTableName: MIGRATIONS_TABLE, synchronize: false });
}
