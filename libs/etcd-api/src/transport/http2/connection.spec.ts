import { describe, expect, it } from '@jest/globals';
import {
  ECHO,
  ENHANCE_YOUR_CALM,
  INITIAL_WINDOW_SIZE,
  NO_ERROR,
  REFUSED_STREAM,
  STREAM,
  body,
  call,
  data,
  goAway,
  headers,
  isEnd,
  open,
  pings,
  resetCode,
  stage,
  stageConnections,
  start,
} from '../../spec/connection-stage.js';
import { frameOf } from '../../spec/grpc-client.js';
import {
  ACK,
  GOAWAY,
  headerBlock,
  PADDED,
  PING,
  PREFACE,
  PRIORITY,
  RawConnection,
  rawFrame,
  request,
  RST_STREAM,
  rstStream,
  SETTINGS,
  settings,
  windowUpdate,
} from '../../spec/raw-connection.js';
import { GrpcCode, GrpcError } from '../../wire/grpc-status.js';

stageConnections();

describe('Http2Connection, abuse', () => {
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
    expect(stage.endings).toEqual(['frames']);
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
    expect(stage.ended).toBe(stage.calls.length);
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
    expect(stage.ended).toBe(stage.calls.length);
  });

  it('so do messages that are refused for their length', async () => {
    await start({ resets: few });
    const connection = await open();
    const prefix = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
    for (let i = 0; i < 60; i++) connection.send(headers(2 * i + 1), data(2 * i + 1, prefix, 0));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(stage.endings).toEqual(['resets']);
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
    expect(stage.endings).toEqual(['resets']);
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
    expect([stage.calls.length, stage.ended]).toEqual([10_000, 10_000]);
  });

  it('streams beyond the limit are refused, and a reset does not make room while its handler runs', async () => {
    await start({ maxConcurrentStreams: 2 });
    const connection = await open();
    connection.send(call(1, 'x', '/t.T/Waits'), call(3, 'x', '/t.T/Waits'), call(5));
    expect(await resetCode(connection, 5)).toBe(REFUSED_STREAM);
    connection.send(rstStream(1), call(7));
    expect(await resetCode(connection, 7)).toBe(REFUSED_STREAM);
    stage.release[0]?.();
    await connection.settled();
    connection.send(call(9));
    await connection.until(isEnd(9));
  });

  it('ends the connection of a client that has answers made which it does not read', async () => {
    await start({ maxUnreadBytes: 100_000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    for (const streamId of [1, 3, 5]) connection.send(call(streamId, '60000', '/t.T/Bytes'));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(stage.endings).toEqual(['unread']);
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
    const [first, second] = stage.calls;
    expect([first?.send(Buffer.alloc(900)), first?.send(Buffer.alloc(200)), second?.send(Buffer.alloc(10))]).toEqual([true, false, false]);
  });

  it('one answer that is too large by itself waits beside messages of streams, a second one ends the connection', async () => {
    await start({ maxUnreadBytes: 1000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(headers(1, STREAM), call(3, '2000', '/t.T/Bytes'));
    await connection.settled();
    const [stream] = stage.calls;
    for (let i = 0; i < 3; i++) stream?.send(Buffer.alloc(200));
    await connection.settled();
    expect(connection.frames.some(({ type }) => type === GOAWAY)).toBe(false);
    connection.send(call(5, '2000', '/t.T/Bytes'));
    await connection.settled();
    stream?.send(Buffer.alloc(200));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(stage.endings).toEqual(['unread']);
  });

  it('a header block that takes too long ends the connection', async () => {
    await start({ headerBlockMs: 50 });
    const connection = await open();
    connection.send(headers(1, ECHO, 0));
    expect(await goAway(connection)).toBe(ENHANCE_YOUR_CALM);
    expect(stage.endings).toEqual(['header_block']);
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
    expect(stage.endings).toEqual(['silent']);
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
      const connection = new RawConnection(stage.url);
      connection.send(...bytes);
      await connection.closed();
    }
    const connection = await open();
    connection.send(call(1));
    await connection.until(isEnd(1));
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
});

describe('Http2Connection, closing', () => {
  it('says GOAWAY twice, takes what was sent before the client knew, and closes when the last call has ended', async () => {
    await start();
    const connection = await open();
    connection.send(call(1, 'x', '/t.T/Waits'));
    await connection.settled();
    const closed = stage.server.close(10_000, new GrpcError(GrpcCode.Unavailable, 'stopping'));
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
    stage.release[0]?.();
    await connection.until(isEnd(1));
    await connection.closed();
    await closed;
  });

  it('does not wait for a client that does not answer its PING', async () => {
    await start({ lingerMs: 10 });
    const connection = await open();
    const closed = stage.server.close(10_000);
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
