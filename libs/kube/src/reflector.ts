/**
 * Follows the objects of a resource, as client-go's reflector does. All that was there comes first: in a watch that sends it and then goes on
 * (sendInitialEvents), or in a list when the server knows no such watch. The version from which a watch goes on after it ended is that of the last
 * live event or bookmark. When that version is too old for the server, everything is loaded again, and the difference is told.
 */
import type { Logger } from '@harikube/platform';
import type { Counter } from 'prom-client';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import type { KubeClient, SelectOptions, WatchOptions } from './kube-client.js';
import { type KubeObject, type ObjectMeta, type Resource, resourceName, type WatchEvent } from './kube-object.js';
import { ConnectionError, isStatus, StatusError } from './status-error.js';
import { TimeLimit } from './time-limit.js';

const PAGE_SIZE = 500;
const BACKOFF_LEAST_MS = 800;
const BACKOFF_MOST_MS = 30_000;
const WATCH_LEAST_SECONDS = 300;
/** A watch that ends sooner and brought nothing is a failure, however it ended; else it would be opened again and again. */
const SHORT_WATCH_MS = 1000;
/** A server that leaves sendInitialEvents aside says nothing then, or never says that the initial events are complete. */
const INITIAL_SILENCE_MS = 10_000;
const INITIAL_LIMIT_MS = 60_000;
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

export interface ReflectorSink<T> {
  /** Everything that there is. */
  replace(objects: readonly T[]): void;
  set(object: T): void;
  remove(object: T): void;
}

export interface ReflectorMetrics {
  readonly lists: Counter<'resource'>;
  readonly watches: Counter<'resource'>;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  readonly select: Pick<SelectOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;
  readonly sink: ReflectorSink<T>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: ReflectorMetrics;
  readonly random: () => number;
}

/** The server does not serve the initial events in a watch. */
class NoInitialEventsError extends Error {
  override readonly name = 'NoInitialEventsError';
}

