import { beforeEach, describe, expect, it } from '@jest/globals';
import { FakeClock } from '@harikube/kube/fake-clock';
import { RouterAdminError, type RouterTopologyDocument, type RouterTopologyPlan } from '@harikube/platform';
import { configDocument } from './config-document.js';
import type { MergedEntry, Refusal } from './merge-topology.js';
import { TopologyJudge } from './topology-judge.js';

const CLEAN: RouterTopologyPlan = { version: 'v', check: [], changes: [], moves: [], problems: [] };
const MOVE = { from: 'main', to: 'shirts', keys: 3, bytes: 120, example: '/registry/stable.example.com/shirts/default/a' };

let clock: FakeClock;
let asked: (readonly RouterTopologyDocument[])[];
let answer: RouterTopologyPlan | Error;
let judge: TopologyJudge;

const planner = {
  plan: (documents: readonly RouterTopologyDocument[]): Promise<RouterTopologyPlan> => {
    asked.push(documents);
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  },
};

beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  answer = CLEAN;
  judge = new TopologyJudge(clock);
});

function entry(name: string, order: number, backend: object = {}): MergedEntry {
  const backends = [{ name, endpoint: `sqlite://${name}.db`, prefix: { prefix: name }, ...backend }];
  const document = configDocument({ spec: { targetSecret: 'a/b', backends } }, () => Buffer.from(''));
  return { uid: name, key: `ns/${name}`, generation: 1, order, document };
}

const judged = (entries: readonly MergedEntry[], by: typeof planner | null = planner): Promise<Refusal | null> =>
  judge.judge(entries, by, new AbortController().signal);

describe('TopologyJudge', () => {
  it('sends what the Secret would hold to the router', async () => {
    expect(await judged([entry('pods', 1), entry('shirts', 2)])).toBeNull();
    expect(asked.map((documents) => documents.map(({ name }) => name))).toEqual([['1-pods.yaml', '2-shirts.yaml']]);
  });

  it('judges the text alone where there is no router', async () => {
    expect(await judged([entry('pods', 1)], null)).toBeNull();
    expect(await judged([entry('pods', 1, { endpoint: 'redis://x' })], null)).toMatchObject({ reason: 'InvalidTopology' });
    expect(asked).toEqual([]);
  });

  it.each<[string, MergedEntry[], string]>([
    [
      'an unknown scheme',
      [entry('a', 1, { endpoint: 'redis://a' })],
      '1-a.yaml: backends[0].endpoint: endpoint "redis://a": unknown scheme "redis"',
    ],
    ['a name that is used twice', [entry('a', 1), entry('b', 2, { name: 'a' })], '2-b.yaml: backends[0].name: the name "a" is used twice'],
    ['a database that is used twice', [entry('a', 1), entry('b', 2, { endpoint: 'sqlite://./a.db' })], 'is the same database as that of'],
    [
      'a rule that another one shadows',
      [entry('a', 1), entry('b', 2, { prefix: { prefix: 'a/default' } })],
      '2-b.yaml: backends[0].prefix: this rule can never match',
    ],
    ['a built-in group', [entry('a', 1, { prefix: undefined, customresource: { group: 'apps' } })], 'this rule can never match'],
  ])('refuses %s without asking the router', async (_, entries, message) => {
    const refusal = await judged(entries);
    expect(refusal?.reason).toBe('InvalidTopology');
    expect(refusal?.message).toContain(message);
    expect(asked).toEqual([]);
  });

  it('repeats no password', async () => {
    const entries = [entry('a', 1, { endpoint: 'redis://user:Canary-1@host/db' })];
    expect(JSON.stringify(await judged(entries))).not.toContain('Canary-1');
  });

  it('says how many keys are in the way', async () => {
    answer = { ...CLEAN, moves: [MOVE] };
    expect(await judged([entry('shirts', 1)])).toEqual({
      reason: 'DataWouldMove',
      message:
        '3 keys (120 bytes) in "main" would have to be in "shirts", such as /registry/stable.example.com/shirts/default/a; delete these objects first, since keys are not moved',
    });
  });

  it.each<[Refusal, RouterTopologyPlan]>([
    [
      { reason: 'RouterRefused', message: 'a; b' },
      { ...CLEAN, problems: ['a', 'b'] },
    ],
    [
      { reason: 'RouterRefused', message: '1; 2; 3; 4; 5; and 2 more' },
      { ...CLEAN, problems: ['1', '2', '3', '4', '5', '6', '7'] },
    ],
    [
      { reason: 'InvalidTopology', message: '1-shirts.yaml: backends: no' },
      { ...CLEAN, check: [{ file: '1-shirts.yaml', line: 1, column: 1, path: 'backends', message: 'no' }] },
    ],
  ])('says %j', async (refusal, plan) => {
    answer = plan;
    expect(await judged([entry('shirts', 1)])).toEqual(refusal);
  });

  it('believes a refusal for 30 seconds, and a router that does not answer not at all', async () => {
    answer = { ...CLEAN, moves: [MOVE] };
    await judged([entry('shirts', 1)]);
    answer = CLEAN;
    expect(await judged([entry('shirts', 1)])).toMatchObject({ reason: 'DataWouldMove' });
    expect(asked).toHaveLength(1);
    await clock.advance(30_001);
    expect(await judged([entry('shirts', 1)])).toBeNull();
    answer = new RouterAdminError('the router is away', null);
    expect(await judged([entry('shirts', 1)])).toEqual({ reason: 'RouterUnreachable', message: 'the router is away' });
    answer = CLEAN;
    expect(await judged([entry('shirts', 1)])).toBeNull();
  });

  it('says what a router refuses to judge', async () => {
    answer = new RouterAdminError('no token', 401);
    expect(await judged([entry('shirts', 1)])).toEqual({
      reason: 'RouterRefused',
      message: 'the router does not judge the rules: no token',
    });
  });

  it('refuses what no Secret holds', async () => {
    const kinds = Array.from({ length: 256 }, (_, index) => `${'x'.repeat(200)}${index}`);
    const many = Array.from({ length: 20 }, (_, index) =>
      entry(`b${index}`, index, { prefix: undefined, namespace: { namespace: `n${index}`, kinds } }),
    );
    expect(await judged(many)).toMatchObject({ reason: 'TooLarge' });
  });
});
