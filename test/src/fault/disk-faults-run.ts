import { parseArgs } from 'node:util';
import { DISK_FAULTS, runDiskFaults } from './disk-faults.js';
import { playEpisodes } from './play-episodes.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_ROUNDS = 20;
/** What fills a disk up is kept by every watch that sees it. */
const ROUNDS_OF_AN_EPISODE = 3;

export const DISKS_USAGE = `disks      SQLite's disks are full, read-only or fail, under the workload and the judge of the consistency checker
  --rounds N       how often each of ${DISK_FAULTS.length} faults happens to each of two databases; default: ${DEFAULT_ROUNDS}
  --seed N         decides what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export function runDisks(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { rounds: { type: 'string' }, seed: { type: 'string' } } });
  const count = wholeNumber('rounds', values.rounds ?? String(DEFAULT_ROUNDS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  const plan = { what: `rounds of ${DISK_FAULTS.length} faults`, count, countOfEpisode: ROUNDS_OF_AN_EPISODE, seed, print };
  return playEpisodes(plan, (episode) =>
    runDiskFaults({ seed: episode.seed, rounds: episode.count, onHappened: (what) => print(`  ${what}`) }),
  );
}
