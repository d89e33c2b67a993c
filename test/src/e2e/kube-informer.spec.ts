import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  CONFIG_MAPS,
  type Informer,
  InformerFactory,
  KubeClient,
  type KubeObject,
  LeaderElector,
  LEASES,
  SECRETS,
  StatusError,
} from '@harikube/kube';
import { createLogger, type Logger } from '@harikube/platform';
import type { LeaderProgramArguments } from './leader-program.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster } from './running-cluster.js';
import { TcpProxy } from './tcp-proxy.js';

const PATIENCE_MS = 120_000;
const WRITERS = 8;
const OBJECTS_PER_WRITER = 8;
const WRITES = 2000;
const LEASE_TIMES = { leaseDurationMs: 3000, renewDeadlineMs: 2000, retryPeriodMs: 500 };

let cluster: RunningCluster;
let proxy: TcpProxy;
/** Straight to the server. */
let client: KubeClient;
let proxiedKubeconfig: string;
let proxied: KubeClient;

beforeAll(async () => {
  cluster = await RunningCluster.start({
    name: 'informer',
    store: 'router',
    controllerManager: false,
    // Watches of ConfigMaps are served from the store, which forgets; those of Secrets from the cache of kube-apiserver, which remembers a while.
    extraApiServerArgs: ['--etcd-compaction-interval=1s', '--watch-cache-sizes=configmaps#0', '--max-mutating-requests-inflight=1000'],
  });
  const { port } = new URL(cluster.url);
  proxy = await TcpProxy.start(Number(port));
  proxiedKubeconfig = join(cluster.folder, 'proxied.kubeconfig');
  const kubeconfig = await readFile(cluster.kubeconfigFile, 'utf8');
  await writeFile(proxiedKubeconfig, kubeconfig.replaceAll(`127.0.0.1:${port}`, `127.0.0.1:${proxy.port}`), { mode: 0o600 });
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'informer-spec' });
  proxied = KubeClient.fromConfig({ kubeconfig: proxiedKubeconfig, userAgent: 'informer-spec-proxied' });
});

afterAll(async () => {
  await proxied?.close();
  await client?.close();
  await proxy?.close();
  await cluster?.stop();
});

function recordingLogger(): { readonly logger: Logger; readonly messages: string[] } {
  const messages: string[] = [];
  const destination = { write: (text: string): void => void messages.push((JSON.parse(text) as { msg: string }).msg) };
  return { logger: createLogger({ format: 'json', debug: true, destination }), messages };
}

/** Every order of calls that cannot be, whatever happened to the connection. */
class OrderCheck {
  readonly violations: string[] = [];
  readonly seen = { added: 0, updated: 0, deleted: 0 };
  readonly #states = new Map<string, KubeObject>();

  constructor(informer: Informer<KubeObject>) {
    informer.addHandler({
      onAdd: (object) => {
        this.seen.added++;
        const before = this.#states.get(nameOf(object));
        if (before !== undefined) this.#report('added though it is there', before, object);
        this.#states.set(nameOf(object), object);
      },
      onUpdate: (before, after) => {
        this.seen.updated++;
        if (this.#states.get(nameOf(after)) !== before) this.#report('updated from a state that was not told', before, after);
        if (before.metadata.uid !== after.metadata.uid) this.#report('updated into another object', before, after);
        if (versionOf(before) >= versionOf(after)) this.#report('updated to an older state', before, after);
        this.#states.set(nameOf(after), after);
      },
      onDelete: (object) => {
        this.seen.deleted++;
        const before = this.#states.get(nameOf(object));
        if (before === undefined) this.#report('deleted though it is not there', object, object);
        else if (versionOf(before) > versionOf(object)) this.#report('deleted in an older state', before, object);
        this.#states.delete(nameOf(object));
      },
    });
  }

  #report(what: string, before: KubeObject, after: KubeObject): void {
    this.violations.push(`${nameOf(after)} is ${what}: ${before.metadata.resourceVersion}, ${after.metadata.resourceVersion}`);
  }
}

const nameOf = ({ metadata }: KubeObject): string => metadata.name ?? '';
const versionOf = ({ metadata }: KubeObject): bigint => BigInt(metadata.resourceVersion ?? '0');

