import { type SecretReference, TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { ifFound, type KubeClient, SECRETS, StatusError } from '@harikube/kube';
import { UnresolvedReferenceError } from '../config-document.js';
import type { MergedEntry } from '../merge-topology.js';
import { entriesOf, isOurs, type Secret } from '../merged-secret.js';
import type { TopologyObjects } from './topology-config-admission.js';

/**
 * Asks the API server at each question: what was written a moment ago by the same `kubectl apply` counts, TopologyConfigs are few, and they are
 * seldom written.
 */
export class KubeTopologyObjects implements TopologyObjects {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async configsOf(target: string, signal: AbortSignal): Promise<readonly TopologyConfig[]> {
    const { items } = await this.#client.list(TOPOLOGY_CONFIGS, { fieldSelector: `spec.targetSecret=${target}`, signal });
    return items;
  }

  async entriesOf(target: string, signal: AbortSignal): Promise<readonly MergedEntry[]> {
    const [namespace = '', name = ''] = target.split('/');
    const secret = await this.#secret(namespace, name, signal);
    if (secret === null) return [];
    if (isOurs(secret)) return entriesOf(secret).entries;
    throw new UnresolvedReferenceError(
      `the Secret ${target} holds what no operator has made, and stays as it is; choose another target, or delete it`,
    );
  }

  async valueOf({ namespace, name, key }: SecretReference, signal: AbortSignal): Promise<Buffer> {
    const secret = await this.#secret(namespace, name, signal);
    if (secret === null) throw new UnresolvedReferenceError(`the Secret ${namespace}/${name} does not exist`);
    const value = secret.data?.[key];
    if (value === undefined) throw new UnresolvedReferenceError(`the Secret ${namespace}/${name} has no key "${key}"`);
    return Buffer.from(value, 'base64');
  }

  async #secret(namespace: string, name: string, signal: AbortSignal): Promise<Secret | null> {
    try {
      return await ifFound(this.#client.get<Secret>(SECRETS, name, namespace, { signal }));
    } catch (error) {
      if (!(error instanceof StatusError) || !error.isForbidden) throw error;
      const remedy = 'give the account of the operator a Role there that allows get, list and watch of this name';
      throw new UnresolvedReferenceError(`the operator may not read the Secret ${namespace}/${name}; ${remedy}`, { cause: error });
    }
  }
}
