/** One watch that goes on: where the server ends it, or the connection breaks, the next one begins at the last event or bookmark. */
import {
  Backoff,
  type Clock,
  ConnectionError,
  type KubeClient,
  type KubeObject,
  type Resource,
  resourceName,
  type Status,
  StatusError,
  type WatchEvent,
} from '@harikube/kube';

import { type Position, positionOf } from './position.js';
import type { EventType } from './trigger-event.js';

/** What is watched. */
export interface WatchTarget {
  readonly resource: Resource<KubeObject>;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface Change {
  readonly type: EventType;
  /** Without managedFields; shared, and never to be changed. */
  readonly object: KubeObject;
  readonly position: Position;
  /** Milliseconds since 1970. */
  readonly receivedAt: number;
}

/** Is told in the order of the changes. */
export interface WatchSink {
  change(change: Change): void;
  /** Everything up to the position was told. */
  bookmark(position: Position): void;
  /** The server serves the watch. */
  following(): void;
  /** It does not follow at this moment, and goes on trying. */
  trouble(error: Error): void;
  /** The server does not know the changes after the position any more. The watch has ended. */
  gone(error: Error): void;
}

/** Why a watch began anew. */
export type RestartReason = 'ended' | 'cut' | 'expired' | 'refused' | 'failed';

export interface WatchParts {
  readonly client: Pick<KubeClient, 'watch'>;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly onRestart: (target: WatchTarget, reason: RestartReason) => void;
}

const BACKOFF_LEAST_MS = 800;
const BACKOFF_MOST_MS = 30_000;
const WATCH_LEAST_SECONDS = 300;
/** A watch that ends sooner and brought nothing is a failure, however it ended; else it would be opened again and again. */
const SHORT_WATCH_MS = 1000;

export class WatchLoop {
  readonly #target: WatchTarget;
  readonly #sink: WatchSink;
  readonly #parts: WatchParts;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  #position: Position;
  #isFollowing = false;

  constructor(target: WatchTarget, from: Position, sink: WatchSink, parts: WatchParts) {
    this.#target = target;
    this.#sink = sink;
    this.#parts = parts;
    this.#position = from;
    this.#backoff = new Backoff({ leastMs: BACKOFF_LEAST_MS, mostMs: BACKOFF_MOST_MS, random: parts.random });
  }

  /** Of the last event or bookmark. */
  get position(): Position {
    return this.#position;
  }

  get isFollowing(): boolean {
    return this.#isFollowing;
  }

  start(): void {
    void this.#run();
  }

  /** Nothing is told from then on. */
  stop(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const { clock, onRestart } = this.#parts;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const end = await this.#watch();
      if (signal.aborted) return;
      if (end.error === null) {
        onRestart(this.#target, end.reason);
        continue;
      }
      this.#isFollowing = false;
      onRestart(this.#target, end.reason);
      if (end.reason === 'expired') {
        this.#sink.gone(end.error);
        return;
      }
      this.#sink.trouble(end.error);
      const askedForMs = end.error instanceof StatusError ? 1000 * (end.error.retryAfterSeconds ?? 0) : 0;
      await clock.sleep(Math.max(this.#backoff.next(), askedForMs), signal).catch(() => undefined);
    }
  }

  /** `error` null: the next one may begin at once. */
  async #watch(): Promise<{ readonly reason: RestartReason; readonly error: Error | null }> {
    const { client, clock, random } = this.#parts;
    const { signal } = this.#stop;
    const { resource, ...select } = this.#target;
    let openedAt: number | null = null;
    let events = 0;
    const isShort = (): boolean => events === 0 && (openedAt === null || clock.monotonic() - openedAt < SHORT_WATCH_MS);
    const onOpen = (): void => {
      openedAt = clock.monotonic();
      if (signal.aborted || this.#isFollowing) return;
      this.#isFollowing = true;
      this.#sink.following();
    };
    try {
      const stream = client.watch(resource, {
        ...select,
        resourceVersion: String(this.#position),
        allowBookmarks: true,
        exactIntegers: true,
        timeoutSeconds: Math.floor(WATCH_LEAST_SECONDS * (1 + random())),
        onOpen,
        signal,
      });
      for await (const event of stream) {
        if (signal.aborted) break;
        events++;
        this.#tell(event);
      }
      const error = isShort() ? new ConnectionError(`the server ended the watch of ${resourceName(resource)} at once`) : null;
      return { reason: 'ended', error };
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (error instanceof StatusError && (error.isGone || error.isVersionTooLarge)) return { reason: 'expired', error };
      if (error instanceof StatusError && error.code < 500) return { reason: 'refused', error };
      if (error instanceof ConnectionError && !isShort()) return { reason: 'cut', error: null };
      return { reason: 'failed', error };
    }
  }

  #tell(event: WatchEvent<KubeObject>): void {
    const { type } = event;
    if (type === 'ERROR') throw new StatusError(event.object as Status);
    const object: KubeObject = event.object;
    const position = positionOf(object.metadata.resourceVersion);
    this.#backoff.reset();
    if (type === 'BOOKMARK') {
      // A server that lags behind may say an older one for a while.
      if (position < this.#position) return;
      this.#position = position;
      this.#sink.bookmark(position);
      return;
    }
    if (position > this.#position) this.#position = position;
    delete object.metadata.managedFields;
    this.#sink.change({ type, object, position, receivedAt: this.#parts.clock.now() });
  }
}
