import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DEPLOY_ORDER_ANNOTATION, TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { CONFIG_MAPS, KubeClient, type KubeObject, type Resource } from '@harikube/kube';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { Kubectl } from './kubectl.js';
import { UpProcess } from './up-process.js';
import { until } from './until.js';

const MINUTES = 60_000;
const NAMESPACE = 'harikube';
const WRITES_PER_SECOND = 200;
const WRITERS = 8;
const CHANGES = 100;

let data: string;
let kubectl: Kubectl;
let up: UpProcess;
let client: KubeClient;

interface Told {
  readonly type: string;
  readonly name: string;
  readonly resourceVersion: string;
}

/** Follows a resource by one watch that must never end, and keeps what it is told. */
class Follower {
  readonly told: Told[] = [];
  readonly #stop = new AbortController();
  #done: Promise<void> = Promise.resolve();

  static async start(resource: Resource<KubeObject>): Promise<Follower> {
    const follower = new Follower();
    const { metadata } = await client.list(resource, { namespace: 'default', limit: 1 });
    follower.#done = follower.#run(resource, metadata.resourceVersion ?? '');
    follower.#done.catch(() => undefined);
    return follower;
  }

  async #run(resource: Resource<KubeObject>, resourceVersion: string): Promise<void> {
    const { signal } = this.#stop;
    try {
      const options = { namespace: 'default', resourceVersion, timeoutSeconds: 3600, idleLimitMs: 900_000, signal };
      for await (const { type, object } of client.watch(resource, options)) {
        if (type === 'ERROR') throw new Error(`the watch was told ${JSON.stringify(object)}`);
        const { name = '', resourceVersion: revision = '' } = (object as KubeObject).metadata;
        this.told.push({ type, name, resourceVersion: revision });
      }
      throw new Error('the server ended the watch');
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Rejects with what went wrong. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

function configOf(
  name: string,
  backends: { readonly name: string; readonly group: string; readonly file?: string }[],
  order?: number,
): TopologyConfig {
  const spec: object = {
    targetSecret: 'harikube/topology-config',
    backends: backends.map((backend) => ({
      name: backend.name,
      endpoint: `sqlite://./${backend.file ?? backend.name}.db`,
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
async function active(name: string, seconds = 60): Promise<void> {
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

async function gone(name: string, seconds = 60): Promise<void> {
  await until(client, TOPOLOGY_CONFIGS, (configs) => !configs.has(`${NAMESPACE}/${name}`), { namespace: NAMESPACE, seconds });
}

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
}, MINUTES);

describe('a topology that changes while it is in use', () => {
  it(
    'lets no request fail and no event be lost or doubled, whatever changes',
    async () => {
      const follower = await Follower.start(CONFIG_MAPS);
      let isOver = false;
      const written: Told[] = [];
      const writer = async (number: number): Promise<void> => {
        const name = `written-${number}`;
        const first = await client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' } });
        written.push({ type: 'ADDED', name, resourceVersion: first.metadata.resourceVersion ?? '' });
        for (let count = 0; !isOver; count++) {
          const pause = delay((1000 * WRITERS) / WRITES_PER_SECOND);
          const { metadata } = await client.patch(CONFIG_MAPS, name, 'default', { data: { count: `${count}` } } as object, {
            type: 'merge',
          });
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
        // A new backend; another one in front of it; their order; another name of the same database; and gone again.
        await client.create(TOPOLOGY_CONFIGS, configOf(name, [{ name: `a${round}`, group }]));
        await active(name);
        const two = [
          { name: `b${round}`, group: `other-${round}.example.com` },
          { name: `a${round}`, group },
        ];
        for (const backends of [two, two.toReversed(), [{ name: `c${round}`, group, file: `a${round}` }]]) {
          await client.patch(TOPOLOGY_CONFIGS, name, NAMESPACE, { spec: configOf(name, backends).spec }, { type: 'merge' });
          await active(name);
        }
        await client.delete(TOPOLOGY_CONFIGS, name, NAMESPACE);
        await gone(name);
        changes += 5;
      }
      isOver = true;
      await writers;
      const isWhole = (): boolean => follower.told.length >= written.length;
      for (const end = performance.now() + 30_000; !isWhole() && performance.now() < end;) await delay(100);
      await follower.close();
      const order = (one: Told, other: Told): number => (BigInt(one.resourceVersion) < BigInt(other.resourceVersion) ? -1 : 1);
      const ours = follower.told.filter(({ name }) => name.startsWith('written-'));
      expect(ours).toEqual(written.toSorted(order));
      expect(changes).toBe(CHANGES);
    },
    15 * MINUTES,
  );

  it(
    'loses no write that comes while a TopologyConfig becomes active',
    async () => {
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
      await kubectl.succeed(['wait', 'crd/widgets.switch.example.com', '--for=condition=Established', '--timeout=30s']);
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
      await delay(3000);
      isOver = true;
      await writers;
      const { items } = await client.list(widgets, { namespace: 'default' });
      expect(items.map(({ metadata }) => metadata.name).toSorted()).toEqual([...live].toSorted());
      // What was in the way is taken away: then the change takes place, if it has not yet.
      for (const name of live) await client.delete(widgets, name, 'default');
      if ((await created) !== 'created') await client.create(TOPOLOGY_CONFIGS, config);
      await active('switch', 120);
      await client.create(widgets, {
        apiVersion: 'switch.example.com/v1',
        kind: 'Widget',
        metadata: { name: 'after', namespace: 'default' },
      });
      expect((await client.list(widgets, { namespace: 'default' })).items.map(({ metadata }) => metadata.name)).toEqual(['after']);
    },
    5 * MINUTES,
  );
});
