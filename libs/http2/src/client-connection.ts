import type { Duplex } from 'node:stream';
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
  paddingLength,
  PREFACE,
  readUInt31,
  Setting,
  settingsFrame,
} from './frames.js';
import { HeaderBlock, type HeaderBlockLimits } from './header-block.js';
import { HpackDecoder, type HeaderSink } from './hpack/decoder.js';
import { emptyTableBlock } from './hpack/encoder.js';
import type { HeaderField } from './hpack/header-field.js';
import { ConnectionError, ErrorCode, frameSizeError, protocolError } from './http2-error.js';
import { Output } from './output.js';

/** Why there is no whole answer. */
export interface RequestFailure {
  readonly reason: string;
  /** The server has not acted on the request, and will not (RFC 9113 section 8.7). */
  readonly isUntouched: boolean;
}

/** Who is told what becomes of one request. */
export interface ResponseReceiver {
  /** The body is sent, or will not be: it belongs to the caller again. */
  bodyDone(): void;
  /** The head of the answer or its trailers, by their names, pseudo fields too. */
  headers(fields: ReadonlyMap<string, string>): void;
  /** A part of the body: `bytes` from `start` to `end`, which belong to the connection again when this returns. */
  data(bytes: Buffer, start: number, end: number): void;
  /** Nothing further comes; null: the answer is whole. Called exactly once, but not of a request that was cancelled. */
  closed(failure: RequestFailure | null): void;
}

export interface ClientOptions {
  /** What of one answer may be on its way, and of all answers together. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
}

/** Of answers: far above what gRPC sends. */
const HEADER_LIMITS: HeaderBlockLimits = { maxHeaderBlockBytes: 256 * 1024, maxContinuations: 64 };

/** One request and its answer. */
class ClientStream {
  /** 0: it waits until the server takes another one. */
  id = 0;
  /** How much of the body is sent. */
  offset = 0;
  /** What may be sent beyond the server's first window, which may change. */
  credit = 0;
  hasHead = false;
  isBodyDone = false;
  isClosed = false;
  readonly window: ReceiveWindow;

  constructor(
    readonly head: Buffer,
    readonly body: Buffer,
    readonly receiver: ResponseReceiver,
    windowBytes: number,
  ) {
    this.window = new ReceiveWindow(windowBytes);
  }

  /** Nothing of the body is read any more. */
  letGoOfBody(): void {
    if (this.isBodyDone) return;
    this.isBodyDone = true;
    this.receiver.bodyDone();
  }
}

/** What of a request its sender may still do. */
export interface ClientRequest {
  /** The answer is not wanted any more. Its receiver is told nothing further. True: nothing of the request has left. */
  cancel(): boolean;
}

/** The client's side of one HTTP/2 connection (RFC 9113), for requests whose whole body is there. Nothing is pushed to it, and it is never connected again. */
export class ClientConnection implements FrameSink {
  /** Receivers copy what they keep. */
  readonly lent = 0;
  private readonly reader = new FrameReader(this, true);
  private readonly output: Output;
  private readonly decoder = new HpackDecoder();
  private readonly streams = new Map<number, ClientStream>();
  /** Beyond what the server takes at a time. */
  private readonly waiting = new Set<ClientStream>();
  /** They have more to send than a window has room for. */
  private readonly blocked = new Set<ClientStream>();
  private readonly receiveWindow: ReceiveWindow;
  private readonly sendWindow = new SendWindow(DEFAULT_WINDOW);
  private initialWindow = DEFAULT_WINDOW;
  private maxStreams = Infinity;
  private nextId = 1;
  private block: HeaderBlock | null = null;
  private isGreeted = false;
  private mustEmptyTable = false;
  private isLeaving = false;
  private isOver = false;
  private willFlush = false;
  /** Why the connection ended. */
  private reason = 'the connection was closed';

  /** `socket` may be connecting still. */
  constructor(
    private readonly socket: Duplex,
    private readonly options: ClientOptions,
  ) {
    const { streamWindowBytes, connectionWindowBytes } = options;
    this.receiveWindow = new ReceiveWindow(connectionWindowBytes);
    this.output = new Output(socket, () => {});
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('end', () => this.destroy());
    socket.on('error', (error: Error) => {
      this.reason = reasonOf(error);
      this.destroy();
    });
    socket.on('close', () => this.destroy());
    this.output.bytes(PREFACE);
    this.output.bytes(
      settingsFrame([
        [Setting.EnablePush, 0],
        [Setting.InitialWindowSize, streamWindowBytes],
      ]),
    );
    this.sendNumber(FrameType.WindowUpdate, 0, connectionWindowBytes - DEFAULT_WINDOW);
  }

