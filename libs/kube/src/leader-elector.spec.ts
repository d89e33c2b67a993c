import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { KubeClient } from './kube-client.js';
import type { KubeObject } from './kube-object.js';
import { LeaderElector, type LeaderElectorOptions } from './leader-elector.js';
import { ApiServerDouble, type Exchange, type LogLine, recordingLogger } from './spec/api-server-double.js';
import { FakeClock } from './spec/fake-clock.js';

interface Lease extends KubeObject {
  spec: Record<string, string | number | undefined>;
}

/** One Lease, stored as kube-apiserver does it. */
class LeaseStore {
  lease: Lease | null = null;
  /** What was accepted, in order. */
  readonly written: Lease[] = [];
  requests = 0;
  /** `down` breaks connections, `silent` never answers, `lost` does what is asked and breaks the connection then. */
  mode: 'serving' | 'down' | 'silent' | 'lost' = 'serving';
  #version = 0;

  readonly respond = (exchange: Exchange): boolean => {
    this.requests++;
    if (this.mode === 'silent') return true;
    if (this.mode === 'down') exchange.cut();
    else this.#serve(exchange);
    return true;
  };

  put(lease: Lease): Lease {
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++this.#version) } };
    this.written.push(this.lease);
    return this.lease;
  }

  #serve(exchange: Exchange): void {
    const { method, body } = exchange;
    const sent = body as Lease;
    const answer = (code: number, lease: Lease): void => (this.mode === 'lost' ? exchange.cut() : exchange.answer(code, lease));
    if (method === 'POST') {
      if (this.lease !== null) exchange.fail(409, 'AlreadyExists');
      else answer(201, this.put(sent));
    } else if (this.lease === null) exchange.fail(404, 'NotFound');
    else if (method === 'GET') answer(200, this.lease);
    else if (sent.metadata.resourceVersion !== this.lease.metadata.resourceVersion) exchange.fail(409, 'Conflict');
    else answer(200, this.put(sent));
  }
}

let server: ApiServerDouble;
let store: LeaseStore;
let kubeconfig: string;
let lines: LogLine[];
const candidates: Candidate[] = [];

/** An elector with a clock of its own, and what became of it. */
class Candidate {
  readonly clock: FakeClock;
  readonly client: KubeClient;
  readonly elector: LeaderElector;
  readonly stop = new AbortController();
  readonly result: Promise<'stopped' | 'lost'>;
  /** Of `lead`; null before. */
  signal: AbortSignal | null = null;
  ended: 'stopped' | 'lost' | Error | null = null;
  /** Ends `lead`, which otherwise goes on, whatever its signal says. */
  readonly finish = Promise.withResolvers<void>();

  constructor(identity: string, { clock = new FakeClock(), ...more }: Partial<LeaderElectorOptions> & { clock?: FakeClock } = {}) {
    this.clock = clock;
    this.client = KubeClient.fromConfig({ kubeconfig, userAgent: identity, clock });
    const { logger } = recording;
    this.elector = new LeaderElector({
      client: this.client,
      namespace: 'system',
      name: 'spec',
      identity,
      clock,
      logger,
      random: () => 0,
      ...more,
    });
    this.result = this.elector.run(this.stop.signal, (signal) => {
      this.signal = signal;
      return this.finish.promise;
    });
    this.result.then(
      (result) => (this.ended = result),
      (error: Error) => (this.ended = error),
    );
    candidates.push(this);
  }

  get isLeading(): boolean {
    return this.elector.isLeading();
  }

  /** One attempt further, in the time that this one measures. */
  async attempt(): Promise<void> {
    const { requests } = store;
    await this.clock.timerIn(2000);
    await this.clock.advance(2000);
    await until(() => store.requests > requests);
    // Until it has seen the answer.
    await this.clock.timerIn(2000);
  }
}

let recording: ReturnType<typeof recordingLogger>;

/** The answers come over a real connection. */
async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await turn();
}

beforeEach(async () => {
  server = await ApiServerDouble.start();
  store = new LeaseStore();
  server.respond = store.respond;
  kubeconfig = await server.kubeconfig();
  recording = recordingLogger();
  lines = recording.lines;
});

afterEach(async () => {
  store.mode = 'serving';
  for (const { stop, finish, clock, client, result } of candidates.splice(0)) {
    stop.abort();
    finish.resolve();
    void result.catch(() => undefined);
    await clock.advance(20_000);
    await result.catch(() => undefined);
    await client.close();
  }
  await server.close();
});

const warnings = (): unknown[] => lines.filter(({ level }) => level === 'warn').map(({ msg }) => msg);

