import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONFIG_MAPS, KubeClient, type KubeObject, NAMESPACES, SECRETS } from '@harikube/kube';
import { RouterAdminClient } from '@harikube/platform';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { RouterLine } from '../fault/router-process.js';
import { RunningCluster } from './running-cluster.js';

interface Secret extends KubeObject {
  data?: Record<string, string>;
}

interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}

const SECRET = { namespace: 'harikube', name: 'topology-config' };

let own: string;
let cluster: RunningCluster;
let client: KubeClient;
let admin: RouterAdminClient;

beforeAll(async () => {
  own = mkdtempSync(join(tmpdir(), 'harikube-topology-secret-'));
  const tokenFile = join(own, 'token');
  writeFileSync(tokenFile, 'open sesame');
  const source = ['--topology-config', `secret://${SECRET.namespace}/${SECRET.name}`];
  cluster = await RunningCluster.start({
    name: 'topology-secret',
    store: 'router',
    routerFlags: (folder) => [
      ...source,
      ...['--kubeconfig', join(folder, 'kubeconfig')],
      ...['--admin-bind-address', '127.0.0.1:0', '--admin-token-file', tokenFile],
    ],
  });
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'test' });
  const { port } = await line(({ msg }) => msg === 'serving the admin API');
  admin = new RouterAdminClient({ url: `http://127.0.0.1:${String(port)}`, tokenFile });
});

afterAll(async () => {
  await client.close();
  await cluster.stop();
  rmSync(own, { recursive: true });
});

function line(isIt: (line: RouterLine) => boolean, skipped = 0): Promise<RouterLine> {
  if (cluster.router === null) throw new Error('the store is not a router');
  return cluster.router.line(isIt, skipped);
}

function document(name: string, matcher: object): string {
  return JSON.stringify({ backends: [{ name, endpoint: `sqlite://${join(cluster.folder, `${name}.db`)}`, ...matcher }] });
}

function secret(texts: Readonly<Record<string, string>>): Secret {
  const data = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]));
  return { metadata: { ...SECRET }, data };
}

/** Does something, and resolves with the line of the router's log that follows it. */
async function seen(isIt: (line: RouterLine) => boolean, change: () => Promise<unknown>): Promise<RouterLine> {
  const skipped = cluster.router?.lines.length ?? 0;
  await change();
  return line(isIt, skipped);
}

const configMap = (name: string, namespace: string): ConfigMap => ({ metadata: { name, namespace }, data: { is: 'there' } });
const keys = async (): Promise<Record<string, number | null>> =>
  Object.fromEntries((await admin.topology()).backends.map(({ name, keys: count }) => [name, count]));

describe('a router whose topology is in a Secret of the very API server that it serves', () => {
  it('serves that API server before there is a topology, and takes each change of the Secret up while it serves', async () => {
    expect(cluster.router?.lines.map(({ msg }) => msg)).toContain('Backends registered: [main]');
    await client.create(NAMESPACES, { metadata: { name: SECRET.namespace } });
    const shop = document('shop', { namespace: { namespace: 'shop' } });
    await seen(
      ({ msg }) => msg === 'Backends registered: [shop main]',
      () => client.create<Secret>(SECRETS, secret({ '1-shop.yaml': shop })),
    );
    await client.create(NAMESPACES, { metadata: { name: 'shop' } });
    await client.create<ConfigMap>(CONFIG_MAPS, configMap('in-shop', 'shop'));
    const before = await keys();
    expect(before['shop']).toBeGreaterThan(0);

    await client.create<ConfigMap>(CONFIG_MAPS, configMap('in-main', 'default'));
    const all = document('maps', { prefix: { prefix: 'configmaps' } });
    const held = await seen(
      ({ msg }) => msg.startsWith('the topology is held back'),
      () => client.update<Secret>(SECRETS, secret({ '1-shop.yaml': shop, '2-maps.yaml': all })),
    );
    expect(held.reason).toMatch(/keys \(\d+ bytes\) in backend "main" belong to "maps"/);
    expect((await admin.topology()).error?.moves).toEqual([expect.objectContaining({ from: 'main', to: 'maps' })]);
    const found = await client.list<ConfigMap>(CONFIG_MAPS, {});
    expect(found.items.map(({ metadata }) => metadata.name)).toEqual(expect.arrayContaining(['in-shop', 'in-main']));

    const later = document('later', { namespace: { namespace: 'later' } });
    await seen(
      ({ msg }) => msg === 'Backends registered: [later shop main]',
      () => client.update<Secret>(SECRETS, secret({ '0-later.yaml': later, '1-shop.yaml': shop })),
    );
    await seen(
      ({ msg, reason }) =>
        msg === 'the topology cannot be read, the one in force stays' && String(reason).includes('there is no such Secret'),
      () => client.delete(SECRETS, SECRET.name, SECRET.namespace),
    );
    const state = await admin.topology();
    expect(state.backends.map(({ name }) => name)).toEqual(expect.arrayContaining(['later', 'shop', 'main']));
    expect((await client.get<ConfigMap>(CONFIG_MAPS, 'in-shop', 'shop')).data).toEqual({ is: 'there' });
  });
});
