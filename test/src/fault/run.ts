import { CLOCK_USAGE, runClock } from './clock-jumps-run.js';
import { DATABASES_USAGE, runDatabases } from './databases-run.js';
import { DISKS_USAGE, runDisks } from './disk-faults-run.js';
import { KILLS_USAGE, runKills } from './kills-run.js';
import { POWER_USAGE, runPower } from './power-loss-run.js';
import { ROUTERS_USAGE, runRouters } from './standby-run.js';
import { STOPS_USAGE, runStopsCommand } from './stops-run.js';

/** Long runs that break things on purpose: `npm run test:fault -- WHAT [OPTION...]`. */
const RUNS: Readonly<Record<string, (args: readonly string[], print: (line: string) => void) => Promise<number>>> = {
  databases: runDatabases,
  routers: runRouters,
  power: runPower,
  kills: runKills,
  clock: runClock,
  stops: runStopsCommand,
  disks: runDisks,
};

const USAGES = [DATABASES_USAGE, ROUTERS_USAGE, POWER_USAGE, KILLS_USAGE, CLOCK_USAGE, STOPS_USAGE, DISKS_USAGE];
const USAGE = `usage: npm run test:fault -- WHAT [OPTION...]\n\n${USAGES.join('\n\n')}\n`;

const [what = '', ...args] = process.argv.slice(2);
const run = RUNS[what];
if ([what, ...args].includes('--help')) {
  process.stdout.write(USAGE);
} else if (run === undefined) {
  process.stderr.write(what === '' ? USAGE : `there is no run "${what}"\n\n${USAGE}`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await run(args, (line) => process.stdout.write(`${line}\n`));
  } catch (error) {
    const isUsage = error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
    process.stderr.write(
      isUsage ? `${error.message}\n\n${USAGE}` : `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exitCode = isUsage ? 2 : 1;
  }
}
