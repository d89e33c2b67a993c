import { FakeClock } from '@harikube/kube/fake-clock';
import { createLogger } from '@harikube/platform';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { KindArrival } from './kind-arrival.js';
import { SharedWatches } from './shared-watch.js';
import { failure, FakeApi } from './spec/fake-api.js';
import { turns } from './spec/turns.js';

describe('KindArrival', () => {
  let clock: FakeClock;
  let api: FakeApi;
  let watches: SharedWatches;
  let arrival: KindArrival;
  let hasArrived: boolean;

  beforeEach(() => {
    clock = new FakeClock();
    api = new FakeApi(clock);
    const logger = createLogger({ format: 'json', debug: true, destination: { write: () => undefined } });
    watches = new SharedWatches({ client: api, clock, random: () => 0, logger, onRestart: () => undefined });
    arrival = new KindArrival({ apiVersion: 'shop.example.com/v1', kind: 'Order', client: api, watches, clock });
    hasArrived = false;
  });

  async function wait(): Promise<void> {
    arrival.start();
    void arrival.wait(3000, new AbortController().signal).then(() => (hasArrived = true));
    await turns();
  }

  const define = (group: string, kind: string): unknown => api.write(`${kind}.${group}`, { spec: { group, names: { kind } } });

  it('ends when the definition of the kind is written', async () => {
    await wait();
    define('shop.example.com', 'Invoice');
    define('park.example.com', 'Order');
    await turns();
    expect(hasArrived).toBe(false);
    define('shop.example.com', 'Order');
    await turns();
    expect(hasArrived).toBe(true);
    arrival.close();
    await turns();
    expect([api.open, watches.size]).toEqual([0, 0]);
  });

  it('ends when its time is up, also where definitions must not be read', async () => {
    api.refuses = () => failure(403, 'Forbidden');
    await wait();
    await clock.advance(2999);
    expect(hasArrived).toBe(false);
    await clock.advance(1);
    await turns();
    expect(hasArrived).toBe(true);
  });

  it('ends with the signal', async () => {
    const stop = new AbortController();
    const waited = arrival.wait(3000, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(waited).rejects.toThrow('stopped');
  });

  it('opens no watch after it was closed', async () => {
    arrival.start();
    arrival.close();
    await turns();
    expect([api.open, watches.size]).toEqual([0, 0]);
  });
});
