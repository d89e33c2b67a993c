import { buildGoProgram, type GoProgram } from '../go-program.js';

const SPECS: GoProgram = { module: 'kubernetes-e2e', package: '.' };
/** Runs the specs side by side, and those that must be alone alone. */
const GINKGO: GoProgram = { module: 'kubernetes-e2e', package: 'github.com/onsi/ginkgo/v2/ginkgo' };

export interface Programs {
  readonly specs: string;
  readonly ginkgo: string;
}

/** Compiles Kubernetes' e2e specs and ginkgo's command, or finds them in the cache. */
export async function buildPrograms(cache: string, note: (text: string) => void): Promise<Programs> {
  return { specs: await buildGoProgram(SPECS, cache, note), ginkgo: await buildGoProgram(GINKGO, cache, note) };
}
