/**
 * Stands in for a node: runs the Pods of a real control plane as processes of this machine, each Pod with a network namespace and an address of
 * its own, and each container with its exact command, environment, mounts, user and probes. Needs Linux and root. Whatever a Pod says that it does
 * not know is a problem that `stop` reports.
 */
import { EventEmitter, once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIG_MAPS, InformerFactory, KubeClient, type KubeObject, LEASES, type Resource, SECRETS, StatusError } from '@harikube/kube';
import { createLogger } from '@harikube/platform';
import { architecture, MissingObjectError } from './container-environment.js';
import type { Ending } from './container-runner.js';
import { type Pod, PODS } from './pod.js';
import type { PodNetwork } from './pod-network.js';
import { PodRunner } from './pod-runner.js';
import { ENDPOINT_SLICES, ServiceProxy, SERVICES } from './service-proxy.js';

interface Claim extends KubeObject {
  spec: { accessModes?: string[]; storageClassName?: string; volumeName?: string; resources?: { requests?: Record<string, string> } };
}

const CLAIMS: Resource<Claim> = {
  group: '',
  version: 'v1',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  namespaced: true,
};
const VOLUMES: Resource<KubeObject & { spec: object }> = {
  group: '',
  version: 'v1',
  kind: 'PersistentVolume',
  plural: 'persistentvolumes',
  namespaced: false,
};
const NODES: Resource<KubeObject & { spec?: object; status?: object }> = {
  group: '',
  version: 'v1',
  kind: 'Node',
  plural: 'nodes',
  namespaced: false,
};

const NODE = 'node-stand-in';
const LEASE_NAMESPACE = 'kube-node-lease';
const LEASE_SECONDS = 40;
const RENEW_MS = 10_000;
const CAPACITY = { cpu: '32', memory: '64Gi', pods: '110', 'ephemeral-storage': '100Gi' };

export interface NodeStandInOptions {
  /** Of an administrator. */
  readonly kubeconfig: string;
  readonly network: PodNetwork;
  /** Everything of the Pods is below it. */
  readonly folder: string;
  /** Where kube-apiserver listens. */
  readonly apiServer: { readonly host: string; readonly port: number };
}

/** How a container of a Pod ended that was told to. */
export type PodEnding = Ending & { readonly pod: string };

export class NodeStandIn {
  /** What it could not do, in sentences. */
  readonly problems: string[] = [];
  /** Of every container that was told to end, in this order. */
  readonly endings: PodEnding[] = [];
  readonly #options: NodeStandInOptions;
  readonly #client: KubeClient;
  readonly #informers: InformerFactory;
  readonly #stopping = new AbortController();
  readonly #changes = new EventEmitter();
  readonly #runners = new Map<string, PodRunner>();
  readonly #proxy: ServiceProxy;
  #running: Promise<void> = Promise.resolve();
  #renewal: NodeJS.Timeout | null = null;

