import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheRoot } from '@harikube/local-cluster';
import { ProgramError } from '../run-program.js';
import { type ConformanceOptions, parseOptions, USAGE, UsageError } from './options.js';
import { routerCommand } from './setups.js';
import { buildStorageTests } from './storage-tests.js';
import { runTestProgram, type TestReport } from './test-program.js';

/** Runs what the options say and returns one report per test program; outputs stay in `folder`. */
export async function runConformance(
  options: ConformanceOptions,
  folder: string,
  env: NodeJS.ProcessEnv,
  note: (text: string) => void,
): Promise<TestReport[]> {
  const programs = await buildStorageTests(options.kubernetes, cacheRoot(env), note);
  const command = options.server === undefined ? routerCommand(options.setup) : `exec ${options.server}`;
  const environment = { ...env, SERVER_CMD: command, CONFORMANCE_TLS: options.setup === 'tls' ? '1' : '' };
  const selected = options.suites.map((suite) => ({ name: suite as string, pattern: options.pattern }));
  if (options.setup === 'tls') selected.push({ name: 'factory', pattern: '^TestTLSConnection$' });
  const reports: TestReport[] = [];
  for (const { name, pattern } of selected) {
    reports.push(await runTestProgram({ name, path: join(programs, `${name}.test`), pattern, env: environment, folder }, note));
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

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  const reports = await runConformance(options, folder, process.env, (text) => process.stderr.write(`${text}\n`));
  const green = reports.every((report) => report.failed.length === 0 && report.tests > 0);
  const server = options.server === undefined ? `the router, set-up ${options.setup}` : options.server;
  process.stdout.write(`Kubernetes storage tests v${options.kubernetes} against ${server}\n`);
  for (const report of reports) process.stdout.write(`${summarise(report)}\n`);
  if (green && reports.every((report) => report.timing.length === 0)) await rm(folder, { recursive: true });
  else process.stdout.write(`outputs and the logs of failed tests' servers: ${folder}\n`);
  return green ? 0 : 1;
}

if (import.meta.main) {
  process.exitCode = await main().catch((error: unknown) => {
    if (!(error instanceof UsageError) && !(error instanceof ProgramError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error instanceof UsageError ? 2 : 1;
  });
}
