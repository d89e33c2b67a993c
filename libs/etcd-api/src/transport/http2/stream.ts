import { ErrorCode, Flag, FrameType, MAX_31_BITS, MAX_FRAME, type Output, ReceiveWindow, type ResponseEncoder } from '@harikube/http2';
import { freeBlock } from '@harikube/keyspace';
import type { Deadlines, Expiring } from '../deadlines.js';
import type { Budget, Http2Limits } from './limits.js';
import type { ReadLine } from './read-line.js';
import type { Sender, SendTurns } from './send-turns.js';
import type { ServerLoad } from './server-load.js';

/** Who is told what comes in on a stream. */
export interface StreamReceiver {
  /** A part of the body: `bytes` from `start` to `end`, which belong to the caller again when this returns. */
  data(bytes: Buffer, start: number, end: number): void;
  /** The client has sent everything. */
  ended(): void;
  /** Everything written has gone out, after a write that had to wait. */
  drained(): void;
  /** The stream is over; called exactly once. */
  closed(): void;
}

/** What the streams of a connection share. */
export interface StreamConnection {
  readonly limits: Http2Limits;
  readonly deadlines: Deadlines;
  readonly output: Output;
  readonly encoder: ResponseEncoder;
  readonly turns: SendTurns;
  readonly control: Budget;
  readonly reads: ReadLine;
  readonly server: ServerLoad;
  /** Bytes of answers not yet framed. */
  readonly queuedBytes: number;
  /** The stream whose answer alone is more than `maxUnreadBytes`: one such answer may wait for its reader beside everything else. */
  largeAnswer: Http2Stream | null;
  /** Calls given up whose handlers run on. */
  abandoned: number;
  /** See `Lender`. */
  lent: number;
  /** So many more bytes of answers wait, or fewer. */
  queue(bytes: number): void;
  /** An answer is not read: the connection ends. */
  stalled(): void;
  sendReset(streamId: number, code: ErrorCode, cost?: number): void;
  /** A call has ended for what the client did. */
  countReset(cost: number): void;
  /** There was no room for a request: for a while nothing more is read. */
  rest(): void;
  /** A message of a stream has come. */
  countMessage(): void;
  /** RST_STREAM or WINDOW_UPDATE. */
  sendNumber(type: number, streamId: number, number: number): void;
  /** The stream is over. */
  forget(stream: Http2Stream): void;
}

/** Frames that a stream sends before another one that waits has its turn. */
const FRAMES_PER_TURN = 4;

/**
 * One request and its answer (RFC 9113 section 5.1, without the states that only pushes have). What it sends waits here, unframed,
 * until both flow-control windows and the connection's output have room: so that an answer nobody reads holds no more than its own bytes, and
 * answers of one connection take turns.
 */
export class Http2Stream implements Expiring, Sender {
  due = 0;
  receiver: StreamReceiver | null = null;
  /** Bytes written that wait to be framed. */
  queuedBytes = 0;
  /** Nothing more can be sent: the stream is over, or its end is written. */
  isEnding = false;
  isClosed = false;
  isRemoteClosed = false;
  /** What is written belongs to nobody else: owned blocks are freed when they have been copied. */
  isOwner = false;
  /** What may be sent beyond the client's first window, which may change: below zero by what was sent, above by WINDOW_UPDATE. */
  credit = 0;
  /** It waits for its own window. */
  isStarved = false;
  private isLocalClosed = false;
  private receiveWindow: ReceiveWindow | null = null;
  private headers: 'none' | 'written' | 'sent' = 'none';
  private queue: Buffer[] = [];
  /** How much of the first buffer in the queue is sent. */
  private offset = 0;
  private trailers: Buffer | null = null;
  /** The header block of an answer that is no gRPC, whose end has no trailers. */
  private page: Buffer | null = null;
  private isHolder = false;
  private isAbandoned = false;
  private receivedBytes = 0;
  private sentBytes = 0;
  /** Something had to wait, and the receiver was not told yet that all of it is out. */
  private hasWaited = false;
  /** `sentBytes` when the clock began to run for an answer that waits; -1: it does not run. */
  private stalledAt = -1;

  constructor(
    private readonly connection: StreamConnection,
    readonly id: number,
    private readonly contentLength: number,
    /** The turn in which it was opened. */
    readonly turn: number,
  ) {}

  get hasResponded(): boolean {
    return this.headers !== 'none';
  }

  /** Reads of the connection. */
  get reads(): ReadLine {
    return this.connection.reads;
  }

  /** The client does not keep up: this stream has something to wait with, and more than this or all streams together may have. */
  isBehind(bytes: number): boolean {
    const { queuedBytes, connection } = this;
    return queuedBytes > bytes || (queuedBytes > 0 && connection.queuedBytes > connection.limits.maxQueuedBytes);
  }

