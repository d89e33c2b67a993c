import { ConnectionError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { createLogger } from '@harikube/platform';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { SharedWatches, type Subscriber, type Subscription } from './shared-watch.js';
import { failure, FakeApi } from './spec/fake-api.js';
import { ORDERS } from './spec/sample-trigger.js';
import { turns } from './spec/turns.js';
import type { RestartReason, WatchTarget } from './watch-loop.js';

const TARGET: WatchTarget = { resource: ORDERS };

/** Remembers what it is told. */
class Listener implements Subscriber {
  readonly told: string[] = [];
  readonly troubles: string[] = [];
  readonly bookmarks: bigint[] = [];
  isFollowing = false;
  goneBecause: Error | null = null;
  onChange: () => void = () => undefined;

  change: Subscriber['change'] = ({ type, object, position }) => {
    this.told.push(`${type} ${object.metadata.name} ${position}`);
    this.onChange();
  };
  bookmark: Subscriber['bookmark'] = (position) => void this.bookmarks.push(position);
  following = (): void => {
    this.isFollowing = true;
  };
  trouble = (error: Error): void => {
    this.isFollowing = false;
    this.troubles.push(error.message);
  };
  gone = (error: Error): void => {
    this.goneBecause = error;
  };
}

describe('SharedWatches', () => {
  let clock: FakeClock;
  let api: FakeApi;
  let watches: SharedWatches;
  let restarts: RestartReason[];

  beforeEach(() => {
    clock = new FakeClock();
    api = new FakeApi(clock);
    restarts = [];
    const destination = { write: (): void => undefined };
    const logger = createLogger({ format: 'json', debug: true, destination });
    watches = new SharedWatches({ client: api, clock, random: () => 0, logger, onRestart: (_, reason) => void restarts.push(reason) });
  });

  function subscribe(from = api.revision, target = TARGET): { readonly listener: Listener; readonly subscription: Subscription } {
    const listener = new Listener();
    return { listener, subscription: watches.subscribe(target, from, listener) };
  }

  it('opens one watch for all who want the same, at the lowest of their positions', async () => {
    api.write('a');
    api.write('b');
    const [late, early] = [subscribe(102n), subscribe(100n)];
    await turns();
    api.write('c');
    await turns();
    expect(api.watched).toEqual([{ from: '100', select: {} }]);
    expect(early.listener.told).toEqual(['ADDED a 101', 'ADDED b 102', 'ADDED c 103']);
    expect(late.listener.told).toEqual(['ADDED c 103']);
    expect([early.listener.isFollowing, late.listener.isFollowing]).toEqual([true, true]);
  });

  it.each<[string, Partial<WatchTarget>]>([
    ['namespace', { namespace: 'shop' }],
    ['labels', { labelSelector: 'tier=gold' }],
    ['fields', { fieldSelector: 'metadata.name=a' }],
    ['kind', { resource: { ...ORDERS, version: 'v2' } }],
  ])('opens another watch for another %s', async (_, part) => {
    subscribe();
    subscribe(api.revision, { ...TARGET, ...part });
    await turns();
    expect([api.open, watches.size]).toEqual([2, 2]);
  });

  it('lets a subscriber from further back catch up by itself, and makes it live where it reaches the others', async () => {
    const first = subscribe();
    await turns();
    for (const name of ['a', 'b', 'c']) api.write(name);
    await turns();
    const second = subscribe(101n);
    await turns();
    expect(api.open).toBe(1);
    api.write('d');
    await turns();
    expect(api.watched.map(({ from }) => from)).toEqual(['100', '101']);
    expect(first.listener.told).toEqual(['ADDED a 101', 'ADDED b 102', 'ADDED c 103', 'ADDED d 104']);
    expect(second.listener.told).toEqual(['ADDED b 102', 'ADDED c 103', 'ADDED d 104']);
  });

  it('makes one live by a bookmark where nothing happened since', async () => {
    subscribe();
    await turns();
    api.pass(50);
    api.bookmark();
    await turns();
    const late = subscribe(120n);
    await turns();
    expect(api.open).toBe(2);
    api.bookmark();
    await turns();
    expect(api.open).toBe(1);
    expect(late.listener.bookmarks).toEqual([150n]);
  });

  it('takes one that is paused off, and lets it catch up without a gap and without a repetition', async () => {
    const [quick, slow] = [subscribe(), subscribe()];
    slow.listener.onChange = () => slow.subscription.pause();
    await turns();
    for (const name of ['a', 'b', 'c']) api.write(name);
    await turns();
    expect(quick.listener.told).toHaveLength(3);
    expect(slow.listener.told).toEqual(['ADDED a 101']);
    slow.listener.onChange = () => undefined;
    slow.subscription.resume();
    slow.subscription.resume();
    await turns();
    api.write('d');
    await turns();
    expect(slow.listener.told).toEqual(quick.listener.told);
    expect(api.open).toBe(1);
  });

  it('closes the watch when the only subscriber is paused, and opens it again where that one is', async () => {
    const { listener, subscription } = subscribe();
    await turns();
    api.write('a');
    await turns();
    subscription.pause();
    await turns();
    expect(api.open).toBe(0);
    api.write('b');
    subscription.resume();
    await turns();
    expect(api.watched.at(-1)?.from).toBe('101');
    expect(listener.told).toEqual(['ADDED a 101', 'ADDED b 102']);
  });

  it('makes those that catch up begin the shared watch when all live ones have left', async () => {
    const first = subscribe();
    await turns();
    api.pass(10);
    api.bookmark();
    await turns();
    const [one, other] = [subscribe(105n), subscribe(104n)];
    await turns();
    expect(api.open).toBe(3);
    first.subscription.close();
    await turns();
    api.write('a');
    await turns();
    expect(api.open).toBe(1);
    expect([one.listener.told, other.listener.told]).toEqual([['ADDED a 111'], ['ADDED a 111']]);
  });

  it('ends the watch with the last subscription', async () => {
    const { listener, subscription } = subscribe();
    await turns();
    subscription.close();
    api.write('a');
    await turns();
    expect([api.open, watches.size, listener.told]).toEqual([0, 0, []]);
  });

  it('goes on at once where the server ended the watch or the connection broke', async () => {
    const { listener } = subscribe();
    await turns();
    api.write('a');
    await turns();
    api.endWatches();
    await turns();
    api.write('b');
    await turns();
    api.cutWatches();
    await turns();
    api.write('c');
    await turns();
    expect(api.watched.map(({ from }) => from)).toEqual(['100', '101', '102']);
    expect(listener.told).toEqual(['ADDED a 101', 'ADDED b 102', 'ADDED c 103']);
    expect([restarts, listener.troubles]).toEqual([['ended', 'cut'], []]);
  });

  it('goes on from the last bookmark', async () => {
    subscribe();
    await turns();
    api.pass(7);
    api.bookmark();
    await turns();
    api.endWatches();
    await turns();
    expect(api.watched.at(-1)?.from).toBe('107');
  });

  it('tells a bookmark that says nothing but that time has passed, and none that is older than what was told', async () => {
    const { listener } = subscribe();
    await turns();
    api.write('a');
    await turns();
    api.bookmark();
    await turns();
    api.bookmark(50n);
    await turns();
    api.bookmark();
    await turns();
    expect(listener.bookmarks).toEqual([101n, 101n]);
    api.endWatches();
    await turns();
    expect(api.watched.at(-1)?.from).toBe('101');
  });

  it('waits longer and longer for a server that does not serve the watch', async () => {
    const { listener } = subscribe();
    api.refuses = (asked) => (asked === 'watch' ? new ConnectionError('refused') : null);
    await turns();
    const waits = [];
    for (let attempt = 0; attempt < 7; attempt++) {
      waits.push(clock.timers[0] ?? 0);
      await clock.advance(clock.timers[0] ?? 0);
      await turns();
    }
    expect(waits).toEqual([800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
    expect(listener.troubles).toHaveLength(8);
    api.refuses = () => null;
    await clock.advance(30_000);
    await turns();
    expect(listener.isFollowing).toBe(true);
  });

  it('does not storm a server that ends each watch at once', async () => {
    subscribe();
    for (let end = 0; end < 4; end++) {
      await turns();
      api.endWatches();
      await turns();
      await clock.advance(clock.timers[0] ?? 0);
    }
    await turns();
    expect(clock.monotonic() - 1000).toBe(800 + 1600 + 3200 + 6400);
    expect(api.watched).toHaveLength(5);
  });

  it('waits as long as the server asks for', async () => {
    subscribe();
    api.refuses = () => failure(429, 'TooManyRequests', { details: { retryAfterSeconds: 42 } });
    await turns();
    expect(clock.timers).toEqual([42_000]);
    expect(restarts).toEqual(['refused']);
  });

  it('tells that the position is too old when the server says so instead of a watch', async () => {
    api.write('a');
    api.compact();
    const { listener } = subscribe(100n);
    await turns();
    expect(listener.goneBecause).toMatchObject({ code: 410 });
    expect([api.open, watches.size, restarts]).toEqual([0, 0, ['expired']]);
  });

  it('tells that the position is too old when the server says so in the watch', async () => {
    const { listener } = subscribe();
    await turns();
    api.expireWatches();
    await turns();
    expect(listener.goneBecause).toMatchObject({ code: 410 });
    expect([api.open, watches.size, restarts]).toEqual([0, 0, ['expired']]);
  });

  it('spares a subscriber that stands above the position that is too old', async () => {
    for (const name of ['a', 'b', 'c']) api.write(name);
    api.compact(102n);
    const [behind, ahead] = [subscribe(101n), subscribe(103n)];
    await turns();
    api.write('d');
    await turns();
    expect(behind.listener.goneBecause).not.toBeNull();
    expect([ahead.listener.goneBecause, ahead.listener.told]).toEqual([null, ['ADDED d 104']]);
  });

  it('compares versions as whole numbers', async () => {
    api.pass(900);
    const { listener } = subscribe(999n);
    await turns();
    for (const name of ['a', 'b']) api.write(name);
    await turns();
    expect(listener.told).toEqual(['ADDED a 1001', 'ADDED b 1002']);
  });

  it('leaves the others alone when a subscriber fails, and tells that one again', async () => {
    const [broken, fine] = [subscribe(), subscribe()];
    let isBroken = true;
    broken.listener.onChange = () => {
      if (isBroken) throw new Error('broken');
    };
    await turns();
    api.write('a');
    api.write('b');
    await turns();
    expect([broken.listener.told, fine.listener.told]).toEqual([['ADDED a 101'], ['ADDED a 101', 'ADDED b 102']]);
    isBroken = false;
    await clock.advance(10_000);
    await turns();
    expect(broken.listener.told).toEqual(['ADDED a 101', 'ADDED a 101', 'ADDED b 102']);
  });

  it('hands on objects without managedFields', async () => {
    const seen: unknown[] = [];
    watches.subscribe(TARGET, 100n, { ...new Listener(), change: ({ object }) => seen.push(object.metadata.managedFields) });
    api.write('a');
    await turns();
    expect(seen).toEqual([undefined]);
  });
});
