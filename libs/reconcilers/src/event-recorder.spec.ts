import { ConnectionError, type KubeObject, type Resource, StatusError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { describe, expect, it } from '@jest/globals';
import { EventRecorder } from './event-recorder.js';
import { recordingLogger } from './spec/recording-logger.js';
import { settled } from './spec/settled.js';

const USER: KubeObject = {
  apiVersion: 'example.org/v1',
  kind: 'User',
  metadata: { name: 'ada', namespace: 'home', uid: 'u1', resourceVersion: '7' },
};

interface StoredEvent extends KubeObject {
  note?: string;
  type?: string;
  reason?: string;
  action?: string;
  eventTime?: string;
  regarding?: object;
  reportingController?: string;
  reportingInstance?: string;
  series?: { count?: number; lastObservedTime?: string };
}

/** The events of an API server. */
class FakeEvents {
  readonly stored = new Map<string, StoredEvent>();
  /** What goes wrong with the next requests, one after another. */
  readonly failures: Error[] = [];
  requests = 0;
  /** Requests wait until it resolves. */
  gate: Promise<void> = Promise.resolve();

  get all(): StoredEvent[] {
    return [...this.stored.values()];
  }

  async create<T extends KubeObject>(_resource: Resource<T>, object: T): Promise<T> {
    await this.#answer();
    const { name = '' } = object.metadata;
    if (this.stored.has(name)) throw failure(409, 'AlreadyExists');
    this.stored.set(name, structuredClone(object));
    return object;
  }

  async patch<T extends KubeObject>(_resource: Resource<T>, name: string, _namespace: string | undefined, patch: object): Promise<T> {
    await this.#answer();
    const stored = this.stored.get(name);
    if (stored === undefined) throw failure(404, 'NotFound');
    return Object.assign(stored, structuredClone(patch)) as unknown as T;
  }

  async #answer(): Promise<void> {
    this.requests++;
    await this.gate;
    const error = this.failures.shift();
    if (error !== undefined) throw error;
  }
}

function failure(code: number, reason: string, cause?: string): StatusError {
  const details = cause === undefined ? {} : { causes: [{ reason: cause }] };
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, code, message: reason, details });
}

class Scene {
  readonly clock = new FakeClock();
  readonly events = new FakeEvents();
  readonly log = recordingLogger();
  readonly recorder = new EventRecorder({
    client: this.events,
    reportingController: 'example.org/user-controller',
    logger: this.log.logger,
    clock: this.clock,
  });

  get levels(): unknown[] {
    return this.log.lines.map(({ level }) => level);
  }
}

