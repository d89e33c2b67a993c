import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { frameOf } from '../../spec/grpc-client.js';
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  GOAWAY,
  headerBlock,
  HEADERS,
  PADDED,
  PING,
  PREFACE,
  PRIORITY,
  PUSH_PROMISE,
  RawConnection,
  rawFrame,
  request,
  RST_STREAM,
  rstStream,
  SETTINGS,
  settings,
  uint32,
  WINDOW_UPDATE,
  windowUpdate,
  WITH_PRIORITY,
  type RawFrame,
} from '../../spec/raw-connection.js';
import { GrpcCode, GrpcError } from '../../wire/grpc-status.js';
import type { StreamCall } from '../grpc-server.js';
import { Http2GrpcServer } from '../http2-grpc-server.js';
import type { Http2Limits } from './limits.js';

const NO_ERROR = 0;
const PROTOCOL_ERROR = 1;
const FLOW_CONTROL_ERROR = 3;
const STREAM_CLOSED = 5;
const FRAME_SIZE_ERROR = 6;
const REFUSED_STREAM = 7;
const COMPRESSION_ERROR = 9;
const ENHANCE_YOUR_CALM = 11;

/** SETTINGS_... */
const HEADER_TABLE_SIZE = 1;
const ENABLE_PUSH = 2;
const INITIAL_WINDOW_SIZE = 4;
const MAX_FRAME_SIZE = 5;

let server: Http2GrpcServer;
let url: string;
let opened: RawConnection[];
let calls: StreamCall[];
let release: (() => void)[];
let ended: number;
let drained: number;
let internal: unknown[];
let reads: string[];
let endings: string[];

async function start(limits: Partial<Http2Limits> = {}, streamBufferBytes?: number): Promise<void> {
  server = new Http2GrpcServer({
    addresses: ['127.0.0.1:0'],
    routes: {
      '/t.T/Echo': { kind: 'unary', cancellable: true, handle: async (message) => frameOf(Buffer.from(message)) },
      '/t.T/Bytes': { kind: 'unary', cancellable: true, handle: async (message) => frameOf(Buffer.alloc(Number(message.toString()), 'x')) },
      '/t.T/Read': {
        kind: 'unary',
        cancellable: true,
        isRead: true,
        handle: async (message) => {
          const asked = message.toString();
          reads.push(asked);
          const isWait = asked.startsWith('wait');
          if (isWait) await new Promise<void>((resolve) => release.push(resolve));
          return frameOf(Buffer.alloc(isWait ? 1 : Number(asked), 'x'));
        },
      },
      '/t.T/Fails': {
        kind: 'unary',
        cancellable: true,
        handle: () => Promise.reject(new GrpcError(GrpcCode.Internal, 'e'.repeat(20_000))),
      },
      '/t.T/Waits': {
        kind: 'unary',
        cancellable: true,
        handle: async () => {
          await new Promise<void>((resolve) => release.push(resolve));
          return frameOf(Buffer.from('late'));
        },
      },
      '/t.T/Stream': {
        kind: 'stream',
        type: 'bidi_stream',
        open: (call) => {
          calls.push(call);
          return {
            message: (message) => {
              call.send(frameOf(Buffer.from(message)));
            },
            halfClosed: () => call.end(),
            drained: () => {
              drained++;
            },
            closed: () => {
              ended++;
            },
          };
        },
      },
    },
    toGrpcError: (error) => {
      if (error instanceof GrpcError) return error;
      internal.push(error);
      return new GrpcError(GrpcCode.Internal, 'internal');
    },
    observer: {
      started: () => {},
      handled: () => {},
      messageReceived: () => {},
      messageSent: () => {},
      connectionEnded: (reason) => endings.push(reason),
    },
    limits: { lingerMs: 100, ...limits },
    streamBufferBytes,
  });
  [url = ''] = await server.listen();
}

async function open(...pairs: readonly (readonly [id: number, value: number])[]): Promise<RawConnection> {
  const connection = await RawConnection.open(url, ...pairs);
  opened.push(connection);
  return connection;
}

beforeEach(() => {
  opened = [];
  calls = [];
  release = [];
  ended = 0;
  drained = 0;
  internal = [];
  reads = [];
  endings = [];
});

afterEach(async () => {
  for (const resolve of release) resolve();
  for (const connection of opened) connection.destroy();
  await server.close(0);
  expect(internal).toEqual([]);
});

const ECHO = headerBlock(request('/t.T/Echo'));
const STREAM = headerBlock(request('/t.T/Stream'));

function headers(streamId: number, block = ECHO, flags = END_HEADERS): Buffer {
  return rawFrame(HEADERS, flags, streamId, block);
}

function data(streamId: number, bytes: Buffer, flags = END_STREAM): Buffer {
  return rawFrame(DATA, flags, streamId, bytes);
}

function call(streamId: number, text = 'x', path = '/t.T/Echo'): Buffer {
  return Buffer.concat([headers(streamId, headerBlock(request(path))), data(streamId, frameOf(Buffer.from(text)))]);
}

/** The payload of all DATA of a stream. */
function body(frames: readonly RawFrame[], streamId: number): Buffer {
  return Buffer.concat(frames.filter((frame) => frame.type === DATA && frame.streamId === streamId).map((frame) => frame.payload));
}

function isEnd(streamId: number): (frame: RawFrame) => boolean {
  return (frame) => frame.streamId === streamId && frame.type === HEADERS && (frame.flags & END_STREAM) !== 0;
}

function isReset(streamId: number): (frame: RawFrame) => boolean {
  return (frame) => frame.streamId === streamId && frame.type === RST_STREAM;
}

async function goAway(connection: RawConnection): Promise<number> {
  const frame = await connection.until(({ type }) => type === GOAWAY);
  await connection.closed();
  return frame.payload.readUInt32BE(4);
}

async function resetCode(connection: RawConnection, streamId: number): Promise<number> {
  return (await connection.until(isReset(streamId))).payload.readUInt32BE(0);
}

