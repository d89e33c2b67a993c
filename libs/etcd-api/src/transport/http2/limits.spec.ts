import { describe, expect, it } from '@jest/globals';
import { Budget } from './limits.js';

describe('Budget', () => {
  it('allows a burst at once and then what comes each second, never more than a burst', () => {
    const budget = new Budget({ burst: 3, perSecond: 10 }, 0);
    expect([1, 2, 3, 4].map(() => budget.spend(1, 0))).toEqual([true, true, true, false]);
    expect([1, 2, 3].map(() => budget.spend(1, 200))).toEqual([true, true, false]);
    expect([1, 2, 3, 4].map(() => budget.spend(1, 1_000_000))).toEqual([true, true, true, false]);
  });

  it('earns up to the burst', () => {
    const budget = new Budget({ burst: 3, perSecond: 0 }, 0);
    budget.earn(100);
    expect([budget.spend(3, 0), budget.spend(1, 0)]).toEqual([true, false]);
    budget.earn(2);
    expect(budget.spend(1, 0)).toBe(true);
  });
});
