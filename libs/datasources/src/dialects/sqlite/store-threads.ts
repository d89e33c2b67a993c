import { Worker } from 'node:worker_threads';
import type { ThreadMethods, ThreadRequest, ThreadResponse } from './thread-protocol.js';

/** Threads that commit: files share them, so that one slow fsync holds up at most half of the files. */
const WRITERS = 2;

interface Call {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/** The thread ended before it answered. */
class ThreadLostError extends Error {
  override readonly name = 'ThreadLostError';
}

/** One thread, started with its first call. */
export class StoreThread {
  #worker: Worker | null = null;
  #life = 0;
  #nextId = 1;
  /** Of the worker at hand: one that is lost takes only its own along. */
  #calls = new Map<number, Call>();

  /** Another number after the thread was lost: files and cursors have to be opened again. */
  get life(): number {
    return this.#life;
  }

  /** `transfer`: memory of the argument that changes hands. */
  call<M extends keyof ThreadMethods>(
    file: number,
    method: M,
    argument: Parameters<ThreadMethods[M]>[0],
    transfer: ArrayBuffer[] = [],
  ): Promise<ReturnType<ThreadMethods[M]>> {
    const worker = this.#start();
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#calls.set(id, { resolve, reject });
      const request: ThreadRequest = { id, file, method, argument };
      worker.postMessage(request, transfer);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    if (this.#worker !== null) return this.#worker;
    const worker = new Worker(new URL('./store-thread.js', import.meta.url), { resourceLimits: { maxYoungGenerationSizeMb: 2 } });
    const calls = new Map<number, Call>();
    this.#worker = worker;
    this.#calls = calls;
    worker.on('message', (response: ThreadResponse) => {
      const call = calls.get(response.id);
      if (call === undefined) return;
      calls.delete(response.id);
      if ('error' in response) call.reject(Object.assign(new Error(response.error.message), { code: response.error.code }));
      else call.resolve(response.result as never);
    });
    worker.on('error', (error) => this.#lost(worker, calls, error));
    worker.on('exit', () => this.#lost(worker, calls, null));
    return worker;
  }

  #lost(worker: Worker, calls: Map<number, Call>, error: unknown): void {
    if (this.#worker === worker) {
      this.#worker = null;
      this.#life++;
    }
    const unanswered = [...calls.values()];
    calls.clear();
    for (const call of unanswered) call.reject(new ThreadLostError('a database thread ended before it answered', { cause: error }));
  }
}

/** The threads one file uses. */
export interface FileThreads {
  readonly file: number;
  readonly writer: StoreThread;
  /** Short reads: heads and changes. */
  readonly points: StoreThread;
  /** Lists, however long. */
  readonly ranges: StoreThread;
  /** Checkpoints. */
  readonly keeper: StoreThread;
}

/** The few threads that all SQLite files of a router share. None is started before it is used. */
export class StoreThreads {
  readonly #writers = Array.from({ length: WRITERS }, () => new StoreThread());
  readonly #points = new StoreThread();
  readonly #ranges = new StoreThread();
  readonly #keeper = new StoreThread();
  #files = 0;

  add(): FileThreads {
    const file = this.#files++;
    const writer = this.#writers[file % WRITERS] as StoreThread;
    return { file, writer, points: this.#points, ranges: this.#ranges, keeper: this.#keeper };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#writers, this.#points, this.#ranges, this.#keeper].map((thread) => thread.close()));
  }
}
