import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CONFIG_MAPS, ConnectionError, KubeClient, type KubeObject, StatusError } from '@harikube/kube';
import { Binaries, ControlPlane, freePort, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { type PostgresServer, startPostgres } from '@harikube/testing';
import { StandbyRouter } from './standby-router.js';
import { TcpProxy } from './tcp-proxy.js';

const LEASE_MS = 3000;
const FLAGS = ['--writer-lease-duration', `${LEASE_MS}ms`, '--backend-timeout', '3s'];
const WRITERS = 4;
/** Of the test's own requests. A kube-apiserver that pauses before it connects again would take longer. */
const PATIENCE_MS = 10_000;
const NAMESPACE = 'default';

let server: PostgresServer;
let endpoint: string;
let folder: string;
let controlPlane: ControlPlane;
let client: KubeClient;
/** Everything that happened to kube-apiserver. */
const events: unknown[] = [];

/** A router, by way of a proxy to its database. */
interface Place {
  readonly proxy: TcpProxy;
  router: StandbyRouter;
}

let places: [Place, Place];

beforeAll(async () => {
  server = await startPostgres();
  endpoint = await server.createDatabase();
  places = [await takePlace(), await takePlace()];
  folder = await mkdtemp(join(tmpdir(), 'harikube-standby-'));
  const env = { ...readEnv(), NODE_OPTIONS: '' };
  const found = await new Binaries({ env, progress: silent }).find(['kube-apiserver', 'kube-controller-manager']);
  controlPlane = new ControlPlane({
    dataDir: folder,
    programs: { 'kube-apiserver': found['kube-apiserver'].path, 'kube-controller-manager': found['kube-controller-manager'].path },
    port: 0,
    etcdServers: places.map(({ router }) => router.url),
    env,
    controllerManager: false,
    onEvent: (event) => events.push(event),
  });
  await controlPlane.start();
  client = KubeClient.fromConfig({ kubeconfig: controlPlane.kubeconfigFile, userAgent: 'standby-spec', deadlineMs: PATIENCE_MS });
});

afterAll(async () => {
  await client?.close();
  await controlPlane?.stop();
  for (const { router, proxy } of places ?? []) {
    await router.kill();
    await proxy.close();
  }
  await server?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

async function takePlace(): Promise<Place> {
  const proxy = await TcpProxy.start(server.port);
  return { proxy, router: await launch(proxy, await freePort()) };
}

function launch(proxy: TcpProxy, port: number): Promise<StandbyRouter> {
  return StandbyRouter.start({ endpoint: endpoint.replace(`:${server.port}/`, `:${proxy.port}/`), port, flags: FLAGS });
}

/** Creates objects until it is stopped, and keeps what was acknowledged. */
class Writers {
  readonly created = new Map<string, bigint>();
  readonly refused: string[] = [];
  #isStopped = false;
  readonly #done: Promise<unknown>;
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#done = Promise.all(Array.from({ length: WRITERS }, (_, id) => this.#write(id)));
    this.#done.catch(() => undefined); // told by stop()
  }

  /** Resolves when an object is created whose request began after this call. */
  async creates(): Promise<void> {
    // Requests that are under way may have begun before it.
    for (let count = 0; count <= WRITERS; count++) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  async #write(id: number): Promise<void> {
    let last = 0n;
    for (let i = 0; !this.#isStopped; i++) {
      const name = `object-${id}-${i}`;
      try {
        const { metadata } = await client.create(CONFIG_MAPS, { metadata: { name, namespace: NAMESPACE } });
        const version = BigInt(metadata.resourceVersion ?? '0');
        if (version <= last) throw new Error(`${name} was created at ${version}, after ${last}`);
        last = version;
        this.created.set(name, version);
        for (const resolve of this.#waiting.splice(0)) resolve();
      } catch (error) {
        if (!(error instanceof StatusError || error instanceof ConnectionError)) throw error;
        this.refused.push(error.message);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

/** Follows all objects from what a list has, over as many watches as it takes. */
async function follow(seen: Map<string, bigint>, signal: AbortSignal): Promise<void> {
  const { items, metadata: listed } = await client.list(CONFIG_MAPS, { namespace: NAMESPACE });
  // The writers have begun: what the list has no watch after it is told of.
  for (const [name, version] of versionsOf(items)) seen.set(name, version);
  let { resourceVersion } = listed;
  while (!signal.aborted) {
    try {
      for await (const { type, object } of client.watch(CONFIG_MAPS, { namespace: NAMESPACE, resourceVersion, signal })) {
        if (type === 'ERROR') throw new StatusError(object as StatusError['status']);
        const { metadata }: KubeObject = object;
        if (type === 'ADDED') seen.set(metadata.name ?? '', BigInt(metadata.resourceVersion ?? '0'));
        resourceVersion = metadata.resourceVersion;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ConnectionError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function versionsOf(objects: readonly KubeObject[]): Map<string, bigint> {
  return new Map(objects.map(({ metadata: { name = '', resourceVersion = '0' } }) => [name, BigInt(resourceVersion)]));
}

describe('a kube-apiserver with the addresses of two routers', () => {
  it('works on while the active one is killed, told to end, stopped and cut off, and never starts again', async () => {
    const writers = new Writers();
    const seen = new Map<string, bigint>();
    const stop = new AbortController();
    const following = follow(seen, stop.signal);
    following.catch(() => undefined);
    const faults: [string, (place: Place) => Promise<unknown> | void, (place: Place) => void][] = [
      ['killed', ({ router }) => router.kill(), () => undefined],
      ['told to end', ({ router }) => router.stop(), () => undefined],
      ['stopped', ({ router }) => router.pause(), ({ router }) => router.continue()],
      ['cut off', ({ proxy }) => proxy.refuse(), ({ proxy }) => proxy.admit()],
    ];
    let [active, standby] = places;
    await active.router.serving();
    const gaps: Record<string, number> = {};
    for (const [name, harm, mend] of faults) {
      await writers.creates();
      const harmedAt = performance.now();
      await harm(active);
      await standby.router.serving();
      await writers.creates();
      gaps[name] = Math.round(performance.now() - harmedAt);
      mend(active);
      await active.router.ended;
      active.router = await launch(active.proxy, active.router.options.port);
      [active, standby] = [standby, active];
      await writers.creates();
    }
    await writers.stop();
    const stored = versionsOf((await client.list(CONFIG_MAPS, { namespace: NAMESPACE })).items);
    expect([...writers.created].filter(([name, version]) => stored.get(name) !== version)).toEqual([]);
    // The watch is told of everything that is there, be it acknowledged or not.
    while ([...stored].some(([name]) => !seen.has(name))) {
      await Promise.race([following, new Promise((resolve) => setTimeout(resolve, 50))]);
    }
    stop.abort();
    await following;
    expect([...stored].filter(([name, version]) => seen.get(name) !== version)).toEqual([]);
    expect(new Set(stored.values()).size).toBe(stored.size);
    expect(events).toEqual([]);
    expect(await controlPlane.isReady()).toBe(true);
    // The system of one that is stopped goes on to accept what it is sent: kube-apiserver notices by its keepalive, after 30 s and more.
    const { stopped: _, ...noticed } = gaps;
    expect(Object.entries(noticed).filter(([, ms]) => ms > PATIENCE_MS)).toEqual([]);
  });
});
