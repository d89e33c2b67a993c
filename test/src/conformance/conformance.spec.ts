import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { readEnv } from '@harikube/platform';
import { runConformance, summarise } from './conformance.js';
import { DEFAULT_KUBERNETES } from './options.js';

const MINUTES = 60_000;

describe('the router under the storage tests of Kubernetes, over etcd, PostgreSQL and MariaDB', () => {
  const folder = mkdtemp(join(tmpdir(), 'conformance-'));
  afterAll(async () => rm(await folder, { recursive: true }));

  it.each(['etcd3', 'cacher'] as const)(
    'passes the suite %s',
    async (suite) => {
      // The start of a router is tested elsewhere; a store with a past is what tests seldom have.
      const options = {
        kubernetes: DEFAULT_KUBERNETES,
        suites: [suite],
        setup: 'mix',
        pattern: '.',
        isReusing: true,
        server: undefined,
      } as const;
      const [report] = await runConformance(options, await folder, readEnv(), (text) => process.stderr.write(`${text}\n`));
      if (report === undefined) throw new Error('no report');
      expect({ failed: report.failed, summary: summarise(report) }).toMatchObject({ failed: [] });
      expect(report.tests).toBeGreaterThan(70);
    },
    20 * MINUTES,
  );
});
