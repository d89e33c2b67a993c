import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PLATFORM_NAMESPACE, TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { ifFound, KubeClient, type KubeObject, SECRETS, StatusError } from '@harikube/kube';
import { topologyOperatorManifests } from '@harikube/topology-operator';
import { eventually } from './eventually.js';
import { FAKE_ROUTER_TOKEN, FakeRouter } from './fake-router.js';
import type { Kubectl } from './kubectl.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster } from './running-cluster.js';

const NAMESPACE = 'harikube';
const TARGET = 'topology-config';
const GROUP = 'product.webshop.harikube.info/v1';

interface Secret extends KubeObject {
  data?: Record<string, string>;
}

let cluster: RunningCluster;
let kubectl: Kubectl;
let client: KubeClient;
let router: FakeRouter;
let common: string[];
let flags: string[];
let running: ProgramProcess[];

/** As HariKube's documentation has them, character by character. */
const demo = (kind: string): string => `apiVersion: harikube.info/v1
kind: TopologyConfig
metadata:
  name: topologyconfig-${kind}
  namespace: harikube
spec:
  targetSecret: harikube/topology-config
  backends:
  - name: ${kind}
    endpoint: sqlite:///db/${kind}.db?_journal=WAL&cache=shared
    customresource:
      group: ${GROUP}
      kind: ${kind}s
`;

const demoText = (kind: string): string => `backends:
- name: ${kind}
  endpoint: sqlite:///db/${kind}.db?_journal=WAL&cache=shared
  customresource:
    group: ${GROUP}
    kind: ${kind}s
`;

function config(name: string, { order, backends }: { order?: string; backends?: object[] } = {}): TopologyConfig {
  return {
    apiVersion: 'harikube.info/v1',
    kind: 'TopologyConfig',
    metadata: { name, namespace: NAMESPACE, ...(order === undefined ? {} : { annotations: { 'harikube.info/deployOrder': order } }) },
    spec: { targetSecret: `${NAMESPACE}/${TARGET}`, backends: backends ?? [backend(name)] },
  } as TopologyConfig;
}

const backend = (name: string, more: object = {}): object => ({
  name,
  endpoint: `sqlite:///db/${name}.db`,
  prefix: { prefix: `${name}.example.com` },
  ...more,
});

const create = (object: TopologyConfig): Promise<TopologyConfig> => client.create(TOPOLOGY_CONFIGS, object);
const get = (name: string): Promise<TopologyConfig> => client.get(TOPOLOGY_CONFIGS, name, NAMESPACE);
const remove = (name: string): Promise<void> => client.delete(TOPOLOGY_CONFIGS, name, NAMESPACE);
const patch = (name: string, value: object): Promise<TopologyConfig> =>
  client.patch(TOPOLOGY_CONFIGS, name, NAMESPACE, value, { type: 'merge' });
const secret = (): Promise<Secret | null> => ifFound(client.get<Secret>(SECRETS, TARGET, NAMESPACE));

async function documents(): Promise<Record<string, string>> {
  const { data = {} } = (await secret()) ?? {};
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

const keys = async (): Promise<string[]> => Object.keys(await documents());
const becomes = <T>(look: () => Promise<T>, isSo: (value: T) => boolean): Promise<T> => eventually(look, isSo);
const statusOf = async (name: string): Promise<string> => (await get(name)).status?.deployStatus ?? '';
const becomesOf = (name: string, deployStatus: string): Promise<TopologyConfig> =>
  becomes(
    () => get(name),
    ({ status, metadata }) => status?.deployStatus === deployStatus && status.observedGeneration === metadata.generation,
  );
const isGone = (name: string): Promise<TopologyConfig | null> =>
  becomes(
    () => ifFound(get(name)),
    (found) => found === null,
  );

async function start(...more: string[]): Promise<ProgramProcess> {
  const args = [...flags, ...more];
  const operator = await ProgramProcess.start({ command: 'topology-operator', args, logFile: join(cluster.folder, 'operator.log') });
  running.push(operator);
  return operator;
}

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'topology-operator', store: 'etcd' });
  kubectl = cluster.kubectl;
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'topology-operator-spec' });
  cluster.beforeStop(() => client.close());
  await cluster.installCrds();
  for (const namespace of [PLATFORM_NAMESPACE, NAMESPACE, 'databases']) await kubectl.succeed(['create', 'namespace', namespace]);
  const items = topologyOperatorManifests({ namespace: PLATFORM_NAMESPACE, references: ['databases/shirts'] });
  await kubectl.succeed(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items });
  await writeFile(join(cluster.folder, 'router-token'), `${FAKE_ROUTER_TOKEN}\n`, { mode: 0o600 });
  // As its own account: it may do what its manifests allow, and no more.
  const kubeconfig = await cluster.accountKubeconfig(PLATFORM_NAMESPACE, 'topology-operator');
  common = [`--kubeconfig=${kubeconfig}`, `--namespace=${PLATFORM_NAMESPACE}`, '--health-probe-bind-address=0', '--log-format=json'];
});

