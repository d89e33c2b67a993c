/** Programs of Debian, unpacked into the user's cache folder: no root, nothing installed, no service started. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Env } from '@harikube/platform';
import { cacheRoot } from './binaries.js';
import { FileLock } from './file-lock.js';
import type { Progress } from './progress.js';
import { errorCode, SetupError } from './setup-error.js';

const run = promisify(execFile);
const OUTPUT_BYTES = 16 * 1024 * 1024;

export interface UnpackedPackages {
  /** Stands for the root folder of the system: `/usr/bin/x` is `<root>/usr/bin/x`. */
  readonly root: string;
  /** Value of LD_LIBRARY_PATH with which the programs find the libraries that came with them. */
  readonly libraryPath: string;
}

/**
 * Unpacks a package with what it depends on and this machine lacks; the second time it is there already. Refuses with a `SetupError` that
 * says what to install instead.
 */
export async function unpackDebianPackage(
  name: string,
  { env, progress }: { readonly env: Env; readonly progress: Progress },
): Promise<UnpackedPackages> {
  const folder = join(cacheRoot(env), 'debian');
  const root = join(folder, name);
  mkdirSync(folder, { recursive: true });
  const lock = await FileLock.acquire(`${root}.lock`, {
    onWait: ({ pid }) => progress.note(`waiting for process ${pid}, which unpacks ${name}`),
  });
  try {
    if (statSync(root, { throwIfNoEntry: false }) === undefined) await unpack(name, root, { env, progress });
  } finally {
    lock.release();
  }
  return { root, libraryPath: [...libraryFolders(root)].join(':') };
}

async function unpack(name: string, root: string, { env, progress }: { readonly env: Env; readonly progress: Progress }): Promise<void> {
  const draft = mkdtempSync(`${root}.draft-`);
  try {
    const packages = await missingPackages(name, env);
    progress.note(`fetching ${name} and ${packages.length - 1} packages that it needs from Debian; it is kept in ${root}`);
    const downloads = join(draft, 'packages');
    mkdirSync(downloads);
    await apt('apt-get', ['download', ...packages], name, { env, cwd: downloads });
    const target = join(draft, 'root');
    for (const file of readdirSync(downloads)) await apt('dpkg-deb', ['-x', join(downloads, file), target], name, { env, cwd: draft });
    renameSync(target, root);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** The package and those that would have to be installed for it. */
async function missingPackages(name: string, env: Env): Promise<string[]> {
  const plan = await apt('apt-get', ['install', '--simulate', '--no-install-recommends', name], name, { env, cwd: '/' });
  const packages = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, one = '']) => one);
  if (packages.length === 0)
    throw new SetupError(`${name} is installed as a Debian package, yet its program is not on PATH: ${wayOut(name)}`);
  return packages;
}

async function apt(
  program: string,
  args: readonly string[],
  name: string,
  options: { readonly env: Env; readonly cwd: string },
): Promise<string> {
  try {
    return (await run(program, [...args], { ...options, env: { ...options.env, LC_ALL: 'C' }, maxBuffer: OUTPUT_BYTES })).stdout;
  } catch (error) {
    if (errorCode(error) === 'ENOENT')
      throw new SetupError(`there is no ${program} on this machine to fetch ${name} with: ${wayOut(name)}`);
    const { stderr = '' } = error as { stderr?: string };
    throw new SetupError(`${program} ${args[0] ?? ''} failed for ${name}: ${stderr.trim().split('\n').at(-1) ?? ''}; ${wayOut(name)}`, {
      cause: error,
    });
  }
}

function wayOut(name: string): string {
  return `install ${name} by your system's own means, so that it is on PATH`;
}

function libraryFolders(root: string): Set<string> {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return new Set(files.filter((file) => /\.so(\.\d+)*$/.test(file)).map((file) => dirname(join(root, file))));
}