describe('Http2Connection, what ends the connection', () => {
  beforeEach(() => start());

  const block = (fields: readonly (readonly [string, string])[]): Buffer => headerBlock(fields);
  it.each<readonly [string, readonly Buffer[], number]>([
    ['DATA on stream 0', [data(0, Buffer.from('x'))], PROTOCOL_ERROR],
    ['DATA on an idle stream', [data(1, Buffer.from('x'))], PROTOCOL_ERROR],
    ['DATA with more padding than payload', [headers(1), data(1, Buffer.from([5, 1]), PADDED)], PROTOCOL_ERROR],
    ['padded DATA without a byte', [headers(1), data(1, Buffer.alloc(0), PADDED)], FRAME_SIZE_ERROR],
    ['a frame longer than 16 KiB', [headers(1), data(1, Buffer.alloc(16_385))], FRAME_SIZE_ERROR],
    ['HEADERS on stream 0', [headers(0)], PROTOCOL_ERROR],
    ['HEADERS on an even stream', [headers(2)], PROTOCOL_ERROR],
    ['HEADERS on a stream number that was passed over', [headers(5), headers(3)], PROTOCOL_ERROR],
    ['HEADERS on a stream that is over', [call(1), rstStream(1), headers(1)], PROTOCOL_ERROR],
    ['HEADERS with more padding than payload', [headers(1, Buffer.from([9, 0x82]), END_HEADERS | PADDED)], PROTOCOL_ERROR],
    ['HEADERS too short for its priority', [headers(1, Buffer.from([1, 2]), END_HEADERS | WITH_PRIORITY)], PROTOCOL_ERROR],
    ['a header block that is no HPACK', [headers(1, Buffer.from([0xff, 0xff]))], COMPRESSION_ERROR],
    ['a header block of table size updates', [headers(1, Buffer.concat([Buffer.from([0x20, 0x20, 0x20]), ECHO]))], COMPRESSION_ERROR],
    ['a header block that is no HPACK, as trailers', [headers(1), headers(1, Buffer.from([0xbe]), 5)], COMPRESSION_ERROR],
    ['another frame inside a header block', [headers(1, ECHO, 0), rawFrame(PING, 0, 0, Buffer.alloc(8))], PROTOCOL_ERROR],
    ['CONTINUATION of another stream', [headers(1, ECHO, 0), rawFrame(CONTINUATION, END_HEADERS, 3)], PROTOCOL_ERROR],
    ['CONTINUATION of nothing', [rawFrame(CONTINUATION, END_HEADERS, 1)], PROTOCOL_ERROR],
    ['CONTINUATION behind a whole block', [headers(1), rawFrame(CONTINUATION, END_HEADERS, 1)], PROTOCOL_ERROR],
    ['PRIORITY on stream 0', [rawFrame(PRIORITY, 0, 0, Buffer.alloc(5))], PROTOCOL_ERROR],
    ['RST_STREAM on stream 0', [rstStream(0)], PROTOCOL_ERROR],
    ['RST_STREAM on an idle stream', [rstStream(1)], PROTOCOL_ERROR],
    ['RST_STREAM of another length', [headers(1), rawFrame(RST_STREAM, 0, 1, Buffer.alloc(3))], FRAME_SIZE_ERROR],
    ['SETTINGS on a stream', [rawFrame(SETTINGS, 0, 1)], PROTOCOL_ERROR],
    ['SETTINGS of another length', [rawFrame(SETTINGS, 0, 0, Buffer.alloc(5))], FRAME_SIZE_ERROR],
    ['an acknowledgement with settings', [rawFrame(SETTINGS, ACK, 0, Buffer.alloc(6))], FRAME_SIZE_ERROR],
    ['ENABLE_PUSH of 2', [settings([ENABLE_PUSH, 2])], PROTOCOL_ERROR],
    ['INITIAL_WINDOW_SIZE of 2^31', [settings([INITIAL_WINDOW_SIZE, 2 ** 31])], FLOW_CONTROL_ERROR],
    ['MAX_FRAME_SIZE below 2^14', [settings([MAX_FRAME_SIZE, 16_383])], PROTOCOL_ERROR],
    ['MAX_FRAME_SIZE above 2^24-1', [settings([MAX_FRAME_SIZE, 2 ** 24])], PROTOCOL_ERROR],
    ['PUSH_PROMISE', [rawFrame(PUSH_PROMISE, END_HEADERS, 1, uint32(2))], PROTOCOL_ERROR],
    ['PING on a stream', [rawFrame(PING, 0, 1, Buffer.alloc(8))], PROTOCOL_ERROR],
    ['PING of another length', [rawFrame(PING, 0, 0, Buffer.alloc(7))], FRAME_SIZE_ERROR],
    ['GOAWAY on a stream', [rawFrame(GOAWAY, 0, 1, Buffer.alloc(8))], PROTOCOL_ERROR],
    ['GOAWAY of another length', [rawFrame(GOAWAY, 0, 0, Buffer.alloc(7))], FRAME_SIZE_ERROR],
    ['WINDOW_UPDATE of 0', [windowUpdate(0, 0)], PROTOCOL_ERROR],
    ['WINDOW_UPDATE of another length', [rawFrame(WINDOW_UPDATE, 0, 0, Buffer.alloc(5))], FRAME_SIZE_ERROR],
    ['WINDOW_UPDATE on an idle stream', [windowUpdate(1, 1)], PROTOCOL_ERROR],
    ['a window beyond 2^31-1', [windowUpdate(0, 0x7fffffff)], FLOW_CONTROL_ERROR],
    [
      'a stream window beyond 2^31-1 by SETTINGS',
      [headers(1, STREAM), windowUpdate(1, 0x7fff0000), settings([INITIAL_WINDOW_SIZE, 0x7fffffff])],
      FLOW_CONTROL_ERROR,
    ],
    ['a header block beyond 64 KiB', [headers(1, block([['a', 'x'.repeat(15_000)]]), 0), ...continuations(5)], ENHANCE_YOUR_CALM],
    [
      'a header block of empty frames',
      [headers(1, ECHO, 0), ...Array.from({ length: 40 }, () => rawFrame(CONTINUATION, 0, 1))],
      ENHANCE_YOUR_CALM,
    ],
  ])('%s', async (_name, frames, code) => {
    const connection = await open();
    connection.send(...frames);
    expect(await goAway(connection)).toBe(code);
  });

  it.each<readonly [string, readonly Buffer[]]>([
    ['another first frame than SETTINGS', [PREFACE, rawFrame(PING, 0, 0, Buffer.alloc(8))]],
    ['an acknowledgement as the first frame', [PREFACE, rawFrame(SETTINGS, ACK, 0)]],
  ])('%s', async (_name, bytes) => {
    const connection = new RawConnection(url);
    connection.send(...bytes);
    expect(await goAway(connection)).toBe(PROTOCOL_ERROR);
  });

  it.each([
    ['no protocol that is known', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1])],
    ['a preface that ends otherwise', Buffer.concat([PREFACE.subarray(0, 20), Buffer.from('....')])],
  ])('bytes that are %s, without a word', async (_name, bytes) => {
    const connection = new RawConnection(url);
    connection.send(bytes);
    await connection.closed();
    expect(connection.frames).toEqual([]);
  });

  it('and with it the calls under way, whose handlers are told', async () => {
    const connection = await open();
    connection.send(headers(1, STREAM));
    await connection.settled();
    connection.send(rstStream(0));
    await goAway(connection);
    expect([calls[0]?.signal.aborted, ended]).toEqual([true, 1]);
  });
});