describe('a LeaderElector', () => {
  it('creates the Lease when there is none, and renews it with its version and without reading it', async () => {
    const clock = new FakeClock(Date.parse('2026-05-06T07:08:09.123Z'));
    const one = new Candidate('one', { clock });
    await until(() => one.isLeading);
    expect(store.lease).toMatchObject({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'spec', namespace: 'system', resourceVersion: '1' },
      spec: {
        holderIdentity: 'one',
        leaseDurationSeconds: 15,
        acquireTime: '2026-05-06T07:08:09.123000Z',
        renewTime: '2026-05-06T07:08:09.123000Z',
        leaseTransitions: 0,
      },
    });
    expect(one.signal?.aborted).toBe(false);
    const { requests } = store;
    for (let renewals = 0; renewals < 20; renewals++) await one.attempt();
    expect(store.requests - requests).toBe(20);
    expect(store.lease?.spec).toMatchObject({ acquireTime: '2026-05-06T07:08:09.123000Z', renewTime: '2026-05-06T07:08:49.123000Z' });
    expect([one.isLeading, one.signal?.aborted]).toEqual([true, false]);
  });

  it('has a name of its own', async () => {
    const [one, other] = [new Candidate('x', { identity: undefined }), new Candidate('x', { identity: undefined })];
    expect(one.elector.identity).toMatch(/^.+_[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect(one.elector.identity).not.toBe(other.elector.identity);
  });

  it('leads alone, and hands over within one retry period when it stops', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    const two = new Candidate('two');
    await two.clock.timerIn(2000);
    for (let attempts = 0; attempts < 15; attempts++) {
      await one.attempt();
      await two.attempt();
      expect([one.isLeading, two.isLeading, two.signal]).toEqual([true, false, null]);
    }
    one.stop.abort(new RangeError('SIGTERM'));
    expect(one.signal?.reason).toEqual(new RangeError('SIGTERM'));
    // The lease is kept, and renewed, until the work has ended.
    await one.attempt();
    await two.attempt();
    expect([one.isLeading, two.isLeading]).toEqual([true, false]);
    one.finish.resolve();
    expect(await one.result).toBe('stopped');
    expect(store.lease?.spec).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 0 });
    await two.attempt();
    expect([one.isLeading, two.isLeading]).toEqual([false, true]);
    expect(store.lease?.spec).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
    expect(warnings()).toEqual([]);
  });

  it('takes over from one that is gone when the Lease has not changed for its duration', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    const two = new Candidate('two');
    await two.clock.timerIn(2000);
    // One is not heard of any more: its clock stands.
    for (let seconds = 2; seconds < 15; seconds += 2) {
      await two.attempt();
      expect(two.isLeading).toBe(false);
    }
    await two.attempt();
    expect(two.isLeading).toBe(true);
    expect(store.lease?.spec).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
  });

  it.each([
    ['behind', Date.parse('2020-01-01T00:00:00Z')],
    ['ahead', Date.parse('2030-01-01T00:00:00Z')],
  ])('does not care about a time of day that is years %s', async (_, now) => {
    const one = new Candidate('one', { clock: new FakeClock(now) });
    await until(() => one.isLeading);
    const two = new Candidate('two');
    await two.clock.timerIn(2000);
    for (let attempts = 0; attempts < 10; attempts++) {
      await one.attempt();
      await two.attempt();
      one.clock.setNow(now - 1e9 * attempts);
      expect([one.isLeading, two.isLeading]).toEqual([true, false]);
    }
    for (let attempts = 0; attempts < 8; attempts++) await two.attempt();
    expect(two.isLeading).toBe(true);
  });

  it('waits for the duration that the other one wrote', async () => {
    const one = new Candidate('one', { leaseDurationMs: 60_000 });
    await until(() => one.isLeading);
    const two = new Candidate('two');
    await two.clock.timerIn(2000);
    for (let seconds = 2; seconds < 60; seconds += 2) {
      await two.attempt();
      expect(two.isLeading).toBe(false);
    }
    await two.attempt();
    expect(two.isLeading).toBe(true);
  });

  it('leaves the rest of the Lease as it is', async () => {
    const metadata = { name: 'spec', namespace: 'system', labels: { team: 'red' } };
    store.put({ metadata, spec: { holderIdentity: '', leaseTransitions: 7, strategy: 'OldestEmulationVersion' } });
    const one = new Candidate('one');
    await until(() => one.isLeading);
    expect(store.lease).toMatchObject({
      metadata: { labels: { team: 'red' } },
      spec: { leaseTransitions: 8, strategy: 'OldestEmulationVersion' },
    });
  });

  it('reads again when somebody else has written, and keeps what it holds', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    if (store.lease !== null) store.put({ ...store.lease, metadata: { ...store.lease.metadata, annotations: { seen: 'yes' } } });
    await one.attempt();
    await until(() => store.lease?.metadata.resourceVersion === '3');
    expect(store.lease).toMatchObject({ metadata: { annotations: { seen: 'yes' } }, spec: { holderIdentity: 'one', leaseTransitions: 0 } });
    expect([one.isLeading, warnings()]).toEqual([true, []]);
  });

  it('of two that see a free Lease at once, one leads', async () => {
    const all = Array.from({ length: 5 }, (_, index) => new Candidate(`candidate-${index}`));
    for (let attempts = 0; attempts < 3; attempts++) {
      await Promise.all(all.map(({ clock }) => clock.timerIn(2000)));
      expect(all.filter(({ isLeading }) => isLeading).length).toBe(1);
      await Promise.all(all.map(({ clock }) => clock.advance(2000)));
    }
    expect(all.filter(({ signal }) => signal !== null).length).toBe(1);
  });

  it('does not lead when it is told to stop before', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    const two = new Candidate('two');
    await two.clock.timerIn(2000);
    two.stop.abort();
    expect(await two.result).toBe('stopped');
    expect([two.signal, two.clock.timers]).toEqual([null, []]);
  });
});

