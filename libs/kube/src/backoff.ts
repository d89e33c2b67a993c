export interface BackoffOptions {
  readonly leastMs: number;
  readonly mostMs: number;
  /** From 0 up to 1. */
  readonly random?: () => number;
}

/** How long to wait before the next attempt: twice as long each time, and then up to twice that, so that many clients do not come together. */
export class Backoff {
  readonly #options: BackoffOptions;
  #baseMs: number;

  constructor(options: BackoffOptions) {
    this.#options = options;
    this.#baseMs = options.leastMs;
  }

  next(): number {
    const { mostMs, random = Math.random } = this.#options;
    const waitMs = Math.min(mostMs, this.#baseMs * (1 + random()));
    this.#baseMs = Math.min(mostMs, 2 * this.#baseMs);
    return waitMs;
  }

  reset(): void {
    this.#baseMs = this.#options.leastMs;
  }
}
