import { parseArgs } from 'node:util';
import { runEpisode } from '../consistency/episode.js';
import { judge } from '../consistency/judge.js';
import { THREE_FILES } from '../consistency/engines.js';
import { playEpisodes } from './play-episodes.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_KILLS = 200;
const KILLS_OF_AN_EPISODE = 20;
const CLIENTS = 6;
const KEYS_OF_AREA = 12;
/** After the last kill. */
const LAST_LIFE_S = 2;

export const KILLS_USAGE = `kills      a router over three SQLite files is killed at random moments, under the workload and the judge of the consistency checker
  --kills N        how often; default: ${DEFAULT_KILLS}
  --seed N         decides when, and what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export function runKills(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { kills: { type: 'string' }, seed: { type: 'string' } } });
  const count = wholeNumber('kills', values.kills ?? String(DEFAULT_KILLS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  return playEpisodes({ what: 'kills', count, countOfEpisode: KILLS_OF_AN_EPISODE, seed, print }, async (episode) => ({
    verdict: judge(
      await runEpisode({
        seed: episode.seed,
        engines: THREE_FILES,
        clients: CLIENTS,
        operations: null,
        keysOfArea: KEYS_OF_AREA,
        seconds: LAST_LIFE_S,
        mutants: [],
        kills: episode.count,
        awaitsLeases: false,
      }),
    ),
  }));
}
