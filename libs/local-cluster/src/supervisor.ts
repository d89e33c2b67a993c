import type { ManagedProcess } from './managed-process.js';

/** Processes that are started one after another and stopped in the opposite order. */
export class Supervisor {
  readonly #processes: ManagedProcess[] = [];
  readonly #atExit = (): void => this.kill();

  /** Starts a process after those before it; one that does not become ready leaves those running. */
  async start(process: ManagedProcess, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#processes.length === 0) globalThis.process.once('exit', this.#atExit);
    this.#processes.push(process);
    await process.start(signal);
  }

  /** Stops everything, the last started first, each waited for before the next. */
  async stop(): Promise<void> {
    for (const process of [...this.#processes].reverse()) await process.stop();
    this.#processes.length = 0;
    globalThis.process.off('exit', this.#atExit);
  }

  /** Kills everything at once. */
  kill(): void {
    for (const process of this.#processes) process.kill();
  }
}
