import { createLogger, type Logger } from '@harikube/platform';
import { Counter, type Registry } from 'prom-client';
import { abortReason, type Clock, systemClock } from './clock.js';
import { Informer, type InformerOptions } from './informer.js';
import type { KubeClient } from './kube-client.js';
import { apiVersionOf, type KubeObject, type Resource, resourceName } from './kube-object.js';
import type { ReflectorMetrics } from './reflector.js';

export interface InformerFactoryOptions {
  readonly clock?: Clock;
  /** Absent: plain text on standard error. */
  readonly logger?: Logger;
  /** Gets reflector_lists_total{resource} and reflector_watches_total{resource}. */
  readonly registry?: Registry;
  /** From 0 up to 1. */
  readonly random?: () => number;
}

const SYNC_TIMEOUT_MS = 120_000;

/** The informers of a program: one for each resource, namespace and selectors, whoever asks. */
export class InformerFactory {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: ReflectorMetrics | undefined;
  readonly #random: () => number;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  readonly #running = new Set<Promise<void>>();
  #signal: AbortSignal | null = null;

  constructor(client: KubeClient, { clock = systemClock, logger, registry, random = Math.random }: InformerFactoryOptions = {}) {
    this.#client = client;
    this.#clock = clock;
    this.#random = random;
    this.#logger = logger ?? createLogger({ format: 'plain', debug: false });
    this.#metrics = registry === undefined ? undefined : reflectorMetrics(registry);
  }

  /** Starts with `run`, or at once when that runs. Who asks with another `resyncMs` gets another one. */
  informer<T extends KubeObject>(resource: Resource<T>, options: InformerOptions = {}): Informer<T> {
    const { namespace, labelSelector, fieldSelector, resyncMs } = options;
    const key = JSON.stringify([apiVersionOf(resource), resource.plural, namespace, labelSelector, fieldSelector, resyncMs]);
    const known = this.#informers.get(key);
    // The key holds the resource, and a resource has one type.
    if (known !== undefined) return known as unknown as Informer<T>;
    const parts = { client: this.#client, clock: this.#clock, logger: this.#logger, metrics: this.#metrics, random: this.#random };
    const informer = new Informer(resource, options, parts);
    this.#informers.set(key, informer as unknown as Informer<KubeObject>);
    if (this.#signal !== null) this.#start(informer, this.#signal);
    return informer;
  }

  /** Resolves when the signal has aborted and all informers have ended. Once. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#signal !== null) throw new Error('the informers run already');
    this.#signal = signal;
    for (const informer of this.#informers.values()) this.#start(informer, signal);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.all(this.#running);
  }

  /** Throws a sentence that names those that are not synced in time, and why. */
  async awaitSynced(signal: AbortSignal, timeoutMs = SYNC_TIMEOUT_MS): Promise<void> {
    const ended = Promise.withResolvers<never>();
    const abort = (): void => ended.reject(abortReason(signal));
    const cancel = this.#clock.setTimeout(() => ended.reject(this.#lateness(timeoutMs)), timeoutMs);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    try {
      // Some may be asked for meanwhile.
      while (!this.isSynced) {
        const all = [...this.#informers.values()].map(({ synced }) => synced);
        await Promise.race([Promise.all(all), ended.promise]);
      }
    } finally {
      cancel();
      signal.removeEventListener('abort', abort);
      ended.promise.catch(() => undefined);
    }
  }

  get isSynced(): boolean {
    return [...this.#informers.values()].every(({ isSynced }) => isSynced);
  }

  #start<T extends KubeObject>(informer: Informer<T>, signal: AbortSignal): void {
    const running = informer.run(signal).catch((error: unknown) => {
      this.#logger.error('an informer ended', { resource: resourceName(informer.resource), err: error });
    });
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
  }

  #lateness(timeoutMs: number): Error {
    const late = [...this.#informers.values()].filter(({ isSynced }) => !isSynced);
    const names = late.map(({ resource, trouble }) => `${resourceName(resource)}${trouble === null ? '' : ` (${trouble.message})`}`);
    return new Error(`the caches are not filled after ${timeoutMs / 1000} s: ${names.join(', ')}`);
  }
}

function reflectorMetrics(registry: Registry): ReflectorMetrics {
  const counter = (name: string, help: string): Counter<'resource'> => {
    const known = registry.getSingleMetric(name);
    return known instanceof Counter ? known : new Counter({ name, help, labelNames: ['resource'], registers: [registry] });
  };
  return {
    lists: counter('reflector_lists_total', 'Lists of a resource that fill a cache'),
    watches: counter('reflector_watches_total', 'Watches of a resource that fill a cache and follow it'),
  };
}
