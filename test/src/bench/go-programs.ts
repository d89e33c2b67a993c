import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { goModuleFolder, type GoProgram } from '../go-program.js';

export const LOAD_CLIENT: GoProgram = { module: 'bench/client', package: '.' };
export const KINE: GoProgram = { module: 'bench/kine', package: 'github.com/k3s-io/kine' };

/** The version of a module that the go.mod of a program pins. */
export async function pinnedVersion(program: GoProgram, module: string): Promise<string> {
  const text = await readFile(join(goModuleFolder(program), 'go.mod'), 'utf8');
  const version = new RegExp(`^\\s*(?:require )?${module.replaceAll('.', '\\.')} v(\\S+)`, 'm').exec(text)?.[1];
  if (version === undefined) throw new Error(`test/${program.module}/go.mod does not require ${module}`);
  return version;
}
