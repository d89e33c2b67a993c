import { FakeClock } from '@harikube/kube/fake-clock';
import { describe, expect, it } from '@jest/globals';
import { TokenBucket } from './token-bucket.js';

describe('TokenBucket', () => {
  it('gives a burst at once and then so many in a second', async () => {
    const clock = new FakeClock();
    const bucket = new TokenBucket({ clock, perSecond: 4, burst: 2 });
    bucket.take();
    bucket.take();
    expect(bucket.waitMs).toBe(250);
    await clock.advance(250);
    expect(bucket.waitMs).toBe(0);
    bucket.take();
    expect(bucket.waitMs).toBe(250);
  });

  it('holds no more than the burst, however long nobody asks', async () => {
    const clock = new FakeClock();
    const bucket = new TokenBucket({ clock, perSecond: 10, burst: 3 });
    await clock.advance(60_000);
    for (let taken = 0; taken < 3; taken++) bucket.take();
    expect(bucket.waitMs).toBe(100);
  });
});
