export { MemoryBackend, MemoryDatabase, type MemoryHooks } from './memory-backend.js';
