import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { ClientConnection, encodeHeaders, type RequestFailure, type ResponseReceiver } from '@harikube/http2';
import { addressText, type EtcdAddress } from '../topology/endpoints/etcd.js';
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
const HTTP_OK = '200';
/** No answer of etcd's is longer: it refuses to send what gRPC counts with 31 bits, and what is asked for here is far below that. */
const MOST_ANSWER_BYTES = 1024 * 1024 * 1024;
/** Calls with so much in them are written into memory that is kept: what is made anew for each of them has the collector run for it. */
const LARGE_CALL_BYTES = 4 * 1024;
/** What is kept, and what is too large to be. */
const LEAST_SPARE_BYTES = 64 * 1024;
const MOST_SPARE_BYTES = 256 * 1024;

/** One HTTP/2 connection to one member of an etcd, for gRPC's unary calls. It is never connected again. */
export class MemberConnection {
  readonly #connection: ClientConnection;
  /** Calls leave from now on; those before it wait. */
  #isConnected = false;
  /** Of a call that has left whole: the next one is written there. */
  #spare: Buffer | null = null;
  /** By the path of a call without a token. */
  readonly #heads = new Map<string, Buffer>();

  readonly #scheme: string;
  readonly #authority: string;

  /** `tls` null: plain HTTP/2. */
  constructor(address: EtcdAddress, tls: ConnectionOptions | null) {
    this.#scheme = tls === null ? 'http' : 'https';
    this.#authority = addressText(address);
    const socket = tls === null ? this.#openPlain(address) : this.#openTls(address, tls);
    this.#connection = new ClientConnection(socket, {
      streamWindowBytes: STREAM_WINDOW_BYTES,
      connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    });
  }

  /** False: it has ended, or ends with the calls that are under way. */
  get isUsable(): boolean {
    return this.#connection.isUsable;
  }

  /** The answer's message. Rejects with MemberCallError. `deadline`: by `performance.now()`. */
  call(path: string, message: Encodable, deadline: number, token: string | null): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const fail = (code: number, reason: string, isUntouched: boolean): void => {
        clearTimeout(timer);
        reject(new MemberCallError(reason, code, this.#isConnected && !isUntouched));
      };
      const memory = this.#memoryFor(FRAME_HEAD_BYTES + message.length);
      const answer = new UnaryAnswer(
        () => this.#keep(memory),
        (bytes) => {
          clearTimeout(timer);
          resolve(bytes);
        },
        fail,
      );
      const request = this.#connection.request(this.#head(path, token), framed(message, memory), answer);
      const timer = setTimeout(
        () => {
          fail(GrpcCode.deadlineExceeded, 'no answer in time', request.cancel());
        },
        Math.max(0, deadline - performance.now()),
      );
    });
  }

  /** Calls that are under way come to their end, each in its own time, and no others begin. */
  end(): void {
    this.#connection.end();
  }

  /** At once, whatever is under way. */
  destroy(): void {
    this.#connection.destroy();
  }

  #openPlain({ host, port }: EtcdAddress): Socket {
    const socket = connectPlain({ host, port, noDelay: true });
    socket.once('connect', () => (this.#isConnected = true));
    return socket;
  }

  #openTls({ host, port }: EtcdAddress, tls: ConnectionOptions): TLSSocket {
    const servername = isIP(host) > 0 ? {} : { servername: host };
    const socket = connectTls({ ...servername, ...tls, host, port, ALPNProtocols: ['h2'] });
    socket.setNoDelay(true);
    socket.once('secureConnect', () => {
      if (socket.alpnProtocol === 'h2') this.#isConnected = true;
      else socket.destroy(new Error('it does not speak HTTP/2'));
    });
    return socket;
  }

  #head(path: string, token: string | null): Buffer {
    const known = token === null ? this.#heads.get(path) : undefined;
    if (known !== undefined) return known;
    const head = encodeHeaders([
      [':method', 'POST'],
      [':scheme', this.#scheme],
      [':path', path],
      [':authority', this.#authority],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ...(token === null ? [] : [['token', token] as const]),
    ]);
    if (token === null) this.#heads.set(path, head);
    return head;
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
}

/** The answer to one call: one message, and a status. */
class UnaryAnswer implements ResponseReceiver {
  #httpStatus = HTTP_OK;
  #grpcStatus: string | undefined;
  #grpcMessage = '';
  /** What stands before the message. */
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headBytes = 0;
  #message: Buffer | null = null;
  #filled = 0;
  /** It is no single plain message. */
  #isBroken = false;

  constructor(
    readonly bodyDone: () => void,
    private readonly succeed: (message: Buffer) => void,
    private readonly fail: (code: number, reason: string, isUntouched: boolean) => void,
  ) {}

  /** An answer without a message has its status among its headers. */
  headers(fields: ReadonlyMap<string, string>): void {
    this.#httpStatus = fields.get(':status') ?? this.#httpStatus;
    this.#grpcStatus = fields.get('grpc-status') ?? this.#grpcStatus;
    this.#grpcMessage = fields.get('grpc-message') ?? this.#grpcMessage;
  }

  data(bytes: Buffer, start: number, end: number): void {
    const from = start + this.#readHead(bytes, start, end);
    if (from === end) return;
    const message = this.#message;
    if (message === null || this.#filled + end - from > message.length) this.#isBroken = true;
    else this.#filled += bytes.copy(message, this.#filled, from, end);
  }

  closed(failure: RequestFailure | null): void {
    const code = this.#grpcStatus;
    if (failure !== null) this.fail(GrpcCode.unavailable, failure.reason, failure.isUntouched);
    else if (this.#httpStatus !== HTTP_OK) this.fail(GrpcCode.unknown, `it answers HTTP ${this.#httpStatus}: it may be no etcd`, false);
    else if (code === undefined) this.fail(GrpcCode.unknown, 'its answer has no gRPC status: it may be no etcd', false);
    else if (code !== '0') this.fail(Number(code), percentDecoded(this.#grpcMessage), false);
    else if (this.#isBroken || this.#message === null || this.#filled < this.#message.length) {
      this.fail(GrpcCode.internal, 'the answer is not one message', false);
    } else this.succeed(this.#message);
  }

  /** How many of the bytes belong to what stands before the message. */
  #readHead(bytes: Buffer, start: number, end: number): number {
    if (this.#headBytes === FRAME_HEAD_BYTES) return 0;
    const read = bytes.copy(this.#head, this.#headBytes, start, end);
    this.#headBytes += read;
    if (this.#headBytes < FRAME_HEAD_BYTES) return read;
    const length = this.#head.readUInt32BE(1);
    if (this.#head[0] !== 0 || length > MOST_ANSWER_BYTES) this.#isBroken = true;
    else this.#message = Buffer.allocUnsafeSlow(length);
    return read;
  }
}

/** A message behind its head, uncompressed. */
function framed(message: Encodable, memory: Buffer): Buffer {
  memory[0] = 0;
  memory.writeUInt32BE(message.length, 1);
  return memory.subarray(0, message.writeTo(memory, FRAME_HEAD_BYTES));
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
