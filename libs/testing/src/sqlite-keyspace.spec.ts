import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';
import { describeKeyspace } from './describe-keyspace.js';
import { SqliteFiles } from './sqlite-files.js';

const files = new SqliteFiles();

afterAll(() => files.close());

describeKeyspace('SQLite', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'harikube-sqlite-'));
  return {
    open: (name) => files.open(name, join(directory, `${name}.db`)),
    remove: () => rm(directory, { recursive: true }),
  };
});
