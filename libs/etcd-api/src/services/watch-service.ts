import {
  isEmptyRange,
  keyRange,
  type Store,
  type WatchMessage,
  type WatchRequest,
  type WatchSink,
  type WatchStream,
} from '@harikube/keyspace';
import type { ResponseHeaderWriter } from '../codec/response-header.js';
import { decodeWatchRequest, encodeWatchControl, encodeWatchEvents, WatchFilter, type WatchCreateMessage } from '../codec/watch.js';
import type { RouteTable, StreamCall, StreamHandler } from '../transport/grpc-server.js';
import { WireReader } from '../wire/wire-reader.js';

/** Where a message of a watch that asked for fragments is cut. */
const FRAGMENT_BYTES = 1.5 * 1024 * 1024;

/** `etcdserverpb.Watch`. */
export class WatchService {
  constructor(
    private readonly store: Store,
    private readonly header: () => ResponseHeaderWriter,
  ) {}

  routes(): RouteTable {
    return {
      '/etcdserverpb.Watch/Watch': { kind: 'stream', type: 'bidi_stream', open: (call) => new WatchCall(this.store, this.header(), call) },
    };
  }
}

/** A creation that has no answer yet: the store's (null), or a refusal that waits for the answers before it. */
type PendingCreation = { readonly fragment: boolean; readonly refusal: WatchMessage | null };

/**
 * One client's stream of watches. The client matches answers to its creations by their order alone, so a creation refused
 * here waits until the store has answered the ones before it.
 */
class WatchCall implements StreamHandler, WatchSink {
  /** Opened with the first message: a call that says nothing, or is given up at once, costs the store nothing. */
  private stream: WatchStream | null = null;
  private readonly pending: PendingCreation[] = [];
  private readonly fragmented = new Set<bigint>();
  private isFull = false;

  constructor(
    private readonly store: Store,
    private readonly header: ResponseHeaderWriter,
    private readonly call: StreamCall,
  ) {}

  message(bytes: Buffer): void {
    const message = decodeWatchRequest(new WireReader(bytes));
    this.stream ??= this.store.watch(this);
    switch (message?.type) {
      case 'create':
        this.create(this.stream, message);
        return;
      case 'cancel':
        this.stream.cancel(message.watchId);
        return;
      case 'progress':
        this.stream.requestProgress();
        return;
      case undefined:
        return;
    }
  }

  halfClosed(): void {
    this.call.end();
  }

  drained(): void {
    if (!this.isFull) return;
    this.isFull = false;
    this.stream?.drained();
  }

  closed(): void {
    this.stream?.close();
  }

  send(message: WatchMessage): boolean {
    switch (message.type) {
      case 'created':
        return this.answered(message, false);
      case 'canceled':
        this.fragmented.delete(message.watchId);
        return message.refused ? this.answered(message, true) : this.control(message);
      case 'progress':
        return this.control(message);
      case 'events':
        return this.events(message);
    }
  }

  fail(error: Error): void {
    this.call.fail(error);
  }

  private create(stream: WatchStream, message: WatchCreateMessage): void {
    const request = toWatchRequest(message);
    const refusal = this.refusal(request);
    if (refusal === null) {
      this.pending.push({ fragment: message.fragment, refusal: null });
      stream.create(request);
    } else if (this.pending.length === 0) this.control(refusal);
    else this.pending.push({ fragment: false, refusal });
  }

  private refusal(request: WatchRequest): (WatchMessage & { type: 'canceled' }) | null {
    const reason =
      request.startRevision < 0n
        ? 'etcdserver: mvcc: required revision has been compacted'
        : isEmptyRange(request.range)
          ? 'mvcc: watcher range is empty'
          : null;
    if (reason === null) return null;
    return { type: 'canceled', watchId: -1n, revision: this.store.status().revision, compactRevision: 0n, reason, refused: true };
  }

  private answered(message: WatchMessage & { type: 'created' | 'canceled' }, isRefused: boolean): boolean {
    const creation = this.pending.shift();
    if (creation?.fragment === true && !isRefused) this.fragmented.add(message.watchId);
    let isReading = this.control(message);
    for (let next = this.pending[0]; next !== undefined && next.refusal !== null; next = this.pending[0]) {
      this.pending.shift();
      isReading = this.control(next.refusal as WatchMessage & { type: 'canceled' });
    }
    return isReading;
  }

  private control(message: Exclude<WatchMessage, { type: 'events' }>): boolean {
    return this.transmit(encodeWatchControl(this.header, message));
  }

  private transmit(frame: Buffer | readonly Buffer[]): boolean {
    const isReading = this.call.send(frame);
    if (!isReading) this.isFull = true;
    return isReading;
  }

  private events(message: WatchMessage & { type: 'events' }): boolean {
    const { watchId, revision, events } = message;
    if (!this.fragmented.has(watchId)) return this.transmit(encodeWatchEvents(this.header, watchId, revision, events, false));
    let start = 0;
    let bytes = 0;
    for (const [index, event] of events.entries()) {
      if (index > start && bytes + event.length > FRAGMENT_BYTES) {
        this.transmit(encodeWatchEvents(this.header, watchId, revision, events.slice(start, index), true));
        start = index;
        bytes = 0;
      }
      bytes += event.length;
    }
    return this.transmit(encodeWatchEvents(this.header, watchId, revision, events.slice(start), false));
  }
}

const FIRST_KEY = Buffer.from([0]);

function toWatchRequest(message: WatchCreateMessage): WatchRequest {
  return {
    // etcd takes a watch without a key for one that begins at the first key there can be.
    range: keyRange(message.key.length === 0 ? FIRST_KEY : message.key, message.rangeEnd),
    startRevision: message.startRevision,
    progressNotify: message.progressNotify,
    prevKv: message.prevKv,
    noPut: message.filters.includes(WatchFilter.NoPut),
    noDelete: message.filters.includes(WatchFilter.NoDelete),
    watchId: message.watchId,
  };
}
