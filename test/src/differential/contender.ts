import { decodeMessage, encodeMessage, type PlainMessage } from './etcd-messages.js';
import { type GrpcCall, GrpcSession } from './grpc-session.js';
import type { WatchStreamName } from './request-grammar.js';

/** How a call ended: its messages in order, if it ended well. */
export interface Answer {
  readonly code: number;
  readonly text: string;
  readonly messages: readonly PlainMessage[];
}

/** What a watch stream has told so far. */
export class WatchStory {
  /** Creations, cancellations and refusals, in order. */
  readonly controls: PlainMessage[] = [];
  /** By watch id; those that were compared are taken out. */
  readonly events = new Map<bigint, PlainMessage[]>();
  /** The revision of the newest answer to a progress request. */
  progress = 0n;
  error: string | null = null;
  readonly #waiting: (() => void)[] = [];

  take(message: PlainMessage): void {
    const id = (message['watch_id'] ?? 0n) as bigint;
    const events = (message['events'] ?? []) as readonly PlainMessage[];
    const { revision = 0n } = message['header'] as { revision?: bigint };
    if (events.length > 0) {
      const told = this.events.get(id);
      if (told === undefined) this.events.set(id, [...events]);
      else told.push(...events);
    } else if (message['created'] === true || message['canceled'] === true) this.controls.push(withoutHeader(message, revision));
    else if (id === -1n) this.progress = revision;
    this.#tell();
  }

  fail(reason: string): void {
    this.error = reason;
    this.#tell();
  }

  /** Resolves with the next message, or when the time is over: true, if it was a message. */
  async more(milliseconds: number): Promise<boolean> {
    return new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), milliseconds);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Of a cancellation by compaction etcd tells no revision; of a cancellation by the client, that of the moment. */
function withoutHeader(message: PlainMessage, revision: bigint): PlainMessage {
  const { header: _header, ...rest } = message;
  return { ...rest, revision };
}

/** One of the servers, as the comparison sees it. */
export class Contender {
  readonly #session: GrpcSession;
  readonly #watches = new Map<WatchStreamName, { readonly call: GrpcCall; readonly story: WatchStory }>();

  constructor(
    readonly name: string,
    address: string,
  ) {
    this.#session = new GrpcSession(address);
  }

  async call(method: string, request: PlainMessage): Promise<Answer> {
    const [service = '', name = ''] = method.split('/');
    const bytes = encodeMessage(typeOf(name, 'Request'), request);
    const { code, text, messages } = await this.#session.exchange(`/${packageOf(service)}.${service}/${name}`, [bytes]);
    return { code, text, messages: code === 0 ? messages.map((message) => decodeMessage(typeOf(name, 'Response'), message)) : [] };
  }

  story(stream: WatchStreamName): WatchStory {
    return this.#stream(stream).story;
  }

  watch(stream: WatchStreamName, request: PlainMessage): void {
    this.#send(stream, request);
  }

  close(stream: WatchStreamName): void {
    this.#watches.get(stream)?.call.cancel();
    this.#watches.delete(stream);
  }

  end(): void {
    this.#session.close();
  }

  #send(stream: WatchStreamName, request: PlainMessage): void {
    this.#stream(stream).call.send(encodeMessage('WatchRequest', request));
  }

  #stream(name: WatchStreamName): { readonly call: GrpcCall; readonly story: WatchStory } {
    const open = this.#watches.get(name);
    if (open !== undefined) return open;
    const story = new WatchStory();
    const call = this.#session.open('/etcdserverpb.Watch/Watch', (message) => story.take(decodeMessage('WatchResponse', message)));
    void call.ended.then(({ code, text }) => story.fail(`the stream has ended with ${code} ${text}`));
    const made = { call, story };
    this.#watches.set(name, made);
    return made;
  }
}

function packageOf(service: string): string {
  return service === 'Lock' ? 'v3lockpb' : service === 'Election' ? 'v3electionpb' : 'etcdserverpb';
}

/** Names follow those of the methods, but for two. */
function typeOf(method: string, suffix: 'Request' | 'Response'): string {
  return `${method === 'Compact' ? 'Compaction' : method}${suffix}`;
}
