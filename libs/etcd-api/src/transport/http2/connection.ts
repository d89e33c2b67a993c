import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Deadlines, Expiring } from '../deadlines.js';
import { ReceiveWindow, SendWindow } from './flow-control.js';
import { FrameReader, type FrameSink } from './frame-reader.js';
import {
  DEFAULT_WINDOW,
  Flag,
  FrameType,
  goAwayFrame,
  MAX_31_BITS,
  MAX_FRAME,
  numberFrame,
  PREFACE,
  readUInt31,
  Setting,
  settingsFrame,
} from './frames.js';
import { HpackDecoder } from './hpack/decoder.js';
import { ResponseEncoder } from './hpack/encoder.js';
import { ConnectionError, type EndReason, ErrorCode } from './http2-error.js';
import { giveBack } from './lent-memory.js';
import { Budget, type Http2Limits } from './limits.js';
import { Output } from './output.js';
import { ReadLine } from './read-line.js';
import { RequestHeaders } from './request-headers.js';
import { Http2Stream, type StreamConnection } from './stream.js';
import type { ServerLoad } from './server-load.js';
import { currentTurn, shareOfTurn, useUpTurn } from './turn.js';

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

/** The largest SETTINGS_MAX_FRAME_SIZE. */
const MAX_MAX_FRAME = 16_777_215;

/** A header block that goes on in CONTINUATION frames. */
interface OpenBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly parts: Buffer[];
  bytes: number;
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
export class Http2Connection implements StreamConnection, FrameSink, Expiring {
  due = 0;
  readonly limits: Http2Limits;
  readonly deadlines: Deadlines;
  readonly output: Output;
  readonly encoder = new ResponseEncoder();
  readonly sendWindow = new SendWindow(DEFAULT_WINDOW);
  readonly control: Budget;
  readonly reads: ReadLine;
  readonly server: ServerLoad;
  initialSendWindow = DEFAULT_WINDOW;
  queuedBytes = 0;
  largeAnswer: Http2Stream | null = null;
  abandoned = 0;
  lent = 0;
  /** `performance.now()` when bytes came in last. */
  private now = performance.now();
  private readonly resets: Budget;
  private readonly receiveWindow: ReceiveWindow;
  private readonly reader = new FrameReader(this);
  private readonly decoder = new HpackDecoder();
  private readonly headers: RequestHeaders;
  private readonly streams = new Map<number, Http2Stream>();
  /** Streams that wait for the connection's window or for room in the output, in the order of their turns. */
  private readonly waiting = new Set<Http2Stream>();
  private isResuming = false;
  /** Streams that wait for their own windows. */
  private readonly starved = new Set<Http2Stream>();
  /** Streams whose windows were made larger than the first one, and perhaps have shrunk since. */
  private readonly grown = new Set<Http2Stream>();
  private phase: Phase = Phase.Opening;
  private lastStreamId = 0;
  private isGreeted = false;
  private block: OpenBlock | null = null;
  private readonly blockDeadline: Expiring = {
    due: 0,
    expire: () => this.fail(calm('a header block takes too long', 'header_block')),
  };
  /** Nothing is read until then. */
  private readonly restEnd: Expiring = { due: 0, expire: () => this.readOn() };
  private owesRest = false;
  /** What the turn under way did not get to. */
  private unread: Buffer | null = null;
  /** The memory that is being read, where it is the connection's to give back, and what was lent before it came. */
  private memory: ArrayBufferLike | null = null;
  private lentBefore = 0;
  private turn = -1;
  /** Milliseconds that this turn may take, and has taken so far. */
  private shareMs = 0;
  private spentMs = 0;
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
    const share = server.isSuspect(address, this.now) ? limits.suspectShare : 1;
    this.control = new Budget(limits.control, this.now, share);
    this.resets = new Budget(limits.resets, this.now, share);
    this.receiveWindow = new ReceiveWindow(limits.connectionWindowBytes);
    this.headers = new RequestHeaders(limits.maxHeaderListBytes);
    this.output = new Output(socket, () => this.resumeWaiting());
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

