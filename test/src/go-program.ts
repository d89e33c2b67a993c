import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { COMPILER_FLAGS, compilerEnv, FileLock } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { runProgram } from './run-program.js';

const TEST = fileURLToPath(new URL('../', import.meta.url));

export interface GoCompilation extends Pick<GoProgram, 'variables'> {
  /** `go build` or `go test -c`, with flags of their own. */
  readonly command: readonly string[];
  readonly package: string;
  /** Where go.mod is. */
  readonly folder: string;
  /** The program that is made. */
  readonly target: string;
}

/** Compiles a program in Go behind everything else on the machine. */
export async function compileGo({ command, package: name, folder, target, variables = {} }: GoCompilation): Promise<void> {
  const linking = ['-s -w', ...Object.entries(variables).map(([variable, value]) => `-X ${variable}=${value}`)].join(' ');
  const args = [...command, ...COMPILER_FLAGS, '-ldflags', linking, '-o', target, name];
  await runProgram('nice', ['-n', '15', 'go', ...args], { cwd: folder, env: compilerEnv(readEnv()) });
}

export interface GoProgram {
  /** Of its file; made of the module's and the package's unless told. */
  readonly name?: string;
  /** Folder of its module, from test. */
  readonly module: string;
  /** The main package. */
  readonly package: string;
  /** What the linker sets variables of packages to. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** Compiles a program whose versions a module of this repository pins into the cache, or finds it there; returns its path. A second process waits for the first. */
export async function buildGoProgram(program: GoProgram, cache: string, note: (text: string) => void): Promise<string> {
  const folder = goModuleFolder(program);
  const hash = createHash('sha256').update(await runProgram('go', ['env', 'GOVERSION']));
  for (const file of (await readdir(folder)).sort()) hash.update(file).update(await readFile(join(folder, file)));
  const name = program.name ?? [basename(folder), ...(program.package === '.' ? [] : [basename(program.package)])].join('-');
  const target = join(cache, 'go', `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (await isThere(target)) return target;
  await mkdir(join(cache, 'go'), { recursive: true });
  const lock = await FileLock.acquire(`${target}.lock`, { onWait: ({ pid }) => note(`process ${pid} compiles ${name}: waiting for it`) });
  try {
    if (await isThere(target)) return target;
    note(`compiling ${name} (the first time takes a while)`);
    const draft = `${target}.${process.pid}`;
    const { package: main, variables } = program;
    await compileGo({ command: ['build', '-buildvcs=false'], package: main, folder, target: draft, variables });
    await rename(draft, target);
  } finally {
    lock.release();
  }
  return target;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

export function goModuleFolder(program: GoProgram): string {
  return join(TEST, program.module);
}
