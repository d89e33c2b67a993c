import { describe, expect, it } from '@jest/globals';
import { HeadCache } from './head-cache.js';

function head(text: string): { id: bigint; record: Buffer } {
  return { id: 1n, record: Buffer.from(text) };
}

describe('HeadCache', () => {
  it('tells what it knows, what is absent and what it does not know', () => {
    const cache = new HeadCache(10_000);
    cache.set('/a', head('one'));
    cache.set('/gone', null);
    expect([cache.get('/a')?.record.toString(), cache.get('/gone'), cache.get('/b')]).toEqual(['one', null, undefined]);
    cache.set('/a', head('two'));
    cache.set('/gone', head('back'));
    expect([cache.get('/a')?.record.toString(), cache.get('/gone')?.record.toString(), cache.size]).toEqual(['two', 'back', 2]);
    expect([cache.hits, cache.misses]).toEqual([4, 1]);
  });

  it('stays within its bytes, whatever is set again and again', () => {
    const cache = new HeadCache(5_000);
    for (let i = 0; i < 1000; i++) {
      cache.set(`/${i % 40}`, i % 5 === 0 ? null : head('x'.repeat(i % 300)));
      expect(cache.bytes).toBeLessThanOrEqual(5_000);
    }
  });

  it('keeps what is used before what is not', () => {
    const cache = new HeadCache(3_000);
    cache.set('/used', head('kept'));
    for (let i = 0; i < 50; i++) {
      cache.set(`/${i}`, head('x'));
      expect(cache.get('/used')?.record.toString()).toBe('kept');
    }
    expect(cache.get('/0')).toBeUndefined();
  });

  it('keeps what was used through a flood of creations, and gives it up for what is used later', () => {
    const cache = new HeadCache(30_000);
    const read = Array.from({ length: 40 }, (_, i) => `/read/${i}`);
    for (const key of read) cache.set(key, head(key));
    for (const key of read) cache.get(key);
    for (let i = 0; i < 5000; i++) cache.set(`/created/${i}`, head('x'.repeat(100)));
    expect(read.filter((key) => cache.get(key)?.record.toString() !== key)).toEqual([]);
    for (let i = 0; i < 5000; i++) {
      cache.set(`/later/${i}`, head('x'.repeat(100)));
      cache.get(`/later/${i}`);
    }
    expect(read.filter((key) => cache.get(key) !== undefined)).toEqual([]);
    expect(cache.get('/later/4999')).toBeDefined();
  });

  it('tells the newest head of a key, wherever its older one was kept', () => {
    const cache = new HeadCache(20_000);
    const newest = new Map<string, string>();
    for (let i = 0; i < 20_000; i++) {
      const key = `/${(i * 7919) % 97}`;
      if (i % 3 === 0) {
        cache.set(key, head(`${i}`));
        newest.set(key, `${i}`);
      } else if (i % 50 === 1) cache.delete(key);
      else {
        const found = cache.get(key);
        if (found !== undefined) expect(found?.record.toString()).toBe(newest.get(key));
      }
      expect(cache.bytes).toBeLessThanOrEqual(20_000);
      expect(cache.bytes >= 250 * cache.size).toBe(true);
    }
  });

  it('forgets the bytes of what is deleted', () => {
    const cache = new HeadCache(3_000);
    cache.set('/a', head('x'));
    cache.delete('/a');
    cache.delete('/a');
    expect([cache.bytes, cache.size, cache.get('/a')]).toEqual([0, 0, undefined]);
  });
});
