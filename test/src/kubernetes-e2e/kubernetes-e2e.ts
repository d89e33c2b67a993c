import { cacheRoot } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { buildPrograms } from './programs.js';
import { type LeftOut, selectSpecs } from './selection.js';
import { runOnStore, type Store, type StoreRun } from './store-run.js';
import { listSpecs } from './suite.js';

export interface KubernetesE2eOptions {
  readonly stores: readonly Store[];
  readonly focus: RegExp | undefined;
  readonly isShort: boolean;
  readonly parallel: number;
}

export interface KubernetesE2eReport {
  readonly specs: number;
  readonly leftOut: readonly LeftOut[];
  readonly runs: readonly StoreRun[];
}

/** Runs the specs on each store in turn; outputs and ginkgo's reports stay in `folder`. */
export async function runKubernetesE2e(
  { stores, focus, isShort, parallel }: KubernetesE2eOptions,
  folder: string,
  env: Env,
  note: (text: string) => void,
): Promise<KubernetesE2eReport> {
  const programs = await buildPrograms(cacheRoot(env), note);
  const { run: texts, leftOut } = selectSpecs(await listSpecs(programs, folder), { focus, isShort });
  if (texts.length === 0) throw new RangeError('no spec fits --focus');
  const runs: StoreRun[] = [];
  for (const store of stores) {
    note(`${store}: ${texts.length} specs`);
    runs.push(await runOnStore(programs, { store, texts, folder, parallel, limitMinutes: isShort ? 5 : 60 }, note));
  }
  return { specs: texts.length, leftOut, runs };
}

/** Specs whose outcome is not the same on all stores. */
export function differences(runs: readonly StoreRun[]): string[] {
  const [first, ...others] = runs;
  if (first === undefined) return [];
  return [...first.outcomes.keys()].filter((text) =>
    others.some(({ outcomes }) => (outcomes.get(text) === null) !== (first.outcomes.get(text) === null)),
  );
}

/** One line per store and one per failed spec with its message. */
export function summarise({ store, outcomes, timing, seconds }: StoreRun): string[] {
  const failed = [...outcomes].filter((entry): entry is [string, string] => entry[1] !== null);
  return [
    `${store}: ${outcomes.size - failed.length} of ${outcomes.size} passed in ${Math.round(seconds)} s`,
    ...timing.map((text) => `${store}: only at the second try, alone: ${text}`),
    ...failed.map(([text, message]) => `${store}: failed: ${text}: ${message}`),
  ];
}
