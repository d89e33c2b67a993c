import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheRoot } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { buildGoProgram, type GoProgram } from '../go-program.js';
import { runProgram } from '../run-program.js';
import type { Answer, TemplateCase } from './template-case.js';

const ORACLE: GoProgram = { module: 'go/template-oracle', package: '.' };

/** What Go's own text/template says to these cases, in their order. */
export async function answersOfGo(cases: readonly TemplateCase[]): Promise<Answer[]> {
  const oracle = await buildGoProgram(ORACLE, cacheRoot(readEnv()), (text) => process.stderr.write(`${text}\n`));
  const folder = await mkdtemp(join(tmpdir(), 'template-oracle-'));
  try {
    const file = join(folder, 'cases');
    await writeFile(file, cases.map((one) => JSON.stringify({ name: 't', functions: 'go', data: null, ...one })).join('\n'));
    const lines = (await runProgram(oracle, [file])).trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line) as Answer);
  } finally {
    await rm(folder, { recursive: true });
  }
}
