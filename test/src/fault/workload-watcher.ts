import type { Revision } from '@harikube/keyspace';
import type { EtcdWatch } from '@harikube/testing';
import type { RecordedWatch, WorkloadRecord } from './workload-record.js';
import type { WorkloadClient } from './workload-client.js';

/** Pause before a watch that has ended is opened again. */
const RESUME_PAUSE_MS = 50;

/** Follows a prefix over the ends of its watches, as an informer does: each goes on where the one before it stopped. */
export class WorkloadWatcher {
  #watch: EtcdWatch | null = null;
  #isClosed = false;
  readonly #waiting: (() => void)[] = [];
  #running: Promise<void> = Promise.resolve();
  /** Everything up to here was told. */
  #reached: Revision;
  resumptions = -1;

  constructor(
    private readonly client: WorkloadClient,
    private readonly recorded: RecordedWatch,
    private readonly record: WorkloadRecord,
    base: Revision,
  ) {
    this.#reached = base;
  }

  get name(): string {
    return this.recorded.name;
  }

  get reached(): Revision {
    return this.#reached;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Breaks the watch off; it is taken up again. */
  interrupt(): void {
    this.#watch?.close();
  }

  /** Resolves when everything up to a revision was told; false when that takes too long. */
  async has(revision: Revision, withinMs: number): Promise<boolean> {
    const deadline = AbortSignal.timeout(withinMs);
    while (this.#reached < revision && !deadline.aborted) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        deadline.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return this.#reached >= revision;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#watch?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      this.resumptions++;
      await this.#follow();
      if (!this.#isClosed) await new Promise((resolve) => setTimeout(resolve, RESUME_PAUSE_MS));
    }
  }

  async #follow(): Promise<void> {
    const client = this.client.connection;
    const { prefix, prevKv, name } = this.recorded;
    try {
      this.#watch = client.watch(prefix, { startRevision: this.#reached + 1n, prevKv });
    } catch {
      this.client.reconnect(client); // the connection is gone already
      return;
    }
    const watch = this.#watch;
    let read = 0;
    await watch.until(() => {
      for (const message of watch.messages.slice(read)) {
        this.recorded.messages.push(message);
        const revision = message.type === 'progress' ? message.revision : (message.events.at(-1)?.revision ?? 0n);
        this.record.see(revision);
        if (revision > this.#reached) this.#reached = revision;
      }
      read = watch.messages.length;
      for (const resolve of this.#waiting.splice(0)) resolve();
      return this.#isClosed;
    });
    if (this.#isClosed) return;
    const { message } = await watch.ended;
    if (/compacted|canceled$/.test(message)) this.record.complain(`${name} was canceled: ${message}`);
    // A stream that was reset leaves its connection as it is; any other end may have been the router's.
    if (!/^etcdserver: |ended well|closed the stream/.test(message)) this.client.reconnect(client);
  }
}
