import type { Clock } from '@harikube/kube';

export interface CircuitBreakerOptions {
  readonly clock: Clock;
  /** The first pause is twice this. */
  readonly leastPauseMs: number;
  readonly mostPauseMs: number;
}

/** What an attempt says about its destination: it answered, it did not or is broken, or the attempt never came to it. */
export type Sign = 'up' | 'down' | 'none';

/** So many attempts in a row. */
const THRESHOLD = 5;

/** Spares a destination that is down: after five failures in a row nothing is sent for a pause, then one attempt finds out; each pause is twice as long. */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  #failures = 0;
  #pauses = 0;
  /** When the pause is over; null: closed. */
  #openUntil: number | null = null;
  #isProbing = false;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  /** Since the destination did not answer last. */
  get isOpen(): boolean {
    return this.#openUntil !== null;
  }

  /** How long until an attempt may be made; infinite while the one that finds out is under way. */
  get waitMs(): number {
    if (this.#openUntil === null) return 0;
    return this.#isProbing ? Infinity : Math.max(0, this.#openUntil - this.#options.clock.monotonic());
  }

  /** An attempt is made; `waitMs` was 0. What it returns is told when it has ended. */
  begin(): (sign: Sign) => void {
    const isProbe = this.isOpen;
    this.#isProbing = isProbe;
    return (sign) => this.#end(sign, isProbe);
  }

  #end(sign: Sign, isProbe: boolean): void {
    if (isProbe) this.#isProbing = false;
    if (sign === 'up') {
      this.#failures = 0;
      this.#pauses = 0;
      this.#openUntil = null;
    } else if (sign === 'down') {
      this.#failures++;
      // What was under way when it opened says nothing more.
      if (isProbe || (!this.isOpen && this.#failures >= THRESHOLD)) this.#open();
    } else if (isProbe) {
      this.#open();
    }
  }

  #open(): void {
    const { clock, leastPauseMs, mostPauseMs } = this.#options;
    this.#pauses++;
    this.#openUntil = clock.monotonic() + Math.min(mostPauseMs, leastPauseMs * 2 ** this.#pauses);
  }
}
