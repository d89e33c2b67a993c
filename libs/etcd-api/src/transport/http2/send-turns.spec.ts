import { describe, expect, it } from '@jest/globals';
import {
  FLOW_CONTROL_ERROR,
  INITIAL_WINDOW_SIZE,
  STREAM,
  body,
  call,
  data,
  headers,
  isEnd,
  open,
  resetCode,
  stage,
  stageConnections,
  start,
} from '../../spec/connection-stage.js';
import { frameOf } from '../../spec/grpc-client.js';
import { DATA, headerBlock, request, settings, WINDOW_UPDATE, windowUpdate } from '../../spec/raw-connection.js';

stageConnections();

describe('SendTurns', () => {
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
    stage.calls[0]?.send(Buffer.alloc(200_000, 'y'));
    const window = 1_000_000;
    // Both are worked off in one turn: what is written at the second takes along what the first left for the next turn.
    connection.send(windowUpdate(0, window), windowUpdate(1, window), data(1, frameOf(Buffer.from('z')), 0));
    await connection.until(({ type, payload }) => type === DATA && payload.at(-1) === 'z'.charCodeAt(0));
    await connection.settled();
    expect(stage.drained).toBe(1);
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
});
