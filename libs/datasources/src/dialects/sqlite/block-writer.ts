import { framedSize, writeFramedRecord } from '@harikube/keyspace';
import { ownBuffer } from './thread-protocol.js';

/** Bytes packed one behind the other into memory of their own, which can change hands between threads. */
export class BlockWriter {
  #buffer: Buffer<ArrayBuffer>;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = ownBuffer(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Adds a record framed as field 2 of RangeResponse. */
  addFramed(record: Buffer): void {
    this.#grow(framedSize(record.length));
    this.#length = writeFramedRecord(this.#buffer, this.#length, record);
  }

  addBytes(bytes: Buffer): void {
    this.#grow(bytes.length);
    this.#length += bytes.copy(this.#buffer, this.#length);
  }

  addByte(value: number): void {
    this.#grow(1);
    this.#buffer[this.#length++] = value;
  }

  addInt64(value: bigint): void {
    this.#grow(8);
    this.#length = this.#buffer.writeBigInt64LE(value, this.#length);
  }

  /** Adds a record with its length before it. */
  addRecord(record: Buffer): void {
    this.#grow(4 + record.length);
    const at = this.#buffer.writeUInt32LE(record.length, this.#length);
    this.#length = at + record.copy(this.#buffer, at);
  }

  /** What was added, as a view of the whole memory; the writer is empty afterwards. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.#buffer.buffer, 0, this.#length);
    this.#buffer = ownBuffer(0);
    this.#length = 0;
    return taken;
  }

  #grow(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = ownBuffer(Math.max(this.#length + bytes, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Reads what a BlockWriter packed. */
export class BlockReader {
  #at = 0;

  constructor(private readonly buffer: Buffer) {}

  byte(): number {
    return this.buffer.readUInt8(this.#at++);
  }

  int64(): bigint {
    const value = this.buffer.readBigInt64LE(this.#at);
    this.#at += 8;
    return value;
  }

  /** A slice of the block. */
  record(): Buffer {
    const length = this.buffer.readUInt32LE(this.#at);
    const start = this.#at + 4;
    this.#at = start + length;
    return this.buffer.subarray(start, this.#at);
  }
}
