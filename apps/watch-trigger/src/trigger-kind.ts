import type { HTTPTrigger } from '@harikube/crds';
import {
  type Clock,
  type KubeClient,
  type KubeObject,
  NoSuchKindError,
  type Resource,
  type ResourceDiscovery,
  resourceName,
} from '@harikube/kube';
import { KindArrival } from './kind-arrival.js';
import { newBackoff, RETRY_MOST_MS, textOf } from './retrying.js';
import type { SharedWatches } from './shared-watch.js';
import type { Problem } from './trigger-conditions.js';

const UNKNOWN_KIND_MS = 3000;

export interface TriggerKindOptions {
  readonly trigger: HTTPTrigger;
  readonly client: Pick<KubeClient, 'list' | 'get'>;
  readonly watches: Pick<SharedWatches, 'subscribe'>;
  readonly discovery: Pick<ResourceDiscovery, 'resolve' | 'forget'>;
  readonly clock: Clock;
  readonly random: () => number;
  /** False: a trigger watches its own namespace only. */
  readonly allowsOtherNamespaces: boolean;
  /** Why the trigger cannot watch the kind; null: it can. */
  readonly onProblem: (problem: Problem | null) => void;
}

/** The kind that a trigger watches: whether it is served, and may be watched where the trigger wants to. */
export class TriggerKind {
  constructor(private readonly options: TriggerKindOptions) {}

  /** The resource of the kind, as soon as there is one. */
  async resolve(signal: AbortSignal): Promise<Resource<KubeObject>> {
    const { trigger, client, watches, discovery, clock, random, onProblem } = this.options;
    const { apiVersion, kind } = trigger.spec.resource;
    const backoff = newBackoff(random);
    let arrival: KindArrival | null = null;
    try {
      for (;;) {
        try {
          const resource = await discovery.resolve(apiVersion, kind, signal);
          const problem = this.#placeProblem(resource);
          onProblem(problem);
          if (problem === null) return resource;
          await clock.sleep(RETRY_MOST_MS, signal);
        } catch (error) {
          if (signal.aborted) throw error;
          const isUnknown = error instanceof NoSuchKindError;
          onProblem({ reason: isUnknown ? 'ResourceNotFound' : 'DiscoveryFailed', message: textOf(error) });
          if (isUnknown && arrival === null) {
            arrival = new KindArrival({ apiVersion, kind, client, watches, clock });
            arrival.start();
          }
          if (isUnknown) {
            await arrival?.wait(UNKNOWN_KIND_MS, signal);
            discovery.forget(apiVersion, kind);
          } else {
            await clock.sleep(backoff.next(), signal);
          }
        }
      }
    } finally {
      arrival?.close();
    }
  }

  /** It may be served otherwise by now. */
  forget(): void {
    const { apiVersion, kind } = this.options.trigger.spec.resource;
    this.options.discovery.forget(apiVersion, kind);
  }

  /** Namespaces that make no sense, or that the trigger must not watch. */
  #placeProblem(resource: Resource<KubeObject>): Problem | null {
    const { trigger, allowsOtherNamespaces } = this.options;
    const { namespaces = [] } = trigger.spec;
    if (!resource.namespaced) {
      if (namespaces.length === 0) return null;
      return { reason: 'NotNamespaced', message: `${resourceName(resource)} are in no namespace: leave spec.namespaces out` };
    }
    const { namespace } = trigger.metadata;
    if (allowsOtherNamespaces || (namespaces.length > 0 && namespaces.every((one) => one === namespace))) return null;
    const message = `here a trigger may watch its own namespace only: spec.namespaces has to be ["${namespace}"]`;
    return { reason: 'NamespaceNotAllowed', message };
  }
}
