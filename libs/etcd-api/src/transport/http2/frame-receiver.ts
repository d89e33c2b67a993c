import {
  calm,
  ConnectionError,
  ErrorCode,
  Flag,
  type FrameSink,
  frameSizeError,
  FrameType,
  HeaderBlock,
  HpackDecoder,
  MAX_31_BITS,
  MAX_FRAME,
  paddingLength,
  protocolError,
  readUInt31,
  ReceiveWindow,
  Setting,
} from '@harikube/http2';
import type { Expiring } from '../deadlines.js';
import type { Budget } from './limits.js';
import { RequestHeaders } from './request-headers.js';
import { Http2Stream, type StreamConnection } from './stream.js';

/** The connection whose frames are received. */
export interface ReceivingConnection extends StreamConnection {
  readonly resets: Budget;
  /** See `TurnReader`. */
  readonly now: number;
  readonly turn: number;
  readonly isReading: boolean;
  /** The first SETTINGS is not there yet. */
  readonly isOpening: boolean;
  /** GOAWAY has named the last stream: those beyond it are ignored. */
  readonly isFinishing: boolean;
  /** The first SETTINGS has come. */
  opened(): void;
  /** The answer to a PING; false: to none that was waited for. */
  receivePong(bytes: Buffer, start: number, end: number): boolean;
  /** Something was written that the client made us write: it is cut when it does not read. */
  checkReader(): void;
  /** A request has begun; `headers` hold what they say only until this returns. */
  receiveRequest(stream: Http2Stream, headers: RequestHeaders): void;
  /** The connection cannot go on. */
  fail(error: unknown): void;
}

/** The largest SETTINGS_MAX_FRAME_SIZE. */
const MAX_MAX_FRAME = 16_777_215;

/** What a client's frames do, and which of them are against the rules (RFC 9113 sections 5 and 6). */
export class FrameReceiver implements FrameSink {
  readonly streams = new Map<number, Http2Stream>();
  lastStreamId = 0;
  private readonly window: ReceiveWindow;
  private readonly decoder = new HpackDecoder();
  private readonly headers: RequestHeaders;
  private block: HeaderBlock | null = null;
  private readonly blockDeadline: Expiring = {
    due: 0,
    expire: () => this.connection.fail(calm('a header block takes too long', 'header_block')),
  };

  constructor(private readonly connection: ReceivingConnection) {
    const { limits } = connection;
    this.window = new ReceiveWindow(limits.connectionWindowBytes);
    this.headers = new RequestHeaders(limits.maxHeaderListBytes);
  }

  get lent(): number {
    return this.connection.lent;
  }

  get isReading(): boolean {
    return this.connection.isReading;
  }

  /** Nothing further is received. */
  stop(): void {
    this.connection.deadlines.remove(this.blockDeadline);
  }

  closeStreams(): void {
    for (const stream of [...this.streams.values()]) stream.close();
  }

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (this.block !== null && (type !== FrameType.Continuation || streamId !== this.block.streamId)) {
      throw protocolError('a header block is not complete');
    }
    if (this.connection.isOpening && type !== FrameType.Settings) throw protocolError('the first frame is not SETTINGS');
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

