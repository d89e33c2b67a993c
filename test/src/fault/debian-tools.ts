import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { silent, unpackDebianPackage } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';

/** A program that runs another one. */
export interface Wrapper {
  readonly path: string;
  /** Beside this process's own. */
  readonly env: Readonly<Record<string, string>>;
}

/** The strace on PATH, else Debian's, unpacked into the cache folder. */
export async function findStrace(): Promise<Wrapper> {
  const env = readEnv();
  const own = (env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'strace'))
    .find(isExecutable);
  if (own !== undefined) return { path: own, env: {} };
  const { root, libraryPath } = await unpackDebianPackage('strace', { env, progress: silent });
  return { path: join(root, 'usr/bin/strace'), env: { LD_LIBRARY_PATH: libraryPath } };
}

/** The library that gives a process a wall clock of its own: the machine's, else Debian's, unpacked into the cache folder. */
export async function findFakeTime(): Promise<string> {
  const name = 'faketime/libfaketimeMT.so.1';
  const folders = [`/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`, '/usr/lib'];
  const own = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (own !== undefined) return own;
  const { root } = await unpackDebianPackage('libfaketime', { env: readEnv(), progress: silent });
  const unpacked = folders.map((folder) => join(root, folder, name)).find((path) => existsSync(path));
  if (unpacked === undefined) throw new Error(`the package libfaketime in ${root} has no ${name}`);
  return unpacked;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
