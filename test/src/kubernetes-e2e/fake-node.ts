import { KubeClient, type KubeObject, LEASES, type Resource } from '@harikube/kube';

const NODES: Resource<KubeObject> = { group: '', version: 'v1', kind: 'Node', plural: 'nodes', namespaced: false };
const NAME = 'fake';
const LEASE_NAMESPACE = 'kube-node-lease';
/** As a kubelet does it; without it for 40 s the node counts as lost. */
const RENEWAL_MS = 10_000;

/** A Node that is only an object: some specs ask how many pods would fit, or for any object of the kind. Nothing runs on it. */
export class FakeNode {
  readonly #client: KubeClient;
  #timer: NodeJS.Timeout | undefined;
  #renewal: Promise<unknown> = Promise.resolve();

  private constructor(client: KubeClient) {
    this.#client = client;
  }

  static async start(kubeconfig: string): Promise<FakeNode> {
    const client = KubeClient.fromConfig({ kubeconfig, userAgent: 'fake-node' });
    const node = new FakeNode(client);
    try {
      const time = new Date().toISOString();
      const ready = { type: 'Ready', status: 'True', reason: 'Fake', message: '', lastHeartbeatTime: time, lastTransitionTime: time };
      const resources = { pods: '110', cpu: '4', memory: '8Gi' };
      const status = { conditions: [ready], capacity: resources, allocatable: resources };
      const object = { metadata: { name: NAME }, status };
      await client.create(NODES, object);
      await client.patch(NODES, NAME, undefined, { status }, { type: 'merge', subresource: 'status' });
      const lease = { metadata: { name: NAME, namespace: LEASE_NAMESPACE }, spec: { ...renewed(), holderIdentity: NAME } };
      await client.create(LEASES, lease);
    } catch (error) {
      await client.close();
      throw error;
    }
    node.#timer = setInterval(() => {
      // A renewal that fails is made good by the next one.
      node.#renewal = client.patch(LEASES, NAME, LEASE_NAMESPACE, { spec: renewed() }, { type: 'merge' }).catch(() => undefined);
    }, RENEWAL_MS);
    return node;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewal;
    await this.#client.close();
  }
}

function renewed(): { readonly renewTime: string; readonly leaseDurationSeconds: number } {
  return { renewTime: new Date().toISOString().replace('Z', '000Z'), leaseDurationSeconds: 40 };
}
