import { describe, expect, it } from '@jest/globals';
import { encodeKeyValue, frameRecord, keyOf, lastRecordOf } from './key-value.js';

function record(key: string, valueBytes: number): Buffer {
  const value = Buffer.alloc(valueBytes, 0x12);
  return encodeKeyValue({ key: Buffer.from(key), createRevision: 2n, modRevision: 3n, version: 1n, value, lease: 0n });
}

describe('lastRecordOf', () => {
  it.each([0, 100, 1500, 20_000, 3_000_000])('steps over records with %i bytes of value', (valueBytes) => {
    const last = record('/last', 7);
    const block = Buffer.concat([...['/a', '/b', '/c'].map((key) => frameRecord(record(key, valueBytes))), frameRecord(last)]);
    expect(lastRecordOf(block).equals(last)).toBe(true);
    expect(keyOf(lastRecordOf(block)).toString()).toBe('/last');
  });

  it('finds the only record, and none in an empty block', () => {
    expect(lastRecordOf(frameRecord(record('/a', 1))).equals(record('/a', 1))).toBe(true);
    expect(lastRecordOf(Buffer.alloc(0))).toHaveLength(0);
  });

  it('refuses what is no block of whole records', () => {
    const block = frameRecord(record('/a', 300));
    expect(() => lastRecordOf(block.subarray(0, -1))).toThrow('ends inside its last record');
    expect(() => lastRecordOf(Buffer.concat([block, Buffer.from([9])]))).toThrow('no record at byte');
  });
});
