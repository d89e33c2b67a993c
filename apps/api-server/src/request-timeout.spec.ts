import { describe, expect, it } from '@jest/globals';
import { MAX_REQUEST_MS, requestTimeout, waitOf } from './request-timeout.js';

describe('requestTimeout', () => {
  it('is what is asked for, up to what there is', () => {
    const read = (query: string): number => requestTimeout(new URLSearchParams(query), MAX_REQUEST_MS);
    expect(['', 'timeout=', 'timeout=0s', 'timeout=5s', 'timeout=1m30s'].map(read)).toEqual([60_000, 60_000, 60_000, 5000, 60_000]);
    for (const wrong of ['timeout=5', 'timeout=x', 'timeout=-1s'])
      expect(() => read(wrong)).toThrow('invalid timeout specified in the request URL');
  });

  it('leaves room for the way back', () => {
    expect([60_000, 6000, 2000, 1000, 100].map(waitOf)).toEqual([50_000, 5000, 1500, 500, 50]);
  });
});