  get isOutputFull(): boolean {
    return this.output.waitingBytes >= this.limits.outputBytes;
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

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (this.block !== null && (type !== FrameType.Continuation || streamId !== this.block.streamId)) {
      throw protocolError('a header block is not complete');
    }
    if (this.phase === Phase.Opening && type !== FrameType.Settings) throw protocolError('the first frame is not SETTINGS');
    switch (type) {
      case FrameType.Data:
        this.receiveData(flags, streamId, bytes, start, end);
        return;
      case FrameType.Headers:
        this.receiveHeaders(flags, streamId, bytes, start, end);
        return;
      case FrameType.Continuation:
        this.receiveContinuation(flags, bytes, start, end);
        return;
      case FrameType.WindowUpdate:
        this.receiveWindowUpdate(streamId, bytes, start, end);
        return;
      case FrameType.RstStream:
        this.receiveReset(streamId, start, end);
        return;
      case FrameType.Ping:
        this.receivePing(flags, streamId, bytes, start, end);
        return;
      case FrameType.Settings:
        this.receiveSettings(flags, streamId, bytes, start, end);
        return;
      case FrameType.Priority:
        if (streamId === 0) throw protocolError('PRIORITY on stream 0');
        if (end - start !== 5) this.refuseStream(streamId, ErrorCode.FrameSizeError);
        this.spend(1);
        return;
      case FrameType.GoAway:
        if (streamId !== 0) throw protocolError('GOAWAY on a stream');
        if (end - start < 8) throw frameSizeError('GOAWAY');
        this.spend(1);
        return;
      case FrameType.PushPromise:
        throw protocolError('PUSH_PROMISE from a client');
      default:
        // RFC 9113 section 5.5: ignored.
        this.spend(1);
    }
  }

  sendHeaders(streamId: number, block: Buffer, endStream: boolean): void {
    const flags = endStream ? Flag.EndStream : Flag.None;
    const { output } = this;
    if (block.length <= MAX_FRAME) {
      output.header(block.length, FrameType.Headers, flags | Flag.EndHeaders, streamId);
      output.bytes(block);
      return;
    }
    for (let offset = 0; offset < block.length; offset += MAX_FRAME) {
      const end = Math.min(offset + MAX_FRAME, block.length);
      const type = offset === 0 ? FrameType.Headers : FrameType.Continuation;
      output.header(end - offset, type, (offset === 0 ? flags : 0) | (end === block.length ? Flag.EndHeaders : 0), streamId);
      output.bytes(block, offset, end);
    }
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
    this.owesRest = true;
  }

  sendNumber(type: number, streamId: number, number: number): void {
    this.output.bytes(numberFrame(type, streamId, number));
    this.checkReader();
  }

  wait(stream: Http2Stream): void {
    this.waiting.add(stream);
  }

  starve(stream: Http2Stream): void {
    if (stream.isStarved) return;
    stream.isStarved = true;
    this.starved.add(stream);
  }

  grow(stream: Http2Stream): void {
    this.grown.add(stream);
  }

  forget(stream: Http2Stream): void {
    this.streams.delete(stream.id);
    if (this.waiting.size > 0) this.waiting.delete(stream);
    if (stream.isStarved) this.starved.delete(stream);
    if (this.grown.size > 0) this.grown.delete(stream);
    if (stream.due > 0) this.deadlines.remove(stream);
    if (this.phase === Phase.Finishing && this.streams.size === 0) this.end();
  }

  private receive(chunk: Buffer): void {
    if (!this.isReading) {
      // Only read so that the system does not drop the connection before the client knows of its end. Of another protocol, somebody else reads it.
      if (this.reader.hasPreface && this.socket instanceof Socket) giveBack(chunk.buffer, this, this.lent);
      return;
    }
    this.now = performance.now();
    if (!this.isGreeted && !this.greet(chunk)) return;
    if (this.unread === null) {
      // A socket has made it for this one read.
      this.memory = this.socket instanceof Socket ? chunk.buffer : null;
      this.lentBefore = this.lent;
      this.read(chunk);
    } else {
      this.memory = null;
      this.read(Buffer.concat([this.unread, chunk]));
    }
  }

