/** Time as a parameter: specs have their own. */
export interface Clock {
  /** Milliseconds since 1970, as other machines see them; may jump. */
  now(): number;
  /** Milliseconds since some moment; never goes back, and goes on while the process is stopped. */
  monotonic(): number;
  /** The function that it returns cancels. */
  setTimeout(run: () => void, milliseconds: number): () => void;
  /** Rejects with the reason of the signal when that aborts first. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** `sleep` of any clock. */
export function sleepOn(clock: Pick<Clock, 'setTimeout'>, milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(abortReason(signal));
      return;
    }
    const abort = (): void => {
      cancel();
      if (signal !== undefined) reject(abortReason(signal));
    };
    const cancel = clock.setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** What an operation rejects with that a signal ends. */
export function abortReason({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new DOMException(String(reason), 'AbortError');
}

/** A timer of Node waits no longer than this. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (run, milliseconds) => {
    const timer = setTimeout(run, Math.min(milliseconds, LONGEST_TIMEOUT_MS));
    return () => clearTimeout(timer);
  },
  sleep: (milliseconds, signal) => sleepOn(systemClock, milliseconds, signal),
};
