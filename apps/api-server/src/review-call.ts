import { type Clock, ConnectionError, StatusError } from '@harikube/kube';

const FIRST_WAIT_MS = 500;
const STEPS = 5;

/** Calls kube-apiserver up to five times, waiting longer each time, as long as it is a failure that may pass. */
export async function withRetries<T>(call: () => Promise<T>, clock: Pick<Clock, 'sleep'>, signal: AbortSignal): Promise<T> {
  for (let step = 1, waitMs = FIRST_WAIT_MS; ; step++, waitMs *= 1.5) {
    try {
      return await call();
    } catch (error) {
      const mayPass = error instanceof ConnectionError || (error instanceof StatusError && (error.code >= 500 || error.isTooManyRequests));
      if (!mayPass || step === STEPS || signal.aborted) throw error;
      // Servers that lost the same kube-apiserver do not come back all at once.
      await clock.sleep(waitMs * (1 + 0.2 * Math.random()), signal);
    }
  }
}
