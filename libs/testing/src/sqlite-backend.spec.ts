import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';
import { SqliteFiles } from './sqlite-files.js';
import { describeBackend } from './describe-backend.js';

const files = new SqliteFiles();

afterAll(() => files.close());

describeBackend('SqliteBackend', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'harikube-sqlite-'));
  return {
    open: () => files.open('main', join(directory, 'main.db')),
    remove: () => rm(directory, { recursive: true }),
    allowsSecondWriter: false,
  };
});
