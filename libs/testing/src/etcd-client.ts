import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { SecureContextOptions } from 'node:tls';
import { decodeKeyValue, prefixEnd, type KeyValue, type Revision } from '@harikube/keyspace';
import type { WatchedMessage } from './history-checker.js';
import { bytesField, fieldsOf, numberField } from './protobuf-fields.js';
import { decodeEventBody } from './watch-recorder.js';

/** How a call ended that was not answered well. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  constructor(
    /** gRPC's code; 14 also for a connection that broke. */
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

const UNAVAILABLE = 14;
/** In front of a message: a flag, and its length. */
const FRAME_BYTES = 5;

export interface EtcdList {
  readonly revision: Revision;
  readonly count: number;
  readonly more: boolean;
  readonly kvs: readonly KeyValue[];
}

/** What became of a guarded write, and the revision at which that holds. */
export interface EtcdAttempt {
  readonly succeeded: boolean;
  readonly revision: Revision;
}

export interface EtcdListOptions {
  readonly revision?: Revision;
  readonly limit?: number;
  /** The first key of the page; absent: the prefix itself. */
  readonly from?: string;
}

export interface EtcdWatch {
  readonly messages: readonly WatchedMessage[];
  /** The revision of the header under which the watch was created. */
  readonly created: Promise<Revision>;
  /** Resolves when the watch is over, with the reason. */
  readonly ended: Promise<Error>;
  /** Resolves when `holds` does, asked after each message, or when the watch is over. */
  until(holds: () => boolean): Promise<void>;
  requestProgress(): void;
  close(): void;
}

export interface EtcdWatchOptions {
  readonly startRevision?: Revision;
  readonly prevKv?: boolean;
}

/**
 * A small client of the etcd API for tests, with codecs of its own: what the server's codecs get wrong must not be
 * mended here. Keys and values are text.
 */
export class EtcdClient {
  readonly #session: ClientHttp2Session;
  #lost: Error | null = null;

  /** `tls`: for an `https://` address. */
  constructor(address: string, tls: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> = {}) {
    this.#session = connect(address, tls);
    this.#session.on('error', (error: Error) => (this.#lost = error));
    this.#session.on('close', () => (this.#lost ??= new Error('the connection is closed')));
  }

  close(): void {
    this.#session.destroy();
  }

