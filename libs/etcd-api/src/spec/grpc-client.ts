import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';

/** How a call ended. */
export interface Outcome {
  readonly code: number;
  readonly text: string;
  readonly messages: readonly Buffer[];
  readonly httpStatus: number;
}

/** A message in gRPC's frame. */
export function frameOf(message: Buffer, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** One call. What it receives is kept until somebody asks. */
export class ClientCall {
  readonly outcome: Promise<Outcome>;
  private readonly messages: Buffer[] = [];
  private taken = 0;
  private buffered = Buffer.alloc(0);
  private isOver = false;
  private waiters: (() => void)[] = [];

  constructor(
    readonly stream: ClientHttp2Stream,
    closesWhenAnswered: boolean,
  ) {
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    stream.on('response', (received: IncomingHttpHeaders) => (headers = received));
    stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
    stream.on('data', (chunk: Buffer) => this.receive(chunk));
    stream.on('error', () => {});
    if (closesWhenAnswered) stream.on('end', () => stream.close());
    this.outcome = new Promise((resolve) => {
      stream.on('close', () => {
        this.isOver = true;
        this.wake();
        const status = { ...headers, ...trailers };
        const text = decodeURIComponent(String(status['grpc-message'] ?? ''));
        const code = status['grpc-status'] === undefined ? -1 - stream.rstCode : Number(status['grpc-status']);
        resolve({ code, text, messages: this.messages, httpStatus: Number(headers[':status'] ?? 0) });
      });
    });
  }

  send(message: Buffer): void {
    this.stream.write(frameOf(message));
  }

  /** The next message; throws when the stream ends without one. */
  async next(): Promise<Buffer> {
    while (this.taken >= this.messages.length) {
      if (this.isOver) throw new Error('the stream is over');
      await new Promise<void>((resolve) => this.waiters.push(resolve));
    }
    return this.messages[this.taken++] as Buffer;
  }

  private receive(chunk: Buffer): void {
    this.buffered = Buffer.concat([this.buffered, chunk]);
    while (this.buffered.length >= 5 && this.buffered.length >= 5 + this.buffered.readUInt32BE(1)) {
      const end = 5 + this.buffered.readUInt32BE(1);
      this.messages.push(this.buffered.subarray(5, end));
      this.buffered = this.buffered.subarray(end);
    }
    this.wake();
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** A gRPC client on nothing but `node:http2`. */
export class GrpcClient {
  readonly session: ClientHttp2Session;

  constructor(url: string, options: SecureClientSessionOptions = {}) {
    const path = /^unix:\/\/(.*)$/.exec(url)?.[1];
    this.session =
      path === undefined ? connect(url, options) : connect('http://localhost', { createConnection: () => connectSocket(path) });
    this.session.on('error', () => {});
  }

  /** Opens a call; like every gRPC client it closes its side when it is answered, unless told not to. */
  open(path: string, headers: IncomingHttpHeaders = {}, closesWhenAnswered = true): ClientCall {
    return new ClientCall(
      this.session.request(
        { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers },
        { endStream: false },
      ),
      closesWhenAnswered,
    );
  }

  /** One message there, everything back. */
  call(path: string, message: Buffer, headers: IncomingHttpHeaders = {}): Promise<Outcome> {
    const call = this.open(path, headers);
    call.stream.end(frameOf(message));
    return call.outcome;
  }

  close(): void {
    this.session.destroy();
  }
}
