import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EpisodePlan } from './episode.js';
import { type History, loadHistory, saveHistory } from './history.js';
import { judge } from './judge.js';
import { shrink, tellHistory } from './shrink.js';

const PLAN: EpisodePlan = {
  seed: 1,
  engines: ['sqlite'],
  clients: 8,
  operations: 64,
  keysOfArea: 12,
  seconds: 1,
  mutants: [],
  kills: 0,
  awaitsLeases: false,
};

/** A read that shows what nobody wrote, or nothing. */
function history(isWrong: boolean): History {
  const kv = { key: '/r/a/k', value: 'phantom', createRevision: 2n, modRevision: 2n, version: 1n, lease: 0n };
  return {
    seed: 1,
    areas: [{ name: 'a', prefix: '/r/a/' }],
    common: '/r/',
    hasFaults: false,
    base: 1n,
    initial: [],
    calls: [
      {
        client: 3,
        request: { type: 'range', key: kv.key, end: '', revision: 0n, limit: 0, keysOnly: false, countOnly: false },
        startedAt: 1,
        endedAt: 2,
        outcome: { type: 'done', revision: 2n, result: { type: 'range', kvs: isWrong ? [kv] : [], count: isWrong ? 1 : 0, more: false } },
      },
    ],
    watches: [],
    untoldEnd: null,
  };
}

describe('a failing plan', () => {
  it('is made smaller as long as it fails, and is tried again, since what it does is not quite the same each time', async () => {
    let runs = 0;
    const smallest = await shrink({ plan: PLAN, history: history(true) }, async ({ clients, operations, keysOfArea }) => {
      const isEnough = clients >= 2 && (operations ?? 0) >= 16 && keysOfArea >= 3;
      return history(isEnough && ++runs % 2 === 0);
    });
    expect(smallest.plan).toMatchObject({ clients: 2, operations: 16, keysOfArea: 3 });
    expect(judge(smallest.history).findings.map(({ rule }) => rule)).toEqual(['unexplained change']);
  });

  it('stays as it is when nothing smaller fails', async () => {
    const failure = { plan: PLAN, history: history(true) };
    expect(await shrink(failure, async () => history(false))).toBe(failure);
  });
});

describe('a history', () => {
  let folder = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'harikube-history-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('is judged from its file as it was', async () => {
    const file = join(folder, 'history.json');
    await saveHistory(file, history(true));
    expect(await loadHistory(file)).toEqual(history(true));
  });

  it('is told as a list', () => {
    expect(tellHistory(history(true), 10)).toEqual([
      'client 3 [1.00, 2.00] range /r/a/k → 2: /r/a/k=phantom@2 (created 2, version 1), count 1',
    ]);
  });
});
