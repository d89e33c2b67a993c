import type { Duplex } from 'node:stream';
import { Flag, FRAME_HEADER, FrameType, MAX_FRAME, writeFrameHeader } from './frames.js';

/**
 * What waits to be written to one socket. Frames of all streams are copied one behind the other into large chunks, and go to the
 * socket once per turn of the event loop. A write is under way at most once: while the peer does not read, further frames fill chunks
 * instead of each holding one.
 */

const CHUNK = 64 * 1024;

/** Chunks that no output uses, for all connections. */
const spareChunks: Buffer[] = [];
const MAX_SPARE_CHUNKS = 16;

/** Outputs with something to write in this turn. */
let dirty: Output[] = [];

function flushDirty(): void {
  const outputs = dirty;
  dirty = [];
  for (const output of outputs) output.flush();
}

export class Output {
  /** Bytes that the socket has not taken yet. */
  waitingBytes = 0;
  private chunks: Buffer[] = [];
  private current: Buffer | null = null;
  private position = 0;
  private written: Buffer[] = [];
  private writtenBytes = 0;
  private isWriting = false;
  private isDirty = false;
  private isEnding = false;
  private readonly onWritten: (error?: Error | null) => void;

  constructor(
    private readonly socket: Duplex,
    /** The socket has taken a write. */
    private readonly onRoom: () => void,
  ) {
    this.onWritten = (error) => this.afterWrite(error);
  }

  /** A frame's header. */
  header(length: number, type: number, flags: number, streamId: number): void {
    if (CHUNK - this.position < FRAME_HEADER) this.turnOver();
    this.position = writeFrameHeader(this.chunk(), this.position, length, type, flags, streamId);
    this.waitingBytes += FRAME_HEADER;
  }

  /** Bytes of a payload, or whole frames. */
  bytes(source: Uint8Array, from = 0, to = source.length): void {
    this.waitingBytes += to - from;
    while (from < to) {
      const chunk = this.chunk();
      const length = Math.min(to - from, CHUNK - this.position);
      // A loop beats the call for what is as short as most header blocks.
      if (length <= 24) for (let i = 0; i < length; i++) chunk[this.position + i] = source[from + i] as number;
      else chunk.set(from === 0 && length === source.length ? source : source.subarray(from, from + length), this.position);
      this.position += length;
      from += length;
      if (this.position === CHUNK) this.turnOver();
    }
  }

  /** A whole header block, in as many frames as it takes. */
  headers(streamId: number, block: Buffer, endStream: boolean): void {
    const flags = endStream ? Flag.EndStream : Flag.None;
    if (block.length <= MAX_FRAME) {
      this.header(block.length, FrameType.Headers, flags | Flag.EndHeaders, streamId);
      this.bytes(block);
      return;
    }
    for (let offset = 0; offset < block.length; offset += MAX_FRAME) {
      const end = Math.min(offset + MAX_FRAME, block.length);
      const type = offset === 0 ? FrameType.Headers : FrameType.Continuation;
      this.header(end - offset, type, (offset === 0 ? flags : 0) | (end === block.length ? Flag.EndHeaders : 0), streamId);
      this.bytes(block, offset, end);
    }
  }

  /** Closes the socket behind everything written so far; nothing may be written after it. */
  end(): void {
    this.isEnding = true;
    this.touch();
  }

  flush(): void {
    this.isDirty = false;
    if (this.isWriting || this.socket.destroyed) return;
    if (this.position > 0) this.turnOver();
    if (this.chunks.length === 0) {
      if (this.isEnding) this.socket.end();
      return;
    }
    this.isWriting = true;
    this.written = this.chunks;
    this.chunks = [];
    this.writtenBytes = this.waitingBytes;
    const last = this.written.length - 1;
    if (last > 0) this.socket.cork();
    for (let i = 0; i < last; i++) this.socket.write(this.written[i]);
    this.socket.write(this.written[last], this.onWritten);
    if (last > 0) this.socket.uncork();
  }

  private afterWrite(error?: Error | null): void {
    const { written } = this;
    this.isWriting = false;
    this.written = [];
    this.waitingBytes -= this.writtenBytes;
    // After an error the system may still hold the chunks: they are left to the collector.
    if (error !== null && error !== undefined) return;
    for (const chunk of written) giveBack(chunk);
    this.onRoom();
    if (this.waitingBytes > 0 || this.isEnding) this.flush();
  }

  private chunk(): Buffer {
    this.current ??= spareChunks.pop() ?? Buffer.allocUnsafeSlow(CHUNK);
    this.touch();
    return this.current;
  }

  /** The chunk is full, or is to be written as far as it is filled. */
  private turnOver(): void {
    if (this.current === null) return;
    this.chunks.push(this.position === CHUNK ? this.current : this.current.subarray(0, this.position));
    this.current = null;
    this.position = 0;
  }

  private touch(): void {
    if (this.isDirty || this.isWriting) return;
    this.isDirty = true;
    if (dirty.push(this) === 1) setImmediate(flushDirty);
  }
}

function giveBack(chunk: Buffer): void {
  if (spareChunks.length >= MAX_SPARE_CHUNKS) return;
  spareChunks.push(chunk.length === CHUNK ? chunk : Buffer.from(chunk.buffer, 0, CHUNK));
}
