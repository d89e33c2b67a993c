import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readEnv } from '@harikube/platform';
import { ProgramError } from '../run-program.js';
import { differences, runKubernetesE2e, summarise } from './kubernetes-e2e.js';
import type { Store } from './store-run.js';

const USAGE = `Kubernetes' own end-to-end specs that need no node, on a control plane over the router, over etcd, or both.

  node test/dist/kubernetes-e2e/run.js [--store etcd|router|both] [--focus REGEXP] [--short] [--parallel N]

--store     both unless told: the same specs have to pass on the two
--focus     only specs whose text it matches
--short     only the quick ones that ask most of a store
--parallel  how many specs run at once, 8 unless told
`;
const STORES: Readonly<Record<string, readonly Store[]>> = { etcd: ['etcd'], router: ['router'], both: ['etcd', 'router'] };

class UsageError extends Error {
  override readonly name = 'UsageError';
}

async function main(): Promise<number> {
  const { store, focus, short, parallel, help } = parse();
  if (help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const stores = STORES[store];
  if (stores === undefined) throw new UsageError(`--store ${store}: there are etcd, router and both`);
  if (!/^[1-9]\d?$/.test(parallel)) throw new UsageError(`--parallel ${parallel}: give a number from 1 to 99`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const folder = await mkdtemp(join(tmpdir(), 'kubernetes-e2e-'));
  const options = { stores, focus: expression(focus), isShort: short, parallel: Number(parallel) };
  const report = await runKubernetesE2e(options, folder, readEnv(), (text) => process.stderr.write(`${text}\n`));
  const lines = report.leftOut.map(({ text, reason }) => `left out: ${text}: ${reason}`);
  for (const run of report.runs) lines.push(...summarise(run));
  const different = differences(report.runs);
  lines.push(...different.map((text) => `not the same on both: ${text}`));
  process.stdout.write(`${lines.join('\n')}\nginkgo's reports and outputs: ${folder}\n`);
  const hasFailed = report.runs.some(({ outcomes }) => [...outcomes.values()].some((outcome) => outcome !== null));
  return different.length > 0 || (stores.length === 1 && hasFailed) ? 1 : 0;
}

function expression(text: string | undefined): RegExp | undefined {
  if (text === undefined) return undefined;
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(`--focus ${text} is no regular expression`, { cause: error });
  }
}

function parse() {
  try {
    return parseArgs({
      options: {
        store: { type: 'string', default: 'both' },
        focus: { type: 'string' },
        short: { type: 'boolean', default: false },
        parallel: { type: 'string', default: '8' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof UsageError) && !(error instanceof ProgramError) && !(error instanceof RangeError)) throw error;
  process.stderr.write(`${error.message}\n`);
  return error instanceof UsageError ? 2 : 1;
});
