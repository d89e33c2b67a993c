import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunningCluster, type RunningClusterOptions } from '../../e2e/running-cluster.js';
import { NodeStandIn } from './node-stand-in.js';
import { PodNetwork } from './pod-network.js';

export interface ChartClusterOptions extends Omit<RunningClusterOptions, 'serviceRange' | 'controllerManager'> {
  /** Of kube-apiserver's audit log; absent: it writes none. */
  readonly auditPolicy?: object;
}

/** A control plane with one node that runs Pods. */
export class ChartCluster {
  private constructor(
    readonly cluster: RunningCluster,
    readonly node: NodeStandIn,
    readonly network: PodNetwork,
    /** Where kube-apiserver writes down its requests, one JSON text a line, when there is a policy for it. */
    readonly auditLog: string,
  ) {}

  /** Whether this machine can be a node; on a laptop somebody may not be root. With CI=true it has to be one. */
  static get isPossible(): boolean {
    return process.platform === 'linux' && process.getuid?.() === 0;
  }

  /** Resolves when the node is ready; on a failure nothing is left. */
  static async start({ extraApiServerArgs = [], auditPolicy, ...options }: ChartClusterOptions): Promise<ChartCluster> {
    if (!ChartCluster.isPossible) throw new Error('the stand-in of a node needs Linux and root: run this test as root');
    const folder = await mkdtemp(join(tmpdir(), `harikube-${options.name}-node-`));
    const network = await PodNetwork.create(folder);
    let cluster: RunningCluster;
    const auditLog = join(folder, 'audit.log');
    const policyFile = join(folder, 'audit-policy.json');
    const audit = auditPolicy === undefined ? [] : [`--audit-policy-file=${policyFile}`, `--audit-log-path=${auditLog}`];
    try {
      // JSON is YAML.
      if (auditPolicy !== undefined) await writeFile(policyFile, JSON.stringify(auditPolicy));
      cluster = await RunningCluster.start({
        ...options,
        serviceRange: network.serviceRange,
        // Webhooks and aggregated servers are called at the addresses of their Pods.
        extraApiServerArgs: ['--enable-aggregator-routing', ...audit, ...extraApiServerArgs],
      });
    } catch (error) {
      await network.remove();
      throw error;
    }
    const { hostname, port } = new URL(cluster.url);
    const apiServer = { host: hostname, port: Number(port) };
    const node = new NodeStandIn({ kubeconfig: cluster.kubeconfigFile, network, folder, apiServer });
    try {
      await node.start();
    } catch (error) {
      await node.stop().catch(() => undefined);
      await cluster.stop();
      throw error;
    }
    return new ChartCluster(cluster, node, network, auditLog);
  }

  /** Ends the Pods, then the control plane; rejects with what the node could not do. */
  async stop(): Promise<void> {
    try {
      await this.node.stop();
    } finally {
      await this.cluster.stop();
    }
  }
}
