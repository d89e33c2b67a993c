import { describe, expect, it } from '@jest/globals';
import type { MigrationInterface } from 'typeorm';
import { RefusedDatabaseError } from './database-errors.js';
import { migrate, type MigrationOptions } from './migrate.js';

class First implements MigrationInterface {
  readonly name: string = 'First1';

  up(): Promise<void> {
    return Promise.resolve();
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

class Second extends First {
  override readonly name = 'Second2';
}

describe('migrate', () => {
  const connected = new Error('somebody connected');
  class Driver {
    constructor() {
      throw connected;
    }
  }
  const options: MigrationOptions = { type: 'better-sqlite3', driver: Driver, database: ':memory:', migrations: [First, Second] };

  it('connects to no database that has had all migrations', async () => {
    await expect(migrate('a.db', ['First1', 'Second2'], options)).resolves.toBeUndefined();
  });

  it.each([[[]], [['First1']]])('connects to one that has had %j', async (done) => {
    await expect(migrate('a.db', done, options)).rejects.toBe(connected);
  });

  it('refuses one that a newer router had', async () => {
    const refusal = migrate('a.db', ['First1', 'Second2', 'Third3'], options);
    await expect(refusal).rejects.toBeInstanceOf(RefusedDatabaseError);
    await expect(refusal).rejects.toThrow('a.db was brought up to date by a newer router: its tables have had the migration "Third3"');
  });
});