/** Resolves as soon as a handler call makes it true. */
function whenTrue(informer: Informer<KubeObject>, isTrue: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (isTrue()) resolve();
    };
    informer.addHandler({ onAdd: check, onUpdate: check, onDelete: check });
    check();
  });
}

type Kind = typeof CONFIG_MAPS;

/** Writes all kinds of changes, each object by one writer alone. `at` is called before some of the writes, with how many there were. */
async function writeMany(resource: Kind, before: (writes: number) => Promise<void>): Promise<void> {
  let writes = 0;
  const work = async (writer: number): Promise<void> => {
    const alive = new Set<string>();
    for (let step = 0; writes < WRITES; step++) {
      await before(writes++);
      const name = `object-${writer}-${(step * 5) % OBJECTS_PER_WRITER}`;
      const stringData = { step: String(step) };
      const body = resource.kind === 'Secret' ? { stringData } : { data: stringData };
      if (!alive.has(name)) {
        await client.create(resource, { metadata: { name, namespace: 'default' }, ...body });
        alive.add(name);
      } else if (step % 3 === 0) {
        await client.delete(resource, name, 'default');
        alive.delete(name);
      } else await client.patch(resource, name, 'default', body, { type: 'merge' });
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => work(writer)));
}

async function stateOf(resource: Kind): Promise<string[]> {
  const { items } = await client.list(resource, { namespace: 'default' });
  return items.map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`).sort();
}

/** Asks until the server does not have the version any more. */
async function untilCompacted(resource: Kind, resourceVersion: string): Promise<void> {
  for (;;) {
    try {
      const watch = client.watch(resource, { namespace: 'default', resourceVersion, timeoutSeconds: 1 });
      for await (const { type, object } of watch) if (type === 'ERROR') throw new StatusError(object as StatusError['status']);
    } catch (error) {
      if (error instanceof StatusError && error.isGone) return;
      throw error;
    }
  }
}

describe('an informer on a real kube-apiserver whose history is compacted each second', () => {
  it.each([
    ['the store', CONFIG_MAPS],
    ["kube-apiserver's cache", SECRETS],
  ])('has exactly the state of the server after 2000 writes and many cuts, with watches served by %s', async (_, resource) => {
    const { logger, messages } = recordingLogger();
    const factory = new InformerFactory(proxied, { logger });
    const informer = factory.informer(resource, { namespace: 'default' });
    const check = new OrderCheck(informer);
    const stop = new AbortController();
    const running = factory.run(stop.signal);
    try {
      await factory.awaitSynced(stop.signal, PATIENCE_MS);
      // The first load is the kind that needs no list.
      expect(messages).toEqual([]);
      const isForgetful = resource === CONFIG_MAPS;
      await writeMany(resource, async (writes) => {
        if (writes % 300 === 299) proxy.cut();
        if (writes !== 1000) return;
        proxy.refuse();
        const known = informer
          .list()
          .map(versionOf)
          .sort((one, other) => Number(one - other))
          .at(-1);
        if (isForgetful) await untilCompacted(resource, String(known));
        proxy.admit();
      });
      const marker = await client.create(resource, { metadata: { name: 'marker', namespace: 'default' } });
      await whenTrue(informer, () => informer.get('marker', 'default')?.metadata.uid === marker.metadata.uid);

      const cached = informer.list('default').map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`);
      expect(cached.sort()).toEqual(await stateOf(resource));
      expect(check.violations).toEqual([]);
      expect(check.seen.updated).toBeGreaterThan(200);
      expect(check.seen.deleted).toBeGreaterThan(50);
      expect(messages.includes('the version is too old; loading everything again')).toBe(isForgetful);
    } finally {
      stop.abort();
      await running;
    }
  });
});

