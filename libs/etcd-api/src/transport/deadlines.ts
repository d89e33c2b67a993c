/** Something that is over at a time. */
export interface Expiring {
  /** In milliseconds of `performance.now()`; kept by `Deadlines`. */
  due: number;
  expire(): void;
}

/** Deadlines are kept to within this. */
const GRAIN_MS = 20;

/**
 * All deadlines of a server behind one timer, since nearly all calls are over long before theirs: adding and removing one is
 * adding to and removing from a set, which is looked through when its earliest deadline may have come.
 */
export class Deadlines {
  private readonly waiting = new Set<Expiring>();
  private timer: NodeJS.Timeout | null = null;
  private wakesAt = Infinity;

  add(item: Expiring, milliseconds: number, now: number): void {
    item.due = now + milliseconds;
    this.waiting.add(item);
    if (item.due < this.wakesAt) this.wakeAt(item.due, now);
  }

  remove(item: Expiring): void {
    this.waiting.delete(item);
  }

  private wakeAt(due: number, now: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    // Node's timers hold 31 bits of milliseconds.
    const delay = Math.min(Math.max(due - now, 0) + GRAIN_MS, 0x7fffffff);
    this.wakesAt = due;
    this.timer = setTimeout(() => this.wake(), delay);
    this.timer.unref();
  }

  private wake(): void {
    this.timer = null;
    this.wakesAt = Infinity;
    const now = performance.now();
    let next = Infinity;
    for (const item of this.waiting) {
      if (item.due > now) {
        if (item.due < next) next = item.due;
      } else {
        this.waiting.delete(item);
        item.expire();
      }
    }
    if (next < this.wakesAt) this.wakeAt(next, now);
  }
}
