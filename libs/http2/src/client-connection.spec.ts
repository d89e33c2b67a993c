import { duplexPair, type Duplex } from 'node:stream';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { ClientConnection, type RequestFailure, type ResponseReceiver } from './client-connection.js';
import { FrameReader } from './frame-reader.js';
import { Flag, frame, FrameType, goAwayFrame, numberFrame, Setting, settingsFrame } from './frames.js';
import { encodeHeaders } from './hpack/encoder.js';
import { ErrorCode } from './http2-error.js';

const HEAD = encodeHeaders([
  [':method', 'POST'],
  [':path', '/a.B/C'],
]);
const OK = encodeHeaders([[':status', '200']]);
const TRAILERS = encodeHeaders([['grpc-status', '0']]);

interface Received {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** The server's end of the line, a frame at a time. */
class Peer {
  readonly frames: Received[] = [];
  readonly lent = 0;
  readonly isReading = true;
  #next = 0;
  #look: () => void = () => {};

  constructor(readonly socket: Duplex) {
    const reader = new FrameReader(this);
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
    socket.on('error', () => undefined);
  }

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    this.frames.push({ type, flags, streamId, payload: Buffer.from(bytes.subarray(start, end)) });
    this.#look();
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** The next frame of one of the types, whatever comes before it. */
  async next(...types: readonly number[]): Promise<Received> {
    for (;;) {
      const found = this.frames[this.#next++];
      if (found === undefined) {
        this.#next--;
        await new Promise<void>((resolve) => (this.#look = resolve));
      } else if (types.includes(found.type)) return found;
    }
  }
}

class Answer implements ResponseReceiver {
  readonly told: unknown[] = [];
  readonly end: Promise<RequestFailure | null>;
  closed: (failure: RequestFailure | null) => void = () => {};
  isBodyDone = false;

  constructor() {
    this.end = new Promise((resolve) => {
      this.closed = resolve;
    });
  }

  bodyDone(): void {
    this.isBodyDone = true;
  }

  headers(fields: ReadonlyMap<string, string>): void {
    this.told.push(Object.fromEntries(fields));
  }

  data(bytes: Buffer, start: number, end: number): void {
    this.told.push(bytes.toString('latin1', start, end));
  }
}

let peer: Peer;
let connection: ClientConnection;

beforeEach(() => {
  const [ours, theirs] = duplexPair();
  peer = new Peer(theirs);
  connection = new ClientConnection(ours, { streamWindowBytes: 100_000, connectionWindowBytes: 200_000 });
});

function request(body = 'asked'): { readonly answer: Answer; readonly cancel: () => boolean } {
  const answer = new Answer();
  const request = connection.request(HEAD, Buffer.from(body), answer);
  return { answer, cancel: () => request.cancel() };
}

function greet(...settings: [number, number][]): void {
  peer.send(settingsFrame(settings));
}

function headers(streamId: number, block: Buffer, flags: number = Flag.EndHeaders): Buffer {
  return frame(FrameType.Headers, flags, streamId, block);
}

const whole = (streamId: number, text = 'answered'): Buffer =>
  Buffer.concat([
    headers(streamId, OK),
    frame(FrameType.Data, Flag.None, streamId, Buffer.from(text)),
    headers(streamId, TRAILERS, Flag.EndHeaders | Flag.EndStream),
  ]);

describe('ClientConnection', () => {
  it('begins with the preface and its settings, and sends what is asked for without waiting for the server', async () => {
    request();
    expect(await peer.next(FrameType.Settings)).toMatchObject({ streamId: 0, flags: Flag.None });
    expect((await peer.next(FrameType.WindowUpdate)).payload.readUInt32BE(0)).toBe(200_000 - 65_535);
    expect(await peer.next(FrameType.Headers)).toEqual({ type: FrameType.Headers, flags: Flag.EndHeaders, streamId: 1, payload: HEAD });
    expect(await peer.next(FrameType.Data)).toMatchObject({ streamId: 1, flags: Flag.EndStream, payload: Buffer.from('asked') });
  });

  it('tells head, body and trailers, and the end of each answer', async () => {
    greet();
    const [first, second] = [request(), request()];
    peer.send(whole(3, 'of the second'), whole(1));
    expect(await first.answer.end).toBeNull();
    expect(await second.answer.end).toBeNull();
    expect(first.answer.told).toEqual([{ ':status': '200' }, 'answered', { 'grpc-status': '0' }]);
    expect(second.answer.told).toEqual([{ ':status': '200' }, 'of the second', { 'grpc-status': '0' }]);
    expect(first.answer.isBodyDone).toBe(true);
  });

  it('reads padding, priorities, CONTINUATION and interim answers, however it is cut', async () => {
    const { answer } = request();
    const bytes = Buffer.concat([
      settingsFrame([]),
      frame(0xfa, 0, 0, Buffer.from('unknown')),
      headers(1, encodeHeaders([[':status', '103']])),
      frame(
        FrameType.Headers,
        Flag.Padded | Flag.Priority,
        1,
        Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 16]), OK.subarray(0, 1), Buffer.alloc(2)]),
      ),
      frame(FrameType.Continuation, Flag.EndHeaders, 1, encodeHeaders([['x-more', 'yes']])),
      frame(FrameType.Data, Flag.Padded, 1, Buffer.from('\x03text\0\0\0', 'latin1')),
      frame(FrameType.Priority, 0, 1, Buffer.alloc(5)),
      headers(1, TRAILERS, Flag.EndHeaders | Flag.EndStream),
    ]);
    for (const byte of bytes) peer.send(Buffer.from([byte]));
    expect(await answer.end).toBeNull();
    expect(answer.told).toEqual([{ ':status': '200', 'x-more': 'yes' }, 'text', { 'grpc-status': '0' }]);
  });

