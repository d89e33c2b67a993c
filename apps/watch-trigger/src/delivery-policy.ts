/** How one attempt to deliver an event ended, as far as it decides what comes next. */
export interface AttemptResult {
  readonly outcome: 'delivered' | 'temporary' | 'refused';
  readonly retryAfterMs?: number;
}

/** What a trigger says about attempts. */
export interface RetryRules {
  /** The first one and its repetitions. */
  readonly attempts: number;
  readonly backoff: 'Exponential' | 'Linear';
  readonly initialDelayMs: number;
  readonly maxDelayMs: number;
  readonly maxRetryAfterMs: number;
  /** After so long an event is not tried again; null: as long as it takes. */
  readonly maxAgeMs: number | null;
  readonly hasDeadLetter: boolean;
  readonly policy: 'Block' | 'Drop' | 'Suspend';
}

/** What was tried, and how often by now. */
export interface Tried {
  readonly isDeadLetter: boolean;
  /** Of the dead letter those of the dead letter. */
  readonly attempts: number;
  /** Since the event came. */
  readonly ageMs: number;
}

export type Decision =
  | { readonly do: 'finish' }
  /** `isBlocked`: the event has used up its attempts, and blocks its object. */
  | { readonly do: 'retry'; readonly afterMs: number; readonly isBlocked: boolean }
  | { readonly do: 'dead-letter' }
  | { readonly do: 'drop' }
  | { readonly do: 'suspend' };

/** What comes after an attempt. `random`: from 0 up to 1. */
export function decide(result: AttemptResult, { isDeadLetter, attempts, ageMs }: Tried, rules: RetryRules, random: () => number): Decision {
  if (result.outcome === 'delivered') return { do: 'finish' };
  const afterMs = delayAfter(result, attempts, rules, random);
  // A dead letter is the last place that an event can go to: it is tried until it is there.
  if (isDeadLetter) return { do: 'retry', afterMs, isBlocked: attempts >= rules.attempts };
  if (result.outcome === 'refused') {
    if (rules.hasDeadLetter) return { do: 'dead-letter' };
    return { do: rules.policy === 'Suspend' ? 'suspend' : 'drop' };
  }
  const isExhausted = attempts >= rules.attempts || (rules.maxAgeMs !== null && ageMs >= rules.maxAgeMs);
  if (!isExhausted) {
    // The last attempt comes when the time is up, not a whole delay later.
    const leftMs = rules.maxAgeMs === null ? Infinity : rules.maxAgeMs - ageMs;
    return { do: 'retry', afterMs: Math.max(Math.min(afterMs, leftMs), askedFor(result, rules)), isBlocked: false };
  }
  if (rules.hasDeadLetter) return { do: 'dead-letter' };
  switch (rules.policy) {
    case 'Block':
      return { do: 'retry', afterMs: Math.max(rules.maxDelayMs, askedFor(result, rules)), isBlocked: true };
    case 'Drop':
      return { do: 'drop' };
    case 'Suspend':
      return { do: 'suspend' };
  }
}

/** Full jitter: anything up to the delay, so that what failed together does not come together again. Never before the time that the destination asks for. */
function delayAfter(result: AttemptResult, attempts: number, rules: RetryRules, random: () => number): number {
  const { backoff, initialDelayMs, maxDelayMs } = rules;
  const grown = backoff === 'Linear' ? initialDelayMs * attempts : initialDelayMs * 2 ** (attempts - 1);
  return Math.max(Math.round(random() * Math.min(maxDelayMs, grown)), askedFor(result, rules));
}

function askedFor({ retryAfterMs = 0 }: AttemptResult, { maxRetryAfterMs }: RetryRules): number {
  return Math.min(retryAfterMs, maxRetryAfterMs);
}
