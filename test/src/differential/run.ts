import { runDifferential } from './differential.js';
import { parseOptions, USAGE, UsageError } from './options.js';

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), Date.now());
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const report = await runDifferential({ ...options, print: (text) => process.stderr.write(`${text}\n`) });
  process.stdout.write(`${report.steps} requests in ${report.episodes} episodes, from seed ${options.seed} on\n`);
  if (report.difference === null) return 0;
  process.stdout.write(`${report.difference}\n`);
  return 1;
}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  return 2;
});
