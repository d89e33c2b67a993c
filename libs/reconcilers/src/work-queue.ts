// What has to be worked on, each item once however often it is asked for: one that is asked for while it is worked on waits until that is done, and
// then comes again, once. The order is that of asking, and one that comes again stands behind all the others.

import type { Clock } from '@harikube/kube';
import { type Key, keyText } from './key.js';
import { RateLimiter } from './rate-limiter.js';

/** What is told of a queue as it goes. Times are seconds. */
export interface WorkQueueMetrics {
  depth(items: number): void;
  added(): void;
  /** An item has waited so long. */
  taken(waited: number): void;
  /** An item was worked on so long. */
  done(worked: number): void;
  retried(): void;
}

interface Waiting {
  readonly key: Key;
  readonly since: number;
}

interface Delayed {
  readonly due: number;
  readonly cancel: () => void;
}

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly metrics?: WorkQueueMetrics;
  /** The longest pause before an item that failed comes again; 1000 s unless told. */
  readonly longestRetryMs?: number;
}

export class WorkQueue {
  readonly #clock: Clock;
  readonly #metrics: WorkQueueMetrics | undefined;
  readonly #limiter: RateLimiter;
  /** In the order of their turns. */
  readonly #queued = new Map<string, Waiting>();
  /** Since when each is worked on. */
  readonly #processing = new Map<string, number>();
  /** Asked for while they are worked on. */
  readonly #again = new Map<string, Waiting>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #workers: ((key: Key | null) => void)[] = [];
  #isShutDown = false;
  readonly #idle = Promise.withResolvers<void>();

  constructor({ clock, metrics, longestRetryMs }: WorkQueueOptions) {
    this.#clock = clock;
    this.#metrics = metrics;
    this.#limiter = new RateLimiter(clock, longestRetryMs);
  }

  /** How many wait for their turn. */
  get depth(): number {
    return this.#queued.size + this.#again.size;
  }

  /** How often an item failed since it was forgotten last. */
  failures(key: Key): number {
    return this.#limiter.failures(keyText(key));
  }

  /** How long each item is worked on by now, in seconds. */
  get workSeconds(): readonly number[] {
    const now = this.#clock.monotonic();
    return [...this.#processing.values()].map((since) => (now - since) / 1000);
  }

  /** Asks for an item. Nothing happens when it waits already, or after `shutDown`. */
  add(key: Key): void {
    const item = keyText(key);
    if (this.#isShutDown || this.#queued.has(item) || this.#again.has(item)) return;
    const list = this.#processing.has(item) ? this.#again : this.#queued;
    list.set(item, { key, since: this.#clock.monotonic() });
    this.#metrics?.added();
    this.#metrics?.depth(this.depth);
    this.#handOut();
  }

  /** Asks for an item when the time has passed. Of several such times the earliest counts. */
  addAfter(key: Key, milliseconds: number): void {
    if (this.#isShutDown) return;
    this.#metrics?.retried();
    this.#delay(key, this.#clock.monotonic() + milliseconds);
  }

  /** Asks for an item that has failed, later from time to time. */
  addRateLimited(key: Key): void {
    if (this.#isShutDown) return;
    this.addAfter(key, this.#limiter.next(keyText(key)));
  }

  /** The item has come to a good end: its next failure is its first. */
  forget(key: Key): void {
    this.#limiter.forget(keyText(key));
  }

  /** The item whose turn it is, as soon as there is one. Null: the queue is shut down. Each has to be given back by `done`. */
  next(): Promise<Key | null> {
    if (this.#isShutDown) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#workers.push(resolve);
      this.#handOut();
    });
  }

  /** The work on an item has ended, well or not. */
  done(key: Key): void {
    const item = keyText(key);
    const since = this.#processing.get(item);
    if (since === undefined) return;
    this.#processing.delete(item);
    this.#metrics?.done((this.#clock.monotonic() - since) / 1000);
    const again = this.#again.get(item);
    if (again !== undefined) {
      this.#again.delete(item);
      this.#queued.set(item, again);
    }
    if (this.#isShutDown) this.#settle();
    else this.#handOut();
  }

  /** Hands out nothing more, whatever waits. Resolves when what was handed out is done. */
  shutDown(): Promise<void> {
    this.#isShutDown = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const worker of this.#workers.splice(0)) worker(null);
    this.#settle();
    return this.#idle.promise;
  }

  #settle(): void {
    this.#queued.clear();
    this.#again.clear();
    this.#metrics?.depth(0);
    if (this.#processing.size === 0) this.#idle.resolve();
  }

  #delay(key: Key, due: number): void {
    const item = keyText(key);
    const earlier = this.#delayed.get(item);
    if (earlier !== undefined && earlier.due <= due) return;
    earlier?.cancel();
    this.#delayed.delete(item);
    const wait = due - this.#clock.monotonic();
    if (wait <= 0) {
      this.add(key);
      return;
    }
    const cancel = this.#clock.setTimeout(() => {
      this.#delayed.delete(item);
      // Timers of a real clock have a longest time, and come early then.
      this.#delay(key, due);
    }, wait);
    this.#delayed.set(item, { due, cancel });
  }

  #handOut(): void {
    for (const [item, { key, since }] of this.#queued) {
      const worker = this.#workers.shift();
      if (worker === undefined) return;
      const now = this.#clock.monotonic();
      this.#queued.delete(item);
      this.#processing.set(item, now);
      this.#metrics?.taken((now - since) / 1000);
      this.#metrics?.depth(this.depth);
      worker(key);
    }
  }
}
