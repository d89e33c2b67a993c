import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { KeyedLock } from './keyed-lock.js';

const never = new AbortController().signal;

describe('KeyedLock', () => {
  it('lets one after another work on a key, in their order, and keeps nothing', async () => {
    const lock = new KeyedLock();
    const done: number[] = [];
    let working = 0;
    const work = (number: number) => async (): Promise<void> => {
      expect(++working).toBe(1);
      await Promise.resolve();
      done.push(number);
      working--;
    };
    await Promise.all([1, 2, 3].map((number) => lock.run('a', never, work(number))));
    await turn();
    expect([done, lock.size]).toEqual([[1, 2, 3], 0]);
  });

  it('goes on after work that fails', async () => {
    const lock = new KeyedLock();
    const failed = lock.run('a', never, () => Promise.reject(new Error('failed')));
    const next = lock.run('a', never, async () => 'done');
    await expect(failed).rejects.toThrow('failed');
    expect(await next).toBe('done');
  });

  it('lets who waits leave, and those behind him wait for those before him', async () => {
    const lock = new KeyedLock();
    const first = Promise.withResolvers<void>();
    const leaving = new AbortController();
    const order: string[] = [];
    const one = lock.run('a', never, async () => {
      await first.promise;
      order.push('first');
    });
    const two = lock.run('a', leaving.signal, async () => order.push('second'));
    const three = lock.run('a', never, async () => order.push('third'));
    leaving.abort(new Error('left'));
    await expect(two).rejects.toThrow('left');
    await expect(lock.run('a', leaving.signal, async () => 'never')).rejects.toThrow('left');
    expect(order).toEqual([]);
    first.resolve();
    await Promise.all([one, three]);
    await turn();
    expect([order, lock.size]).toEqual([['first', 'third'], 0]);
  });
});
