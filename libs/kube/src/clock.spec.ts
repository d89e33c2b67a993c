import { describe, expect, it } from '@jest/globals';
import { systemClock } from './clock.js';
import { FakeClock } from './spec/fake-clock.js';

describe('a clock', () => {
  it('ends a sleep when its signal aborts, with the reason and without a timer left', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const sleep = clock.sleep(1000, stop.signal);
    stop.abort(new RangeError('enough'));
    await expect(sleep).rejects.toThrow(new RangeError('enough'));
    expect(clock.timers).toEqual([]);
    await expect(clock.sleep(1000, AbortSignal.abort('text'))).rejects.toMatchObject({ name: 'AbortError', message: 'text' });
    await expect(systemClock.sleep(60_000, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('FakeClock', () => {
  it('runs timers in the order in which they are due, and what they set', async () => {
    const clock = new FakeClock(0);
    const seen: string[] = [];
    clock.setTimeout(() => seen.push(`late at ${clock.now()}`), 300);
    clock.setTimeout(() => {
      seen.push(`early at ${clock.now()}`);
      clock.setTimeout(() => seen.push(`between at ${clock.now()}`), 100);
    }, 100);
    clock.setTimeout(() => seen.push('cancelled'), 50)();
    await clock.advance(299);
    expect(seen).toEqual(['early at 100', 'between at 200']);
    await clock.advance(1);
    expect(seen.at(-1)).toBe('late at 300');
  });

  it('lets time pass without timers, as in a process that is stopped', async () => {
    const clock = new FakeClock(0);
    let ran = 0;
    clock.setTimeout(() => ran++, 100);
    clock.stop(5000);
    expect([clock.now(), ran]).toEqual([5000, 0]);
    await clock.advance(0);
    expect([clock.now(), ran]).toEqual([5000, 1]);
  });

  it('sets the time of day apart from the time that passes', () => {
    const clock = new FakeClock(0);
    const before = clock.monotonic();
    clock.setNow(1e12);
    expect([clock.now(), clock.monotonic()]).toEqual([1e12, before]);
  });
});
