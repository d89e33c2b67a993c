import type { Duplex } from 'node:stream';
import {
  calm,
  ConnectionError,
  DEFAULT_WINDOW,
  type EndReason,
  ErrorCode,
  Flag,
  FrameType,
  goAwayFrame,
  MAX_31_BITS,
  numberFrame,
  Output,
  PREFACE,
  ResponseEncoder,
  Setting,
  settingsFrame,
} from '@harikube/http2';
import type { Deadlines, Expiring } from '../deadlines.js';
import { FrameReceiver, type ReceivingConnection } from './frame-receiver.js';
import { Budget, type Http2Limits } from './limits.js';
import { ReadLine } from './read-line.js';
import type { RequestHeaders } from './request-headers.js';
import { SendTurns } from './send-turns.js';
import type { ServerLoad } from './server-load.js';
import type { Http2Stream } from './stream.js';
import { type ReadConnection, TurnReader } from './turn-reader.js';

export interface ConnectionEnvironment {
  readonly limits: Http2Limits;
  readonly deadlines: Deadlines;
  readonly server: ServerLoad;
  /** A request has begun; `headers` hold what they say only until this returns. */
  readonly onRequest: (stream: Http2Stream, headers: RequestHeaders) => void;
  readonly onClosed: (connection: Http2Connection) => void;
  /** The client has done something for which its connection is ended. */
  readonly onEnded?: ((reason: EndReason) => void) | undefined;
  /** The client does not speak HTTP/2: what it said first. The connection does nothing any more but tell that it is closed. */
  readonly onOtherProtocol?: (first: Buffer) => void;
  /** Is told of what is nobody's fault but ours. */
  readonly onInternalError: (error: unknown) => void;
}

const Phase = {
  /** The preface and the first SETTINGS are not there yet. */
  Opening: 0,
  Open: 1,
  /** GOAWAY is said; what the client had sent before it knew is still taken. */
  Leaving: 2,
  /** Nothing further is taken; the streams under way go on. */
  Finishing: 3,
  /** The last bytes are written; what comes in is thrown away. */
  Ended: 4,
} as const;

type Phase = (typeof Phase)[keyof typeof Phase];

/** One client's connection: the server's side of RFC 9113, bounded as `Http2Limits` say. */
export class Http2Connection implements ReceivingConnection, ReadConnection, Expiring {
  due = 0;
  readonly limits: Http2Limits;
  readonly deadlines: Deadlines;
  readonly output: Output;
  readonly encoder = new ResponseEncoder();
  readonly turns: SendTurns;
  readonly control: Budget;
  readonly resets: Budget;
  private readonly streamMessages: Budget;
  readonly reads: ReadLine;
  readonly server: ServerLoad;
  queuedBytes = 0;
  largeAnswer: Http2Stream | null = null;
  abandoned = 0;
  lent = 0;
  private readonly frames: FrameReceiver;
  private readonly reader: TurnReader;
  private phase: Phase = Phase.Opening;
  private isGreeted = false;
  private isStalled = false;
  /** When the last PING was sent that asks whether the client is still there. */
  private probedAt = 0;

  constructor(
    private readonly socket: Duplex,
    private readonly environment: ConnectionEnvironment,
    /** Where the client is; empty: not known. */
    private readonly address = '',
  ) {
    const { limits, deadlines, server } = environment;
    this.limits = limits;
    this.deadlines = deadlines;
    this.server = server;
    this.frames = new FrameReceiver(this);
    this.reader = new TurnReader(socket, this.frames, this);
    const share = server.isSuspect(address, this.now) ? limits.suspectShare : 1;
    this.control = new Budget(limits.control, this.now, share);
    this.resets = new Budget(limits.resets, this.now, share);
    this.streamMessages = new Budget(limits.streamMessages, this.now);
    this.output = new Output(socket, () => this.turns.resumeWaiting());
    this.turns = new SendTurns(limits, this.output);
    this.reads = new ReadLine(this);
  }

