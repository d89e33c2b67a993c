import { ConnectionError, type KubeClient, type KubeObject, type ObjectMeta, type Resource } from '@harikube/kube';
import { eventually } from './eventually.js';

export interface Told {
  /** ADDED, MODIFIED or DELETED. */
  readonly type: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Follows a resource of the namespace `default` and keeps what it is told. */
export class Follower {
  readonly told: Told[] = [];
  readonly #stop = new AbortController();
  #done: Promise<void> = Promise.resolve();

  /** `mayEnd`: kube-apiserver may end the watch, as it does with one that is read too slowly; the next one goes on from there. */
  static async start(client: KubeClient, resource: Resource<KubeObject>, { mayEnd = false } = {}): Promise<Follower> {
    const follower = new Follower();
    const { metadata } = await client.list(resource, { namespace: 'default', limit: 1 });
    follower.#done = follower.#run(client, resource, { from: metadata.resourceVersion ?? '', mayEnd });
    // Told by `close`.
    follower.#done.catch(() => undefined);
    return follower;
  }

  async #run(client: KubeClient, resource: Resource<KubeObject>, { from, mayEnd }: { from: string; mayEnd: boolean }): Promise<void> {
    const { signal } = this.#stop;
    do {
      const resourceVersion = this.told.at(-1)?.resourceVersion ?? from;
      try {
        const options = { namespace: 'default', resourceVersion, timeoutSeconds: 3600, idleLimitMs: 900_000, signal };
        for await (const { type, object } of client.watch(resource, options)) {
          if (type === 'ERROR') throw new Error(`the watch was told ${JSON.stringify(object)}`);
          const { name = '', uid = '', resourceVersion: revision = '' }: ObjectMeta = object.metadata;
          this.told.push({ type, name, uid, resourceVersion: revision });
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!mayEnd || !(error instanceof ConnectionError)) throw error;
      }
    } while (mayEnd);
    throw new Error(`the server ended the watch after ${this.told.length} events`);
  }

  /** Rejects at once when the watch ends before it holds. */
  async until(holds: (told: readonly Told[]) => boolean): Promise<void> {
    await eventually(() => Promise.race([this.#done, Promise.resolve(holds(this.told))]), Boolean);
  }

  /** Rejects with what went wrong. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}
