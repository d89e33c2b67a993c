import { MAX_31_BITS } from './frames.js';

/** RFC 9113 section 5.2. Both windows count payloads of DATA frames, padding included. */

/** What the peer may still send. What was consumed is given back when half the window is gone, so that few frames do it. */
export class ReceiveWindow {
  private available: number;
  private consumed = 0;

  constructor(private readonly size: number) {
    this.available = size;
  }

  /** False when the peer has sent more than it may. */
  receive(bytes: number): boolean {
    this.available -= bytes;
    return this.available >= 0;
  }

  /** Bytes are done with; returns the increment to tell the peer, most often 0. */
  consume(bytes: number): number {
    this.consumed += bytes;
    if (this.consumed * 2 < this.size) return 0;
    const increment = this.consumed;
    this.available += increment;
    this.consumed = 0;
    return increment;
  }
}

/** What may still be sent. Negative when the peer has made its initial window smaller (RFC 9113 section 6.9.2). */
export class SendWindow {
  constructor(public available: number) {}

  /** False when the window would be larger than one may be. */
  add(bytes: number): boolean {
    if (this.available + bytes > MAX_31_BITS) return false;
    this.available += bytes;
    return true;
  }
}
