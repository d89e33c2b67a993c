import { parseArgs } from 'node:util';
import { Random } from '@harikube/testing';
import { type DatabaseFault, drawFault, faultsOf } from './database-faults.js';
import { type Engine, ENGINES } from './engine-server.js';
import { FaultRound, type Happened } from './fault-round.js';
import { FaultStage, type Target } from './fault-stage.js';
import { wholeNumber } from './run-options.js';

/** Faults between two judgements. */
const FAULTS_OF_A_ROUND = 20;
const DEFAULT_CUTS = 100;
/** How long the routers of a run wait for a database. */
const TIMEOUT_MS = 3000;

export const DATABASES_USAGE = `databases  cuts and faults of databases under a checked workload
  --engine ENGINE  ${ENGINES.join(', ')}, or a list of them; default: all
  --cuts N         faults for each engine; default: ${DEFAULT_CUTS}
  --seed N         decides which; default: from the time
  --only TEXT      only faults whose name contains it`;

interface EngineResult {
  readonly findings: number;
  readonly happened: readonly Happened[];
}

/** Prints what happened and the verdict; resolves with the process's exit code. */
export async function runDatabases(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { engine: { type: 'string' }, cuts: { type: 'string' }, seed: { type: 'string' }, only: { type: 'string' } },
  });
  const engines = (values.engine ?? ENGINES.join(',')).split(',').map(engineNamed);
  const cuts = wholeNumber('cuts', values.cuts ?? String(DEFAULT_CUTS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  print(`seed ${seed}, ${cuts} faults on each of ${engines.join(', ')}`);
  let findings = 0;
  for (const engine of engines) {
    const startedAt = performance.now();
    const result = await runEngine(engine, { cuts, seed, only: values.only ?? '' }, print);
    findings += result.findings;
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    for (const line of countsOf(result.happened)) print(`  ${line}`);
    print(`${engine}: ${result.happened.length} faults with seed ${seed} in ${seconds} s, ${result.findings} findings`);
  }
  return findings === 0 ? 0 : 1;
}

interface RunOptions {
  readonly cuts: number;
  readonly seed: number;
  readonly only: string;
}

async function runEngine(engine: Engine, { cuts, seed, only }: RunOptions, print: (line: string) => void): Promise<EngineResult> {
  const random = new Random(seed);
  const stage = await FaultStage.start({ main: engine, kinds: { users: engine, emails: 'sqlite' }, timeoutMs: TIMEOUT_MS });
  const faultsNamed = (target: Target): DatabaseFault[] => faultsOf(target).filter(({ name }) => name.includes(only));
  const targets = stage.targets.filter((target) => faultsNamed(target).length > 0);
  const happened: Happened[] = [];
  let findings = 0;
  let seen = 0n;
  const onHappened = ({ fault, area, backAfterMs }: Happened): void => print(`  ${area}: ${fault}, back after ${backAfterMs} ms`);
  try {
    if (targets.length === 0) throw new Error(`no fault of ${engine} has a name with "${only}"`);
    for (let round = 1; happened.length < cuts; round++) {
      const running = await FaultRound.begin({ stage, random, seed: seed + round, seen, timeoutMs: TIMEOUT_MS, onHappened });
      for (let i = Math.min(FAULTS_OF_A_ROUND, cuts - happened.length); i > 0; i--) {
        const target = random.pick(targets);
        await running.suffer(target, drawFault(faultsNamed(target), random));
      }
      const verdict = await running.end(random.chance(0.5));
      happened.push(...running.happened);
      seen = running.highest;
      findings += verdict.findings.length;
      const { findings: sentences, ...counts } = verdict;
      print(`${engine} round ${round}: ${JSON.stringify(counts)}`);
      for (const sentence of sentences.slice(0, 20)) print(`  FINDING ${sentence}`);
    }
  } finally {
    await stage.remove();
  }
  return { findings, happened };
}

/** How often each fault happened, and how long its keys were away after it. */
function countsOf(happened: readonly Happened[]): string[] {
  const byFault = Map.groupBy(happened, ({ fault }) => fault);
  return [...byFault].map(([fault, all]) => {
    const slowest = Math.max(...all.map(({ backAfterMs }) => backAfterMs));
    return `${String(all.length).padStart(4)}  ${fault} (back after ${slowest} ms at most)`;
  });
}

function engineNamed(name: string): Engine {
  const engine = ENGINES.find((each) => each === name);
  if (engine === undefined) throw new Error(`--engine=${name} is not known; write one of ${ENGINES.join(', ')}`);
  return engine;
}
