import { encodeKeyValue, frameRecord, recordsOf } from '@harikube/keyspace';
import { describe, expect, it } from '@jest/globals';
import { Random } from '../spec/random.js';
import { RangeChunks } from './range-chunks.js';

function record(index: number, bytes: number): Buffer {
  const key = Buffer.from(`/key/${String(index).padStart(8, '0')}`);
  return frameRecord(encodeKeyValue({ key, value: Buffer.alloc(bytes), createRevision: 1n, modRevision: 2n, version: 1n, lease: 0n }));
}

/** The number of records in each message, the last one included. */
function cut(blocks: readonly Buffer[]): { readonly counts: readonly number[]; readonly sizes: readonly number[]; readonly all: Buffer } {
  const chunks = new RangeChunks();
  const parts = [...blocks.flatMap((block) => [...chunks.add(block)]), chunks.last()];
  const bodies = parts.map((part) => Buffer.concat(part.records));
  expect(bodies.map((body) => body.length)).toEqual(parts.map((part) => part.bytes));
  return {
    counts: bodies.map((body) => [...recordsOf(body)].length),
    sizes: bodies.map((body) => body.length),
    all: Buffer.concat(bodies),
  };
}

describe('RangeChunks', () => {
  it('begins with ten records and doubles', () => {
    const blocks = Array.from({ length: 75 }, (_, i) => record(i, 10));
    expect(cut(blocks).counts).toEqual([10, 20, 40, 5]);
  });

  it('keeps exactly ten records for the last message', () => {
    expect(cut(Array.from({ length: 10 }, (_, i) => record(i, 10))).counts).toEqual([10]);
    expect(cut([]).counts).toEqual([0]);
  });

  it('stays near 1.5 MiB when records are large', () => {
    const { sizes } = cut(Array.from({ length: 40 }, (_, i) => record(i, 400_000)));
    expect(Math.max(...sizes)).toBeLessThan(1.5 * 1024 * 1024 + 410_000);
    expect(sizes.length).toBeGreaterThan(8);
  });

  it('loses and repeats no byte, however records lie in blocks', () => {
    const random = new Random(21);
    for (let round = 0; round < 20; round++) {
      const records = Array.from({ length: random.below(200) }, (_, i) => record(i, random.pick([0, 1, 100, 5000, 20_000])));
      const blocks: Buffer[] = [];
      for (let i = 0; i < records.length;) {
        const take = 1 + random.below(30);
        blocks.push(Buffer.concat(records.slice(i, i + take)));
        i += take;
      }
      expect(cut(blocks).all.equals(Buffer.concat(records))).toBe(true);
    }
  });

  it('refuses a block that ends inside a record', () => {
    const chunks = new RangeChunks();
    expect(() => [...chunks.add(record(1, 100).subarray(0, 50))]).toThrow('ends inside the record at byte 0');
  });
});
