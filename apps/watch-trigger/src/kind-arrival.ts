import { type Clock, type KubeClient, type KubeObject, type Resource } from '@harikube/kube';
import { positionOf } from './position.js';
import type { SharedWatches, Subscription } from './shared-watch.js';

interface CustomResourceDefinition extends KubeObject {
  readonly spec?: { readonly group?: string; readonly names?: { readonly kind?: string } };
}

const CUSTOM_RESOURCE_DEFINITIONS: Resource<KubeObject> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
};

export interface KindArrivalOptions {
  readonly apiVersion: string;
  readonly kind: string;
  readonly client: Pick<KubeClient, 'list'>;
  readonly watches: Pick<SharedWatches, 'subscribe'>;
  readonly clock: Clock;
}

/** The wait for a kind that is not there yet: by a watch of CustomResourceDefinitions where the program may read them, else by time alone. */
export class KindArrival {
  readonly #options: KindArrivalOptions;
  readonly #end = new AbortController();
  #subscription: Subscription | null = null;
  #wake: () => void = () => undefined;

  constructor(options: KindArrivalOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#watch();
  }

  /** Resolves when a definition of the kind was written, at the latest after the time. Rejects with the reason of the signal. */
  async wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    const arrived = new AbortController();
    this.#wake = () => arrived.abort();
    await this.#options.clock.sleep(milliseconds, AbortSignal.any([signal, arrived.signal])).catch(() => undefined);
    signal.throwIfAborted();
  }

  close(): void {
    this.#end.abort();
    this.#subscription?.close();
  }

  async #watch(): Promise<void> {
    const { client, watches, apiVersion, kind } = this.#options;
    const { signal } = this.#end;
    const group = apiVersion.split('/').at(-2) ?? '';
    try {
      const { metadata } = await client.list(CUSTOM_RESOURCE_DEFINITIONS, { limit: 1, signal });
      if (signal.aborted) return;
      const ignore = (): void => undefined;
      this.#subscription = watches.subscribe({ resource: CUSTOM_RESOURCE_DEFINITIONS }, positionOf(metadata.resourceVersion), {
        change: ({ object }) => {
          const { spec } = object as CustomResourceDefinition;
          if (spec?.group === group && spec.names?.kind === kind) this.#wake();
        },
        bookmark: ignore,
        following: ignore,
        trouble: ignore,
        // Time is left.
        gone: ignore,
      });
    } catch {
      // Not allowed, or not at this moment: what time brings is enough.
    }
  }
}
