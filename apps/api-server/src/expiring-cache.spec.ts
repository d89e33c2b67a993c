import { describe, expect, it } from '@jest/globals';
import { FakeClock } from '@harikube/kube/fake-clock';
import { ExpiringCache } from './expiring-cache.js';

describe('ExpiringCache', () => {
  it('forgets values when their time is over', async () => {
    const clock = new FakeClock();
    const cache = new ExpiringCache<number>(10, clock);
    cache.set('a', 1, 100);
    cache.set('never', 1, 0);
    expect([cache.get('a'), cache.get('never')]).toEqual([1, undefined]);
    await clock.advance(100);
    expect([cache.get('a'), cache.size]).toEqual([undefined, 0]);
  });

  it('makes room by the one that was asked for the longest ago', () => {
    const cache = new ExpiringCache<number>(2, new FakeClock());
    cache.set('a', 1, 100);
    cache.set('b', 2, 100);
    cache.get('a');
    cache.set('c', 3, 100);
    expect(['a', 'b', 'c'].map((key) => cache.get(key))).toEqual([1, undefined, 3]);
  });
});
