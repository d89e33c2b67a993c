/** Root file systems from Debian's packages, in the place of the images that docker/Dockerfile begins with: no container engine runs here. */
import { cp, mkdir, mkdtemp, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheRoot } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { runProgram } from '../run-program.js';

const SUITE = 'bookworm';
/** What the image `distroless/nodejs24-debian12` holds beside Node: no shell, no package manager. */
const BARE_PACKAGES = ['base-files', 'ca-certificates', 'gcc-12-base', 'libc6', 'libgcc-s1', 'libstdc++6', 'netbase', 'tzdata'];
/** A shell, and what its commands need. */
const SHELL_PACKAGES = ['coreutils', 'dash', 'libacl1', 'libattr1', 'libgmp10', 'libpcre2-8-0', 'libselinux1'];

/** A Debian with a shell, and this machine's npm on this process's Node: stands for node:24-bookworm-slim. */
export function buildRoot(env: Env): Promise<string> {
  return cachedRoot(`${SUITE}-shell-node-${process.version}`, env, async (draft) => {
    await unpack([...BARE_PACKAGES, ...SHELL_PACKAGES], draft, env);
    await writeFile(join(draft, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
    await installNode(join(draft, 'usr', 'local', 'bin'));
    // npm comes with the machine's own Node: the package `node` has none.
    const program = (await runProgram('/bin/sh', ['-c', 'command -v npm'], { env })).trim();
    const npm = dirname(dirname(await realpath(program)));
    const target = join(draft, 'usr', 'local', 'lib', 'node_modules', 'npm');
    await cp(npm, target, { recursive: true, dereference: true });
    const command = '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n';
    await writeFile(join(draft, 'usr', 'local', 'bin', 'npm'), command, { mode: 0o755 });
  });
}

/** Node and the libraries that it needs, and nothing else: stands for distroless/nodejs24-debian12. */
export function runRoot(env: Env): Promise<string> {
  return cachedRoot(`${SUITE}-run-node-${process.version}`, env, async (draft) => {
    await unpack(BARE_PACKAGES, draft, env);
    await installNode(join(draft, 'nodejs', 'bin'));
    for (const folder of ['proc', 'dev', 'tmp']) await mkdir(join(draft, folder), { recursive: true });
  });
}

/** Of packages only their files: nothing of them is set up. */
async function unpack(packages: readonly string[], root: string, env: Env): Promise<void> {
  const downloads = await mkdtemp(join(dirname(root), 'packages-'));
  try {
    await runProgram('apt-get', ['download', ...packages], { cwd: downloads, env });
    for (const file of await readdir(downloads)) await runProgram('dpkg-deb', ['-x', join(downloads, file), root]);
  } finally {
    await rm(downloads, { recursive: true });
  }
}

async function installNode(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await cp(process.execPath, join(folder, 'node'));
}

/** A folder of the cache that is whole once it is there. */
async function cachedRoot(name: string, env: Env, fill: (draft: string) => Promise<void>): Promise<string> {
  const folder = join(cacheRoot(env), 'images');
  const target = join(folder, name);
  if ((await stat(target).catch(() => null)) !== null) return target;
  await mkdir(folder, { recursive: true });
  const draft = await mkdtemp(`${target}.draft-`);
  try {
    // What mkdtemp makes is its owner's alone; a root is everybody's.
    await runProgram('chmod', ['755', draft]);
    await fill(draft);
    await rename(draft, target);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return target;
}
