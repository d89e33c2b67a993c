import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Binaries, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { runProgram } from '../run-program.js';
import { ChartCluster } from './node-stand-in/chart-cluster.js';
import { DATA_LAYER, DEFINITIONS, Helm } from './data-layer-cluster.js';

const NAMESPACE = 'harikube';
const VALUES = {
  topologyConfigs: [
    {
      name: 'users',
      deployOrder: 1,
      backends: [{ name: 'users', endpoint: 'sqlite:///db/users.db', customresource: { group: 'example.com', kind: 'users' } }],
    },
  ],
};

let stage: ChartCluster;
let helm: Helm;
let values: string;

beforeAll(async () => {
  stage = await ChartCluster.start({ name: 'data-layer', store: 'etcd' });
  const { cluster } = stage;
  helm = await Helm.find({ kubeconfig: cluster.kubeconfigFile, home: cluster.folder });
  const labels = Object.fromEntries(['enforce', 'warn'].map((level) => [`pod-security.kubernetes.io/${level}`, 'restricted']));
  await cluster.kubectl.succeed(['create', '-f', '-'], { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels } });
  values = join(cluster.folder, 'values.json');
  await writeFile(values, JSON.stringify(VALUES));
  await helm.succeed(['install', 'harikube-crds', DEFINITIONS, '--namespace', NAMESPACE, '--wait']);
}, 120_000);

afterAll(() => stage?.stop(), 60_000);

describe('the chart of the data layer, installed', () => {
  it('becomes ready, and applies the TopologyConfigs of its values', async () => {
    await helm.succeed(['install', 'harikube', DATA_LAYER, '-n', NAMESPACE, '--values', values, '--wait', '--timeout', '120s']);
    const { kubectl } = stage.cluster;
    await kubectl.succeed(['wait', 'topologyconfig/users', '-n', NAMESPACE, '--for=condition=Active', '--timeout=60s']);
  }, 150_000);

  it('passes its own test', async () => {
    expect(await helm.succeed(['test', 'harikube', '-n', NAMESPACE, '--timeout', '60s'])).toContain('Phase:          Succeeded');
  }, 90_000);

  it('lets the certificate of its Secret, and nobody without, reach the etcd API', async () => {
    const { kubectl, folder } = stage.cluster;
    const secret = JSON.parse(await kubectl.read(['get', 'secret', 'harikube-client', '-n', NAMESPACE, '-o', 'json'])) as {
      data: Record<string, string>;
    };
    await mkdir(join(folder, 'client'));
    for (const [name, data] of Object.entries(secret.data)) await writeFile(join(folder, 'client', name), Buffer.from(data, 'base64'));
    const address = await kubectl.read(['get', 'pod', 'harikube-router-0', '-n', NAMESPACE, '-o', 'jsonpath={.status.podIP}']);
    const trust = ['--cacert', join(folder, 'client', 'ca.crt')];
    const identity = ['--cert', join(folder, 'client', 'tls.crt'), '--key', join(folder, 'client', 'tls.key')];
    // As `kubectl port-forward` does.
    const forward = createServer((client) => {
      const router = connect(2379, address);
      // Whom the router does not let in, it cuts off.
      for (const socket of [client, router]) socket.on('error', () => undefined).on('close', () => (client.destroy(), router.destroy()));
      client.pipe(router).pipe(client);
    }).listen(0, '127.0.0.1');
    await once(forward, 'listening');
    const etcdctl = await etcdctlOf(`https://127.0.0.1:${(forward.address() as AddressInfo).port}`);
    await etcdctl([...trust, ...identity, 'put', '/registry/example.com/users/shop/jane', '{}']);
    expect(await etcdctl([...trust, ...identity, 'get', '/registry/example.com/users/shop/jane', '--print-value-only'])).toBe('{}');
    await expect(etcdctl([...trust, 'get', '/registry/a', '--command-timeout=2s'])).rejects.toThrow();
    forward.close();
    forward.unref();
  }, 30_000);

  it('is the same after an upgrade that changes nothing, and loses a TopologyConfig that left the values', async () => {
    const { kubectl, folder } = stage.cluster;
    const before = await kubectl.read([
      'get',
      'statefulset,deployment,secret',
      '-n',
      NAMESPACE,
      '-o',
      'jsonpath={.items[*].metadata.generation}',
    ]);
    const manifest = await helm.succeed(['get', 'manifest', 'harikube', '-n', NAMESPACE]);
    const more = { topologyConfigs: [...VALUES.topologyConfigs, empty('orders')] };
    await writeFile(join(folder, 'more.json'), JSON.stringify(more));
    const upgrade = ['upgrade', 'harikube', DATA_LAYER, '-n', NAMESPACE, '--wait', '--timeout', '120s', '--values'];
    await helm.succeed([...upgrade, join(folder, 'more.json')]);
    await kubectl.succeed(['wait', 'topologyconfig/orders', '-n', NAMESPACE, '--for=condition=Active', '--timeout=60s']);
    await helm.succeed([...upgrade, values]);
    await kubectl.succeed(['wait', 'topologyconfig/orders', '-n', NAMESPACE, '--for=delete', '--timeout=60s']);
    expect(await helm.succeed(['get', 'manifest', 'harikube', '-n', NAMESPACE])).toBe(manifest);
    expect(
      await kubectl.read(['get', 'statefulset,deployment,secret', '-n', NAMESPACE, '-o', 'jsonpath={.items[*].metadata.generation}']),
    ).toBe(before);
  }, 180_000);

  it('leaves nothing in the way of namespaces when it is uninstalled, and keeps its volume', async () => {
    const { kubectl } = stage.cluster;
    await helm.succeed(['uninstall', 'harikube', '-n', NAMESPACE, '--wait', '--timeout', '120s']);
    expect(await kubectl.read(['get', 'topologyconfig,validatingwebhookconfiguration', '-A', '-o', 'name'])).toBe('');
    expect(
      await kubectl.read([
        'get',
        'secret,serviceaccount,role,job',
        '-n',
        NAMESPACE,
        '-l',
        'app.kubernetes.io/instance=harikube',
        '-o',
        'name',
      ]),
    ).toBe('');
    expect(await kubectl.read(['get', 'pvc', '-n', NAMESPACE, '-o', 'name'])).toBe('persistentvolumeclaim/db-harikube-router-0');
    await kubectl.succeed(['create', 'namespace', 'after']);
    await kubectl.succeed(['delete', 'namespace', 'after', NAMESPACE, '--timeout=60s']);
  }, 200_000);
});

function empty(name: string): object {
  return {
    name,
    deployOrder: 2,
    backends: [{ name, endpoint: `sqlite:///db/${name}.db`, customresource: { group: 'example.com', kind: name } }],
  };
}

async function etcdctlOf(endpoint: string): Promise<(args: readonly string[]) => Promise<string>> {
  const found = await new Binaries({ env: readEnv(), progress: silent }).find(['etcdctl']);
  return async (args) => (await runProgram(found.etcdctl.path, ['--endpoints', endpoint, ...args])).trim();
}
