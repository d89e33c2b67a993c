import { judge, type Verdict } from '../consistency/judge.js';
import { type RunningWorkload, startWorkload } from '../consistency/workload.js';
import { COMMON } from './kind-topology.js';
import { Probe } from './probe.js';
import type { RouterProcess, RouterProcessOptions } from './router-process.js';
import type { ThreeFiles } from './three-files.js';

const CLIENTS = 6;
const ANSWER_WITHIN_MS = 15_000;
const LOOK_AGAIN_MS = 20;
const FLAGS = ['--watch-progress-notify-interval', '200ms'];

export interface CheckedEpisodeOptions {
  readonly seed: number;
  readonly files: ThreeFiles;
  readonly env?: RouterProcessOptions['env'];
  /** Something is unavailable meanwhile: then the router is killed and started again before the last look. */
  readonly hasFaults: boolean;
  readonly answerWithinMs?: number;
}

export interface CheckedEpisode {
  readonly router: RouterProcess;
  /** Its calls are judged with those of the workload. */
  readonly probe: Probe;
  /** Waits until the workload has ended so many more calls. */
  readonly goOn: (calls: number) => Promise<void>;
}

/** Lets a story happen to a router under the workload of the consistency checker, and judges what everybody was told. */
export async function runCheckedEpisode(
  { seed, files, env = {}, hasFaults, answerWithinMs = ANSWER_WITHIN_MS }: CheckedEpisodeOptions,
  story: (episode: CheckedEpisode) => Promise<void>,
): Promise<Verdict> {
  let router = await files.start({ env, flags: FLAGS });
  const address = (): string => router.address;
  const probe = new Probe({ address, seed, answerWithinMs });
  try {
    const common = { address, seed, areas: files.areas, common: COMMON };
    const workload = await startWorkload({ ...common, hasFaults, answerWithinMs, clients: CLIENTS, awaitsLeases: !hasFaults });
    await story({ router, probe, goOn: (calls) => goOn(workload, calls) });
    if (hasFaults) {
      await router.kill();
      router = await files.start({ env, flags: FLAGS });
    }
    const history = await workload.stop();
    return judge({ ...history, calls: [...history.calls, ...probe.calls].sort((a, b) => a.endedAt - b.endedAt) });
  } finally {
    probe.close();
    await router.kill();
  }
}

async function goOn(workload: RunningWorkload, calls: number): Promise<void> {
  const due = workload.operations + calls;
  while (workload.operations < due) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}
