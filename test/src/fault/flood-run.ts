import { parseArgs } from 'node:util';
import { table } from '../bench/table.js';
import { FLOOD_CASES, type FloodCaseName } from './flood-cases.js';
import { type FloodHalf, type FloodMeasurement, FloodStage, type FloodVerdict, judgeFlood } from './flood-stage.js';

const USAGE = `usage: node test/dist/fault/flood-run.js [OPTION...]

Hostile and clumsy clients against a router, each beside a client that puts and gets all the time: medians of the rounds, of memory the largest growth. A second of CPU in a second is 1.
  --only TEXT     only cases whose name contains it
  --seconds N     of each half, without the flood and with it; default: 15
  --rounds N      how often both are measured, one after the other; default: 3
`;

/** After each flood, before the next round. */
const REST_SECONDS = 1;

const HEADER = [
  'flood',
  'MB, peak without → with (after)',
  'p50, without → with',
  'p99, without → with',
  'router CPU, without → with (event loop)',
  'the offender got',
  'memory',
  'p99',
  'ended',
  'else',
];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '15' },
    rounds: { type: 'string', default: '3' },
    help: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const names = (Object.keys(FLOOD_CASES) as FloodCaseName[]).filter((name) => name.includes(values.only));
if (values.help || !(seconds > 0) || !(rounds >= 1) || names.length === 0) {
  process.stdout.write(USAGE);
  process.exitCode = values.help ? 0 : 2;
} else process.exitCode = await run();

async function run(): Promise<number> {
  const rows: string[][] = [];
  let isKept = true;
  for (const name of names) {
    const stage = await FloodStage.start();
    const measurement = await stage.measure(name, { seconds, rounds, restSeconds: REST_SECONDS });
    const exitCode = await stage.stop();
    const verdict = judgeFlood(measurement, seconds);
    const problems = [...verdict.problems];
    if (exitCode !== 0) problems.push(`the router ended with ${exitCode}`);
    isKept &&= verdict.memory && verdict.latency && verdict.ended && problems.length === 0;
    rows.push(row(measurement, verdict, problems));
    process.stderr.write(`${rows.at(-1)?.join(' | ')}\n`);
  }
  process.stdout.write(`${table(HEADER, rows)}\n`);
  return isKept ? 0 : 1;
}

function row(measurement: FloodMeasurement, verdict: FloodVerdict, problems: readonly string[]): string[] {
  const { name, without, with: beside, growthMegabytes, afterMegabytes, outcome } = measurement;
  const both = (field: keyof FloodHalf, digits: number): string => `${without[field].toFixed(digits)} → ${beside[field].toFixed(digits)}`;
  return [
    name,
    `${both('peakMegabytes', 0)} (${afterMegabytes.toFixed(0)}): +${growthMegabytes.toFixed(0)}`,
    both('p50', 2),
    `${both('p99', 2)}: ${(beside.p99 / without.p99).toFixed(1)}x`,
    `${both('router', 2)} (${both('eventLoop', 2)})`,
    [`${outcome.connections} connections`, counts(outcome.ended), counts(outcome.resets)].filter(Boolean).join('; '),
    kept(verdict.memory),
    kept(verdict.latency),
    kept(verdict.ended),
    problems.join('; '),
  ];
}

function counts(all: Readonly<Record<string, number>>): string {
  return Object.entries(all)
    .map(([what, times]) => `${times} x ${what}`)
    .join(', ');
}

function kept(isKept: boolean): string {
  return isKept ? 'kept' : 'NOT kept';
}
