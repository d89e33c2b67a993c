import { type Clock, type InformerHandler, type KubeObject, StatusError, systemClock, traceparentOf } from '@harikube/kube';
import { type Logger, traced } from '@harikube/platform';
import type { Registry } from 'prom-client';
import { randomUUID } from 'node:crypto';
import { isNativeError } from 'node:util/types';
import { aborted } from './aborted.js';
import { ControllerMetrics } from './controller-metrics.js';
import { type Key, keyOf, keyText } from './key.js';
import { type Reconciler, type Result, TerminalError } from './reconciler.js';
import { WorkQueue } from './work-queue.js';

/** Of an `Informer`, what a controller needs of it. */
interface Watched<T extends KubeObject> {
  addHandler(handler: InformerHandler<T>): () => void;
}

/** Objects whose changes call for work. */
export interface Source<T extends KubeObject> {
  readonly informer: Watched<T>;
  /** What to work on when an object comes, changes or goes: the object itself unless told. Of a change both states are asked. */
  readonly mapTo?: (object: T) => readonly Key[];
}

/** A source for each of the kinds: an object of one cannot be handed to the `mapTo` of another. */
export type Sources<Kinds extends readonly KubeObject[]> = { readonly [Index in keyof Kinds]: Source<Kinds[Index]> };

export interface ControllerOptions<Kinds extends readonly KubeObject[]> {
  /** Of the controller in logs and metrics. */
  readonly name: string;
  readonly reconciler: Reconciler;
  readonly sources: Sources<Kinds>;
  /** The object of a key as it is known, for the trace in which it comes to be. Absent: reconciles are traced by nobody. */
  readonly objectOf?: (key: Key) => KubeObject | undefined;
  /** How many objects are worked on at once; 1 unless told. One object is never worked on twice at once. */
  readonly concurrency?: number;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly clock?: Clock;
  /** The longest pause before an object that failed is tried again; 1000 s unless told. */
  readonly longestRetryMs?: number;
  /** The signal of a reconcile aborts after so long; 5 minutes unless told. */
  readonly reconcileTimeoutMs?: number;
}

export interface ControllerSignals {
  /** No reconcile is begun from then on. */
  readonly stop: AbortSignal;
  /** What is under way has to end. */
  readonly abort: AbortSignal;
}

const RECONCILE_TIMEOUT_MS = 300_000;
/** What does not end although it was told to is left behind after so long. */
const ABORT_GRACE_MS = 1000;

/** Runs a reconciler for everything that its sources say has changed. */
export class Controller<Kinds extends readonly KubeObject[] = readonly KubeObject[]> {
  readonly name: string;
  readonly #options: Omit<ControllerOptions<Kinds>, 'sources'>;
  readonly #sources: readonly ((queue: WorkQueue) => () => void)[];
  readonly #clock: Clock;
  readonly #concurrency: number;

