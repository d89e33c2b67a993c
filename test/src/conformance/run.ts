import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnv } from '@harikube/platform';
import { ProgramError } from '../run-program.js';
import { runConformance, summarise } from './conformance.js';
import { parseOptions, USAGE, UsageError } from './options.js';

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  const reports = await runConformance(options, folder, readEnv(), (text) => process.stderr.write(`${text}\n`));
  const green = reports.every((report) => report.failed.length === 0 && report.tests > 0);
  const server = options.server === undefined ? `the router, set-up ${options.setup}` : options.server;
  process.stdout.write(`Kubernetes storage tests v${options.kubernetes} against ${server}\n`);
  for (const report of reports) process.stdout.write(`${summarise(report)}\n`);
  if (green && reports.every((report) => report.timing.length === 0)) await rm(folder, { recursive: true });
  else process.stdout.write(`outputs and the logs of failed tests' servers: ${folder}\n`);
  return green ? 0 : 1;
}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof UsageError) && !(error instanceof ProgramError)) throw error;
  process.stderr.write(`${error.message}\n`);
  return error instanceof UsageError ? 2 : 1;
});
