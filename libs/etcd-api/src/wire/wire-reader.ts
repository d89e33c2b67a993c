import { GrpcCode, GrpcError } from './grpc-status.js';

/** Protobuf's wire types (https://protobuf.dev/programming-guides/encoding). Groups (3 and 4) are refused. */
const WireType = { Varint: 0, Fixed64: 1, Bytes: 2, Fixed32: 5 } as const;

function malformed(reason: string): GrpcError {
  return new GrpcError(GrpcCode.Internal, `malformed request message: ${reason}`);
}

/**
 * Reads one protobuf message. Every method either moves forward inside the message or throws, so a decoder that loops
 * while `next()` is true always ends. Keys and values are copied: a slice would keep the whole socket chunk alive.
 */
export class WireReader {
  /** Number and wire type of the field that `next()` found. */
  field = 0;
  private wireType = 0;
  private position: number;
  private readonly end: number;

  constructor(
    private readonly buffer: Buffer,
    start = 0,
    end = buffer.length,
  ) {
    this.position = start;
    this.end = end;
  }

  /** Goes to the next field; false at the end of the message. */
  next(): boolean {
    if (this.position >= this.end) return false;
    const tag = this.varint32();
    this.field = tag >>> 3;
    this.wireType = tag & 7;
    if (this.field === 0) throw malformed('a field has the number 0');
    return true;
  }

  int64(): bigint {
    this.expect(WireType.Varint);
    return this.varint64();
  }

  uint64(): bigint {
    return BigInt.asUintN(64, this.int64());
  }

  bool(): boolean {
    this.expect(WireType.Varint);
    return this.varint64() !== 0n;
  }

  enumeration(): number {
    this.expect(WireType.Varint);
    return this.varint32() | 0;
  }

  /** Appends a repeated enum's values, packed or not. */
  enumerations(into: number[]): void {
    if (this.wireType !== WireType.Bytes) {
      into.push(this.enumeration());
      return;
    }
    const packed = this.message();
    while (packed.position < packed.end) into.push(packed.varint32() | 0);
  }

  /** The field's bytes, copied. */
  bytes(): Buffer {
    const length = this.length();
    const start = this.position;
    this.position += length;
    if (length === 0) return EMPTY;
    const copy = Buffer.allocUnsafe(length);
    this.buffer.copy(copy, 0, start, this.position);
    return copy;
  }

  string(): string {
    const length = this.length();
    const start = this.position;
    this.position += length;
    return this.buffer.toString('utf8', start, this.position);
  }

  /** A reader of the field's message. */
  message(): WireReader {
    const length = this.length();
    const start = this.position;
    this.position += length;
    return new WireReader(this.buffer, start, this.position);
  }

  /** Passes over a field that the decoder does not know. */
  skip(): void {
    switch (this.wireType) {
      case WireType.Varint:
        this.varint64();
        return;
      case WireType.Fixed64:
        this.advance(8);
        return;
      case WireType.Bytes:
        this.message();
        return;
      case WireType.Fixed32:
        this.advance(4);
        return;
      default:
        throw malformed(`field ${this.field} has the wire type ${this.wireType}`);
    }
  }

  private expect(wireType: number): void {
    if (this.wireType !== wireType) throw malformed(`field ${this.field} has the wire type ${this.wireType} instead of ${wireType}`);
  }

  private advance(bytes: number): void {
    if (bytes > this.end - this.position) throw malformed(`field ${this.field} goes beyond the end`);
    this.position += bytes;
  }

  private length(): number {
    this.expect(WireType.Bytes);
    let length = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
      if (scale > 0x1000000000000) throw malformed(`field ${this.field} has a length of more than seven bytes`);
    }
    if (length > this.end - this.position) throw malformed(`field ${this.field} goes beyond the end`);
    return length;
  }

  private byte(): number {
    if (this.position >= this.end) throw malformed('it ends in a number');
    return this.buffer[this.position++] as number;
  }

  /** The low 32 bits of a varint. */
  private varint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw malformed('a number has more than ten bytes');
  }

  private varint64(): bigint {
    let low = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.byte();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return BigInt(low);
      scale *= 0x80;
    }
    let value = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw malformed('a number has more than ten bytes');
  }
}

const EMPTY = Buffer.alloc(0);
