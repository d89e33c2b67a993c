import { describe, expect, it } from '@jest/globals';
import { FakeClock } from '@harikube/kube/fake-clock';
import { FairLimit, type FairLimitOptions } from './fair-limit.js';

const signal = new AbortController().signal;

function limit(options: Partial<FairLimitOptions> = {}): FairLimit {
  return new FairLimit({ limit: 4, perUser: 3, queue: 4, queuePerUser: 2, queueMs: 1000, clock: new FakeClock(), ...options });
}

describe('FairLimit', () => {
  it('lets in as many as there is room for', async () => {
    const room = limit();
    const leave = await room.enter('a', signal);
    await room.enter('b', signal);
    expect(room.size).toBe(2);
    leave();
    leave();
    expect(room.size).toBe(1);
  });

  it('keeps room for others when one user asks for much', async () => {
    const room = limit();
    for (let count = 0; count < 3; count++) await room.enter('flood', signal);
    const queued = [room.enter('flood', signal), room.enter('flood', signal)];
    for (const entry of queued) entry.catch(() => undefined);
    await expect(room.enter('flood', signal)).rejects.toMatchObject({
      code: 429,
      retryAfterSeconds: 1,
      message: 'Too many requests, please try again later.',
    });
    await room.enter('other', signal);
    expect(room.size).toBe(4);
  });

  it('lets in next who has the fewest inside, and among equals who came first', async () => {
    const room = limit({ perUser: 4 });
    const leaves = [
      await room.enter('flood', signal),
      await room.enter('flood', signal),
      await room.enter('flood', signal),
      await room.enter('flood', signal),
    ];
    const order: string[] = [];
    const entries = ['flood', 'b', 'c'].map(async (user) => {
      const leave = await room.enter(user, signal);
      order.push(user);
      return leave;
    });
    for (const leave of leaves) leave();
    await Promise.all(entries);
    expect(order).toEqual(['b', 'c', 'flood']);
  });

  it('turns away who has waited too long, and forgets who is gone', async () => {
    const clock = new FakeClock();
    const room = limit({ limit: 1, perUser: 1, clock });
    const leave = await room.enter('a', signal);
    const late = room.enter('b', signal);
    const gone = new AbortController();
    const left = room.enter('c', gone.signal);
    gone.abort();
    await expect(left).rejects.toThrow('the client is gone');
    late.catch(() => undefined);
    await clock.advance(1000);
    await expect(late).rejects.toMatchObject({ code: 429 });
    leave();
    expect(room.size).toBe(0);
    await expect(room.enter('d', gone.signal)).rejects.toThrow();
  });
});
