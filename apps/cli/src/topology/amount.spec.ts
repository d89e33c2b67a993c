import { describe, expect, it } from '@jest/globals';
import { amountText, bytesText } from './amount.js';

describe('amountText', () => {
  it('leaves out what is not known', () => {
    expect(amountText({ keys: 1, bytes: 20 })).toBe('1 key, 20 B');
    expect(amountText({ keys: 2, bytes: null })).toBe('2 keys');
    expect(amountText({ keys: 0 })).toBe('0 keys');
    expect(amountText({ keys: null, bytes: 3 })).toBe('keys not known');
  });
});

describe('bytesText', () => {
  it('uses the unit in which the number is short', () => {
    expect([0, 1023, 1024, 1536, 1024 ** 2 * 2.5, 1024 ** 3, 1024 ** 5].map(bytesText)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '2.5 MiB',
      '1.0 GiB',
      '1024.0 TiB',
    ]);
  });
});
