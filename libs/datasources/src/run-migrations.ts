import { DataSource, type DataSourceOptions } from 'typeorm';

/** Runs the migrations that the database has not had, each in a transaction. Loads TypeORM: a router whose databases are up to date goes without it. */
export async function runMigrations(options: DataSourceOptions): Promise<void> {
  const source = new DataSource(options);
  await source.initialize();
  try {
    await source.runMigrations({ transaction: 'each' });
  } finally {
    await source.destroy();
  }
}