  it('answers SETTINGS and PING', async () => {
    greet();
    peer.send(frame(FrameType.Ping, Flag.None, 0, Buffer.from('12345678')));
    await peer.next(FrameType.Settings);
    expect(await peer.next(FrameType.Settings)).toMatchObject({ flags: Flag.Ack });
    expect(await peer.next(FrameType.Ping)).toMatchObject({ flags: Flag.Ack, payload: Buffer.from('12345678') });
  });

  it('sends no more than the windows of the stream and of the connection have room for', async () => {
    greet([Setting.InitialWindowSize, 10]);
    await peer.next(FrameType.Settings);
    await peer.next(FrameType.Settings);
    const { answer } = request('a'.repeat(25));
    expect((await peer.next(FrameType.Data)).payload).toHaveLength(10);
    peer.send(numberFrame(FrameType.WindowUpdate, 1, 4));
    expect((await peer.next(FrameType.Data)).payload).toHaveLength(4);
    greet([Setting.InitialWindowSize, 15]);
    expect((await peer.next(FrameType.Data)).payload).toHaveLength(5);
    expect(answer.isBodyDone).toBe(false);
    peer.send(numberFrame(FrameType.WindowUpdate, 1, 1000));
    expect(await peer.next(FrameType.Data)).toMatchObject({ flags: Flag.EndStream, payload: Buffer.from('aaaaaa') });
    expect(answer.isBodyDone).toBe(true);

    greet([Setting.InitialWindowSize, 1_000_000]);
    request('b'.repeat(100_000));
    request('c');
    const taken = async (bytes: number): Promise<string> => {
      let text = '';
      while (text.length < bytes) text += (await peer.next(FrameType.Data)).payload.toString();
      return text;
    };
    expect(await taken(65_535 - 25)).toMatch(/^b{65510}$/);
    peer.send(numberFrame(FrameType.WindowUpdate, 0, 100_000 - 65_510 + 1));
    expect(await taken(100_000 - 65_510 + 1)).toMatch(/^b*c$/);
  });

  it('gives the windows back with what has come', async () => {
    greet();
    const { answer } = request();
    peer.send(headers(1, OK));
    const updates: number[] = [];
    for (let sent = 0; sent < 400_000; sent += 10_000) {
      peer.send(frame(FrameType.Data, Flag.None, 1, Buffer.alloc(10_000)));
      if (sent % 50_000 === 40_000) updates.push((await peer.next(FrameType.WindowUpdate)).streamId);
    }
    peer.send(headers(1, TRAILERS, Flag.EndHeaders | Flag.EndStream));
    expect(await answer.end).toBeNull();
    expect(new Set(updates)).toEqual(new Set([0, 1]));
  });

  it('opens no more streams than the server takes, and the next one when one is over', async () => {
    greet([Setting.MaxConcurrentStreams, 1]);
    await peer.next(FrameType.Settings);
    await peer.next(FrameType.Settings);
    const [first, second, third] = [request('1'), request('2'), request('3')];
    expect(second.cancel()).toBe(true);
    expect((await peer.next(FrameType.Data)).payload.toString()).toBe('1');
    peer.send(whole(1));
    expect(await first.answer.end).toBeNull();
    expect(await peer.next(FrameType.Data)).toMatchObject({ streamId: 3, payload: Buffer.from('3') });
    peer.send(whole(3));
    expect(await third.answer.end).toBeNull();
    expect(second.answer.told).toEqual([]);
  });

  it('tells the server that a request is cancelled, ignores what still comes of it, and stays in step', async () => {
    greet();
    const [first, second] = [request(), request()];
    expect(first.cancel()).toBe(false);
    expect((await peer.next(FrameType.RstStream)).payload.readUInt32BE(0)).toBe(ErrorCode.Cancel);
    const indexed = Buffer.concat([Buffer.from([0x40, 3]), Buffer.from('x-a'), Buffer.from([1]), Buffer.from('1')]);
    peer.send(headers(1, Buffer.concat([OK, indexed])), frame(FrameType.Data, Flag.EndStream, 1, Buffer.from('late')));
    peer.send(headers(3, Buffer.concat([OK, Buffer.from([0xbe])])), headers(3, TRAILERS, Flag.EndHeaders | Flag.EndStream));
    expect(await second.answer.end).toBeNull();
    expect(second.answer.told[0]).toEqual({ ':status': '200', 'x-a': '1' });
    expect(first.answer.told).toEqual([]);
  });