  constructor(options: ControllerOptions<Kinds>) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#concurrency = options.concurrency ?? 1;
    this.#sources = options.sources.map((source: Source<Kinds[number]>) => (queue: WorkQueue) => this.#follow(source, queue));
  }

  /**
   * Works until a signal aborts, beginning with everything that the sources hold. Resolves when what was under way has ended, or one second after
   * it was told to.
   */
  async run({ stop, abort }: ControllerSignals): Promise<void> {
    if (stop.aborted || abort.aborted) return;
    const metrics = new ControllerMetrics(this.#options.registry, this.name, this.#concurrency);
    const queue = new WorkQueue({ clock: this.#clock, metrics: metrics.queue, longestRetryMs: this.#options.longestRetryMs });
    metrics.watch(this.name, () => queue.workSeconds);
    const unfollow = this.#sources.map((follow) => follow(queue));
    const workers = Array.from({ length: this.#concurrency }, () => this.#work({ queue, metrics, abort }));
    await Promise.race([aborted(stop, abort), ...workers]);
    for (const end of unfollow) end();
    const isDrained = await this.#drain(queue, abort);
    if (isDrained) await Promise.all(workers);
  }

  /** False: something does not end although it was told to. */
  async #drain(queue: WorkQueue, abort: AbortSignal): Promise<boolean> {
    const late = Promise.withResolvers<false>();
    let cancel = (): void => undefined;
    const hurry = (): void => {
      cancel = this.#clock.setTimeout(() => late.resolve(false), ABORT_GRACE_MS);
    };
    abort.addEventListener('abort', hurry, { once: true });
    if (abort.aborted) hurry();
    const isDrained = await Promise.race([queue.shutDown().then(() => true), late.promise]);
    abort.removeEventListener('abort', hurry);
    cancel();
    if (!isDrained) {
      this.#options.logger.warn('a reconcile does not end although it was told to', { controller: this.name });
    }
    return isDrained;
  }

  #follow<T extends KubeObject>({ informer, mapTo = (object) => [keyOf(object)] }: Source<T>, queue: WorkQueue): () => void {
    const ask = (...states: readonly T[]): void => {
      // Each once: the first may be under way when the second is asked for, which would be one run too many.
      const keys = new Map(states.flatMap(mapTo).map((key) => [keyText(key), key]));
      for (const key of keys.values()) queue.add(key);
    };
    return informer.addHandler({ onAdd: ask, onUpdate: ask, onDelete: ask });
  }

  async #work(parts: Parts): Promise<void> {
    for (let key = await parts.queue.next(); key !== null; key = await parts.queue.next()) {
      try {
        await this.#reconcile(key, parts);
      } finally {
        parts.queue.done(key);
      }
    }
  }

  async #reconcile(key: Key, parts: Parts): Promise<void> {
    const { name, namespace } = key;
    const object = namespace === undefined ? { name } : { namespace, name };
    const logger = this.#options.logger.child({ controller: this.name, ...object, reconcileID: randomUUID() });
    const { abort, metrics } = parts;
    const running = new AbortController();
    const relay = (): void => running.abort(abort.reason);
    abort.addEventListener('abort', relay, { once: true });
    const timeoutMs = this.#options.reconcileTimeoutMs ?? RECONCILE_TIMEOUT_MS;
    const cancel = this.#clock.setTimeout(() => {
      metrics.count('timeouts');
      running.abort(new Error(`it took longer than ${timeoutMs / 1000} seconds`));
    }, timeoutMs);
    const began = this.#clock.monotonic();
    metrics.began();
    let ending: Ending;
    try {
      ending = { result: await this.#traced(key, () => this.#options.reconciler.reconcile(key, { signal: running.signal, logger })) };
    } catch (error) {
      ending = { error };
    }
    cancel();
    abort.removeEventListener('abort', relay);
    metrics.ended((this.#clock.monotonic() - began) / 1000);
    this.#conclude(key, ending, { ...parts, logger });
  }

  #traced(key: Key, work: () => Promise<Result>): Promise<Result> {
    const object = this.#options.objectOf?.(key);
    const parent = object === undefined ? undefined : traceparentOf(object, this.#clock.now());
    const { name, namespace = '' } = key;
    const attributes = { 'k8s.namespace.name': namespace, 'harikube.object.name': name, 'harikube.object.uid': object?.metadata.uid ?? '' };
    return traced({ name: `reconcile ${this.name}`, kind: 'internal', parent, isPart: true, attributes }, work);
  }

  /** The one place that decides what becomes of a reconcile, counts it and logs it. */
  #conclude(key: Key, ending: Ending, { queue, metrics, abort, logger }: Parts & { readonly logger: Logger }): void {
    if ('result' in ending) {
      const { requeueAfterMs } = ending.result;
      if (requeueAfterMs === undefined) {
        queue.forget(key);
        metrics.outcome('success');
      } else if (requeueAfterMs > 0) {
        // A wait that is wanted ends a row of failures.
        queue.forget(key);
        queue.addAfter(key, requeueAfterMs);
        metrics.outcome('requeue_after');
      } else {
        queue.addRateLimited(key);
        metrics.outcome('requeue');
      }
      return;
    }
    const err = errorOf(ending.error);
    if (abort.aborted) {
      // Broken off, not failed: whoever works on the object next finds what is left to do.
      logger.debug('the reconcile was broken off', { err });
    } else if (err instanceof StatusError && err.isConflict) {
      queue.addRateLimited(key);
      metrics.outcome('requeue');
      logger.debug('the object has changed meanwhile, once more', { reason: err.message });
    } else if (err instanceof TerminalError) {
      queue.forget(key);
      metrics.outcome('error');
      metrics.count('errors');
      metrics.count('terminalErrors');
      logger.error('the reconcile failed for good, until the object changes', { err });
    } else {
      queue.addRateLimited(key);
      metrics.outcome('error');
      metrics.count('errors');
      if (isPanic(ending.error)) {
        metrics.count('panics');
        logger.error('the reconciler has a fault; it is tried again', { err });
      } else {
        logger.warn('the reconcile failed, it is tried again', { err, failures: queue.failures(key) });
      }
    }
  }
}

interface Parts {
  readonly queue: WorkQueue;
  readonly metrics: ControllerMetrics;
  readonly abort: AbortSignal;
}

type Ending = { readonly result: Result } | { readonly error: unknown };

/** What is thrown by mistake and not by decision: Go's panic. */
function isPanic(error: unknown): boolean {
  return !isNativeError(error) || ['TypeError', 'RangeError', 'ReferenceError'].includes(error.name);
}

function errorOf(error: unknown): Error {
  return isNativeError(error) ? error : new Error('the reconciler threw what is no error', { cause: error });
}
