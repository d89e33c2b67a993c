import { lateAnswerOf } from './ask-slot.js';
import type { Clock } from './clock.js';
import { UnavailableError } from './errors.js';
import type { Revision } from './model.js';
import { idsOf, type Slot } from './slot.js';
import { within } from './within.js';

/** A read that waits until backends have settled what was handed out. */
interface Waiter {
  readonly slots: readonly Slot[];
  readonly reject: (error: Error) => void;
}

/** Waits for the horizons of backends. What is being committed is waited for, what nobody knows of is not. */
export class HorizonWaits {
  readonly #waiting = new Set<Waiter>();

  constructor(
    private readonly clock: Clock,
    private readonly requestTimeoutMs: number,
  ) {}

  /** Undefined when everything up to `revision` is settled in these. */
  whenWhole(slots: readonly Slot[], revision: Revision): Promise<void> | undefined {
    if (this.clock.horizonOf(idsOf(slots)) >= revision) return undefined;
    const lagging = slots.filter(({ id }) => this.clock.horizon(id) < revision);
    const doubtful = lagging.find(({ committer }) => committer.doubt !== '');
    if (doubtful !== undefined) return Promise.reject(new UnavailableError(doubtful.label, doubtful.committer.doubt));
    return this.#waitFor(lagging, revision);
  }

  /** Those that wait for this slot need not wait any longer. */
  turnAway(slot: Slot, reason: string): void {
    for (const { slots, reject } of this.#waiting) if (slots.includes(slot)) reject(new UnavailableError(slot.label, reason));
  }

  async #waitFor(lagging: readonly Slot[], revision: Revision): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { slots: lagging, reject };
    this.#waiting.add(waiter);
    void this.clock.whenWhole(idsOf(lagging), revision)?.then(resolve);
    const late = (): Error => {
      const last = lagging.find(({ id }) => this.clock.horizon(id) < revision) ?? lagging[0];
      return lateAnswerOf(last as Slot, this.requestTimeoutMs);
    };
    try {
      await within(this.requestTimeoutMs, promise, late);
    } finally {
      this.#waiting.delete(waiter);
    }
  }
}
