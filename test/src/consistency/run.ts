import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EpisodePlan, runEpisode } from './episode.js';
import { loadHistory, saveHistory } from './history.js';
import { huntAll } from './hunt.js';
import { judge, type Verdict } from './judge.js';
import { mutantOf, MUTANTS } from './mutants.js';
import { type Options, parseOptions, USAGE, UsageError } from './options.js';
import { shrink, tellHistory } from './shrink.js';

const ROUND_SECONDS = 15;
const KEYS_OF_AREA = 12;
const MUTANTS_AT_ONCE = 2;
const LINES_OF_A_HISTORY = 200;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), Date.now());
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  for (const name of options.mutants) mutantOf(name);
  if (options.replay !== null) return replay(options.replay);
  return options.allMutants ? catchMutants(options) : check(options);
}

async function replay(file: string): Promise<number> {
  const history = await loadHistory(file);
  const verdict = judge(history);
  for (const line of tellHistory(history, LINES_OF_A_HISTORY)) print(line);
  return tell(verdict, `the history of seed ${history.seed}`);
}

async function catchMutants({ seed, seconds }: Options): Promise<number> {
  const caught = await huntAll(MUTANTS, {
    seed,
    seconds,
    atOnce: MUTANTS_AT_ONCE,
    onCatch: ({ mutant, finding, seconds: after, episodes }) => {
      const by = finding === null ? 'NOT CAUGHT' : `caught by the rule "${finding.rule}"`;
      print(`${mutant}: ${by} after ${after.toFixed(1)} s in ${episodes} episode${episodes === 1 ? '' : 's'}`);
    },
  });
  const missed = caught.filter(({ finding }) => finding === null).length;
  print(`${caught.length - missed} of ${caught.length} mutants were caught, from seed ${seed} on`);
  return missed === 0 ? 0 : 1;
}

async function check({ seed, seconds, clients, engines, kills, mutants }: Options): Promise<number> {
  const startedAt = performance.now();
  let operations = 0;
  let events = 0;
  for (let round = 0; round === 0 || performance.now() - startedAt < seconds * 1000; round++) {
    const left = seconds - (performance.now() - startedAt) / 1000;
    const plan: EpisodePlan = {
      seed: seed + round,
      engines,
      clients,
      operations: null,
      keysOfArea: KEYS_OF_AREA,
      seconds: Math.max(1, Math.min(ROUND_SECONDS, left)),
      mutants,
      kills,
      awaitsLeases: true,
    };
    const history = await runEpisode(plan);
    const verdict = judge(history);
    operations += verdict.calls;
    events += verdict.events;
    if (tell(verdict, `seed ${plan.seed}`) > 0) {
      const file = join(tmpdir(), `harikube-consistency-${plan.seed}.json`);
      await saveHistory(file, history);
      print(`the whole history: ${file}; to judge it again: node test/dist/consistency/run.js --replay ${file}`);
      const smallest = await shrink({ plan, history }, runEpisode);
      print(`smallest that fails: ${JSON.stringify(smallest.plan)}`);
      for (const line of tellHistory(smallest.history, LINES_OF_A_HISTORY)) print(line);
      return tell(judge(smallest.history), 'the smallest');
    }
  }
  print(
    `${operations} calls and ${events} events from seed ${seed} on in ${((performance.now() - startedAt) / 1000).toFixed(0)} s, no finding`,
  );
  return 0;
}

function tell(verdict: Verdict, what: string): number {
  const { findings, calls, writes, unknown, watches, events, compactions } = verdict;
  for (const { rule, text } of findings) print(`${rule}: ${text}`);
  print(
    `${what}: ${calls} calls, ${writes} of them writes, ${unknown} of unknown outcome; ${events} events on ${watches} watches; ` +
      `${compactions} compactions; ${findings.length === 0 ? 'no finding' : `${findings.length} findings`}`,
  );
  return findings.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  return 2;
});
