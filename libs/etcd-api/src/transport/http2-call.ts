import { encodeHeaders, ErrorCode, type HeaderPair } from '@harikube/http2';
import { freeBlock } from '@harikube/keyspace';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import type { LargeReply, Reply } from '../wire/reply.js';
import type { Deadlines, Expiring } from './deadlines.js';
import { FrameAssembler, wholeMessage } from './frame-assembler.js';
import { encodeGrpcMessage } from './grpc-message.js';
import type { CallObserver, MethodName, Route, StreamCall, StreamHandler, StreamRoute, UnaryRoute } from './grpc-server.js';
import { parseGrpcTimeout } from './grpc-timeout.js';
import type { Read } from './http2/read-line.js';
import type { Http2Stream, StreamReceiver } from './http2/stream.js';

/** What all calls of a server share. */
export interface CallEnvironment {
  readonly toGrpcError: (error: unknown) => GrpcError;
  readonly observer: CallObserver | undefined;
  /** Bytes that may wait for a stream's client before `send` says stop. */
  readonly streamBufferBytes: number;
  readonly openStreams: Set<Http2Call>;
  readonly deadlines: Deadlines;
}

/** Blocks of a large reply are asked for while no more than this waits for the client. */
const LARGE_REPLY_BYTES = 512 * 1024;

/** One call over one HTTP/2 stream. */
export class Http2Call implements StreamCall, StreamReceiver, Expiring {
  due = 0;
  private assembler: FrameAssembler | null = null;
  private handler: StreamHandler | null = null;
  /** A call that only reads, in the connection's line. */
  private read: LinedRead | null = null;
  private controller: AbortController | null = null;
  private waiters: (() => void)[] = [];
  private isStarted = false;
  private isRunning = false;
  private isFinished = false;
  private isClosed = false;
  private hasDeadline = false;
  /** `send` has said stop since everything went out. */
  private isBehind = false;

  constructor(
    private readonly stream: Http2Stream,
    private readonly route: Route,
    private readonly method: MethodName,
    private readonly environment: CallEnvironment,
    private readonly encoding: string | undefined,
  ) {}