function continuations(count: number): Buffer[] {
  return Array.from({ length: count }, () => rawFrame(CONTINUATION, 0, 1, headerBlock([['a', 'x'.repeat(15_000)]])));
}

describe('Http2Connection, what ends one stream', () => {
  beforeEach(() => start());

  const without = (name: string): Buffer => headerBlock(request('/t.T/Echo').filter(([each]) => each !== name));
  const more = (...fields: [string, string][]): Buffer => headerBlock(request('/t.T/Echo', fields));
  it.each<readonly [string, readonly Buffer[], number]>([
    ['a name in upper case', [headers(1, more(['X-A', 'b']))], PROTOCOL_ERROR],
    ['an empty name', [headers(1, more(['', 'b']))], PROTOCOL_ERROR],
    ['a name with a blank', [headers(1, more(['x y', 'b']))], PROTOCOL_ERROR],
    ['a value with a line end', [headers(1, more(['x', 'a\r\nb: c']))], PROTOCOL_ERROR],
    ['a value with a NUL', [headers(1, more(['x', 'a\0']))], PROTOCOL_ERROR],
    ['a value between blanks', [headers(1, more(['x', ' a']))], PROTOCOL_ERROR],
    ['a field of the connection', [headers(1, more(['connection', 'close']))], PROTOCOL_ERROR],
    ['transfer-encoding', [headers(1, more(['transfer-encoding', 'chunked']))], PROTOCOL_ERROR],
    ['te with anything but trailers', [headers(1, more(['te', 'gzip']))], PROTOCOL_ERROR],
    ['an unknown pseudo field', [headers(1, headerBlock([[':x', 'y'], ...request('/t.T/Echo')]))], PROTOCOL_ERROR],
    ['a pseudo field of answers', [headers(1, headerBlock([[':status', '200'], ...request('/t.T/Echo')]))], PROTOCOL_ERROR],
    ['a pseudo field behind the others', [headers(1, more([':authority', 'y']))], PROTOCOL_ERROR],
    ['two methods', [headers(1, headerBlock([[':method', 'POST'], ...request('/t.T/Echo')]))], PROTOCOL_ERROR],
    ['two paths', [headers(1, headerBlock([[':path', '/'], ...request('/t.T/Echo')]))], PROTOCOL_ERROR],
    ['two schemes', [headers(1, headerBlock([[':scheme', 'http'], ...request('/t.T/Echo')]))], PROTOCOL_ERROR],
    ['no method', [headers(1, without(':method'))], PROTOCOL_ERROR],
    ['no scheme', [headers(1, without(':scheme'))], PROTOCOL_ERROR],
    ['no path', [headers(1, without(':path'))], PROTOCOL_ERROR],
    ['an empty path', [headers(1, headerBlock(request('')))], PROTOCOL_ERROR],
    ['a content-length that is no number', [headers(1, more(['content-length', 'x']))], PROTOCOL_ERROR],
    ['two content-lengths', [headers(1, more(['content-length', '6'], ['content-length', '7']))], PROTOCOL_ERROR],
    ['a body of another length', [headers(1, more(['content-length', '7'])), data(1, frameOf(Buffer.from('x')))], PROTOCOL_ERROR],
    ['a header list beyond 64 KiB', [headers(1, more(['x', 'y'.repeat(8000)]), 0), ...bombs()], ENHANCE_YOUR_CALM],
    ['trailers that do not end the stream', [headers(1, STREAM), headers(1, headerBlock([['x', 'y']]))], PROTOCOL_ERROR],
    ['trailers with pseudo fields', [headers(1, STREAM), headers(1, headerBlock([[':path', '/']]), 5)], PROTOCOL_ERROR],
    ['HEADERS on a half-closed stream', [call(1, 'x', '/t.T/Waits'), headers(1, headerBlock([['x', 'y']]), 5)], STREAM_CLOSED],
    ['DATA on a half-closed stream', [call(1, 'x', '/t.T/Waits'), data(1, Buffer.from('x'))], STREAM_CLOSED],
    ['DATA on a stream that is over', [call(1), rstStream(1), data(1, Buffer.from('x'))], STREAM_CLOSED],
    ['PRIORITY of another length', [headers(1, STREAM), rawFrame(PRIORITY, 0, 1, Buffer.alloc(4))], FRAME_SIZE_ERROR],
    ['WINDOW_UPDATE of 0', [headers(1, STREAM), windowUpdate(1, 0)], PROTOCOL_ERROR],
    ['a window beyond 2^31-1', [headers(1, STREAM), windowUpdate(1, 0x7fffffff)], FLOW_CONTROL_ERROR],
  ])('%s', async (_name, frames, code) => {
    const connection = await open();
    connection.send(...frames);
    expect(await resetCode(connection, 1)).toBe(code);
    connection.send(call(1001, 'next'));
    await connection.until(isEnd(1001));
    expect(body(connection.frames, 1001).subarray(5).toString()).toBe('next');
  });

  /** Thousands of references to one long field, in few bytes. */
  function bombs(): Buffer[] {
    const entry = Buffer.concat([Buffer.from('400161', 'hex'), Buffer.from('7f811e', 'hex'), Buffer.alloc(0x7f + 0xf01, 'y')]);
    return [rawFrame(CONTINUATION, 0, 1, entry), rawFrame(CONTINUATION, END_HEADERS, 1, Buffer.alloc(16_000, 0xbe))];
  }
});

