import type { Revision } from './model.js';

/** What the clock needs of a backend: its place in the order of revisions. */
interface Place {
  /** First revisions of the batches that are being committed, in order. */
  readonly pending: Revision[];
  /** Not null while the backend is out of reach: everything up to here is known of it, nothing more. */
  stalled: Revision | null;
  /** Nobody waits for it any more: it was given up. */
  isGone: boolean;
  waiters: (() => void)[];
}

/**
 * The one revision clock of all backends.
 *
 * `current` is the last revision handed out, `observed` the highest one that anybody was told of. A backend's horizon is
 * the revision up to which everything of it is settled: committed, or certain never to be. With nothing pending that is
 * `current`, however long ago the backend was written to.
 */
export class Clock {
  #current: Revision;
  #observed: Revision;
  #reserved: Revision;
  readonly #places = new Map<string, Place>();
  /** No more than one backend was ever registered: what is pending there is the end of all that was handed out. */
  #isSole = true;

  /** `reserved` is the durable limit of revisions that may be handed out. */
  constructor(current: Revision, reserved: Revision) {
    this.#current = current;
    this.#observed = current;
    this.#reserved = reserved;
  }

  get current(): Revision {
    return this.#current;
  }

  get observed(): Revision {
    return this.#observed;
  }

  /** How many revisions may be handed out before the next block is durable. */
  get available(): Revision {
    return this.#reserved - this.#current;
  }

  extend(reserved: Revision): void {
    if (reserved > this.#reserved) this.#reserved = reserved;
  }

  /** A backend that nothing is known of yet: its horizon is 0 until it is resumed. */
  register(backend: string): void {
    if (this.#places.size > 0) this.#isSole = false;
    this.#places.set(backend, { pending: [], stalled: 0n, isGone: false, waiters: [] });
  }

  /** The backend is no longer one: it holds nobody up, whatever it has pending. */
  retire(backend: string): void {
    const place = this.#place(backend);
    place.isGone = true;
    this.#wake(place);
  }

  /** Nothing comes of a retired backend any more. */
  unregister(backend: string): void {
    this.#places.delete(backend);
  }

  /** Hands out `count` revisions for one batch of a backend, and returns the first. */
  handOut(backend: string, count: number): Revision {
    const place = this.#place(backend);
    if (BigInt(count) > this.available) throw new Error('no revisions are reserved');
    const first = this.#current + 1n;
    this.#current += BigInt(count);
    place.pending.push(first);
    return first;
  }

  /** Hands out a number at which nothing is written. */
  skip(): Revision {
    if (this.available < 1n) throw new Error('no revisions are reserved');
    this.#isSole = false;
    return ++this.#current;
  }

  /** The backend's oldest pending batch is committed, or certain never to be. */
  settle(backend: string): void {
    const place = this.#place(backend);
    place.pending.shift();
    this.#wake(place);
  }

  /**
   * The backend's oldest pending batch is certain never to be. Its numbers are handed out again when nobody has got later ones and nobody can have
   * been told that they have passed: a sole backend's horizon lies below them. Otherwise they are burned.
   */
  takeBack(backend: string): void {
    const [first, later] = this.#place(backend).pending;
    if (first !== undefined && later === undefined && this.#isSole) this.#current = first - 1n;
    this.settle(backend);
  }

  /** Somebody is about to be told this revision: no answer after this one carries a lower one. */
  observe(revision: Revision): void {
    if (revision > this.#observed) this.#observed = revision;
  }

  /** The backend is in reach, and everything in it is known. */
  resume(backend: string): void {
    const place = this.#place(backend);
    place.stalled = null;
    this.#wake(place);
  }

  horizon(backend: string): Revision {
    const place = this.#place(backend);
    if (place.isGone) return this.#current;
    if (place.stalled !== null) return place.stalled;
    const [first] = place.pending;
    return first === undefined ? this.#current : first - 1n;
  }

  /** The smallest horizon of several backends; `current` when there are none. One that is no longer registered holds nobody up. */
  horizonOf(backends: readonly string[]): Revision {
    let lowest = this.#current;
    for (const backend of backends) {
      if (!this.#places.has(backend)) continue;
      const horizon = this.horizon(backend);
      if (horizon < lowest) lowest = horizon;
    }
    return lowest;
  }

  /** Resolves when everything up to `revision` is settled in all of these backends; undefined when it already is. */
  whenWhole(backends: readonly string[], revision: Revision): Promise<void> | undefined {
    if (this.horizonOf(backends) >= revision) return undefined;
    return this.#wait(backends, revision);
  }

  /** Resolves when what the backend has pending at this moment is settled, whatever becomes of it. */
  async whenSettled(backend: string): Promise<void> {
    const place = this.#place(backend);
    const last = place.pending.at(-1);
    while (last !== undefined && place.pending.includes(last)) await new Promise<void>((resolve) => place.waiters.push(resolve));
  }

  async #wait(backends: readonly string[], revision: Revision): Promise<void> {
    for (const backend of backends) {
      const place = this.#places.get(backend);
      while (place !== undefined && !place.isGone && this.horizon(backend) < revision) {
        await new Promise<void>((resolve) => place.waiters.push(resolve));
      }
    }
  }

  #wake(place: Place): void {
    if (place.waiters.length === 0) return;
    const waiters = place.waiters;
    place.waiters = [];
    for (const resolve of waiters) resolve();
  }

  #place(backend: string): Place {
    const place = this.#places.get(backend);
    if (place === undefined) throw new Error(`backend "${backend}" is not registered`);
    return place;
  }
}
