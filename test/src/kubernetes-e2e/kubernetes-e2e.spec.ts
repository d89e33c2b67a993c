import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { readEnv } from '@harikube/platform';
import { runKubernetesE2e, summarise } from './kubernetes-e2e.js';

const MINUTES = 60_000;

describe("the router under Kubernetes' own end-to-end specs, over several databases", () => {
  const folder = mkdtemp(join(tmpdir(), 'kubernetes-e2e-'));
  afterAll(async () => rm(await folder, { recursive: true }));

  it(
    'passes the quick ones, as etcd does',
    async () => {
      const options = { stores: ['router'], focus: undefined, isShort: true, parallel: 8 } as const;
      const note = (text: string): boolean => process.stderr.write(`${text}\n`);
      const { specs, runs } = await runKubernetesE2e(options, await folder, readEnv(), note);
      expect(specs).toBeGreaterThan(40);
      expect(runs.map((run) => summarise(run)[0])).toEqual([expect.stringMatching(`^router: ${specs} of ${specs} passed in `)]);
    },
    15 * MINUTES,
  );
});
