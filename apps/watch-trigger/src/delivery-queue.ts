import type { Clock } from '@harikube/kube';

export interface DeliveryQueueOptions {
  readonly clock: Clock;
  /** How many are worked on at once. */
  readonly concurrency: number;
}

export interface QueueEntry<T> {
  /** What it is about: of one key one is worked on at a time, in the order in which they came. */
  readonly key: string;
  /** Grows with each one that comes. */
  readonly sequence: number;
  readonly value: T;
}

interface Waiting<T> {
  readonly entry: QueueEntry<T>;
  readonly due: number;
}

/**
 * What is to be delivered: strictly in order for each key, at once for different keys. One that waits for its next attempt holds up its key and takes
 * no place among those that are worked on. Whoever adds bounds the size.
 */
export class DeliveryQueue<T> {
  readonly #clock: Clock;
  readonly #concurrency: number;
  /** By key, the one whose turn it is first. */
  readonly #chains = new Map<string, QueueEntry<T>[]>();
  /** First ones that may be taken, in the order in which they came. */
  readonly #ready: QueueEntry<T>[] = [];
  /** First ones that wait, the one that is due next first. */
  readonly #waiting: Waiting<T>[] = [];
  readonly #running = new Set<QueueEntry<T>>();
  #sequence = 0;
  #size = 0;

  constructor({ clock, concurrency }: DeliveryQueueOptions) {
    this.#clock = clock;
    this.#concurrency = concurrency;
  }

  /** Unfinished ones, whatever they wait for. */
  get size(): number {
    return this.#size;
  }

  get running(): number {
    return this.#running.size;
  }

  add(key: string, value: T): void {
    const entry: QueueEntry<T> = { key, value, sequence: this.#sequence++ };
    this.#size++;
    const chain = this.#chains.get(key);
    if (chain !== undefined) {
      chain.push(entry);
      return;
    }
    this.#chains.set(key, [entry]);
    this.#ready.push(entry);
  }

  /** The oldest one whose turn it is and that is wanted; null: none, or enough are worked on. It comes back by `finish` or `retryAfter`. */
  take(isWanted: (value: T) => boolean = () => true): QueueEntry<T> | null {
    this.#wake();
    if (this.#running.size >= this.#concurrency) return null;
    const place = this.#ready.findIndex(({ value }) => isWanted(value));
    const [entry] = place < 0 ? [] : this.#ready.splice(place, 1);
    if (entry === undefined) return null;
    this.#running.add(entry);
    return entry;
  }

  finish(entry: QueueEntry<T>): void {
    if (!this.#running.delete(entry)) return;
    this.#size--;
    const chain = this.#chains.get(entry.key) ?? [];
    chain.shift();
    const [next] = chain;
    if (next === undefined) this.#chains.delete(entry.key);
    else insert(this.#ready, next, ({ sequence }) => sequence);
  }

  /** Not yet: it comes again after so long. */
  retryAfter(entry: QueueEntry<T>, milliseconds: number): void {
    if (!this.#running.delete(entry)) return;
    insert(this.#waiting, { entry, due: this.#clock.monotonic() + milliseconds }, ({ due }) => due);
  }

  /** How long until one that waits may be taken; null: none waits. */
  get nextDueMs(): number | null {
    const [first] = this.#waiting;
    return first === undefined ? null : Math.max(0, first.due - this.#clock.monotonic());
  }

  #wake(): void {
    const now = this.#clock.monotonic();
    for (let first = this.#waiting[0]; first !== undefined && first.due <= now; first = this.#waiting[0]) {
      this.#waiting.shift();
      insert(this.#ready, first.entry, ({ sequence }) => sequence);
    }
  }
}

/** Behind those of the same order. */
function insert<E>(list: E[], item: E, orderOf: (item: E) => number): void {
  const order = orderOf(item);
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const there = list[middle];
    if (there !== undefined && orderOf(there) <= order) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, item);
}
