import { describe, expect, it } from '@jest/globals';
import { fuzz, FUZZ_PARTS } from './fuzz.js';

const SEED = 1;
/** Of each part; the long form is `node test/dist/fuzz/run.js`. */
const SECONDS = 12;

describe('the etcd API', () => {
  it.each(FUZZ_PARTS.map((part) => [part.what, part] as const))('bears any %s', async (_what, part) => {
    const { executions, finding } = await fuzz(part, { seed: SEED, seconds: SECONDS, executions: Infinity });
    expect(finding).toBeNull();
    expect(executions).toBeGreaterThan(50);
  });
});
