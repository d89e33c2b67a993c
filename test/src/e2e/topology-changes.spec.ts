import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DEPLOY_ORDER_ANNOTATION, TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { CONFIG_MAPS, KubeClient, type KubeObject, type Resource } from '@harikube/kube';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import type { Answer } from './answer.js';
import { eventually } from './eventually.js';
import { Follower, type Told } from './follower.js';
import { Kubectl } from './kubectl.js';
import { seeded } from './seeded.js';
import { UpProcess } from './up-process.js';
import { askAbout, everythingReady, processesOf } from './up-processes.js';
import { until } from './until.js';

const MINUTES = 60_000;
const NAMESPACE = 'harikube';
const WRITES_PER_SECOND = 200;
const WRITERS = 8;
/** TOPOLOGY_CHANGES=100 for the run whose figures stand in docs/measurements.md. */
const CHANGES = Number(readEnv()['TOPOLOGY_CHANGES'] ?? '24');

let data: string;
let kubectl: Kubectl;
let up: UpProcess;
let client: KubeClient;

interface BackendOf {
  readonly name: string;
  readonly group: string;
  /** With options; absent: that of the name. */
  readonly file?: string;
}

function configOf(name: string, backends: BackendOf[], order?: number): TopologyConfig {
  const spec: object = {
    targetSecret: 'harikube/topology-config',
    backends: backends.map((backend) => ({
      name: backend.name,
      endpoint: `sqlite://./${backend.file ?? `${backend.name}.db`}`,
      customresource: { group: backend.group },
    })),
  };
  return {
    apiVersion: 'harikube.info/v1',
    kind: 'TopologyConfig',
    metadata: { name, namespace: NAMESPACE, ...(order === undefined ? {} : { annotations: { [DEPLOY_ORDER_ANNOTATION]: `${order}` } }) },
    spec: spec as TopologyConfig['spec'],
  };
}

/** Resolves when the router has taken up what the object says now. */
async function active(name: string, seconds = 180): Promise<void> {
  await until(
    client,
    TOPOLOGY_CONFIGS,
    (configs) => {
      const config = configs.get(`${NAMESPACE}/${name}`);
      return (
        config?.status?.conditions?.some(
          ({ type, status, observedGeneration }) =>
            type === 'Active' && status === 'True' && observedGeneration === config.metadata.generation,
        ) === true
      );
    },
    { namespace: NAMESPACE, seconds },
  );
}

async function gone(name: string, seconds = 180): Promise<void> {
  await until(client, TOPOLOGY_CONFIGS, (configs) => !configs.has(`${NAMESPACE}/${name}`), { namespace: NAMESPACE, seconds });
}

/** By kill -9. */
async function kill(name: string): Promise<void> {
  const pid = (await processesOf(data)).get(name);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
}

const topology = (...args: string[]): Promise<Answer> => askAbout(data, kubectl.env, 'topology', ...args);

beforeAll(async () => {
  data = join(await mkdtemp(join(tmpdir(), 'harikube-topology-')), 'data');
  const own = readEnv();
  const { kubectl: found } = await new Binaries({ env: own, progress: silent }).find(['kubectl']);
  const env = { ...own, KUBECONFIG: join(data, 'kubeconfig'), NODE_OPTIONS: '' };
  kubectl = new Kubectl(found.path, env);
  up = await UpProcess.start(data, await freePort(), env, '--separate');
  client = KubeClient.fromConfig({ kubeconfig: join(data, 'kubeconfig'), userAgent: 'harikube-test' });
}, 15 * MINUTES);

afterAll(async () => {
  await client.close();
  await up.killAll();
  await rm(dirname(data), { recursive: true });
});

