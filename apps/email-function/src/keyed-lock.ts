import { isNativeError } from 'node:util/types';

/** Lets one at a time work on a key, in the order in which they come. */
export class KeyedLock {
  readonly #last = new Map<string, Promise<void>>();

  /** Rejects with the reason of the signal when that aborts before it is the turn of `work`. */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const { promise: own, resolve: release } = Promise.withResolvers<void>();
    // Who leaves while waiting leaves his place: the next one waits for those before him, too.
    const done = before === undefined ? own : Promise.all([before, own]).then(() => undefined);
    this.#last.set(key, done);
    void done.then(() => {
      if (this.#last.get(key) === done) this.#last.delete(key);
    });
    try {
      if (before !== undefined) await unlessAborted(before, signal);
      return await work();
    } finally {
      release();
    }
  }

  /** How many keys somebody works on or waits for. */
  get size(): number {
    return this.#last.size;
  }
}

async function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(isNativeError(signal.reason) ? signal.reason : new Error(String(signal.reason)));
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
