import { ConnectionError, DEFAULT_WINDOW, ErrorCode, MAX_31_BITS, type Output, SendWindow } from '@harikube/http2';
import type { Http2Limits } from './limits.js';

/** A stream that may have to wait before it sends more. */
export interface Sender {
  /** It waits for its own window. */
  isStarved: boolean;
  /** What it may send beyond the client's first window. */
  readonly credit: number;
  /** There may be room again. */
  resume(): void;
}

/** Streams that are resumed between two looks at the clock. */
const STREAMS_PER_LOOK = 16;

/** What the streams of one connection may send (RFC 9113 section 5.2), and whose turn it is when they have to wait. */
export class SendTurns {
  readonly window = new SendWindow(DEFAULT_WINDOW);
  /** Every stream's first window, as the client has set it. */
  initialWindow = DEFAULT_WINDOW;
  /** Streams that wait for the connection's window or for room in the output, in the order of their turns. */
  private readonly waiting = new Set<Sender>();
  private isResuming = false;
  /** Streams that wait for their own windows. */
  private readonly starved = new Set<Sender>();
  /** Streams whose windows were made larger than the first one, and perhaps have shrunk since. */
  private readonly grown = new Set<Sender>();

  constructor(
    private readonly limits: Http2Limits,
    private readonly output: Output,
  ) {}

  get isOutputFull(): boolean {
    return this.output.waitingBytes >= this.limits.outputBytes;
  }

  /** Gives the stream a turn when the connection has room. */
  wait(stream: Sender): void {
    this.waiting.add(stream);
  }

  /** Gives the stream a turn when the client makes its first window larger. */
  starve(stream: Sender): void {
    if (stream.isStarved) return;
    stream.isStarved = true;
    this.starved.add(stream);
  }

  /** The stream's window is larger than the client's first one. */
  grow(stream: Sender): void {
    this.grown.add(stream);
  }

  /** The stream is over. */
  forget(stream: Sender): void {
    if (this.waiting.size > 0) this.waiting.delete(stream);
    if (stream.isStarved) this.starved.delete(stream);
    if (this.grown.size > 0) this.grown.delete(stream);
  }

  /** The stream's own window has become larger. */
  resume(stream: Sender): void {
    if (stream.isStarved) {
      stream.isStarved = false;
      this.starved.delete(stream);
    }
    stream.resume();
  }

  /** What it costs to change the first window, in frames that move nothing. */
  costOfWindow(size: number): number {
    return size === this.initialWindow ? 0 : (this.grown.size + this.starved.size) / 64;
  }

  /** What each stream may send is kept as a difference to it: only those are looked at whom the change can concern. */
  setInitialWindow(size: number): void {
    const change = size - this.initialWindow;
    if (change === 0) return;
    for (const stream of this.grown) {
      if (stream.credit <= 0) this.grown.delete(stream);
      else if (size + stream.credit > MAX_31_BITS) throw new ConnectionError(ErrorCode.FlowControlError, 'a window is too large');
    }
    this.initialWindow = size;
    if (change < 0) return;
    for (const stream of this.starved) {
      stream.isStarved = false;
      this.waiting.add(stream);
    }
    this.starved.clear();
    this.resumeWaiting();
  }

  /** Gives each stream that waits its turns, until there is no more room. Where they are many, the rest of them wait for the next turn. */
  resumeWaiting(): void {
    if (this.waiting.size === 0) return;
    const until = performance.now() + this.limits.turnMs;
    let resumed = 0;
    for (let before = -1; this.waiting.size > 0 && before !== this.output.waitingBytes;) {
      before = this.output.waitingBytes;
      // One that has to wait again comes behind these.
      let round = this.waiting.size;
      for (const stream of this.waiting) {
        if (round-- === 0) break;
        if (this.isOutputFull) return;
        if (++resumed % STREAMS_PER_LOOK === 0 && performance.now() >= until) return this.resumeLater();
        this.waiting.delete(stream);
        stream.resume();
      }
    }
  }

  private resumeLater(): void {
    if (this.isResuming) return;
    this.isResuming = true;
    setImmediate(() => {
      this.isResuming = false;
      this.resumeWaiting();
    });
  }
}
