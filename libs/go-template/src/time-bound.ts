/**
 * How long something may work. Processor time of this thread counts, and not the time that a busy machine gives to others: what a template may do is the
 * same everywhere.
 */
export class TimeBound {
  readonly #limit: number;
  /** Before this moment the limit cannot be reached: a look at the clock is cheaper than one at the processor time. */
  #notBefore: number;

  constructor(milliseconds: number) {
    this.#limit = usedMilliseconds() + milliseconds;
    this.#notBefore = performance.now() + milliseconds;
  }

  get isOver(): boolean {
    if (performance.now() < this.#notBefore) return false;
    const left = this.#limit - usedMilliseconds();
    this.#notBefore = performance.now() + left;
    return left <= 0;
  }
}

function usedMilliseconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
