import { describe, expect, it } from '@jest/globals';
import { rowId } from './backend.js';
import { EventRing, type StoreEvent } from './event-ring.js';
import { keyRange, prefixRange } from './key-range.js';

const EVERYTHING = keyRange(Buffer.from([0]), Buffer.from([0]));

function event(revision: bigint, key: string, position = 0): StoreEvent {
  return { id: rowId(revision, position), revision, keyText: key, isDelete: false, record: Buffer.alloc(100), prevRecord: null };
}

function ringOf(maxBytes: number, revisions: readonly bigint[]): EventRing {
  const ring = new EventRing(maxBytes, 1n);
  for (const revision of revisions) ring.append([event(revision, '/a')]);
  return ring;
}

describe('EventRing', () => {
  it('reads what comes after a revision, up to another', () => {
    const ring = ringOf(10_000, [2n, 3n, 5n, 8n]);
    const read = (after: bigint, through: bigint) => ring.read(EVERYTHING, after, through, 10_000).events.map(({ revision }) => revision);
    expect([read(1n, 8n), read(3n, 5n), read(4n, 8n), read(8n, 9n), read(5n, 7n)]).toEqual([[2n, 3n, 5n, 8n], [5n], [5n, 8n], [], []]);
  });

  it('gives up whole revisions and tells from where it is complete', () => {
    const ring = new EventRing(1_000, 1n);
    ring.append([event(2n, '/a', 0), event(2n, '/b', 1)]);
    ring.append([event(3n, '/a')]);
    expect([ring.floor, ring.length]).toEqual([1n, 3]);
    ring.append([event(4n, '/a')]);
    expect([ring.floor, ring.length, ring.bytes]).toEqual([2n, 2, 600]);
    expect(ring.read(EVERYTHING, 2n, 4n, 10_000).events.map(({ revision }) => revision)).toEqual([3n, 4n]);
  });

  it('holds nothing of a revision that is larger than itself', () => {
    const ring = ringOf(1_000, [2n]);
    ring.append(Array.from({ length: 10 }, (_, i) => event(3n, `/${i}`, i)));
    expect([ring.floor, ring.length, ring.bytes]).toEqual([3n, 0, 0]);
  });

  it('stays complete above its floor through many rounds', () => {
    const ring = new EventRing(50_000, 1n);
    for (let revision = 2n; revision < 9_000n; revision += 1n + (revision % 3n)) {
      ring.append([event(revision, `/${revision % 7n}`)]);
      expect(ring.bytes).toBeLessThanOrEqual(50_000);
    }
    const { events } = ring.read(EVERYTHING, ring.floor, 9_000n, 1 << 30);
    expect([events.length, events[0] !== undefined && events[0].revision > ring.floor]).toEqual([ring.length, true]);
    expect(events.every((entry, i) => i === 0 || entry.revision > (events[i - 1] as StoreEvent).revision)).toBe(true);
  });

  it('cuts a long answer between revisions only', () => {
    const ring = new EventRing(1 << 20, 1n);
    ring.append([event(2n, '/a', 0), event(2n, '/b', 1), event(2n, '/c', 2)]);
    ring.append([event(3n, '/x')]);
    ring.append([event(4n, '/a')]);
    expect(ring.read(EVERYTHING, 1n, 9n, 1)).toMatchObject({ through: 2n, events: [{}, {}, {}] });
    expect(ring.read(EVERYTHING, 2n, 9n, 1)).toMatchObject({ through: 3n, events: [{}] });
    expect(ring.read(prefixRange(Buffer.from('/a')), 1n, 9n, 10_000)).toMatchObject({
      through: 9n,
      events: [{ revision: 2n }, { revision: 4n }],
    });
  });
});