export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #backoff: Backoff;
  /** Of the last live event, bookmark or complete load; null: everything is to be loaded. */
  #version: string | null = null;
  /** Where a load begins: no older than what was seen. Empty: what is newest. */
  #loadVersion = '';
  #hasInitialEvents = true;
  #trouble: Error | null = null;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#backoff = new Backoff({ leastMs: BACKOFF_LEAST_MS, mostMs: BACKOFF_MOST_MS, random: options.random });
  }

  /** Why it does not follow at this moment; null: it does. */
  get trouble(): Error | null {
    return this.#trouble;
  }

  /** Resolves when the signal aborts; until then it goes on, whatever the server does. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      try {
        if (this.#version !== null) await this.#watch(this.#version, signal);
        else if (this.#hasInitialEvents) await this.#watchFromStart(signal);
        else await this.#list(signal);
      } catch (error) {
        if (signal.aborted) return;
        const waitMs = this.#afterFailure(error);
        if (waitMs > 0) await clock.sleep(waitMs, signal).catch(() => undefined);
      }
    }
  }

  async #watch(version: string, signal: AbortSignal): Promise<void> {
    const stream = new StreamLife(this.#options.clock);
    try {
      for await (const event of this.#events({ resourceVersion: version, onOpen: stream.open, signal })) {
        stream.events++;
        this.#live(event);
      }
    } catch (error) {
      // Cut, or silent for too long: the next watch goes on where this one ended.
      if (!(error instanceof ConnectionError) || stream.isShort) throw error;
    }
    if (stream.isShort) throw new ConnectionError('the server ended the watch at once');
    this.#isFine();
  }

  /** Everything, the sign that it is complete, and then what happens, in one stream. */
  async #watchFromStart(signal: AbortSignal): Promise<void> {
    const { clock, sink } = this.#options;
    const stream = new StreamLife(clock);
    const limit = new TimeLimit(clock, signal);
    const wait = (): void => {
      const leftMs = INITIAL_LIMIT_MS - stream.ageMs;
      limit.restart(Math.min(INITIAL_SILENCE_MS, leftMs), () => new NoInitialEventsError('the initial events do not come to their end'));
    };
    const onOpen = (): void => {
      stream.open();
      wait();
    };
    const initial = { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan', resourceVersion: this.#loadVersion } as const;
    let objects: Map<string, T> | null = new Map();
    try {
      for await (const event of this.#events({ ...initial, onOpen, signal: limit.signal })) {
        if (objects === null) {
          stream.events++;
          this.#live(event);
        } else if (isInitialEventsEnd(event)) {
          limit.pause();
          this.#loaded([...objects.values()], metadataOf(event).resourceVersion ?? '', sink);
          objects = null;
        } else {
          wait();
          collect(event, objects);
        }
      }
    } catch (error) {
      if (!(error instanceof ConnectionError) || objects !== null || stream.isShort) throw error;
    } finally {
      limit.close();
    }
    if (objects !== null) throw new NoInitialEventsError('the server ended the watch before the initial events were complete');
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, resource, select, sink, metrics } = this.#options;
    const from = this.#loadVersion === '' ? {} : ({ resourceVersion: this.#loadVersion, resourceVersionMatch: 'NotOlderThan' } as const);
    metrics?.lists.inc({ resource: resourceName(resource) });
    let page = await client.list(resource, { ...select, ...from, limit: PAGE_SIZE, signal });
    let objects = page.items;
    while (page.metadata.continue !== undefined && page.metadata.continue !== '') {
      try {
        page = await client.list(resource, { ...select, limit: PAGE_SIZE, continue: page.metadata.continue, signal });
        objects = objects.concat(page.items);
      } catch (error) {
        if (!(error instanceof StatusError) || !error.isGone) throw error;
        // It took so long that the version of the first page is compacted. In one piece it is of one version.
        page = await client.list(resource, { ...select, ...from, signal });
        objects = page.items;
      }
    }
    for (const object of objects) delete object.metadata.managedFields;
    this.#loaded(objects, page.metadata.resourceVersion ?? '', sink);
  }

  #loaded(objects: readonly T[], version: string, sink: ReflectorSink<T>): void {
    this.#version = version;
    sink.replace(objects);
    this.#isFine();
  }

  #events(options: WatchOptions): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { client, resource, select, metrics, random } = this.#options;
    metrics?.watches.inc({ resource: resourceName(resource) });
    const timeoutSeconds = Math.floor(WATCH_LEAST_SECONDS * (1 + random()));
    return client.watch(resource, { ...select, allowBookmarks: true, timeoutSeconds, ...options });
  }

  #live(event: WatchEvent<T>): void {
    const { sink } = this.#options;
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        sink.set(objectOf(event));
        break;
      case 'DELETED':
        sink.remove(objectOf(event));
        break;
      case 'BOOKMARK':
        break;
      case 'ERROR':
        throw failureOf(event);
    }
    this.#version = metadataOf(event).resourceVersion ?? this.#version;
    this.#backoff.reset();
    this.#isFine();
  }

  #isFine(): void {
    if (this.#trouble !== null) this.#options.logger.info('following the resource again');
    this.#trouble = null;
  }

  /** Decides where to go on; how long to wait before that. */
  #afterFailure(error: unknown): number {
    const { logger } = this.#options;
    const isRefusal = error instanceof StatusError && (error.code === 400 || error.isInvalid);
    if (this.#version === null && this.#hasInitialEvents && (isRefusal || error instanceof NoInitialEventsError)) {
      this.#hasInitialEvents = false;
      logger.debug('the server does not send initial events in a watch; listing', { reason: error.message });
      return 0;
    }
    if (error instanceof StatusError && (error.isGone || error.isVersionTooLarge || isRefusal)) {
      // No older than what was seen, if the server has that at all.
      const isKnown = error.isGone && this.#version !== null;
      this.#loadVersion = isKnown ? (this.#version ?? '') : '';
      this.#version = null;
    }
    const waitMs = this.#backoff.next();
    if (error instanceof StatusError && error.isGone) {
      logger.debug('the version is too old; loading everything again', { reason: error.message });
      return waitMs;
    }
    const cause = error instanceof Error ? error : new Error(String(error));
    if (this.#trouble === null) logger.warn('cannot follow the resource; trying again', { reason: cause.message });
    else logger.debug('cannot follow the resource; trying again', { reason: cause.message });
    this.#trouble = cause;
    return error instanceof StatusError ? Math.max(waitMs, 1000 * (error.retryAfterSeconds ?? 0)) : waitMs;
  }
}

/** Whether a stream served at all. */
class StreamLife {
  readonly #clock: Clock;
  #opened: number | null = null;
  events = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly open = (): void => {
    this.#opened = this.#clock.monotonic();
  };

  get ageMs(): number {
    return this.#opened === null ? 0 : this.#clock.monotonic() - this.#opened;
  }

  get isShort(): boolean {
    return this.events === 0 && this.ageMs < SHORT_WATCH_MS;
  }
}

function objectOf<T extends KubeObject>({ object }: WatchEvent<T>): T {
  const own = object as T;
  delete own.metadata.managedFields;
  return own;
}

function metadataOf<T extends KubeObject>({ object }: WatchEvent<T>): ObjectMeta {
  return object.metadata;
}

function failureOf<T extends KubeObject>({ object }: WatchEvent<T>): Error {
  return isStatus(object) ? new StatusError(object) : new ConnectionError('the watch ended with an error that is no Status');
}

function isInitialEventsEnd<T extends KubeObject>(event: WatchEvent<T>): boolean {
  return event.type === 'BOOKMARK' && metadataOf(event).annotations?.[INITIAL_EVENTS_END] === 'true';
}

/** Before the initial events are complete: their versions are in no order. */
function collect<T extends KubeObject>(event: WatchEvent<T>, objects: Map<string, T>): void {
  if (event.type === 'ERROR') throw failureOf(event);
  if (event.type === 'BOOKMARK') return;
  const object = objectOf(event);
  const key = `${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''}`;
  if (event.type === 'DELETED') objects.delete(key);
  else objects.set(key, object);
}
