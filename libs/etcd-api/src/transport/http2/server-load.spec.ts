import { describe, expect, it } from '@jest/globals';
import { DEFAULT_LIMITS } from './limits.js';
import { type Holder, ServerLoad } from './server-load.js';

/** Tells its name when it is reset, and gives up what it holds, as a stream does. */
function holder(load: ServerLoad, name: string, resets: string[]): Holder {
  const self = {
    reset: () => {
      resets.push(name);
      load.hold(self, 0);
    },
  };
  return self;
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
