import type { Revision } from '@harikube/keyspace';
import { decodeMessage, encodeMessage, type PlainMessage } from '../differential/etcd-messages.js';
import type { GrpcCall, GrpcSession } from '../differential/grpc-session.js';
import type { RecordedWatch, WatchMessage } from './history.js';
import { changeOf, headerRevision, list, number, text } from './wire.js';

export interface WatchWish {
  readonly name: string;
  readonly key: string;
  readonly end: string;
  readonly startRevision: Revision;
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
}

export interface RecordingStreamOptions {
  readonly onWatch: (watch: RecordedWatch) => void;
  /** The highest revision that a message has told. */
  readonly onRevision: (revision: Revision) => void;
}

interface OpenWatch {
  readonly recorded: RecordedWatch;
  isCreated: boolean;
  /** The last revision that it was told of, by an event or as progress. */
  reached: Revision;
}

/** A watch stream that keeps what each of its watches is told. */
export class RecordingStream {
  /** Resolves when the stream is over. */
  readonly ended: Promise<void>;
  readonly #call: GrpcCall;
  readonly #watches = new Map<bigint, OpenWatch>();
  #nextId = 1n;
  #isClosed = false;
  readonly #waiting: (() => void)[] = [];

  constructor(
    session: GrpcSession,
    private readonly options: RecordingStreamOptions,
  ) {
    this.#call = session.open('/etcdserverpb.Watch/Watch', (message) => this.#take(decodeMessage('WatchResponse', message)));
    this.ended = this.#call.ended.then(({ code, text: reason }) => {
      if (!this.#isClosed)
        for (const id of [...this.#watches.keys()]) this.#end(id, { type: 'broken', at: performance.now(), code, text: reason });
      this.#isClosed = true;
      this.#tell();
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** How many of its watches are not over. */
  get size(): number {
    return this.#watches.size;
  }

  /** Ids of its watches. */
  get ids(): readonly bigint[] {
    return [...this.#watches.keys()];
  }

  /** What its watch was told last; 0: nothing, or the watch is over. */
  reached(id: bigint): Revision {
    return this.#watches.get(id)?.reached ?? 0n;
  }

  /** Tells the watch's id. */
  watch(wish: WatchWish): bigint {
    const { name, key, end, startRevision, prevKv, noPut, noDelete } = wish;
    const id = this.#nextId++;
    const startedAt = performance.now();
    const recorded: RecordedWatch = {
      name,
      key,
      end,
      startRevision,
      prevKv,
      noPut,
      noDelete,
      startedAt,
      messages: [],
      dueThrough: null,
    };
    this.#watches.set(id, { recorded, isCreated: false, reached: 0n });
    this.options.onWatch(recorded);
    this.#send({
      create_request: {
        key,
        range_end: end,
        start_revision: startRevision,
        progress_notify: wish.progressNotify,
        filters: [...(noPut ? [0n] : []), ...(noDelete ? [1n] : [])],
        prev_kv: prevKv,
        watch_id: id,
        fragment: wish.fragment,
      },
    });
    return id;
  }

  cancel(id: bigint): void {
    if (!this.#watches.delete(id)) return;
    this.#send({ cancel_request: { watch_id: id } });
  }

  requestProgress(): void {
    this.#send({ progress_request: {} });
  }

  /** Every watch that is not over has to have everything up to here. */
  demand(revision: Revision): void {
    for (const { recorded } of this.#watches.values()) recorded.dueThrough = revision;
  }

  /** Asks for progress until every watch was told everything up to a revision, or the time is over. */
  async catchUp(revision: Revision, withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!this.#isClosed && performance.now() < deadline && [...this.#watches.values()].some(({ reached }) => reached < revision)) {
      this.requestProgress();
      await this.#more(PROGRESS_RETRY_MS);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#watches.clear();
    this.#call.cancel();
  }

  #send(message: PlainMessage): void {
    if (!this.#isClosed) this.#call.send(encodeMessage('WatchRequest', message));
  }

  #more(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #take(message: PlainMessage): void {
    const at = performance.now();
    const revision = headerRevision(message);
    const id = number(message, 'watch_id');
    this.options.onRevision(revision);
    if (message['created'] === true && message['canceled'] !== true) {
      this.#keep(id, { type: 'created', at, revision });
      const watch = this.#watches.get(id);
      if (watch !== undefined) watch.isCreated = true;
    } else if (message['canceled'] === true) {
      const compactRevision = number(message, 'compact_revision');
      this.#end(id, { type: 'canceled', at, compactRevision, reason: text(message, 'cancel_reason') });
    } else if (list(message, 'events').length > 0) {
      const changes = list(message, 'events').map(changeOf);
      this.#keep(id, { type: 'events', at, revision, isFragment: message['fragment'] === true, changes });
      this.#reach(id, changes.at(-1)?.kv.modRevision ?? 0n);
    } else if (id === -1n) {
      // It is about every watch that the stream has by now.
      for (const [each, { isCreated }] of this.#watches) if (isCreated) this.#progress(each, at, revision);
    } else this.#progress(id, at, revision);
    this.#tell();
  }

  #progress(id: bigint, at: number, revision: Revision): void {
    this.#keep(id, { type: 'progress', at, revision });
    this.#reach(id, revision);
  }

  #keep(id: bigint, message: WatchMessage): void {
    this.#watches.get(id)?.recorded.messages.push(message);
  }

  #reach(id: bigint, revision: Revision): void {
    const watch = this.#watches.get(id);
    if (watch !== undefined && revision > watch.reached) watch.reached = revision;
  }

  #end(id: bigint, message: WatchMessage): void {
    this.#keep(id, message);
    this.#watches.delete(id);
  }
}

const PROGRESS_RETRY_MS = 20;
