import { describe, expect, it } from '@jest/globals';
import { largestValue, surelyFits } from './etcd-parts.js';

describe('surelyFits', () => {
  it.each([
    [0, 1_572_864],
    [1, 1_572_864],
    [127, 1_572_864],
    [700, 1_572_864],
    [20_000, 1_572_864],
    [1, 16_384],
    [300, 65_536],
  ])('lets no value through that is too large, beside a key of %i bytes in requests of %i', (keyBytes, maxRequestBytes) => {
    const limits = { maxTxnOps: 128, maxRequestBytes };
    const key = Buffer.alloc(keyBytes, 'k');
    const most = largestValue(key, true, limits);
    expect(surelyFits(key, Buffer.alloc(1), limits)).toBe(true);
    expect(surelyFits(key, Buffer.alloc(most + 1), limits)).toBe(false);
  });
});
