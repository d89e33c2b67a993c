import { askSlot, inTime } from './ask-slot.js';
import { UnavailableError, UnknownOutcomeError } from './errors.js';
import { ready, type Slot } from './slot.js';
import { LateAnswerError, within } from './within.js';
import type { WriterLease } from './writer-lease.js';

/** The default database beside its log: who may write, and what is recorded there for the whole keyspace. */
export class DefaultStore {
  constructor(
    readonly slot: Slot,
    private readonly lease: WriterLease,
    private readonly requestTimeoutMs: number,
  ) {}

  /** Nobody else writes. True at one instant: see `WriterLease.isHeld`. */
  get isHeld(): boolean {
    return this.lease.isHeld;
  }

  /** Why nothing is answered while the lease is not held. */
  notHeld(): UnavailableError {
    return new UnavailableError(this.slot.label, this.lease.problem);
  }

  checkHeld(): void {
    if (!this.lease.isHeld) throw this.notHeld();
  }

  /** Work of which a failure tells that nothing was done. */
  async ask<T>(work: Promise<T>): Promise<T> {
    return this.inTime(askSlot(ready(this.slot), work));
  }

  inTime<T>(work: Promise<T>): Promise<T> {
    return inTime(this.slot, this.requestTimeoutMs, work);
  }

  /** What fails once it has begun may take place all the same: a row may have been kept, and a lease that has begun to end is ended in another attempt. */
  async recording<T>(record: () => Promise<T>): Promise<T> {
    const slot = ready(this.slot);
    try {
      return await askSlot(slot, record());
    } catch (error) {
      throw error instanceof UnavailableError ? new UnknownOutcomeError(error.backend, { cause: error }) : error;
    }
  }

  /** The outcome of a `recording` for a caller who does not wait for ever; of unknown outcome when it takes too long. */
  recorded<T>(recording: Promise<T>): Promise<T> {
    return within(this.requestTimeoutMs, recording, () => {
      return new UnknownOutcomeError(this.slot.label, { cause: new LateAnswerError(this.requestTimeoutMs) });
    });
  }
}
