import { FakeClock } from '@harikube/kube/fake-clock';
import { describe, expect, it } from '@jest/globals';
import type { Key } from './key.js';
import { settled } from './spec/settled.js';
import { WorkQueue } from './work-queue.js';

const a: Key = { name: 'a' };
const b: Key = { name: 'b' };

function queueOf(): { queue: WorkQueue; clock: FakeClock } {
  const clock = new FakeClock();
  return { queue: new WorkQueue({ clock }), clock };
}

/** The items that are handed out to as many workers, in order. */
function handedOut(queue: WorkQueue, workers: number): string[] {
  const names: string[] = [];
  for (let worker = 0; worker < workers; worker++) void queue.next().then((key) => names.push(key === null ? 'shut down' : key.name));
  return names;
}

describe('WorkQueue', () => {
  it('hands out in the order of asking', async () => {
    const { queue } = queueOf();
    for (const name of ['a', 'b', 'c']) queue.add({ name });
    const names = handedOut(queue, 3);
    await settled();
    expect(names).toEqual(['a', 'b', 'c']);
  });

  it('hands out once what is asked for several times', async () => {
    const { queue } = queueOf();
    for (let times = 0; times < 3; times++) queue.add(a);
    const names = handedOut(queue, 3);
    await settled();
    expect(names).toEqual(['a']);
  });

  it('takes names in two namespaces for two items', async () => {
    const { queue } = queueOf();
    queue.add({ name: 'a', namespace: 'one' });
    queue.add({ name: 'a', namespace: 'two' });
    queue.add({ name: 'a', namespace: 'two' });
    const names = handedOut(queue, 3);
    await settled();
    expect(names).toHaveLength(2);
  });

  it('gives an item to no second worker, and again once when it changed meanwhile', async () => {
    const { queue } = queueOf();
    queue.add(a);
    const names = handedOut(queue, 5);
    await settled();
    for (let times = 0; times < 3; times++) queue.add(a);
    await settled();
    expect(names).toEqual(['a']);
    queue.done(a);
    await settled();
    expect(names).toEqual(['a', 'a']);
    queue.done(a);
    await settled();
    expect(names).toEqual(['a', 'a']);
  });

  it('puts an item that comes again behind the others', async () => {
    const { queue } = queueOf();
    queue.add(a);
    queue.add(b);
    const names = handedOut(queue, 1);
    await settled();
    queue.add(a);
    queue.done(a);
    const later = handedOut(queue, 2);
    await settled();
    expect([...names, ...later]).toEqual(['a', 'b', 'a']);
  });

  it('hands out later what is asked for later, and takes the earliest of several times', async () => {
    const { queue, clock } = queueOf();
    const names = handedOut(queue, 2);
    queue.addAfter(a, 1000);
    queue.addAfter(a, 500);
    queue.addAfter(a, 2000);
    expect(clock.timers).toEqual([500]);
    await clock.advance(499);
    expect(names).toEqual([]);
    await clock.advance(1);
    expect(names).toEqual(['a']);
    queue.done(a);
    await clock.advance(5000);
    expect(names).toEqual(['a']);
  });

  it('lets a failing item wait from 5 ms, twice as long each time, to 1000 s', () => {
    const { queue, clock } = queueOf();
    const waits: number[] = [];
    for (let failure = 0; failure < 20; failure++) {
      queue.addRateLimited(a);
      waits.push(...clock.timers);
      clock.stop(1e9);
      queue.addAfter(a, -1e9);
    }
    expect(waits.slice(0, 8)).toEqual([5, 10, 20, 40, 80, 160, 320, 640]);
    expect(waits.slice(16)).toEqual([327_680, 655_360, 1_000_000, 1_000_000]);
    expect(queue.failures(a)).toBe(20);
  });

  it('begins anew with an item that is forgotten', () => {
    const { queue, clock } = queueOf();
    for (let failure = 0; failure < 5; failure++) {
      queue.addRateLimited(a);
      queue.addAfter(a, -1e9);
    }
    queue.forget(a);
    expect(queue.failures(a)).toBe(0);
    queue.addRateLimited(a);
    expect(clock.timers).toEqual([5]);
  });

  it('lets 100 retries pass at once and then 10 in a second, and nothing else wait', async () => {
    const { queue, clock } = queueOf();
    for (let item = 0; item < 120; item++) queue.addRateLimited({ name: String(item) });
    expect(clock.timers.filter((due) => due === 5)).toHaveLength(100);
    expect(clock.timers.slice(100, 103)).toEqual([100, 200, 300]);
    expect(clock.timers.at(-1)).toBe(2000);
    const names = handedOut(queue, 1);
    queue.add(a);
    await settled();
    expect(names).toEqual(['a']);
    await clock.advance(3000);
    queue.addRateLimited(b);
    expect(clock.timers).toEqual([5]);
  });

  it('waits in pieces when a timer comes early', async () => {
    const { clock } = queueOf();
    const longest = 1000;
    const short = { now: () => clock.now(), monotonic: () => clock.monotonic(), sleep: () => Promise.resolve() };
    const queue = new WorkQueue({ clock: { ...short, setTimeout: (run, ms) => clock.setTimeout(run, Math.min(ms, longest)) } });
    const names = handedOut(queue, 1);
    queue.addAfter(a, 2500);
    await clock.advance(2499);
    expect(names).toEqual([]);
    await clock.advance(1);
    expect(names).toEqual(['a']);
  });

  it('hands out nothing after it is shut down, and waits for what is worked on', async () => {
    const { queue, clock } = queueOf();
    queue.add(a);
    const first = handedOut(queue, 1);
    await settled();
    queue.add(b);
    queue.add(a);
    queue.addAfter(b, 1000);
    let isDrained = false;
    void queue.shutDown().then(() => (isDrained = true));
    const later = handedOut(queue, 1);
    queue.add(b);
    queue.addRateLimited(b);
    await clock.advance(2000);
    expect([first, later, isDrained]).toEqual([['a'], ['shut down'], false]);
    expect(clock.timers).toEqual([]);
    queue.done(a);
    await settled();
    expect(isDrained).toBe(true);
    expect(queue.depth).toBe(0);
  });

  it('tells workers that wait when it is shut down', async () => {
    const { queue } = queueOf();
    const names = handedOut(queue, 2);
    await queue.shutDown();
    await settled();
    expect(names).toEqual(['shut down', 'shut down']);
  });

  it('says how much waits, and how long each item is worked on', async () => {
    const { queue, clock } = queueOf();
    queue.add(a);
    queue.add(b);
    handedOut(queue, 1);
    queue.add(a);
    clock.stop(2500);
    expect(queue.depth).toBe(2);
    expect(queue.workSeconds).toEqual([2.5]);
    queue.done(a);
    queue.done(a);
    expect(queue.workSeconds).toEqual([]);
    await settled();
  });
});
