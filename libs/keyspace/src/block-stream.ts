/**
 * Blocks that are read while they are consumed. Unlike an async generator, whose `finally` is skipped when `return()`
 * comes before the first `next()`, it frees its source in every case.
 */
export class BlockStream implements AsyncGenerator<Buffer, void, void> {
  #isEnded = false;

  constructor(
    /** The next block; null at the end. */
    private readonly read: () => Promise<Buffer | null>,
    /** Frees the source; called once. */
    private readonly end: () => Promise<void>,
  ) {}

  async next(): Promise<IteratorResult<Buffer, void>> {
    if (this.#isEnded) return { done: true, value: undefined };
    let block: Buffer | null;
    try {
      block = await this.read();
    } catch (error) {
      await this.return();
      throw error;
    }
    return block === null ? this.return() : { done: false, value: block };
  }

  async return(): Promise<IteratorResult<Buffer, void>> {
    if (!this.#isEnded) {
      this.#isEnded = true;
      await this.end();
    }
    return { done: true, value: undefined };
  }

  async throw(error: unknown): Promise<IteratorResult<Buffer, void>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
