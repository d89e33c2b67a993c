import { freeBlock } from '@harikube/keyspace';
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import type { LargeReply, Reply } from '../wire/reply.js';
import { FrameAssembler } from './frame-assembler.js';
import { encodeGrpcMessage } from './grpc-message.js';
import type { CallObserver, MethodName, Route, StreamCall, StreamHandler, StreamRoute, UnaryRoute } from './grpc-server.js';
import { parseGrpcTimeout } from './grpc-timeout.js';

/** What all calls of a server share. */
export interface CallEnvironment {
  readonly toGrpcError: (error: unknown) => GrpcError;
  readonly observer: CallObserver | undefined;
  /** Bytes that may wait for a stream's client before `send` says stop. */
  readonly streamBufferBytes: number;
  readonly openStreams: Set<Http2Call>;
}

/** Marks a stream with its call, so that one set of listeners serves every stream. */
const CALL = Symbol('call');
type CallStream = ServerHttp2Stream & { [CALL]?: Http2Call };

const RESPONSE_HEADERS: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
/** The same as a list, which Node takes with less ado. */
const RESPONSE_HEADER_LIST = [':status', '200', 'content-type', 'application/grpc'];
// `sendDate` is documented for respond() and missing in its type.
const RESPONSE_OPTIONS = { waitForTrailers: true, sendDate: false };
const TRAILERS_ONLY_OPTIONS = { endStream: true, sendDate: false };
const OK_TRAILERS: OutgoingHttpHeaders = { 'grpc-status': '0' };

function onData(this: CallStream, chunk: Buffer): void {
  this[CALL]?.receive(chunk);
}
function onEnd(this: CallStream): void {
  this[CALL]?.receiveEnd();
}
function onClose(this: CallStream): void {
  this[CALL]?.closed();
}
function onDrain(this: CallStream): void {
  this[CALL]?.drained();
}
function onWantTrailers(this: CallStream): void {
  this[CALL]?.sendTrailers();
}
/** A reset by the client is told again by 'close'; there is nothing to do about the error itself. */
function onError(): void {}

/** How long a client may keep its side of a call open that has been answered. */
const LINGER_MS = 1000;

/**
 * Clients close their side when they are answered early. For one that does not, the stream is reset without an error, as
 * RFC 9113 section 8.1 lets a server do; not while frames still wait for the socket, since a reset would take them along.
 */
function onLingered(stream: CallStream): void {
  if (stream.closed || stream.destroyed) return;
  if ((stream.session?.state.outboundQueueSize ?? 0) > 0) linger(stream);
  else stream.close(constants.NGHTTP2_NO_ERROR);
}

function linger(stream: CallStream): void {
  setTimeout(onLingered, LINGER_MS, stream).unref();
}

function onDeadline(call: Http2Call): void {
  call.deadlinePassed();
}

function onStillOpen(call: Http2Call, milliseconds: number): void {
  call.setDeadline(milliseconds);
}

/** One call over one HTTP/2 stream. */
export class Http2Call implements StreamCall {
  private readonly assembler: FrameAssembler;
  private handler: StreamHandler | null = null;
  private controller: AbortController | null = null;
  private timer: NodeJS.Timeout | null = null;
  private trailers = OK_TRAILERS;
  private waiters: (() => void)[] = [];
  private isStarted = false;
  private isFinished = false;
  private isClosed = false;

  constructor(
    private readonly stream: CallStream,
    readonly metadata: IncomingHttpHeaders,
    private readonly route: Route,
    private readonly method: MethodName,
    private readonly environment: CallEnvironment,
  ) {
    this.assembler = new FrameAssembler(metadata['grpc-encoding'] as string | undefined);
  }