describe('Http2Connection, what is taken', () => {
  beforeEach(() => start());

  it.each<readonly [string, readonly Buffer[]]>([
    ['unknown frames, on streams and on the connection', [rawFrame(0x42, 0xff, 0, 'x'), rawFrame(0x42, 0xff, 7, 'x'), call(1)]],
    ['unknown settings', [settings([0x99, 7]), call(1)]],
    ['PRIORITY on idle streams', [rawFrame(PRIORITY, 0, 9, Buffer.alloc(5)), call(1)]],
    [
      'a header with a priority',
      [headers(1, Buffer.concat([Buffer.alloc(5), ECHO]), END_HEADERS | WITH_PRIORITY), data(1, frameOf(Buffer.from('x')))],
    ],
    [
      'a padded header and padded data',
      [
        headers(1, Buffer.concat([Buffer.from([3]), ECHO, Buffer.alloc(3)]), END_HEADERS | PADDED),
        data(1, Buffer.concat([Buffer.from([200]), frameOf(Buffer.from('x')), Buffer.alloc(200)]), END_STREAM | PADDED),
      ],
    ],
    [
      'a header in three frames',
      [headers(1, ECHO.subarray(0, 1), 0), rawFrame(CONTINUATION, 0, 1), rawFrame(CONTINUATION, END_HEADERS, 1, ECHO.subarray(1)), call1()],
    ],
    ['trailers', [headers(1), data(1, frameOf(Buffer.from('x')), 0), headers(1, headerBlock([['x', 'y']]), END_HEADERS | END_STREAM)]],
    ['the length of the body', [headers(1, headerBlock(request('/t.T/Echo', [['content-length', '6']]))), call1()]],
    ['GOAWAY from the client', [rawFrame(GOAWAY, 0, 0, Buffer.alloc(8)), call(1)]],
    ['WINDOW_UPDATE and RST_STREAM on streams that are over', [call(3), rstStream(3), windowUpdate(3, 1), rstStream(3), call(5), call(7)]],
  ])('%s', async (name, frames) => {
    const connection = await open();
    connection.send(...frames);
    const streamId = name.includes('are over') ? 7 : 1;
    await connection.until(isEnd(streamId));
    expect(body(connection.frames, streamId)).toEqual(frameOf(Buffer.from('x')));
    expect(connection.frames.some(({ type }) => type === GOAWAY)).toBe(false);
  });

  function call1(): Buffer {
    return data(1, frameOf(Buffer.from('x')));
  }

  it('a PING, answered with its bytes; an acknowledgement is not answered', async () => {
    const connection = await open();
    connection.send(rawFrame(PING, ACK, 0, 'whatever'), rawFrame(PING, 0, 0, 'abcdefgh'));
    await connection.until(({ type }) => type === PING);
    expect(connection.frames.map(({ type, flags, payload }) => [type, flags, String(payload)])).toEqual([[PING, ACK, 'abcdefgh']]);
  });

  it('announces its limits', async () => {
    const connection = new RawConnection(url);
    opened.push(connection);
    connection.send(PREFACE);
    const { payload } = await connection.until(({ type }) => type === SETTINGS);
    const announced = Array.from({ length: payload.length / 6 }, (_, i) => [payload.readUInt16BE(i * 6), payload.readUInt32BE(i * 6 + 2)]);
    expect(announced).toEqual([
      [3, 20_000],
      [4, 2 * 1024 * 1024],
      [6, 64 * 1024],
    ]);
    const update = await connection.until(({ type }) => type === WINDOW_UPDATE);
    expect(update.payload.readUInt32BE()).toBe(16 * 1024 * 1024 - 65_535);
  });

  it('an answer whose trailers are longer than a frame goes out in two', async () => {
    const connection = await open();
    connection.send(call(1, 'x', '/t.T/Fails'));
    const end = await connection.until(({ type, flags }) => type === CONTINUATION && flags === END_HEADERS);
    const [first] = connection.frames;
    expect([first?.type, first?.flags, first?.payload.length, end.streamId]).toEqual([HEADERS, END_STREAM, 16_384, 1]);
  });

  it('the same fields point to the client’s table after the first answer, and not for a client without one', async () => {
    const withTable = await open();
    const withoutTable = await open([HEADER_TABLE_SIZE, 0]);
    const lengths = async (connection: RawConnection): Promise<number[][]> => {
      const seen: number[][] = [];
      for (const streamId of [1, 3, 5]) {
        connection.send(call(streamId));
        await connection.until(isEnd(streamId));
        seen.push(
          connection.frames.filter((frame) => frame.type === HEADERS && frame.streamId === streamId).map(({ payload }) => payload.length),
        );
      }
      return seen;
    };
    expect(await lengths(withTable)).toEqual([
      [19, 15],
      [2, 1],
      [2, 1],
    ]);
    expect(await lengths(withoutTable)).toEqual([
      [21, 15],
      [20, 15],
      [20, 15],
    ]);
  });
});

