import { abortReason, type Clock } from './clock.js';
import { ConnectionError, StatusError } from './status-error.js';

/** Ends a request when its time is up, or when the signal of whoever asked aborts. */
export class TimeLimit {
  readonly #clock: Clock;
  readonly #outer: AbortSignal | undefined;
  readonly #stop = new AbortController();
  readonly #abort = (): void => this.#stop.abort();
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, outer: AbortSignal | undefined) {
    this.#clock = clock;
    this.#outer = outer;
    if (outer?.aborted === true) this.#stop.abort();
    else outer?.addEventListener('abort', this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Starts to count, in place of what counted before; the signal aborts with the error when the time is up. */
  restart(milliseconds: number, errorOf: () => Error): void {
    this.pause();
    this.#cancel = this.#clock.setTimeout(() => this.#stop.abort(errorOf()), milliseconds);
  }

  pause(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  /** What comes first: the value, or the end of the time. */
  async race<T>(value: Promise<T>): Promise<T> {
    const { signal } = this;
    const ended = Promise.withResolvers<never>();
    const abort = (): void => ended.reject(abortReason(signal));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([value, ended.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** What the request fails with, whatever the transport says about it. */
  errorOf(error: unknown, what: string): Error {
    if (this.#outer?.aborted === true) return abortReason(this.#outer);
    if (this.signal.aborted) return abortReason(this.signal);
    if (error instanceof ConnectionError || error instanceof StatusError) return error;
    return new ConnectionError(`${what}: ${textOf(error)}`, { cause: error });
  }

  close(): void {
    this.pause();
    this.#outer?.removeEventListener('abort', this.#abort);
  }
}

/** Several addresses that all refuse make an error without a message. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message !== '' ? error.message : 'code' in error ? String(error.code) : error.name;
}
