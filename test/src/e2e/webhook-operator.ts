import { join } from 'node:path';
import { PLATFORM_NAMESPACE, type TopologyConfig } from '@harikube/crds';
import { freePort, loadCertificate } from '@harikube/local-cluster';
import { topologyOperatorManifests } from '@harikube/topology-operator';
import { topologyConfig } from '@harikube/topology-operator/wrong-configs';
import { eventually } from './eventually.js';
import { ProgramProcess } from './program-process.js';
import type { RunningCluster } from './running-cluster.js';

export interface WebhookOperatorOptions {
  readonly cluster: RunningCluster;
  /** Of the router's admin API. */
  readonly routerUrl: string;
  readonly tokenFile: string;
  /** Secrets that it may read beside its target, as `namespace/name`. */
  readonly references: readonly string[];
  readonly flags?: readonly string[];
}

export const DRY_RUN = ['create', '--dry-run=server', '-f', '-'];

/** The topology-operator with its webhook and with the rights of its own account. It ends before the cluster does. */
export class WebhookOperator {
  readonly #cluster: RunningCluster;
  readonly #args: readonly string[];
  readonly #manifests: readonly object[];
  #process: ProgramProcess | null = null;

  private constructor(cluster: RunningCluster, args: readonly string[], manifests: readonly object[]) {
    this.#cluster = cluster;
    this.#args = args;
    this.#manifests = manifests;
  }

  /** Its namespace and that of its target have to be there. Resolves when kube-apiserver asks it. */
  static async start({ cluster, routerUrl, tokenFile, references, flags = [] }: WebhookOperatorOptions): Promise<WebhookOperator> {
    const { folder, certificates } = cluster;
    await loadCertificate(join(folder, 'webhook'), certificates, { file: 'tls', commonName: 'topology-operator', use: 'server' });
    const port = await freePort();
    const args = [
      `--kubeconfig=${await cluster.accountKubeconfig(PLATFORM_NAMESPACE, 'topology-operator')}`,
      `--namespace=${PLATFORM_NAMESPACE}`,
      '--health-probe-bind-address=0',
      `--router-admin-url=${routerUrl}`,
      `--router-admin-token-file=${tokenFile}`,
      `--webhook-bind-address=127.0.0.1:${port}`,
      `--webhook-cert-path=${join(folder, 'webhook')}`,
      '--log-format=json',
      '--debug',
      ...flags,
    ];
    const caBundle = certificates.authority.certificate;
    const url = `https://127.0.0.1:${port}`;
    const manifests = topologyOperatorManifests({ namespace: PLATFORM_NAMESPACE, references, caBundle, url });
    const operator = new WebhookOperator(cluster, args, manifests);
    cluster.beforeStop(() => operator.kill());
    await operator.restart();
    await operator.connect();
    return operator;
  }

  get logFile(): string {
    return join(this.#cluster.folder, 'operator.log');
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#process = null;
  }

  async restart(): Promise<void> {
    await this.kill();
    this.#process = await ProgramProcess.start({ command: 'topology-operator', args: this.#args, logFile: this.logFile });
  }

  /** Resolves when the webhook is asked: kube-apiserver takes up what is configured a little later. */
  async connect(): Promise<void> {
    const { kubectl } = this.#cluster;
    await kubectl.succeed(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: this.#manifests });
    await eventually(
      () => kubectl.run(DRY_RUN, WRONG),
      ({ err }) => err.includes('unknown scheme "redis"'),
    );
  }
}

const WRONG: TopologyConfig = topologyConfig('wrong', [{ name: 'wrong', endpoint: 'redis://db', prefix: { prefix: 'pods' } }]);
