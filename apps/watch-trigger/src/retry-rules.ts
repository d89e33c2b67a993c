import type { HTTPTriggerSpec } from '@harikube/crds';
import { parseGoDuration } from '@harikube/platform';
import type { RetryRules } from './delivery-policy.js';

/** What holds for a trigger without a retryPolicy; the schema gives these to one with a part of it. */
const INITIAL_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
const MAX_RETRY_AFTER_MS = 300_000;

export function retryRulesOf({ delivery, retryPolicy, deadLetter }: HTTPTriggerSpec): RetryRules {
  const { backoff = 'Exponential', initialDelay, maxDelay, maxRetryAfter, maxAge } = retryPolicy ?? {};
  return {
    attempts: 1 + delivery.retries,
    backoff,
    initialDelayMs: durationOf(initialDelay, INITIAL_DELAY_MS),
    maxDelayMs: durationOf(maxDelay, MAX_DELAY_MS),
    maxRetryAfterMs: durationOf(maxRetryAfter, MAX_RETRY_AFTER_MS),
    maxAgeMs: maxAge === undefined ? null : (parseGoDuration(maxAge) ?? null),
    hasDeadLetter: deadLetter?.url !== undefined,
    policy: deadLetter?.policy ?? 'Block',
  };
}

function durationOf(text: string | undefined, absent: number): number {
  return text === undefined ? absent : (parseGoDuration(text) ?? absent);
}