  start(timeout: string | undefined): void {
    const { stream, route } = this;
    stream.receiver = this;
    this.environment.observer?.started(this.method);
    if (timeout !== undefined && (route.kind === 'stream' || route.cancellable)) {
      try {
        this.environment.deadlines.add(this, parseGrpcTimeout(timeout), performance.now());
        this.hasDeadline = true;
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
    this.stream.write(Buffer.isBuffer(frame) ? [frame] : frame);
    this.environment.observer?.messageSent(this.method);
    if (!this.stream.isBehind(this.environment.streamBufferBytes)) return true;
    this.isBehind = true;
    return false;
  }

  async flushed(): Promise<boolean> {
    while (!this.isOver && this.stream.queuedBytes > 0) {
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

  data(bytes: Buffer, start: number, end: number): void {
    if (this.isFinished) return;
    try {
      if (this.assembler === null) {
        const message = wholeMessage(bytes, start, end);
        if (message !== null) {
          this.message(message);
          return;
        }
        this.assembler = new FrameAssembler(this.encoding);
      }
      const { assembler } = this;
      assembler.push(bytes.subarray(start, end));
      for (let message = assembler.next(); message !== null; message = assembler.next()) {
        this.message(message);
        if (this.isFinished) return;
      }
      assembler.keep();
      this.stream.hold(assembler.heldBytes);
    } catch (error) {
      this.fail(error);
      // gRPC-Go does the same.
      this.stream.stopReceiving();
    }
  }

  ended(): void {
    if (this.isFinished) return;
    const isPartial = this.assembler !== null && this.assembler.waitingBytes > 0;
    if (isPartial && !(this.route.kind === 'unary' && this.isStarted)) {
      this.fail(new GrpcError(GrpcCode.Internal, 'grpc: the stream ended inside a message'));
    } else if (this.route.kind === 'unary') {
      if (!this.isStarted) this.fail(new GrpcError(GrpcCode.Internal, 'grpc: the stream ended without a message'));
    } else this.handler?.halfClosed();
  }

  drained(): void {
    this.wake();
    if (this.isFinished || !this.isBehind) return;
    this.isBehind = false;
    this.handler?.drained();
  }

  closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.isRunning) this.stream.abandon();
    this.leaveLine();
    this.conclude(GrpcCode.Canceled);
    this.controller?.abort();
    this.wake();
  }

  /** The client's deadline has passed. */
  expire(): void {
    this.fail(new GrpcError(GrpcCode.DeadlineExceeded, 'context deadline exceeded'));
    this.controller?.abort();
  }

  private message(message: Buffer): void {
    this.environment.observer?.messageReceived(this.method);
    if (this.handler !== null) {
      this.stream.lend();
      this.stream.countMessage();
      this.handler.message(message);
    } else if (this.route.kind === 'unary' && !this.isStarted) {
      this.isStarted = true;
      if (this.route.isRead === true) this.enterLine(this.route, message);
      else {
        this.stream.lend();
        void this.run(this.route, message);
      }
    }
  }

  private open(route: StreamRoute): void {
    this.environment.openStreams.add(this);
    try {
      this.handler = route.open(this);
    } catch (error) {
      this.fail(error);
    }
    if (this.isFinished) this.handler?.closed();
  }

  /** Reads have a line: what they ask for is kept, since they may start later or again. */
  private enterLine(route: UnaryRoute, message: Buffer): void {
    const kept = Buffer.from(message);
    const read = new LinedRead(this, route, kept);
    this.read = read;
    this.stream.reads.enter(read);
  }

  private leaveLine(): void {
    if (this.read !== null) this.stream.reads.forget(this.read);
  }

  /** Runs a read that was in the line. */
  async runRead(read: LinedRead): Promise<void> {
    const { stream } = this;
    const { reads } = stream;
    this.isRunning = true;
    let bytes = 0;
    let tooLong = 0;
    try {
      const reply = await read.route.handle(read.message, this);
      bytes = bytesAtOnce(reply);
      if (!this.isOver && !reads.hasRoomFor(bytes)) {
        tooLong = bytes;
        await throwAway(reply);
      } else await this.answer(reply);
    } catch (error) {
      this.fail(error);
    }
    this.isRunning = false;
    stream.settle();
    if (tooLong === 0 || this.isOver) reads.leave(read, bytes);
    else reads.putBack(read, tooLong);
  }

  private async run(route: UnaryRoute, message: Buffer): Promise<void> {
    this.isRunning = true;
    try {
      await this.answer(await route.handle(message, this));
    } catch (error) {
      this.fail(error);
    }
    this.isRunning = false;
    this.stream.settle();
  }

  private async answer(reply: Reply): Promise<void> {
    if (Buffer.isBuffer(reply)) this.reply(reply);
    else await this.sendLarge(reply);
  }

  private reply(frame: Buffer): void {
    if (this.isOver) return;
    this.conclude(GrpcCode.Ok);
    this.stream.reply(frame);
  }

  /** Sends block by block, as fast as the client reads, and gives the rest back when the client goes away. */
  private async sendLarge(reply: LargeReply): Promise<void> {
    const { stream } = this;
    if (this.isOver) {
      await throwAway(reply).catch((error: unknown) => this.environment.toGrpcError(error));
      return;
    }
    let sent = reply.tail.length;
    for (const block of reply.head) sent += block.length;
    stream.isOwner = true;
    stream.write(reply.head);
    try {
      // Not `for await`: that would ask for a block before it is known whether there is room for it.
      const { rest } = reply;
      for (;;) {
        if (stream.queuedBytes > LARGE_REPLY_BYTES && !(await this.flushed())) return void (await rest?.return());
        const block = (await rest?.next())?.value ?? null;
        if (block === null) break;
        if (this.isOver) return void (await rest?.return());
        sent += block.length;
        stream.write([block]);
      }
      if (this.isOver) return;
      if (sent !== reply.length) throw new Error(`a reply announced ${reply.length} bytes and has ${sent}`);
    } catch (error) {
      // The frame's length is already with the client: only a reset can tell it that the message will not be whole.
      this.conclude(this.environment.toGrpcError(error).code);
      stream.reset(ErrorCode.InternalError);
      return;
    }
    this.conclude(GrpcCode.Ok);
    stream.reply(reply.tail);
  }

  giveUp(): void {
    this.stream.giveUp();
  }

  /** Nothing can be sent: the outcome stands. */
  get isOver(): boolean {
    return this.isFinished || this.isClosed;
  }

  private finish(code: GrpcCode, message: string): void {
    if (this.isOver) return;
    this.conclude(code);
    const { stream } = this;
    if (!stream.hasResponded) stream.end(wholeAnswer('200', code, message));
    else stream.end(code === GrpcCode.Ok ? null : encodeHeaders(statusOf(code, message)));
    this.wake();
  }

  /** The outcome stands: nothing is received or sent after this but what the caller sends itself. */
  private conclude(code: GrpcCode): void {
    if (this.isFinished) return;
    this.isFinished = true;
    this.assembler?.discard();
    this.assembler = null;
    this.leaveLine();
    const { environment } = this;
    if (this.route.kind === 'unary' && code === GrpcCode.Ok) environment.observer?.messageSent(this.method);
    environment.observer?.handled(this.method, code);
    if (this.hasDeadline) environment.deadlines.remove(this);
    if (this.route.kind === 'stream') {
      environment.openStreams.delete(this);
      this.handler?.closed();
    }
  }

  private wake(): void {
    if (this.waiters.length === 0) return;
    const waiters = this.waiters;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** A call in its connection's line of reads. */
class LinedRead implements Read {
  answerBytes = 0;
  expectedBytes = 0;

  constructor(
    private readonly call: Http2Call,
    readonly route: UnaryRoute,
    readonly message: Buffer,
  ) {}

  get requestBytes(): number {
    return this.message.length;
  }

  get isOver(): boolean {
    return this.call.isOver;
  }

  start(): void {
    void this.call.runRead(this);
  }

  giveUp(): void {
    this.call.giveUp();
  }
}

/** What an answer holds before the first byte of it is sent. */
function bytesAtOnce(reply: Reply): number {
  if (Buffer.isBuffer(reply)) return reply.length;
  return reply.head.reduce((sum, block) => sum + block.length, reply.tail.length);
}

async function throwAway(reply: Reply): Promise<void> {
  if (Buffer.isBuffer(reply)) return;
  reply.head.forEach(freeBlock);
  await reply.rest?.return();
}

/** Ends a stream that reaches no method. */
export function refuse(stream: Http2Stream, error: GrpcError, httpStatus = '200'): void {
  stream.end(wholeAnswer(httpStatus, error.code, error.message));
}

/** gRPC's "Trailers-Only": status and trailers in one block. */
function wholeAnswer(httpStatus: string, code: GrpcCode, message: string): Buffer {
  return encodeHeaders([[':status', httpStatus], ['content-type', 'application/grpc'], ...statusOf(code, message)]);
}

function statusOf(code: GrpcCode, message: string): readonly HeaderPair[] {
  return [
    ['grpc-status', String(code)],
    ['grpc-message', encodeGrpcMessage(message)],
  ];
}
