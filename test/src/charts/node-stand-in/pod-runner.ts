import { existsSync, statSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type KubeClient, StatusError } from '@harikube/kube';
import { containerEnvironment, expand, MissingObjectError, type ObjectReader } from './container-environment.js';
import { ContainerProcess, type Mount } from './container-process.js';
import { ContainerRunner, type Ending } from './container-runner.js';
import { imageOf } from './image.js';
import { type Container, type Pod, type PodCondition, PODS, unknownFields } from './pod.js';
import type { PodNetwork, PodPlace } from './pod-network.js';
import { PodVolumes } from './pod-volumes.js';
import type { ServiceProxy } from './service-proxy.js';

/** What Pods share. */
export interface PodHost {
  readonly client: KubeClient;
  readonly network: PodNetwork;
  readonly proxy: ServiceProxy;
  readonly reader: ObjectReader;
  readonly folder: string;
  /** Resolves when a Secret, a ConfigMap or a claim has changed, or when the signal aborts. */
  objectsChanged(signal: AbortSignal): Promise<void>;
  /** The folder of a claim; rejects with `MissingObjectError`. */
  claimFolder(namespace: string, claim: string): Promise<string>;
  onProblem(problem: string): void;
  onEnding(ending: Ending & { readonly pod: string }): void;
}

const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));
const APP: Mount = { source: REPOSITORY, target: '/app', isFile: false, isReadOnly: true };
const DEFAULT_GRACE_SECONDS = 30;

/** One Pod from its first container to its removal. */
export class PodRunner {
  readonly #host: PodHost;
  readonly #pod: Pod;
  readonly #folder: string;
  readonly #deletion = Promise.withResolvers<number>();
  readonly #ending = new AbortController();
  readonly #conditions = new Map<string, PodCondition>();
  readonly #startTime = new Date().toISOString();
  #place: PodPlace | null = null;
  #volumes: PodVolumes | null = null;
  #initRunners: ContainerRunner[] = [];
  #runners: ContainerRunner[] = [];
  #isInitialized = false;
  #phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' = 'Pending';
  #reason: { readonly reason: string; readonly message: string } | null = null;
  #writing: Promise<void> | null = null;
  #isDirty = false;

  constructor(pod: Pod, host: PodHost) {
    this.#pod = pod;
    this.#host = host;
    this.#folder = join(host.folder, 'pods', String(pod.metadata.uid));
  }

  get name(): string {
    return `${this.#pod.metadata.namespace}/${this.#pod.metadata.name}`;
  }

  /** Somebody has deleted it. */
  delete(graceSeconds: number): void {
    this.#deletion.resolve(graceSeconds);
  }

