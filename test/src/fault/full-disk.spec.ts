import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '@harikube/testing';
import { SERVER_FAULTS } from './database-faults.js';
import { FaultRound } from './fault-round.js';
import { FaultStage } from './fault-stage.js';

const TIMEOUT_MS = 2500;

let stage: FaultStage;

beforeAll(async () => {
  const kinds = { users: 'postgres', emails: 'mariadb', tenants: 'etcd' } as const;
  stage = await FaultStage.start({ main: 'sqlite', kinds, timeoutMs: TIMEOUT_MS, isSmall: true });
});

afterAll(() => stage.remove());

describe('databases whose disk is full', () => {
  it('are unavailable for writes, hurt nobody else, and go on when there is room', async () => {
    const round = await FaultRound.begin({ stage, random: new Random(1), seed: 1, seen: 0n, timeoutMs: TIMEOUT_MS });
    const full = SERVER_FAULTS.filter(({ name }) => name === 'the disk is full');
    for (const target of stage.targets) for (const fault of full) await round.suffer(target, fault);
    const { findings, errors } = await round.end(true);
    expect(findings).toEqual([]);
    expect(errors).toBeGreaterThan(0);
    expect(round.happened.length).toBe(3);
  });
});
