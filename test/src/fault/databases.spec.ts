import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '@harikube/testing';
import { faultsOf } from './database-faults.js';
import { FaultRound } from './fault-round.js';
import { FaultStage } from './fault-stage.js';

const SEED = 7;
const TIMEOUT_MS = 2500;

let stage: FaultStage;

beforeAll(async () => {
  stage = await FaultStage.start({
    main: 'sqlite',
    kinds: { users: 'postgres', emails: 'mariadb', tenants: 'etcd' },
    timeoutMs: TIMEOUT_MS,
  });
});

afterAll(() => stage.remove());

describe('a router over PostgreSQL, MariaDB, etcd and SQLite, each of the first three with every fault', () => {
  it('loses nothing, doubles nothing, and keeps the keys of the others going', async () => {
    const random = new Random(SEED);
    const round = await FaultRound.begin({ stage, random, seed: SEED, seen: 0n, timeoutMs: TIMEOUT_MS });
    await Promise.all(
      stage.targets.map(async (target) => {
        for (const fault of faultsOf(target)) if (fault.stopsRouter !== true) await round.suffer(target, fault);
      }),
    );
    for (const target of stage.targets) {
      for (const fault of faultsOf(target)) if (fault.stopsRouter === true) await round.suffer(target, fault);
    }
    const verdict = await round.end(true);
    expect(verdict.findings).toEqual([]);
    expect(verdict.acknowledged).toBeGreaterThan(1000);
    expect(verdict.unknownThatTookPlace).toBeGreaterThan(0);
    expect(round.happened.length).toBe(stage.targets.reduce((sum, target) => sum + faultsOf(target).length, 0));
  });
});
