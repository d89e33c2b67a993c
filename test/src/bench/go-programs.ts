import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../run-program.js';

const SOURCES = fileURLToPath(new URL('../../bench/', import.meta.url));

interface GoProgram {
  /** Folder of its module below test/bench. */
  readonly module: string;
  /** The main package. */
  readonly package: string;
}

export const LOAD_CLIENT: GoProgram = { module: 'client', package: '.' };
export const KINE: GoProgram = { module: 'kine', package: 'github.com/k3s-io/kine' };

/** Compiles a program of test/bench into the cache, or finds it there; returns its path. */
export async function buildGoProgram(program: GoProgram, cache: string, note: (text: string) => void): Promise<string> {
  const folder = join(SOURCES, program.module);
  const hash = createHash('sha256').update(await runProgram('go', ['env', 'GOVERSION']));
  for (const file of (await readdir(folder)).sort()) hash.update(file).update(await readFile(join(folder, file)));
  const target = join(cache, 'bench', `${program.module}-${hash.digest('hex').slice(0, 12)}`);
  if ((await stat(target).catch(() => null)) !== null) return target;
  note(`compiling ${program.module} (the first time takes a while)`);
  await mkdir(join(cache, 'bench'), { recursive: true });
  const draft = `${target}.${process.pid}`;
  await runProgram('go', ['build', '-trimpath', '-o', draft, program.package], { cwd: folder });
  await rename(draft, target);
  return target;
}

/** The version of a module that a go.mod below test/bench pins. */
export async function pinnedVersion(program: GoProgram, module: string): Promise<string> {
  const text = await readFile(join(SOURCES, program.module, 'go.mod'), 'utf8');
  const version = new RegExp(`^\\s*(?:require )?${module.replaceAll('.', '\\.')} v(\\S+)`, 'm').exec(text)?.[1];
  if (version === undefined) throw new Error(`test/bench/${program.module}/go.mod does not require ${module}`);
  return version;
}