afterAll(async () => {
  await cluster?.stop();
});

beforeEach(async () => {
  running = [];
  router = await FakeRouter.start(`secret://${NAMESPACE}/${TARGET}`, async () => {
    const found = await secret();
    if (found === null) return null;
    return Object.entries(await documents()).map(([name, text]) => ({ name, text }));
  });
  flags = [...common, `--router-admin-token-file=${join(cluster.folder, 'router-token')}`, `--router-admin-url=${router.url}`];
});

afterEach(async () => {
  for (const one of running) await one.kill();
  await router.close();
  // Nobody is left to let them go.
  for (const { metadata } of (await client.list(TOPOLOGY_CONFIGS, { namespace: NAMESPACE })).items) {
    const { name = '' } = metadata;
    if (metadata.deletionTimestamp === undefined) await ifFound(remove(name));
    await ifFound(patch(name, { metadata: { finalizers: null } }));
  }
  await ifFound(client.delete(SECRETS, TARGET, NAMESPACE));
  await ifFound(client.patch(SECRETS, TARGET, NAMESPACE, { metadata: { finalizers: null } }, { type: 'merge' }));
});

describe('the topology-operator on a real kube-apiserver', () => {
  it("merges the reference's three objects as they are written, and says Active when the router has them in force", async () => {
    router.isHesitant = true;
    await start();
    for (const kind of ['tenant', 'user', 'email']) await kubectl.succeed(['create', '-f', '-'], demo(kind));
    const merged = await becomes(documents, (found) => Object.keys(found).length === 3);
    expect(Object.values(merged).toSorted()).toEqual(['tenant', 'user', 'email'].map(demoText).toSorted());
    expect((await secret())?.metadata.finalizers).toEqual(['harikube.info/finalizer']);
    const pending = await becomes(
      () => get('topologyconfig-email'),
      ({ status }) => status?.conditions?.find(({ type }) => type === 'Merged')?.status === 'True',
    );
    expect(pending.status).toMatchObject({
      deployStatus: 'Pending',
      deployStatusReason: expect.stringContaining('not taken the rules up yet'),
    });
    router.isHesitant = false;
    for (const kind of ['tenant', 'user', 'email']) await becomesOf(`topologyconfig-${kind}`, 'Active');
    expect(router.backends.toSorted()).toEqual(['email', 'tenant', 'user']);
    const row = (await kubectl.read(['get', 'topo', '-n', NAMESPACE, 'topologyconfig-tenant', '--no-headers'])).split(/\s+/);
    expect(row.slice(0, 4)).toEqual(['topologyconfig-tenant', 'Active', 'harikube/topology-config', 'True']);
    await kubectl.succeed(['wait', 'topo', '--all', '-n', NAMESPACE, '--for=condition=Active', '--timeout=120s']);
    await becomes(
      () => kubectl.read(['describe', 'topo', '-n', NAMESPACE, 'topologyconfig-tenant']),
      (text) => text.includes('the router has the rules in force'),
    );
  });

  it('orders by the annotation, mirrors the order, and follows its changes at once', async () => {
    await start();
    await create(config('rest'));
    await create(config('two', { order: '2' }));
    await create(config('one', { order: '1' }));
    await becomes(keys, (found) => found.join() === '1-one.yaml,2-two.yaml,3-rest.yaml');
    for (const name of ['one', 'two', 'rest']) await becomesOf(name, 'Active');
    expect((await get('rest')).status?.deployOrder).toBe(3);
    await patch('one', { metadata: { annotations: { 'harikube.info/deployOrder': '10' } } });
    await becomes(keys, (found) => found.join() === '02-two.yaml,10-one.yaml,11-rest.yaml');
    await becomes(
      () => Promise.resolve(router.backends),
      (found) => found.join() === 'two,one,rest',
    );
    expect((await becomesOf('one', 'Active')).status?.deployOrder).toBe(10);
    await patch('one', { metadata: { annotations: { 'harikube.info/deployOrder': 'last' } } });
    expect((await becomesOf('one', 'Error')).status?.deployStatusReason).toContain('deployOrder=last is not usable');
    expect(await keys()).toEqual(['02-two.yaml', '10-one.yaml', '11-rest.yaml']);
  });

  it('takes edits over, and disturbs nobody else', async () => {
    await start();
    await create(config('a'));
    await create(config('b'));
    await becomesOf('a', 'Active');
    const before = await becomesOf('b', 'Active');
    const backends = [backend('a', { connectionPool: { maxLifeTime: '90m' } }), backend('more')];
    await patch('a', { spec: { backends } });
    const text = await becomes(documents, (found) => found['1-a.yaml']?.includes('maxLifeTime: 1h30m0s') === true);
    expect(text['1-a.yaml']).toContain('name: more');
    await becomesOf('a', 'Active');
    expect(router.backends).toEqual(['a', 'more', 'b']);
    expect((await get('b')).metadata.resourceVersion).toBe(before.metadata.resourceVersion);
  });

  it('keeps the last good rules of an object that becomes invalid, and lets the valid ones beside it pass', async () => {
    await start();
    await create(config('a'));
    await becomesOf('a', 'Active');
    await patch('a', { spec: { backends: [backend('a', { endpoint: 'redis://u:Canary-1@host' })] } });
    await create(config('b'));
    await create(config('twin', { backends: [backend('a')] }));
    await becomesOf('b', 'Active');
    const invalid = await becomesOf('a', 'Error');
    expect(invalid.status?.deployStatusReason).toContain('unknown scheme "redis"');
    expect(invalid.status?.deployStatusReason).toContain('the rules of generation 1 stay in harikube/topology-config');
    expect(JSON.stringify(invalid.status)).not.toContain('Canary-1');
    const conditions = Object.fromEntries((invalid.status?.conditions ?? []).map(({ type, status }) => [type, status]));
    expect(conditions).toEqual({ Valid: 'False', Merged: 'False', Active: 'False' });
    expect((await becomesOf('twin', 'Error')).status?.deployStatusReason).toContain('the name "a" is used twice');
    expect(await keys()).toEqual(['1-a.yaml', '2-b.yaml']);
    expect((await documents())['1-a.yaml']).toContain('sqlite:///db/a.db');
    await patch('a', { spec: { backends: [backend('a')] } });
    await becomesOf('a', 'Active');
  });

  it('holds back what would hide keys, with their number, and takes it up when they are gone', async () => {
    router.captured.set('shirts', 7);
    await start();
    await create(config('shirts'));
    await create(config('b'));
    await becomesOf('b', 'Active');
    const held = await becomesOf('shirts', 'Held');
    expect(held.status?.deployStatusReason).toContain('7 keys (70 bytes) in "main" would have to be in "shirts"');
    expect(await keys()).toEqual(['1-b.yaml']);
    expect(router.backends).toEqual(['b']);
    router.captured.clear();
    // What was refused is looked at again after 30 seconds, or when something changes.
    await patch('shirts', { spec: { backends: [backend('shirts', { compactInterval: '5m' })] } });
    await becomesOf('shirts', 'Active');
  });

  it('restores a Secret that was edited or deleted by hand at once', async () => {
    await start();
    await create(config('a'));
    await create(config('b'));
    await becomesOf('a', 'Active');
    await becomesOf('b', 'Active');
    const whole = await documents();
    // Whatever the router says: this has been in force.
    router.isAway = true;
    const data = { '1-a.yaml': 'YmFja2VuZHM6IFtdCg==', '2-b.yaml': null, 'x.yaml': 'eA==' };
    await client.patch(SECRETS, TARGET, NAMESPACE, { data, metadata: { annotations: null } }, { type: 'merge' });
    await becomes(documents, (found) => JSON.stringify(found) === JSON.stringify(whole));
    const { metadata } = (await secret()) ?? { metadata: {} };
    await client.delete(SECRETS, TARGET, NAMESPACE);
    const anew = await becomes(secret, (found) => found !== null && found.metadata.uid !== metadata.uid);
    expect(anew?.metadata.deletionTimestamp).toBeUndefined();
    expect(await documents()).toEqual(whole);
    router.isAway = false;
    expect(await statusOf('a')).toBe('Active');
    await becomes(
      () => kubectl.read(['get', 'events', '-n', NAMESPACE, '--field-selector=reason=Restored', '-o', 'name']),
      (text) => text !== '',
    );
  });

  it('leaves a Secret alone that somebody else has made', async () => {
    await client.create<Secret>(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: TARGET, namespace: NAMESPACE },
      data: { 'mine.yaml': 'YmFja2VuZHM6IFtdCg==' },
    });
    await start();
    await create(config('a'));
    expect((await becomesOf('a', 'Error')).status?.deployStatusReason).toContain('holds what no operator has made');
    expect(await keys()).toEqual(['mine.yaml']);
    await remove('a');
    await isGone('a');
  });

  it('resolves references and follows them', async () => {
    const dsn = (value: string): Secret => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'shirts', namespace: 'databases' },
      data: { dsn: Buffer.from(value).toString('base64') },
    });
    await start();
    await create(config('a', { backends: [backend('a', { endpoint: 'secret://databases/shirts/dsn' })] }));
    expect((await becomesOf('a', 'Error')).status?.deployStatusReason).toContain('the Secret databases/shirts does not exist');
    await client.create(SECRETS, dsn('sqlite:///db/first.db'));
    await becomesOf('a', 'Active');
    expect((await documents())['1-a.yaml']).toContain('endpoint: sqlite:///db/first.db\n');
    await client.update(SECRETS, dsn('sqlite:///db/second.db\n'));
    await becomes(documents, (found) => found['1-a.yaml']?.includes('endpoint: sqlite:///db/second.db\n') === true);
    await client.delete(SECRETS, 'shirts', 'databases');
    expect((await becomesOf('a', 'Error')).status?.deployStatusReason).toContain('the rules of generation 1 stay');
    expect((await documents())['1-a.yaml']).toContain('second.db');
    // It may read the Secrets that are named in its rights, and no others.
    await create(config('b', { backends: [backend('b', { endpoint: 'secret://kube-system/other/dsn' })] }));
    const said = (await becomesOf('b', 'Error')).status?.deployStatusReason;
    expect(said).toContain('is forbidden');
    expect(said).toContain('give the account of the operator a Role there');
  });

  it('holds the deletion of an object whose database holds keys, and lets it go when they are gone', async () => {
    await start();
    await create(config('a'));
    await create(config('b'));
    await becomesOf('a', 'Active');
    router.keys.set('a', 3);
    await remove('a');
    const held = await becomes(
      () => get('a'),
      ({ status }) => status?.deployStatus === 'Held',
    );
    expect(held.status).toMatchObject({
      deployStatusReason: expect.stringContaining('"a" holds 3 keys (30 bytes); delete the objects first'),
      backends: [{ name: 'a', keys: 3, bytes: 30 }],
    });
    expect(router.backends).toEqual(['a', 'b']);
    router.keys.set('a', 0);
    await isGone('a');
    expect(await keys()).toEqual(['1-b.yaml']);
    expect(router.backends).toEqual(['b']);
    await remove('b');
    await isGone('b');
    expect(await keys()).toEqual([]);
    expect(router.backends).toEqual([]);
  });

  it('gives data up when the number of its keys is confirmed, and says so', async () => {
    await start();
    await create(config('a'));
    await becomesOf('a', 'Active');
    router.keys.set('a', 5);
    await patch('a', { metadata: { annotations: { 'harikube.info/abandon-data': 'a=4' } } });
    // Nothing goes while the rule stays.
    expect(router.abandoned).toEqual([]);
    await remove('a');
    await becomes(
      () => get('a'),
      ({ status }) => status?.deployStatusReason?.includes('was not given up: "a" holds 5 keys') === true,
    );
    await patch('a', { metadata: { annotations: { 'harikube.info/abandon-data': 'a=5' } } });
    await isGone('a');
    expect(router.abandoned).toEqual([{ backend: 'a', confirm: 5 }]);
    expect(router.backends).toEqual([]);
    const notes = await becomes(
      () => kubectl.read(['get', 'events', '-n', NAMESPACE, '--field-selector=reason=DataAbandoned', '-o', 'jsonpath={.items[*].message}']),
      (text) => text !== '',
    );
    expect(notes).toContain('5 keys of the backend "a" were given up');
  });

  it('says which flag is missing when there is nobody to ask', async () => {
    flags = common;
    await start();
    await create(config('a'));
    const found = await becomes(
      () => get('a'),
      ({ status }) => status?.conditions?.find(({ type }) => type === 'Active')?.status === 'Unknown',
    );
    expect(found.status).toMatchObject({
      deployStatus: 'Pending',
      deployStatusReason: expect.stringContaining('--router-admin-url is not set'),
    });
    expect(await keys()).toEqual(['1-a.yaml']);
    await remove('a');
    const held = await becomes(
      () => get('a'),
      ({ status }) => status?.deployStatus === 'Held',
    );
    expect(held.status?.deployStatusReason).toContain('say so by the annotation harikube.info/abandon-data: a');
    await patch('a', { metadata: { annotations: { 'harikube.info/abandon-data': 'a' } } });
    await isGone('a');
  });

  it('changes nothing in force while the router is away, and goes on when it is back', async () => {
    await start();
    await create(config('a'));
    await becomesOf('a', 'Active');
    router.isAway = true;
    await patch('a', { spec: { backends: [backend('a'), backend('more')] } });
    expect((await becomesOf('a', 'Pending')).status?.deployStatusReason).toContain('the router is away');
    expect((await documents())['1-a.yaml']).not.toContain('more');
    router.isAway = false;
    await becomesOf('a', 'Active');
    expect(router.backends).toEqual(['a', 'more']);
  });

  it('works once with two operators, and the second one takes over from one that ends', async () => {
    const one = await start('--leader-elect');
    await start('--leader-elect');
    await create(config('a'));
    await becomesOf('a', 'Active');
    expect(await one.stop()).toBe(0);
    await create(config('b'));
    await becomesOf('b', 'Active');
    expect(router.backends).toEqual(['a', 'b']);
  });

  it('comes to the same with two operators that both work', async () => {
    await start();
    await start();
    const names = Array.from({ length: 10 }, (_, index) => `c${index}`);
    await Promise.all(names.map((name) => create(config(name))));
    for (const name of names) await becomesOf(name, 'Active');
    expect(router.backends.toSorted()).toEqual(names);
    await Promise.all(names.map(remove));
    for (const name of names) await isGone(name);
    expect(await keys()).toEqual([]);
  });

  it('comes to the same wherever it is killed', async () => {
    const names = Array.from({ length: 6 }, (_, index) => `c${index}`);
    let operator = await start();
    for (const [round, name] of names.entries()) {
      await create(config(name));
      if (round % 2 === 1) await patch('c0', { metadata: { annotations: { 'harikube.info/deployOrder': String(round) } } });
      if (round === 4) await remove('c1');
      await operator.kill();
      operator = await start();
    }
    for (const name of names.filter((each) => each !== 'c1')) await becomesOf(name, 'Active');
    await isGone('c1');
    expect(router.backends.toSorted()).toEqual(['c0', 'c2', 'c3', 'c4', 'c5']);
  });

  it('writes nothing in the steady state', async () => {
    await start();
    await create(config('a'));
    const before = await becomesOf('a', 'Active');
    const secretBefore = await secret();
    const { plans } = router;
    // A change of something else makes it look at everything once more.
    await patch('a', { metadata: { labels: { looked: 'again' } } });
    await create(config('b', { backends: [backend('b', { endpoint: 'redis://x' })] }));
    await becomesOf('b', 'Error');
    const { status } = await get('a');
    expect(status).toEqual(before.status);
    expect((await secret())?.metadata.resourceVersion).toBe(secretBefore?.metadata.resourceVersion);
    expect(router.plans).toBe(plans);
  });

  it('lets a Secret go that nobody needs, and whose finalizer was left behind', async () => {
    await client.create<Secret>(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: TARGET, namespace: NAMESPACE, finalizers: ['harikube.info/finalizer'] },
    });
    await client.delete(SECRETS, TARGET, NAMESPACE);
    await start();
    expect(await becomes(secret, (found) => found === null)).toBeNull();
  });

  it('may not read other Secrets', async () => {
    const account = `system:serviceaccount:${PLATFORM_NAMESPACE}:topology-operator`;
    for (const args of [
      ['get', 'secrets', '-A'],
      ['get', 'secrets', '-n', NAMESPACE],
      ['get', 'secret', 'other', '-n', NAMESPACE],
    ])
      expect(await kubectl.refuse([...args, `--as=${account}`])).toContain('orbidden');
    await expect(client.get(SECRETS, TARGET, NAMESPACE)).rejects.toBeInstanceOf(StatusError);
  });
});