describe('a topology that changes while it is in use', () => {
  it(
    'lets no request fail and no event be lost or doubled, whatever changes',
    async () => {
      const follower = await Follower.start(client, CONFIG_MAPS);
      let isOver = false;
      const written: Omit<Told, 'uid'>[] = [];
      const writer = async (number: number): Promise<void> => {
        const name = `written-${number}`;
        const first = await client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' } });
        written.push({ type: 'ADDED', name, resourceVersion: first.metadata.resourceVersion ?? '' });
        for (let count = 0; !isOver; count++) {
          const pause = delay((1000 * WRITERS) / WRITES_PER_SECOND);
          const { metadata } = await client.patch(
            CONFIG_MAPS,
            name,
            'default',
            { data: { count: `${count}` } },
            {
              type: 'merge',
            },
          );
          written.push({ type: 'MODIFIED', name, resourceVersion: metadata.resourceVersion ?? '' });
          await pause;
        }
      };
      const writers = Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
      writers.catch(() => (isOver = true));
      let changes = 0;
      for (let round = 0; !isOver && changes < CHANGES; round++) {
        const name = `round-${round}`;
        const group = `group-${round}.example.com`;
        // A new backend; another one in front of it; their order; another option; another name of the same database; and gone again.
        await client.create(TOPOLOGY_CONFIGS, configOf(name, [{ name: `a${round}`, group }]));
        await active(name);
        const two = [
          { name: `b${round}`, group: `other-${round}.example.com` },
          { name: `a${round}`, group },
        ];
        const quick = [{ name: `a${round}`, group, file: `a${round}.db?_synchronous=NORMAL` }];
        const renamed = [{ name: `c${round}`, group, file: `a${round}.db` }];
        for (const backends of [two, two.toReversed(), quick, renamed]) {
          await client.patch(TOPOLOGY_CONFIGS, name, NAMESPACE, { spec: configOf(name, backends).spec }, { type: 'merge' });
          await active(name);
        }
        await client.delete(TOPOLOGY_CONFIGS, name, NAMESPACE);
        await gone(name);
        changes += 6;
      }
      isOver = true;
      await writers;
      // The namespace's own kube-root-ca.crt may be among what is told.
      const isOurs = ({ name }: Told): boolean => name.startsWith('written-');
      await follower.until((told) => told.filter(isOurs).length >= written.length);
      await follower.close();
      const order = (one: Pick<Told, 'resourceVersion'>, other: Pick<Told, 'resourceVersion'>): number =>
        BigInt(one.resourceVersion) < BigInt(other.resourceVersion) ? -1 : 1;
      const ours = follower.told.filter(isOurs).map(({ uid: _, ...told }) => told);
      expect(ours).toEqual(written.toSorted(order));
      expect(changes).toBeGreaterThanOrEqual(CHANGES);
    },
    15 * MINUTES,
  );

  it('loses no write that comes while a TopologyConfig becomes active', async () => {
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'widgets.switch.example.com' },
      spec: {
        group: 'switch.example.com',
        scope: 'Namespaced',
        names: { kind: 'Widget', plural: 'widgets', singular: 'widget' },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        ],
      },
    };
    await kubectl.succeed(['create', '-f', '-'], definition);
    await kubectl.established(['crd/widgets.switch.example.com']);
    const widgets: Resource<KubeObject> = {
      group: 'switch.example.com',
      version: 'v1',
      kind: 'Widget',
      plural: 'widgets',
      namespaced: true,
    };
    let isOver = false;
    const live = new Set<string>();
    // Each lives for a moment only: between two of them the change may take place.
    const writer = async (number: number): Promise<void> => {
      for (let count = 0; !isOver; count++) {
        const name = `widget-${number}-${count}`;
        await client.create(widgets, { apiVersion: 'switch.example.com/v1', kind: 'Widget', metadata: { name, namespace: 'default' } });
        live.add(name);
        const found = await client.get(widgets, name, 'default');
        expect(found.metadata.name).toBe(name);
        if (count % 3 !== 2) {
          await client.delete(widgets, name, 'default');
          live.delete(name);
        }
      }
    };
    const config = configOf('switch', [{ name: 'switch', group: 'switch.example.com' }]);
    const created = client.create(TOPOLOGY_CONFIGS, config).then(
      () => 'created',
      (error: unknown) => String(error),
    );
    const writers = Promise.all([writer(0), writer(1), writer(2), writer(3)]);
    await created;
    await delay(1500);
    isOver = true;
    await writers;
    const { items } = await client.list(widgets, { namespace: 'default' });
    expect(items.map(({ metadata }) => metadata.name).toSorted()).toEqual([...live].toSorted());
    // What was in the way is taken away: then the change takes place, if it has not yet.
    for (const name of live) await client.delete(widgets, name, 'default');
    if ((await created) !== 'created') await client.create(TOPOLOGY_CONFIGS, config);
    await active('switch');
    await client.create(widgets, {
      apiVersion: 'switch.example.com/v1',
      kind: 'Widget',
      metadata: { name: 'after', namespace: 'default' },
    });
    expect((await client.list(widgets, { namespace: 'default' })).items.map(({ metadata }) => metadata.name)).toEqual(['after']);
  });

  it('comes to the right state when router and operator are killed in the middle of it', async () => {
    const random = seeded(20261126);
    const names = Array.from({ length: 4 }, (_, index) => `killed-${index}`);
    for (const [index, name] of names.entries()) {
      const victim = index % 2 === 0 ? 'router' : 'topology-operator';
      const config = configOf(name, [{ name, group: `${name}.example.com` }], 100 - index);
      const asked = eventually(
        () => kubectl.run(['apply', '-f', '-'], config),
        ({ code }) => code === 0,
      );
      await delay(random() * 400);
      await kill(victim);
      await asked;
    }
    await everythingReady(data, kubectl.env);
    for (const name of names) await active(name);
    const status = await topology('status', '-o', 'json');
    const { backends } = JSON.parse(status.out) as { readonly backends: readonly { readonly name: string; readonly isReady: boolean }[] };
    // The last one has the lowest place; those of the example come before all of them.
    const inForce = backends.filter(({ name }) => name.startsWith('killed-')).map(({ name }) => name);
    expect(inForce).toEqual(names.toReversed());
    expect(backends.every(({ isReady }) => isReady)).toBe(true);
    const { items } = await client.list(CONFIG_MAPS, { namespace: 'default' });
    expect(items.filter(({ metadata }) => metadata.name?.startsWith('written-')).length).toBe(WRITERS);
    for (const name of names) await client.delete(TOPOLOGY_CONFIGS, name, NAMESPACE);
    for (const name of names) await gone(name);
  });

  it('is planned, explained and shown by the tools, and holds back what would hide keys', async () => {
    const folder = dirname(data);
    const file = join(folder, 'plan.yaml');
    const rule = (name: string, matcher: object): object => ({ name, endpoint: `sqlite://./${name}.db`, ...matcher });
    const known = ['tenant', 'user', 'email'].map((name) =>
      rule(name, { customresource: { group: 'product.webshop.harikube.info/v1', kind: `${name}s` } }),
    );
    const more = rule('switch', { customresource: { group: 'switch.example.com' } });
    await writeFile(file, JSON.stringify({ backends: [...known, more, rule('maps', { prefix: { prefix: 'leases' } })] }));
    const held = await topology('plan', file);
    expect([held.code, held.out]).toEqual([3, expect.stringMatching(/[0-9]+ keys?/)]);
    await writeFile(file, JSON.stringify({ backends: [...known, more, rule('next', { customresource: { group: 'next.example.com' } })] }));
    expect((await topology('plan', file)).code).toBe(0);
    const explained = await topology('explain', 'users.product.webshop.harikube.info');
    expect([explained.code, explained.out]).toEqual([0, expect.stringMatching(/user/)]);
    const listed = await kubectl.read(['get', 'topologyconfigs', '-n', NAMESPACE]);
    expect(listed).toMatch(/topologyconfig-user +Active +harikube\/topology-config/);
    const refused = await kubectl.refuse(['apply', '-f', '-'], {
      ...configOf('leases', [{ name: 'leases', group: 'unused.example.com' }]),
      spec: { targetSecret: 'harikube/topology-config', backends: [rule('leases', { prefix: { prefix: 'leases' } })] },
    });
    expect(refused).toMatch(/[0-9]+ keys? .*would not be found any more/s);
  });
});
