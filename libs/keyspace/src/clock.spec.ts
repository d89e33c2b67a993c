import { describe, expect, it } from '@jest/globals';
import { Clock } from './clock.js';

function clockOf(...backends: string[]): Clock {
  const clock = new Clock(10n, 1000n);
  for (const backend of backends) {
    clock.register(backend);
    clock.resume(backend);
  }
  return clock;
}

describe('Clock', () => {
  it('hands out each number once, in order, over all backends', () => {
    const clock = clockOf('a', 'b');
    expect([clock.handOut('a', 3), clock.handOut('b', 2), clock.current]).toEqual([11n, 14n, 15n]);
    clock.settle('a');
    expect(clock.handOut('a', 1)).toBe(16n);
  });

  it('hands out nothing that is not reserved', () => {
    const clock = clockOf('a');
    expect(() => clock.handOut('a', 991)).toThrow('no revisions are reserved');
    clock.extend(1001n);
    expect([clock.handOut('a', 991), clock.available]).toEqual([11n, 0n]);
    clock.extend(500n);
  });

  it('holds a backend at the number before its pending ones, and no other', () => {
    const clock = clockOf('a', 'b');
    clock.handOut('a', 2);
    clock.handOut('b', 2);
    expect([clock.horizon('a'), clock.horizon('b'), clock.horizonOf(['a', 'b'])]).toEqual([10n, 12n, 10n]);
    clock.settle('a');
    expect([clock.horizon('a'), clock.horizon('b'), clock.horizonOf(['a', 'b']), clock.horizonOf([])]).toEqual([14n, 12n, 12n, 14n]);
  });

  it('settles the batches of a backend in their order', async () => {
    const clock = clockOf('a');
    expect([clock.handOut('a', 2), clock.handOut('a', 1)]).toEqual([11n, 13n]);
    let isSettled = false;
    const settled = clock.whenSettled('a').then(() => (isSettled = true));
    clock.settle('a');
    await new Promise((resolve) => setImmediate(resolve));
    expect([clock.horizon('a'), isSettled]).toEqual([12n, false]);
    clock.settle('a');
    await settled;
    expect(clock.horizon('a')).toBe(13n);
  });

  it('takes no numbers back while later ones are pending', () => {
    const clock = clockOf('a');
    clock.handOut('a', 2); // 11, 12
    clock.handOut('a', 2); // 13, 14
    clock.takeBack('a');
    expect([clock.current, clock.horizon('a')]).toEqual([14n, 12n]);
    clock.takeBack('a');
    expect([clock.current, clock.horizon('a')]).toEqual([12n, 12n]);
  });

  it('knows nothing of a backend until it is resumed', async () => {
    const clock = clockOf('a');
    clock.register('late');
    expect([clock.horizon('late'), clock.horizonOf(['a', 'late'])]).toEqual([0n, 0n]);
    const whole = clock.whenWhole(['late'], 5n);
    clock.resume('late');
    await whole;
    expect(clock.horizon('late')).toBe(10n);
  });

  it('lets nobody wait who need not, and everybody else until all of their backends have come so far', async () => {
    const clock = clockOf('a', 'b', 'c');
    clock.handOut('a', 2); // 11, 12
    clock.handOut('b', 2); // 13, 14
    expect(clock.whenWhole(['a'], 10n)).toBeUndefined();
    expect(clock.whenWhole(['c'], 14n)).toBeUndefined();
    let isWhole = false;
    const whole = clock.whenWhole(['a', 'b', 'c'], 13n)?.then(() => (isWhole = true));
    clock.settle('b');
    await Promise.resolve();
    expect(isWhole).toBe(false);
    clock.settle('a');
    clock.handOut('a', 1); // a later batch does not hold up who waits for an earlier one
    await whole;
    expect(isWhole).toBe(true);
  });

  it('lets wait for what is pending also when it never comes to be', async () => {
    const clock = clockOf('a');
    await clock.whenSettled('a');
    clock.handOut('a', 2);
    let isSettled = false;
    const settled = clock.whenSettled('a').then(() => (isSettled = true));
    await Promise.resolve();
    expect(isSettled).toBe(false);
    clock.takeBack('a');
    await settled;
    expect(clock.current).toBe(10n);
  });

  it('never tells less than it told', () => {
    const clock = clockOf('a');
    clock.observe(15n);
    clock.observe(12n);
    expect(clock.observed).toBe(15n);
  });

  it('waits for a backend that is given up no longer, and takes what still comes of it', async () => {
    const clock = clockOf('a', 'b');
    clock.handOut('b', 2);
    const whole = clock.whenWhole(['a', 'b'], 12n);
    clock.retire('b');
    await whole;
    expect([clock.horizon('b'), clock.horizonOf(['a', 'b'])]).toEqual([12n, 12n]);
    clock.settle('b');
    clock.unregister('b');
    expect([clock.horizonOf(['a', 'b']), clock.whenWhole(['b'], 12n)]).toEqual([12n, undefined]);
  });

  it('takes no number back once there was another backend, or one was skipped', () => {
    const clock = clockOf('a', 'b');
    clock.retire('b');
    clock.unregister('b');
    clock.handOut('a', 2);
    clock.takeBack('a');
    expect(clock.current).toBe(12n);
    const sole = clockOf('a');
    sole.handOut('a', 2);
    expect(sole.skip()).toBe(13n);
    sole.takeBack('a');
    expect(sole.current).toBe(13n);
  });
});
