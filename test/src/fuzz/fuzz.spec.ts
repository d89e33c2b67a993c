import { describe, expect, it } from '@jest/globals';
import { fuzz, FUZZ_PARTS } from './fuzz.js';

const SEED = 1;
/** Of each part; the long form is `node test/dist/fuzz/run.js`. */
const SECONDS = 10;

describe('the etcd API', () => {
  it.each(FUZZ_PARTS.map((part) => [part.what, part] as const))('bears any %s', async (_what, part) => {
    const { executions, finding } = await fuzz(part, { seed: SEED, seconds: SECONDS, executions: Infinity });
    expect(finding).toBeNull();
    expect(executions).toBeGreaterThan(50);
  });

  /** Seeds of inputs that something was found with. */
  it.each([['codec', 1_013_556]])('bears what %s was found with by seed %d', async (name, seed) => {
    const parts = FUZZ_PARTS.filter((part) => part.name === name);
    for (const part of parts) expect(await fuzz(part, { seed, seconds: SECONDS, executions: 1 })).toEqual({ executions: 1, finding: null });
    expect(parts).toHaveLength(1);
  });
});
