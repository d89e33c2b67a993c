import { join } from 'node:path';
import { cacheRoot } from '@harikube/local-cluster';
import type { ConformanceOptions } from './options.js';
import { prepareSetup } from './setups.js';
import { buildStorageTests, type Suite } from './storage-tests.js';
import { runTestProgram, type TestReport } from './test-program.js';

/** Runs what the options say and returns one report per test program; outputs stay in `folder`. */
export async function runConformance(
  options: ConformanceOptions,
  folder: string,
  env: NodeJS.ProcessEnv,
  note: (text: string) => void,
): Promise<TestReport[]> {
  const programs = await buildStorageTests(options.kubernetes, cacheRoot(env), note);
  const setup = options.server === undefined ? await prepareSetup(options.setup, env) : null;
  const command = setup === null ? `exec ${options.server}` : setup.command;
  const environment = {
    ...env,
    SERVER_CMD: command,
    CONFORMANCE_TLS: options.setup === 'tls' ? '1' : '',
    CONFORMANCE_REUSE: options.isReusing ? '1' : '',
  };
  const selected: { name: Suite; pattern: string }[] = options.suites.map((suite) => ({ name: suite, pattern: options.pattern }));
  if (options.setup === 'tls') selected.push({ name: 'factory', pattern: '^TestTLSConnection$' });
  const reports: TestReport[] = [];
  try {
    for (const { name, pattern } of selected) {
      reports.push(await runTestProgram({ name, path: join(programs, `${name}.test`), pattern, env: environment, folder }, note));
    }
  } finally {
    await setup?.stop();
  }
  return reports;
}

export function summarise(report: TestReport): string {
  const parts = [`${report.name}: ${report.passed} of ${report.tests} passed in ${Math.round(report.seconds)} s`];
  if (report.skipped.length > 0) parts.push(`skipped by themselves: ${report.skipped.join(', ')}`);
  if (report.timing.length > 0) parts.push(`only at the second try, alone: ${report.timing.join(', ')}`);
  if (report.failed.length > 0) parts.push(`failed: ${report.failed.join(', ')}`);
  return parts.join('; ');
}
