import type { Http2Limits } from './limits.js';
import type { ServerLoad, WaitingReads } from './server-load.js';

/** A call that only reads: it may be put off, and its answer may be thrown away and made again. */
export interface Read {
  /** Bytes of its answer, once one was made for which there was no room; else 0. */
  answerBytes: number;
  /** What it was thought to hold when it was started: its request, and what its answer was to become. */
  expectedBytes: number;
  readonly requestBytes: number;
  /** Nobody waits for its answer any more. */
  readonly isOver: boolean;
  start(): void;
  /** It was not started, and will not be: there is no room for it. */
  giveUp(): void;
}

/** What decides whether another read may start. */
export interface ReadLoad {
  readonly limits: Http2Limits;
  readonly server: ServerLoad;
  /** Answers that wait for the client. */
  readonly queuedBytes: number;
  /** Calls given up whose handlers run on. */
  readonly abandoned: number;
}

/** Reads that are started between two looks at the clock. */
const STARTS_PER_LOOK = 8;

/**
 * The reads of one connection. A client that asks for more than it takes would have the answers pile up here, since nobody knows how long one
 * is before it is there. So no more are started than there is room for requests and answers of the usual length, an answer for which there is no
 * room is thrown away, and its read waits until there is.
 */
export class ReadLine implements WaitingReads {
  waitingBytes = 0;
  private running = 0;
  /** So many may run, as long as nothing else speaks against it. */
  private allowed: number;
  /** Bytes that an answer has of late. */
  private usualBytes = 0;
  /** What those that run are thought to hold. */
  private expectedBytes = 0;
  private isLooking = false;
  /** Those that came in this turn. */
  private entered: Read[] = [];
  /** Those whose answers were thrown away go first. */
  private readonly again = new Set<Read>();
  private readonly waiting = new Set<Read>();

  constructor(private readonly load: ReadLoad) {
    this.allowed = Math.min(load.limits.firstRunningReads, load.limits.maxRunningReads);
  }

  /** Starts it with `startEntered`, or later. */
  enter(read: Read): void {
    this.entered.push(read);
  }

  /**
   * The turn in which reads came in is over: those that are still wanted are started, the others of them wait. (A client that gives up what it
   * has just asked for has nothing done for it.)
   */
  startEntered(): void {
    if (this.entered.length === 0) return;
    const { entered } = this;
    this.entered = [];
    const until = performance.now() + this.load.limits.turnMs;
    let started = 0;
    for (const read of entered) {
      if (read.isOver) continue;
      const isLate = started > 0 && started % STARTS_PER_LOOK === 0 && performance.now() >= until;
      if (isLate || this.again.size > 0 || this.waiting.size > 0 || !this.mayStart(read)) {
        this.keep(read, this.waiting);
      } else {
        started++;
        this.start(read);
      }
    }
    if (this.running < this.allowed) this.look();
  }

  /** A read that was started has come to its end, with an answer of so many bytes, or without one. */
  leave(read: Read, answerBytes: number): void {
    this.running--;
    this.expect(-read.expectedBytes);
    // Fast upwards and slowly down: what is rare and long is what matters.
    const change = answerBytes - this.usualBytes;
    this.usualBytes += change > 0 ? change / 2 : change / 16;
    if (this.allowed < this.load.limits.maxRunningReads) this.allowed++;
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
    this.keep(read, this.again);
    this.leave(read, answerBytes);
  }

  /** The client does not wait any more. */
  forget(read: Read): void {
    if (!this.again.delete(read) && !this.waiting.delete(read)) return;
    this.waitingBytes -= read.requestBytes;
    this.load.server.wait(this, -read.requestBytes);
  }

  giveUpOldest(): void {
    for (const reads of [this.waiting, this.again]) {
      for (const read of reads) {
        this.forget(read);
        read.giveUp();
        return;
      }
    }
  }

  /** There may be room: those that wait are looked at in the next turn. */
  look(): void {
    if (this.isLooking || (this.again.size === 0 && this.waiting.size === 0)) return;
    this.isLooking = true;
    setImmediate(() => this.startNext());
  }

  private startNext(): void {
    this.isLooking = false;
    const until = performance.now() + this.load.limits.turnMs;
    let started = 0;
    for (const reads of [this.again, this.waiting]) {
      for (const read of reads) {
        if (!this.mayStart(read)) return;
        if (++started % STARTS_PER_LOOK === 0 && performance.now() >= until) return this.look();
        this.forget(read);
        this.start(read);
      }
    }
  }

  private keep(read: Read, reads: Set<Read>): void {
    reads.add(read);
    this.waitingBytes += read.requestBytes;
    this.load.server.wait(this, read.requestBytes);
  }

  private start(read: Read): void {
    this.running++;
    read.expectedBytes = read.requestBytes + (read.answerBytes > 0 ? read.answerBytes : this.usualBytes);
    this.expect(read.expectedBytes);
    read.start();
  }

  private expect(bytes: number): void {
    this.expectedBytes += bytes;
    this.load.server.expectedBytes += bytes;
  }

  private mayStart({ answerBytes, requestBytes }: Read): boolean {
    const { limits, server, abandoned, queuedBytes } = this.load;
    if (this.running === 0 && queuedBytes === 0) return true;
    if (answerBytes > 0) return this.running === 0 && this.hasRoomFor(answerBytes) && server.hasRoomFor(answerBytes);
    if (this.running >= this.allowed || abandoned >= limits.maxAbandoned || queuedBytes >= limits.maxQueuedBytes) return false;
    const more = requestBytes + this.usualBytes;
    const expected = queuedBytes + this.expectedBytes + more;
    if (expected > limits.maxQueuedBytes) return false;
    return expected <= limits.ownQueuedBytes || server.hasRoomFor(more);
  }
}
