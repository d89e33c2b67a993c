import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PLATFORM_NAMESPACE, TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { ifFound, KubeClient } from '@harikube/kube';
import { freePort } from '@harikube/local-cluster';
import { RouterAdminClient } from '@harikube/platform';
import { EtcdClient } from '@harikube/testing';
import { topologyOperatorManifests } from '@harikube/topology-operator';
import { RouterProcess } from '../fault/router-process.js';
import { eventually } from './eventually.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster } from './running-cluster.js';

const NAMESPACE = 'harikube';
const GROUP = 'product.webshop.harikube.info';

let cluster: RunningCluster;
let client: KubeClient;
let admin: RouterAdminClient;
let store: EtcdClient;
let router: RouterProcess;

const config = (kind: string): TopologyConfig =>
  ({
    apiVersion: 'harikube.info/v1',
    kind: 'TopologyConfig',
    metadata: { name: kind, namespace: NAMESPACE },
    spec: {
      backends: [
        {
          name: kind,
          endpoint: `sqlite://${join(cluster.folder, 'store', `${kind}.db`)}?_journal=WAL&cache=shared`,
          customresource: { group: `${GROUP}/v1`, kind: `${kind}s` },
        },
      ],
    },
  }) as unknown as TopologyConfig;

const get = (name: string): Promise<TopologyConfig | null> => ifFound(client.get(TOPOLOGY_CONFIGS, name, NAMESPACE));
const annotate = (name: string, annotations: Record<string, string>): Promise<TopologyConfig> =>
  client.patch(TOPOLOGY_CONFIGS, name, NAMESPACE, { metadata: { annotations } }, { type: 'merge' });
const becomes = (name: string, deployStatus: string, reason = ''): Promise<TopologyConfig | null> =>
  eventually(
    () => get(name),
    (found) => found?.status?.deployStatus === deployStatus && (found.status.deployStatusReason ?? '').includes(reason),
  );
const inForce = async (): Promise<string[]> =>
  (await admin.topology()).backends.filter(({ retiredAt }) => retiredAt === undefined).map(({ name }) => name);
const key = (kind: string, name: string): string => `/registry/${GROUP}/${kind}s/${name}`;

/** The router's data is not that of the cluster: the keys in it are the test's own. */
beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'topology-operator-router', store: 'etcd', controllerManager: false });
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'topology-operator-router-spec' });
  cluster.beforeStop(() => client.close());
  await cluster.installCrds();
  for (const namespace of [PLATFORM_NAMESPACE, NAMESPACE]) await cluster.kubectl.succeed(['create', 'namespace', namespace]);
  const items = topologyOperatorManifests({ namespace: PLATFORM_NAMESPACE });
  await cluster.kubectl.succeed(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items });
  const tokenFile = join(cluster.folder, 'router-token');
  await writeFile(tokenFile, randomBytes(32).toString('hex'), { mode: 0o600 });
  await mkdir(join(cluster.folder, 'store'));
  const port = await freePort();
  router = await RouterProcess.start({
    database: join(cluster.folder, 'store', 'main.db'),
    flags: [
      `--topology-config=secret://${NAMESPACE}/topology-config`,
      `--kubeconfig=${cluster.kubeconfigFile}`,
      `--admin-bind-address=127.0.0.1:${port}`,
      `--admin-token-file=${tokenFile}`,
    ],
  });
  cluster.beforeStop(() => router.kill());
  const url = `http://127.0.0.1:${port}`;
  admin = new RouterAdminClient({ url, tokenFile });
  store = new EtcdClient(router.address);
  cluster.beforeStop(() => store.close());
  const kubeconfig = await cluster.accountKubeconfig(PLATFORM_NAMESPACE, 'topology-operator');
  const operator = await ProgramProcess.start({
    command: 'topology-operator',
    args: [
      `--kubeconfig=${kubeconfig}`,
      '--health-probe-bind-address=0',
      '--log-format=json',
      `--router-admin-url=${url}`,
      `--router-admin-token-file=${tokenFile}`,
    ],
    logFile: join(cluster.folder, 'operator.log'),
  });
  cluster.beforeStop(() => operator.kill());
});

afterAll(async () => {
  await cluster?.stop();
});

describe('the topology-operator and a router', () => {
  it('agree on what is in force', async () => {
    for (const kind of ['tenant', 'user', 'email']) await client.create(TOPOLOGY_CONFIGS, config(kind));
    for (const kind of ['tenant', 'user', 'email']) await becomes(kind, 'Active');
    expect((await inForce()).toSorted()).toEqual(['email', 'main', 'tenant', 'user']);
    expect(router.lines.some(({ msg }) => msg.startsWith('Backends registered: [') && msg.endsWith(' main]'))).toBe(true);
    await annotate('user', { 'harikube.info/deployOrder': '1' });
    await eventually(inForce, ([first]) => first === 'user');
    // The operator writes the status after the router has answered.
    const { status } =
      (await eventually(
        () => get('user'),
        (found) => found?.status?.deployOrder === 1,
      )) ?? {};
    expect(status).toMatchObject({ deployStatus: 'Active' });
  });

  it('hold back a rule that would hide keys, and take it up when they are deleted', async () => {
    const revision = await store.put(key('order', 'first'), 'value');
    await client.create(TOPOLOGY_CONFIGS, config('order'));
    await becomes('order', 'Held', `in "main" would have to be in "order", such as ${key('order', 'first')}`);
    expect(await inForce()).not.toContain('order');
    await store.deleteIf(key('order', 'first'), revision);
    // Whatever changes lets the operator look again before its time.
    await client.patch(
      TOPOLOGY_CONFIGS,
      'order',
      NAMESPACE,
      { spec: { backends: [{ ...config('order').spec.backends[0], compactInterval: '5m' }] } },
      { type: 'merge' },
    );
    await becomes('order', 'Active');
  });

  it('hold the deletion of a rule whose database holds keys, until they are given up by their number', async () => {
    for (const name of ['one', 'two']) await store.put(key('user', name), 'value');
    await client.delete(TOPOLOGY_CONFIGS, 'user', NAMESPACE);
    await becomes('user', 'Held', '"user" holds 2 keys');
    await annotate('user', { 'harikube.info/abandon-data': 'user=1' });
    await becomes('user', 'Held', 'was not given up');
    expect(await inForce()).toContain('user');
    await annotate('user', { 'harikube.info/abandon-data': 'user=2' });
    await eventually(
      () => get('user'),
      (found) => found === null,
    );
    expect(await inForce()).not.toContain('user');
  });

  it('let empty ones go, down to the last', async () => {
    for (const kind of ['tenant', 'email', 'order']) await client.delete(TOPOLOGY_CONFIGS, kind, NAMESPACE);
    for (const kind of ['tenant', 'email', 'order'])
      await eventually(
        () => get(kind),
        (found) => found === null,
      );
    expect(await inForce()).toEqual(['main']);
  });
});
