import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseEtcd } from '@harikube/datasources';
import { glanceAtEtcd } from '@harikube/datasources/engines';
import { CONFIG_MAPS, EVENTS, type Informer, InformerFactory, KubeClient, type KubeObject, LEASES, type Resource } from '@harikube/kube';
import { Binaries, ControlPlane, freePort, PlainEtcd, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { EtcdClient } from '@harikube/testing';
import { LAUNCHER, RouterProcess } from '../fault/router-process.js';

const MINUTES = 60_000;
/** ADOPT_OBJECTS=10000 for the run whose figures stand in docs/measurements.md. */
const OBJECTS = Number(readEnv()['ADOPT_OBJECTS'] ?? '600');
const CLIENTS = 32;
const CHANGED = 100;
const DELETED = 20;

let folder: string;
let port: number;
let etcd: PlainEtcd;
let client: KubeClient;
let factory: InformerFactory;
let following: Promise<void>;
const stop = new AbortController();
const environment = { ...readEnv(), NODE_OPTIONS: '' };
let programs: { readonly 'kube-apiserver': string; readonly 'kube-controller-manager': string };
let running: ControlPlane | null = null;
let router: RouterProcess | null = null;

/** The API server at the same address, on whatever store. */
async function startApiServer(store: string): Promise<void> {
  const next = new ControlPlane({
    dataDir: join(folder, 'cluster'),
    programs,
    port,
    etcdServers: [store],
    env: environment,
    controllerManager: false,
    extraApiServerArgs: ['--max-mutating-requests-inflight=1000', '--event-ttl=1h'],
  });
  await next.start();
  running = next;
}

async function stopApiServer(): Promise<void> {
  await running?.stop();
  running = null;
}

/** Every key of Kubernetes with its value and revisions. */
async function contentOf(of: RouterProcess | null): Promise<readonly object[]> {
  const store = new EtcdClient(of?.address ?? '');
  const { kvs } = await store.list('/registry/');
  store.close();
  return kvs;
}

interface CommandResult {
  readonly code: number | null;
  readonly output: string;
}

function harikube(...args: readonly string[]): Promise<CommandResult> {
  const child = spawn(process.execPath, [LAUNCHER, ...args], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => output.push(chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output: output.join('') }));
  });
}

async function inParallel(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const take = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: CLIENTS }, take));
}

/** Everything of three kinds, as clients compare it. */
async function stateOf(): Promise<ReadonlyMap<string, { readonly uid: string; readonly version: bigint; readonly content: string }>> {
  const lists = await Promise.all([CONFIG_MAPS, EVENTS, LEASES].map((resource: Resource<KubeObject>) => client.list(resource)));
  return new Map(
    lists.flatMap(({ items }, kind) =>
      items.map(({ metadata, ...content }) => [
        `${kind}/${metadata.namespace ?? ''}/${metadata.name ?? ''}`,
        { uid: metadata.uid ?? '', version: BigInt(metadata.resourceVersion ?? '0'), content: JSON.stringify(content) },
      ]),
    ),
  );
}

/** The lease of kube-apiserver itself, which it renews, and which its successor removes. */
function isOfApiServer(name: string): boolean {
  return name.startsWith('2/kube-system/');
}

/** What an informer has told from its start to its end. */
class Followed {
  readonly faults: string[] = [];
  readonly deleted = new Set<string>();
  readonly #known = new Map<string, KubeObject>();
  readonly #waiting = new Set<() => void>();

