import { Backoff, type Clock, StatusError } from '@harikube/kube';

const RETRY_LEAST_MS = 1000;
/** The longest pause between two attempts at what Kubernetes does not answer as it should. */
export const RETRY_MOST_MS = 30_000;

export interface RetryingOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

export function newBackoff(random: () => number): Backoff {
  return new Backoff({ leastMs: RETRY_LEAST_MS, mostMs: RETRY_MOST_MS, random });
}

/** Tries until it succeeds. `failed` is told of each failure, and ends it by an error of its own. */
export async function untilDone<T>(
  act: () => Promise<T>,
  failed: (error: Error) => void,
  { clock, random, signal }: RetryingOptions,
): Promise<T> {
  const backoff = newBackoff(random);
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (signal.aborted) throw error;
      const cause = error instanceof Error ? error : new Error(String(error));
      failed(cause);
      const askedForMs = cause instanceof StatusError ? 1000 * (cause.retryAfterSeconds ?? 0) : 0;
      await clock.sleep(Math.max(backoff.next(), askedForMs), signal);
    }
  }
}

export function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