  it('lets a server keep the rest of a body that it has answered without', async () => {
    greet([Setting.InitialWindowSize, 10]);
    await peer.next(FrameType.Settings);
    await peer.next(FrameType.Settings);
    const { answer } = request('a'.repeat(25));
    peer.send(whole(1));
    expect(await answer.end).toBeNull();
    expect(answer.isBodyDone).toBe(true);
    expect(await peer.next(FrameType.RstStream)).toMatchObject({ streamId: 1 });
    expect(connection.isUsable).toBe(true);
  });

  it('knows what the server has not touched', async () => {
    greet();
    const [refused, reset] = [request(), request()];
    peer.send(numberFrame(FrameType.RstStream, 1, ErrorCode.RefusedStream), numberFrame(FrameType.RstStream, 3, ErrorCode.InternalError));
    expect(await refused.answer.end).toMatchObject({ isUntouched: true });
    expect(await reset.answer.end).toMatchObject({ isUntouched: false, reason: expect.stringContaining('error 2') });
    const [before, beyond] = [request(), request()];
    await peer.next(FrameType.Data);
    peer.send(goAwayFrame(5, ErrorCode.NoError, 'going'));
    expect(await beyond.answer.end).toMatchObject({ isUntouched: true, reason: expect.stringContaining('going') });
    expect(connection.isUsable).toBe(false);
    expect(await request().answer.end).toMatchObject({ isUntouched: true });
    peer.send(whole(5));
    expect(await before.answer.end).toBeNull();
  });

  it('ends what is under way when the connection is lost, and closes it when the last one is over after `end`', async () => {
    greet();
    const { answer } = request();
    connection.end();
    expect(connection.isUsable).toBe(false);
    peer.send(whole(1));
    expect(await answer.end).toBeNull();
    expect(connection.isReading).toBe(false);

    const [ours, theirs] = duplexPair();
    connection = new ClientConnection(ours, { streamWindowBytes: 100_000, connectionWindowBytes: 200_000 });
    const lost = request();
    theirs.end();
    expect(await lost.answer.end).toEqual({ reason: 'the connection was closed', isUntouched: false });
  });

  it('ends what is under way when an answer cannot be taken, and does not blame the server', async () => {
    greet();
    const { answer } = request();
    answer.data = () => {
      throw new Error('no memory');
    };
    peer.send(whole(1));
    expect(await answer.end).toEqual({ reason: 'its answer cannot be taken: Error: no memory', isUntouched: false });
    expect(connection.isUsable).toBe(false);
  });

  it.each([
    ['no HTTP/2', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'does not speak HTTP/2'],
    ['a frame before SETTINGS', frame(FrameType.Ping, 0, 0, Buffer.alloc(8)), 'does not speak HTTP/2'],
    ['a push', Buffer.concat([settingsFrame([]), frame(FrameType.PushPromise, 4, 1, Buffer.alloc(4))]), 'PUSH_PROMISE'],
    ['a stream that nobody opened', Buffer.concat([settingsFrame([]), whole(7)]), 'stream 7'],
    ['DATA before a head', Buffer.concat([settingsFrame([]), frame(FrameType.Data, 0, 1, Buffer.from('a'))]), 'DATA before HEADERS'],
    [
      'a cut header block',
      Buffer.concat([settingsFrame([]), headers(1, OK, 0), frame(FrameType.Ping, 0, 0, Buffer.alloc(8))]),
      'not complete',
    ],
    ['a block that is none', Buffer.concat([settingsFrame([]), headers(1, Buffer.from([0xff, 0xff, 0xff]))]), 'header block'],
    [
      'too much padding',
      Buffer.concat([settingsFrame([]), frame(FrameType.Data, Flag.Padded, 1, Buffer.from([9, 1]))]),
      'longer than its frame',
    ],
    [
      'a WINDOW_UPDATE beyond all windows',
      Buffer.concat([settingsFrame([]), numberFrame(FrameType.WindowUpdate, 0, 0x7fffffff)]),
      'too large',
    ],
  ])('ends the connection at %s', async (_, bytes, reason) => {
    const { answer } = request();
    await peer.next(FrameType.Data);
    peer.send(bytes);
    expect(await answer.end).toMatchObject({ reason: expect.stringContaining(reason), isUntouched: false });
    expect(connection.isUsable).toBe(false);
    expect((await peer.next(FrameType.GoAway)).streamId).toBe(0);
  });
});
