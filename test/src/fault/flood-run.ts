import { parseArgs } from 'node:util';
import { table } from '../bench/table.js';
import { FLOOD_CASES, type FloodCaseName } from './flood-cases.js';
import { type FloodMeasurement, FloodStage, judgeFlood } from './flood-stage.js';

const USAGE = `usage: node test/dist/fault/flood-run.js [OPTION...]

Hostile and clumsy clients against a router, each beside a client that puts and gets all the time.
  --only TEXT     only cases whose name contains it
  --seconds N     of each half, without the flood and with it; default: 15
`;

const MAX_GROWTH_MEGABYTES = 50;
/** How much later the other client's slowest calls may be. */
const MAX_P99_FACTOR = 2;

const HEADER = ['case', 'memory before/peak/after MB', 'p50 without/with ms', 'p99 without/with ms', 'what the offender got', 'verdict'];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '15' },
    help: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const names = (Object.keys(FLOOD_CASES) as FloodCaseName[]).filter((name) => name.includes(values.only));
if (values.help || !(seconds > 0) || names.length === 0) {
  process.stdout.write(USAGE);
  process.exitCode = values.help ? 0 : 2;
} else process.exitCode = await run();

async function run(): Promise<number> {
  const rows: string[][] = [];
  let findings = 0;
  for (const name of names) {
    const stage = await FloodStage.start();
    const measurement = await stage.measure(name, { seconds, restSeconds: Math.min(seconds, 10) });
    const exitCode = await stage.stop();
    const problems = [...judgeFlood(measurement, seconds, MAX_GROWTH_MEGABYTES), ...judgeLatency(measurement)];
    if (exitCode !== 0) problems.push(`the router ended with ${exitCode}`);
    findings += problems.length;
    rows.push([...row(measurement), problems.join('; ') || 'ok']);
    process.stderr.write(`${rows.at(-1)?.join(' | ')}\n`);
  }
  process.stdout.write(`${table(HEADER, rows)}\n`);
  return findings === 0 ? 0 : 1;
}

function judgeLatency({ without, with: beside }: FloodMeasurement): readonly string[] {
  return beside.p99 > MAX_P99_FACTOR * without.p99 ? [`p99 is ${(beside.p99 / without.p99).toFixed(1)} times as long`] : [];
}

function row({ name, memory, without, with: beside, outcome }: FloodMeasurement): string[] {
  const ms = (value: number): string => value.toFixed(2);
  const counts = (all: Readonly<Record<string, number>>): string =>
    Object.entries(all)
      .map(([what, times]) => `${times} x ${what}`)
      .join(', ');
  return [
    name,
    [memory.before, memory.peak, memory.after].map((value) => value.toFixed(0)).join('/'),
    `${ms(without.p50)}/${ms(beside.p50)}`,
    `${ms(without.p99)}/${ms(beside.p99)}`,
    [`${outcome.connections} connections`, counts(outcome.ended), counts(outcome.resets)].filter(Boolean).join('; '),
  ];
}
