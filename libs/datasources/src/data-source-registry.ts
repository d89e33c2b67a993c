import { DataSource, type DataSourceOptions, MigrationExecutor } from 'typeorm';
import { RefusedDatabaseError } from './database-errors.js';

/**
 * Opens and closes TypeORM's DataSources; the only place that makes one. The registry migrates a database before the
 * router's own statements run on it.
 */
export class DataSourceRegistry {
  readonly #sources = new Map<string, DataSource>();

  /** Connects and migrates. `location` tells people which database it is. Rejects with RefusedDatabaseError when its tables are those of a newer router. */
  async open(location: string, options: DataSourceOptions): Promise<DataSource> {
    const source = new DataSource(options);
    await source.initialize();
    this.#sources.set(location, source);
    try {
      const done = await new MigrationExecutor(source).getExecutedMigrations();
      refuseNewerTables(
        location,
        done.map(({ name }) => name),
        source.migrations.map(({ name }) => name),
      );
      await source.runMigrations({ transaction: 'each' });
    } catch (error) {
      await this.close(location);
      throw error;
    }
    return source;
  }

  async close(location: string): Promise<void> {
    const source = this.#sources.get(location);
    this.#sources.delete(location);
    if (source?.isInitialized === true) await source.destroy();
  }

  async closeAll(): Promise<void> {
    for (const location of [...this.#sources.keys()]) await this.close(location);
  }
}

/** Throws RefusedDatabaseError when tables have had a migration that this router does not know: what it would do to them, nobody can tell. */
export function refuseNewerTables(location: string, done: Iterable<string>, known: readonly (string | undefined)[]): void {
  for (const name of done) {
    if (known.includes(name)) continue;
    throw new RefusedDatabaseError(
      `${location} was brought up to date by a newer router: its tables have had the migration "${name}", which this one does not know; ` +
        'use the newer router again, or restore the copies of all databases from before the upgrade',
    );
  }
}
