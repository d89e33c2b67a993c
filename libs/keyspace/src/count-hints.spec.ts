import { describe, expect, it } from '@jest/globals';
import { CountHints } from './count-hints.js';

const b = (text: string): Buffer => Buffer.from(text);

describe('CountHints', () => {
  it('knows how many keys are left behind a page, at its revision and up to its end', () => {
    const hints = new CountHints();
    hints.remember(7n, b('/k0'), b('/k/3'), 12);
    expect(hints.find(7n, b('/k/3\0'), b('/k0'))).toBe(12);
    expect(hints.find(8n, b('/k/3\0'), b('/k0'))).toBeUndefined();
    expect(hints.find(7n, b('/k/3'), b('/k0'))).toBeUndefined();
    expect(hints.find(7n, b('/k/3\0'), b('/k1'))).toBeUndefined();
    expect(hints.find(7n, b('/k/3\0'), null)).toBeUndefined();
  });

  it('does not take one walk for another whose bytes run together alike', () => {
    const hints = new CountHints();
    hints.remember(7n, b('b/c'), b('a'), 1);
    expect(hints.find(7n, b('a\0b'), b('/c'))).toBeUndefined();
  });

  it('forgets the oldest of very many walks', () => {
    const hints = new CountHints();
    for (let i = 0; i < 5000; i++) hints.remember(BigInt(i), null, b('/a'), i);
    expect([hints.find(0n, b('/a\0'), null), hints.find(4999n, b('/a\0'), null)]).toEqual([undefined, 4999]);
  });
});
