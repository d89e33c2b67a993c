import type { Backend, Head } from './backend.js';

interface Read {
  readonly key: Buffer;
  readonly resolve: (answer: PointAnswer) => void;
  readonly reject: (error: unknown) => void;
}

export interface PointAnswer {
  readonly head: Head | null;
  /** The newest revision of the backend in the snapshot that was read. */
  readonly lastRevision: bigint;
}

/** One is answered while the next is on its way; a third would only cost another change of threads for fewer keys. */
const LOADS_AT_ONCE = 2;

/** Gets of keys that no cache holds: those of one turn of the event loop, or that waited for an earlier load, go to the database together. */
export class PointReader {
  readonly #waiting: Read[] = [];
  #loading = 0;
  #isScheduled = false;

  constructor(private readonly backend: Pick<Backend, 'load'>) {}

  read(key: Buffer): Promise<PointAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#loading === LOADS_AT_ONCE || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#load(this.#waiting.splice(0));
    });
  }

  async #load(reads: readonly Read[]): Promise<void> {
    this.#loading++;
    try {
      const { heads, lastRevision } = await this.backend.load(
        reads.map((read) => read.key),
        'read',
      );
      reads.forEach((read, i) => read.resolve({ head: heads[i] ?? null, lastRevision }));
    } catch (error) {
      for (const read of reads) read.reject(error);
    }
    this.#loading--;
    this.#schedule();
  }
}