  /** A whole good answer at once. */
  reply(frame: Buffer): void {
    this.respond();
    this.enqueue(frame);
    if (frame.length > this.connection.limits.maxUnreadBytes) this.claimLargeAnswer();
    this.isEnding = true;
    this.send(Infinity);
  }

  /** Begins a good answer; goes out with what follows. */
  respond(): void {
    if (this.headers === 'none') this.headers = 'written';
  }

  /** A whole answer that is no gRPC: a block of `encodeHeaders`, and the body. */
  answer(head: Buffer, body: Buffer): void {
    if (this.isEnding || this.isClosed) return;
    this.page = head;
    this.reply(body);
  }

  /** Writes parts of the answer's body. */
  write(parts: readonly Buffer[]): void {
    if (this.isEnding || this.isClosed) return;
    this.respond();
    for (const part of parts) this.enqueue(part);
    this.send(Infinity);
  }

  /** Ends the answer: well, or with a block of trailers, which is the whole header where nothing was written. */
  end(trailers: Buffer | null): void {
    if (this.isEnding || this.isClosed) return;
    this.isEnding = true;
    this.trailers = trailers;
    this.send(Infinity);
  }

  /** Ends the stream at once, in both directions; `cost` as in `Http2Limits.resets`. */
  reset(code: ErrorCode, cost = 1): void {
    if (this.isClosed) return;
    this.connection.sendReset(this.id, code, cost);
    this.close();
  }

  /** Ends it for a frame that is against the rules. */
  refuse(code: ErrorCode): void {
    this.reset(code, this.connection.limits.earlyResetCost);
  }

  /** The server has no room for the request. */
  giveUp(): void {
    this.connection.rest();
    this.reset(ErrorCode.EnhanceYourCalm);
  }

  /** WINDOW_UPDATE (RFC 9113 section 6.9). False when the window would be larger than one may be. */
  addCredit(bytes: number): boolean {
    const { turns } = this.connection;
    if (turns.initialWindow + this.credit + bytes > MAX_31_BITS) return false;
    this.credit += bytes;
    if (this.credit > 0) turns.grow(this);
    return true;
  }

  /** A message is refused. Ends the stream, if that answer is out, in the other direction too: what the client is still sending is of no use. */
  stopReceiving(): void {
    if (this.isLocalClosed) this.reset(ErrorCode.NoError);
    this.connection.countReset(this.connection.limits.earlyResetCost);
  }

  countMessage(): void {
    this.connection.countMessage();
  }

  /** The receiver has given a part of what came in to somebody who may keep it. */
  lend(): void {
    this.connection.lent++;
  }

  /** Tells how many bytes of an unfinished request the receiver keeps, each time that more of it has come. */
  hold(bytes: number): void {
    if (this.isClosed || (bytes === 0 && !this.isHolder)) return;
    this.isHolder = bytes > 0;
    this.connection.server.hold(this, bytes);
  }

  /** The stream is over while its handler runs on, which holds its place among the connection's streams. */
  abandon(): void {
    this.isAbandoned = true;
    this.connection.abandoned++;
  }

  /** The handler has ended. */
  settle(): void {
    if (!this.isAbandoned) return;
    this.isAbandoned = false;
    this.connection.abandoned--;
    this.connection.reads.look();
  }

  receiveData(bytes: Buffer, start: number, end: number, flowBytes: number, isLast: boolean): void {
    if (this.isRemoteClosed) {
      this.refuse(ErrorCode.StreamClosed);
      return;
    }
    // A frame is far smaller than a window: one that is the whole body needs no accounting.
    if (!isLast || this.receiveWindow !== null) {
      this.receiveWindow ??= new ReceiveWindow(this.connection.limits.streamWindowBytes);
      if (!this.receiveWindow.receive(flowBytes)) {
        this.refuse(ErrorCode.FlowControlError);
        return;
      }
    }
    this.receivedBytes += end - start;
    if (end > start && !this.isLocalClosed) this.receiver?.data(bytes, start, end);
    if (this.isClosed) return;
    if (isLast) this.receiveEnd();
    // Of what nobody wants any more, the client gets nothing back: it would only send more of it.
    else if (this.receiveWindow !== null && !this.isLocalClosed) {
      const increment = this.receiveWindow.consume(flowBytes);
      if (increment > 0) this.connection.sendNumber(FrameType.WindowUpdate, this.id, increment);
    }
  }

  receiveEnd(): void {
    // RFC 9113 section 8.1.1.
    if (this.contentLength >= 0 && this.contentLength !== this.receivedBytes) {
      this.refuse(ErrorCode.ProtocolError);
      return;
    }
    this.isRemoteClosed = true;
    if (!this.isLocalClosed) this.receiver?.ended();
    if (this.isLocalClosed) this.close();
  }

