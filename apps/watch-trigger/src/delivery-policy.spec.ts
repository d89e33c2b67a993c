import { describe, expect, it } from '@jest/globals';
import { type AttemptResult, decide, type Decision, type RetryRules, type Tried } from './delivery-policy.js';

const RULES: RetryRules = {
  attempts: 3,
  backoff: 'Exponential',
  initialDelayMs: 1000,
  maxDelayMs: 30_000,
  maxRetryAfterMs: 300_000,
  maxAgeMs: null,
  hasDeadLetter: false,
  policy: 'Block',
};
const FIRST: Tried = { isDeadLetter: false, attempts: 1, ageMs: 0 };
const LAST: Tried = { ...FIRST, attempts: 3 };
const TEMPORARY: AttemptResult = { outcome: 'temporary' };
const REFUSED: AttemptResult = { outcome: 'refused' };

function decided(result: AttemptResult, tried: Tried = FIRST, rules: Partial<RetryRules> = {}, random = 1): Decision {
  return decide(result, tried, { ...RULES, ...rules }, () => random);
}

describe('decide', () => {
  it.each<[string, Decision['do'], AttemptResult, Tried, Partial<RetryRules>]>([
    ['a success', 'finish', { outcome: 'delivered' }, FIRST, {}],
    ['a success of the last attempt', 'finish', { outcome: 'delivered' }, LAST, {}],
    ['a temporary failure', 'retry', TEMPORARY, FIRST, { policy: 'Drop', hasDeadLetter: true }],
    ['the last of them', 'retry', TEMPORARY, LAST, {}],
    ['the last of them under Drop', 'drop', TEMPORARY, LAST, { policy: 'Drop' }],
    ['the last of them under Suspend', 'suspend', TEMPORARY, LAST, { policy: 'Suspend' }],
    ['the last of them with a dead letter', 'dead-letter', TEMPORARY, LAST, { policy: 'Suspend', hasDeadLetter: true }],
    ['one of an event that is too old', 'drop', TEMPORARY, { ...FIRST, ageMs: 5000 }, { policy: 'Drop', maxAgeMs: 5000 }],
    ['one of an event that is not yet', 'retry', TEMPORARY, { ...FIRST, ageMs: 4999 }, { policy: 'Drop', maxAgeMs: 5000 }],
    ['a refusal', 'drop', REFUSED, FIRST, {}],
    ['a refusal under Suspend', 'suspend', REFUSED, FIRST, { policy: 'Suspend' }],
    ['a refusal with a dead letter', 'dead-letter', REFUSED, FIRST, { policy: 'Suspend', hasDeadLetter: true }],
    ['a dead letter that is refused', 'retry', REFUSED, { ...LAST, isDeadLetter: true }, { hasDeadLetter: true, policy: 'Drop' }],
    ['a dead letter that fails', 'retry', TEMPORARY, { ...LAST, isDeadLetter: true }, { hasDeadLetter: true, policy: 'Suspend' }],
    ['a dead letter that arrives', 'finish', { outcome: 'delivered' }, { ...FIRST, isDeadLetter: true }, { hasDeadLetter: true }],
  ])('after %s: %s', (_, expected, result, tried, rules) => {
    expect(decided(result, tried, rules).do).toBe(expected);
  });

  it('says when an event has used up its attempts and blocks its object', () => {
    expect(decided(TEMPORARY)).toMatchObject({ do: 'retry', isBlocked: false });
    expect(decided(TEMPORARY, LAST)).toEqual({ do: 'retry', isBlocked: true, afterMs: 30_000 });
  });

  it.each<[string, Partial<RetryRules>, readonly number[]]>([
    ['doubles', { attempts: 100 }, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]],
    ['grows by the first one', { attempts: 100, backoff: 'Linear', maxDelayMs: 5000 }, [1000, 2000, 3000, 4000, 5000, 5000, 5000]],
  ])('waits for a delay that %s, up to the longest', (_, rules, expected) => {
    const waits = expected.map((_wait, index) => decided(TEMPORARY, { ...FIRST, attempts: index + 1 }, rules));
    expect(waits.map((decision) => (decision.do === 'retry' ? decision.afterMs : null))).toEqual(expected);
  });

  it('waits for any part of the delay, and never less than the destination asks for', () => {
    expect(decided(TEMPORARY, FIRST, {}, 0)).toMatchObject({ afterMs: 0 });
    expect(decided(TEMPORARY, FIRST, {}, 0.25)).toMatchObject({ afterMs: 250 });
    expect(decided({ ...TEMPORARY, retryAfterMs: 7000 }, FIRST, {}, 0.25)).toMatchObject({ afterMs: 7000 });
    expect(decided({ ...TEMPORARY, retryAfterMs: 9_000_000 })).toMatchObject({ afterMs: 300_000 });
    expect(decided({ ...TEMPORARY, retryAfterMs: 60_000 }, LAST)).toMatchObject({ afterMs: 60_000, isBlocked: true });
  });

  it('waits no longer than the event may be tried, unless the destination asks for it', () => {
    const old = { ...FIRST, ageMs: 4900 };
    expect(decided(TEMPORARY, old, { maxAgeMs: 5000 })).toEqual({ do: 'retry', afterMs: 100, isBlocked: false });
    expect(decided(TEMPORARY, old, { maxAgeMs: 9000 })).toMatchObject({ afterMs: 1000 });
    expect(decided({ ...TEMPORARY, retryAfterMs: 7000 }, old, { maxAgeMs: 5000 })).toMatchObject({ afterMs: 7000 });
  });
});
