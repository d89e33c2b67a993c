import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { COMPILER_FLAGS, compilerEnv } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { runProgram } from './run-program.js';

const TEST = fileURLToPath(new URL('../', import.meta.url));

/** Compiles into `target` by `go build` or `go test -c`, behind everything else on the machine. */
export async function compileGo(
  command: readonly string[],
  target: string,
  packagePath: string,
  folder: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<void> {
  const linking = ['-s -w', ...Object.entries(variables).map(([name, value]) => `-X ${name}=${value}`)].join(' ');
  const args = [...command, ...COMPILER_FLAGS, '-ldflags', linking, '-o', target, packagePath];
  await runProgram('nice', ['-n', '15', 'go', ...args], { cwd: folder, env: compilerEnv(readEnv()) });
}

export interface GoProgram {
  /** Of its file; made of the module's and the package's unless told. */
  readonly name?: string;
  /** Folder of its module below test. */
  readonly module: string;
  /** The main package. */
  readonly package: string;
  /** What the linker sets variables of packages to. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** Compiles a program of ours in Go into the cache, or finds it there; returns its path. */
export async function buildGoProgram(program: GoProgram, cache: string, note: (text: string) => void): Promise<string> {
  const folder = goModuleFolder(program);
  const hash = createHash('sha256').update(await runProgram('go', ['env', 'GOVERSION']));
  for (const file of (await readdir(folder)).sort()) hash.update(file).update(await readFile(join(folder, file)));
  const name = program.name ?? [basename(folder), ...(program.package === '.' ? [] : [basename(program.package)])].join('-');
  const target = join(cache, 'go', `${name}-${hash.digest('hex').slice(0, 12)}`);
  if ((await stat(target).catch(() => null)) !== null) return target;
  note(`compiling ${name} (the first time takes a while)`);
  await mkdir(join(cache, 'go'), { recursive: true });
  const draft = `${target}.${process.pid}`;
  await compileGo(['build', '-buildvcs=false'], draft, program.package, folder, program.variables);
  await rename(draft, target);
  return target;
}

export function goModuleFolder(program: GoProgram): string {
  return join(TEST, program.module);
}
