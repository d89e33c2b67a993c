import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../run-program.js';

/** What the system holds of a folder's files, and how large they are, in megabytes. Linux only. */
export async function cachedMegabytes(folder: string): Promise<{ readonly cached: number; readonly size: number }> {
  const files = await filesOf(folder);
  if (files.length === 0) return { cached: 0, size: 0 };
  const lines = await runProgram('fincore', ['--bytes', '--noheadings', '--output', 'RES,SIZE', ...files]);
  const sums = [0, 0];
  for (const line of lines.trim().split('\n'))
    line
      .trim()
      .split(/\s+/)
      .forEach((bytes, i) => (sums[i] = (sums[i] ?? 0) + Number(bytes)));
  return { cached: (sums[0] ?? 0) / 1024 ** 2, size: (sums[1] ?? 0) / 1024 ** 2 };
}

/** Asks the system to forget a folder's files. What a process has mapped, as etcd does with its database, stays. */
export async function dropFromPageCache(folder: string): Promise<void> {
  for (const file of await filesOf(folder)) {
    // Pages that are not on the disk yet cannot be dropped.
    await runProgram('sync', ['--data', file]);
    await runProgram('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  }
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