  /** The revision of the put. */
  async put(key: string, value: string): Promise<Revision> {
    return headerRevision(await this.#call('/etcdserverpb.KV/Put', putRequest(key, value)));
  }

  /** Writes if the key's mod revision is still the expected one; null when it is not. 0 expects no key. */
  async putIf(key: string, value: string, expected: Revision): Promise<Revision | null> {
    const { succeeded, revision } = await this.attempt(key, value, expected);
    return succeeded ? revision : null;
  }

  async deleteIf(key: string, expected: Revision): Promise<Revision | null> {
    const { succeeded, revision } = await this.attempt(key, null, expected);
    return succeeded ? revision : null;
  }

  /** A guarded put, or a guarded deletion (`value` null). */
  async attempt(key: string, value: string | null, expected: Revision): Promise<EtcdAttempt> {
    const op = value === null ? bytesField(3, bytesField(1, Buffer.from(key))) : bytesField(2, putRequest(key, value));
    // Result EQUAL is 0 and so absent; target MOD is 2; a number of a oneof is there even when it is 0.
    const compare = Buffer.concat([numberField(2, 2n), bytesField(3, Buffer.from(key)), numberField(6, expected, true)]);
    const answer = await this.#call('/etcdserverpb.KV/Txn', Buffer.concat([bytesField(1, compare), bytesField(2, op)]));
    const succeeded = fieldsOf(answer).some(({ field, number }) => field === 2 && number === 1n);
    return { succeeded, revision: headerRevision(answer) };
  }

  async list(prefix: string, { revision = 0n, limit = 0, from = prefix }: EtcdListOptions = {}): Promise<EtcdList> {
    const end = prefixEnd(Buffer.from(prefix)) ?? Buffer.from([0]);
    const request = [bytesField(1, Buffer.from(from)), bytesField(2, end), numberField(3, BigInt(limit)), numberField(4, revision)];
    return listOf(await this.#call('/etcdserverpb.KV/Range', Buffer.concat(request)));
  }

  async get(key: string): Promise<EtcdList> {
    return listOf(await this.#call('/etcdserverpb.KV/Range', bytesField(1, Buffer.from(key))));
  }

  watch(prefix: string, options: EtcdWatchOptions = {}): EtcdWatch {
    const start = Buffer.from(prefix);
    const create = [
      bytesField(1, start),
      bytesField(2, prefixEnd(start) ?? Buffer.from([0])),
      numberField(3, options.startRevision ?? 0n),
      numberField(6, options.prevKv === true ? 1n : 0n),
    ];
    const stream = this.#open('/etcdserverpb.Watch/Watch');
    stream.write(framed(bytesField(1, Buffer.concat(create))));
    return watchOn(stream);
  }

  #open(path: string): ClientHttp2Stream {
    if (this.#lost !== null) throw new EtcdError(UNAVAILABLE, this.#lost.message);
    const { HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH, HTTP2_HEADER_CONTENT_TYPE, HTTP2_HEADER_TE } = constants;
    return this.#session.request({
      [HTTP2_HEADER_METHOD]: 'POST',
      [HTTP2_HEADER_PATH]: path,
      [HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [HTTP2_HEADER_TE]: 'trailers',
    });
  }

  async #call(path: string, request: Buffer): Promise<Buffer> {
    const stream = this.#open(path);
    const messages: Buffer[] = [];
    const ended = receive(stream, (message) => messages.push(message));
    stream.end(framed(request));
    const error = await ended;
    const [answer] = messages;
    if (error !== null) throw error;
    if (answer === undefined) throw new EtcdError(UNAVAILABLE, `${path} ended well without an answer`);
    return answer;
  }
}

/** Hands on the messages of a call; resolves at its end: null when it ended well. */
function receive(stream: ClientHttp2Stream, onMessage: (message: Buffer) => void): Promise<EtcdError | null> {
  return new Promise((resolve) => {
    let held: Buffer[] = [];
    let size = 0;
    /** Bytes of the next message and its frame, as far as its length is known. */
    let wanted = FRAME_BYTES;
    let status: EtcdError | null | undefined;
    const read = (headers: NodeJS.Dict<string | string[]>): void => {
      const code = headers['grpc-status'];
      if (code === undefined) return;
      const text = decodeURIComponent(String(headers['grpc-message'] ?? ''));
      status = code === '0' ? null : new EtcdError(Number(code), text);
    };
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('data', (chunk: Buffer) => {
      held.push(chunk);
      size += chunk.length;
      if (size < wanted) return;
      // Once a message: a large one comes in thousands of chunks.
      let pending = Buffer.concat(held);
      for (;;) {
        wanted = FRAME_BYTES + (pending.length < FRAME_BYTES ? 0 : pending.readUInt32BE(1));
        if (pending.length < wanted) break;
        onMessage(pending.subarray(FRAME_BYTES, wanted));
        pending = pending.subarray(wanted);
      }
      held = [pending];
      size = pending.length;
    });
    stream.on('error', (error: Error) => (status ??= new EtcdError(UNAVAILABLE, error.message)));
    stream.on('close', () => resolve(status === undefined ? new EtcdError(UNAVAILABLE, 'the connection was lost') : status));
  });
}

function watchOn(stream: ClientHttp2Stream): EtcdWatch {
  const messages: WatchedMessage[] = [];
  let waiting: (() => void)[] = [];
  let isOver = false;
  let isCreated: (revision: Revision) => void = () => undefined;
  let isRefused: (error: Error) => void = () => undefined;
  const created = new Promise<Revision>((resolve, reject) => {
    isCreated = resolve;
    isRefused = reject;
  });
  created.catch(() => undefined); // told by `ended`, too
  const tell = (): void => {
    const told = waiting;
    waiting = [];
    for (const resolve of told) resolve();
  };
  let reason: Error | null = null;
  const ended = receive(stream, (message) => {
    const answer = watchAnswer(message);
    if (answer.isCreated) isCreated(answer.revision);
    if (answer.isCanceled) {
      reason = new EtcdError(0, answer.compactRevision > 0n ? `compacted at ${answer.compactRevision}` : 'canceled');
      stream.close();
    } else if (answer.events.length > 0) messages.push({ type: 'events', revision: answer.revision, events: answer.events });
    else if (!answer.isCreated) messages.push({ type: 'progress', revision: answer.revision });
    tell();
  }).then((error) => {
    isOver = true;
    const why = reason ?? error ?? new Error('the watch ended well');
    isRefused(why);
    tell();
    return why;
  });
  return {
    messages,
    created,
    ended,
    until: async (holds) => {
      while (!isOver && !holds()) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    requestProgress: () => void stream.write(framed(bytesField(3, Buffer.alloc(0)))),
    close: () => stream.close(constants.NGHTTP2_CANCEL),
  };
}

function watchAnswer(message: Buffer) {
  const fields = fieldsOf(message);
  const number = (wanted: number): bigint => fields.find(({ field }) => field === wanted)?.number ?? 0n;
  return {
    revision: headerRevision(message),
    isCreated: number(3) === 1n,
    isCanceled: number(4) === 1n,
    compactRevision: number(5),
    events: fields.flatMap(({ field, bytes }) => (field === 11 && bytes !== null ? [decodeEventBody(bytes)] : [])),
  };
}

function putRequest(key: string, value: string): Buffer {
  return Buffer.concat([bytesField(1, Buffer.from(key)), bytesField(2, Buffer.from(value))]);
}

function listOf(answer: Buffer): EtcdList {
  const fields = fieldsOf(answer);
  return {
    revision: headerRevision(answer),
    count: Number(fields.find(({ field }) => field === 4)?.number ?? 0n),
    more: fields.some(({ field, number }) => field === 3 && number === 1n),
    kvs: fields.flatMap(({ field, bytes }) => (field === 2 && bytes !== null ? [decodeKeyValue(bytes)] : [])),
  };
}

/** Every answer has its header as field 1, and that its revision as field 3. */
function headerRevision(answer: Buffer): Revision {
  const header = fieldsOf(answer).find(({ field }) => field === 1)?.bytes;
  if (header === undefined || header === null) throw new EtcdError(UNAVAILABLE, 'an answer has no header');
  return fieldsOf(header).find(({ field }) => field === 3)?.number ?? 0n;
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
