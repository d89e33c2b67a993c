import type { HTTPTrigger } from '@harikube/crds';
import { FakeClock } from '@harikube/kube/fake-clock';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { changed, Engine } from './spec/engine.js';
import { FakeApi } from './spec/fake-api.js';
import { DELIVERED, type FakeSender, temporary } from './spec/fake-sender.js';
import { sampleTrigger } from './spec/sample-trigger.js';
import { turns } from './spec/turns.js';

describe('TriggerManager', () => {
  let clock: FakeClock;
  let api: FakeApi;
  let engine: Engine;
  let sender: FakeSender;
  let trigger: HTTPTrigger;

  beforeEach(async () => {
    clock = new FakeClock();
    api = new FakeApi(clock);
    engine = new Engine({ api, clock });
    sender = engine.sender('notify');
    trigger = sampleTrigger({ concurrency: 2 });
    await engine.serve(trigger);
    await turns();
  });

  function stored(): HTTPTrigger['status'] {
    return api.trigger('notify').status;
  }

  /** The trigger as it is stored, under another spec. */
  function next(spec: Partial<HTTPTrigger['spec']>): HTTPTrigger {
    return changed(api.trigger('notify'), spec);
  }

  it('takes no notice of a change of the status', async () => {
    await engine.reconcile('notify');
    await engine.reconcile('notify');
    expect([engine.manager.size, api.watched.length, sender.isClosed]).toEqual([1, 1, false]);
  });

  it('serves another spec at once, from where the one before was', async () => {
    sender.answer = ({ name }) => (name === 'bad' ? temporary('HTTP429', { retryAfterMs: 100_000 }) : DELIVERED);
    for (const name of ['bad', 'good']) api.write(name);
    await turns();
    sender.answer = () => DELIVERED;
    await engine.serve(next({ method: 'PUT' }));
    await turns();
    expect(sender.delivered.map(({ name }) => name)).toEqual(['good', 'bad', 'good']);
    await clock.advance(1000);
    await turns();
    expect(stored()).toMatchObject({ observedGeneration: 2, lastGeneration: 2, cursor: { resourceVersion: '102' } });
  });

  it('lets what is being sent end and count when the spec changes', async () => {
    sender.latencyMs = 1500;
    api.write('a');
    await turns();
    const served = engine.serve(next({ method: 'PUT' }));
    await turns();
    expect(api.watched).toHaveLength(1);
    await clock.advance(1500);
    await served;
    await turns();
    api.write('b');
    await turns();
    await clock.advance(1500);
    await turns();
    expect(sender.attempts.map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('breaks off what takes longer than two seconds, and makes it again under the same id', async () => {
    sender.latencyMs = 60_000;
    api.write('a');
    await turns();
    const served = engine.serve(next({ method: 'PUT' }));
    await clock.advance(2000);
    await served;
    sender.latencyMs = 0;
    await turns();
    expect(sender.attempts.map(({ name, attempt }) => [name, attempt])).toEqual([
      ['a', 1],
      ['a', 1],
    ]);
    expect(sender.attempts[0]?.id).toBe(sender.attempts[1]?.id);
  });

  it('keeps the cursor while the spec says suspend, and goes on from there', async () => {
    api.write('a');
    await turns();
    await engine.serve(next({ suspend: true }));
    await clock.advance(1000);
    await turns();
    api.write('b');
    await clock.advance(1000);
    await turns();
    expect([sender.delivered.length, stored()?.cursor?.resourceVersion, api.open]).toEqual([1, '101', 0]);
    await engine.serve(next({ suspend: false }));
    await turns();
    expect(sender.delivered.map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('begins where it was made, also when it was made suspended', async () => {
    const made = sampleTrigger({ suspend: true });
    const metadata = { ...made.metadata, uid: 'another' };
    await engine.serve({ ...made, metadata });
    await turns();
    api.write('a');
    await clock.advance(1000);
    await turns();
    expect([sender.delivered, api.open]).toEqual([[], 0]);
    await engine.serve({ ...made, metadata: { ...metadata, generation: 2 }, spec: { ...made.spec, suspend: false } });
    await turns();
    expect(sender.delivered.map(({ name }) => name)).toEqual(['a']);
  });

  it('stops at once when the trigger is deleted, also in the middle of a request', async () => {
    sender.latencyMs = 60_000;
    api.write('a');
    await turns();
    const going = api.trigger('notify');
    api.addTrigger({ ...going, metadata: { ...going.metadata, deletionTimestamp: '2026-01-02T03:04:05Z' } });
    await engine.reconcile('notify');
    await turns();
    expect([engine.manager.size, api.open, engine.watches.size, sender.isClosed, sender.running]).toEqual([0, 0, 0, true, 0]);
    expect(await engine.registry.metrics()).not.toContain('name="notify"');
  });

  it('begins anew for another trigger of the same name', async () => {
    api.write('a');
    await turns();
    await clock.advance(1000);
    await turns();
    const other = sampleTrigger({});
    await engine.serve({ ...other, metadata: { ...other.metadata, uid: 'another' } });
    await turns();
    expect(stored()).toMatchObject({ cursor: { resourceVersion: '101' }, counters: { delivered: 0 } });
    api.write('b');
    await turns();
    const [first, second] = sender.delivered;
    expect(second?.name).toBe('b');
    expect(second?.id).not.toBe(first?.id);
  });

  it('goes on with the counters and the cursor of the process before', async () => {
    for (const name of ['a', 'b']) api.write(name);
    await turns();
    await engine.stop();
    expect(stored()).toMatchObject({ cursor: { resourceVersion: '102' }, counters: { delivered: 2 } });
    api.write('c');
    const again = new Engine({ api, clock });
    await again.reconcile('notify');
    await turns();
    await clock.advance(1000);
    await turns();
    expect(again.sender('notify').delivered.map(({ name }) => name)).toEqual(['c']);
    expect(stored()).toMatchObject({ counters: { received: 3, delivered: 3 } });
  });

  it('lets what is being sent end before it stops, and writes where it is', async () => {
    sender.latencyMs = 5000;
    for (const name of ['a', 'b', 'c']) api.write(name);
    await turns();
    const stopped = engine.stop();
    await clock.advance(5000);
    await stopped;
    expect(sender.delivered.map(({ name }) => name)).toEqual(['a', 'b']);
    expect([stored()?.cursor?.resourceVersion, api.open]).toEqual(['102', 0]);
  });

  it('breaks off what is being sent ten seconds after it was told to stop', async () => {
    sender.latencyMs = 60_000;
    api.write('a');
    await turns();
    const stopped = engine.stop();
    await clock.advance(10_000);
    await stopped;
    expect([sender.delivered, stored()?.cursor?.resourceVersion]).toEqual([[], '100']);
  });

  it('neither sends nor writes once another one may lead', async () => {
    sender.latencyMs = 5000;
    api.write('a');
    await turns();
    const stopped = engine.stop();
    await turns();
    const written = api.patches.length;
    await engine.kill();
    await stopped;
    await clock.advance(60_000);
    await turns();
    expect([sender.delivered, api.patches.length, sender.running]).toEqual([[], written, 0]);
  });

  it('leaves a trigger alone that cannot do its work, and serves the others', async () => {
    const bad = sampleTrigger({ labelSelectors: ['tier=gold'] });
    api.refuses = (asked, _resource, { labelSelector }) =>
      asked === 'list' && labelSelector !== undefined ? new Error('no such thing') : null;
    await engine.serve({ ...bad, metadata: { ...bad.metadata, name: 'bad', uid: 'bad' } });
    await turns();
    api.write('a');
    await clock.advance(1000);
    await turns();
    expect(sender.delivered.map(({ name }) => name)).toEqual(['a']);
    const conditions = api.trigger('bad').status?.conditions?.map(({ type, status, reason }) => `${type} ${status} ${reason}`);
    expect(conditions).toContain('Ready False WatchFailed');
  });

  it('goes not back to an older spec that a cache still has', async () => {
    const old = api.trigger('notify');
    await engine.serve(next({ method: 'PUT' }));
    await turns();
    await engine.serve(old);
    await turns();
    api.write('a');
    await turns();
    expect([api.watched.length, sender.delivered.length]).toEqual([2, 1]);
  });

  it('reads a trigger from the API and not from the cache before it begins', async () => {
    await engine.stop();
    let asked = 0;
    api.refuses = (what) => {
      if (what === 'get') asked++;
      return null;
    };
    const again = new Engine({ api, clock });
    await again.reconcile('notify');
    expect(asked).toBe(1);
  });
});
