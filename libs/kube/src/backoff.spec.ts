import { describe, expect, it } from '@jest/globals';
import { Backoff } from './backoff.js';

describe('Backoff', () => {
  it('doubles up to the most, and begins again after a reset', () => {
    const backoff = new Backoff({ leastMs: 800, mostMs: 30_000, random: () => 0 });
    expect(Array.from({ length: 8 }, () => backoff.next())).toEqual([800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
    backoff.reset();
    expect(backoff.next()).toBe(800);
  });

  it('spreads each wait over twice its length and never beyond the most', () => {
    const backoff = new Backoff({ leastMs: 800, mostMs: 30_000, random: () => 0.75 });
    expect(Array.from({ length: 7 }, () => backoff.next())).toEqual([1400, 2800, 5600, 11_200, 22_400, 30_000, 30_000]);
  });
});
