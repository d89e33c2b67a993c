/** Work that nobody waits for, until the end: a database must not be asked after it was closed. It tells of its failures itself. */
export class BackgroundWork {
  readonly #underWay = new Set<Promise<void>>();
  readonly #timers: NodeJS.Timeout[] = [];

  get underWay(): readonly Promise<void>[] {
    return [...this.#underWay];
  }

  add(work: Promise<void>): void {
    const tracked = work.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  every(milliseconds: number, run: () => Promise<void>): void {
    const timer = setInterval(() => this.add(run()), milliseconds);
    timer.unref();
    this.#timers.push(timer);
  }

  /** Begins nothing more. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }
}
