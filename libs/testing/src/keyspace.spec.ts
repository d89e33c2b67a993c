import { describeKeyspace } from './describe-keyspace.js';
import { MemoryBackend, MemoryDatabase } from './memory-backend.js';

describeKeyspace('databases in memory', async () => {
  const databases = new Map<string, MemoryDatabase>();
  const databaseOf = (name: string): MemoryDatabase => {
    const database = databases.get(name) ?? new MemoryDatabase();
    databases.set(name, database);
    return database;
  };
  return { open: async (name) => new MemoryBackend(name, databaseOf(name)), remove: async () => undefined };
});