describe('KubeClient on a real kube-apiserver', () => {
  const config = async (change: (text: string) => string): Promise<KubeClient> => {
    const kubeconfig = join(cluster.folder, 'changed.kubeconfig');
    await writeFile(kubeconfig, change(await readFile(cluster.kubeconfigFile, 'utf8')), { mode: 0o600 });
    return KubeClient.fromConfig({ kubeconfig, userAgent: 'informer-spec' });
  };

  it('trusts the authority of the kubeconfig and no other, unless it is told to trust anybody', async () => {
    const stranger = await config((text) => text.replace(/certificate-authority-data/, 'unknown-field'));
    await expect(stranger.raw('GET', '/version')).rejects.toMatchObject({
      name: 'ConnectionError',
      message: expect.stringMatching(/certificate/),
    });
    await stranger.close();
    const trusting = await config((text) =>
      text.replace(/"?certificate-authority-data"?: *("?)[^\s",]+\1/, '"insecure-skip-tls-verify": true'),
    );
    expect(await trusting.raw('GET', '/version')).toMatchObject({ major: '1' });
    await trusting.close();
  });

  it('is refused without its client certificate, and told so by a Status', async () => {
    const nobody = await config((text) =>
      text.replace(/client-certificate-data/, 'unknown-field').replace(/client-key-data/, 'other-field'),
    );
    await expect(nobody.list(SECRETS)).rejects.toMatchObject({ name: 'StatusError', code: 403, isForbidden: true, reason: 'Forbidden' });
    await nobody.close();
  });
});

describe('two LeaderElectors on a real kube-apiserver', () => {
  const elect = (
    name: string,
    identity: string,
    times = LEASE_TIMES,
  ): { elector: LeaderElector; stop: AbortController; leading: Promise<void>; ended: Promise<string> } => {
    const { logger } = recordingLogger();
    const elector = new LeaderElector({ client, namespace: 'default', name, identity, logger, ...times });
    const stop = new AbortController();
    const { promise: leading, resolve } = Promise.withResolvers<void>();
    const ended = elector.run(stop.signal, async (signal) => {
      resolve();
      await new Promise((settle) => signal.addEventListener('abort', settle, { once: true }));
    });
    return { elector, stop, leading, ended };
  };

  it('hand over when the one that leads stops', async () => {
    // No test waits for the end of such a lease.
    const times = { leaseDurationMs: 3_600_000, renewDeadlineMs: 1_800_000, retryPeriodMs: 500 };
    const one = elect('handover', 'one', times);
    await one.leading;
    const two = elect('handover', 'two', times);
    one.stop.abort();
    expect(await one.ended).toBe('stopped');
    await two.leading;
    expect([one.elector.isLeading(), two.elector.isLeading()]).toEqual([false, true]);
    expect(await client.get(LEASES, 'handover', 'default')).toMatchObject({ spec: { holderIdentity: 'two', leaseTransitions: 1 } });
    two.stop.abort();
    expect(await two.ended).toBe('stopped');
    expect(await client.get(LEASES, 'handover', 'default')).toMatchObject({ spec: { holderIdentity: '', leaseTransitions: 1 } });
  });

  it('never both write: one that was stopped for longer than its lease wakes, and writes nothing', async () => {
    const load = (): Promise<KubeObject> => client.get(CONFIG_MAPS, 'written', 'default');
    let last = await client.create(CONFIG_MAPS, { metadata: { name: 'written', namespace: 'default' } });
    const first = last;
    const args: LeaderProgramArguments = { kubeconfig: proxiedKubeconfig, lease: 'stopped', configMap: 'written', ...LEASE_TIMES };
    const logFile = join(cluster.folder, 'leader.log');
    const process = ProgramProcess.fork(fileURLToPath(new URL('leader-program.js', import.meta.url)), [JSON.stringify(args)], logFile);
    try {
      while (versionOf((last = await load())) === versionOf(first));
      // It waits for the answer to a write, and would send the next one as soon as that comes.
      proxy.hold();
      for (let same = 0; same < 50; same++) {
        const object = await load();
        if (versionOf(object) !== versionOf(last)) same = 0;
        last = object;
      }
      process.pause();
      proxy.release();
      const other = elect('stopped', 'other');
      await other.leading;
      process.continue();
      expect(await process.ended).toBe(7);
      expect(versionOf(await load())).toBe(versionOf(last));
      expect(other.elector.isLeading()).toBe(true);
      other.stop.abort();
      expect(await other.ended).toBe('stopped');
    } finally {
      await process.kill();
    }
  });
});
