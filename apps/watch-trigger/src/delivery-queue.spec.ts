import { FakeClock } from '@harikube/kube/fake-clock';
import { describe, expect, it } from '@jest/globals';
import { DeliveryQueue, type QueueEntry } from './delivery-queue.js';

interface Taken {
  readonly queue: DeliveryQueue<string>;
  readonly clock: FakeClock;
}

function queueOf(concurrency: number, ...entries: readonly (readonly [key: string, value: string])[]): Taken {
  const clock = new FakeClock();
  const queue = new DeliveryQueue<string>({ clock, concurrency });
  for (const [key, value] of entries) queue.add(key, value);
  return { queue, clock };
}

function take(queue: DeliveryQueue<string>, isWanted?: (value: string) => boolean): QueueEntry<string> {
  const entry = queue.take(isWanted);
  if (entry === null) throw new Error('nothing can be taken');
  return entry;
}

describe('DeliveryQueue', () => {
  it('hands out one of a key at a time, in the order in which they came', () => {
    const { queue } = queueOf(10, ['a', 'a1'], ['a', 'a2'], ['b', 'b1'], ['a', 'a3']);
    const first = take(queue);
    expect([first.value, take(queue).value, queue.take()]).toEqual(['a1', 'b1', null]);
    queue.finish(first);
    expect(take(queue).value).toBe('a2');
    expect([queue.size, queue.running]).toEqual([3, 2]);
  });

  it('hands out no more than may be worked on at once', () => {
    const { queue } = queueOf(2, ['a', 'a1'], ['b', 'b1'], ['c', 'c1']);
    const first = take(queue);
    take(queue);
    expect(queue.take()).toBeNull();
    queue.finish(first);
    expect(take(queue).value).toBe('c1');
  });

  it('lets one that waits for its next attempt hold up its key and take no place', async () => {
    const { queue, clock } = queueOf(1, ['a', 'a1'], ['a', 'a2'], ['b', 'b1']);
    queue.retryAfter(take(queue), 500);
    expect([queue.running, queue.nextDueMs]).toEqual([0, 500]);
    const other = take(queue);
    expect(other.value).toBe('b1');
    queue.finish(other);
    expect(queue.take()).toBeNull();
    await clock.advance(500);
    const again = take(queue);
    expect(again.value).toBe('a1');
    queue.finish(again);
    expect(take(queue).value).toBe('a2');
    expect(queue.nextDueMs).toBeNull();
  });

  it('prefers the oldest one whose turn it is', async () => {
    const { queue, clock } = queueOf(1, ['a', 'a1'], ['b', 'b1'], ['c', 'c1']);
    queue.retryAfter(take(queue), 100);
    queue.finish(take(queue));
    await clock.advance(100);
    expect(take(queue).value).toBe('a1');
  });

  it('wakes those that wait in the order of their times', async () => {
    const { queue, clock } = queueOf(3, ['a', 'a1'], ['b', 'b1'], ['c', 'c1']);
    const [a, b, c] = [take(queue), take(queue), take(queue)];
    queue.retryAfter(a, 300);
    queue.retryAfter(b, 100);
    queue.retryAfter(c, 200);
    expect(queue.nextDueMs).toBe(100);
    await clock.advance(200);
    expect([take(queue).value, take(queue).value, queue.take()]).toEqual(['b1', 'c1', null]);
  });

  it('passes over what is not wanted at this moment', () => {
    const { queue } = queueOf(2, ['a', 'a1'], ['b', 'b1']);
    expect(take(queue, (value) => value === 'b1').value).toBe('b1');
    expect(queue.take((value) => value === 'b1')).toBeNull();
    expect(take(queue).value).toBe('a1');
  });

  it('counts nothing twice that is given back twice', () => {
    const { queue } = queueOf(1, ['a', 'a1'], ['a', 'a2']);
    const entry = take(queue);
    queue.finish(entry);
    queue.finish(entry);
    queue.retryAfter(entry, 10);
    expect([queue.size, queue.nextDueMs]).toEqual([1, null]);
    expect(take(queue).value).toBe('a2');
  });
});
