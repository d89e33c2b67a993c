import { describe, expect, it } from '@jest/globals';
import type { Value } from '../value.js';
import { dateFunctions } from './dates.js';
import { GoTime } from './go-time.js';
import { UTC, zoneOf } from './time-zone.js';

const NOW = Date.UTC(2026, 1, 3, 4, 5, 6) + 789;
const FUNCTIONS = dateFunctions(() => NOW);

function answer(name: string, ...args: Value[]): Value {
  const called = FUNCTIONS.get(name);
  if (called === undefined) throw new Error(`there is no ${name}`);
  return called.run(args);
}

describe('dateFunctions', () => {
  it('take the time from the clock they are given', () => {
    const now = answer('now');
    expect(now).toBeInstanceOf(GoTime);
    expect(answer('dateInZone', '2006-01-02 15:04:05.000', now, 'UTC')).toBe('2026-02-03 04:05:06.789');
  });

  it.each([['text'], [null], [1.5], [true]])('take the present for %j, which is no time', (value) => {
    expect(answer('dateInZone', '2006-01-02 15:04:05', value, 'UTC')).toBe('2026-02-03 04:05:06');
    expect(answer('ago', value)).toBe('0s');
  });

  it('say how long ago a time was', () => {
    expect(answer('ago', new GoTime(BigInt(NOW) / 1000n - 3661n))).toBe('1h1m2s');
    expect(answer('ago', new GoTime(BigInt(NOW) / 1000n + 60n))).toBe('-59s');
    expect(answer('durationRound', new GoTime(BigInt(NOW) / 1000n - 90_000n))).toBe('1d');
  });
});

describe('GoTime', () => {
  it('is found from what clocks show also where they are put back and forth', () => {
    const berlin = zoneOf('Europe/Berlin') ?? UTC;
    const shown = (hour: number, day: number, month: number): string =>
      GoTime.ofCivil({ year: 2026, month, day, hour, minute: 30, second: 0 }, 0, berlin).in(UTC).toString();
    expect(shown(1, 29, 3)).toBe('2026-03-29 00:30:00 +0000 UTC');
    expect(shown(3, 29, 3)).toBe('2026-03-29 01:30:00 +0000 UTC');
    expect(shown(4, 25, 10)).toBe('2026-10-25 03:30:00 +0000 UTC');
  });
});
