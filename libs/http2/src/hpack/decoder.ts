import { ConnectionError, ErrorCode } from '../http2-error.js';
import { HeaderField } from './header-field.js';
import { decodeHuffman } from './huffman.js';
import { STATIC_TABLE } from './static-table.js';

/** Takes the fields of a block, one after another. */
export interface HeaderSink {
  field(field: HeaderField): void;
}

/** SETTINGS_HEADER_TABLE_SIZE that this server leaves at its default (RFC 9113 section 6.5.2). */
const TABLE_BYTES = 4096;
/** An entry has at least 32 bytes, so no more of them fit. A power of two. */
const MAX_ENTRIES = TABLE_BYTES / 32;

const EMPTY_FIELD = new HeaderField('', '');

/**
 * HPACK, the receiving side (RFC 7541). A field of the table is one object, which every request that points to it shares: a
 * block of indexes makes nothing. (A cache of whole blocks would not help: gRPC's clients write a deadline into each
 * request, which goes to the table and moves every index.)
 */
export class HpackDecoder {
  /** The dynamic table as a ring: its newest entry at `newest`, older ones behind it. */
  private readonly ring: HeaderField[] = Array.from({ length: MAX_ENTRIES }, () => EMPTY_FIELD);
  private newest = 0;
  private count = 0;
  private size = 0;
  private capacity = TABLE_BYTES;
  /** Where Huffman texts are decoded to; grows to what a block may hold. */
  private scratch = Buffer.allocUnsafeSlow(256);
  private block: Buffer = this.scratch;
  private position = 0;
  private end = 0;

  /** Decodes a whole block. Throws a ConnectionError when it cannot be read: the two tables are no longer the same then. */
  decode(block: Buffer, start: number, end: number, sink: HeaderSink): void {
    this.block = block;
    this.position = start;
    this.end = end;
    let isFirst = true;
    let resizes = 0;
    while (this.position < end) {
      const byte = block[this.position] as number;
      if (byte >= 0x80) sink.field(this.entry(this.integer(0x7f)));
      else if (byte >= 0x40) {
        const field = this.literal(0x3f);
        this.add(field);
        sink.field(field);
      } else if (byte >= 0x20) {
        // RFC 7541 section 4.2.
        if (!isFirst) throw compressionError('a table size update behind a field');
        // The least size since the block before and the last one: an encoder has no reason to tell more.
        if (++resizes > 2) throw compressionError('more than two table size updates');
        this.resize(this.integer(0x1f));
        continue;
      } else sink.field(this.literal(0x0f));
      isFirst = false;
    }
    this.block = this.scratch;
  }

  private entry(index: number): HeaderField {
    if (index > 0 && index <= STATIC_TABLE.length) return STATIC_TABLE[index - 1] as HeaderField;
    const place = index - STATIC_TABLE.length - 1;
    if (place < 0 || place >= this.count) throw compressionError(`no table entry ${index}`);
    return this.ring[(this.newest + place) & (MAX_ENTRIES - 1)] as HeaderField;
  }

  private literal(indexMask: number): HeaderField {
    const index = this.integer(indexMask);
    const name = index === 0 ? this.text() : this.entry(index).name;
    return new HeaderField(name, this.text());
  }

  private add(field: HeaderField): void {
    this.evictTo(this.capacity - field.size);
    if (field.size > this.capacity) return;
    this.newest = (this.newest - 1) & (MAX_ENTRIES - 1);
    this.ring[this.newest] = field;
    this.count++;
    this.size += field.size;
  }

  private resize(capacity: number): void {
    if (capacity > TABLE_BYTES) throw compressionError(`a table of ${capacity} bytes`);
    this.capacity = capacity;
    this.evictTo(capacity);
  }

  private evictTo(bytes: number): void {
    while (this.size > bytes && this.count > 0) {
      const oldest = (this.newest + --this.count) & (MAX_ENTRIES - 1);
      this.size -= (this.ring[oldest] as HeaderField).size;
      this.ring[oldest] = EMPTY_FIELD;
    }
  }

  /** RFC 7541 section 5.1. */
  private integer(mask: number): number {
    let value = this.byte() & mask;
    if (value < mask) return value;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale >= 0x200000) throw compressionError('an integer of more than four bytes');
    }
  }

  /** RFC 7541 section 5.2. */
  private text(): string {
    if (this.position >= this.end) throw compressionError('it ends before a text');
    const isHuffman = (this.block[this.position] as number) >= 0x80;
    const length = this.integer(0x7f);
    const start = this.position;
    if (length > this.end - start) throw compressionError('a text goes beyond the end');
    this.position += length;
    if (!isHuffman) return this.block.toString('latin1', start, this.position);
    const most = length * 2;
    if (most > this.scratch.length) this.scratch = Buffer.allocUnsafeSlow(most);
    const decoded = decodeHuffman(this.block, start, this.position, this.scratch);
    if (decoded < 0) throw compressionError('a text is no Huffman text');
    return this.scratch.toString('latin1', 0, decoded);
  }

  private byte(): number {
    if (this.position >= this.end) throw compressionError('it ends in an integer');
    return this.block[this.position++] as number;
  }
}

function compressionError(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.CompressionError, `invalid header block: ${what}`);
}
