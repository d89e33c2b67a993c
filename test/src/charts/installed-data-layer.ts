import { once } from 'node:events';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { Binaries, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { EtcdClient } from '@harikube/testing';
import { runProgram } from '../run-program.js';
import { DATA_LAYER, type Helm } from './data-layer-cluster.js';
import type { RunningPod } from './network-policy.js';
import type { ChartCluster } from './node-stand-in/chart-cluster.js';

interface ContainerRestarts {
  readonly restartCount: number;
  readonly lastState: { readonly terminated?: { readonly exitCode: number; readonly finishedAt: string } };
}

export interface InstalledPod extends RunningPod {
  readonly metadata: RunningPod['metadata'] & { readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: RunningPod['status'] & { readonly containerStatuses: readonly ContainerRestarts[] };
}

const RELEASE = 'harikube';
const TIMEOUT = ['--wait', '--timeout', '170s'];

/** A release of the data layer's chart, called harikube, in a namespace under the restricted Pod Security; and the way to it from this machine. */
export class InstalledDataLayer {
  private constructor(
    readonly stage: ChartCluster,
    readonly helm: Helm,
    readonly namespace: string,
    private readonly etcdctlProgram: string,
  ) {}

  /** Makes the namespace; nothing is installed yet. */
  static async prepare(stage: ChartCluster, helm: Helm, namespace: string): Promise<InstalledDataLayer> {
    const labels = Object.fromEntries(['enforce', 'warn'].map((level) => [`pod-security.kubernetes.io/${level}`, 'restricted']));
    const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } };
    await stage.cluster.kubectl.succeed(['create', '-f', '-'], object);
    const { etcdctl } = await new Binaries({ env: readEnv(), progress: silent }).find(['etcdctl']);
    return new InstalledDataLayer(stage, helm, namespace, etcdctl.path);
  }

  /** Resolves when all its Pods are ready and its Jobs have succeeded. */
  async deploy(verb: 'install' | 'upgrade', values: object): Promise<void> {
    const file = join(this.stage.cluster.folder, `${this.namespace}-values.json`);
    await writeFile(file, JSON.stringify(values));
    await this.helm.succeed([verb, RELEASE, DATA_LAYER, '-n', this.namespace, '--values', file, ...TIMEOUT]);
  }

  async uninstall(): Promise<void> {
    await this.helm.succeed(['uninstall', RELEASE, '-n', this.namespace, ...TIMEOUT]);
  }

  manifest(): Promise<string> {
    return this.helm.succeed(['get', 'manifest', RELEASE, '-n', this.namespace]);
  }

  /** kubectl in the namespace: what it writes to stdout. */
  kubectl(args: readonly string[], input?: string | object): Promise<string> {
    return this.stage.cluster.kubectl.read([...args, '-n', this.namespace], input);
  }

  /** What runs at the moment: equal means that no Pod was replaced and no container restarted; one that was says how it ended. */
  async running(): Promise<string[]> {
    // Helm waits for the new Pods only.
    await this.kubectl(['rollout', 'status', 'deployment', '-l', `app.kubernetes.io/instance=${RELEASE}`, '--timeout=2m']);
    const pods = (await this.pods('router', 'topology-operator', 'watch-trigger')).filter(
      ({ metadata }) => metadata.deletionTimestamp === undefined,
    );
    return pods
      .map(({ metadata, status }) => `${metadata.name} ${metadata.uid} ${status.containerStatuses.map(restartsOf).join()}`)
      .toSorted();
  }

  async pods(...components: readonly string[]): Promise<InstalledPod[]> {
    const selector = `app.kubernetes.io/instance=${RELEASE},app.kubernetes.io/component in (${components.join(',')})`;
    const { items } = JSON.parse(await this.kubectl(['get', 'pods', '-l', selector, '-o', 'json'])) as { items: InstalledPod[] };
    return items;
  }

  /** A way to the etcd API at `host`: the address of a Pod, or of the Service; with the client certificate of a Secret, which is read anew. */
  async etcd(host: string, secretName = 'harikube-client'): Promise<EtcdAccess> {
    const { data } = JSON.parse(await this.kubectl(['get', 'secret', secretName, '-o', 'json'])) as { data: Record<string, string> };
    const folder = await mkdtemp(join(this.stage.cluster.folder, 'client-'));
    await mkdir(folder, { recursive: true });
    const files = new Map(Object.entries(data).map(([name, text]) => [name, Buffer.from(text, 'base64')]));
    for (const [name, content] of files) await writeFile(join(folder, name), content);
    // As `kubectl port-forward` does: the certificate has to be good for localhost.
    const forward = createServer((client) => {
      const router = connect(2379, host);
      // Whom the router does not let in, it cuts off.
      for (const socket of [client, router]) socket.on('error', () => undefined).on('close', () => (client.destroy(), router.destroy()));
      client.pipe(router).pipe(client);
    }).listen(0, '127.0.0.1');
    await once(forward, 'listening');
    return new EtcdAccess(this.etcdctlProgram, forward, folder, files);
  }

  serviceAddress(): Promise<string> {
    return this.kubectl(['get', 'service', 'harikube-router', '-o', 'jsonpath={.spec.clusterIP}']);
  }
}

/** A connection of its own for each call. */
export class EtcdAccess {
  constructor(
    private readonly program: string,
    private readonly forward: Server,
    private readonly folder: string,
    /** What is in the folder. */
    private readonly files: ReadonlyMap<string, Buffer>,
  ) {
    forward.unref();
  }

  /** What it printed; rejects when it fails. */
  async call(...args: readonly string[]): Promise<string> {
    const identity = ['--cert', join(this.folder, 'tls.crt'), '--key', join(this.folder, 'tls.key')];
    return await this.anonymously(...identity, ...args);
  }

  /** For what is written again and again: etcdctl takes a tenth of a second of processor time for each call. */
  async put(key: string, value: string): Promise<void> {
    const [ca, cert, privateKey] = ['ca.crt', 'tls.crt', 'tls.key'].map((file) => this.files.get(file));
    const client = new EtcdClient(`https://localhost:${this.#port}`, { ca, cert, key: privateKey });
    try {
      await client.put(key, value);
    } finally {
      client.close();
    }
  }

  /** Without a certificate of a client. */
  async anonymously(...args: readonly string[]): Promise<string> {
    const trust = ['--endpoints', `https://localhost:${this.#port}`, '--cacert', join(this.folder, 'ca.crt')];
    return (await runProgram(this.program, [...trust, ...args])).trim();
  }

  close(): void {
    this.forward.close();
  }

  get #port(): number {
    return (this.forward.address() as AddressInfo).port;
  }
}

/** Serial number of the certificate that a server shows to whoever comes. */
export function shownSerial(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] }, () => {
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      resolve(serialNumber);
    });
    socket.once('error', reject);
  });
}

function restartsOf({ restartCount, lastState: { terminated } }: ContainerRestarts): string {
  return terminated === undefined ? String(restartCount) : `${restartCount}, exit ${terminated.exitCode} at ${terminated.finishedAt}`;
}