  start(): void {
    const { stream, route } = this;
    stream[CALL] = this;
    stream.on('data', onData);
    stream.on('end', onEnd);
    stream.on('close', onClose);
    stream.on('error', onError);
    stream.on('wantTrailers', onWantTrailers);
    this.environment.observer?.started(this.method);
    const timeout = this.metadata['grpc-timeout'];
    if (timeout !== undefined && (route.kind === 'stream' || route.cancellable)) {
      try {
        // Most calls are over in this turn of the event loop: a timer each would cost them more than the rest of the header.
        setImmediate(onStillOpen, this, parseGrpcTimeout(String(timeout)));
      } catch (error) {
        this.fail(error);
        return;
      }
    }
    if (route.kind === 'stream') this.open(route);
  }

  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.isClosed) this.controller.abort();
    return this.controller.signal;
  }

  send(frame: Buffer | readonly Buffer[]): boolean {
    if (this.isOver) return false;
    this.respond();
    if (Buffer.isBuffer(frame)) this.stream.write(frame);
    else {
      this.stream.cork();
      for (const part of frame) this.stream.write(part);
      this.stream.uncork();
    }
    this.environment.observer?.messageSent(this.method);
    return this.stream.writableLength <= this.environment.streamBufferBytes;
  }

  async flushed(): Promise<boolean> {
    while (!this.isOver && this.stream.writableNeedDrain) {
      await new Promise<void>((resolve) => this.waiters.push(resolve));
    }
    return !this.isOver;
  }

  end(): void {
    this.finish(GrpcCode.Ok, '');
  }

  fail(error: unknown): void {
    const { code, message } = this.environment.toGrpcError(error);
    this.finish(code, message);
  }

  receive(chunk: Buffer): void {
    if (this.isFinished) return;
    try {
      this.assembler.push(chunk);
      for (let message = this.assembler.next(); message !== null; message = this.assembler.next()) {
        this.environment.observer?.messageReceived(this.method);
        if (this.handler !== null) this.handler.message(message);
        else if (this.route.kind === 'unary' && !this.isStarted) {
          this.isStarted = true;
          void this.run(this.route, message);
        }
        if (this.isFinished) return;
      }
    } catch (error) {
      this.fail(error);
    }
  }

  receiveEnd(): void {
    if (this.isFinished) return;
    if (this.assembler.isPartial && !(this.route.kind === 'unary' && this.isStarted)) {
      this.fail(new GrpcError(GrpcCode.Internal, 'grpc: the stream ended inside a message'));
    } else if (this.route.kind === 'unary') {
      if (!this.isStarted) this.fail(new GrpcError(GrpcCode.Internal, 'grpc: the stream ended without a message'));
    } else this.handler?.halfClosed();
  }

  drained(): void {
    this.wake();
    if (!this.isFinished) this.handler?.drained();
  }

  closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.conclude(GrpcCode.Canceled);
    this.controller?.abort();
    this.wake();
  }

  setDeadline(milliseconds: number): void {
    if (!this.isFinished) this.timer = setTimeout(onDeadline, milliseconds, this);
  }

  deadlinePassed(): void {
    this.fail(new GrpcError(GrpcCode.DeadlineExceeded, 'context deadline exceeded'));
    this.controller?.abort();
  }

  sendTrailers(): void {
    if (this.stream.destroyed || this.stream.closed) return;
    this.stream.sendTrailers(this.trailers);
    if (!this.stream.readableEnded) linger(this.stream);
  }

  private open(route: StreamRoute): void {
    this.stream.on('drain', onDrain);
    this.environment.openStreams.add(this);
    try {
      this.handler = route.open(this);
    } catch (error) {
      this.fail(error);
    }
    if (this.isFinished) this.handler?.closed();
  }

  private async run(route: UnaryRoute, message: Buffer): Promise<void> {
    let reply: Reply;
    try {
      reply = await route.handle(message, this);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (!Buffer.isBuffer(reply)) await this.sendLarge(reply);
    else if (!this.isOver) {
      this.respond();
      this.conclude(GrpcCode.Ok);
      this.stream.end(reply);
    }
  }

  /** Sends block by block, as fast as the client reads, and gives the rest back when the client goes away. */
  private async sendLarge(reply: LargeReply): Promise<void> {
    if (this.isOver) {
      await reply.rest?.return().catch((error: unknown) => this.environment.toGrpcError(error));
      return;
    }
    let sent = reply.tail.length;
    try {
      this.respond();
      this.stream.on('drain', onDrain);
      this.stream.cork();
      for (const block of reply.head) {
        sent += block.length;
        this.write(block);
      }
      this.stream.uncork();
      for await (const block of reply.rest ?? []) {
        if (this.isOver) return;
        sent += block.length;
        if (!this.write(block) && !(await this.flushed())) return;
      }
      if (this.isOver) return;
      if (sent !== reply.length) throw new Error(`a reply announced ${reply.length} bytes and has ${sent}`);
    } catch (error) {
      // The frame's length is already with the client: only a reset can tell it that the message will not be whole.
      this.conclude(this.environment.toGrpcError(error).code);
      this.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    this.conclude(GrpcCode.Ok);
    this.stream.end(reply.tail);
  }

  /** Frees a block's memory when the socket has taken it; after an error it is left to the collector. */
  private write(block: Buffer): boolean {
    return this.stream.write(block, (error) => {
      if (error === null || error === undefined) freeBlock(block);
    });
  }

  /** Nothing can be sent: the outcome stands, or the stream is gone and 'close' is about to tell. */
  private get isOver(): boolean {
    return this.isFinished || this.stream.destroyed || this.stream.closed;
  }

  private respond(): void {
    if (!this.stream.headersSent) this.stream.respond(RESPONSE_HEADER_LIST, RESPONSE_OPTIONS);
  }

  private finish(code: GrpcCode, message: string): void {
    if (this.isOver) return;
    const { stream } = this;
    this.conclude(code);
    if (!stream.headersSent) {
      stream.respond({ ...RESPONSE_HEADERS, ...statusTrailers(code, message) }, TRAILERS_ONLY_OPTIONS);
      if (!stream.readableEnded) linger(stream);
    } else {
      if (code !== GrpcCode.Ok) this.trailers = statusTrailers(code, message);
      stream.end();
    }
    this.wake();
  }

  /** The outcome stands: nothing is received or sent after this but what the caller sends itself. */
  private conclude(code: GrpcCode): void {
    if (this.isFinished) return;
    this.isFinished = true;
    if (this.route.kind === 'unary' && code === GrpcCode.Ok) this.environment.observer?.messageSent(this.method);
    this.environment.observer?.handled(this.method, code);
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.route.kind === 'stream') {
      this.environment.openStreams.delete(this);
      this.handler?.closed();
    }
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** Ends a stream that reaches no method. */
export function refuse(stream: ServerHttp2Stream, error: GrpcError, httpStatus = 200): void {
  stream.on('error', onError);
  if (stream.destroyed || stream.closed) return;
  stream.resume();
  const headers = { ...RESPONSE_HEADERS, ':status': httpStatus, ...statusTrailers(error.code, error.message) };
  stream.respond(headers, TRAILERS_ONLY_OPTIONS);
  linger(stream);
}

function statusTrailers(code: GrpcCode, message: string): OutgoingHttpHeaders {
  return { 'grpc-status': String(code), 'grpc-message': encodeGrpcMessage(message) };
}
