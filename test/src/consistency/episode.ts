import { Random } from '@harikube/testing';
import { setTimeout as pause } from 'node:timers/promises';
import { COMMON } from '../fault/kind-topology.js';
import { CheckedRouter } from './checked-router.js';
import type { CheckedEngine } from './engines.js';
import type { History } from './history.js';
import { startWorkload } from './workload.js';

export interface EpisodePlan {
  readonly seed: number;
  /** Of the router's databases, the default one first. */
  readonly engines: readonly CheckedEngine[];
  readonly clients: number;
  /** Of each client; null: until the time is over. */
  readonly operations: number | null;
  readonly keysOfArea: number;
  /** At most. */
  readonly seconds: number;
  /** Names of mutants that are performed on the router. */
  readonly mutants: readonly string[];
  /** How often the router is killed and started again. */
  readonly kills: number;
  readonly awaitsLeases: boolean;
}

/** A router lives for so many calls and a moment before it is killed. */
const CALLS_OF_A_LIFE = 100;
const LONGEST_MOMENT_MS = 600;
const LOOK_AGAIN_MS = 10;

/** A workload on a router of its own, over empty databases. */
export async function runEpisode({
  seed,
  engines,
  clients,
  operations,
  keysOfArea,
  seconds,
  mutants,
  kills,
  awaitsLeases,
}: EpisodePlan): Promise<History> {
  const router = await CheckedRouter.start(engines, mutants);
  try {
    const random = new Random(seed);
    const workload = await startWorkload({
      address: () => router.address,
      seed,
      areas: router.areas,
      common: COMMON,
      hasFaults: kills > 0,
      clients,
      keysOfArea,
      awaitsLeases,
      ...(operations === null ? {} : { operations }),
    });
    let isDone = false;
    void workload.done.then(() => (isDone = true));
    for (let kill = 0; kill < kills; kill++) {
      const killedFrom = workload.operations + CALLS_OF_A_LIFE;
      while (workload.operations < killedFrom && !isDone) await pause(LOOK_AGAIN_MS);
      await pause(random.below(LONGEST_MOMENT_MS));
      await router.restart();
    }
    await Promise.race([workload.done, pause(seconds * 1000, undefined, { ref: false })]);
    return await workload.stop();
  } finally {
    await router.remove();
  }
}