  get isReading(): boolean {
    return !this.isOver;
  }

  /** It takes requests. */
  get isUsable(): boolean {
    return !this.isLeaving && !this.isOver && this.nextId < MAX_31_BITS;
  }

  /** `head`: a block of `encodeHeaders`. Nobody may change the two before `bodyDone`. Where the connection takes no requests, the receiver is told so later. */
  request(head: Buffer, body: Buffer, receiver: ResponseReceiver): ClientRequest {
    const stream = new ClientStream(head, body, receiver, this.options.streamWindowBytes);
    if (!this.isUsable) queueMicrotask(() => this.close(stream, { reason: this.reason, isUntouched: true }));
    else {
      this.waiting.add(stream);
      this.openWaiting();
      this.flushSoon();
    }
    return { cancel: () => this.cancel(stream) };
  }

  /** The requests under way come to their end, and no others begin. */
  end(): void {
    this.isLeaving = true;
    this.endIfDone();
  }

  /** At once, whatever is under way. */
  destroy(): void {
    if (this.isOver) return;
    this.isOver = true;
    const failure = { reason: this.reason, isUntouched: false };
    for (const stream of this.streams.values()) this.close(stream, failure);
    this.giveUpWaiting();
    this.socket.destroy();
  }

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (!this.isGreeted && type !== FrameType.Settings) throw protocolError('the first frame is not SETTINGS');
    if (this.block !== null && (type !== FrameType.Continuation || streamId !== this.block.streamId)) {
      throw protocolError('a header block is not complete');
    }
    switch (type) {
      case FrameType.Data:
        return this.receiveData(flags, streamId, bytes, start, end);
      case FrameType.Headers:
        return this.receiveHeaders(flags, streamId, bytes, start, end);
      case FrameType.Continuation:
        return this.receiveContinuation(flags, bytes, start, end);
      case FrameType.RstStream:
        return this.receiveReset(streamId, bytes, start, end);
      case FrameType.Settings:
        return this.receiveSettings(flags, streamId, bytes, start, end);
      case FrameType.PushPromise:
        throw protocolError('PUSH_PROMISE, which is switched off');
      case FrameType.Ping:
        return this.receivePing(flags, bytes, start, end);
      case FrameType.GoAway:
        return this.receiveGoAway(bytes, start, end);
      case FrameType.WindowUpdate:
        return this.receiveWindowUpdate(streamId, bytes, start, end);
      default:
      // PRIORITY, and what is not known (RFC 9113 section 5.5): ignored.
    }
  }

