import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import type { ConnectionOptions } from 'node:tls';
import { messageOf } from '@harikube/keyspace';
import type { Encodable } from './etcd-messages.js';

/** gRPC's codes (its doc/statuscodes.md), those that etcd answers with or that something depends on here. */
export const GrpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** A call that was not answered well. */
export class MemberCallError extends Error {
  override readonly name = 'MemberCallError';
  constructor(
    message: string,
    /** Of gRPC: the member's, or what stands for its silence. */
    readonly code: number,
    /** False: nothing of the call has left. */
    readonly wasSent: boolean,
  ) {
    super(message);
  }
}

/** What of one answer of a large range may be on its way, and of all answers together. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Before each message: whether it is compressed, and its length. */
const FRAME_HEAD_BYTES = 5;
const HTTP_OK = 200;
/** Calls with so much in them are written into memory that is kept: what is made anew for each of them has the collector run for it. */
const LARGE_CALL_BYTES = 4 * 1024;
/** What is kept, and what is too large to be. */
const LEAST_SPARE_BYTES = 64 * 1024;
const MOST_SPARE_BYTES = 256 * 1024;

/** One HTTP/2 connection to one member of an etcd, for gRPC's unary calls. It is never connected again. */
export class MemberConnection {
  readonly #session: ClientHttp2Session;
  /** Calls leave from now on; those before it wait. */
  #isConnected = false;
  /** Why the connection ended. */
  #reason = 'the connection was closed';
  #underWay = 0;
  #isEnding = false;
  /** Of an answered call, which has left whole: the next one is written there. */
  #spare: Buffer | null = null;

  readonly #scheme: string;
  readonly #authority: string;

  constructor(url: string, tls: ConnectionOptions | null) {
    const { protocol, host } = new URL(url);
    this.#scheme = protocol.slice(0, -1);
    this.#authority = host;
    this.#session = connect(url, { ...tls, settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES } });
    this.#session.once('connect', (session) => {
      this.#isConnected = true;
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    });
    this.#session.on('error', (error) => (this.#reason = messageOf(error)));
  }

  /** False: it has ended, or ends with the calls that are under way. */
  get isUsable(): boolean {
    return !this.#isEnding && !this.#session.closed && !this.#session.destroyed;
  }

  /** The answer's message. Rejects with MemberCallError. `deadline`: by `performance.now()`. */
  call(path: string, message: Encodable, deadline: number, token: string | null): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let stream: ClientHttp2Stream;
      try {
        stream = this.#session.request([
          ...[':method', 'POST', ':scheme', this.#scheme, ':authority', this.#authority, ':path', path],
          ...['content-type', 'application/grpc', 'te', 'trailers'],
          ...(token === null ? [] : ['token', token]),
        ]);
      } catch (error) {
        reject(new MemberCallError(messageOf(error), GrpcCode.unavailable, false));
        return;
      }
      this.#underWay++;
      let isOver = false;
      const over = (tell: () => void): void => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        tell();
        this.#underWay--;
        this.#endIfDone();
      };
      const fail = (code: number, reason: string): void => over(() => reject(new MemberCallError(reason, code, this.#isConnected)));
      const timer = setTimeout(
        () => {
          fail(GrpcCode.deadlineExceeded, 'no answer in time');
          stream.close(constants.NGHTTP2_CANCEL);
        },
        Math.max(0, deadline - performance.now()),
      );
      const chunks: Buffer[] = [];
      let headers: IncomingHttpHeaders = {};
      let httpStatus = HTTP_OK;
      let trailers: IncomingHttpHeaders | null = null;
      let lostBy: string | null = null;
      stream.on('response', (received) => {
        headers = received;
        httpStatus = received[':status'] ?? HTTP_OK;
      });
      stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        // Node counts what has not left against the memory of the connection until that ends, and answers nothing any more when it is used up.
        if (!stream.writableFinished) this.#isEnding = true;
        // An answer without a message has its status among its headers.
        const told: IncomingHttpHeaders = trailers ?? headers;
        const code = told['grpc-status'];
        if (code === undefined) return;
        if (code !== '0') return fail(Number(code), percentDecoded(String(told['grpc-message'] ?? '')));
        const answer = messageIn(chunks);
        if (answer === null) return fail(GrpcCode.internal, 'the answer is not one message');
        if (stream.writableFinished) this.#keep(memory);
        over(() => resolve(answer));
      });
      // A call that waits for the connection is told why there is none by the cause.
      stream.on('error', (error: Error) => (lostBy = messageOf(error.cause ?? error)));
      // Comes last, and behind every answer: then it says nothing any more.
      stream.on('close', () => {
        if (httpStatus !== HTTP_OK) fail(GrpcCode.unknown, `it answers HTTP ${httpStatus}: it may be no etcd`);
        else fail(GrpcCode.unavailable, lostBy ?? this.#reason);
      });
      const memory = this.#memoryFor(FRAME_HEAD_BYTES + message.length);
      stream.end(framed(message, memory));
    });
  }

  /** Calls that are under way come to their end, each in its own time, and no others begin. */
  end(): void {
    this.#isEnding = true;
    this.#endIfDone();
  }

  /** At once, whatever is under way. */
  destroy(): void {
    this.#session.destroy();
  }

  #memoryFor(bytes: number): Buffer {
    if (bytes < LARGE_CALL_BYTES) return Buffer.allocUnsafe(bytes);
    const spare = this.#spare;
    if (spare === null || spare.length < bytes) return Buffer.allocUnsafeSlow(Math.max(bytes, LEAST_SPARE_BYTES));
    this.#spare = null;
    return spare;
  }

  #keep(memory: Buffer): void {
    if (memory.length >= LEAST_SPARE_BYTES && memory.length <= MOST_SPARE_BYTES) this.#spare = memory;
  }

  /** Not in order: a peer that says nothing would never answer to that. */
  #endIfDone(): void {
    if (this.#isEnding && this.#underWay === 0) this.#session.destroy();
  }
}

/** A message behind its head, uncompressed. */
function framed(message: Encodable, memory: Buffer): Buffer {
  memory[0] = 0;
  memory.writeUInt32BE(message.length, 1);
  return memory.subarray(0, message.writeTo(memory, FRAME_HEAD_BYTES));
}

/** Null: there is not exactly one that is plain. */
function messageIn(chunks: readonly Buffer[]): Buffer | null {
  const [first] = chunks;
  const bytes = first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks);
  if (bytes.length < FRAME_HEAD_BYTES || bytes[0] !== 0) return null;
  return bytes.readUInt32BE(1) === bytes.length - FRAME_HEAD_BYTES ? bytes.subarray(FRAME_HEAD_BYTES) : null;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
