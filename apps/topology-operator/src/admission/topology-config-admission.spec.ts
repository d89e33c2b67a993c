import { describe, expect, it } from '@jest/globals';
import type { Cause, Verdict } from '@harikube/admission';
import { requestOf, type ReviewOptions } from '@harikube/admission/review';
import { TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { parseTopologyDocuments, TopologyError } from '@harikube/datasources';
import {
  RouterAdminError,
  type RouterBackendReport,
  type RouterTopologyDocument,
  type RouterTopologyMove,
  type RouterTopologyPlan,
  type RouterTopologyState,
} from '@harikube/platform';
import { configDocument, UnresolvedReferenceError } from '../config-document.js';
import type { MergedEntry } from '../merge-topology.js';
import { topologyConfig, WRONG_CONFIGS } from '../spec/wrong-configs.js';
import type { JudgingRouter } from './router-inquiry.js';
import { TopologyConfigAdmission } from './topology-config-admission.js';

const TARGET = 'harikube/topology-config';
const SHIRTS = { name: 'shirts', endpoint: 'sqlite:///db/shirts.db', customresource: { group: 'stable.example.com', kind: 'shirts' } };
const PODS = { name: 'pods', endpoint: 'sqlite:///db/pods.db', prefix: { prefix: 'pods' } };

const state = (more: Partial<RouterTopologyState> = {}): RouterTopologyState => ({
  version: 'v',
  source: `secret://${TARGET}`,
  sourceVersion: 'v',
  inForceSince: '2026-01-01T00:00:00Z',
  document: '',
  backends: [],
  ...more,
});

const report = (name: string, keys: number | null, more: Partial<RouterBackendReport> = {}): RouterBackendReport => ({
  name,
  endpoint: '',
  isReady: keys !== null,
  problem: keys === null ? 'its file is gone' : '',
  keys,
  bytes: null,
  ...more,
});

/** A router by hand: it reads the text as the real one does, and finds in its databases what the test says. */
class HandRouter implements JudgingRouter {
  readonly address = 'https://router:2381';
  readonly asked: (readonly RouterTopologyDocument[])[] = [];

  constructor(
    readonly answers: {
      readonly state?: Partial<RouterTopologyState>;
      readonly moves?: (text: string) => readonly RouterTopologyMove[];
      readonly problems?: (text: string) => readonly string[];
      readonly fails?: () => Promise<never>;
      readonly planFails?: (signal: AbortSignal) => Promise<never>;
    } = {},
  ) {}

  async topology(): Promise<RouterTopologyState> {
    if (this.answers.fails !== undefined) return this.answers.fails();
    return state(this.answers.state);
  }

  async plan(documents: readonly RouterTopologyDocument[], signal = new AbortController().signal): Promise<RouterTopologyPlan> {
    this.asked.push(documents);
    if (this.answers.planFails !== undefined) return this.answers.planFails(signal);
    const text = documents.map((document) => document.text).join('');
    const { moves = () => [], problems = () => [] } = this.answers;
    const found = { version: 'v', check: [], changes: [], moves: moves(text), problems: problems(text) };
    try {
      const topology = parseTopologyDocuments(documents, { defaultDataSourceName: 'sqlite:///db/main.db' });
      return { ...found, changes: topology.rules.map(({ name }) => ({ kind: 'add', backend: name, detail: 'in its database' })) };
    } catch (error) {
      if (error instanceof TopologyError) return { ...found, check: error.problems };
      throw error;
    }
  }
}

interface World {
  readonly others?: readonly TopologyConfig[];
  /** Those of `others`, and of these, that are in the target Secret. */
  readonly merged?: readonly TopologyConfig[];
  readonly router?: JudgingRouter | null;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly routerPatienceMs?: number;
}

function entryOf(config: TopologyConfig, place: number): MergedEntry {
  const { uid = '', name = '', namespace = '' } = config.metadata;
  return { uid, key: `${namespace}/${name}`, generation: 1, order: place + 1, document: configDocument(config, () => Buffer.from('')) };
}

function judge(request: ReviewOptions, world: World = {}, signal = new AbortController().signal): Promise<Verdict> {
  const { others = [], merged = [], router = null, secrets = {}, routerPatienceMs } = world;
  const admission = new TopologyConfigAdmission({
    objects: {
      configsOf: async (target) => others.filter(({ spec }) => spec.targetSecret === target),
      entriesOf: async () => merged.map(entryOf),
      valueOf: async ({ namespace, name, key }) => {
        const value = secrets[`${namespace}/${name}/${key}`];
        if (value === undefined) throw new UnresolvedReferenceError(`the Secret ${namespace}/${name} has no key "${key}"`);
        return Buffer.from(value);
      },
    },
    router,
    ...(routerPatienceMs === undefined ? {} : { routerPatienceMs }),
  });
  return admission.validate(requestOf({ resource: TOPOLOGY_CONFIGS, ...request }), signal);
}

const made = (config: TopologyConfig): TopologyConfig => ({
  ...config,
  metadata: { ...config.metadata, uid: `uid-${config.metadata.name}`, creationTimestamp: '2026-01-01T00:00:00Z' },
});
const create = (config: TopologyConfig, world?: World, more?: ReviewOptions): Promise<Verdict> => judge({ object: config, ...more }, world);
const update = (from: TopologyConfig, to: TopologyConfig, world?: World): Promise<Verdict> =>
  judge({ operation: 'UPDATE', oldObject: from, object: to }, world);
const causesOf = ({ denial }: Verdict): (readonly [string, string])[] =>
  (denial?.details?.causes ?? []).map(({ field, message }: Cause) => [field, message.replace(/^Invalid value: /, '')]);
/** Never answers. */
const silent = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
const unavailable = (): Promise<never> => Promise.reject(new RouterAdminError('nothing listens there', null));

describe('TopologyConfigAdmission', () => {
  it.each(WRONG_CONFIGS.map((wrong) => [wrong.what, wrong] as const))('refuses %s', async (_, { config, others, causes }) => {
    const verdict = await create(config, { others: others.map(made) });
    expect(causesOf(verdict)).toEqual(causes);
    expect(verdict.denial).toMatchObject({ code: 422, reason: 'Invalid' });
    expect(JSON.stringify(verdict)).not.toContain('Canary');
  });

  it('refuses what the schema does not take, with its causes', async () => {
    const verdict = await create(topologyConfig('a', [{ ...SHIRTS, name: 'Shirts' }]));
    expect(causesOf(verdict)).toEqual([['spec.backends[0].name', expect.stringContaining('must be lower-case letters')]]);
  });

  it('judges an object by itself where the others are of another target', async () => {
    const other = made(topologyConfig('other', [SHIRTS]));
    const elsewhere = { ...other, spec: { ...other.spec, targetSecret: 'shop/topology' } };
    expect(await create(topologyConfig('a', [SHIRTS]), { others: [elsewhere], router: new HandRouter() })).toEqual({
      denial: null,
      warnings: [],
    });
  });

  it('does not hold against an object what is wrong with the others', async () => {
    const broken = made(topologyConfig('other', [{ ...SHIRTS, endpoint: 'redis://x' }]));
    expect(await create(topologyConfig('a', [PODS]), { others: [broken], router: new HandRouter() })).toMatchObject({ denial: null });
  });

  it('warns of settings without effect', async () => {
    const config = topologyConfig('a', [SHIRTS, { ...PODS, connectionPool: { maxOpen: 5 }, compactInterval: '5m' }]);
    expect((await create(config, { router: new HandRouter() })).warnings).toEqual([
      'spec.backends[1].connectionPool: of no effect on this database',
      'spec.backends[1].compactInterval: of no effect on this database',
    ]);
  });

  describe('on an update', () => {
    const bad = made(topologyConfig('a', [{ ...SHIRTS, endpoint: 'redis://x' }]));

    it('does not look at rules that stay as they are', async () => {
      const router = new HandRouter({ fails: () => Promise.reject(new Error('it was asked')) });
      const labelled = { ...bad, metadata: { ...bad.metadata, labels: { a: 'b' }, finalizers: ['harikube.info/finalizer'] } };
      expect(await update(bad, labelled, { router })).toEqual({ denial: null, warnings: [] });
    });

    it('does not hold against it what was there before, and says it', async () => {
      const more = topologyConfig('a', [{ ...SHIRTS, endpoint: 'redis://x' }, PODS]);
      expect(await update(bad, more)).toEqual({
        denial: null,
        warnings: [
          'spec.backends[0].endpoint: endpoint "redis://x": unknown scheme "redis"; use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
        ],
      });
      const worse = topologyConfig('a', [{ ...SHIRTS, endpoint: 'redis://y' }]);
      expect(causesOf(await update(bad, worse))).toEqual([
        [
          'spec.backends[0].endpoint',
          'endpoint "redis://y": unknown scheme "redis"; use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
        ],
      ]);
    });

    it('judges another place', async () => {
      const all = made(
        topologyConfig('all', [{ name: 'all', endpoint: 'sqlite:///db/all.db', customresource: { group: 'stable.example.com' } }]),
      );
      const other = made(topologyConfig('a', [SHIRTS]));
      const first = { ...all, metadata: { ...all.metadata, annotations: { 'harikube.info/deployOrder': '1' } } };
      expect(causesOf(await update(all, first, { others: [all, other] }))).toEqual([
        [
          'spec.backends[0].customresource',
          expect.stringContaining('takes every key of spec.backends[0].customresource of TopologyConfig default/a'),
        ],
      ]);
    });

    it('lets one go that is being deleted, whatever is in it', async () => {
      const leaving = { ...bad, metadata: { ...bad.metadata, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['x'] } };
      const freed = { ...leaving, metadata: { ...leaving.metadata, finalizers: [] } };
      expect(await update(leaving, freed, { router: new HandRouter({ fails: unavailable }) })).toEqual({ denial: null, warnings: [] });
    });
  });

  describe('with a router', () => {
    it('asks what it would make of the Secret as it would be', async () => {
      const router = new HandRouter();
      const other = made(topologyConfig('other', [PODS]));
      expect(await create(topologyConfig('a', [SHIRTS]), { router, others: [other], merged: [other] })).toEqual({
        denial: null,
        warnings: [],
      });
      expect(router.asked).toEqual([
        [
          { name: '1-other.yaml', text: expect.stringContaining('name: pods') },
          { name: '2-a.yaml', text: expect.stringContaining('name: shirts') },
        ],
      ]);
    });

    it('tells who only tries it what would change', async () => {
      const verdict = await create(topologyConfig('a', [SHIRTS]), { router: new HandRouter() }, { isDryRun: true });
      expect(verdict).toEqual({ denial: null, warnings: ['would add "shirts": in its database'] });
    });

    it('refuses rules that would hide keys, with their number and the way out', async () => {
      const move = { from: 'main', to: 'shirts', keys: 7, bytes: 1234, example: '/registry/stable.example.com/shirts/a/b' };
      const router = new HandRouter({ moves: (text) => (text.includes('name: shirts') ? [move] : []) });
      expect(causesOf(await create(topologyConfig('a', [PODS, SHIRTS]), { router }))).toEqual([
        [
          'spec.backends[1]',
          '7 keys (1234 bytes) in "main", such as /registry/stable.example.com/shirts/a/b, would have to be in "shirts", and would not be found any more: narrow the rule, or delete these objects first',
        ],
      ]);
    });

    it('refuses to let a rule go whose database holds keys, but not when they are given up', async () => {
      const move = { from: 'shirts', to: 'main', keys: 1, bytes: 12, example: '/registry/stable.example.com/shirts/a/b' };
      const router = new HandRouter({
        state: { backends: [report('shirts', 1)] },
        moves: (text) => (text.includes('name: shirts') ? [] : [move]),
      });
      const both = made(topologyConfig('a', [PODS, SHIRTS]));
      expect(causesOf(await update(both, topologyConfig('a', [PODS]), { router, merged: [both] }))).toEqual([
        [
          'spec.backends',
          '1 key (12 bytes) in "shirts", such as /registry/stable.example.com/shirts/a/b, would have to be in "main", and would not be found any more: keep the rule, delete these objects first, or give them up by the annotation harikube.info/abandon-data: shirts=1',
        ],
      ]);
      const given = topologyConfig('a', [PODS], { 'harikube.info/abandon-data': 'shirts=1' });
      expect(await update(both, given, { router, merged: [both] })).toEqual({
        denial: null,
        warnings: ['"shirts" holds 1 key, given up as soon as the operator sees this'],
      });
    });

    it('refuses another database for a rule whose database holds keys', async () => {
      const move = { from: 'shirts', to: 'shirts', keys: 3, bytes: 30, example: '/registry/x' };
      const router = new HandRouter({ moves: (text) => (text.includes('new.db') ? [move] : []) });
      const before = made(topologyConfig('a', [SHIRTS]));
      const after = topologyConfig('a', [{ ...SHIRTS, endpoint: 'sqlite:///db/new.db' }]);
      expect(causesOf(await update(before, after, { router, merged: [before] }))).toEqual([
        [
          'spec.backends[0]',
          '3 keys (30 bytes) in the database that "shirts" has so far, such as /registry/x, would not be found any more: keep the endpoint, delete these objects first, or give them up by the annotation harikube.info/abandon-data: shirts=3',
        ],
      ]);
    });

    it('refuses a database that the router cannot use', async () => {
      const sentence = 'backend "shirts" cannot be opened: EACCES: permission denied';
      const router = new HandRouter({ problems: (text) => (text.includes('name: shirts') ? [sentence] : []) });
      expect(causesOf(await create(topologyConfig('a', [PODS, SHIRTS]), { router }))).toEqual([['spec.backends[1].endpoint', sentence]]);
    });

    it('refuses the default database, which the router alone knows', async () => {
      const verdict = await create(topologyConfig('a', [{ ...SHIRTS, endpoint: 'sqlite:///db/main.db' }]), { router: new HandRouter() });
      expect(causesOf(verdict)).toEqual([
        [
          'spec.backends[0].endpoint',
          'endpoint "sqlite:///db/main.db" is the same database as that of the default backend, "sqlite:///db/main.db"',
        ],
      ]);
    });

    it('does not hold against an object what the router holds against the others', async () => {
      const move = { from: 'main', to: 'pods', keys: 7, bytes: 1, example: '/registry/pods/a/b' };
      const router = new HandRouter({ moves: () => [move], problems: () => ['backend "pods" cannot be opened: no'] });
      const other = made(topologyConfig('other', [PODS]));
      const verdict = await create(topologyConfig('a', [SHIRTS]), { router, others: [other], merged: [other] });
      expect(verdict.denial).toBeNull();
      expect(verdict.warnings).toEqual([
        expect.stringContaining(`the rules of ${TARGET} are held back already: 7 keys (1 bytes) in "main"`),
        `the rules of ${TARGET} are held back already: backend "pods" cannot be opened: no`,
      ]);
      expect(verdict.warnings?.every((warning) => warning.length <= 256)).toBe(true);
    });

    it.each<[string, World, string]>([
      ['is not told of', { router: null }, 'the operator is not told where the router answers'],
      ['does not answer', { router: new HandRouter({ fails: unavailable }) }, 'nothing listens there'],
      ['stops answering', { router: new HandRouter({ planFails: unavailable }) }, 'nothing listens there'],
      [
        'takes too long',
        { router: new HandRouter({ planFails: silent }), routerPatienceMs: 20 },
        'the router at https://router:2381 did not answer within 0.02 seconds',
      ],
      [
        'reads something else',
        { router: new HandRouter({ state: { source: 'secret://shop/topology' } }) },
        `the router reads secret://shop/topology, not the Secret ${TARGET}: nothing takes up what is merged into it`,
      ],
      [
        'reads nothing',
        { router: new HandRouter({ state: { source: null } }) },
        `the router reads no topology, not the Secret ${TARGET}: nothing takes up what is merged into it`,
      ],
    ])('warns when the router %s', async (_, world, reason) => {
      expect(await create(topologyConfig('a', [SHIRTS]), world)).toEqual({
        denial: null,
        warnings: [`whether the rules can be taken up is not known: ${reason}`],
      });
    });
  });

  it('ends without an answer when nobody waits for it', async () => {
    const gone = new AbortController();
    const answer = judge({ object: topologyConfig('a', [SHIRTS]) }, { router: new HandRouter({ planFails: silent }) }, gone.signal);
    gone.abort(new Error('nobody waits'));
    await expect(answer).rejects.toThrow('nobody waits');
  });

  describe('with references to Secrets', () => {
    const reference = 'secret://shop/databases/dsn';
    const referring = topologyConfig('a', [{ ...SHIRTS, endpoint: reference }]);

    it('shows the router what they lead to', async () => {
      const router = new HandRouter();
      const secrets = { 'shop/databases/dsn': 'sqlite:///db/Canary.db\n' };
      const verdict = await create(referring, { router, secrets }, { isDryRun: true });
      expect(router.asked[0]?.[0]?.text).toContain('endpoint: sqlite:///db/Canary.db\n');
      expect(verdict).toEqual({ denial: null, warnings: ['would add "shirts"'] });
    });

    it('never says what they hold', async () => {
      const secrets = { 'shop/databases/dsn': 'Canary' };
      const hidden = `what ${reference} holds is no database that the router can use; look at the value of that key`;
      expect(causesOf(await create(referring, { router: new HandRouter(), secrets }))).toEqual([['spec.backends[0].endpoint', hidden]]);
      const router = new HandRouter({
        problems: (text) => (text.includes('Canary') ? ['backend "shirts": /db/Canary.db is a folder'] : []),
      });
      const verdict = await create(referring, { router, secrets: { 'shop/databases/dsn': 'sqlite:///db/Canary.db' } });
      expect(causesOf(verdict)).toEqual([['spec.backends[0].endpoint', hidden]]);
    });

    it('warns of TLS material that is none', async () => {
      const tls = topologyConfig('a', [{ ...SHIRTS, endpoint: reference, backendTLS: { caFile: 'secret://shop/databases/ca' } }]);
      const secrets = { 'shop/databases/dsn': 'sqlite:///db/a.db', 'shop/databases/ca': 'Canary' };
      const verdict = await create(tls, { router: new HandRouter(), secrets });
      expect(verdict).toEqual({ denial: null, warnings: [expect.stringContaining('the rules wait for their Secrets: the key "ca"')] });
      expect(JSON.stringify(verdict)).not.toContain('Canary');
    });

    it('warns of one that leads nowhere, and asks the router nothing', async () => {
      const router = new HandRouter();
      expect(await create(referring, { router })).toEqual({
        denial: null,
        warnings: [`the rules wait for ${reference}: the Secret shop/databases has no key "dsn"`],
      });
      expect(router.asked).toEqual([]);
    });
  });

  describe('on a deletion', () => {
    const held = {
      ...topologyConfig('a', [SHIRTS, PODS]),
      metadata: { name: 'a', namespace: 'default', finalizers: ['harikube.info/finalizer'] },
    };
    const remove = (config: TopologyConfig, router: JudgingRouter): Promise<Verdict> =>
      judge({ operation: 'DELETE', object: null, oldObject: config }, { router });

    it('says nothing when its backends are empty or not in force', async () => {
      expect(await remove(held, new HandRouter({ state: { backends: [report('shirts', 0)] } }))).toEqual({ denial: null, warnings: [] });
    });

    it('warns of what keeps it', async () => {
      const backends = [report('shirts', 7), report('pods', null), report('shirts', 9, { retiredAt: '5' })];
      expect(await remove(held, new HandRouter({ state: { backends } }))).toEqual({
        denial: null,
        warnings: [
          '"shirts" holds 7 keys: this TopologyConfig stays until they are gone, or until harikube.info/abandon-data: shirts=7 gives them up',
          '"pods" cannot be asked (its file is gone): this TopologyConfig stays until it can, or until harikube.info/abandon-data: pods gives it up',
        ],
      });
    });

    it('warns that the rules stay when no finalizer holds the object', async () => {
      const free = topologyConfig('a', [SHIRTS]);
      expect((await remove(free, new HandRouter({ state: { backends: [report('shirts', 1)] } }))).warnings).toEqual([
        expect.stringContaining('"shirts" holds 1 key: its rules stay in force until they are gone'),
      ]);
    });

    it('is never refused', async () => {
      expect(await remove(held, new HandRouter({ fails: unavailable }))).toEqual({
        denial: null,
        warnings: ['what its backends hold is not known: nothing listens there'],
      });
    });
  });

  describe('when data is given up', () => {
    const field = 'metadata.annotations[harikube.info/abandon-data]';
    const before = made(topologyConfig('a', [SHIRTS, PODS]));
    const asking = (text: string): TopologyConfig => topologyConfig('a', [SHIRTS, PODS], { 'harikube.info/abandon-data': text });
    const router = new HandRouter({ state: { backends: [report('shirts', 7), report('pods', null)] } });

    it.each<[string, string]>([
      ['shirts', '"shirts" holds 7 keys, to give them up write shirts=7'],
      ['shirts=6', '"shirts" holds 7 keys, not 6; to give them up write shirts=7'],
      ['pods=1', 'the keys of "pods" cannot be counted (its file is gone); to give them up uncounted write pods alone'],
      ['gone', '"gone" is no backend of this TopologyConfig; its backends are shirts, pods'],
    ])('refuses %j and says how many keys there are', async (text, message) => {
      expect(causesOf(await update(before, asking(text), { router }))).toEqual([[field, message]]);
    });

    it('takes the number, and what cannot be counted', async () => {
      expect(await update(before, asking('shirts=7,pods'), { router })).toEqual({
        denial: null,
        warnings: [
          '"shirts" holds 7 keys, given up when its rule goes',
          'the keys of "pods" cannot be counted (its file is gone), and are given up when its rule goes',
        ],
      });
    });

    it('needs the number of an empty one, too: keys may come until its rule goes', async () => {
      const empty = new HandRouter({ state: { backends: [report('shirts', 0)] } });
      expect(causesOf(await update(before, asking('shirts'), { router: empty }))).toEqual([
        [field, '"shirts" holds 0 keys, to give them up write shirts=0'],
      ]);
      expect((await update(before, asking('shirts=0'), { router: empty })).denial).toBeNull();
    });

    it('has nothing to give up of a backend that is not in force', async () => {
      const none = new HandRouter();
      const what = 'backend "pods" is not in force: there is nothing to give up';
      expect((await update(before, asking('pods=0'), { router: none })).warnings).toEqual([what]);
      expect(causesOf(await update(before, asking('pods'), { router: none }))).toEqual([[field, `${what}; leave it out`]]);
    });

    it('goes for backends that former rules have left', async () => {
      const left = { ...before, status: { deployStatus: 'Held', backends: [{ name: 'old', keys: 2 }] } } as TopologyConfig;
      const asked = { ...asking('old=2'), status: left.status } as TopologyConfig;
      const holding = new HandRouter({ state: { backends: [report('old', 2)] } });
      expect(await update(left, asked, { router: holding })).toEqual({
        denial: null,
        warnings: ['"old" holds 2 keys, given up as soon as the operator sees this'],
      });
    });

    it('is judged on an object that is being deleted, and not again when it stays as it is', async () => {
      const leaving = (config: TopologyConfig): TopologyConfig => ({
        ...config,
        metadata: { ...config.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
      });
      expect(causesOf(await update(leaving(before), leaving(asking('shirts')), { router }))).toHaveLength(1);
      const moved = new HandRouter({ state: { backends: [report('shirts', 0)] } });
      expect(await update(leaving(asking('shirts=7')), leaving(asking('shirts=7')), { router: moved })).toEqual({
        denial: null,
        warnings: [],
      });
    });

    it('needs the number when the router cannot be asked', async () => {
      const silent = new HandRouter({ fails: unavailable });
      expect(causesOf(await update(before, asking('shirts'), { router: silent }))).toEqual([
        [field, 'how many keys "shirts" holds is not known; write shirts=KEYS, or try again later: nothing listens there'],
      ]);
      expect((await update(before, asking('shirts=7'), { router: silent })).warnings).toEqual([
        'the keys of "shirts" are counted when they are given up, not now: nothing listens there',
      ]);
      expect((await update(before, asking('shirts'), { router: null })).warnings).toEqual([
        'the keys of "shirts" are not counted, and given up when its rule goes: the operator is not told where the router answers',
      ]);
    });
  });
});
