import { mkdtemp, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Linux's file system in memory. */
const MEMORY = '/dev/shm';
/** A container may have only a little of it. */
const LEAST_FREE_BYTES = 1024 * 1024 * 1024;

/**
 * A new folder for files that are small and synced often: in memory, where a sync does not wait for what others write to the disk; among the temporary
 * ones where the system has no such memory.
 */
export async function memoryFolder(prefix: string): Promise<string> {
  const memory = await statfs(MEMORY).catch(() => null);
  const isRoomy = memory !== null && memory.bavail * memory.bsize >= LEAST_FREE_BYTES;
  return mkdtemp(join(isRoomy ? MEMORY : tmpdir(), prefix));
}
