/** Records that go into one message of a RangeStream. */
export interface RangeChunk {
  readonly records: readonly Buffer[];
  readonly bytes: number;
}

const FIRST_RECORDS = 10;
const CHUNK_BYTES = 1.5 * 1024 * 1024;

/**
 * Cuts a range's blocks into the messages of a stream: ten records first, so that the client has something at once, then
 * twice as many each time until a message has about 1.5 MiB. The records not cut off yet are the last message's.
 */
export class RangeChunks {
  private target = FIRST_RECORDS;
  private records: Buffer[] = [];
  private count = 0;
  private bytes = 0;

  /** Adds a block of whole records and yields the messages that are full. A full message waits until it is sure that another follows. */
  *add(block: Buffer): Generator<RangeChunk, void, void> {
    let start = 0;
    let offset = 0;
    while (offset < block.length) {
      if (this.count >= this.target || this.bytes + offset - start >= CHUNK_BYTES) {
        this.take(block, start, offset);
        start = offset;
        yield this.cut();
      }
      offset = recordEnd(block, offset);
      this.count++;
    }
    this.take(block, start, offset);
  }

  last(): RangeChunk {
    return { records: this.records, bytes: this.bytes };
  }

  private take(block: Buffer, start: number, end: number): void {
    if (end === start) return;
    this.records.push(start === 0 && end === block.length ? block : block.subarray(start, end));
    this.bytes += end - start;
  }

  private cut(): RangeChunk {
    const chunk = this.last();
    this.records = [];
    this.bytes = 0;
    this.count = 0;
    this.target *= 2;
    return chunk;
  }
}

/** The offset behind the record that begins at `offset`: a tag, a varint length, that many bytes. */
function recordEnd(block: Buffer, offset: number): number {
  let length = 0;
  let scale = 1;
  for (let position = offset + 1; position < block.length; position++) {
    const byte = block[position] as number;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      const end = position + 1 + length;
      if (end <= block.length) return end;
      break;
    }
    scale *= 0x80;
  }
  throw new Error(`a block of ${block.length} bytes ends inside the record at byte ${offset}`);
}