  constructor(options: NodeStandInOptions) {
    this.#options = options;
    this.#client = KubeClient.fromConfig({ kubeconfig: options.kubeconfig, userAgent: 'node-stand-in' });
    this.#informers = new InformerFactory(this.#client, { logger: createLogger({ format: 'plain', debug: false }) });
    this.#changes.setMaxListeners(0);
    this.#proxy = new ServiceProxy({
      network: options.network,
      services: this.#informers.informer(SERVICES),
      slices: this.#informers.informer(ENDPOINT_SLICES),
      apiServer: options.apiServer,
      onProblem: (problem) => this.#onProblem(problem),
    });
  }

  /** Resolves when the node is ready. */
  async start(): Promise<void> {
    const { signal } = this.#stopping;
    await mkdir(join(this.#options.folder, 'logs'), { recursive: true });
    const pods = this.#informers.informer(PODS);
    const claims = this.#informers.informer(CLAIMS);
    const objects = [this.#informers.informer(SECRETS), this.#informers.informer(CONFIG_MAPS)];
    this.#running = this.#informers.run(signal);
    await this.#informers.awaitSynced(signal);
    this.#proxy.start();
    await this.#registerNode();
    const refresh = (): void => {
      this.#changes.emit('change');
      for (const runner of this.#runners.values()) this.#do(() => runner.refresh());
    };
    for (const informer of objects) informer.addHandler({ onAdd: refresh, onUpdate: refresh });
    claims.addHandler({
      onAdd: (claim) => this.#do(() => this.#provision(claim)),
      onUpdate: () => this.#changes.emit('change'),
      onDelete: (claim) => this.#do(() => this.#reclaim(claim)),
    });
    pods.addHandler({
      onAdd: (pod) => this.#see(pod),
      onUpdate: (_before, pod) => this.#see(pod),
      onDelete: (pod) => this.#runners.get(String(pod.metadata.uid))?.delete(0),
    });
  }

  /** What the containers of a Pod have written is there, in files called NAMESPACE_POD_CONTAINER.log. */
  get logFolder(): string {
    return join(this.#options.folder, 'logs');
  }

  /** Ends all Pods at once, without a word to the API, and takes away everything that was made. Rejects with the problems. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#renewal !== null) clearInterval(this.#renewal);
    for (const runner of this.#runners.values()) runner.abandon();
    await this.#proxy.stop();
    await this.#options.network.remove();
    await this.#running;
    await this.#client.close();
    if (this.problems.length > 0) throw new Error(`the stand-in of a node had problems:\n${this.problems.join('\n')}`);
  }

  #see(pod: Pod): void {
    const { uid = '', deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
    const { nodeName, nodeSelector = {} } = pod.spec;
    if (nodeName === undefined) {
      const unmet = Object.entries(nodeSelector).filter(([label, value]) => this.#labels[label] !== value);
      if (unmet.length > 0) this.#onProblem(`Pod ${pod.metadata.name}: no node has ${unmet.map((each) => each.join('=')).join(', ')}`);
      else if (deletionTimestamp === undefined) this.#do(() => this.#bind(pod));
      return;
    }
    if (nodeName !== NODE) return;
    let runner = this.#runners.get(uid);
    if (runner === undefined) {
      runner = new PodRunner(pod, {
        client: this.#client,
        network: this.#options.network,
        proxy: this.#proxy,
        folder: this.#options.folder,
        reader: {
          secret: (namespace, name) => this.#informers.informer(SECRETS).get(name, namespace),
          configMap: (namespace, name) => this.#informers.informer(CONFIG_MAPS).get(name, namespace),
        },
        objectsChanged: async (signal) => {
          await once(this.#changes, 'change', { signal }).catch(() => undefined);
        },
        claimFolder: (namespace, claim) => this.#claimFolder(namespace, claim),
        onProblem: (problem) => this.#onProblem(problem),
        onEnding: (ending) => this.endings.push(ending),
      });
      this.#runners.set(uid, runner);
      const started = runner;
      this.#do(() => started.run().finally(() => this.#runners.delete(uid)));
    }
    if (deletionTimestamp !== undefined) runner.delete(deletionGracePeriodSeconds);
  }

  async #bind({ metadata: { namespace = '', name = '' } }: Pod): Promise<void> {
    const target = { apiVersion: 'v1', kind: 'Node', name: NODE };
    const body = { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target };
    try {
      await this.#client.raw('POST', `/api/v1/namespaces/${namespace}/pods/${name}/binding`, undefined, body);
    } catch (error) {
      // It was seen twice before it was bound, or is gone.
      if (!(error instanceof StatusError) || !(error.isConflict || error.isNotFound)) throw error;
    }
  }

  get #labels(): Readonly<Record<string, string>> {
    return { 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': architecture(), 'kubernetes.io/hostname': NODE };
  }

  async #registerNode(): Promise<void> {
    const nodeInfo = {
      architecture: architecture(),
      operatingSystem: 'linux',
      bootID: NODE,
      machineID: NODE,
      systemUUID: NODE,
      kernelVersion: NODE,
      osImage: NODE,
      containerRuntimeVersion: `${NODE}://1`,
      kubeletVersion: NODE,
      kubeProxyVersion: NODE,
    };
    const now = new Date().toISOString();
    const ready = { type: 'Ready', status: 'True', reason: 'NodeStandIn', lastHeartbeatTime: now, lastTransitionTime: now };
    const addresses = [
      { type: 'InternalIP', address: this.#options.network.address },
      { type: 'Hostname', address: NODE },
    ];
    await this.#client.create(NODES, { metadata: { name: NODE, labels: { ...this.#labels } } });
    const status = { capacity: CAPACITY, allocatable: CAPACITY, conditions: [ready], addresses, nodeInfo };
    await this.#client.patch(NODES, NODE, undefined, { status }, { type: 'merge', subresource: 'status' });
    await this.#renew();
    this.#renewal = setInterval(() => this.#do(() => this.#renew()), RENEW_MS).unref();
  }

  async #renew(): Promise<void> {
    const spec = { holderIdentity: NODE, leaseDurationSeconds: LEASE_SECONDS, renewTime: new Date().toISOString().replace('Z', '000Z') };
    await this.#client.apply(LEASES, { metadata: { name: NODE, namespace: LEASE_NAMESPACE }, ...{ spec } }, { fieldManager: NODE });
  }

  /** A folder for a claim; kube-controller-manager binds the two. */
  async #provision({ metadata: { namespace = '', name = '', uid = '' }, spec }: Claim): Promise<void> {
    if (spec.volumeName !== undefined) return;
    const path = this.#pathOf(uid);
    await mkdir(path, { recursive: true });
    await this.#client.create(VOLUMES, {
      metadata: { name: `claim-${uid}` },
      spec: {
        accessModes: spec.accessModes,
        capacity: { storage: spec.resources?.requests?.['storage'] },
        claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid },
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: spec.storageClassName,
        hostPath: { path },
      },
    });
  }

  async #reclaim({ metadata: { uid = '' } }: Claim): Promise<void> {
    await this.#client.delete(VOLUMES, `claim-${uid}`);
    await rm(this.#pathOf(uid), { recursive: true, force: true });
  }

  #claimFolder(namespace: string, name: string): Promise<string> {
    const claim = this.#informers.informer(CLAIMS).get(name, namespace);
    if (claim?.spec.volumeName === undefined) return Promise.reject(new MissingObjectError(`the claim ${namespace}/${name} is not bound`));
    return Promise.resolve(this.#pathOf(String(claim.metadata.uid)));
  }

  #pathOf(claimUid: string): string {
    return join(this.#options.folder, 'claims', claimUid);
  }

  #onProblem(problem: string): void {
    if (!this.#stopping.signal.aborted) this.problems.push(problem);
  }

  #do(work: () => Promise<unknown>): void {
    work().catch((error: unknown) => this.#onProblem(error instanceof Error ? (error.stack ?? error.message) : String(error)));
  }
}
