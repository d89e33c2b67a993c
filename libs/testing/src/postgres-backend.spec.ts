import { afterAll } from '@jest/globals';
import { describeBackend } from './describe-backend.js';
import { openPostgres, PostgresDatabases } from './postgres-databases.js';

const databases = new PostgresDatabases();

afterAll(() => databases.close());

describeBackend('PostgresBackend', async () => {
  const name = await databases.create();
  return { open: () => openPostgres(name), remove: () => Promise.resolve(), allowsSecondWriter: true };
});
