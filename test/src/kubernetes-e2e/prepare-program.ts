// Compiles Kubernetes' e2e specs into the cache, so that no test waits for it.
import { cacheRoot } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { ProgramError } from '../run-program.js';
import { buildPrograms } from './programs.js';

try {
  await buildPrograms(cacheRoot(readEnv()), (text) => process.stderr.write(`${text}\n`));
} catch (error) {
  if (!(error instanceof ProgramError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
