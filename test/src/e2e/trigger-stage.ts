import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeClient, NAMESPACES, type KubeObject } from '@harikube/kube';
import { watchTriggerManifests } from '@harikube/watch-trigger';
import { EventReceiver } from './event-receiver.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster, type RunningClusterOptions } from './running-cluster.js';
import { TriggerCase } from './trigger-case.js';

/** The namespace of the platform. */
export const PLATFORM = 'harikube-system';

/** A control plane on which triggers are served, and a receiver for what they send. */
export class TriggerStage {
  readonly cluster: RunningCluster;
  readonly client: KubeClient;
  readonly receiver: EventReceiver;
  readonly #flags: readonly string[];
  readonly #cases: TriggerCase[] = [];
  #count = 0;

  private constructor(cluster: RunningCluster, receiver: EventReceiver, kubeconfig: string) {
    this.cluster = cluster;
    this.client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'harikube-test' });
    this.receiver = receiver;
    this.#flags = [`--kubeconfig=${kubeconfig}`, `--namespace=${PLATFORM}`];
    cluster.beforeStop(() => receiver.close());
    cluster.beforeStop(() => this.client.close());
  }

  /** No program runs yet. */
  static async start(options: Pick<RunningClusterOptions, 'name' | 'extraApiServerArgs'>): Promise<TriggerStage> {
    const cluster = await RunningCluster.start({ store: 'router', ...options });
    try {
      await cluster.installCrds();
      const kubeconfig = await cluster.accountKubeconfig(PLATFORM, 'watch-trigger');
      const stage = new TriggerStage(cluster, await EventReceiver.start(), kubeconfig);
      await stage.namespace(PLATFORM);
      await stage.apply(...watchTriggerManifests({ namespace: PLATFORM }));
      return stage;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async namespace(name: string): Promise<void> {
    await this.client.create(NAMESPACES, { metadata: { name } });
  }

  /** As an operator does it. */
  async apply(...items: object[]): Promise<void> {
    const file = join(this.cluster.folder, `apply-${this.#count++}.json`);
    await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    await this.cluster.kubectl.succeed(['apply', '--server-side', '-f', file]);
  }

  /** The program, with the rights of its own account. It ends before the cluster does. */
  launch(...flags: string[]): ProgramProcess {
    const health = flags.some((flag) => flag.startsWith('--health-probe-bind-address')) ? [] : ['--health-probe-bind-address=0'];
    const args = [...this.#flags, ...health, ...flags];
    const program = ProgramProcess.launch({ command: 'watch-trigger', args, logFile: join(this.cluster.folder, 'trigger.log') });
    this.cluster.beforeStop(() => program.kill());
    return program;
  }

  /** A trigger that is to be made, in this namespace, with a name that no other one has. */
  case(namespace = PLATFORM): TriggerCase {
    const one = new TriggerCase({ client: this.client, receiver: this.receiver, name: `case-${this.#count++}`, namespace });
    this.#cases.push(one);
    return one;
  }

  /** Deletes the triggers of all cases. */
  async clear(): Promise<void> {
    await Promise.all(this.#cases.splice(0).map((one) => one.remove()));
  }

  async stop(): Promise<void> {
    await this.cluster.stop();
  }
}

/** A ClusterRole that lets triggers watch a kind. */
export function sourceRole(apiGroup: string, resource: string): object {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: `watched-${resource}`, labels: { 'triggers.harikube.info/aggregate-to-watch-trigger': 'true' } },
    rules: [{ apiGroups: [apiGroup], resources: [resource], verbs: ['get', 'list', 'watch'] }],
  };
}

/** Base64, as the data of Secrets is. */
export function secretOf(name: string, values: Readonly<Record<string, string>>, namespace = PLATFORM): KubeObject & { data: object } {
  const data = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data };
}