  private receive(chunk: Buffer): void {
    if (this.isOver) return;
    try {
      this.reader.push(chunk);
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (error instanceof ConnectionError) {
      this.reason = this.isGreeted ? `it speaks HTTP/2 against the rules: ${error.message}` : 'it does not speak HTTP/2';
      this.output.bytes(goAwayFrame(0, error.code, error.message));
    } else {
      this.reason = `its answer cannot be taken: ${String(error)}`;
      this.output.bytes(goAwayFrame(0, ErrorCode.InternalError, ''));
    }
    this.output.flush();
    this.destroy();
  }

  private giveUpWaiting(): void {
    const failure = { reason: this.reason, isUntouched: true };
    for (const stream of this.waiting) this.close(stream, failure);
  }

  private endIfDone(): void {
    if (this.isLeaving && this.streams.size === 0 && this.waiting.size === 0) this.destroy();
  }

  private openWaiting(): void {
    for (const stream of this.waiting) {
      if (this.streams.size >= this.maxStreams || this.nextId >= MAX_31_BITS) return;
      this.waiting.delete(stream);
      this.open(stream);
    }
  }

  private open(stream: ClientStream): void {
    stream.id = this.nextId;
    this.nextId += 2;
    this.streams.set(stream.id, stream);
    const { head, body } = stream;
    const block = this.mustEmptyTable ? emptyTableBlock(head) : head;
    this.mustEmptyTable = false;
    this.output.headers(stream.id, block, body.length === 0);
    this.sendBody(stream);
  }

  private sendBody(stream: ClientStream): void {
    const { body, id } = stream;
    const { output, sendWindow } = this;
    while (stream.offset < body.length) {
      const room = Math.min(sendWindow.available, this.initialWindow + stream.credit);
      if (room <= 0) {
        this.blocked.add(stream);
        return;
      }
      const end = stream.offset + Math.min(room, body.length - stream.offset, MAX_FRAME);
      output.header(end - stream.offset, FrameType.Data, end === body.length ? Flag.EndStream : Flag.None, id);
      output.bytes(body, stream.offset, end);
      sendWindow.available -= end - stream.offset;
      stream.credit -= end - stream.offset;
      stream.offset = end;
    }
    this.blocked.delete(stream);
    stream.letGoOfBody();
  }

  private resumeBlocked(): void {
    for (const stream of this.blocked) {
      if (this.sendWindow.available <= 0) return;
      this.sendBody(stream);
    }
  }

  private cancel(stream: ClientStream): boolean {
    const isUntouched = stream.id === 0;
    if (stream.isClosed) return isUntouched;
    stream.isClosed = true;
    if (!isUntouched) this.sendNumber(FrameType.RstStream, stream.id, ErrorCode.Cancel);
    this.forget(stream);
    return isUntouched;
  }

  /** Its receiver is told. */
  private close(stream: ClientStream, failure: RequestFailure | null): void {
    if (stream.isClosed) return;
    stream.isClosed = true;
    this.forget(stream);
    stream.receiver.closed(failure);
  }

  private forget(stream: ClientStream): void {
    this.streams.delete(stream.id);
    this.waiting.delete(stream);
    this.blocked.delete(stream);
    stream.letGoOfBody();
    if (this.isOver) return;
    if (!this.isLeaving) this.openWaiting();
    this.endIfDone();
  }

  /** The answer is whole. Of a body that was not asked for to its end the rest is kept. */
  private finish(stream: ClientStream): void {
    if (stream.offset < stream.body.length) this.sendNumber(FrameType.RstStream, stream.id, ErrorCode.NoError);
    this.close(stream, null);
  }

  private receiveData(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const to = end - paddingLength(flags, bytes, start, end);
    const from = start + (flags & Flag.Padded ? 1 : 0);
    if (from > to) throw protocolError('DATA longer than its frame');
    this.count(this.receiveWindow, 0, end - start);
    const stream = this.known(streamId);
    if (stream === undefined) return;
    if (!stream.hasHead) throw protocolError('DATA before HEADERS');
    if (to > from) stream.receiver.data(bytes, from, to);
    if ((flags & Flag.EndStream) !== 0) this.finish(stream);
    else if (!stream.isClosed) this.count(stream.window, streamId, end - start);
  }

  /** Bytes that have come, and are done with: a window is never used up. */
  private count(window: ReceiveWindow, streamId: number, bytes: number): void {
    window.receive(bytes);
    const increment = window.consume(bytes);
    if (increment > 0) this.sendNumber(FrameType.WindowUpdate, streamId, increment);
  }

  private receiveHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const to = end - paddingLength(flags, bytes, start, end);
    // Five bytes of a priority that nobody looks at (RFC 9113 section 5.3.2).
    const from = start + (flags & Flag.Padded ? 1 : 0) + (flags & Flag.Priority ? 5 : 0);
    if (from > to) throw protocolError('HEADERS longer than its frame');
    const endStream = (flags & Flag.EndStream) !== 0;
    if ((flags & Flag.EndHeaders) !== 0) this.receiveBlock(streamId, bytes, from, to, endStream);
    else {
      this.block = new HeaderBlock(streamId, endStream, HEADER_LIMITS);
      this.block.add(bytes, from, to);
    }
  }