  /** Works off what came in. A client that sends a lot takes turns with the others: what it sends meanwhile waits in its socket. */
  private read(chunk: Buffer): void {
    const turn = currentTurn();
    if (turn !== this.turn) {
      this.turn = turn;
      this.shareMs = shareOfTurn(this.limits.turnMs, this.limits.fullTurns);
      this.spentMs = 0;
    }
    try {
      this.unread = this.reader.push(chunk, this.now + this.shareMs - this.spentMs);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (!this.isReading) return;
    if (this.unread === null && this.memory !== null) {
      giveBack(this.memory, this, this.lentBefore);
      this.memory = null;
    }
    this.reads.startEntered();
    this.spentMs += performance.now() - this.now;
    if (this.owesRest) {
      this.owesRest = false;
      this.socket.pause();
      this.deadlines.add(this.restEnd, this.limits.restMs, this.now);
    } else if (this.unread !== null || this.spentMs >= this.shareMs) {
      useUpTurn();
      this.socket.pause();
      setImmediate(() => this.readOn());
    }
  }

  private readOn(): void {
    const { unread } = this;
    this.unread = null;
    if (!this.isReading) return;
    this.now = performance.now();
    if (unread !== null) this.read(unread);
    if (this.unread === null && this.isReading) this.socket.resume();
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

  private receiveHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    // Streams that a client opens have odd numbers (RFC 9113 section 5.1.1).
    if ((streamId & 1) === 0) throw protocolError(`HEADERS on stream ${streamId}`);
    const to = end - padding(flags, bytes, start, end);
    // Five bytes of a priority that nobody looks at (RFC 9113 section 5.3.2).
    const from = start + (flags & Flag.Padded ? 1 : 0) + (flags & Flag.Priority ? 5 : 0);
    if (from > to) throw protocolError('HEADERS longer than its frame');
    const endStream = (flags & Flag.EndStream) !== 0;
    if ((flags & Flag.EndHeaders) !== 0) this.receiveBlock(streamId, bytes, from, to, endStream);
    else {
      this.block = { streamId, endStream, parts: [copyOf(bytes, from, to)], bytes: to - from };
      this.deadlines.add(this.blockDeadline, this.limits.headerBlockMs, this.now);
    }
  }

  private receiveContinuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const { block } = this;
    if (block === null) throw protocolError('CONTINUATION of nothing');
    block.bytes += end - start;
    // What is not read takes the dynamic table out of step: only the whole connection can be refused.
    if (block.bytes > this.limits.maxHeaderBlockBytes || block.parts.length > this.limits.maxContinuations) {
      throw calm('a header block is too long', 'header_block');
    }
    block.parts.push(copyOf(bytes, start, end));
    if ((flags & Flag.EndHeaders) === 0) return;
    this.block = null;
    this.deadlines.remove(this.blockDeadline);
    const whole = Buffer.concat(block.parts, block.bytes);
    this.receiveBlock(block.streamId, whole, 0, whole.length, block.endStream);
  }

  private receiveBlock(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const { headers, limits } = this;
    headers.reset();
    this.decoder.decode(bytes, start, end, headers);
    if (headers.fields > limits.freeHeaderFields) this.spend((headers.fields - limits.freeHeaderFields) / limits.fieldsPerControl);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.receiveTrailers(stream, endStream);
    else if (streamId <= this.lastStreamId) throw protocolError(`HEADERS on stream ${streamId}, which is over`);
    // RFC 9113 section 6.8: a stream beyond the last one that GOAWAY named is ignored.
    else if (this.phase === Phase.Finishing) this.lastStreamId = streamId;
    else this.open(streamId, endStream);
  }

