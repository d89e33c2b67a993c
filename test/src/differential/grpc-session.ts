import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';

export interface GrpcOutcome {
  /** -1: the connection was lost. */
  readonly code: number;
  readonly text: string;
  readonly messages: readonly Buffer[];
}

/** A bare gRPC client. */
export class GrpcSession {
  readonly #session: ClientHttp2Session;

  constructor(address: string) {
    this.#session = connect(address);
    this.#session.on('error', () => undefined); // told by the calls
  }

  /** Sends all messages, says that there are no more, and waits for the end. */
  exchange(path: string, messages: readonly Buffer[]): Promise<GrpcOutcome> {
    const received: Buffer[] = [];
    const call = new GrpcCall(this.#open(path), (message) => received.push(message));
    for (const message of messages) call.send(message);
    call.end();
    return call.ended.then(({ code, text }) => ({ code, text, messages: received }));
  }

  open(path: string, onMessage: (message: Buffer) => void): GrpcCall {
    return new GrpcCall(this.#open(path), onMessage);
  }

  close(): void {
    this.#session.destroy();
  }

  #open(path: string): ClientHttp2Stream {
    return this.#session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' });
  }
}

export class GrpcCall {
  readonly ended: Promise<{ readonly code: number; readonly text: string }>;

  constructor(
    private readonly stream: ClientHttp2Stream,
    onMessage: (message: Buffer) => void,
  ) {
    let fields: IncomingHttpHeaders = {};
    let waiting: Buffer = Buffer.alloc(0);
    const take = (more: IncomingHttpHeaders): void => void (fields = { ...fields, ...more });
    stream.on('response', take);
    stream.on('trailers', take);
    stream.on('error', () => undefined); // told by `close`
    stream.on('data', (chunk: Buffer) => {
      waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
      while (waiting.length >= 5 && waiting.length >= 5 + waiting.readUInt32BE(1)) {
        const end = 5 + waiting.readUInt32BE(1);
        onMessage(waiting.subarray(5, end));
        waiting = waiting.subarray(end);
      }
    });
    this.ended = new Promise((resolve) => {
      stream.on('close', () => {
        const code = fields['grpc-status'] === undefined ? -1 : Number(fields['grpc-status']);
        resolve({ code, text: decodeURIComponent(String(fields['grpc-message'] ?? '')) });
      });
    });
  }

  send(message: Buffer): void {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    this.stream.write(Buffer.concat([head, message]));
  }

  end(): void {
    this.stream.end();
  }

  cancel(): void {
    this.stream.close(constants.NGHTTP2_CANCEL);
  }
}
