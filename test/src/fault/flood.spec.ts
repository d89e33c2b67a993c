import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { FloodCaseName } from './flood-cases.js';
import { FloodStage, judgeFlood } from './flood-stage.js';

/** Of each half. What is ended for taking too long is for the long form: `node test/dist/fault/flood-run.js`. */
const SECONDS = 0.7;

let stage: FloodStage;

beforeAll(async () => {
  stage = await FloodStage.start();
}, 60_000);

afterAll(async () => {
  expect(await stage.stop()).toBe(0);
}, 60_000);

describe('a router beside a client that floods', () => {
  it.each<FloodCaseName>([
    'rapid-reset',
    'reset-lists',
    'ping',
    'continuation',
    'empty-data',
    'window-update',
    'header-bomb',
    'table-sizes',
    'two-gigabytes',
    'half-messages',
    'endless-streams',
    'silent-connections',
    'half-header-blocks',
    'unread-pages',
    'unread-socket',
    'unread-watches',
    'many-watches',
    'watches-again',
  ])('serves the other client, stays small and ends who breaks the rules: %s', async (name) => {
    const measurement = await stage.measure(name, { seconds: SECONDS, rounds: 1, restSeconds: 0.1 });
    const { memory, ended, problems } = judgeFlood(measurement, SECONDS);
    expect({ memory, ended, problems }).toEqual({ memory: true, ended: true, problems: [] });
  });
});
