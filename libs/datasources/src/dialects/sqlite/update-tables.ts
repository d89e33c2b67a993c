import Database from 'better-sqlite3';
import { RefusedDatabaseError } from '../../database-errors.js';
import { migrate, MIGRATIONS_TABLE } from '../../migrate.js';
import { SQLITE_MIGRATIONS } from './migrations.js';
import { applyPragmas, type PragmaOptions } from './pragmas.js';

/** Makes a file's tables, or brings them up to date. The caller has the file for itself. Rejects with RefusedDatabaseError when a newer router had it. */
export async function updateTables(file: string, timeout: number, pragmas: PragmaOptions): Promise<void> {
  const prepareDatabase = (database: Database.Database): void => applyPragmas(database, pragmas);
  const done = migrationsIn(file, timeout, prepareDatabase);
  await migrate(file, done, {
    type: 'better-sqlite3',
    driver: Database,
    database: file,
    timeout,
    prepareDatabase,
    migrations: SQLITE_MIGRATIONS,
  });
}

/** Names of the migrations that the file has had; none in an empty one. */
function migrationsIn(file: string, timeout: number, prepare: (database: Database.Database) => void): readonly string[] {
  const database = new Database(file, { timeout });
  try {
    const tables = tablesOf(database);
    prepare(database);
    return tables.size === 0 ? [] : database.prepare<[], string>(`SELECT name FROM ${MIGRATIONS_TABLE}`).pluck().all();
  } finally {
    database.close();
  }
}

/** The tables of a file that is opened. Throws RefusedDatabaseError when they are those of another program. */
export function tablesOf(database: Database.Database): ReadonlySet<string> {
  const tables = new Set(database.prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all());
  const [first] = tables;
  if (first !== undefined && !tables.has(MIGRATIONS_TABLE)) {
    throw new RefusedDatabaseError(`${database.name} is another program's database: it has the table "${first}"; name a file of its own`);
  }
  return tables;
}
