import { type KubeObject, StatusError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { Controller } from './controller.js';
import type { Key } from './key.js';
import { type ReconcileContext, type Result, TerminalError } from './reconciler.js';
import { FakeInformer } from './spec/fake-informer.js';
import { recordingLogger } from './spec/recording-logger.js';
import { settled } from './spec/settled.js';

interface Pet extends KubeObject {
  spec: { owner: string };
}

function pet(name: string, owner = 'ada', namespace?: string): Pet {
  return { metadata: { name, namespace }, spec: { owner } };
}

/** A run that a spec ends as it likes. */
interface Run {
  readonly key: Key;
  readonly context: ReconcileContext;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

class Scene {
  readonly clock = new FakeClock();
  readonly registry = new Registry();
  readonly informer = new FakeInformer<Pet>();
  readonly runs: Run[] = [];
  readonly stop = new AbortController();
  readonly abort = new AbortController();
  readonly log = recordingLogger();
  isEnded = false;

  start(concurrency = 1): void {
    const controller = new Controller({
      name: 'pets',
      reconciler: {
        reconcile: (key, context) => {
          const { promise, resolve, reject } = Promise.withResolvers<Result>();
          this.runs.push({ key, context, resolve, reject });
          return promise;
        },
      },
      sources: [{ informer: this.informer }],
      concurrency,
      logger: this.log.logger,
      registry: this.registry,
      clock: this.clock,
      reconcileTimeoutMs: 60_000,
    });
    void controller.run({ stop: this.stop.signal, abort: this.abort.signal }).then(() => (this.isEnded = true));
  }

  get names(): string[] {
    return this.runs.map(({ key }) => key.name);
  }

  /** Ends the latest run. */
  async end(how: { result: Result } | { error: unknown }): Promise<void> {
    const run = this.runs.at(-1);
    if (run === undefined) throw new Error('nothing runs');
    if ('result' in how) run.resolve(how.result);
    else run.reject(how.error);
    await settled();
  }

  async metric(line: string): Promise<number> {
    const text = await this.registry.metrics();
    const found = text.split('\n').find((one) => one.startsWith(`${line} `));
    if (found === undefined) throw new Error(`no ${line} in ${text}`);
    return Number(found.slice(line.length + 1));
  }

  outcomes(result: string): Promise<number> {
    return this.metric(`controller_runtime_reconcile_total{controller="pets",result="${result}"}`);
  }
}

describe('Controller', () => {
  it('works on what is there and on what comes, changes and goes', async () => {
    const scene = new Scene();
    scene.informer.set(pet('rex'));
    scene.start();
    await settled();
    expect(scene.runs.map(({ key }) => key)).toEqual([{ name: 'rex' }]);
    await scene.end({ result: {} });
    scene.informer.set(pet('tom', 'ada', 'home'));
    await settled();
    expect(scene.runs.at(-1)?.key).toEqual({ name: 'tom', namespace: 'home' });
    await scene.end({ result: {} });
    scene.informer.set(pet('rex', 'bob'));
    await settled();
    await scene.end({ result: {} });
    scene.informer.delete(pet('rex', 'bob'));
    await settled();
    expect(scene.names).toEqual(['rex', 'tom', 'rex', 'rex']);
  });

  it('asks the map of both states of a change, for each source with the type of its objects', async () => {
    const { clock, registry, log, stop, abort } = new Scene();
    const pets = new FakeInformer<Pet>();
    const plain = new FakeInformer<KubeObject>();
    const seen: string[] = [];
    const controller = new Controller({
      name: 'owners',
      reconciler: {
        reconcile: ({ name }) => {
          seen.push(name);
          return Promise.resolve({});
        },
      },
      sources: [
        { informer: plain },
        { informer: pets, mapTo: ({ spec }) => [{ name: spec.owner }] },
        { informer: plain, mapTo: ({ metadata }) => (metadata.labels === undefined ? [] : [{ name: 'labelled' }]) },
      ],
      logger: log.logger,
      registry,
      clock,
    });
    void controller.run({ stop: stop.signal, abort: abort.signal });
    pets.set(pet('rex', 'ada'));
    await settled();
    pets.set(pet('rex', 'bob'));
    plain.set({ metadata: { name: 'thing' } });
    plain.set({ metadata: { name: 'other', labels: {} } });
    await settled();
    expect(seen).toEqual(['ada', 'ada', 'bob', 'thing', 'other', 'labelled']);
  });

  it('never works twice on one object at once, and once more when it changed meanwhile', async () => {
    const scene = new Scene();
    scene.start(4);
    scene.informer.set(pet('rex'));
    await settled();
    for (const owner of ['bob', 'cid', 'dan']) scene.informer.set(pet('rex', owner));
    await settled();
    expect(scene.names).toEqual(['rex']);
    await scene.end({ result: {} });
    expect(scene.names).toEqual(['rex', 'rex']);
    await scene.end({ result: {} });
    expect(scene.names).toEqual(['rex', 'rex']);
  });

  it('takes a change for one reason to work, although both states name the object', async () => {
    const scene = new Scene();
    scene.informer.set(pet('rex'));
    scene.start();
    await settled();
    await scene.end({ result: {} });
    scene.informer.set(pet('rex', 'bob'));
    await settled();
    await scene.end({ result: {} });
    expect(scene.runs).toHaveLength(2);
  });

  it('works on as many objects at once as it is told', async () => {
    const scene = new Scene();
    scene.start(2);
    for (const name of ['a', 'b', 'c']) scene.informer.set(pet(name));
    await settled();
    expect(scene.names).toEqual(['a', 'b']);
    expect(await scene.metric('controller_runtime_active_workers{controller="pets"}')).toBe(2);
    expect(await scene.metric('workqueue_depth{name="pets",controller="pets"}')).toBe(1);
    scene.clock.stop(3000);
    expect(await scene.metric('workqueue_unfinished_work_seconds{name="pets",controller="pets"}')).toBe(6);
    expect(await scene.metric('workqueue_longest_running_processor_seconds{name="pets",controller="pets"}')).toBe(3);
  });

  it('tries again after a failure, later each time, and begins anew after a success', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex', 'ada', 'home'));
    await settled();
    for (const wait of [5, 10, 20, 40]) {
      await scene.end({ error: new Error('no luck') });
      const runs = scene.runs.length;
      await scene.clock.advance(wait - 1);
      expect(scene.runs).toHaveLength(runs);
      await scene.clock.advance(1);
      expect(scene.runs).toHaveLength(runs + 1);
    }
    await scene.end({ result: {} });
    scene.informer.set(pet('rex', 'bob', 'home'));
    await settled();
    await scene.end({ error: new Error('no luck') });
    expect(scene.clock.timers).toEqual([5]);
    expect(await scene.outcomes('error')).toBe(5);
    expect(await scene.outcomes('success')).toBe(1);
    expect(await scene.metric('controller_runtime_reconcile_errors_total{controller="pets"}')).toBe(5);
    expect(await scene.metric('workqueue_retries_total{name="pets",controller="pets"}')).toBe(5);
  });

  it('logs a failure once, with the controller, the object and the run', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex', 'ada', 'home'));
    await settled();
    scene.runs[0]?.context.logger.info('looking');
    await scene.end({ error: new Error('no luck') });
    const [told, failed] = scene.log.lines;
    expect(scene.log.lines).toHaveLength(2);
    expect(failed).toMatchObject({
      level: 'warn',
      controller: 'pets',
      namespace: 'home',
      name: 'rex',
      failures: 1,
      err: { message: 'no luck' },
    });
    expect(failed?.['reconcileID']).toMatch(/^[0-9a-f-]{36}$/);
    expect(told?.['reconcileID']).toBe(failed?.['reconcileID']);
  });

  it('comes again when a reconcile asks for it, which ends a row of failures', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    await settled();
    await scene.end({ error: new Error('no luck') });
    await scene.clock.advance(5);
    await scene.end({ result: { requeueAfterMs: 30_000 } });
    expect(scene.clock.timers).toEqual([30_000]);
    await scene.clock.advance(30_000);
    expect(scene.runs).toHaveLength(3);
    await scene.end({ error: new Error('no luck') });
    expect(scene.clock.timers).toEqual([5]);
    expect(await scene.outcomes('requeue_after')).toBe(1);
  });

  it('comes again under the rate limit when a reconcile asks for it at once', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    await settled();
    await scene.end({ result: { requeueAfterMs: 0 } });
    await scene.clock.advance(5);
    await scene.end({ result: { requeueAfterMs: 0 } });
    expect(scene.clock.timers).toEqual([10]);
    expect(await scene.outcomes('requeue')).toBe(2);
  });

  it('does not try again after a terminal error, until the object changes', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    await settled();
    await scene.end({ error: new TerminalError('nothing helps') });
    await scene.clock.advance(10_000_000);
    expect(scene.runs).toHaveLength(1);
    expect(await scene.metric('controller_runtime_terminal_reconcile_errors_total{controller="pets"}')).toBe(1);
    expect(await scene.metric('controller_runtime_reconcile_errors_total{controller="pets"}')).toBe(1);
    expect(await scene.outcomes('error')).toBe(1);
    expect(scene.log.lines.map(({ level }) => level)).toEqual(['error']);
    scene.informer.set(pet('rex', 'bob'));
    await settled();
    expect(scene.runs).toHaveLength(2);
  });

  it('takes a conflict for no failure: it comes again, and only debug tells', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    await settled();
    const status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      reason: 'Conflict',
      code: 409,
      message: 'changed',
    } as const;
    await scene.end({ error: new StatusError(status) });
    await scene.clock.advance(5);
    expect(scene.runs).toHaveLength(2);
    expect(await scene.outcomes('requeue')).toBe(1);
    expect(await scene.outcomes('error')).toBe(0);
    expect(scene.log.lines.map(({ level, err }) => [level, err])).toEqual([['debug', undefined]]);
  });

  it.each([
    ['a text', 'oops'],
    ['nothing', undefined],
    ['a TypeError', new TypeError('x is undefined')],
  ])('counts %s that is thrown as a fault and tries again', async (_what, thrown) => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    await settled();
    await scene.end({ error: thrown });
    await scene.clock.advance(5);
    expect(scene.runs).toHaveLength(2);
    expect(await scene.metric('controller_runtime_reconcile_panics_total{controller="pets"}')).toBe(1);
    expect(await scene.outcomes('error')).toBe(1);
    expect(scene.log.lines.map(({ level }) => level)).toEqual(['error']);
  });

  it('survives a reconciler that throws before it returns a promise', async () => {
    const { clock, registry, log, stop, abort, informer } = new Scene();
    let runs = 0;
    const reconcile = (): Promise<Result> => {
      runs++;
      throw new Error('at once');
    };
    const controller = new Controller({
      name: 'pets',
      reconciler: { reconcile },
      sources: [{ informer }],
      logger: log.logger,
      registry,
      clock,
    });
    void controller.run({ stop: stop.signal, abort: abort.signal });
    informer.set(pet('rex'));
    await settled();
    await clock.advance(5);
    expect(runs).toBe(2);
  });

  it('aborts the signal of a reconcile that takes too long, and counts it', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    await settled();
    const signal = scene.runs[0]?.context.signal;
    await scene.clock.advance(59_999);
    expect(signal?.aborted).toBe(false);
    await scene.clock.advance(1);
    expect(signal?.reason).toEqual(new Error('it took longer than 60 seconds'));
    await scene.end({ error: signal?.reason });
    expect(await scene.metric('controller_runtime_reconcile_timeouts_total{controller="pets"}')).toBe(1);
    expect(await scene.outcomes('error')).toBe(1);
    await scene.clock.advance(5);
    expect(scene.runs).toHaveLength(2);
    expect(scene.runs[1]?.context.signal.aborted).toBe(false);
  });

  it('waits at its end for what is under way, and begins nothing more', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    scene.informer.set(pet('tom'));
    await settled();
    scene.stop.abort();
    await settled();
    expect([scene.isEnded, scene.names, scene.informer.handlers]).toEqual([false, ['rex'], 0]);
    expect(scene.runs[0]?.context.signal.aborted).toBe(false);
    await scene.end({ error: new Error('no luck') });
    await scene.clock.advance(100_000);
    expect([scene.isEnded, scene.names]).toEqual([true, ['rex']]);
  });

  it('tells what is under way to end when it must not go on, and takes that for no failure', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    scene.informer.set(pet('tom'));
    await settled();
    scene.abort.abort(new Error('the lease is lost'));
    const { signal } = scene.runs[0]?.context ?? {};
    expect(signal?.reason).toEqual(new Error('the lease is lost'));
    await scene.end({ error: signal?.reason });
    expect([scene.isEnded, scene.names]).toEqual([true, ['rex']]);
    expect(await scene.outcomes('error')).toBe(0);
    await scene.clock.advance(10_000);
    expect(scene.log.lines.map(({ level }) => level)).toEqual(['debug']);
    expect(scene.clock.timers).toEqual([]);
  });

  it('leaves behind after a second what does not end although it was told to', async () => {
    const scene = new Scene();
    scene.start();
    scene.informer.set(pet('rex'));
    await settled();
    scene.abort.abort();
    await settled();
    await scene.clock.advance(999);
    expect(scene.isEnded).toBe(false);
    await scene.clock.advance(1);
    await settled();
    expect(scene.isEnded).toBe(true);
    expect(scene.log.lines.map(({ level }) => level)).toEqual(['warn']);
  });

  it('does nothing when it is stopped before it starts', async () => {
    const scene = new Scene();
    scene.informer.set(pet('rex'));
    scene.stop.abort();
    scene.start();
    await settled();
    expect([scene.isEnded, scene.runs]).toEqual([true, []]);
  });

  it('shares a page of metrics with other controllers', async () => {
    const scene = new Scene();
    scene.start(3);
    const { clock, registry, log, stop, abort } = scene;
    const reconciler = { reconcile: () => Promise.resolve({}) };
    const other = new Controller({ name: 'other', reconciler, sources: [], logger: log.logger, registry, clock });
    void other.run({ stop: stop.signal, abort: abort.signal });
    expect(await scene.metric('controller_runtime_max_concurrent_reconciles{controller="pets"}')).toBe(3);
    expect(await scene.metric('controller_runtime_max_concurrent_reconciles{controller="other"}')).toBe(1);
    expect(await scene.metric('controller_runtime_reconcile_time_seconds_count{controller="other"}')).toBe(0);
    expect(await scene.metric('workqueue_adds_total{name="other",controller="other"}')).toBe(0);
  });
});