  private receiveTrailers(stream: Http2Stream, endStream: boolean): void {
    if (stream.isRemoteClosed) this.refuseStream(stream.id, ErrorCode.StreamClosed);
    else if (!endStream || !this.headers.isTrailers) this.refuseStream(stream.id, ErrorCode.ProtocolError);
    else if (this.headers.isTooLarge) this.refuseLarge(stream.id);
    else stream.receiveEnd();
  }

  private open(streamId: number, endStream: boolean): void {
    const { headers, limits } = this;
    this.lastStreamId = streamId;
    if (headers.isTooLarge) return this.refuseLarge(streamId);
    if (!headers.isRequest) return this.refuseStream(streamId, ErrorCode.ProtocolError);
    if (this.streams.size + this.abandoned >= limits.maxConcurrentStreams) {
      return this.resetStream(streamId, ErrorCode.RefusedStream);
    }
    this.control.earn(limits.controlPerMessage);
    const stream = new Http2Stream(this, streamId, headers.contentLength, this.turn);
    this.streams.set(streamId, stream);
    this.environment.onRequest(stream, headers);
    if (endStream && !stream.isClosed) stream.receiveEnd();
  }

  private receiveData(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) throw protocolError('DATA on stream 0');
    const flowBytes = end - start;
    const to = end - padding(flags, bytes, start, end);
    const from = start + (flags & Flag.Padded ? 1 : 0);
    if (from > to) throw protocolError('DATA longer than its frame');
    if (!this.receiveWindow.receive(flowBytes)) throw new ConnectionError(ErrorCode.FlowControlError, 'more DATA than the window allows');
    const increment = this.receiveWindow.consume(flowBytes);
    if (increment > 0) this.sendNumber(FrameType.WindowUpdate, 0, increment);
    const isLast = (flags & Flag.EndStream) !== 0;
    if (from === to && !isLast) this.spend(1);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.receiveData(bytes, from, to, flowBytes, isLast);
    else if (this.isIdle(streamId)) throw protocolError(`DATA on stream ${streamId}, which is not open`);
    else if (this.phase === Phase.Finishing) this.spend(1);
    // For a client whose stream was reset while this was on its way, one reset more changes nothing.
    else this.resetStream(streamId, ErrorCode.StreamClosed);
  }

  private receiveWindowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw frameSizeError('WINDOW_UPDATE');
    this.spend(1);
    const increment = readUInt31(bytes, start);
    if (streamId === 0) {
      if (increment === 0) throw protocolError('a WINDOW_UPDATE of 0');
      if (!this.sendWindow.add(increment)) throw new ConnectionError(ErrorCode.FlowControlError, 'the window is too large');
      this.resumeWaiting();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) throw protocolError(`WINDOW_UPDATE on stream ${streamId}, which is not open`);
    } else if (increment === 0) stream.refuse(ErrorCode.ProtocolError);
    else if (!stream.addCredit(increment)) stream.refuse(ErrorCode.FlowControlError);
    else this.resume(stream);
  }

  private receiveReset(streamId: number, start: number, end: number): void {
    if (end - start !== 4) throw frameSizeError('RST_STREAM');
    if (this.isIdle(streamId)) throw protocolError(`RST_STREAM on stream ${streamId}, which is not open`);
    const stream = this.streams.get(streamId);
    if (stream === undefined) this.spend(1);
    else {
      // CVE-2023-44487: each such call has cost a start and may cost what its handler goes on doing.
      const cost = stream.turn === this.turn && !stream.isEnding ? this.limits.earlyResetCost : 1;
      if (!this.resets.spend(cost, this.now)) throw calm('too many calls are given up', 'resets');
      stream.close();
    }
  }

  private receivePing(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError('PING on a stream');
    if (end - start !== 8) throw frameSizeError('PING');
    if ((flags & Flag.Ack) !== 0) {
      if (this.phase === Phase.Leaving && LEAVING.compare(bytes, start, end) === 0) this.finish();
      else this.spend(1);
      return;
    }
    this.spend(1);
    this.output.header(8, FrameType.Ping, Flag.Ack, 0);
    this.output.bytes(bytes, start, end);
    this.checkReader();
  }

  private receiveSettings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError('SETTINGS on a stream');
    const isAck = (flags & Flag.Ack) !== 0;
    if (isAck ? end > start : (end - start) % 6 !== 0) throw frameSizeError('SETTINGS');
    if (this.phase === Phase.Opening) {
      if (isAck) throw protocolError('the first frame is not SETTINGS');
      this.phase = Phase.Open;
      this.deadlines.add(this, this.limits.keepAliveMs, this.now);
    }
    this.spend(1);
    if (isAck) return;
    for (let offset = start; offset < end; offset += 6) this.apply(bytes.readUInt16BE(offset), bytes.readUInt32BE(offset + 2));
    this.output.header(0, FrameType.Settings, Flag.Ack, 0);
    this.checkReader();
  }

  /** RFC 9113 section 6.5.2. */
  private apply(setting: number, value: number): void {
    switch (setting) {
      case Setting.HeaderTableSize:
        this.encoder.setTableSize(value);
        return;
      case Setting.EnablePush:
        if (value > 1) throw protocolError(`SETTINGS_ENABLE_PUSH of ${value}`);
        return;
      case Setting.InitialWindowSize:
        if (value > MAX_31_BITS) throw new ConnectionError(ErrorCode.FlowControlError, `SETTINGS_INITIAL_WINDOW_SIZE of ${value}`);
        this.setInitialWindow(value);
        return;
      case Setting.MaxFrameSize:
        if (value < MAX_FRAME || value > MAX_MAX_FRAME) throw protocolError(`SETTINGS_MAX_FRAME_SIZE of ${value}`);
        return;
      default:
      // Nothing is pushed, frames stay at their default, and the lists sent are short.
    }
  }

  /** What each stream may send is kept as a difference to it: only those are looked at whom the change can concern. */
  private setInitialWindow(size: number): void {
    const change = size - this.initialSendWindow;
    if (change === 0) return;
    this.spend((this.grown.size + this.starved.size) / 64);
    for (const stream of this.grown) {
      if (stream.credit <= 0) this.grown.delete(stream);
      else if (size + stream.credit > MAX_31_BITS) throw new ConnectionError(ErrorCode.FlowControlError, 'a window is too large');
    }
    this.initialSendWindow = size;
    if (change < 0) return;
    for (const stream of this.starved) {
      stream.isStarved = false;
      this.waiting.add(stream);
    }
    this.starved.clear();
    this.resumeWaiting();
  }

  private refuseLarge(streamId: number): void {
    this.spend(this.limits.largeHeaderCost);
    this.resetStream(streamId, ErrorCode.EnhanceYourCalm);
  }

  private resetStream(streamId: number, code: ErrorCode): void {
    this.spend(1);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.reset(code);
    else this.sendReset(streamId, code);
  }

  /** The same for a frame that is against the rules. */
  private refuseStream(streamId: number, code: ErrorCode): void {
    this.spend(1);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.refuse(code);
    else this.sendReset(streamId, code, this.limits.earlyResetCost);
  }

  private resume(stream: Http2Stream): void {
    if (stream.isStarved) {
      stream.isStarved = false;
      this.starved.delete(stream);
    }
    stream.resume();
  }

  /** Gives each stream that waits its turns, until there is no more room. Where they are many, the rest of them wait for the next turn. */
  private resumeWaiting(): void {
    if (this.waiting.size === 0) return;
    const until = performance.now() + this.limits.turnMs;
    let resumed = 0;
    for (let before = -1; this.waiting.size > 0 && before !== this.output.waitingBytes;) {
      before = this.output.waitingBytes;
      // One that has to wait again comes behind these.
      let round = this.waiting.size;
      for (const stream of this.waiting) {
        if (round-- === 0) break;
        if (this.isOutputFull) return;
        if (++resumed % STREAMS_PER_LOOK === 0 && performance.now() >= until) return this.resumeLater();
        this.waiting.delete(stream);
        stream.resume();
      }
    }
  }

  private resumeLater(): void {
    if (this.isResuming) return;
    this.isResuming = true;
    setImmediate(() => {
      this.isResuming = false;
      this.resumeWaiting();
    });
  }

  /** No stream of this number was ever open. */
  private isIdle(streamId: number): boolean {
    return streamId > this.lastStreamId || (streamId & 1) === 0;
  }

  /** Pays for a frame that moves nothing. */
  private spend(amount: number): void {
    if (!this.control.spend(amount, this.now)) throw calm('too many frames that move nothing', 'frames');
  }

  /** A peer that makes us answer and does not read the answers is cut: nothing that we could say would reach it. */
  private checkReader(): void {
    if (this.output.waitingBytes <= this.limits.outputBytes + this.limits.maxControlBytes || this.socket.destroyed) return;
    this.environment.onEnded?.('unread');
    this.destroy();
  }

  /** No further stream is taken. */
  private finish(): void {
    this.deadlines.remove(this);
    this.phase = Phase.Finishing;
    this.output.bytes(goAwayFrame(this.lastStreamId, ErrorCode.NoError, ''));
    if (this.streams.size === 0) this.end();
  }

  private fail(error: unknown): void {
    const isOurs = !(error instanceof ConnectionError);
    if (isOurs) this.environment.onInternalError(error);
    if (!this.isReading) return;
    const [code, text] = isOurs ? [ErrorCode.InternalError, ''] : [error.code, error.message];
    const reason = isOurs ? 'internal' : error.reason;
    if (FLOODS.has(reason) && this.address !== '') this.server.suspect(this.address, this.now);
    this.environment.onEnded?.(reason);
    // What is no HTTP/2 at all would not understand.
    if (this.reader.hasPreface) this.output.bytes(goAwayFrame(this.lastStreamId, code, text));
    this.end();
    // A client that floods would be read from for nothing until it knows.
    this.socket.pause();
  }

  /** Closes the socket behind what is written. The other side gets a moment to read it: bytes that come in and are not read would make the system drop it. */
  private end(): void {
    if (!this.isReading) return;
    this.phase = Phase.Ended;
    this.output.end();
    this.deadlines.remove(this.blockDeadline);
    this.deadlines.remove(this.restEnd);
    this.deadlines.add(this, this.limits.lingerMs, performance.now());
    this.unread = null;
    this.memory = null;
    this.socket.resume();
    this.closeStreams();
  }

  private closed(): void {
    this.phase = Phase.Ended;
    this.deadlines.remove(this);
    this.deadlines.remove(this.blockDeadline);
    this.deadlines.remove(this.restEnd);
    this.unread = null;
    this.memory = null;
    this.closeStreams();
    this.environment.onClosed(this);
  }

  private closeStreams(): void {
    for (const stream of [...this.streams.values()]) stream.close();
  }
}

/** Streams that are resumed between two looks at the clock. */
const STREAMS_PER_LOOK = 16;

/** The PING that follows a GOAWAY. */
const LEAVING = Buffer.from('leaving.', 'latin1');

/** The PING after a long silence. */
const ARE_YOU_THERE = Buffer.from('present?', 'latin1');

/** For what an address is suspect afterwards. */
const FLOODS: ReadonlySet<EndReason> = new Set<EndReason>(['resets', 'frames', 'header_block']);

/** Length of the padding at a frame's end (RFC 9113 section 6.1). */
function padding(flags: number, bytes: Buffer, start: number, end: number): number {
  if ((flags & Flag.Padded) === 0) return 0;
  if (start === end) throw frameSizeError('a padded frame');
  return bytes[start] as number;
}

function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  return Buffer.from(bytes.subarray(start, end));
}

function protocolError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.ProtocolError, message);
}

function frameSizeError(frame: string): ConnectionError {
  return new ConnectionError(ErrorCode.FrameSizeError, `the length of ${frame}`);
}

function calm(message: string, reason: EndReason): ConnectionError {
  return new ConnectionError(ErrorCode.EnhanceYourCalm, message, reason);
}
