import { describe, expect, it } from '@jest/globals';
import { NotAPositionError, positionOf } from './position.js';

describe('positionOf', () => {
  it('is the whole number that a resourceVersion is, however large', () => {
    expect(positionOf('0')).toBe(0n);
    expect(positionOf('9007199254740993')).toBe(9007199254740993n);
  });

  it.each([undefined, '', 'abc', '-1', '1.5', '0x10', ' 1'])('refuses %j, which has no order', (text) => {
    expect(() => positionOf(text)).toThrow(NotAPositionError);
  });
});
