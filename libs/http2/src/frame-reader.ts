import { FRAME_HEADER, MAX_FRAME, PREFACE, readUInt24, readUInt31 } from './frames.js';
import { ConnectionError, ErrorCode } from './http2-error.js';
import { giveBack, type Lender } from './lent-memory.js';

/** Is given each whole frame; its payload is `bytes` from `start` to `end` and stays what it is only until the call returns, or longer when it says that it has lent it. */
export interface FrameSink extends Lender {
  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** False when nothing more is to be read. */
  readonly isReading: boolean;
}

/** Frames, and bytes of them, between two looks at the clock. */
const FRAMES_PER_LOOK = 4;
const BYTES_PER_LOOK = 4096;

/** Cuts what the socket delivers into the preface and frames. A frame that lies in one chunk is read where it lies; only one that is cut is put together. */
export class FrameReader {
  private prefaceRead: number;
  /** The frame under way: its header alone, then header and payload. */
  private partial: Buffer | null = null;
  private filled = 0;

  /** `hasPreface`: what comes in are frames from the first byte on, as a client reads them. */
  constructor(
    private readonly sink: FrameSink,
    hasPreface = false,
  ) {
    this.prefaceRead = hasPreface ? PREFACE.length : 0;
  }

  /** The preface is complete. */
  get hasPreface(): boolean {
    return this.prefaceRead === PREFACE.length;
  }

  /**
   * Returns what is left of the chunk when `performance.now()` has come to `until` before its end, null when nothing is. Throws a ConnectionError
   * when the peer speaks no HTTP/2 or a frame is too long.
   */
  push(chunk: Buffer, until = Infinity): Buffer | null {
    let position = this.hasPreface ? 0 : this.readPreface(chunk);
    const { length } = chunk;
    if (this.partial !== null) position = this.complete(chunk, position);
    let frames = 0;
    let lookedAt = position;
    while (length - position >= FRAME_HEADER && this.sink.isReading) {
      if (++frames === FRAMES_PER_LOOK || position - lookedAt >= BYTES_PER_LOOK) {
        if (performance.now() >= until) return chunk.subarray(position);
        frames = 0;
        lookedAt = position;
      }
      const payload = checkLength(readUInt24(chunk, position));
      const start = position + FRAME_HEADER;
      if (payload > length - start) break;
      this.deliver(chunk, position, start + payload);
      position = start + payload;
    }
    if (position < length && this.sink.isReading) this.keep(chunk, position);
    return null;
  }

  private readPreface(chunk: Buffer): number {
    const bytes = Math.min(PREFACE.length - this.prefaceRead, chunk.length);
    if (PREFACE.compare(chunk, 0, bytes, this.prefaceRead, this.prefaceRead + bytes) !== 0) {
      throw new ConnectionError(ErrorCode.ProtocolError, 'this is no HTTP/2');
    }
    this.prefaceRead += bytes;
    return bytes;
  }

  /** Goes on with the frame of the chunk before, and returns where the next one begins. */
  private complete(chunk: Buffer, from: number): number {
    let position = this.fill(chunk, from);
    if (this.partial === null || this.filled < this.partial.length) return position;
    if (this.partial.length === FRAME_HEADER) {
      const payload = checkLength(readUInt24(this.partial, 0));
      if (payload > 0) {
        const whole = Buffer.allocUnsafeSlow(FRAME_HEADER + payload);
        this.partial.copy(whole);
        this.partial = whole;
        position = this.fill(chunk, position);
        if (this.filled < whole.length) return position;
      }
    }
    const whole = this.partial;
    this.partial = null;
    this.filled = 0;
    const { lent } = this.sink;
    this.deliver(whole, 0, whole.length);
    giveBack(whole.buffer, this.sink, lent);
    return position;
  }

  private fill(chunk: Buffer, from: number): number {
    const { partial } = this;
    if (partial === null) return from;
    const copied = chunk.copy(partial, this.filled, from);
    this.filled += copied;
    return from + copied;
  }

  private keep(chunk: Buffer, from: number): void {
    const isHeaderWhole = chunk.length - from >= FRAME_HEADER;
    this.partial = Buffer.allocUnsafeSlow(FRAME_HEADER + (isHeaderWhole ? readUInt24(chunk, from) : 0));
    this.filled = 0;
    this.fill(chunk, from);
  }

  private deliver(bytes: Buffer, from: number, to: number): void {
    const type = bytes[from + 3] as number;
    const flags = bytes[from + 4] as number;
    this.sink.frame(type, flags, readUInt31(bytes, from + 5), bytes, from + FRAME_HEADER, to);
  }
}

function checkLength(length: number): number {
  if (length > MAX_FRAME) throw new ConnectionError(ErrorCode.FrameSizeError, `a frame of ${length} bytes`);
  return length;
}
