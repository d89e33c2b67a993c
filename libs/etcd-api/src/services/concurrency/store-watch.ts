import { throwIfGone } from './concurrency-error.js';
import { CompactedError, type KeyRange, type Store, type WatchMessage, type WatchSink, type WatchStream } from '@harikube/keyspace';

/** Messages that may wait before the store is told to pause. */
const MAX_WAITING = 64;

/** One watch of the server's own, read message by message. */
export class StoreWatch implements WatchSink {
  private readonly stream: WatchStream;
  private readonly events: (readonly Buffer[])[] = [];
  private error: Error | null = null;
  private isPaused = false;
  private wake: () => void = () => undefined;

  constructor(
    store: Store,
    range: KeyRange,
    startRevision: bigint,
    private readonly signal: AbortSignal,
  ) {
    this.stream = store.watch(this);
    this.stream.create({ range, startRevision, progressNotify: false, prevKv: false, noPut: false, noDelete: false, watchId: 0n });
    signal.addEventListener('abort', this.onAbort);
  }

  /** The events of the next message; rejects when the watch cannot go on, or when nobody waits any more. */
  async next(): Promise<readonly Buffer[]> {
    for (;;) {
      throwIfGone(this.signal);
      const events = this.events.shift();
      if (events !== undefined) {
        if (this.events.length === 0 && this.isPaused) {
          this.isPaused = false;
          this.stream.drained();
        }
        return events;
      }
      if (this.error !== null) throw this.error;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  close(): void {
    this.signal.removeEventListener('abort', this.onAbort);
    this.stream.close();
  }

  send(message: WatchMessage): boolean {
    if (message.type === 'events') this.events.push(message.events);
    if (message.type === 'canceled') {
      this.error = message.compactRevision > 0n ? new CompactedError(message.compactRevision) : new Error(message.reason);
    }
    this.wake();
    this.isPaused = this.events.length >= MAX_WAITING;
    return !this.isPaused;
  }

  fail(error: Error): void {
    this.error = error;
    this.wake();
  }

  private readonly onAbort = (): void => this.wake();
}
