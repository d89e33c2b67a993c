import { describe, expect, it } from '@jest/globals';
import {
  ENHANCE_YOUR_CALM,
  STREAM,
  call,
  data,
  headers,
  isEnd,
  open,
  pings,
  resetCode,
  stageConnections,
  start,
} from '../../spec/connection-stage.js';
import { frameOf } from '../../spec/grpc-client.js';

stageConnections();

describe('TurnReader', () => {
  it('a client that floods waits for the others', async () => {
    await start({ control: { burst: 1e9, perSecond: 0 }, maxControlBytes: 1e9, turnMs: 0 });
    const flooding = await open();
    const other = await open();
    flooding.send(...pings(5000));
    other.send(call(1));
    await other.until(isEnd(1));
    expect(flooding.frames.length).toBeLessThan(2500);
    await flooding.until(() => flooding.frames.length === 5000);
  });

  it.each([
    ['in one turn', 10_000],
    ['in turns', 0],
  ])('reads nothing for a while from a connection that has lost a request for want of room: %s', async (_name, turnMs) => {
    await start({ maxPartialBytes: 20_000, restMs: 100_000, turnMs });
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

  it('reads nothing for a while from a connection with more messages in its streams than are allowed', async () => {
    await start({ streamMessages: { burst: 3, perSecond: 0.001 }, restMs: 100_000 });
    const flooding = await open();
    const other = await open();
    const message = data(1, frameOf(Buffer.from('m')), 0);
    flooding.send(headers(1, STREAM), message, message, message);
    flooding.send(call(3));
    await flooding.until(isEnd(3));
    flooding.send(message);
    other.send(call(1));
    await other.until(isEnd(1));
    flooding.send(call(5));
    for (let i = 1; i < 20; i++) {
      other.send(call(2 * i + 1));
      await other.until(isEnd(2 * i + 1));
    }
    expect(flooding.frames.some(isEnd(5))).toBe(false);
  });
});
