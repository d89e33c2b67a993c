import { describeBackend } from './describe-backend.js';
import { MemoryBackend, MemoryDatabase } from './memory-backend.js';

describeBackend('MemoryBackend', async () => {
  const database = new MemoryDatabase();
  return {
    open: async () => new MemoryBackend('memory', database),
    remove: async () => undefined,
    allowsSecondWriter: true,
  };
});
