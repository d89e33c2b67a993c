import { FakeClock } from '@harikube/kube/fake-clock';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { CircuitBreaker, type Sign } from './circuit-breaker.js';

describe('CircuitBreaker', () => {
  let clock: FakeClock;
  let breaker: CircuitBreaker;

  beforeEach(() => {
    clock = new FakeClock();
    breaker = new CircuitBreaker({ clock, leastPauseMs: 1000, mostPauseMs: 5000 });
  });

  const see = (...signs: readonly Sign[]): void => signs.forEach((sign) => breaker.begin()(sign));

  it('opens after five failures in a row', () => {
    see('down', 'down', 'down', 'down', 'up', 'down', 'down', 'down', 'down');
    expect(breaker.isOpen).toBe(false);
    see('down');
    expect([breaker.isOpen, breaker.waitMs]).toEqual([true, 2000]);
  });

  it('is not moved by attempts that never came to the destination', () => {
    see('down', 'none', 'down', 'none', 'down', 'none', 'down', 'none');
    expect(breaker.isOpen).toBe(false);
    see('down');
    expect(breaker.isOpen).toBe(true);
  });

  it('lets one attempt find out after the pause, and closes when that succeeds', async () => {
    see('down', 'down', 'down', 'down', 'down');
    await clock.advance(2000);
    const end = breaker.begin();
    expect(breaker.waitMs).toBe(Infinity);
    end('up');
    expect([breaker.isOpen, breaker.waitMs]).toEqual([false, 0]);
    see('down', 'down', 'down', 'down');
    expect(breaker.isOpen).toBe(false);
  });

  it('makes each pause twice as long, up to the longest', async () => {
    see('down', 'down', 'down', 'down', 'down');
    const pauses = [];
    for (const sign of ['down', 'none', 'down'] as const) {
      pauses.push(breaker.waitMs);
      await clock.advance(breaker.waitMs);
      see(sign);
    }
    expect([...pauses, breaker.waitMs]).toEqual([2000, 4000, 5000, 5000]);
  });

  it('closes when an attempt from before the pause succeeds, and takes its failure for nothing new', () => {
    const [late, later] = [breaker.begin(), breaker.begin()];
    see('down', 'down', 'down', 'down', 'down');
    late('down');
    expect(breaker.waitMs).toBe(2000);
    later('up');
    expect(breaker.isOpen).toBe(false);
  });
});
