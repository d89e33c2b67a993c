import { join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { FileLock } from '@harikube/local-cluster';
import { buildGoProgram, type GoProgram } from '../go-program.js';

const SPECS: GoProgram = { module: 'kubernetes-e2e', package: '.' };
/** Runs the specs side by side, and those that must be alone alone. */
const GINKGO: GoProgram = { module: 'kubernetes-e2e', package: 'github.com/onsi/ginkgo/v2/ginkgo' };

export interface Programs {
  readonly specs: string;
  readonly ginkgo: string;
}

/** Compiles Kubernetes' e2e specs and ginkgo's command, or finds them in the cache. A second process waits for the first. */
export async function buildPrograms(cache: string, note: (text: string) => void): Promise<Programs> {
  await mkdir(join(cache, 'go'), { recursive: true });
  const lock = await FileLock.acquire(join(cache, 'go', 'kubernetes-e2e.lock'), {
    onWait: ({ pid }) => note(`process ${pid} compiles Kubernetes' specs: waiting for it`),
  });
  try {
    return { specs: await buildGoProgram(SPECS, cache, note), ginkgo: await buildGoProgram(GINKGO, cache, note) };
  } finally {
    lock.release();
  }
}
