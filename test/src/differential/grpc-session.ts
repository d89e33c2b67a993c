import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';

export interface GrpcOutcome {
  /** -1: the connection was lost. */
  readonly code: number;
  readonly text: string;
  readonly messages: readonly Buffer[];
}

/**
 * Of a request that is answered before all of it has left, Node counts the rest against this until the connection ends, and at the
 * default of 10 it refuses every further answer.
 */
const SESSION_MEGABYTES = 4096;

/** A bare gRPC client. */
export class GrpcSession {
  readonly #session: ClientHttp2Session;

  constructor(address: string) {
    this.#session = connect(address, { maxSessionMemory: SESSION_MEGABYTES });
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
    const frames = new FrameCutter(onMessage);
    const take = (more: IncomingHttpHeaders): void => void (fields = { ...fields, ...more });
    stream.on('response', take);
    stream.on('trailers', take);
    stream.on('error', () => undefined); // told by `close`
    stream.on('data', (chunk: Buffer) => frames.push(chunk));
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

/** Cuts messages out of chunks. One may be of a hundred megabytes, so chunks are put together once only. */
class FrameCutter {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = FRAME_HEAD;

  constructor(private readonly onMessage: (message: Buffer) => void) {}

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= this.#wanted) {
      const bytes = Buffer.concat(this.#chunks);
      const end = FRAME_HEAD + bytes.readUInt32BE(1);
      const isWhole = bytes.length >= end;
      this.#wanted = isWhole ? FRAME_HEAD : end;
      this.#chunks = [isWhole ? bytes.subarray(end) : bytes];
      this.#bytes = isWhole ? bytes.length - end : bytes.length;
      if (isWhole) this.onMessage(bytes.subarray(FRAME_HEAD, end));
    }
  }
}

/** A flag and the length. */
const FRAME_HEAD = 5;
