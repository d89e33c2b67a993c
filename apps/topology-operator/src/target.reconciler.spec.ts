import { beforeEach, describe, expect, it } from '@jest/globals';
import { StatusError } from '@harikube/kube';
import { backend, FakeWorld } from './spec/fake-world.js';

const ABANDON = 'harikube.info/abandon-data';
const MOVE = { from: 'main', to: 'a', keys: 3, bytes: 30, example: '/k' };

let world: FakeWorld;

beforeEach(() => {
  world = new FakeWorld();
});

/** Merged and confirmed. */
async function active(...names: string[]): Promise<void> {
  for (const name of names) world.put(name);
  await world.settle();
  world.take();
  await world.settle();
}

describe('TargetReconciler', () => {
  it('sets the finalizer before it merges, and says Active when the router has confirmed', async () => {
    world.put('a');
    const pending = await world.settle();
    expect(world.writes).toEqual(['patch topologyconfigs a', 'create secrets topology-config', 'patch status topologyconfigs a']);
    expect(world.statusOf('a')).toBe('Pending');
    expect(pending).toEqual({ requeueAfterMs: 1000 });
    world.take();
    const steady = await world.settle();
    expect(world.statusOf('a')).toBe('Active');
    expect(world.config('a').status).toMatchObject({ deployOrder: 1, observedGeneration: 1, backends: [{ name: 'a', keys: 0 }] });
    expect(steady).toEqual({ requeueAfterMs: 15_000 });
    expect(world.events).toEqual(['Active the router has the rules in force']);
  });

  it('writes nothing when nothing has changed, and leaves those alone who are not concerned', async () => {
    await active('a', 'b');
    world.writes.length = 0;
    await world.reconcile();
    expect(world.writes).toEqual([]);
    world.put('a', [backend('a', { compactInterval: '5m' })]);
    await world.settle();
    world.take();
    await world.settle();
    expect(new Set(world.writes)).toEqual(new Set(['update secrets topology-config', 'patch status topologyconfigs a']));
  });

  it('says nothing once more when its cache is behind what it has written', async () => {
    world.put('a');
    await world.settle();
    world.take();
    const behind = world.all();
    await world.reconcile();
    const { resourceVersion } = world.config('a').metadata;
    await world.clock.advance(1000);
    world.cache = behind;
    await expect(world.reconcile()).rejects.toMatchObject({ isConflict: true });
    world.cache = null;
    await world.settle();
    expect(world.statusOf('a')).toBe('Active');
    expect(world.config('a').metadata.resourceVersion).toBe(resourceVersion);
  });

  it('writes numbers of keys alone once a minute', async () => {
    await active('a');
    world.keys.set('a', 7);
    world.writes.length = 0;
    await world.reconcile();
    expect(world.writes).toEqual([]);
    await world.clock.advance(60_000);
    await world.reconcile();
    expect(world.config('a').status?.backends).toEqual([{ name: 'a', keys: 7 }]);
  });

  it('comes to the same wherever it is killed', async () => {
    const whole = new FakeWorld();
    whole.put('a');
    await whole.settle();
    for (let kill = 0; kill < 3; kill++) {
      world = new FakeWorld();
      world.put('a');
      // The write is not done, and nobody learns of it.
      for (let step = 0; step < kill; step++) await world.reconcile().catch(() => undefined);
      world.failNextWrite = new Error('killed');
      await world.reconcile().catch(() => undefined);
      world.restart();
      await world.settle();
      expect(world.documents).toEqual(whole.documents);
      expect(world.statusOf('a')).toBe(whole.statusOf('a'));
    }
  });

  it('ends quietly when the Secret has changed since it was read', async () => {
    await active('a');
    world.put('b');
    await world.reconcile();
    world.put('c');
    world.failNextWrite = new StatusError({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      code: 409,
      reason: 'Conflict',
    });
    await expect(world.reconcile()).rejects.toMatchObject({ isConflict: true });
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-a.yaml', '2-b.yaml', '3-c.yaml']);
  });

  it('asks again after five seconds what is held back, and after 30 seconds the router', async () => {
    world.planOf = () => ({ moves: [MOVE] });
    world.put('a');
    expect(await world.settle()).toEqual({ requeueAfterMs: 5000 });
    expect(world.statusOf('a')).toBe('Held');
    expect(world.secret?.data ?? {}).toEqual({});
    const { plans } = world;
    await world.clock.advance(5000);
    await world.reconcile();
    expect(world.plans).toBe(plans);
    world.planOf = () => ({});
    await world.clock.advance(30_000);
    await world.settle();
    world.take();
    await world.settle();
    expect(world.statusOf('a')).toBe('Active');
    expect(world.events).toEqual([
      'Held 3 keys (30 bytes) in "main" would have to be in "a", such as /k; delete these objects first, since keys are not moved',
      'Active the router has the rules in force',
    ]);
  });

  it('says what the router has refused after all', async () => {
    world.put('a');
    await world.settle();
    world.refuse('no database');
    await world.settle();
    expect([world.statusOf('a'), world.reasonOf('a')]).toEqual(['Error', 'the router has not taken the rules up: no database']);
  });

  it('takes out what the router has refused after all, so that nobody waits for it', async () => {
    await active('a');
    world.put('b');
    await world.settle();
    world.refuse('keys came');
    world.planOf = (documents) => (documents.some(({ name }) => name.endsWith('-b.yaml')) ? { moves: [MOVE] } : {});
    world.put('c');
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-a.yaml', '2-c.yaml']);
    world.take();
    await world.settle();
    expect(['a', 'b', 'c'].map((name) => world.statusOf(name))).toEqual(['Active', 'Held', 'Active']);
  });

  it('counts what it does', async () => {
    await active('a');
    world.putSecret({ metadata: {}, data: {} });
    world.put('b', [backend('b', { endpoint: 'redis://x' })]);
    await world.settle();
    const lines = (await world.registry.metrics()).split('\n');
    const target = 'target="harikube/topology-config"';
    expect(lines).toEqual(
      expect.arrayContaining([
        `harikube_topology_operator_configs{${target},status="Active"} 1`,
        `harikube_topology_operator_configs{${target},status="Error"} 1`,
        `harikube_topology_operator_configs{${target},status="Held"} 0`,
        `harikube_topology_operator_secret_writes_total{${target},reason="changed"} 1`,
        `harikube_topology_operator_secret_writes_total{${target},reason="restored"} 1`,
        `harikube_topology_operator_router_reachable{${target}} 1`,
        `harikube_topology_operator_orphaned_documents{${target}} 0`,
      ]),
    );
  });

  it('restores what it has written although the router is away, by what it knows', async () => {
    await active('a', 'b');
    const { documents } = world;
    world.isRouterAway = true;
    world.putSecret({ metadata: {}, data: {} });
    await world.settle();
    expect(world.documents).toEqual(documents);
    world.putSecret(undefined);
    await world.settle();
    expect(world.documents).toEqual(documents);
    expect(world.events.filter((event) => event.startsWith('Restored'))).toHaveLength(2);
  });

  it('makes a deleted Secret anew that its finalizer keeps', async () => {
    await active('a');
    const { documents, secret } = world;
    world.putSecret({ ...secret, metadata: { ...secret?.metadata, deletionTimestamp: '2026-01-02T00:00:00Z' } });
    await world.settle();
    expect(world.documents).toEqual(documents);
    expect(world.secret?.metadata.deletionTimestamp).toBeUndefined();
  });

  it('does not write what is left of a changed Secret without the word of the router, when it knows nothing else', async () => {
    await active('a', 'b');
    const changed = { ...world.secret, metadata: world.secret?.metadata ?? {}, data: { ...world.secret?.data, '1-a.yaml': 'eA==' } };
    world.restart();
    world.isRouterAway = true;
    world.putSecret(changed);
    world.writes.length = 0;
    await world.settle();
    expect(world.writes.filter((write) => write.includes('secrets'))).toEqual([]);
    world.isRouterAway = false;
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-a.yaml', '2-b.yaml']);
    expect(world.documents['1-a.yaml']).toContain('a.db');
  });

  it('leaves a Secret alone that it has not made, and says so', async () => {
    world.putSecret({ metadata: {}, data: { 'mine.yaml': 'eA==' } });
    world.put('a');
    expect(await world.settle()).toEqual({ requeueAfterMs: 5000 });
    expect(world.reasonOf('a')).toContain('holds what no operator has made');
    world.remove('a');
    await world.settle();
    expect(world.has('a')).toBe(false);
    expect(Object.keys(world.documents)).toEqual(['mine.yaml']);
  });

  it('says which right is missing', async () => {
    world.forbidSecretWrites = true;
    world.put('a');
    await world.settle();
    expect(world.statusOf('a')).toBe('Error');
    expect(world.reasonOf('a')).toBe(
      'the Secret harikube/topology-config cannot be written: secrets is forbidden; give the account of the operator a Role there that allows create, and update of this name',
    );
  });

  it('holds an object whose database holds keys, and lets it go in good order', async () => {
    await active('a', 'b');
    world.keys.set('a', 2);
    world.remove('a');
    expect(await world.settle()).toEqual({ requeueAfterMs: 5000 });
    expect(world.reasonOf('a')).toContain('"a" holds 2 keys');
    world.keys.set('a', 0);
    world.writes.length = 0;
    await world.settle();
    expect(world.writes[0]).toBe('update secrets topology-config');
    // Until the router has let the rule go, too.
    expect(world.has('a')).toBe(true);
    world.take();
    await world.settle();
    expect(world.has('a')).toBe(false);
  });

  it('puts the rules of a leaving object back when its database got keys in the last moment', async () => {
    await active('a', 'b');
    world.remove('a');
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-b.yaml']);
    world.keys.set('a', 1);
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-a.yaml', '2-b.yaml']);
    expect(world.statusOf('a')).toBe('Held');
  });

  it('gives data up once, when its number is confirmed, and records it before the rules go', async () => {
    await active('a');
    world.keys.set('a', 5);
    world.annotate('a', { [ABANDON]: 'a=4' });
    await world.settle();
    expect(world.abandoned).toEqual([]);
    world.remove('a');
    await world.settle();
    expect(world.reasonOf('a')).toContain('the data of "a" was not given up: "a" holds 5 keys');
    world.annotate('a', { [ABANDON]: 'a=5' });
    world.writes.length = 0;
    await world.settle();
    expect(world.abandoned).toEqual([{ backend: 'a', confirm: 5 }]);
    expect(world.writes.slice(0, 2)).toEqual(['patch status topologyconfigs a', 'update secrets topology-config']);
    expect(world.config('a').status?.abandoned).toEqual([{ name: 'a', keys: 5, time: '2026-01-02T03:04:05Z' }]);
    expect(world.events).toContain('DataAbandoned 5 keys of the backend "a" were given up');
    world.take();
    await world.settle();
    expect(world.has('a')).toBe(false);
  });

  it('gives up nothing of another object, whoever names its backend', async () => {
    await active('a');
    world.keys.set('a', 5);
    world.put('thief', [backend('a')], { [ABANDON]: 'a=5' });
    await world.settle();
    world.remove('thief');
    await world.settle();
    expect(world.abandoned).toEqual([]);
    expect(world.has('thief')).toBe(false);
    expect(world.statusOf('a')).toBe('Active');
  });

  it('lets the document of an object go that was made anew for another target', async () => {
    await active('a', 'b');
    const { metadata } = world.config('a');
    metadata.finalizers = [];
    world.remove('a');
    world.put('a');
    world.config('a').spec.targetSecret = 'other/topology';
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-b.yaml']);
  });

  it('gives up the data of a backend that a spec does not name any more', async () => {
    world.put('a', [backend('a'), backend('old')]);
    await world.settle();
    world.take();
    world.keys.set('old', 2);
    world.planOf = (documents) =>
      world.abandoned.length > 0 || documents.some(({ text }) => text.includes('name: old')) ? {} : { moves: [MOVE] };
    world.put('a', [backend('a')]);
    await world.settle();
    expect(world.statusOf('a')).toBe('Held');
    world.annotate('a', { [ABANDON]: 'old' });
    await world.settle();
    world.take();
    await world.settle();
    expect(world.abandoned).toEqual([{ backend: 'old', confirm: 2 }]);
    expect(world.statusOf('a')).toBe('Active');
    expect(world.documents['1-a.yaml']).not.toContain('old');
  });

  it('keeps the document of an object whose finalizer was removed by hand, as long as the router does', async () => {
    await active('a', 'b');
    world.planOf = (documents) => (documents.some(({ name }) => name.endsWith('-a.yaml')) ? {} : { moves: [MOVE] });
    const { metadata } = world.config('a');
    metadata.finalizers = [];
    world.remove('a');
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-a.yaml', '2-b.yaml']);
    world.planOf = () => ({});
    await world.clock.advance(30_001);
    await world.settle();
    expect(Object.keys(world.documents)).toEqual(['1-b.yaml']);
  });

  it('changes nothing while the router is away, and asks again each second', async () => {
    await active('a');
    const { documents } = world;
    world.isRouterAway = true;
    world.put('a', [backend('a', { compactInterval: '1m' })]);
    expect(await world.settle()).toEqual({ requeueAfterMs: 1000 });
    expect(world.documents).toEqual(documents);
    expect([world.statusOf('a'), world.reasonOf('a')]).toEqual([
      'Pending',
      'the router is away; the rules of generation 1 stay in harikube/topology-config',
    ]);
  });

  it('merges without a router, and says which flag is missing', async () => {
    world.hasRouter = false;
    world.restart();
    world.put('a');
    expect(await world.settle()).toEqual({});
    expect(Object.keys(world.documents)).toEqual(['1-a.yaml']);
    expect([world.statusOf('a'), world.reasonOf('a')]).toEqual([
      'Pending',
      'nobody says what the router has in force: --router-admin-url is not set',
    ]);
  });

  it('resolves references, and keeps what they led to when they lead nowhere', async () => {
    const place = { namespace: 'shop', name: 'db' };
    world.putSecret({ metadata: {}, data: { dsn: Buffer.from('sqlite:///db/one.db').toString('base64') } }, place);
    world.put('a', [backend('a', { endpoint: 'secret://shop/db/dsn' })]);
    await world.settle();
    expect(world.documents['1-a.yaml']).toContain('endpoint: sqlite:///db/one.db\n');
    world.putSecret({ metadata: {}, data: { dsn: Buffer.from('Canary-1').toString('base64') } }, place);
    await world.settle();
    expect(world.reasonOf('a')).toContain('the key "dsn" of the Secret shop/db holds no endpoint that can be used');
    expect(JSON.stringify(world.config('a')) + world.events.join()).not.toContain('Canary-1');
    world.putSecret(undefined, place);
    await world.settle();
    expect(world.documents['1-a.yaml']).toContain('endpoint: sqlite:///db/one.db\n');
    expect(world.reasonOf('a')).toContain('the Secret shop/db does not exist; the rules of generation 1 stay');
  });

  it('lets a Secret go that nobody needs', async () => {
    world.putSecret({ metadata: { finalizers: ['harikube.info/finalizer'], deletionTimestamp: '2026-01-02T00:00:00Z' } });
    await world.settle();
    expect(world.secret).toBeUndefined();
  });

  it('leaves a Secret as it is that no TopologyConfig names', async () => {
    world.putSecret({ metadata: {}, data: {} });
    expect(await world.settle()).toEqual({});
    expect(world.writes).toEqual([]);
  });
});
