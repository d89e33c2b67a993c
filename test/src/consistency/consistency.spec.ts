import { describe, expect, it } from '@jest/globals';
import { runEpisode } from './episode.js';
import { huntAll } from './hunt.js';
import { judge } from './judge.js';
import { mutate, readModule } from './mutation.js';
import { MUTANTS, TIGHT, UNEVEN } from './mutants.js';
import { THREE_FILES } from './engines.js';

const PLAN = { engines: THREE_FILES, clients: 8, operations: null, keysOfArea: 12, mutants: [] as string[], kills: 0, awaitsLeases: true };

describe('a router over three databases', () => {
  it('tells everybody what one keyspace would', async () => {
    const verdict = judge(await runEpisode({ ...PLAN, seed: 20_261, operations: 400, seconds: 60 }));
    expect(verdict.findings).toEqual([]);
    expect([verdict.writes > 100, verdict.reads > 100, verdict.events > 500, verdict.compactions > 0]).toEqual([true, true, true, true]);
  });

  it('tells the same from caches that hold nearly nothing and databases that are late by turns, and after kill -9', async () => {
    const verdict = judge(await runEpisode({ ...PLAN, seed: 20_262, seconds: 3, kills: 1, mutants: [TIGHT.name, UNEVEN.name] }));
    expect(verdict.findings).toEqual([]);
  });
});

describe('every mutant', () => {
  it.each([...MUTANTS, TIGHT, UNEVEN].map((mutant) => [mutant.name, mutant] as const))(
    '%s replaces what is there once',
    async (_name, { mutations }) => {
      for (const mutation of mutations) {
        const source = await readModule(mutation);
        expect(mutate(mutation, source)).not.toBe(source);
      }
    },
  );

  it('is caught', async () => {
    const caught = await huntAll(MUTANTS, { seed: 7, seconds: 60, atOnce: 3 });
    expect(caught.filter(({ finding }) => finding === null).map(({ mutant }) => mutant)).toEqual([]);
  }, 900_000);
});

describe('a mutation', () => {
  const mutation = { module: 'libs/x/dist/y.js', find: 'b', replace: 'c' };

  it.each(['aa', 'abba'])('of %s fails, for what it replaces is not there once', (source) => {
    expect(() => mutate(mutation, source)).toThrow(/times what a mutation replaces, not once: b/);
  });
});
