import { GrpcCode, GrpcError } from './grpc-status.js';

/** Bytes before a message in gRPC's framing: the compressed flag (always 0 here) and the length, four bytes big-endian. */
export const FRAME_PREFIX = 5;

/** What etcd lets an answer be (server/etcdserver/api/v3rpc/grpc.go, `maxSendBytes`, v3.6). */
export const MAX_MESSAGE_BYTES = 0x7fffffff;

const INITIAL_CAPACITY = 64 * 1024;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Writes protobuf messages into one scratch buffer that is used again for the next message; a result is a copy of it. A message that
 * becomes longer than `MAX_MESSAGE_BYTES` ends in a GrpcError.
 * Fields of value 0 are left out, as proto3 does, except by the methods that say otherwise.
 */
export class WireWriter {
  private buffer = Buffer.allocUnsafeSlow(INITIAL_CAPACITY);
  position = FRAME_PREFIX;

  /** Begins an unframed or framed message; the room for the frame is kept in either case. */
  reset(): this {
    this.position = FRAME_PREFIX;
    return this;
  }

  int64(field: number, value: bigint): void {
    if (value !== 0n) this.int64Always(field, value);
  }

  int64Always(field: number, value: bigint): void {
    this.reserve(16);
    this.varint(field << 3);
    this.varint64(value);
  }

  /** A non-negative number below 2^53. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.reserve(16);
    this.varint(field << 3);
    this.varint(value);
  }

  bool(field: number, value: boolean): void {
    if (value) this.number(field, 1);
  }

  string(field: number, value: string): void {
    if (value.length > 0) this.bytesAlways(field, Buffer.from(value, 'utf8'));
  }

  bytesAlways(field: number, value: Uint8Array): void {
    this.reserve(16 + value.length);
    this.varint((field << 3) | 2);
    this.varint(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
  }

  /** Bytes that are whole fields already. */
  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
  }

  /** Begins a nested message; `end` takes the mark returned. */
  begin(field: number): number {
    this.reserve(16);
    this.varint((field << 3) | 2);
    return this.position++;
  }

  /** Begins a nested message whose length is known and whose bytes may follow elsewhere. */
  beginOfLength(field: number, length: number): void {
    this.reserve(16);
    this.varint((field << 3) | 2);
    this.varint(length);
  }

  end(mark: number): void {
    const length = this.position - mark - 1;
    if (length < 0x80) {
      this.buffer[mark] = length;
      return;
    }
    let size = 2;
    for (let rest = length >>> 14; rest > 0; rest >>>= 7) size++;
    this.reserve(size);
    this.buffer.copyWithin(mark + size, mark + 1, this.position);
    this.position = mark;
    this.varint(length);
    this.position += length;
  }

  /** Bytes written so far, between two positions, copied. */
  slice(from: number, to = this.position): Buffer {
    const copy = Buffer.allocUnsafe(to - from);
    this.buffer.copy(copy, 0, from, to);
    return copy;
  }

  /** Copies what lies between two positions to `target` and returns the offset behind it. */
  copyTo(target: Buffer, offset: number, from: number, to: number): number {
    this.buffer.copy(target, offset, from, to);
    return offset + to - from;
  }

  /** The message written, as a gRPC frame. */
  frame(): Buffer {
    writeFramePrefix(this.buffer, this.position - FRAME_PREFIX);
    const frame = this.slice(0);
    this.shrink();
    return frame;
  }

  private shrink(): void {
    if (this.buffer.length > 16 * INITIAL_CAPACITY) this.buffer = Buffer.allocUnsafeSlow(INITIAL_CAPACITY);
  }

  private varint(value: number): void {
    const buffer = this.buffer;
    while (value >= 0x10000000) {
      buffer[this.position++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    while (value >= 0x80) {
      buffer[this.position++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    buffer[this.position++] = value;
  }

  private varint64(value: bigint): void {
    if (value >= 0n && value <= MAX_SAFE) {
      this.varint(Number(value));
      return;
    }
    let rest = BigInt.asUintN(64, value);
    while (rest >= 0x80n) {
      this.buffer[this.position++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.buffer[this.position++] = Number(rest);
  }

  private reserve(bytes: number): void {
    const needed = this.position + bytes;
    if (needed <= this.buffer.length) return;
    if (needed > MAX_MESSAGE_BYTES) {
      this.shrink();
      throw messageTooLarge(needed);
    }
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.buffer.length));
    this.buffer.copy(larger, 0, 0, this.position);
    this.buffer = larger;
  }
}

/** In gRPC-Go's words. */
export function messageTooLarge(bytes: number): GrpcError {
  return new GrpcError(GrpcCode.ResourceExhausted, `grpc: trying to send message larger than max (${bytes} vs. ${MAX_MESSAGE_BYTES})`);
}

/** Writes a frame's first bytes for a message of `length` bytes. */
export function writeFramePrefix(target: Buffer, length: number): void {
  target[0] = 0;
  target.writeUInt32BE(length, 1);
}

/** Encoders run to their end without waiting, so one writer serves all of them. */
export const writer = new WireWriter();
