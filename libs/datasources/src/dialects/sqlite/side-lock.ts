import Database from 'better-sqlite3';
import { RefusedDatabaseError } from '../../database-errors.js';

/**
 * Makes sure that one router at a time uses a SQLite file: an exclusive lock on a file beside it. The operating system
 * frees it when the process ends, however it ends. The data file itself stays open to other programs that read.
 */
export class SideLock {
  private constructor(private readonly database: Database.Database) {}

  /** Throws when another process holds the lock. */
  static take(file: string): SideLock {
    const database = new Database(`${file}.lock`, { timeout: 0 });
    try {
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error;
      throw new RefusedDatabaseError(
        `${file} is in use by another router; a SQLite file has one router at a time, so stop the other one first`,
        {
          cause: error,
        },
      );
    }
    return new SideLock(database);
  }

  release(): void {
    this.database.close();
  }
}
