interface Waiter {
  readonly resolve: () => void;
  readonly timer: NodeJS.Timeout;
}

/** A bounded number of places that are taken and given back, first come, first served. */
export class Slots {
  #taken = 0;
  readonly #waiters: Waiter[] = [];

  constructor(
    private readonly most: () => number,
    private readonly patienceMs: () => number,
  ) {}

  /** Takes one if one is free. */
  tryTake(): boolean {
    if (this.#taken >= this.most()) return false;
    this.#taken++;
    return true;
  }

  /** Rejects with what `problem` says when none becomes free in time. */
  take(problem: (most: number, patienceMs: number) => string): Promise<void> {
    if (this.tryTake()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const patienceMs = this.patienceMs();
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new Error(problem(this.most(), patienceMs)));
      }, patienceMs);
      const waiter = { resolve, timer };
      this.#waiters.push(waiter);
    });
  }

  give(): void {
    this.#taken--;
    while (this.#taken < this.most()) {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) return;
      clearTimeout(waiter.timer);
      this.#taken++;
      waiter.resolve();
    }
  }
}
