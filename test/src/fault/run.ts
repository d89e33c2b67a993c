import { DATABASES_USAGE, runDatabases } from './databases-run.js';
import { KILLS_USAGE, runKills } from './kills-run.js';
import { POWER_USAGE, runPower } from './power-loss-run.js';
import { ROUTERS_USAGE, runRouters } from './standby-run.js';

/** Long runs that break things on purpose: `npm run test:fault -- WHAT [OPTION...]`. */
const RUNS: Readonly<Record<string, (args: readonly string[], print: (line: string) => void) => Promise<number>>> = {
  databases: runDatabases,
  routers: runRouters,
  power: runPower,
  kills: runKills,
};

const USAGE = `usage: npm run test:fault -- WHAT [OPTION...]\n\n${DATABASES_USAGE}\n\n${ROUTERS_USAGE}\n\n${POWER_USAGE}\n\n${KILLS_USAGE}\n`;

const [what = '', ...args] = process.argv.slice(2);
const run = RUNS[what];
if (run === undefined) {
  process.stderr.write(what === '' ? USAGE : `there is no run "${what}"\n\n${USAGE}`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await run(args, (line) => process.stdout.write(`${line}\n`));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  }
}