describe('Http2Connection, flow control', () => {
  it('sends no more than the stream’s window, and goes on when it grows by either way', async () => {
    await start();
    const connection = await open([INITIAL_WINDOW_SIZE, 10]);
    connection.send(call(1, '95', '/t.T/Bytes'));
    await connection.settled();
    expect(body(connection.frames, 1)).toHaveLength(10);
    connection.send(windowUpdate(1, 20));
    await connection.settled();
    expect(body(connection.frames, 1)).toHaveLength(30);
    // From 10 down to 5, and the window is at -5: RFC 9113 section 6.9.2.
    connection.send(settings([INITIAL_WINDOW_SIZE, 5]), windowUpdate(1, 5));
    await connection.settled();
    expect(body(connection.frames, 1)).toHaveLength(30);
    connection.send(settings([INITIAL_WINDOW_SIZE, 25]));
    await connection.settled();
    expect(body(connection.frames, 1)).toHaveLength(50);
    connection.send(windowUpdate(1, 1000));
    await connection.until(isEnd(1));
    expect(body(connection.frames, 1)).toHaveLength(100);
  });

  it('is told that its backlog is out, also when that goes with a later write', async () => {
    await start({ turnMs: 10_000 }, 1000);
    const connection = await open();
    connection.send(headers(1, STREAM), data(1, frameOf(Buffer.from('x')), 0));
    await connection.until(({ type }) => type === DATA);
    // More than the window, and than what one turn sends.
    calls[0]?.send(Buffer.alloc(200_000, 'y'));
    const window = 1_000_000;
    // Both are worked off in one turn: what is written at the second takes along what the first left for the next turn.
    connection.send(windowUpdate(0, window), windowUpdate(1, window), data(1, frameOf(Buffer.from('z')), 0));
    await connection.until(({ type, payload }) => type === DATA && payload.at(-1) === 'z'.charCodeAt(0));
    await connection.settled();
    expect(drained).toBe(1);
  });

  it('sends no more than the connection’s window, shared among the streams in turns', async () => {
    await start();
    const connection = await open([INITIAL_WINDOW_SIZE, 1_000_000]);
    connection.send(call(1, '200000', '/t.T/Bytes'), call(3, '200000', '/t.T/Bytes'), call(5, '10', '/t.T/Bytes'));
    const received = (): number => [1, 3, 5].reduce((sum, id) => sum + body(connection.frames, id).length, 0);
    await connection.until(() => received() >= 65_535);
    await connection.settled();
    expect(received()).toBe(65_535);
    connection.send(windowUpdate(0, 200_000));
    await connection.until(isEnd(5));
    await connection.settled();
    expect(body(connection.frames, 3).length).toBeGreaterThan(60_000);
    connection.send(windowUpdate(0, 1_000_000));
    await connection.until(isEnd(1));
    await connection.until(isEnd(3));
    expect([body(connection.frames, 1).length, body(connection.frames, 3).length]).toEqual([200_005, 200_005]);
  });

  it('ends an answer without a body while the windows are empty', async () => {
    await start();
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(call(1), headers(3, headerBlock(request('/t.T/None')), 5));
    await connection.until(isEnd(3));
    expect(body(connection.frames, 1)).toHaveLength(0);
  });

  it('gives windows back in batches', async () => {
    await start({ streamWindowBytes: 100_000, connectionWindowBytes: 200_000 });
    const connection = await open();
    connection.send(headers(1, STREAM));
    for (let i = 0; i < 10; i++) {
      connection.send(data(1, frameOf(Buffer.alloc(15_995)), 0));
      await connection.settled();
    }
    const updates = connection.frames.filter(({ type }) => type === WINDOW_UPDATE);
    expect(updates.map(({ streamId, payload }) => [streamId, payload.readUInt32BE()])).toEqual([
      [1, 64_000],
      [0, 112_000],
      [1, 64_000],
    ]);
  });

  it('gives nothing back for a call that is answered, and ends a stream that sends more than its window', async () => {
    await start({ streamWindowBytes: 70_000, lingerMs: 10_000 });
    const connection = await open();
    connection.send(headers(1, headerBlock(request('/t.T/None'))), ...Array.from({ length: 5 }, () => data(1, Buffer.alloc(16_000), 0)));
    expect(await resetCode(connection, 1)).toBe(FLOW_CONTROL_ERROR);
    expect(connection.frames.filter(({ type }) => type === WINDOW_UPDATE)).toEqual([]);
  });

  it('resets the stream that has waited longest for the rest of its message when all that is half-sent is too much', async () => {
    await start({ maxPartialBytes: 60_000 });
    const connection = await open();
    const other = await open();
    const half = (streamId: number): Buffer => data(streamId, frameOf(Buffer.alloc(100_000)).subarray(0, 16_000), 0);
    connection.send(headers(1, STREAM), half(1), headers(3, STREAM), half(3));
    await connection.settled();
    other.send(headers(1, STREAM), half(1));
    await other.settled();
    connection.send(data(1, Buffer.alloc(10_000), 0));
    expect(await resetCode(connection, 3)).toBe(ENHANCE_YOUR_CALM);
    other.send(call(3));
    await other.until(isEnd(3));
    expect([connection, other].map(({ frames }) => frames.filter(({ type }) => type === RST_STREAM).length)).toEqual([1, 0]);
  });

  it('resets no read that waits when half-sent requests are too many, and bounds those all the same', async () => {
    await start({ maxPartialBytes: 60_000, maxRunningReads: 1, restMs: 0 });
    const honest = await open();
    honest.send(call(1, 'wait', '/t.T/Read'), call(3, '10', '/t.T/Read'));
    await honest.settled();
    const flooding = await open();
    const ids = Array.from({ length: 10 }, (_, i) => 2 * i + 1);
    for (const id of ids) flooding.send(headers(id, STREAM), data(id, frameOf(Buffer.alloc(100_000)).subarray(0, 16_000), 0));
    for (const id of ids.slice(0, -3)) expect(await resetCode(flooding, id)).toBe(ENHANCE_YOUR_CALM);
    release[0]?.();
    await honest.until(isEnd(3));
    expect(honest.frames.some(({ type }) => type === RST_STREAM)).toBe(false);
  });

  it('resets reads of the connection of which most wait, the oldest first, when those that wait are too many', async () => {
    await start({ maxWaitingBytes: 1000, maxRunningReads: 1, restMs: 0 });
    const honest = await open();
    honest.send(call(1, 'wait', '/t.T/Read'), call(3, '10', '/t.T/Read'));
    await honest.settled();
    const flooding = await open();
    const long = '10'.padStart(300, '0');
    flooding.send(call(1, 'wait', '/t.T/Read'), ...[3, 5, 7, 9, 11].map((streamId) => call(streamId, long, '/t.T/Read')));
    for (const streamId of [3, 5]) expect(await resetCode(flooding, streamId)).toBe(ENHANCE_YOUR_CALM);
    for (const resolve of release) resolve();
    for (const streamId of [7, 9, 11]) await flooding.until(isEnd(streamId));
    await honest.until(isEnd(3));
    expect(reads).toEqual(['wait', 'wait', '10', long, long, long]);
  });

  it('starts no more reads than their requests leave room for', async () => {
    await start({ maxQueuedBytes: 1000 });
    const connection = await open();
    connection.send(...[1, 3].map((streamId) => call(streamId, 'wait'.padEnd(600), '/t.T/Read')));
    await connection.settled();
    expect(release).toHaveLength(1);
    release[0]?.();
    await connection.until(isEnd(1));
    await connection.settled();
    expect(release).toHaveLength(2);
  });

  it('reads nothing for a while from a connection that has lost a request for want of room', async () => {
    await start({ maxPartialBytes: 20_000, restMs: 100_000 });
    const flooding = await open();
    const other = await open();
    const half = (streamId: number): Buffer => data(streamId, frameOf(Buffer.alloc(100_000)).subarray(0, 16_000), 0);
    flooding.send(headers(1, STREAM), half(1), headers(3, STREAM), half(3));
    expect(await resetCode(flooding, 1)).toBe(ENHANCE_YOUR_CALM);
    flooding.send(call(5));
    for (let i = 0; i < 20; i++) {
      other.send(call(2 * i + 1));
      await other.until(isEnd(2 * i + 1));
    }
    expect(flooding.frames.some(isEnd(5))).toBe(false);
  });
});