describe('EventRecorder', () => {
  it('writes an event beside its object', async () => {
    const { recorder, events } = new Scene();
    recorder.normal(USER, 'Ready', 'Reconcile', 'all is there');
    recorder.warning(USER, 'Conflict', 'Reconcile', 'something is in the way');
    await settled();
    const [first, second] = events.all;
    expect(first).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: 'home' },
      eventTime: '2026-01-02T03:04:05.678000Z',
      type: 'Normal',
      reason: 'Ready',
      action: 'Reconcile',
      note: 'all is there',
      regarding: { apiVersion: 'example.org/v1', kind: 'User', name: 'ada', namespace: 'home', uid: 'u1', resourceVersion: '7' },
      reportingController: 'example.org/user-controller',
    });
    expect(first?.metadata.name).toMatch(/^ada\.[0-9a-f]{19}$/);
    expect(first?.series).toBeUndefined();
    expect(second).toMatchObject({ type: 'Warning', reason: 'Conflict' });
  });

  it('writes events of what has no namespace to default', async () => {
    const { recorder, events } = new Scene();
    recorder.normal({ kind: 'Tenant', metadata: { name: 'acme', uid: 'u2' } }, 'Ready', 'Reconcile', '');
    await settled();
    expect(events.all[0]?.metadata.namespace).toBe('default');
  });

  it('keeps within what an event may hold', async () => {
    const { recorder, events } = new Scene();
    const name = `System:Roles/${'x'.repeat(300)}`;
    recorder.normal({ metadata: { name } }, 'R'.repeat(200), 'A'.repeat(200), `a${'é'.repeat(600)}`);
    recorder.normal({ metadata: { name: ':::' } }, 'Ready', 'Reconcile', 'short');
    await settled();
    const [long, odd] = events.all;
    expect(long?.metadata.name).toMatch(/^system-roles-x+\.[0-9a-f]{19}$/);
    expect(long?.metadata.name).toHaveLength(253);
    expect(odd?.metadata.name).toMatch(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);
    expect([long?.reason?.length, long?.action?.length]).toEqual([128, 128]);
    expect(long?.note).toBe(`a${'é'.repeat(511)}`);
    expect(long?.reportingInstance?.length).toBeLessThanOrEqual(128);
  });

  it('counts repetitions on the first event, and writes the count at once and then once a minute', async () => {
    const { recorder, events, clock } = new Scene();
    const repeat = async (): Promise<void> => {
      recorder.warning(USER, 'Conflict', 'Reconcile', 'in the way');
      await settled();
    };
    await repeat();
    await clock.advance(1000);
    await repeat();
    expect(events.all).toHaveLength(1);
    expect(events.all[0]?.series).toEqual({ count: 2, lastObservedTime: '2026-01-02T03:04:06.678000Z' });
    for (let times = 0; times < 100; times++) await repeat();
    expect([events.requests, events.all[0]?.series?.count]).toEqual([2, 2]);
    await clock.advance(60_000);
    expect([events.requests, events.all[0]?.series?.count]).toEqual([3, 102]);
    await clock.advance(60_000);
    expect(events.requests).toBe(3);
  });

  it('takes for news what differs in a word, and what comes after six quiet minutes', async () => {
    const { recorder, events, clock } = new Scene();
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    recorder.normal(USER, 'Ready', 'Reconcile', 'two');
    recorder.normal({ ...USER, metadata: { ...USER.metadata, uid: 'u9' } }, 'Ready', 'Reconcile', 'one');
    await settled();
    expect(events.all).toHaveLength(3);
    await clock.advance(6 * 60_000);
    expect(clock.timers).toEqual([]);
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await settled();
    expect(events.all).toHaveLength(4);
  });

  it('creates a series anew whose first event is gone', async () => {
    const { recorder, events } = new Scene();
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await settled();
    events.stored.clear();
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await settled();
    expect(events.all).toHaveLength(1);
    expect(events.all[0]).toMatchObject({ note: 'one', series: { count: 2 } });
  });

  it.each([
    ['there is no answer', new ConnectionError('refused')],
    ['the server is in trouble', failure(503, 'ServiceUnavailable')],
    ['the server is busy', failure(429, 'TooManyRequests')],
  ])('tries again when %s', async (_what, error) => {
    const { recorder, events, clock } = new Scene();
    events.failures.push(error, error, error, error);
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await settled();
    for (const wait of [1000, 2000, 4000, 8000]) {
      expect(clock.timers).toContain(wait);
      await clock.advance(wait);
    }
    expect(events.all).toHaveLength(1);
    expect(recorder.dropped).toBe(0);
  });

  it('takes for done what an earlier try has created after all', async () => {
    const { recorder, events, levels } = new Scene();
    events.failures.push(failure(409, 'AlreadyExists'));
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await settled();
    expect([events.requests, recorder.dropped, levels]).toEqual([1, 0, []]);
  });

  it('gives up after five tries, and logs only the first that is dropped', async () => {
    const scene = new Scene();
    const { recorder, events, clock } = scene;
    events.failures.push(...Array.from({ length: 10 }, () => new ConnectionError('refused')));
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    recorder.normal(USER, 'Ready', 'Reconcile', 'two');
    recorder.normal(USER, 'Ready', 'Reconcile', 'three');
    await settled();
    for (let tries = 0; tries < 10; tries++) await clock.advance(8000);
    expect(recorder.dropped).toBe(2);
    expect(scene.levels).toEqual(['warn']);
    expect(events.all.map(({ note }) => note)).toEqual(['three']);
  });

  it('does not try again what is refused', async () => {
    const scene = new Scene();
    const { recorder, events } = scene;
    events.failures.push(failure(403, 'Forbidden'));
    recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await settled();
    expect([events.requests, recorder.dropped, scene.levels]).toEqual([1, 1, ['warn']]);
  });

  it.each([
    ['ends', failure(403, 'Forbidden', 'NamespaceTerminating')],
    ['is gone', failure(404, 'NotFound')],
  ])('passes over without a word what belongs to a namespace that %s', async (_what, error) => {
    const scene = new Scene();
    scene.events.failures.push(error);
    scene.recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await settled();
    expect([scene.events.requests, scene.recorder.dropped, scene.levels]).toEqual([1, 0, ['debug']]);
  });

  it('holds a thousand events and drops what is more', async () => {
    const scene = new Scene();
    const { recorder, events } = scene;
    const { promise, resolve } = Promise.withResolvers<void>();
    events.gate = promise;
    for (let count = 0; count < 1010; count++) recorder.normal(USER, 'Ready', 'Reconcile', `note ${count}`);
    // One is on its way, and a thousand wait.
    expect(recorder.dropped).toBe(9);
    expect(scene.levels).toEqual(['warn']);
    resolve();
    await settled();
    expect(events.all).toHaveLength(1001);
  });

  it('writes what waits when it is closed, counts too, and then nothing more', async () => {
    const { recorder, events, clock } = new Scene();
    for (let times = 0; times < 5; times++) recorder.normal(USER, 'Ready', 'Reconcile', 'one');
    await recorder.close();
    expect(events.all[0]?.series?.count).toBe(5);
    recorder.normal(USER, 'Ready', 'Reconcile', 'two');
    await recorder.close();
    expect(events.all).toHaveLength(1);
    expect(clock.timers).toEqual([]);
  });

  it('does not wait long for an API server that is away when it is closed', async () => {
    const { recorder, events, clock } = new Scene();
    events.failures.push(...Array.from({ length: 20 }, () => new ConnectionError('refused')));
    for (const note of ['one', 'two', 'three']) recorder.normal(USER, 'Ready', 'Reconcile', note);
    await settled();
    let isClosed = false;
    void recorder.close().then(() => (isClosed = true));
    await clock.advance(4999);
    expect(isClosed).toBe(false);
    await clock.advance(1);
    expect([isClosed, recorder.dropped]).toEqual([true, 3]);
  });
});
