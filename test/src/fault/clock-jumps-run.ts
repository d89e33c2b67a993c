import { parseArgs } from 'node:util';
import { runClockJumps } from './clock-jumps.js';
import { playEpisodes } from './play-episodes.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_JUMPS = 200;
const JUMPS_OF_AN_EPISODE = 20;

export const CLOCK_USAGE = `clock      the wall clock of a router jumps forward and back by hours, under the workload and the judge of the consistency checker
  --jumps N        how often; default: ${DEFAULT_JUMPS}
  --seed N         decides how far, and what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export function runClock(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { jumps: { type: 'string' }, seed: { type: 'string' } } });
  const count = wholeNumber('jumps', values.jumps ?? String(DEFAULT_JUMPS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  const plan = { what: 'jumps of the clock', count, countOfEpisode: JUMPS_OF_AN_EPISODE, seed, print };
  return playEpisodes(plan, (episode) => runClockJumps({ seed: episode.seed, jumps: episode.count }));
}
