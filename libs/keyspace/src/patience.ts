/** Something took longer than it was given. */
class PatienceError extends Error {
  override readonly name = 'PatienceError';
}

/** A bound on how long a number of steps may take together: a time, unless it is null, and the end of the process. */
export class Patience {
  readonly #ended: Promise<never>;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #stop: () => void;

  constructor(
    milliseconds: number | null,
    private readonly signal: AbortSignal,
  ) {
    let end: (error: Error) => void = () => undefined;
    this.#ended = new Promise<never>((_, reject) => (end = reject));
    this.#ended.catch(() => undefined);
    if (milliseconds !== null)
      this.#timer = setTimeout(() => end(new PatienceError(`not done within ${Math.round(milliseconds) / 1000} seconds`)), milliseconds);
    this.#stop = () => end(new PatienceError('the server is stopping'));
    if (signal.aborted) this.#stop();
    signal.addEventListener('abort', this.#stop);
  }

  /** The outcome of `work`, or PatienceError when the time is over before it. */
  await<T>(work: Promise<T>): Promise<T> {
    work.catch(() => undefined);
    return Promise.race([work, this.#ended]);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.signal.removeEventListener('abort', this.#stop);
  }
}
