import type { HTTPTrigger, HTTPTriggerStatus } from '@harikube/crds';
import { ConnectionError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { changed, Engine } from './spec/engine.js';
import { failure, FakeApi } from './spec/fake-api.js';
import { DELIVERED, type FakeSender, refused, temporary } from './spec/fake-sender.js';
import { sampleTrigger } from './spec/sample-trigger.js';
import { turns } from './spec/turns.js';

/** Time passes with each look at it, and timers run up to a millisecond early, as those of Node do. */
class MovingClock extends FakeClock {
  #looks = 0;

  override monotonic(): number {
    return super.monotonic() + 0.01 * this.#looks++;
  }

  override setTimeout(run: () => void, milliseconds: number): () => void {
    return super.setTimeout(run, Math.floor(milliseconds));
  }
}

describe('TriggerRunner', () => {
  let clock: FakeClock;
  let api: FakeApi;
  let engine: Engine;
  let sender: FakeSender;

  beforeEach(() => {
    clock = new FakeClock();
    api = new FakeApi(clock);
    engine = new Engine({ api, clock });
    sender = engine.sender('notify');
  });

  async function serve(spec: Partial<HTTPTrigger['spec']> = {}): Promise<HTTPTrigger> {
    const trigger = sampleTrigger(spec);
    await engine.serve(trigger);
    await turns();
    return trigger;
  }

  async function pass(milliseconds: number): Promise<void> {
    await turns();
    await clock.advance(milliseconds);
    await turns();
  }

  function status(): HTTPTriggerStatus {
    return api.trigger('notify').status ?? {};
  }

  function condition(type: string): string {
    const found = status().conditions?.find((one) => one.type === type);
    return `${found?.status} ${found?.reason}`;
  }

  const names = (): string[] => sender.delivered.map(({ type, name }) => `${type} ${name}`);

  describe('its start', () => {
    it('stores where it begins before it delivers anything', async () => {
      api.write('old');
      await serve();
      expect(api.listed).toMatchObject([{ limit: 1, exactIntegers: true }]);
      expect(api.patches[0]?.status).toMatchObject({ cursor: { resourceVersion: '101', time: '2026-01-02T03:04:05Z' } });
      api.write('young');
      await turns();
      expect(names()).toEqual(['ADDED young']);
    });

    it('delivers nothing as long as the cursor cannot be stored', async () => {
      api.refuses = (asked) => (asked === 'patch' ? failure(500, 'InternalError') : null);
      await serve();
      api.write('a');
      await pass(500);
      expect([sender.attempts, api.watched]).toEqual([[], []]);
      api.refuses = () => null;
      await pass(1000);
      expect(names()).toEqual(['ADDED a']);
    });

    it('goes on where the stored cursor is', async () => {
      for (const name of ['a', 'b', 'c']) api.write(name);
      const cursor = { resourceVersion: '101', time: '2026-01-02T03:04:05Z' };
      await engine.serve({ ...sampleTrigger({}), status: { cursor, observedGeneration: 1 } });
      await turns();
      expect(names()).toEqual(['ADDED b', 'ADDED c']);
      expect(api.listed).toEqual([]);
    });

    it('tells what is there as ADDED when asked for, page by page, and only then stores a cursor', async () => {
      for (let index = 0; index < 1200; index++) api.write(`o-${index}`);
      sender.latencyMs = 1;
      await serve({ sendInitialEvents: true, concurrency: 100 });
      expect(status().cursor).toBeUndefined();
      expect(api.listed.length).toBeLessThan(4);
      for (let second = 0; second < 3; second++) await pass(1000);
      expect(api.listed).toHaveLength(3);
      expect(new Set(sender.delivered.map(({ name }) => name)).size).toBe(1200);
      expect(sender.delivered.every(({ type, event }) => type === 'ADDED' && event.isInitial)).toBe(true);
      expect(status()).toMatchObject({ cursor: { resourceVersion: '1300' }, pending: 0, counters: { delivered: 1200 } });
      api.write('late');
      await pass(10);
      expect(sender.delivered.at(-1)).toMatchObject({ name: 'late', event: { isInitial: false } });
    });

    it('begins an interrupted load again, with the same ids', async () => {
      for (const name of ['a', 'b', 'c']) api.write(name);
      sender.answer = ({ name }) => (name === 'b' ? temporary() : DELIVERED);
      await serve({ sendInitialEvents: true, concurrency: 3 });
      await engine.kill();
      expect(status().cursor).toBeUndefined();
      const again = new Engine({ api, clock });
      await again.reconcile('notify');
      await turns();
      const delivered = again.sender('notify').delivered;
      expect(delivered.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
      expect(delivered[0]?.id).toBe(sender.delivered[0]?.id);
    });

    it('goes on with a newer version where the one of its first page is compacted', async () => {
      for (let index = 100; index < 700; index++) api.write(`o-${index}`);
      let lists = 0;
      api.refuses = (asked) => {
        if (asked === 'list' && ++lists === 2) {
          api.write('o-999');
          api.compact();
        }
        return null;
      };
      await serve({ sendInitialEvents: true });
      await pass(5000);
      const told = new Set(sender.delivered.map(({ name }) => name));
      expect([told.size, told.has('o-999')]).toEqual([601, true]);
    });

    it('waits for a kind that is not there yet', async () => {
      engine.kind = null;
      await serve();
      await pass(1000);
      expect(condition('Watching')).toBe('False ResourceNotFound');
      engine.kind = { group: 'shop.example.com', version: 'v1', kind: 'Order', plural: 'orders', namespaced: true };
      await pass(3000);
      await pass(1000);
      expect(condition('Watching')).toBe('True Watching');
    });
  });

  describe('what it is told', () => {
    it('delivers each change with its object, its time and an id of its own', async () => {
      await serve();
      api.write('a');
      api.write('a');
      api.delete('a');
      await turns();
      expect(names()).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a']);
      expect(new Set(sender.delivered.map(({ id }) => id)).size).toBe(3);
      expect(sender.delivered[0]?.event).toMatchObject({ receivedAt: clock.now(), isAfterGap: false, resourceVersion: '101' });
      expect(sender.delivered[0]?.event.object.metadata.managedFields).toBeUndefined();
    });

    it('moves its cursor over events that it does not want', async () => {
      await serve();
      sender.filter = () => 'no';
      for (const name of ['a', 'b', 'c']) api.write(name);
      await pass(1000);
      expect(sender.attempts).toEqual([]);
      expect(status()).toMatchObject({ cursor: { resourceVersion: '103' }, counters: { received: 3, filtered: 3, delivered: 0 } });
    });

    it('follows the bookmarks of a quiet resource, and writes that once in a minute', async () => {
      await serve();
      await pass(1000);
      const before = api.patches.length;
      for (let count = 0; count < 10; count++) {
        api.pass(5);
        api.bookmark();
        await pass(6000);
      }
      await pass(10_000);
      expect(api.patches.length - before).toBe(1);
      expect(status().cursor).toEqual({ resourceVersion: '150', time: '2026-01-02T03:05:00Z' });
    });

    it('watches each of its namespaces, and has the cursor of the one that is furthest back', async () => {
      await serve({ namespaces: ['shop', 'park', 'shop'] });
      expect(api.watched.map(({ select }) => select.namespace)).toEqual(['shop', 'park']);
      api.write('a', { namespace: 'park' });
      api.write('b', { namespace: 'town' });
      api.write('c');
      await pass(1000);
      expect(names().sort()).toEqual(['ADDED a', 'ADDED c']);
      expect(status().cursor?.resourceVersion).toBe('101');
      api.bookmark();
      await pass(60_000);
      expect(status().cursor?.resourceVersion).toBe('103');
    });

    it('says whether an object that left the selection is still there', async () => {
      await serve({ labelSelectors: ['tier=gold'] });
      api.write('leaves', { labels: { tier: 'gold' } });
      api.write('goes', { labels: { tier: 'gold' } });
      await turns();
      api.write('leaves', { labels: { tier: 'tin' } });
      api.delete('goes');
      await turns();
      const deletions = sender.delivered.filter(({ type }) => type === 'DELETED');
      expect(deletions.map(({ name, event }) => [name, event.stillExists])).toEqual([
        ['leaves', true],
        ['goes', false],
      ]);
    });

    it('does not ask for a deleted object when it selects nothing', async () => {
      await serve();
      api.write('a');
      api.delete('a');
      await turns();
      expect(sender.delivered.at(-1)?.event).not.toHaveProperty('stillExists');
    });

    it('is not told of itself', async () => {
      await serve();
      const own = sampleTrigger({});
      own.metadata.uid = 'uid-1';
      const trigger = { ...own, metadata: { ...own.metadata, name: 'self' } };
      await engine.serve(trigger);
      await turns();
      api.write('self');
      await turns();
      expect(engine.sender('self').attempts).toEqual([]);
      expect(names()).toEqual(['ADDED self']);
    });
  });

  describe('order and concurrency', () => {
    it('sends the events of one object one after another and those of others at once, up to its concurrency', async () => {
      sender.latencyMs = 100;
      await serve({ concurrency: 3 });
      for (const name of ['a', 'a', 'b', 'c', 'd']) api.write(name);
      await turns();
      expect(sender.attempts.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
      await pass(100);
      expect(sender.attempts.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'a', 'd']);
      await pass(100);
      expect([sender.mostRunning, sender.delivered.length]).toEqual([3, 5]);
    });

    it('lets an object that fails hold up itself, its place in the cursor, and nothing else', async () => {
      sender.answer = ({ name }) => (name === 'bad' ? temporary('HTTP429') : DELIVERED);
      await serve();
      for (const name of ['bad', 'a', 'bad', 'b', 'c']) api.write(name);
      await pass(1000);
      expect(names()).toEqual(['ADDED a', 'ADDED b', 'ADDED c']);
      expect(status()).toMatchObject({ cursor: { resourceVersion: '100' }, pending: 2 });
      sender.answer = () => DELIVERED;
      await pass(60_000);
      expect(names().slice(3)).toEqual(['ADDED bad', 'MODIFIED bad']);
      expect(status()).toMatchObject({ cursor: { resourceVersion: '105' }, pending: 0 });
    });

    it('takes no more than it can hold, and goes on where it was', async () => {
      const other = engine.sender('other');
      sender.answer = () => temporary('HTTP429', { retryAfterMs: 100_000 });
      await serve();
      const quick = sampleTrigger({});
      await engine.serve({ ...quick, metadata: { ...quick.metadata, name: 'other', uid: 'other' } });
      await turns();
      for (let index = 0; index < 1500; index++) api.write(`o-${index}`);
      await turns(100);
      await pass(1000);
      expect(status().pending).toBe(1000);
      expect(other.delivered).toHaveLength(1500);
      sender.answer = () => DELIVERED;
      for (let minute = 0; minute < 6; minute++) await pass(60_000);
      expect(new Set(sender.delivered.map(({ id }) => id)).size).toBe(1500);
      expect(sender.delivered).toHaveLength(1500);
      expect(api.open).toBe(1);
    });

    it('keeps to its rate', async () => {
      await serve({ concurrency: 10, rateLimit: { requestsPerSecond: 2, burst: 3 } });
      for (let index = 0; index < 10; index++) api.write(`o-${index}`);
      await turns();
      expect(sender.attempts).toHaveLength(3);
      await pass(1000);
      expect(sender.attempts).toHaveLength(5);
      await pass(2500);
      expect(sender.attempts).toHaveLength(10);
    });
  });

  describe('failures', () => {
    it('repeats an event under the same id, and takes a later success for a success', async () => {
      sender.answer = ({ attempt }) => (attempt === 1 ? temporary() : DELIVERED);
      await serve({ delivery: { timeout: '10s', retries: 3 } });
      api.write('a');
      await pass(2000);
      expect(sender.attempts.map(({ attempt, id }) => [attempt, id])).toEqual([
        [1, sender.attempts[0]?.id],
        [2, sender.attempts[0]?.id],
      ]);
      expect(status()).toMatchObject({
        counters: { delivered: 1, retried: 1, failed: 1 },
        lastError: { reason: 'HTTP503', code: 503 },
        lastDeliveredResourceVersion: '101',
      });
      expect(status()).not.toHaveProperty('errorTime');
      expect(condition('Ready')).toBe('True Ready');
    });

    it('is tried again also when it becomes due between two looks at the clock', async () => {
      const moving = new MovingClock();
      api = new FakeApi(moving);
      engine = new Engine({ api, clock: moving });
      sender = engine.sender('notify');
      sender.answer = ({ attempt }) => (attempt < 200 ? temporary('HTTP429') : DELIVERED);
      const retryPolicy = { backoff: 'Linear', initialDelay: '10ms', maxDelay: '10ms', maxRetryAfter: '0s' } as const;
      await serve({ delivery: { timeout: '10s', retries: 300 }, retryPolicy });
      api.write('a');
      await turns();
      await moving.advance(5000);
      expect(names()).toEqual(['ADDED a']);
    });

    it('shows the error of an event until another one is delivered', async () => {
      sender.answer = ({ name }) => (name === 'bad' ? refused() : DELIVERED);
      await serve();
      api.write('bad');
      await pass(1000);
      expect(status()).toMatchObject({ errorReason: 'HTTP400', errorResourceVersion: '101' });
      expect(status().errorTime).toBe('2026-01-02T03:04:05Z');
      api.write('good');
      await pass(1000);
      expect(status()).not.toHaveProperty('errorReason');
      expect(status().lastError).toMatchObject({ reason: 'HTTP400', message: 'it is HTTP400' });
    });

    it('drops an event that is refused, says so, and goes on', async () => {
      sender.answer = ({ name }) => (name === 'bad' ? refused() : DELIVERED);
      await serve();
      for (const name of ['bad', 'good']) api.write(name);
      await pass(1000);
      expect(names()).toEqual(['ADDED good']);
      expect(status()).toMatchObject({ counters: { dropped: 1, delivered: 1, retried: 0 }, cursor: { resourceVersion: '102' } });
      expect(engine.events).toEqual([{ reason: 'Dropped', note: 'events are given up: HTTP400; see status.lastError' }]);
    });

    it('treats an object on which the filter fails as refused', async () => {
      sender.filter = () => ({ reason: 'TemplateFailed', message: 'no such key' });
      await serve();
      api.write('a');
      await pass(1000);
      expect(sender.attempts).toEqual([]);
      expect(status()).toMatchObject({ counters: { dropped: 1 }, lastError: { reason: 'TemplateFailed', message: 'no such key' } });
    });

    it('sends to the dead letter what is refused or exhausted, and tries that on and on', async () => {
      sender.answer = ({ name }) => (name === 'bad' ? refused() : name === 'ill' ? temporary('HTTP429') : DELIVERED);
      sender.answerDeadLetter = () => temporary();
      await serve({ deadLetter: { policy: 'Drop', url: 'https://dead.example' }, delivery: { timeout: '10s', retries: 2 } });
      for (const name of ['bad', 'ill', 'good']) api.write(name);
      await pass(120_000);
      expect(names()).toEqual(['ADDED good']);
      expect(sender.attempts.filter(({ name }) => name === 'ill')).toHaveLength(3);
      expect(status()).toMatchObject({ cursor: { resourceVersion: '100' }, pending: 2 });
      expect(condition('Delivering')).toBe('False HTTP503');
      sender.answerDeadLetter = () => DELIVERED;
      await pass(60_000);
      expect(sender.deadLetters.map(({ name, reason }) => [name, reason]).sort()).toEqual([
        ['bad', 'HTTP400'],
        ['ill', 'HTTP429'],
      ]);
      expect(status()).toMatchObject({ counters: { deadLettered: 2, dropped: 0 }, cursor: { resourceVersion: '103' }, pending: 0 });
      expect(condition('Delivering')).toBe('True Delivering');
    });

    it('suspends itself when asked for, keeps the cursor over a restart, and goes on under another spec', async () => {
      sender.answer = ({ name }) => (name === 'bad' ? temporary('HTTP429') : DELIVERED);
      const trigger = await serve({ deadLetter: { policy: 'Suspend' } });
      for (const name of ['good', 'bad', 'later']) api.write(name);
      await pass(60_000);
      expect(condition('Suspended')).toBe('True HTTP429');
      expect(status().cursor?.resourceVersion).toBe('101');
      expect(engine.events.map(({ reason }) => reason)).toEqual(['Suspended']);
      await engine.kill();
      const next = new Engine({ api, clock });
      await next.reconcile('notify');
      api.write('more');
      await pass(60_000);
      expect(next.sender('notify').attempts).toEqual([]);
      await next.serve({ ...changed(trigger, { method: 'PUT' }), status: status() });
      await pass(1000);
      expect(next.sender('notify').delivered.map(({ name }) => name)).toEqual(['bad', 'later', 'more']);
      expect(condition('Suspended')).toBe('False Active');
    });

    it('spares a destination that is down, and uses up no attempts for that', async () => {
      sender.answer = () => temporary('ConnectionFailed');
      await serve({ concurrency: 100, delivery: { timeout: '10s', retries: 1 }, deadLetter: { policy: 'Drop' } });
      for (let index = 0; index < 20; index++) api.write(`o-${index}`, {});
      await turns();
      // Those that were sent before it was known.
      const before = sender.attempts.length;
      await pass(1900);
      expect(sender.attempts).toHaveLength(before);
      expect(condition('Delivering')).toBe('False ConnectionFailed');
      await pass(200);
      expect(sender.attempts).toHaveLength(before + 1);
      sender.answer = () => DELIVERED;
      await pass(10_000);
      expect(condition('Delivering')).toBe('True Delivering');
      expect(status().counters).toMatchObject({ delivered: 19, dropped: 1 });
    });

    it('uses up no event for a trigger that cannot send at all, and says why', async () => {
      sender.setProblems([{ reason: 'TemplateInvalid', message: 'body.template: unclosed action' }]);
      await serve({ deadLetter: { policy: 'Drop' } });
      api.write('a');
      await pass(60_000);
      expect([sender.attempts, condition('Delivering'), condition('Ready')]).toEqual([
        [],
        'False TemplateInvalid',
        'False TemplateInvalid',
      ]);
      expect(status()).toMatchObject({ cursor: { resourceVersion: '100' }, pending: 1, phase: 'Error' });
    });

    it('shows a Secret that is missing as long as it is', async () => {
      await serve();
      sender.setProblems([{ reason: 'SecretNotReady', message: 'the Secret shop/key is missing' }]);
      await pass(1000);
      expect(condition('Delivering')).toBe('False SecretNotReady');
      sender.setProblems([]);
      await pass(1000);
      expect([condition('Delivering'), status().phase]).toEqual(['True Delivering', 'Running']);
    });
  });

  describe('a gap', () => {
    const old = { resourceVersion: '100', time: '2026-01-02T03:04:05Z' };

    it('tells what changed since, in its order, and that deletions are unknown', async () => {
      api.write('touched');
      await pass(3_600_000);
      const cursor = { resourceVersion: String(api.revision), time: new Date(clock.now()).toISOString() };
      api.write('made');
      api.write('gone');
      api.write('touched');
      api.delete('gone');
      api.compact();
      await engine.serve({ ...sampleTrigger({}), status: { cursor, observedGeneration: 1 } });
      await pass(1000);
      expect(names()).toEqual(['ADDED made', 'MODIFIED touched']);
      expect(sender.delivered.every(({ event }) => event.isAfterGap)).toBe(true);
      expect(condition('GapDetected')).toBe('True ChangesMissed');
      const { message = '' } = status().conditions?.find(({ type }) => type === 'GapDetected') ?? {};
      expect(message).toContain('from resourceVersion 101 (of 2026-01-02T04:04:05.678Z) to 105');
      expect(message).toContain('deletions in between are unknown');
      expect(engine.events.map(({ reason }) => reason)).toEqual(['GapDetected']);
      expect(await engine.registry.metrics()).toContain('harikube_trigger_resume_gap_total{namespace="shop",name="notify"} 1');
      api.write('next');
      await pass(1000);
      expect(sender.delivered.at(-1)).toMatchObject({ name: 'next', event: { isAfterGap: false } });
      expect(status().cursor?.resourceVersion).toBe('106');
    });

    it('gives each event the same id when it is interrupted and told again', async () => {
      for (const name of ['a', 'b', 'c']) api.write(name);
      api.compact();
      await pass(3_600_000);
      sender.answer = ({ name }) => (name === 'b' ? temporary('HTTP429') : DELIVERED);
      await engine.serve({ ...sampleTrigger({ concurrency: 3 }), status: { cursor: old, observedGeneration: 1 } });
      await pass(1000);
      expect(sender.delivered.map(({ name }) => name)).toEqual(['a', 'c']);
      expect(status().cursor).toEqual(old);
      await engine.kill();
      const again = new Engine({ api, clock });
      await again.reconcile('notify');
      await turns();
      const told = again.sender('notify').delivered;
      expect(told.map(({ type, name }) => `${type} ${name}`)).toEqual(['ADDED a', 'ADDED b', 'ADDED c']);
      expect(told.map(({ id }) => id)).toEqual(expect.arrayContaining(sender.delivered.map(({ id }) => id)));
    });

    describe('after a restart of the server, which tells no changes of before', () => {
      const restarted = async (spec: Partial<HTTPTrigger['spec']>, away: () => void): Promise<void> => {
        for (const name of ['a', 'b', 'c']) api.write(name, { labels: { tier: 'web' } });
        const cursor = { resourceVersion: String(api.revision), time: new Date(clock.now()).toISOString() };
        away();
        api.pass(40);
        api.forget();
        await engine.serve({ ...sampleTrigger(spec), status: { cursor, observedGeneration: 1 } });
        await pass(1000);
      };

      it.each<[string, Partial<HTTPTrigger['spec']>]>([
        ['everything', {}],
        ['what it selects', { labelSelectors: ['tier=web'] }],
        ['other objects', { labelSelectors: ['tier=db'] }],
      ])('is none when nothing happened to %s', async (_, spec) => {
        await restarted(spec, () => api.pass(3));
        expect([condition('GapDetected'), engine.events, names()]).toEqual(['undefined undefined', [], []]);
        expect([condition('Ready'), status().cursor?.resourceVersion]).toEqual(['True Ready', '146']);
        api.write('next', { labels: { tier: 'web' } });
        await pass(1000);
        expect(names()).toEqual(spec.labelSelectors?.[0] === 'tier=db' ? [] : ['ADDED next']);
      });

      it.each<[string, Partial<HTTPTrigger['spec']>, () => void]>([
        ['was deleted', {}, () => api.delete('b')],
        ['was created and deleted', {}, () => (api.write('short'), api.pass(2), api.delete('short'))],
        ['left the selection', { labelSelectors: ['tier=web'] }, () => void api.write('b', { labels: { tier: 'db' } })],
        [
          'was deleted, and another one is there',
          { labelSelectors: ['tier=web'] },
          () => (api.delete('b'), api.write('d', { labels: {} })),
        ],
        ['happened that is not known any more', {}, () => api.compact(api.revision + 1n)],
        ['happened, among too much else to look for it', {}, () => api.pass(1000)],
      ])('is told when something %s', async (_, spec, away) => {
        await restarted(spec, away);
        expect(condition('GapDetected')).toBe('True ChangesMissed');
      });

      it('is told when there are too many objects to count them again and again', async () => {
        for (let i = 0; i < 4600; i++) api.write(`object-${i}`);
        await restarted({}, () => api.pass(400));
        expect(condition('GapDetected')).toBe('True ChangesMissed');
        expect(api.listed.filter(({ resourceVersionMatch }) => resourceVersionMatch === 'Exact')).toHaveLength(1);
      });
    });

    it('is taken back by the next change of the spec', async () => {
      api.write('a');
      api.compact();
      const trigger = sampleTrigger({});
      await engine.serve({ ...trigger, status: { cursor: old, observedGeneration: 1 } });
      await pass(1000);
      expect(condition('GapDetected')).toBe('True ChangesMissed');
      await engine.serve({ ...changed(trigger, { method: 'PUT' }), status: status() });
      await pass(1000);
      expect(condition('GapDetected')).toBe('undefined undefined');
    });

    it('follows a server whose data was put back', async () => {
      const tooLarge = failure(504, 'Timeout', { message: 'Too large resource version: 5000, current: 100' });
      let isRefused = false;
      api.refuses = (asked) => {
        if (asked !== 'watch' || isRefused) return null;
        isRefused = true;
        return tooLarge;
      };
      await engine.serve({ ...sampleTrigger({}), status: { cursor: { ...old, resourceVersion: '5000' }, observedGeneration: 1 } });
      await pass(1000);
      expect([condition('GapDetected'), status().cursor?.resourceVersion]).toEqual(['True ChangesMissed', '100']);
      api.write('a');
      await pass(1000);
      expect(names()).toEqual(['ADDED a']);
    });
  });

  describe('its conditions', () => {
    it.each([
      ['Forbidden', failure(403, 'Forbidden'), {}],
      ['SelectorRefused', failure(400, 'BadRequest'), { fieldSelectors: ['spec.x=1'] }],
      ['WatchFailed', new ConnectionError('refused'), {}],
    ])('say %s, and recover', async (reason, error, spec) => {
      await serve(spec);
      api.write('before');
      await turns();
      api.refuses = (asked) => (asked === 'watch' ? error : null);
      api.endWatches();
      await pass(1000);
      expect([condition('Watching'), condition('Ready'), status().phase]).toEqual([`False ${reason}`, `False ${reason}`, 'Error']);
      api.refuses = () => null;
      await pass(30_000);
      expect([condition('Watching'), condition('Ready'), status().phase]).toEqual(['True Watching', 'True Ready', 'Running']);
      api.write('a');
      await turns();
      expect(names()).toEqual(['ADDED before', 'ADDED a']);
    });

    it('say so when the list at the start is refused', async () => {
      api.refuses = (asked) => (asked === 'list' ? failure(403, 'Forbidden') : null);
      await serve();
      await pass(1000);
      expect([condition('Watching'), status().cursor]).toEqual(['False Forbidden', undefined]);
    });

    it('say that the versions of a kind have no order', async () => {
      api.listVersion = '';
      await serve();
      await pass(1000);
      expect([condition('Watching'), api.watched]).toEqual(['False VersionsWithoutOrder', []]);
      api.listVersion = null;
      await pass(30_000);
      expect(condition('Watching')).toBe('True Watching');
    });

    it('say that the kind is gone, and notice when it is back', async () => {
      await serve();
      engine.kind = null;
      api.refuses = (asked) => (asked === 'watch' ? failure(404, 'NotFound') : null);
      api.cutWatches();
      await pass(5000);
      expect(condition('Watching')).toBe('False ResourceNotFound');
      engine.kind = { group: 'shop.example.com', version: 'v1', kind: 'Order', plural: 'orders', namespaced: true };
      api.refuses = () => null;
      api.write('a');
      await pass(5000);
      expect([condition('Watching'), names()]).toEqual(['True Watching', ['ADDED a']]);
    });

    it('refuse namespaces for a kind without', async () => {
      engine.kind = { group: '', version: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false };
      await serve({ namespaces: ['shop'] });
      await pass(1000);
      expect(condition('Watching')).toBe('False NotNamespaced');
    });

    it.each([
      [undefined, 'False NamespaceNotAllowed'],
      [['shop', 'park'], 'False NamespaceNotAllowed'],
      [['shop'], 'True Watching'],
    ])('let a trigger on %j be %s where only its own namespace is allowed', async (namespaces, expected) => {
      engine = new Engine({ api, clock, allowsOtherNamespaces: false });
      await serve({ namespaces });
      await pass(1000);
      expect(condition('Watching')).toBe(expected);
    });

    it('say that it is suspended, and nothing is watched then', async () => {
      await serve({ suspend: true });
      await pass(1000);
      expect([condition('Suspended'), condition('Ready'), status().phase]).toEqual([
        'True SuspendRequested',
        'False SuspendRequested',
        'Running',
      ]);
      expect(api.watched).toEqual([]);
    });
  });
});