  start(): void {
    const { socket, limits } = this;
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('end', () => this.end());
    // A broken connection ends its streams, and those tell their calls.
    socket.on('error', () => {});
    socket.on('close', () => this.closed());
    this.deadlines.add(this, limits.prefaceMs, this.now);
  }

  get isReading(): boolean {
    return this.phase !== Phase.Ended;
  }

  get isOpening(): boolean {
    return this.phase === Phase.Opening;
  }

  get isFinishing(): boolean {
    return this.phase === Phase.Finishing;
  }

  get now(): number {
    return this.reader.now;
  }

  get turn(): number {
    return this.reader.turn;
  }

  queue(bytes: number): void {
    this.queuedBytes += bytes;
    this.server.queuedBytes += bytes;
  }

  /** Tells the client to open no more streams, lets those under way end, and then closes (RFC 9113 section 6.8). */
  leave(): void {
    if (this.phase === Phase.Opening) this.destroy();
    if (this.phase !== Phase.Open) return;
    this.phase = Phase.Leaving;
    // The answer to the PING tells that the client has read the GOAWAY: what it sends after that comes from a client that knows.
    this.output.bytes(goAwayFrame(MAX_31_BITS, ErrorCode.NoError, ''));
    this.output.header(8, FrameType.Ping, Flag.None, 0);
    this.output.bytes(LEAVING);
    this.deadlines.add(this, this.limits.lingerMs, performance.now());
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** The time that was given for what the phase waits for is over. */
  expire(): void {
    if (this.phase === Phase.Leaving) this.finish();
    else if (this.phase === Phase.Open) this.probe();
    else if (this.phase !== Phase.Finishing) {
      if (this.phase === Phase.Opening) this.environment.onEnded?.('preface');
      this.destroy();
    }
  }

  stalled(): void {
    if (this.isStalled) return;
    this.isStalled = true;
    // Not inside of the write that is one too many.
    setImmediate(() => this.fail(calm('answers are not read', 'unread')));
  }

  sendReset(streamId: number, code: ErrorCode, cost = 1): void {
    this.sendNumber(FrameType.RstStream, streamId, code);
    // CVE-2025-8671: a client that makes us give up its calls gives them up itself.
    const isTheirs = code !== ErrorCode.NoError && code !== ErrorCode.InternalError && code !== ErrorCode.RefusedStream;
    if (isTheirs) this.countReset(cost);
  }

  countReset(cost: number): void {
    if (this.isReading && !this.resets.spend(cost, this.now)) this.fail(calm('too many calls are given up', 'resets'));
  }

  rest(): void {
    this.reader.rest();
  }

  countMessage(): void {
    if (!this.streamMessages.spend(1, this.now)) this.rest();
  }

  sendNumber(type: number, streamId: number, number: number): void {
    this.output.bytes(numberFrame(type, streamId, number));
    this.checkReader();
  }

  forget(stream: Http2Stream): void {
    const { streams } = this.frames;
    streams.delete(stream.id);
    this.turns.forget(stream);
    if (stream.due > 0) this.deadlines.remove(stream);
    if (this.phase === Phase.Finishing && streams.size === 0) this.end();
  }

  opened(): void {
    this.phase = Phase.Open;
    this.deadlines.add(this, this.limits.keepAliveMs, this.now);
  }

  receivePong(bytes: Buffer, start: number, end: number): boolean {
    if (this.phase !== Phase.Leaving || LEAVING.compare(bytes, start, end) !== 0) return false;
    this.finish();
    return true;
  }

  receiveRequest(stream: Http2Stream, headers: RequestHeaders): void {
    this.environment.onRequest(stream, headers);
  }

  turnEnded(): void {
    this.reads.startEntered();
  }

  /** A peer that makes us answer and does not read the answers is cut: nothing that we could say would reach it. */
  checkReader(): void {
    if (this.output.waitingBytes <= this.limits.outputBytes + this.limits.maxControlBytes || this.socket.destroyed) return;
    this.environment.onEnded?.('unread');
    this.destroy();
  }

  fail(error: unknown): void {
    const isOurs = !(error instanceof ConnectionError);
    if (isOurs) this.environment.onInternalError(error);
    if (!this.isReading) return;
    const [code, text] = isOurs ? [ErrorCode.InternalError, ''] : [error.code, error.message];
    const reason = isOurs ? 'internal' : error.reason;
    if (FLOODS.has(reason) && this.address !== '') this.server.suspect(this.address, this.now);
    this.environment.onEnded?.(reason);
    // What is no HTTP/2 at all would not understand.
    if (this.reader.hasPreface) this.output.bytes(goAwayFrame(this.frames.lastStreamId, code, text));
    this.end();
    // A client that floods would be read from for nothing until it knows.
    this.socket.pause();
  }

  private receive(chunk: Buffer): void {
    if (this.isReading) {
      if (this.isGreeted || this.greet(chunk)) this.reader.receive(chunk);
      // Only read so that the system does not drop the connection before the client knows of its end. Of another protocol, somebody else reads it.
    } else if (this.reader.hasPreface) this.reader.discard(chunk);
  }

  /** The client was silent for as long as may be, or was not. */
  private probe(): void {
    const { limits, deadlines } = this;
    const now = performance.now();
    const silentMs = now - this.now;
    if (silentMs < limits.keepAliveMs) {
      deadlines.add(this, limits.keepAliveMs - silentMs, now);
    } else if (this.probedAt < this.now) {
      this.probedAt = now;
      this.output.header(8, FrameType.Ping, Flag.None, 0);
      this.output.bytes(ARE_YOU_THERE);
      deadlines.add(this, limits.keepAliveTimeoutMs, now);
    } else {
      this.environment.onEnded?.('silent');
      this.destroy();
    }
  }

  /** The server's preface goes out behind the client's first bytes, which tell what it speaks; false: it is not HTTP/2. */
  private greet(first: Buffer): boolean {
    const { environment, limits } = this;
    const isHttp2 = PREFACE.compare(first, 0, Math.min(first.length, PREFACE.length), 0, Math.min(first.length, PREFACE.length)) === 0;
    this.isGreeted = true;
    if (!isHttp2 && environment.onOtherProtocol !== undefined) {
      this.phase = Phase.Ended;
      this.deadlines.remove(this);
      environment.onOtherProtocol(first);
      return false;
    }
    this.output.bytes(
      settingsFrame([
        [Setting.MaxConcurrentStreams, limits.maxConcurrentStreams],
        [Setting.InitialWindowSize, limits.streamWindowBytes],
        [Setting.MaxHeaderListSize, limits.maxHeaderListBytes],
      ]),
    );
    this.sendNumber(FrameType.WindowUpdate, 0, limits.connectionWindowBytes - DEFAULT_WINDOW);
    return true;
  }

  /** No further stream is taken. */
  private finish(): void {
    this.deadlines.remove(this);
    this.phase = Phase.Finishing;
    this.output.bytes(goAwayFrame(this.frames.lastStreamId, ErrorCode.NoError, ''));
    if (this.frames.streams.size === 0) this.end();
  }

  /** Closes the socket behind what is written. The other side gets a moment to read it: bytes that come in and are not read would make the system drop it. */
  private end(): void {
    if (!this.isReading) return;
    this.phase = Phase.Ended;
    this.output.end();
    this.stopReading();
    this.deadlines.add(this, this.limits.lingerMs, performance.now());
    this.socket.resume();
    this.frames.closeStreams();
  }

  private closed(): void {
    this.phase = Phase.Ended;
    this.deadlines.remove(this);
    this.stopReading();
    this.frames.closeStreams();
    this.environment.onClosed(this);
  }

  private stopReading(): void {
    this.reader.stop();
    this.frames.stop();
  }
}

/** The PING that follows a GOAWAY. */
const LEAVING = Buffer.from('leaving.', 'latin1');

/** The PING after a long silence. */
const ARE_YOU_THERE = Buffer.from('present?', 'latin1');

/** For what an address is suspect afterwards. */
const FLOODS: ReadonlySet<EndReason> = new Set<EndReason>(['resets', 'frames', 'header_block']);
