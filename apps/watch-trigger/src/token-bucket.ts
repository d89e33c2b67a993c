import type { Clock } from '@harikube/kube';

export interface TokenBucketOptions {
  readonly clock: Clock;
  readonly perSecond: number;
  readonly burst: number;
}

/** So many in a second, and so many at once after a rest. */
export class TokenBucket {
  readonly #options: TokenBucketOptions;
  #tokens: number;
  #filledAt: number;

  constructor(options: TokenBucketOptions) {
    this.#options = options;
    this.#tokens = options.burst;
    this.#filledAt = options.clock.monotonic();
  }

  /** How long until one may be taken. */
  get waitMs(): number {
    this.#fill();
    return this.#tokens >= 1 ? 0 : Math.ceil(((1 - this.#tokens) / this.#options.perSecond) * 1000);
  }

  /** When `waitMs` is 0. */
  take(): void {
    this.#fill();
    this.#tokens--;
  }

  #fill(): void {
    const { clock, perSecond, burst } = this.#options;
    const now = clock.monotonic();
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) / 1000) * perSecond);
    this.#filledAt = now;
  }
}
