import type { Http2Limits } from './limits.js';

/** A call that only reads: it may be put off, and its answer may be thrown away and made again. */
export interface Read {
  /** Bytes of its answer, once one was made for which there was no room; else 0. */
  answerBytes: number;
  start(): void;
}

/** What decides whether another read may start. */
export interface ReadLoad {
  readonly limits: Http2Limits;
  /** Answers that wait for the client. */
  readonly queuedBytes: number;
  /** Calls given up whose handlers run on. */
  readonly abandoned: number;
}

/**
 * The reads of one connection. A client that asks for more than it takes would have the answers pile up here, since nobody knows how long one
 * is before it is there. So an answer for which there is no room is thrown away, and its read waits until there is.
 */
export class ReadLine {
  private running = 0;
  private isLooking = false;
  /** Those whose answers were thrown away go first. */
  private readonly again = new Set<Read>();
  private readonly waiting = new Set<Read>();

  constructor(private readonly load: ReadLoad) {}

  /** Starts it at once or later. False: later. */
  enter(read: Read): boolean {
    if (this.again.size > 0 || this.waiting.size > 0 || !this.mayStart(read)) {
      this.waiting.add(read);
      return false;
    }
    this.running++;
    read.start();
    return true;
  }

  /** A read that was started has come to its end. */
  leave(): void {
    this.running--;
    this.look();
  }

  /** An answer may be queued. One that is longer than everything that may wait has its turn when nothing else does. */
  hasRoomFor(answerBytes: number): boolean {
    const { queuedBytes, limits } = this.load;
    return queuedBytes === 0 || queuedBytes + answerBytes <= limits.maxQueuedBytes;
  }

  /** The answer of a read that was started is thrown away. */
  putBack(read: Read, answerBytes: number): void {
    read.answerBytes = answerBytes;
    this.again.add(read);
    this.leave();
  }

  /** The client does not wait any more. */
  forget(read: Read): void {
    this.again.delete(read);
    this.waiting.delete(read);
  }

  /** There may be room: those that wait are looked at in the next turn. */
  look(): void {
    if (this.isLooking || (this.again.size === 0 && this.waiting.size === 0)) return;
    this.isLooking = true;
    setImmediate(() => this.startNext());
  }

  private startNext(): void {
    this.isLooking = false;
    for (const reads of [this.again, this.waiting]) {
      for (const read of reads) {
        if (!this.mayStart(read)) return;
        reads.delete(read);
        this.running++;
        read.start();
      }
    }
  }

  private mayStart({ answerBytes }: Read): boolean {
    const { limits, abandoned, queuedBytes } = this.load;
    if (answerBytes > 0) return this.running === 0 && this.hasRoomFor(answerBytes);
    return this.running < limits.maxRunningReads && abandoned < limits.maxAbandoned && queuedBytes < limits.maxQueuedBytes;
  }
}
