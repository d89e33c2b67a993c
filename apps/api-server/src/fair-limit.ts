import { type Clock, systemClock } from '@harikube/kube';
import { tooManyRequests } from './status-answer.js';

export interface FairLimitOptions {
  /** How many may be inside at a time. */
  readonly limit: number;
  /** How many of them one user may be. */
  readonly perUser: number;
  /** How many may wait to come in, and how many of one user. */
  readonly queue: number;
  readonly queuePerUser: number;
  /** Who has waited so long is turned away. */
  readonly queueMs: number;
  readonly clock?: Clock;
}

interface Waiting {
  readonly user: string;
  readonly enter: (leave: () => void) => void;
}

/** Bounds what is done at a time, and sees to it that one user who asks for much does not keep the others from being served. */
export class FairLimit {
  readonly #options: Required<FairLimitOptions>;
  readonly #inside = new Map<string, number>();
  /** In the order of arrival. */
  readonly #waiting = new Set<Waiting>();
  #count = 0;

  constructor({ clock = systemClock, ...options }: FairLimitOptions) {
    this.#options = { ...options, clock };
  }

  get size(): number {
    return this.#count;
  }

  /** Resolves to the function by which to leave; rejects with a 429, or the reason of the signal. */
  async enter(user: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const { limit, queue, queuePerUser, queueMs, clock } = this.#options;
    if (this.#count < limit && this.#mayEnter(user)) return this.#admit(user);
    const ofUser = [...this.#waiting].filter((waiting) => waiting.user === user).length;
    if (this.#waiting.size >= queue || ofUser >= queuePerUser) throw tooManyRequests();
    const entry = Promise.withResolvers<() => void>();
    const waiting: Waiting = { user, enter: entry.resolve };
    const leaveQueue = (error: Error): void => {
      if (this.#waiting.delete(waiting)) entry.reject(error);
    };
    const onAbort = (): void => leaveQueue(new Error('the client is gone'));
    const cancel = clock.setTimeout(() => leaveQueue(tooManyRequests()), queueMs);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(waiting);
    try {
      return await entry.promise;
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
    }
  }

  #admit(user: string): () => void {
    this.#count++;
    this.#inside.set(user, this.#of(user) + 1);
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      this.#count--;
      const left = this.#of(user) - 1;
      if (left === 0) this.#inside.delete(user);
      else this.#inside.set(user, left);
      this.#admitNext();
    };
  }

  /** Who has the fewest inside; among equals, who came first. */
  #admitNext(): void {
    if (this.#count >= this.#options.limit) return;
    let next: Waiting | null = null;
    for (const candidate of this.#waiting) {
      if (this.#mayEnter(candidate.user) && (next === null || this.#of(candidate.user) < this.#of(next.user))) next = candidate;
    }
    if (next === null) return;
    this.#waiting.delete(next);
    next.enter(this.#admit(next.user));
  }

  #mayEnter(user: string): boolean {
    return this.#of(user) < this.#options.perUser;
  }

  #of(user: string): number {
    return this.#inside.get(user) ?? 0;
  }
}
