import type Database from 'better-sqlite3';

export interface PragmaOptions {
  readonly synchronous: 'full' | 'normal';
  readonly cacheKib: number;
}

/** SQLite's numbers of `PRAGMA synchronous`. */
const SYNCHRONOUS = { normal: 1n, full: 2n };

/**
 * Sets a connection up and reads back what took effect: SQLite ignores a pragma that it cannot follow (a file system
 * without shared memory has no WAL, for one). Throws when durability would be another one than was asked for.
 */
export function applyPragmas(database: Database.Database, { synchronous, cacheKib }: PragmaOptions): void {
  const journal = String(database.pragma('journal_mode = WAL', { simple: true }));
  if (journal !== 'wal') throw new Error(`${database.name}: journal_mode is "${journal}", not WAL; put the file on a local file system`);
  database.pragma(`synchronous = ${synchronous}`);
  const effective = BigInt(database.pragma('synchronous', { simple: true }) as number | bigint);
  if (effective !== SYNCHRONOUS[synchronous])
    throw new Error(`${database.name}: synchronous is ${effective}, not ${synchronous.toUpperCase()}`);
  // Lists are put together as text.
  const encoding = String(database.pragma('encoding', { simple: true }));
  if (encoding !== 'UTF-8') throw new Error(`${database.name}: its encoding is ${encoding}, not UTF-8; let the router make the file`);
  // Checkpoints have a thread of their own: in the writer's they would stall commits.
  database.pragma('wal_autocheckpoint = 0');
  database.pragma(`cache_size = -${cacheKib}`);
  database.pragma('temp_store = MEMORY');
}
