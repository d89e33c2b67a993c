import type { Clock } from '@harikube/kube';

/** What was to be done took too long. */
export class TimeLimitError extends Error {
  override readonly name = 'TimeLimitError';
}

export interface TimeOptions {
  readonly clock: Clock;
  readonly milliseconds: number;
  /** Of whoever asks. */
  readonly signal: AbortSignal;
}

/**
 * Runs what ends itself when the signal that it gets aborts. Rejects with `TimeLimitError` when the time is up, and with the reason of the asker's
 * signal when that aborts, at once and whatever the run makes of it.
 */
export async function withinTime<T>({ clock, milliseconds, signal }: TimeOptions, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const stop = new AbortController();
  const ended = Promise.withResolvers<never>();
  // Aborts before it rejects, so that nobody goes on for whom the time is up.
  const end = (reason: Error): void => {
    stop.abort(reason);
    ended.reject(reason);
  };
  const abort = (): void => end(reasonOf(signal));
  const cancel = clock.setTimeout(() => end(new TimeLimitError(`it took more than ${milliseconds} ms`)), milliseconds);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([run(stop.signal), ended.promise]);
  } finally {
    cancel();
    signal.removeEventListener('abort', abort);
    ended.promise.catch(() => undefined);
  }
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new DOMException(String(reason), 'AbortError');
}