  constructor(readonly informer: Informer<KubeObject>) {
    informer.addHandler({
      onAdd: (object) => {
        if (this.#known.has(nameOf(object))) this.faults.push(`${nameOf(object)} was added twice`);
        this.#keep(object);
      },
      onUpdate: (before, after) => {
        if (versionOf(after) <= versionOf(before)) {
          this.faults.push(`${nameOf(after)} went from ${versionOf(before)} to ${versionOf(after)}`);
        }
        if (before.metadata.uid !== after.metadata.uid) this.faults.push(`${nameOf(after)} became another object`);
        this.#keep(after);
      },
      onDelete: (object) => {
        this.#known.delete(nameOf(object));
        this.deleted.add(nameOf(object));
        this.#tell();
      },
    });
  }

  /** Resolves when the informer has told it, at once or later. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Of the objects that it knows, as the server would list them. */
  get state(): readonly string[] {
    return [...this.#known.values()].map((object) => `${nameOf(object)} ${object.metadata.uid} ${versionOf(object)}`).sort();
  }

  #keep(object: KubeObject): void {
    this.#known.set(nameOf(object), object);
    this.#tell();
  }

  #tell(): void {
    const told = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of told) resolve();
  }
}

const nameOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
const versionOf = ({ metadata }: KubeObject): bigint => BigInt(metadata.resourceVersion ?? '0');

let followed: Followed;

async function expectFollowed(): Promise<void> {
  const marker = await client.create(CONFIG_MAPS, { metadata: { generateName: 'marker-', namespace: 'default' } });
  await followed.until(() => followed.informer.get(marker.metadata.name ?? '', 'default') !== undefined);
  const { items } = await client.list(CONFIG_MAPS, { namespace: 'default' });
  const wanted = items.map((object) => `${nameOf(object)} ${object.metadata.uid} ${versionOf(object)}`).sort();
  await followed.until(() => followed.state.join() === wanted.join());
  expect(followed.faults).toEqual([]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-adopt-'));
  port = await freePort();
  const binaries = new Binaries({ env: environment, progress: silent });
  const found = await binaries.find(['etcd', 'kube-apiserver', 'kube-controller-manager']);
  programs = { 'kube-apiserver': found['kube-apiserver'].path, 'kube-controller-manager': found['kube-controller-manager'].path };
  etcd = new PlainEtcd({ dataDir: folder, program: found.etcd.path, env: environment });
  await etcd.start();
  await startApiServer(etcd.url);
  client = KubeClient.fromConfig({ kubeconfig: join(folder, 'cluster', 'kubeconfig'), userAgent: 'adopt-spec' });
  factory = new InformerFactory(client);
  followed = new Followed(factory.informer(CONFIG_MAPS, { namespace: 'default' }));
  following = factory.run(stop.signal);
}, 5 * MINUTES);

