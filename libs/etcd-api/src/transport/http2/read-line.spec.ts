import { describe, expect, it } from '@jest/globals';
import {
  ENHANCE_YOUR_CALM,
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
import { RST_STREAM, rstStream, windowUpdate } from '../../spec/raw-connection.js';

stageConnections();

describe('ReadLine', () => {
  it('a read that is given up in the turn in which it comes is never made', async () => {
    await start({ turnMs: 10_000 });
    const connection = await open();
    connection.send(call(1, '5', '/t.T/Read'), rstStream(1), call(3, '6', '/t.T/Read'));
    await connection.until(isEnd(3));
    expect(stage.reads).toEqual(['6']);
  });

  it('lets reads wait while too many answers wait for the client, and makes those again for which there was no room', async () => {
    // The three are worked off in one turn: each has started before the first is answered.
    await start({ maxQueuedBytes: 100_000, turnMs: 10_000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(...[1, 3, 5].map((streamId) => call(streamId, '60000', '/t.T/Read')));
    await connection.settled();
    connection.send(call(7, '10', '/t.T/Read'), call(9, '10', '/t.T/Bytes'));
    await connection.settled();
    expect(stage.reads).toEqual(['60000', '60000', '60000']);
    connection.send(windowUpdate(0, 1_000_000));
    for (const streamId of [1, 3, 5, 7, 9]) {
      connection.send(windowUpdate(streamId, 100_000));
      await connection.until(isEnd(streamId));
    }
    expect([1, 3, 5, 7, 9].map((streamId) => body(connection.frames, streamId).length)).toEqual([60_005, 60_005, 60_005, 15, 15]);
    expect(stage.reads).toEqual(['60000', '60000', '60000', '60000', '60000', '10']);
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
    expect(stage.reads.length).toBeLessThanOrEqual(4);
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
    expect(stage.reads).toEqual(['60000', '20000', '20000', '20000']);
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
    // Both are worked off in one turn, as above.
    await start({ maxQueuedBytes: 1000, turnMs: 10_000 });
    const connection = await open([INITIAL_WINDOW_SIZE, 0]);
    connection.send(call(1, '1000', '/t.T/Read'), call(3, '1000', '/t.T/Read'));
    await connection.settled();
    connection.send(rstStream(3), rstStream(1), call(5, '10', '/t.T/Read'), windowUpdate(5, 100));
    await connection.until(isEnd(5));
    expect(stage.reads).toEqual(['1000', '1000', '10']);
  });

  it('lets reads wait while too many are under way, or too many that the client has given up', async () => {
    await start({ maxRunningReads: 3, maxAbandoned: 2 });
    const connection = await open();
    const waiting = (streamId: number): Buffer => call(streamId, 'wait', '/t.T/Read');
    connection.send(waiting(1), waiting(3), waiting(5), waiting(7));
    await connection.settled();
    expect(stage.release).toHaveLength(3);
    stage.release[0]?.();
    await connection.until(isEnd(1));
    await connection.settled();
    expect(stage.release).toHaveLength(4);
    connection.send(rstStream(3), rstStream(5), rstStream(7), waiting(9));
    await connection.settled();
    expect(stage.release).toHaveLength(4);
    for (const resolve of stage.release.splice(0)) resolve();
    await connection.settled();
    await connection.settled();
    expect(stage.release).toHaveLength(1);
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
    stage.release[0]?.();
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
    for (const resolve of stage.release) resolve();
    for (const streamId of [7, 9, 11]) await flooding.until(isEnd(streamId));
    await honest.until(isEnd(3));
    expect(stage.reads).toEqual(['wait', 'wait', '10', long, long, long]);
  });

  it('starts no more reads than their requests leave room for', async () => {
    await start({ maxQueuedBytes: 1000 });
    const connection = await open();
    connection.send(...[1, 3].map((streamId) => call(streamId, 'wait'.padEnd(600), '/t.T/Read')));
    await connection.settled();
    expect(stage.release).toHaveLength(1);
    stage.release[0]?.();
    await connection.until(isEnd(1));
    await connection.settled();
    expect(stage.release).toHaveLength(2);
  });
});