describe('Http2Connection, abuse', () => {
  const pings = (count: number): Buffer[] => Array.from({ length: count }, () => rawFrame(PING, 0, 0, Buffer.alloc(8)));
  const few = { burst: 50, perSecond: 0 };
  const manyFields = headerBlock(
    request(
      '/t.T/None',
      Array.from({ length: 15 }, (_, i): [string, string] => [`x${i}`, 'y']),
    ),
  );
  const bomb = (streamId: number): Buffer => headers(streamId, headerBlock(request('/t.T/Echo', [['x', 'y'.repeat(1000)]])));
  it.each<readonly [string, readonly Buffer[]]>([
    ['PING', pings(60)],
    ['SETTINGS', Array.from({ length: 60 }, () => settings())],
    ['acknowledgements', Array.from({ length: 60 }, () => rawFrame(SETTINGS, ACK, 0))],
    ['PRIORITY', Array.from({ length: 60 }, () => rawFrame(PRIORITY, 0, 1, Buffer.alloc(5)))],
    ['unknown frames', Array.from({ length: 60 }, () => rawFrame(0x42, 0, 0))],
    ['WINDOW_UPDATE', Array.from({ length: 60 }, () => windowUpdate(0, 1))],
    ['empty DATA', [headers(1, STREAM), ...Array.from({ length: 60 }, () => data(1, Buffer.alloc(0), 0))]],
    [
      'DATA that is only padding',
      [headers(1, STREAM), ...Array.from({ length: 60 }, () => data(1, Buffer.alloc(9, Buffer.from([8, 0, 0, 0, 0, 0, 0, 0, 0])), PADDED))],
    ],
    ['header lists that are too large', Array.from({ length: 30 }, (_, i) => bomb(2 * i + 1))],
    ['requests with many fields', Array.from({ length: 30 }, (_, i) => headers(2 * i + 1, manyFields))],
    ['requests that are none', Array.from({ length: 60 }, (_, i) => headers(2 * i + 1, headerBlock([['x', 'y']])))],
    ['RST_STREAM on streams that are over', [call(1), ...Array.from({ length: 60 }, () => rstStream(1))]],
  ])('a flood of %s ends the connection', async (_name, frames) => {
    await start({ control: few, maxHeaderListBytes: 1000, largeHeaderCost: 2, freeHeaderFields: 10, fieldsPerControl: 1 });
    const connection = await open();
    connection.send(...frames);
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(endings).toEqual(['frames']);
  });

  it('requests pay for the pings and window updates that go with them', async () => {
    await start({ control: few });
    const connection = await open();
    for (let i = 0; i < 100; i++) connection.send(call(2 * i + 1), ...pings(2), windowUpdate(0, 6));
    await connection.until(isEnd(199));
  });

  it('so do the bytes of a large answer, for a client that gives its small window back in parts', async () => {
    await start({ control: few });
    const connection = await open();
    const part = 16_384;
    const parts = 60;
    connection.send(call(1, String(parts * part), '/t.T/Bytes'));
    for (let i = 1; i <= parts; i++) {
      await connection.until(() => body(connection.frames, 1).length >= i * part);
      connection.send(windowUpdate(0, part), windowUpdate(1, part));
    }
    await connection.until(isEnd(1));
  });

  it('a rapid reset ends the connection', async () => {
    await start({ resets: few });
    const connection = await open();
    for (let i = 0; i < 60; i++) connection.send(headers(2 * i + 1, STREAM), rstStream(2 * i + 1));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(ended).toBe(calls.length);
  });

  it.each<readonly [string, (streamId: number) => Buffer]>([
    ['window updates of 0', (streamId) => windowUpdate(streamId, 0)],
    ['windows that are too large', (streamId) => windowUpdate(streamId, 0x7fffffff)],
    ['trailers that do not end the stream', (streamId) => headers(streamId, headerBlock([['x', 'y']]))],
  ])('so do resets that the client provokes by %s', async (_name, provoke) => {
    await start({ resets: few });
    const connection = await open();
    for (let i = 0; i < 60; i++) connection.send(headers(2 * i + 1, STREAM), provoke(2 * i + 1));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(ended).toBe(calls.length);
  });

  it('so do messages that are refused for their length', async () => {
    await start({ resets: few });
    const connection = await open();
    const prefix = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
    for (let i = 0; i < 60; i++) connection.send(headers(2 * i + 1), data(2 * i + 1, prefix, 0));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(endings).toEqual(['resets']);
  });

  it('calls given up in the turn in which they come count more than those given up later', async () => {
    await start({ resets: few, earlyResetCost: 20 });
    const connection = await open();
    for (let i = 0; i < 40; i++) {
      connection.send(headers(2 * i + 1, STREAM));
      await connection.settled();
      connection.send(rstStream(2 * i + 1));
    }
    await connection.settled();
    for (const streamId of [101, 103]) connection.send(Buffer.concat([headers(streamId, STREAM), rstStream(streamId)]));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(endings).toEqual(['resets']);
  });

  it('a read that is given up in the turn in which it comes is never made', async () => {
    await start({ turnMs: 10_000 });
    const connection = await open();
    connection.send(call(1, '5', '/t.T/Read'), rstStream(1), call(3, '6', '/t.T/Read'));
    await connection.until(isEnd(3));
    expect(reads).toEqual(['6']);
  });

  it('a connection from the address of one that was ended for a flood is served, but allowed less', async () => {
    await start({ control: few, suspectShare: 0.5 });
    const first = await open();
    first.send(...pings(60));
    expect(await goAway(first)).toBe(ENHANCE_YOUR_CALM);
    const second = await open();
    second.send(call(1));
    await second.until(isEnd(1));
    second.send(...pings(40));
    expect(await goAway(second)).toBe(ENHANCE_YOUR_CALM);
  });

  it('many streams given up at once are no rapid reset', async () => {
    await start();
    const connection = await open();
    const ids = Array.from({ length: 10_000 }, (_, i) => 2 * i + 1);
    connection.send(...ids.map((id) => headers(id, STREAM)));
    connection.send(...ids.map((id) => rstStream(id)), call(20_001));
    await connection.until(isEnd(20_001));
    expect([calls.length, ended]).toEqual([10_000, 10_000]);
  });

  it('streams beyond the limit are refused, and a reset does not make room while its handler runs', async () => {
    await start({ maxConcurrentStreams: 2 });
    const connection = await open();
    connection.send(call(1, 'x', '/t.T/Waits'), call(3, 'x', '/t.T/Waits'), call(5));
    expect(await resetCode(connection, 5)).toBe(REFUSED_STREAM);
    connection.send(rstStream(1), call(7));
    expect(await resetCode(connection, 7)).toBe(REFUSED_STREAM);
    release[0]?.();
    await connection.settled();
    connection.send(call(9));
    await connection.until(isEnd(9));
  });

  it('lets reads wait while too many answers wait for the client, and makes those again for which there was no room', async () => {
    // The three are worked off in one turn: each has started before the first is answered.
    await start({ maxQueuedBytes: 100_000, turnMs: 10_000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(...[1, 3, 5].map((streamId) => call(streamId, '60000', '/t.T/Read')));
    await connection.settled();
    connection.send(call(7, '10', '/t.T/Read'), call(9, '10', '/t.T/Bytes'));
    await connection.settled();
    expect(reads).toEqual(['60000', '60000', '60000']);
    connection.send(windowUpdate(0, 1_000_000));
    for (const streamId of [1, 3, 5, 7, 9]) {
      connection.send(windowUpdate(streamId, 100_000));
      await connection.until(isEnd(streamId));
    }
    expect([1, 3, 5, 7, 9].map((streamId) => body(connection.frames, streamId).length)).toEqual([60_005, 60_005, 60_005, 15, 15]);
    expect(reads).toEqual(['60000', '60000', '60000', '60000', '60000', '10']);
  });

  it('starts no more reads than answers of the usual length there is room for', async () => {
    await start({ maxQueuedBytes: 100_000, turnMs: 10_000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(call(1, '60000', '/t.T/Read'));
    await connection.settled();
    connection.send(windowUpdate(1, 100_000), windowUpdate(0, 1_000_000));
    await connection.until(isEnd(1));
    connection.send(...[3, 5, 7, 9, 11].map((streamId) => call(streamId, '50000', '/t.T/Read')));
    await connection.settled();
    await connection.settled();
    expect(reads.length).toBeLessThanOrEqual(4);
    for (const streamId of [3, 5, 7, 9, 11]) {
      connection.send(windowUpdate(streamId, 100_000));
      await connection.until(isEnd(streamId));
    }
  });

  it('starts reads one after the other for a connection whose answers wait while those of all connections are too many', async () => {
    await start({ maxServerQueuedBytes: 50_000, ownQueuedBytes: 1000 });
    const greedy = await open([INITIAL_WINDOW_SIZE, 0]);
    greedy.send(call(1, '60000', '/t.T/Read'));
    await greedy.settled();
    greedy.send(call(3, '60000', '/t.T/Read'));
    await greedy.settled();
    const other = await open();
    for (const streamId of [1, 3, 5]) other.send(call(streamId, '20000', '/t.T/Read'));
    for (const streamId of [1, 3, 5]) await other.until(isEnd(streamId));
    expect(reads).toEqual(['60000', '20000', '20000', '20000']);
  });

  it('makes an answer that is longer than what may wait when nothing else waits', async () => {
    await start({ maxQueuedBytes: 100_000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(call(1, '10', '/t.T/Read'), call(3, '200000', '/t.T/Read'));
    await connection.settled();
    connection.send(windowUpdate(0, 1_000_000), windowUpdate(3, 1_000_000), windowUpdate(1, 100));
    await connection.until(isEnd(3));
    expect(body(connection.frames, 3)).toHaveLength(200_005);
  });

  it('forgets a read that waits when its call is over', async () => {
    await start({ maxQueuedBytes: 1000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(call(1, '1000', '/t.T/Read'), call(3, '1000', '/t.T/Read'));
    await connection.settled();
    connection.send(rstStream(3), rstStream(1), call(5, '10', '/t.T/Read'), windowUpdate(5, 100));
    await connection.until(isEnd(5));
    expect(reads).toEqual(['1000', '1000', '10']);
  });

  it('lets reads wait while too many are under way, or too many that the client has given up', async () => {
    await start({ maxRunningReads: 3, maxAbandoned: 2 });
    const connection = await open();
    const waiting = (streamId: number): Buffer => call(streamId, 'wait', '/t.T/Read');
    connection.send(waiting(1), waiting(3), waiting(5), waiting(7));
    await connection.settled();
    expect(release).toHaveLength(3);
    release[0]?.();
    await connection.until(isEnd(1));
    await connection.settled();
    expect(release).toHaveLength(4);
    connection.send(rstStream(3), rstStream(5), rstStream(7), waiting(9));
    await connection.settled();
    expect(release).toHaveLength(4);
    for (const resolve of release.splice(0)) resolve();
    await connection.settled();
    await connection.settled();
    expect(release).toHaveLength(1);
  });

  it('ends the connection of a client that has answers made which it does not read', async () => {
    await start({ maxUnreadBytes: 100_000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    for (const streamId of [1, 3, 5]) connection.send(call(streamId, '60000', '/t.T/Bytes'));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(endings).toEqual(['unread']);
  });

  it('ends the connection of a client that takes next to nothing of an answer, and of none that takes it slowly', async () => {
    await start({ stallMs: 100, minReadBytes: 1000 });
    const slow = await open([INITIAL_WINDOW_SIZE, 0]);
    const stalled = await open([INITIAL_WINDOW_SIZE, 1]);
    for (const connection of [slow, stalled]) connection.send(call(1, '5995', '/t.T/Bytes'));
    const gone = goAway(stalled);
    for (let taken = 0; taken < 6000; taken += 1500) {
      slow.send(windowUpdate(1, 1500));
      await slow.until(() => body(slow.frames, 1).length >= taken + 1500);
      if (taken === 1500) expect(await gone).toBe(ENHANCE_YOUR_CALM);
    }
    await slow.until(isEnd(1));
  });

  it('tells a stream to stop when the connection’s answers are too many, as soon as it has something to wait with', async () => {
    await start({ maxQueuedBytes: 1000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(headers(1, STREAM), headers(3, STREAM));
    await connection.settled();
    const [first, second] = calls;
    expect([first?.send(Buffer.alloc(900)), first?.send(Buffer.alloc(200)), second?.send(Buffer.alloc(10))]).toEqual([true, false, false]);
  });

  it('one answer that is too large by itself waits beside messages of streams, a second one ends the connection', async () => {
    await start({ maxUnreadBytes: 1000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(headers(1, STREAM), call(3, '2000', '/t.T/Bytes'));
    await connection.settled();
    const [stream] = calls;
    for (let i = 0; i < 3; i++) stream?.send(Buffer.alloc(200));
    await connection.settled();
    expect(connection.frames.some(({ type }) => type === GOAWAY)).toBe(false);
    connection.send(call(5, '2000', '/t.T/Bytes'));
    await connection.settled();
    stream?.send(Buffer.alloc(200));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(endings).toEqual(['unread']);
  });

  it('a header block that takes too long ends the connection', async () => {
    await start({ headerBlockMs: 50 });
    const connection = await open();
    connection.send(headers(1, ECHO, 0));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(endings).toEqual(['header_block']);
  });

  it('asks a client that is silent whether it is there, and cuts it when it is not', async () => {
    await start({ keepAliveMs: 50, keepAliveTimeoutMs: 50 });
    const there = await open();
    const gone = await open();
    for (let asked = 1; asked <= 3; asked++) {
      const { payload } = await there.until(({ type, flags }) => type === PING && flags === 0);
      there.frames.length = 0;
      there.send(rawFrame(PING, ACK, 0, payload));
    }
    await gone.closed();
    there.send(call(1));
    await there.until(isEnd(1));
    expect(endings).toEqual(['silent']);
  });

  it('reads nothing more from a client whose connection it has ended for a flood', async () => {
    await start({ control: few, lingerMs: 10_000 });
    const connection = await open();
    // More than the system's buffers take.
    const flood = Buffer.alloc(30_000_000, rawFrame(PING, 0, 0, Buffer.alloc(8)));
    let isTaken = false;
    void connection.flush(flood).then(() => (isTaken = true));
    await connection.until(({ type }) => type === GOAWAY);
    const other = await open();
    for (let i = 0; i < 20; i++) {
      other.send(call(2 * i + 1));
      await other.until(isEnd(2 * i + 1));
    }
    expect(isTaken).toBe(false);
  });

  it('a client that floods waits for the others', async () => {
    await start({ control: { burst: 1e9, perSecond: 0 }, maxControlBytes: 1e9, turnMs: 0 });
    const flooding = await open();
    const other = await open();
    flooding.send(...pings(20_000));
    other.send(call(1));
    await other.until(isEnd(1));
    expect(flooding.frames.length).toBeLessThan(10_000);
    await flooding.until(() => flooding.frames.length === 20_000);
  });

  it('cuts a client that makes it answer and does not read', async () => {
    await start({ outputBytes: 1000, maxControlBytes: 1000, control: { burst: 1e9, perSecond: 0 } });
    const connection = await open();
    connection.pause();
    const flood = Buffer.concat(pings(20_000));
    const timer = setInterval(() => connection.send(flood), 1);
    const gone = connection.closed();
    // The socket says nothing about its end while it is not read.
    while (!connection.isBroken) await new Promise((resolve) => setImmediate(resolve));
    clearInterval(timer);
    connection.resume();
    await gone;
  });

  it('cuts a connection that never becomes one', async () => {
    await start({ prefaceMs: 50 });
    for (const bytes of [[], [PREFACE.subarray(0, 10)], [PREFACE]]) {
      const connection = new RawConnection(url);
      connection.send(...bytes);
      await connection.closed();
    }
    const connection = await open();
    connection.send(call(1));
    await connection.until(isEnd(1));
  });
});

describe('Http2Connection, closing', () => {
  it('says GOAWAY twice, takes what was sent before the client knew, and closes when the last call has ended', async () => {
    await start();
    const connection = await open();
    connection.send(call(1, 'x', '/t.T/Waits'));
    await connection.settled();
    const closed = server.close(10_000, new GrpcError(GrpcCode.Unavailable, 'stopping'));
    const first = await connection.until(({ type }) => type === GOAWAY);
    expect([first.payload.readUInt32BE(0), first.payload.readUInt32BE(4)]).toEqual([0x7fffffff, NO_ERROR]);
    connection.send(call(3));
    const refused = await connection.until(isEnd(3));
    expect(refused.payload.toString('latin1')).toContain('stopping');
    const ping = await connection.until(({ type, flags }) => type === PING && flags === 0);
    connection.send(rawFrame(PING, ACK, 0, ping.payload));
    const second = await connection.until(({ type, payload }) => type === GOAWAY && payload.readUInt32BE(0) === 3);
    expect(second.payload.readUInt32BE(4)).toBe(NO_ERROR);
    connection.send(call(5));
    await connection.settled();
    expect(connection.frames.some(({ streamId }) => streamId === 5)).toBe(false);
    release[0]?.();
    await connection.until(isEnd(1));
    await connection.closed();
    await closed;
  });

  it('does not wait for a client that does not answer its PING', async () => {
    await start({ lingerMs: 10 });
    const connection = await open();
    const closed = server.close(10_000);
    await connection.until(({ type, payload }) => type === GOAWAY && payload.readUInt32BE(0) === 0);
    await connection.closed();
    await closed;
  });

  it('resets a call that the client keeps open after the answer, without an error', async () => {
    await start({ lingerMs: 10 });
    const connection = await open();
    connection.send(headers(1), data(1, frameOf(Buffer.from('x')), 0));
    await connection.until(isEnd(1));
    expect(await resetCode(connection, 1)).toBe(NO_ERROR);
  });
});