describe('a LeaderElector that is told to stop', () => {
  it('waits for no answer to a read', async () => {
    store.mode = 'silent';
    const one = new Candidate('one');
    await until(() => store.requests === 1);
    one.stop.abort();
    expect(await one.result).toBe('stopped');
    expect([one.clock.timers, warnings()]).toEqual([[], []]);
  });

  it('gives back what it gets then, and does not lead', async () => {
    const held: Exchange[] = [];
    server.respond = (exchange) => (exchange.method === 'POST' ? held.push(exchange) > 0 : store.respond(exchange));
    const one = new Candidate('one');
    await until(() => held.length === 1);
    one.stop.abort();
    held.forEach((exchange) => store.respond(exchange));
    expect(await one.result).toBe('stopped');
    expect([one.signal, store.written.map(({ spec }) => spec['holderIdentity'])]).toEqual([null, ['one', '']]);
    expect(one.clock.timers).toEqual([]);
  });
});

describe('the lead of a LeaderElector', () => {
  it('that ends by itself gives the lease back', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    one.finish.resolve();
    expect(await one.result).toBe('stopped');
    expect(store.lease?.spec['holderIdentity']).toBe('');
    expect(one.clock.timers).toEqual([]);
  });

  it('that fails gives the lease back, and the failure to whoever started it', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    one.finish.reject(new RangeError('no disk'));
    await expect(one.result).rejects.toThrow(new RangeError('no disk'));
    expect(store.lease?.spec['holderIdentity']).toBe('');
  });

  it('that ends with the reason of its signal has stopped', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    const reason = new RangeError('SIGTERM');
    one.stop.abort(reason);
    one.finish.reject(reason);
    expect(await one.result).toBe('stopped');
  });

  it.each(['down', 'silent'] as const)('is ended when the lease cannot be renewed for 10 s: the server is %s', async (mode) => {
    const registry = new Registry();
    const gauge = async (): Promise<unknown> => (await registry.getSingleMetric('leader_election_master_status')?.get())?.values;
    const one = new Candidate('one', { registry });
    await until(() => one.isLeading);
    expect(await gauge()).toEqual([{ value: 1, labels: { name: 'spec' } }]);
    await one.attempt();
    store.mode = mode;
    await one.clock.advance(9999);
    expect([one.isLeading, one.signal?.aborted]).toEqual([true, false]);
    await one.clock.advance(1);
    expect([one.signal?.aborted, one.isLeading]).toEqual([true, false]);
    expect(one.signal?.reason).toMatchObject({
      name: 'LeaseLostError',
      message: 'the lease system/spec is lost: it was not renewed in time',
    });
    expect(await gauge()).toEqual([{ value: 0, labels: { name: 'spec' } }]);
    // The work does not end; nobody waits for it longer than until another one may lead.
    await one.clock.timerIn(5000);
    expect(one.ended).toBeNull();
    await one.clock.advance(5000);
    expect(await one.result).toBe('lost');
    expect(warnings().at(-1)).toBe('the lease is lost');
    // What is lost is not given back: it may be another one's.
    expect(store.lease?.spec['holderIdentity']).toBe('one');
  });

  it('is lost as soon as it has ended', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    store.mode = 'down';
    await one.clock.advance(10_000);
    one.finish.reject(new Error('cut off'));
    expect(await one.result).toBe('lost');
    expect(one.clock.timers).toEqual([]);
  });

  it('is kept over a shorter outage, with one warning', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    store.mode = 'down';
    for (let attempts = 0; attempts < 3; attempts++) await one.attempt();
    store.mode = 'serving';
    await one.clock.advance(2000);
    // Renewed: it would be lost in 10 s again.
    await one.clock.timerIn(10_000);
    for (let attempts = 0; attempts < 10; attempts++) await one.attempt();
    expect([one.isLeading, one.signal?.aborted]).toEqual([true, false]);
    expect(warnings()).toEqual(['cannot acquire or renew the lease; trying again']);
  });

  it('is kept when the answer to a renewal is lost', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    store.mode = 'lost';
    await one.attempt();
    store.mode = 'serving';
    for (let attempts = 0; attempts < 10; attempts++) await one.attempt();
    expect([one.isLeading, store.lease?.spec['leaseTransitions']]).toEqual([true, 0]);
  });

  it('is ended at once when another one holds the lease', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    if (store.lease !== null) store.put({ ...store.lease, spec: { ...store.lease.spec, holderIdentity: 'thief', renewTime: 'whenever' } });
    await one.clock.timerIn(2000);
    await one.clock.advance(2000);
    await until(() => one.signal?.aborted === true);
    expect(one.signal?.reason).toMatchObject({ message: 'the lease system/spec is lost: another one holds it' });
    one.finish.resolve();
    expect(await one.result).toBe('lost');
  });

  it('is over for a process that was stopped, before it does anything else', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    await one.attempt();
    const two = new Candidate('two');
    await two.clock.timerIn(2000);
    one.clock.stop(60_000);
    for (let attempts = 0; attempts < 8; attempts++) await two.attempt();
    expect(two.isLeading).toBe(true);
    const { length } = store.written;
    // No timer has run since: the clock alone says so.
    expect(one.isLeading).toBe(false);
    expect(one.signal?.aborted).toBe(true);
    one.finish.resolve();
    await one.clock.advance(0);
    expect(await one.result).toBe('lost');
    expect(store.written.length).toBe(length);
    expect(store.lease?.spec['holderIdentity']).toBe('two');
  });

  it('is over for a process that was stopped even when nobody asks and nobody took over', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    await one.clock.timerIn(2000);
    one.clock.stop(10_000);
    const { length } = store.written;
    await one.clock.advance(0);
    expect(one.signal?.aborted).toBe(true);
    one.finish.resolve();
    expect(await one.result).toBe('lost');
    expect(store.written.length).toBe(length);
  });

  it('is counted from the moment at which a renewal was sent', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    const requests: Exchange[] = [];
    server.respond = (exchange) => requests.push(exchange) > 0;
    await one.clock.timerIn(2000);
    await one.clock.advance(2000);
    await until(() => requests.length === 1);
    await one.clock.advance(7000);
    server.respond = store.respond;
    requests.forEach((exchange) => store.respond(exchange));
    await until(() => store.written.length === 2);
    await one.clock.timerIn(2000);
    // Sent 7 s ago.
    expect(one.clock.timers).toContain(3000);
    server.respond = () => true;
    await one.clock.advance(3000);
    expect(one.signal?.aborted).toBe(true);
  });

  it('cannot be released when the server is down, which only takes the next one longer', async () => {
    const one = new Candidate('one');
    await until(() => one.isLeading);
    store.mode = 'down';
    one.finish.resolve();
    expect(await one.result).toBe('stopped');
    expect(warnings()).toEqual(['cannot release the lease']);
  });
});

describe('the times of a LeaderElector', () => {
  it('leave time to renew, and to end before another one begins', () => {
    const make = (more: Omit<Partial<LeaderElectorOptions>, 'clock'>) => (): unknown => new Candidate('one', more);
    expect(make({ leaseDurationMs: 10_000 })).toThrow('a lease of 10000 ms must be longer than the 10000 ms to renew it in');
    expect(make({ renewDeadlineMs: 2400 })).toThrow('and those than 1.2 times 2000 ms');
  });

  it('of a candidate are spread over 2 s to 2.4 s', async () => {
    store.put({ metadata: { name: 'spec', namespace: 'system' }, spec: { holderIdentity: 'other', leaseDurationSeconds: 15 } });
    const one = new Candidate('one', { random: () => 0.5 });
    await one.clock.timerIn(2200);
    expect(one.isLeading).toBe(false);
  });
});