  /** Its processes are about to be ended from outside. */
  abandon(): void {
    this.#ending.abort();
    for (const runner of [...this.#initRunners, ...this.#runners]) runner.abandon();
  }

  /** Writes volumes anew whose Secrets and ConfigMaps have changed. */
  async refresh(): Promise<void> {
    if (this.#isInitialized && this.#phase === 'Running') await this.#volumes?.refresh();
  }

  /** Resolves when it was deleted and nothing of it is left. */
  async run(): Promise<void> {
    const work = this.#work().catch((error: unknown) => this.#fail('NodeStandIn', String(error)));
    await Promise.race([work, this.#deletion.promise]);
    const grace = await this.#deletion.promise;
    this.#ending.abort();
    const endings = await Promise.all([...this.#initRunners, ...this.#runners].map((runner) => runner.stop(grace)));
    for (const ending of endings) if (ending !== null) this.#host.onEnding({ ...ending, pod: this.name });
    await work;
    await this.#changed();
    await this.#release();
    await this.#volumes?.close();
    await rm(this.#folder, { recursive: true, force: true });
    await this.#removeObject();
  }

  async #work(): Promise<void> {
    const { spec } = this.#pod;
    const unknown = unknownFields(spec);
    if (unknown.length > 0) throw new Error(`the stand-in of a node does not know ${unknown.join(', ')}`);
    await mkdir(this.#folder, { recursive: true });
    this.#place = await this.#host.network.addPod();
    await this.#host.proxy.keepHosts(this.#hostsFile, String(this.#pod.metadata.namespace));
    const restartPolicy = spec.restartPolicy ?? 'Always';
    const initPolicy = restartPolicy === 'Always' ? 'OnFailure' : restartPolicy;
    this.#initRunners = (spec.initContainers ?? []).map((container) => this.#runner(container, initPolicy));
    this.#runners = spec.containers.map((container) => this.#runner(container, restartPolicy));
    await this.#changed();
    if (!(await this.#prepareVolumes())) return;
    for (const runner of this.#initRunners) {
      const code = await runner.run();
      if (code === null || this.#ending.signal.aborted) return;
      if (code !== 0) return await this.#finish('Failed');
    }
    this.#isInitialized = true;
    this.#phase = 'Running';
    const codes = await Promise.all(this.#runners.map((runner) => runner.run()));
    await this.#finish(codes.every((code) => code === 0) ? 'Succeeded' : 'Failed');
  }

  get #hostsFile(): string {
    return join(this.#folder, 'hosts');
  }

  /** False: the Pod is deleted before everything was there. */
  async #prepareVolumes(): Promise<boolean> {
    const { metadata, spec } = this.#pod;
    const { namespace = '' } = metadata;
    const { client, network, reader } = this.#host;
    this.#volumes = new PodVolumes({
      pod: this.#pod,
      folder: this.#folder,
      reader,
      podAddress: this.#address,
      nodeAddress: network.address,
      user: spec.securityContext?.runAsUser ?? spec.containers[0]?.securityContext?.runAsUser ?? imageOf(spec.containers[0]?.image).user,
      token: async ({ audience, expirationSeconds }) => {
        const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: metadata.name, uid: metadata.uid };
        const audiences = audience === undefined ? [] : [audience];
        const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${spec.serviceAccountName ?? 'default'}/token`;
        const body = {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: { audiences, expirationSeconds, boundObjectRef },
        };
        const answer = (await client.raw('POST', path, undefined, body)) as { readonly status: { readonly token: string } };
        return answer.status.token;
      },
      claimFolder: (claim) => this.#host.claimFolder(namespace, claim),
    });
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        await this.#volumes.prepare();
        return true;
      } catch (error) {
        if (!(error instanceof MissingObjectError)) throw error;
        await this.#host.objectsChanged(signal);
      }
    }
    return false;
  }

  get #address(): string {
    return this.#place?.address ?? '';
  }

  #runner(container: Container, restartPolicy: 'Always' | 'OnFailure' | 'Never'): ContainerRunner {
    return new ContainerRunner({
      container,
      restartPolicy,
      address: this.#address,
      terminationGracePeriodSeconds: this.#pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS,
      start: () => this.#start(container),
      objectsChanged: (signal) => this.#host.objectsChanged(signal),
      onChange: () => void this.#changed(),
    });
  }

  #start(container: Container): ContainerProcess {
    const { metadata, spec } = this.#pod;
    const { network, proxy, reader, folder } = this.#host;
    const { namespace = '', name: podName = '' } = metadata;
    const image = imageOf(container.image);
    const own = container.securityContext ?? {};
    const shared = spec.securityContext ?? {};
    const user = own.runAsUser ?? shared.runAsUser ?? image.user;
    if ((own.runAsNonRoot ?? shared.runAsNonRoot ?? false) && user === 0)
      throw new Error(`container ${container.name} must not run as root and would: runAsUser=0`);
    const hostname = spec.hostname ?? podName;
    const environment = containerEnvironment({
      pod: this.#pod,
      container,
      reader,
      podAddress: this.#address,
      nodeAddress: network.address,
      base: { ...image.environment, HOSTNAME: hostname, ...proxy.variables(namespace, spec.enableServiceLinks ?? true) },
    });
    const command = [...(container.command ?? image.entrypoint), ...(container.args ?? [])].map((word) => expand(word, environment));
    return ContainerProcess.start({
      networkNamespace: this.#place?.namespace ?? '',
      root: join(this.#folder, 'roots', container.name),
      mounts: [APP, { source: this.#hostsFile, target: '/etc/hosts', isFile: true, isReadOnly: true }, ...this.#mountsOf(container)],
      isRootReadOnly: own.readOnlyRootFilesystem ?? false,
      command,
      environment,
      workingFolder: container.workingDir ?? image.workingFolder,
      user,
      group: own.runAsGroup ?? shared.runAsGroup ?? image.group,
      groups: [...(shared.fsGroup === undefined ? [] : [shared.fsGroup]), ...(shared.supplementalGroups ?? [])],
      dropsCapabilities: own.capabilities?.drop?.includes('ALL') ?? false,
      mayGainPrivileges: own.allowPrivilegeEscalation ?? true,
      hostname,
      logFile: join(folder, 'logs', `${namespace}_${podName}_${container.name}.log`),
    });
  }

  #mountsOf(container: Container): Mount[] {
    return (container.volumeMounts ?? []).map(({ name, mountPath, subPath, readOnly = false }) => {
      const folder = this.#volumes?.folderOf(name) ?? '';
      const source = subPath === undefined ? folder : join(folder, subPath);
      if (!existsSync(source)) throw new Error(`volume ${name} has no ${subPath}`);
      const volume = this.#pod.spec.volumes?.find((each) => each.name === name);
      // Nobody but the kubelet writes there.
      const isKept = volume?.emptyDir === undefined && volume?.persistentVolumeClaim === undefined;
      return { source, target: mountPath, isFile: statSync(source).isFile(), isReadOnly: readOnly || isKept };
    });
  }

  async #finish(phase: 'Succeeded' | 'Failed'): Promise<void> {
    this.#phase = phase;
    await this.#changed();
    await this.#release();
  }

  async #fail(reason: string, message: string): Promise<void> {
    this.#phase = 'Failed';
    this.#reason = { reason, message };
    this.#host.onProblem(`Pod ${this.name}: ${message}`);
    await this.#changed();
  }

  async #release(): Promise<void> {
    this.#host.proxy.forget(this.#hostsFile);
    const place = this.#place;
    this.#place = null;
    if (place !== null) await this.#host.network.removePod(place);
  }

  async #removeObject(): Promise<void> {
    const { namespace = '', name = '', uid } = this.#pod.metadata;
    try {
      await this.#host.client.raw('DELETE', `/api/v1/namespaces/${namespace}/pods/${name}`, undefined, {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        gracePeriodSeconds: 0,
        preconditions: { uid },
      });
    } catch (error) {
      if (!(error instanceof StatusError) || !(error.isNotFound || error.isConflict)) throw error;
    }
  }

  /** Writes the status; several changes meanwhile are one more write. Resolves when it is written. */
  #changed(): Promise<void> {
    this.#isDirty = true;
    this.#writing ??= this.#write().finally(() => (this.#writing = null));
    return this.#writing;
  }

  async #write(): Promise<void> {
    const { namespace = '', name = '', uid } = this.#pod.metadata;
    while (this.#isDirty) {
      this.#isDirty = false;
      try {
        await this.#host.client.patch(
          PODS,
          name,
          namespace,
          { metadata: { uid }, status: this.#status() },
          { type: 'merge', subresource: 'status' },
        );
      } catch (error) {
        if (!(error instanceof StatusError) || !(error.isNotFound || error.isConflict))
          this.#host.onProblem(`the status of Pod ${this.name} is not written: ${String(error)}`);
      }
    }
  }

  #status(): object {
    const address = this.#address;
    const { address: hostIP } = this.#host.network;
    const isDone = this.#phase === 'Succeeded';
    const areReady = this.#phase === 'Running' && this.#runners.length > 0 && this.#runners.every(({ status }) => status.ready);
    const notReady = isDone ? 'PodCompleted' : 'ContainersNotReady';
    this.#setCondition('PodScheduled', true);
    this.#setCondition('PodReadyToStartContainers', address !== '');
    this.#setCondition('Initialized', this.#isInitialized, isDone ? 'PodCompleted' : 'ContainersNotInitialized');
    this.#setCondition('ContainersReady', areReady, notReady);
    this.#setCondition('Ready', areReady, notReady);
    return {
      phase: this.#phase,
      ...this.#reason,
      hostIP,
      hostIPs: [{ ip: hostIP }],
      ...(address === '' ? {} : { podIP: address, podIPs: [{ ip: address }] }),
      startTime: this.#startTime,
      conditions: [...this.#conditions.values()],
      initContainerStatuses: this.#initRunners.map(({ status }) => status),
      containerStatuses: this.#runners.map(({ status }) => status),
    };
  }

  #setCondition(type: string, holds: boolean, reason?: string): void {
    const status = holds ? 'True' : 'False';
    const before = this.#conditions.get(type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : new Date().toISOString();
    this.#conditions.set(type, { type, status, lastTransitionTime, ...(holds || reason === undefined ? {} : { reason }) });
  }
}
