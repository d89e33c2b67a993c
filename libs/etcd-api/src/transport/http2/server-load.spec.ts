import { describe, expect, it } from '@jest/globals';
import { DEFAULT_LIMITS } from './limits.js';
import { type Holder, ServerLoad, type WaitingReads } from './server-load.js';

/** Tells its name when it is reset, and gives up what it holds, as a stream does. */
function holder(load: ServerLoad, name: string, resets: string[]): Holder {
  const self = {
    giveUp: () => {
      resets.push(name);
      load.hold(self, 0);
    },
  };
  return self;
}

/** Requests of one connection that wait, by their lengths. */
class Line implements WaitingReads {
  readonly waiting: number[] = [];

  constructor(private readonly load: ServerLoad) {}

  get waitingBytes(): number {
    return this.waiting.reduce((sum, bytes) => sum + bytes, 0);
  }

  wait(bytes: number): void {
    this.waiting.push(bytes);
    this.load.wait(this, bytes);
  }

  giveUpOldest(): void {
    this.load.wait(this, -(this.waiting.shift() ?? 0));
  }
}

describe('ServerLoad', () => {
  it('resets those that have waited longest for the rest of their requests, until there is room', () => {
    const load = new ServerLoad({ ...DEFAULT_LIMITS, maxPartialBytes: 100 });
    const resets: string[] = [];
    const [first, second, third] = [holder(load, 'first', resets), holder(load, 'second', resets), holder(load, 'third', resets)];
    load.hold(first, 40);
    load.hold(second, 40);
    load.hold(first, 41);
    load.hold(third, 60);
    expect(resets).toEqual(['second', 'first']);
    load.hold(third, 0);
    load.hold(first, 100);
    expect(resets).toHaveLength(2);
    load.hold(first, 101);
    expect(resets).toEqual(['second', 'first', 'first']);
  });

  it('gives up reads of the connection that has most of those that wait', () => {
    const load = new ServerLoad({ ...DEFAULT_LIMITS, maxWaitingBytes: 100 });
    const [few, most] = [new Line(load), new Line(load)];
    few.wait(30);
    most.wait(40);
    most.wait(25);
    few.wait(5);
    most.wait(70);
    expect([few.waiting, most.waiting]).toEqual([[30, 5], []]);
    few.wait(65);
    expect(few.waiting).toEqual([30, 5, 65]);
  });

  it('suspects an address for a while, and only so many', () => {
    const load = new ServerLoad({ ...DEFAULT_LIMITS, suspicionMs: 1000 });
    load.suspect('first', 0);
    expect([load.isSuspect('first', 999), load.isSuspect('other', 0), load.isSuspect('first', 1000)]).toEqual([true, false, false]);
    load.suspect('oldest', 0);
    for (let i = 0; i < 1000; i++) load.suspect(`10.0.0.${i}`, 0);
    expect([load.isSuspect('oldest', 1), load.isSuspect('10.0.0.0', 1)]).toEqual([false, true]);
  });

  it('has room for what all connections have queued and expect together', () => {
    const load = new ServerLoad({ ...DEFAULT_LIMITS, maxServerQueuedBytes: 100 });
    load.queuedBytes = 40;
    load.expectedBytes = 40;
    expect([load.hasRoomFor(20), load.hasRoomFor(21)]).toEqual([true, false]);
  });
});
