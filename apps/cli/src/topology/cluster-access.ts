import { TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { ConnectionError, KubeClient, StatusError } from '@harikube/kube';
import { SetupError } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { packageVersion } from '../repository.js';

/** Flags that say which cluster is asked, and as whom; kubectl's own spellings. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

/** A cluster for the length of one command. */
export interface Cluster {
  readonly client: KubeClient;
  /** What was warned of since this was asked last. */
  readonly takeWarnings: () => string[];
}

/** Runs a command against a cluster. Rejects with a `SetupError` where the cluster refuses or does not answer. */
export async function inCluster<T>(flags: ClusterFlags, env: Env, run: (cluster: Cluster) => Promise<T>): Promise<T> {
  let warnings: string[] = [];
  const client = KubeClient.fromConfig({
    kubeconfig: flags.kubeconfig ?? (env['KUBECONFIG'] || undefined),
    context: flags.context,
    userAgent: `kubectl-harikube/${packageVersion()}`,
    onWarning: (text) => void warnings.push(text),
  });
  const takeWarnings = (): string[] => {
    const taken = warnings;
    warnings = [];
    return taken;
  };
  try {
    return await run({ client, takeWarnings });
  } catch (error) {
    throw explained(error, client);
  } finally {
    await client.close();
  }
}

/** The TopologyConfigs of a namespace, or of all. */
export async function listConfigs(client: KubeClient, namespace: string | undefined): Promise<TopologyConfig[]> {
  try {
    return (await client.list(TOPOLOGY_CONFIGS, { namespace })).items;
  } catch (error) {
    if (!(error instanceof StatusError) || !error.isNotFound) throw error;
    throw new SetupError(
      `the cluster at ${client.server.origin} knows no TopologyConfig: install the CustomResourceDefinition topologyconfigs.harikube.info first`,
      { cause: error },
    );
  }
}

/** As kubectl says it. */
export function refusalText({ reason, code, message }: StatusError): string {
  return `the server refuses (${reason === '' ? code : reason}): ${message}`;
}

function explained(error: unknown, client: KubeClient): unknown {
  if (error instanceof StatusError) return new SetupError(refusalText(error), { cause: error });
  if (!(error instanceof ConnectionError)) return error;
  return new SetupError(`the API server at ${client.server.origin} does not answer: ${reasonOf(error)}`, { cause: error });
}

function reasonOf(error: Error): string {
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  // An error of several addresses has no message of its own.
  return cause.message !== '' ? cause.message : 'code' in cause ? String(cause.code) : error.message;
}
