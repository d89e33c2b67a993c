import { parseArgs } from 'node:util';
import { playEpisodes } from './play-episodes.js';
import { wholeNumber } from './run-options.js';
import { runStops } from './stops.js';

const DEFAULT_STOPS = 1;
const DEFAULT_SECONDS = 180;
const STOPS_OF_AN_EPISODE = 10;

export const STOPS_USAGE = `stops      a router is stopped by SIGSTOP and goes on by SIGCONT, under the workload and the judge of the consistency checker
  --stops N        how often; default: ${DEFAULT_STOPS}
  --seconds N      how long each time; default: ${DEFAULT_SECONDS}
  --seed N         decides what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export function runStopsCommand(args: readonly string[], print: (line: string) => void): Promise<number> {
  const options = { stops: { type: 'string' }, seconds: { type: 'string' }, seed: { type: 'string' } } as const;
  const { values } = parseArgs({ args: [...args], options });
  const count = wholeNumber('stops', values.stops ?? String(DEFAULT_STOPS));
  const seconds = wholeNumber('seconds', values.seconds ?? String(DEFAULT_SECONDS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  const plan = { what: `stops of ${seconds} s`, count, countOfEpisode: STOPS_OF_AN_EPISODE, seed, print };
  return playEpisodes(plan, (episode) => runStops({ seed: episode.seed, stops: episode.count, seconds }));
}
