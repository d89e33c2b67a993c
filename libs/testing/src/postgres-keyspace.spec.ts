import { afterAll } from '@jest/globals';
import { describeKeyspace } from './describe-keyspace.js';
import { openPostgres, PostgresDatabases } from './postgres-databases.js';

const databases = new PostgresDatabases();

afterAll(() => databases.close());

describeKeyspace('PostgreSQL', () => {
  const names = new Map<string, Promise<string>>();
  return Promise.resolve({
    open: async (backend) => {
      const name = names.get(backend) ?? databases.create();
      names.set(backend, name);
      return openPostgres(await name, { name: backend });
    },
    remove: () => Promise.resolve(),
  });
});