  /** There may be room again. What waited may have gone out with a later write already. */
  resume(): void {
    this.send(FRAMES_PER_TURN);
    if (!this.hasWaited || this.queuedBytes > 0 || this.isClosed) return;
    this.hasWaited = false;
    this.stalledAt = -1;
    this.receiver?.drained();
  }

  expire(): void {
    const { connection } = this;
    // The client keeps its side open long after the answer: a server may then reset the stream without an error (RFC 9113 section 8.1).
    if (this.isLocalClosed) return this.reset(ErrorCode.NoError);
    if (this.stalledAt < 0) return;
    const isRead = this.queuedBytes === 0 || this.sentBytes - this.stalledAt >= connection.limits.minReadBytes;
    this.stalledAt = -1;
    if (!isRead) connection.stalled();
    else if (this.queuedBytes > 0) this.awaitReader();
  }

  /** The stream is over and nothing is to be sent about it. */
  close(): void {
    if (this.isClosed) return;
    this.hold(0);
    this.isClosed = true;
    this.connection.forget(this);
    this.connection.queue(-this.queuedBytes);
    this.queuedBytes = 0;
    this.connection.reads.look();
    if (this.isOwner) this.queue.forEach(freeBlock);
    this.queue = [];
    this.receiver?.closed();
  }

  private enqueue(part: Buffer): void {
    const { connection } = this;
    const large = connection.largeAnswer?.queuedBytes ?? 0;
    if (connection.queuedBytes - large > connection.limits.maxUnreadBytes) connection.stalled();
    this.queue.push(part);
    this.queuedBytes += part.length;
    connection.queue(part.length);
  }

  private claimLargeAnswer(): void {
    const { connection } = this;
    if ((connection.largeAnswer?.queuedBytes ?? 0) === 0) connection.largeAnswer = this;
  }

  /** Frames what there is room for. What waits for the stream's own window is gone on with at its WINDOW_UPDATE, all else when the connection has room. */
  private send(frames: number): void {
    if (this.isClosed || this.isLocalClosed) return;
    this.sendFrames(frames);
    if (this.queuedBytes === 0) return;
    this.hasWaited = true;
    if (this.isEnding || this.isOwner) this.awaitReader();
  }

  /** Of an answer that has to wait, something is to be taken in time. A stream of messages may wait for as long as it likes. */
  private awaitReader(): void {
    if (this.stalledAt >= 0) return;
    const { deadlines, limits } = this.connection;
    this.stalledAt = this.sentBytes;
    deadlines.add(this, limits.stallMs, performance.now());
  }

  private sendFrames(frames: number): void {
    const { connection } = this;
    const { turns } = connection;
    for (;;) {
      if (turns.isOutputFull) return turns.wait(this);
      if (this.headers === 'written') {
        this.headers = 'sent';
        connection.output.headers(this.id, this.page === null ? connection.encoder.response() : connection.encoder.plain(this.page), false);
      }
      if (this.queuedBytes === 0) break;
      const own = turns.initialWindow + this.credit;
      const window = Math.min(turns.window.available, own);
      if (window <= 0) return own > 0 ? turns.wait(this) : turns.starve(this);
      if (frames-- === 0) return turns.wait(this);
      this.sendData(Math.min(this.queuedBytes, window, MAX_FRAME));
    }
    this.queue.length = 0;
    if (this.isEnding) this.sendEnd();
  }

  /** One DATA frame, out of as many buffers of the queue as it takes. */
  private sendData(length: number): void {
    const { connection, queue } = this;
    const { output } = connection;
    output.header(length, FrameType.Data, Flag.None, this.id);
    connection.turns.window.available -= length;
    this.credit -= length;
    connection.queue(-length);
    connection.control.earn(length / connection.limits.bytesPerControl);
    this.queuedBytes -= length;
    this.sentBytes += length;
    connection.reads.look();
    let taken = 0;
    let rest = length;
    while (rest > 0) {
      const part = queue[taken] as Buffer;
      const bytes = Math.min(rest, part.length - this.offset);
      output.bytes(part, this.offset, this.offset + bytes);
      rest -= bytes;
      this.offset += bytes;
      if (this.offset === part.length) {
        if (this.isOwner) freeBlock(part);
        this.offset = 0;
        taken++;
      }
    }
    if (taken === queue.length) queue.length = 0;
    else if (taken > 0) queue.splice(0, taken);
    connection.control.earn(connection.limits.controlPerMessage);
  }

  private sendEnd(): void {
    const { connection } = this;
    this.isLocalClosed = true;
    const { trailers } = this;
    if (this.page !== null) connection.output.header(0, FrameType.Data, Flag.EndStream, this.id);
    else connection.output.headers(this.id, trailers === null ? connection.encoder.okTrailers() : connection.encoder.plain(trailers), true);
    if (this.isRemoteClosed) this.close();
    else connection.deadlines.add(this, connection.limits.lingerMs, performance.now());
  }
}
