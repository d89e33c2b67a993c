import { execFile } from 'node:child_process';
import { chown, open, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readEnv } from '@harikube/platform';

const run = promisify(execFile);
const SIZE_MEBIBYTES = 48;
const CHUNK = Buffer.alloc(64 * 1024);

/** A file system of a few mebibytes, in memory, that can be filled up. */
export class SmallDisk {
  private constructor(private readonly folder: string) {}

  /** Over an empty folder; null where this process may not mount anything. In CI that is a failure. */
  static async mount(folder: string): Promise<SmallDisk | null> {
    const { uid, gid } = await stat(folder);
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MEBIBYTES}m,mode=0700`, 'tmpfs', folder]);
    } catch (error) {
      if (readEnv()['CI'] === 'true') throw error;
      return null;
    }
    await chown(folder, uid, gid);
    return new SmallDisk(folder);
  }

  /** Leaves nothing to whoever writes next; the function gives it back. */
  async fill(): Promise<() => Promise<void>> {
    const path = join(this.folder, 'ballast');
    const file = await open(path, 'w');
    try {
      for (let { bavail } = await statfs(this.folder); bavail > 0; { bavail } = await statfs(this.folder)) {
        await file.write(CHUNK).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOSPC') throw error;
        });
      }
    } finally {
      await file.close();
    }
    return () => rm(path);
  }

  /** Also while somebody has files open in it. */
  async unmount(): Promise<void> {
    await run('umount', ['--lazy', this.folder]);
  }
}
