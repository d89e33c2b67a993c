import { parseArgs } from 'node:util';
import { runEpisode } from '../consistency/episode.js';
import { judge } from '../consistency/judge.js';
import { THREE_FILES } from '../consistency/engines.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_KILLS = 200;
/** Kills of one store. */
const KILLS_OF_AN_EPISODE = 20;
const CLIENTS = 6;
const KEYS_OF_AREA = 12;
/** After the last kill. */
const LAST_LIFE_S = 2;

export const KILLS_USAGE = `kills      a router over three SQLite files is killed at random moments, under the workload and the judge of the consistency checker
  --kills N        how often; default: ${DEFAULT_KILLS}
  --seed N         decides when, and what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export async function runKills(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { kills: { type: 'string' }, seed: { type: 'string' } } });
  const kills = wholeNumber('kills', values.kills ?? String(DEFAULT_KILLS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  print(`seed ${seed}, ${kills} kills`);
  const startedAt = performance.now();
  let findings = 0;
  for (let done = 0, episode = 1; done < kills; episode++) {
    const now = Math.min(KILLS_OF_AN_EPISODE, kills - done);
    const history = await runEpisode({
      seed: seed + episode,
      engines: THREE_FILES,
      clients: CLIENTS,
      operations: null,
      keysOfArea: KEYS_OF_AREA,
      seconds: LAST_LIFE_S,
      mutants: [],
      kills: now,
      awaitsLeases: false,
    });
    const verdict = judge(history);
    done += now;
    findings += verdict.findings.length;
    print(
      `episode ${episode}: ${now} kills, ${verdict.findings.length} findings of ${verdict.writes} writes, ${verdict.reads} reads and ${verdict.events} events`,
    );
    for (const finding of verdict.findings.slice(0, 10)) print(`  FINDING ${finding.rule}: ${finding.text}`);
  }
  print(`${kills} kills with seed ${seed} in ${Math.round((performance.now() - startedAt) / 1000)} s, ${findings} findings`);
  return findings === 0 ? 0 : 1;
}
