import { Random } from '@harikube/testing';
import { setTimeout as pause } from 'node:timers/promises';
import { AREAS, CheckedRouter, COMMON } from './checked-router.js';
import type { History } from './history.js';
import { startWorkload } from './workload.js';

export interface EpisodePlan {
  readonly seed: number;
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

/** How long a router lives before it is killed: at least so that something was written. */
const LIFE_MS = { shortest: 300, longest: 900 };

/** A workload on a router of its own, over empty files. */
export async function runEpisode({
  seed,
  clients,
  operations,
  keysOfArea,
  seconds,
  mutants,
  kills,
  awaitsLeases,
}: EpisodePlan): Promise<History> {
  const router = await CheckedRouter.start(mutants);
  try {
    const random = new Random(seed);
    const workload = await startWorkload({
      address: () => router.address,
      seed,
      areas: AREAS,
      common: COMMON,
      hasFaults: kills > 0,
      clients,
      keysOfArea,
      awaitsLeases,
      ...(operations === null ? {} : { operations }),
    });
    for (let kill = 0; kill < kills; kill++) {
      await pause(LIFE_MS.shortest + random.below(LIFE_MS.longest - LIFE_MS.shortest));
      await router.restart();
    }
    await Promise.race([workload.done, pause(seconds * 1000, undefined, { ref: false })]);
    return await workload.stop();
  } finally {
    await router.remove();
  }
}
