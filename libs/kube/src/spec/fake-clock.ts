import { type Clock, sleepOn } from '../clock.js';

interface Timer {
  readonly due: number;
  readonly order: number;
  readonly run: () => void;
}

/** A clock that stands until a spec moves it. */
export class FakeClock implements Clock {
  #now: number;
  #monotonic = 1000;
  #order = 0;
  readonly #timers = new Set<Timer>();
  #waiting: { readonly isMet: () => boolean; readonly resolve: () => void }[] = [];

  constructor(now = Date.parse('2026-01-02T03:04:05.678Z')) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  setTimeout(run: () => void, milliseconds: number): () => void {
    const timer: Timer = { due: this.#monotonic + Math.max(0, milliseconds), order: this.#order++, run };
    this.#timers.add(timer);
    this.#waiting = this.#waiting.filter(({ isMet, resolve }) => {
      if (!isMet()) return true;
      resolve();
      return false;
    });
    return () => this.#timers.delete(timer);
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, milliseconds, signal);
  }

  /** Milliseconds until each timer is due, the next one first. */
  get timers(): readonly number[] {
    return [...this.#timers].map(({ due }) => due - this.#monotonic).sort((one, other) => one - other);
  }

  /** Resolves as soon as a timer is set, or is set already, that is due in `least` to `most` milliseconds. */
  timerIn(least: number, most = least): Promise<void> {
    const isMet = (): boolean => this.timers.some((due) => due >= least && due <= most);
    return isMet() ? Promise.resolve() : new Promise((resolve) => this.#waiting.push({ isMet, resolve }));
  }

  /** Lets time pass: runs what becomes due in its order, each with what follows from it at once. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#monotonic + milliseconds;
    for (;;) {
      const next = [...this.#timers]
        .filter(({ due }) => due <= end)
        .sort((one, other) => one.due - other.due || one.order - other.order)[0];
      if (next === undefined) break;
      this.#pass(next.due - this.#monotonic);
      this.#timers.delete(next);
      next.run();
      await settled();
    }
    this.#pass(end - this.#monotonic);
  }

  /** Time passes and no timer runs, as while the process is stopped. What is due runs with the next `advance`. */
  stop(milliseconds: number): void {
    this.#pass(milliseconds);
  }

  /** Somebody sets the time of day. */
  setNow(now: number): void {
    this.#now = now;
  }

  #pass(milliseconds: number): void {
    const passed = Math.max(0, milliseconds);
    this.#monotonic += passed;
    this.#now += passed;
  }
}

/** Everything that follows without waiting for anything outside has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
