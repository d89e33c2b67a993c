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

/** Gets of keys that no cache holds: those of one turn of the event loop go to the database together. */
export class PointReader {
  #pending: Read[] = [];

  constructor(private readonly backend: Pick<Backend, 'load'>) {}

  read(key: Buffer): Promise<PointAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#pending.length === 0) setImmediate(() => this.#flush());
      this.#pending.push({ key, resolve, reject });
    });
  }

  #flush(): void {
    const reads = this.#pending;
    this.#pending = [];
    this.backend
      .load(
        reads.map((read) => read.key),
        'read',
      )
      .then(
        ({ heads, lastRevision }) => reads.forEach((read, i) => read.resolve({ head: heads[i] ?? null, lastRevision })),
        (error: unknown) => reads.forEach((read) => read.reject(error)),
      );
  }
}