  private receiveContinuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const { block } = this;
    if (block === null) throw protocolError('CONTINUATION of nothing');
    block.add(bytes, start, end);
    if ((flags & Flag.EndHeaders) === 0) return;
    this.block = null;
    const whole = block.whole();
    this.receiveBlock(block.streamId, whole, 0, whole.length, block.endStream);
  }

  private receiveBlock(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    // Also of a stream that is over: the table has to stay in step.
    const fields = new Fields();
    this.decoder.decode(bytes, start, end, fields);
    const stream = this.known(streamId);
    if (stream === undefined) return;
    const isInterim = fields.byName.get(':status')?.startsWith('1') === true && !endStream;
    if (isInterim) return;
    if (stream.hasHead && !endStream) throw protocolError('trailers that do not end the stream');
    stream.hasHead = true;
    stream.receiver.headers(fields.byName);
    if (endStream) this.finish(stream);
  }

  private receiveReset(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw frameSizeError('RST_STREAM');
    const stream = this.known(streamId);
    if (stream === undefined) return;
    const code = bytes.readUInt32BE(start);
    this.close(stream, { reason: `it has reset the request (HTTP/2 error ${code})`, isUntouched: code === ErrorCode.RefusedStream });
  }

  private receiveSettings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError('SETTINGS on a stream');
    const isAck = (flags & Flag.Ack) !== 0;
    if (isAck ? end > start : (end - start) % 6 !== 0) throw frameSizeError('SETTINGS');
    if (!this.isGreeted && isAck) throw protocolError('the first frame is not SETTINGS');
    this.isGreeted = true;
    if (isAck) return;
    for (let offset = start; offset < end; offset += 6) this.apply(bytes.readUInt16BE(offset), bytes.readUInt32BE(offset + 2));
    this.output.header(0, FrameType.Settings, Flag.Ack, 0);
    this.resumeBlocked();
    if (!this.isLeaving) this.openWaiting();
  }

  /** RFC 9113 section 6.5.2. */
  private apply(setting: number, value: number): void {
    switch (setting) {
      case Setting.HeaderTableSize:
        // No block here uses the table, but a server may insist on being told that a smaller one is smaller (RFC 7541 section 4.2).
        this.mustEmptyTable = true;
        return;
      case Setting.MaxConcurrentStreams:
        this.maxStreams = value;
        return;
      case Setting.InitialWindowSize:
        if (value > MAX_31_BITS) throw new ConnectionError(ErrorCode.FlowControlError, `SETTINGS_INITIAL_WINDOW_SIZE of ${value}`);
        this.initialWindow = value;
        return;
      default:
      // Frames stay at their least size, and the lists sent are short.
    }
  }

  private receivePing(flags: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 8) throw frameSizeError('PING');
    if ((flags & Flag.Ack) !== 0) return;
    this.output.header(8, FrameType.Ping, Flag.Ack, 0);
    this.output.bytes(bytes, start, end);
  }

  private receiveGoAway(bytes: Buffer, start: number, end: number): void {
    if (end - start < 8) throw frameSizeError('GOAWAY');
    const last = readUInt31(bytes, start);
    const code = bytes.readUInt32BE(start + 4);
    const said = bytes.toString('utf8', start + 8, end);
    this.reason = `it takes leave (HTTP/2 error ${code}${said === '' ? '' : `: ${said}`})`;
    this.isLeaving = true;
    this.giveUpWaiting();
    for (const stream of this.streams.values()) {
      if (stream.id > last) this.close(stream, { reason: this.reason, isUntouched: true });
    }
    this.endIfDone();
  }

  private receiveWindowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw frameSizeError('WINDOW_UPDATE');
    const increment = readUInt31(bytes, start);
    if (streamId === 0) {
      if (!this.sendWindow.add(increment)) throw new ConnectionError(ErrorCode.FlowControlError, 'the window is too large');
      this.resumeBlocked();
      return;
    }
    const stream = this.known(streamId);
    if (stream === undefined) return;
    stream.credit += increment;
    if (this.blocked.has(stream)) this.sendBody(stream);
  }

  /** Undefined: the stream is over. */
  private known(streamId: number): ClientStream | undefined {
    if ((streamId & 1) === 0 || streamId >= this.nextId) throw protocolError(`a frame of stream ${streamId}, which is not open`);
    return this.streams.get(streamId);
  }

  private sendNumber(type: number, streamId: number, number: number): void {
    this.output.bytes(numberFrame(type, streamId, number));
  }

  /** What is asked for in one turn goes out in one write, at its end. */
  private flushSoon(): void {
    if (this.willFlush) return;
    this.willFlush = true;
    queueMicrotask(() => {
      this.willFlush = false;
      this.output.flush();
    });
  }
}

/** Of a host with several addresses, each has failed in its own way. */
function reasonOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map((each: Error) => each.message).join('; ') : error.message;
}

/** The fields of a block, by name; of several with one name the last. */
class Fields implements HeaderSink {
  readonly byName = new Map<string, string>();

  field({ name, value }: HeaderField): void {
    this.byName.set(name, value);
  }
}