afterAll(async () => {
  stop.abort();
  await following;
  await client?.close();
  await stopApiServer();
  await router?.kill();
  await etcd?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('a cluster that moves from its etcd to a router on it, and back', () => {
  let before: Awaited<ReturnType<typeof stateOf>>;

  it(
    'is full of objects, events and leases at first',
    async () => {
      const data = { text: 'x'.repeat(300) };
      await inParallel(OBJECTS, (i) =>
        client.create(CONFIG_MAPS, { metadata: { name: `object-${i}`, namespace: 'default' }, data } as KubeObject),
      );
      await inParallel(CHANGED, (i) =>
        client.patch(CONFIG_MAPS, `object-${i}`, 'default', { data: { text: 'changed' } }, { type: 'merge' }),
      );
      await inParallel(CHANGED, (i) =>
        client.create(EVENTS, {
          metadata: { name: `event-${i}`, namespace: 'default' },
          eventTime: new Date().toISOString().replace('Z', '000Z'),
          reportingController: 'harikube.info/adopt-spec',
          reportingInstance: 'spec',
          action: 'Testing',
          reason: 'Testing',
          type: 'Normal',
          regarding: { apiVersion: 'v1', kind: 'ConfigMap', name: `object-${i}`, namespace: 'default' },
        } as KubeObject),
      );
      await inParallel(CHANGED, (i) => client.create(LEASES, { metadata: { name: `lease-${i}`, namespace: 'default' } }));
      await expectFollowed();
    },
    10 * MINUTES,
  );

  it(
    'keeps every object with its resourceVersion when its etcd is adopted, which a dry run only announces',
    async () => {
      before = await stateOf();
      await stopApiServer();
      await expect(RouterProcess.start({ database: etcd.url })).rejects.toThrow(/keys that no router wrote.*harikube adopt/);
      const dry = await harikube('adopt', '--endpoint', etcd.url, '--dry-run');
      expect(dry).toMatchObject({ code: 0, output: expect.stringContaining('nothing was changed; leave --dry-run out to adopt it') });
      expect(dry.output).toMatch(/\d+ leases become the router's, with their ids and times; 10\d keys with a lease put again without it/);

      const began = performance.now();
      const adopted = await harikube('adopt', '--endpoint', etcd.url);
      const tookMs = performance.now() - began;
      expect(adopted).toMatchObject({ code: 0, output: expect.stringMatching(/is adopted: \d+ keys/) });
      const restarted = performance.now();
      router = await RouterProcess.start({ database: etcd.url });
      process.stdout.write(
        `adopt: ${adopted.output.match(/is adopted: [^;]+/)?.[0]} in ${Math.round(tookMs)} ms, router ready in ${Math.round(performance.now() - restarted)} ms\n`,
      );
      const endpoint = parseEtcd(router.address, router.address);
      const settings = { name: 'x', tls: null, pool: {}, compactBatchSize: 1000, requestTimeoutMs: 5000, expectedIdentity: null };
      await expect(glanceAtEtcd(endpoint, settings)).rejects.toThrow(/is another router of HariKube, not an etcd/);
      await startApiServer(router.address);
      const after = await stateOf();
      for (const [name, object] of before) {
        if (isOfApiServer(name)) continue;
        expect([name, after.get(name)]).toEqual([name, object]);
      }
      await expectFollowed();
    },
    10 * MINUTES,
  );

  it('is worked on', async () => {
    await inParallel(CHANGED, (i) => client.patch(CONFIG_MAPS, `object-${i}`, 'default', { data: { text: 'again' } }, { type: 'merge' }));
    await inParallel(DELETED, (i) => client.delete(CONFIG_MAPS, `object-${CHANGED + i}`, 'default'));
    await inParallel(CHANGED, (i) => client.create(CONFIG_MAPS, { metadata: { name: `later-${i}`, namespace: 'default' } }));
    await inParallel(DELETED, (i) => client.delete(EVENTS, `event-${i}`, 'default'));
    await expectFollowed();
    expect(followed.deleted.size).toBe(DELETED);
    before = await stateOf();
    await stopApiServer();
    // The next router finds everything again.
    const first = await contentOf(router);
    expect(await router?.stop()).toBe(0);
    router = await RouterProcess.start({ database: etcd.url });
    expect(await contentOf(router)).toEqual(first);
  });

  it(
    'is on its etcd alone again, with everything that was written meanwhile and no lower resourceVersion',
    async () => {
      expect(await router?.stop()).toBe(0);
      router = null;
      expect(await harikube('leave', '--endpoint', etcd.url)).toMatchObject({
        code: 1,
        output: expect.stringContaining('nothing was changed; give --yes to leave it'),
      });
      const began = performance.now();
      const left = await harikube('leave', '--endpoint', etcd.url, '--yes');
      expect(left).toMatchObject({ code: 0, output: expect.stringContaining('is a plain etcd again') });
      process.stdout.write(`leave: ${before.size} objects and more in ${Math.round(performance.now() - began)} ms\n${left.output}`);
      const plain = new EtcdClient(etcd.url);
      expect((await plain.list('harikube.io/')).count).toBe(0);
      plain.close();
      await startApiServer(etcd.url);
      const after = await stateOf();
      for (const [name, { uid, version, content }] of before) {
        if (isOfApiServer(name)) continue;
        const found = after.get(name);
        expect([name, found?.uid]).toEqual([name, uid]);
        expect(found?.version ?? 0n).toBeGreaterThan(version);
        expect(found?.content).toBe(content);
      }
      expect([...after.keys()].filter((name) => !before.has(name) && !isOfApiServer(name))).toEqual([]);
      await expectFollowed();
      await client.patch(CONFIG_MAPS, 'object-1', 'default', { data: { text: 'on plain etcd' } }, { type: 'merge' });
      await expectFollowed();
    },
    10 * MINUTES,
  );
});
