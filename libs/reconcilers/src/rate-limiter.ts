import type { Clock } from '@harikube/kube';

const FIRST_DELAY_MS = 5;
/** Of one item, unless told otherwise. */
const LONGEST_DELAY_MS = 1_000_000;
const BUCKET_PER_SECOND = 10;
const BUCKET_SIZE = 100;

/**
 * How long a retry waits, as controller-runtime's default has it: an item the longer the more often it failed, 5 ms doubling to 1000 s, and all of
 * them together 10 in a second once 100 have passed.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #longestDelayMs: number;
  readonly #failures = new Map<string, number>();
  /** Below zero: so many wait for theirs. */
  #tokens = BUCKET_SIZE;
  #filledAt: number;

  constructor(clock: Clock, longestDelayMs = LONGEST_DELAY_MS) {
    this.#clock = clock;
    this.#longestDelayMs = longestDelayMs;
    this.#filledAt = clock.monotonic();
  }

  /** The milliseconds that an item waits which has failed once more. */
  next(item: string): number {
    const failures = this.#failures.get(item) ?? 0;
    this.#failures.set(item, failures + 1);
    return Math.max(Math.min(FIRST_DELAY_MS * 2 ** failures, this.#longestDelayMs), this.#take());
  }

  /** The item has come to a good end. */
  forget(item: string): void {
    this.#failures.delete(item);
  }

  failures(item: string): number {
    return this.#failures.get(item) ?? 0;
  }

  #take(): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(BUCKET_SIZE, this.#tokens + ((now - this.#filledAt) / 1000) * BUCKET_PER_SECOND) - 1;
    this.#filledAt = now;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / BUCKET_PER_SECOND) * 1000;
  }
}
