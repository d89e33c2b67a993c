import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, ConnectionError, NoSuchKindError, StatusError } from '@harikube/kube';
import { ChartHookError } from './hook-error.js';

export interface UntilAcceptedOptions {
  /** What is attempted, as the sentence about a failure names it: `TopologyConfig shop/users`. */
  readonly what: string;
  readonly timeoutMs: number;
  /** Told each reason once. */
  readonly note: (text: string) => void;
}

const ATTEMPTS = { leastMs: 250, mostMs: 3000 };

/**
 * Attempts something until the cluster accepts it. What a cluster says that is still starting (no answer, a webhook that cannot be called, a kind
 * or a right that is not there yet, a conflict) is waited for; a refusal of the object itself ends it at once with a `ChartHookError`.
 */
export async function untilAccepted<T>(attempt: () => Promise<T>, { what, timeoutMs, note }: UntilAcceptedOptions): Promise<T> {
  const backoff = new Backoff(ATTEMPTS);
  const end = performance.now() + timeoutMs;
  let told = '';
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof StatusError || error instanceof ConnectionError || error instanceof NoSuchKindError)) throw error;
      if (!mayPass(error)) throw new ChartHookError(`${what} is refused: ${error.message}`, { cause: error });
      if (performance.now() >= end)
        throw new ChartHookError(`${what} is not accepted after ${timeoutMs / 1000} s: ${error.message}`, { cause: error });
      if (error.message !== told) note(`${what} has to wait: ${error.message}`);
      told = error.message;
    }
    await sleep(backoff.next());
  }
}

function mayPass(error: StatusError | ConnectionError | NoSuchKindError): boolean {
  return !(error instanceof StatusError) || error.code >= 500 || [401, 403, 404, 409, 429].includes(error.code);
}