  private receiveHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    // Streams that a client opens have odd numbers (RFC 9113 section 5.1.1).
    if ((streamId & 1) === 0) throw protocolError(`HEADERS on stream ${streamId}`);
    const to = end - paddingLength(flags, bytes, start, end);
    // Five bytes of a priority that nobody looks at (RFC 9113 section 5.3.2).
    const from = start + (flags & Flag.Padded ? 1 : 0) + (flags & Flag.Priority ? 5 : 0);
    if (from > to) throw protocolError('HEADERS longer than its frame');
    const endStream = (flags & Flag.EndStream) !== 0;
    if ((flags & Flag.EndHeaders) !== 0) this.receiveBlock(streamId, bytes, from, to, endStream);
    else {
      const { limits, deadlines, now } = this.connection;
      this.block = new HeaderBlock(streamId, endStream, limits);
      this.block.add(bytes, from, to);
      deadlines.add(this.blockDeadline, limits.headerBlockMs, now);
    }
  }

  private receiveContinuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const { block } = this;
    if (block === null) throw protocolError('CONTINUATION of nothing');
    block.add(bytes, start, end);
    if ((flags & Flag.EndHeaders) === 0) return;
    this.block = null;
    this.connection.deadlines.remove(this.blockDeadline);
    const whole = block.whole();
    this.receiveBlock(block.streamId, whole, 0, whole.length, block.endStream);
  }

  private receiveBlock(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const { headers } = this;
    const { limits } = this.connection;
    headers.reset();
    this.decoder.decode(bytes, start, end, headers);
    if (headers.fields > limits.freeHeaderFields) this.spend((headers.fields - limits.freeHeaderFields) / limits.fieldsPerControl);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.receiveTrailers(stream, endStream);
    else if (streamId <= this.lastStreamId) throw protocolError(`HEADERS on stream ${streamId}, which is over`);
    // RFC 9113 section 6.8: a stream beyond the last one that GOAWAY named is ignored.
    else if (this.connection.isFinishing) this.lastStreamId = streamId;
    else this.open(streamId, endStream);
  }

  private receiveTrailers(stream: Http2Stream, endStream: boolean): void {
    if (stream.isRemoteClosed) this.refuseStream(stream.id, ErrorCode.StreamClosed);
    else if (!endStream || !this.headers.isTrailers) this.refuseStream(stream.id, ErrorCode.ProtocolError);
    else if (this.headers.isTooLarge) this.refuseLarge(stream.id);
    else stream.receiveEnd();
  }

  private open(streamId: number, endStream: boolean): void {
    const { headers, connection } = this;
    const { limits } = connection;
    this.lastStreamId = streamId;
    if (headers.isTooLarge) return this.refuseLarge(streamId);
    if (!headers.isRequest) return this.refuseStream(streamId, ErrorCode.ProtocolError);
    if (this.streams.size + connection.abandoned >= limits.maxConcurrentStreams) {
      return this.resetStream(streamId, ErrorCode.RefusedStream);
    }
    connection.control.earn(limits.controlPerMessage);
    const stream = new Http2Stream(connection, streamId, headers.contentLength, connection.turn);
    this.streams.set(streamId, stream);
    connection.receiveRequest(stream, headers);
    if (endStream && !stream.isClosed) stream.receiveEnd();
  }

  private receiveData(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) throw protocolError('DATA on stream 0');
    const flowBytes = end - start;
    const to = end - paddingLength(flags, bytes, start, end);
    const from = start + (flags & Flag.Padded ? 1 : 0);
    if (from > to) throw protocolError('DATA longer than its frame');
    if (!this.window.receive(flowBytes)) throw new ConnectionError(ErrorCode.FlowControlError, 'more DATA than the window allows');
    const increment = this.window.consume(flowBytes);
    if (increment > 0) this.connection.sendNumber(FrameType.WindowUpdate, 0, increment);
    const isLast = (flags & Flag.EndStream) !== 0;
    if (from === to && !isLast) this.spend(1);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.receiveData(bytes, from, to, flowBytes, isLast);
    else if (this.isIdle(streamId)) throw protocolError(`DATA on stream ${streamId}, which is not open`);
    else if (this.connection.isFinishing) this.spend(1);
    // For a client whose stream was reset while this was on its way, one reset more changes nothing.
    else this.resetStream(streamId, ErrorCode.StreamClosed);
  }

  private receiveWindowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw frameSizeError('WINDOW_UPDATE');
    this.spend(1);
    const increment = readUInt31(bytes, start);
    const { turns } = this.connection;
    if (streamId === 0) {
      if (increment === 0) throw protocolError('a WINDOW_UPDATE of 0');
      if (!turns.window.add(increment)) throw new ConnectionError(ErrorCode.FlowControlError, 'the window is too large');
      turns.resumeWaiting();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) throw protocolError(`WINDOW_UPDATE on stream ${streamId}, which is not open`);
    } else if (increment === 0) stream.refuse(ErrorCode.ProtocolError);
    else if (!stream.addCredit(increment)) stream.refuse(ErrorCode.FlowControlError);
    else turns.resume(stream);
  }

  private receiveReset(streamId: number, start: number, end: number): void {
    if (end - start !== 4) throw frameSizeError('RST_STREAM');
    if (this.isIdle(streamId)) throw protocolError(`RST_STREAM on stream ${streamId}, which is not open`);
    const stream = this.streams.get(streamId);
    if (stream === undefined) this.spend(1);
    else {
      // CVE-2023-44487: each such call has cost a start and may cost what its handler goes on doing.
      const { connection } = this;
      const cost = stream.turn === connection.turn && !stream.isEnding ? connection.limits.earlyResetCost : 1;
      if (!connection.resets.spend(cost, connection.now)) throw calm('too many calls are given up', 'resets');
      stream.close();
    }
  }

  private receivePing(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError('PING on a stream');
    if (end - start !== 8) throw frameSizeError('PING');
    const { connection } = this;
    if ((flags & Flag.Ack) !== 0) {
      if (!connection.receivePong(bytes, start, end)) this.spend(1);
      return;
    }
    this.spend(1);
    connection.output.header(8, FrameType.Ping, Flag.Ack, 0);
    connection.output.bytes(bytes, start, end);
    connection.checkReader();
  }

  private receiveSettings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError('SETTINGS on a stream');
    const isAck = (flags & Flag.Ack) !== 0;
    if (isAck ? end > start : (end - start) % 6 !== 0) throw frameSizeError('SETTINGS');
    const { connection } = this;
    if (connection.isOpening) {
      if (isAck) throw protocolError('the first frame is not SETTINGS');
      connection.opened();
    }
    this.spend(1);
    if (isAck) return;
    for (let offset = start; offset < end; offset += 6) this.apply(bytes.readUInt16BE(offset), bytes.readUInt32BE(offset + 2));
    connection.output.header(0, FrameType.Settings, Flag.Ack, 0);
    connection.checkReader();
  }

  /** RFC 9113 section 6.5.2. */
  private apply(setting: number, value: number): void {
    switch (setting) {
      case Setting.HeaderTableSize:
        this.connection.encoder.setTableSize(value);
        return;
      case Setting.EnablePush:
        if (value > 1) throw protocolError(`SETTINGS_ENABLE_PUSH of ${value}`);
        return;
      case Setting.InitialWindowSize:
        if (value > MAX_31_BITS) throw new ConnectionError(ErrorCode.FlowControlError, `SETTINGS_INITIAL_WINDOW_SIZE of ${value}`);
        this.spend(this.connection.turns.costOfWindow(value));
        this.connection.turns.setInitialWindow(value);
        return;
      case Setting.MaxFrameSize:
        if (value < MAX_FRAME || value > MAX_MAX_FRAME) throw protocolError(`SETTINGS_MAX_FRAME_SIZE of ${value}`);
        return;
      default:
      // Nothing is pushed, frames stay at their default, and the lists sent are short.
    }
  }

  private refuseLarge(streamId: number): void {
    this.spend(this.connection.limits.largeHeaderCost);
    this.resetStream(streamId, ErrorCode.EnhanceYourCalm);
  }

  private resetStream(streamId: number, code: ErrorCode): void {
    this.spend(1);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.reset(code);
    else this.connection.sendReset(streamId, code);
  }

  /** The same for a frame that is against the rules. */
  private refuseStream(streamId: number, code: ErrorCode): void {
    this.spend(1);
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.refuse(code);
    else this.connection.sendReset(streamId, code, this.connection.limits.earlyResetCost);
  }

  /** No stream of this number was ever open. */
  private isIdle(streamId: number): boolean {
    return streamId > this.lastStreamId || (streamId & 1) === 0;
  }

  /** Pays for a frame that moves nothing. */
  private spend(amount: number): void {
    const { control, now } = this.connection;
    if (!control.spend(amount, now)) throw calm('too many frames that move nothing', 'frames');
  }
}
