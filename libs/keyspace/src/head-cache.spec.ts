import { describe, expect, it } from '@jest/globals';
import { HeadCache } from './head-cache.js';
import { RecordArena } from './record-arena.js';

function head(text: string): { id: bigint; record: Buffer } {
  return { id: 1n, record: Buffer.from(text) };
}

describe('HeadCache', () => {
  it('tells what it knows, what is absent and what it does not know', () => {
    const cache = new HeadCache(10_000, new RecordArena());
    cache.set('/a', head('one'));
    cache.set('/gone', null);
    expect([cache.get('/a')?.record.toString(), cache.get('/gone'), cache.get('/b')]).toEqual(['one', null, undefined]);
    cache.set('/a', head('two'));
    cache.set('/gone', head('back'));
    expect([cache.get('/a')?.record.toString(), cache.get('/gone')?.record.toString(), cache.size]).toEqual(['two', 'back', 2]);
    expect([cache.hits, cache.misses]).toEqual([4, 1]);
  });

  it('stays within its bytes, whatever is set again and again', () => {
    const cache = new HeadCache(5_000, new RecordArena());
    for (let i = 0; i < 1000; i++) {
      cache.set(`/${i % 40}`, i % 5 === 0 ? null : head('x'.repeat(i % 300)));
      expect(cache.bytes).toBeLessThanOrEqual(5_000);
    }
  });

  it('keeps what is used before what is not', () => {
    const cache = new HeadCache(3_000, new RecordArena());
    cache.set('/used', head('kept'));
    for (let i = 0; i < 50; i++) {
      cache.set(`/${i}`, head('x'));
      expect(cache.get('/used')?.record.toString()).toBe('kept');
    }
    expect(cache.get('/0')).toBeUndefined();
  });

  it('forgets the bytes of what is deleted', () => {
    const cache = new HeadCache(3_000, new RecordArena());
    cache.set('/a', head('x'));
    cache.delete('/a');
    cache.delete('/a');
    expect([cache.bytes, cache.size, cache.get('/a')]).toEqual([0, 0, undefined]);
  });
});
