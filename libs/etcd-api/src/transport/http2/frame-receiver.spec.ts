import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  COMPRESSION_ERROR,
  ECHO,
  ENABLE_PUSH,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_FRAME_SIZE,
  PROTOCOL_ERROR,
  STREAM,
  STREAM_CLOSED,
  body,
  call,
  data,
  goAway,
  headers,
  isEnd,
  open,
  resetCode,
  stage,
  stageConnections,
  start,
} from '../../spec/connection-stage.js';
import { frameOf } from '../../spec/grpc-client.js';
import {
  ACK,
  CONTINUATION,
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
} from '../../spec/raw-connection.js';

stageConnections();

describe('FrameReceiver, what ends the connection', () => {
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
    const connection = new RawConnection(stage.url);
    connection.send(...bytes);
    expect(await goAway(connection)).toBe(PROTOCOL_ERROR);
  });

  it.each([
    ['no protocol that is known', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1])],
    ['a preface that ends otherwise', Buffer.concat([PREFACE.subarray(0, 20), Buffer.from('....')])],
  ])('bytes that are %s, without a word', async (_name, bytes) => {
    const connection = new RawConnection(stage.url);
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
    expect([stage.calls[0]?.signal.aborted, stage.ended]).toEqual([true, 1]);
  });
});

function continuations(count: number): Buffer[] {
  return Array.from({ length: count }, () => rawFrame(CONTINUATION, 0, 1, headerBlock([['a', 'x'.repeat(15_000)]])));
}

describe('FrameReceiver, what ends one stream', () => {
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

describe('FrameReceiver, what is taken', () => {
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
    const connection = new RawConnection(stage.url);
    stage.opened.push(connection);
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
