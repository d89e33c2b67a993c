import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import type { DatabaseGlance } from '../../database.js';
import { SideLock } from './side-lock.js';
import { tablesOf } from './update-tables.js';

const NO_DATABASE: DatabaseGlance = { identity: null, storeId: null, keys: 0 };

/** Looks at a file that no backend of this process has open, and changes nothing. Throws, with the reason, when it cannot be a database. */
export function inspectFile(file: string): DatabaseGlance {
  if (!existsSync(file)) {
    checkFolder(dirname(file));
    return NO_DATABASE;
  }
  if (!statSync(file).isFile()) throw new Error(`${file} is not a file`);
  accessSync(file, constants.R_OK | constants.W_OK);
  if (existsSync(`${file}.lock`)) SideLock.take(file).release();
  if (statSync(file).size === 0) return NO_DATABASE;
  const database = new Database(file, { readonly: true, timeout: 1000 });
  try {
    if (!tablesOf(database).has('head')) return NO_DATABASE;
    const meta = database.prepare<[], { identity: string; store_id: string | null }>('SELECT identity, store_id FROM meta').get();
    const live = database.prepare<[], { keys: number }>('SELECT count(*) AS keys FROM head').get();
    return { identity: meta?.identity ?? null, storeId: meta?.store_id ?? null, keys: live?.keys ?? 0 };
  } finally {
    database.close();
  }
}

/** A database's folder is made with it: the nearest one that is there has to let that happen. */
function checkFolder(folder: string): void {
  if (!existsSync(folder)) {
    checkFolder(dirname(folder));
    return;
  }
  if (!statSync(folder).isDirectory()) throw new Error(`${folder} is not a directory`);
  accessSync(folder, constants.W_OK | constants.X_OK);
}
