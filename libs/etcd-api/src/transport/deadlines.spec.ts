import { describe, expect, it } from '@jest/globals';
import { Deadlines, type Expiring } from './deadlines.js';

class Item implements Expiring {
  due = 0;
  readonly expired: Promise<string>;
  private done: (name: string) => void = () => {};

  constructor(private readonly name: string) {
    this.expired = new Promise((resolve) => (this.done = resolve));
  }

  expire(): void {
    this.done(this.name);
  }
}

describe('Deadlines', () => {
  it('lets each item expire at its time, however they were added, and none that was removed', async () => {
    const deadlines = new Deadlines();
    const order: string[] = [];
    const early: string[] = [];
    const items = [60, 5, 30, 5].map((milliseconds, index) => {
      const item = new Item(`${milliseconds}#${index}`);
      deadlines.add(item, milliseconds, performance.now());
      const { due } = item;
      void item.expired.then((name) => {
        order.push(name);
        if (performance.now() < due) early.push(name);
      });
      return item;
    });
    const removed = new Item('removed');
    deadlines.add(removed, 1, performance.now());
    void removed.expired.then((name) => order.push(name));
    deadlines.remove(removed);
    // The timer keeps no process alive: this one does, until the last item has expired.
    const alive = setInterval(() => {}, 1000);
    await Promise.all(items.map((item) => item.expired));
    clearInterval(alive);
    // A machine that is late finds several due at once; none is told too soon.
    expect([[...order].sort(), early]).toEqual([['30#2', '5#1', '5#3', '60#0'], []]);
  });

  it('takes an item up again when it expires', async () => {
    const deadlines = new Deadlines();
    const later = new Item('later');
    const first: Expiring = { due: 0, expire: () => deadlines.add(later, 1, performance.now()) };
    deadlines.add(first, 1, performance.now());
    const alive = setInterval(() => {}, 1000);
    expect(await later.expired).toBe('later');
    clearInterval(alive);
  });
});
