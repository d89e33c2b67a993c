import { parseArgs } from 'node:util';
import { wholeNumber } from './run-options.js';
import { runStops } from './stops.js';

const DEFAULT_STOPS = 1;
const DEFAULT_SECONDS = 180;

export const STOPS_USAGE = `stops      a router is stopped by SIGSTOP and goes on by SIGCONT, under the workload and the judge of the consistency checker
  --stops N        how often; default: ${DEFAULT_STOPS}
  --seconds N      how long each time; default: ${DEFAULT_SECONDS}
  --seed N         decides what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export async function runStopsCommand(args: readonly string[], print: (line: string) => void): Promise<number> {
  const options = { stops: { type: 'string' }, seconds: { type: 'string' }, seed: { type: 'string' } } as const;
  const { values } = parseArgs({ args: [...args], options });
  const stops = wholeNumber('stops', values.stops ?? String(DEFAULT_STOPS));
  const seconds = wholeNumber('seconds', values.seconds ?? String(DEFAULT_SECONDS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  print(`seed ${seed}, ${stops} stops of ${seconds} s`);
  const { verdict, findings } = await runStops({ seed, stops, seconds });
  for (const finding of findings) print(`  FINDING ${finding}`);
  for (const finding of verdict.findings.slice(0, 10)) print(`  FINDING ${finding.rule}: ${finding.text}`);
  const all = findings.length + verdict.findings.length;
  print(`${stops} stops under ${verdict.writes} writes, ${verdict.reads} reads and ${verdict.events} events, ${all} findings`);
  return all === 0 ? 0 : 1;
}
