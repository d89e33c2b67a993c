import { type InformerFactory, type KubeClient, type KubeObject, type Resource, StatusError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { Controller } from './controller.js';
import { ControllerManager, LeaderLostError } from './controller-manager.js';
import type { ReconcileContext, Result } from './reconciler.js';
import { FakeInformer } from './spec/fake-informer.js';
import { recordingLogger } from './spec/recording-logger.js';
import { settled } from './spec/settled.js';

/** Caches that are filled when the spec says so. */
class FakeInformers implements Pick<InformerFactory, 'run' | 'awaitSynced' | 'isSynced'> {
  readonly #synced = Promise.withResolvers<void>();
  isSynced = false;
  isRunning = false;

  fill(): void {
    this.isSynced = true;
    this.#synced.resolve();
  }

  fail(error: Error): void {
    this.#synced.reject(error);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.isRunning = true;
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve());
    });
    this.isRunning = false;
  }

  async awaitSynced(signal: AbortSignal): Promise<void> {
    const ended = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')));
    });
    await Promise.race([this.#synced.promise, ended]);
  }
}

interface Lease extends KubeObject {
  spec?: { holderIdentity?: string };
}

/** An API server with one Lease. */
class FakeLeases {
  lease: Lease | null = null;
  isAway = false;
  #version = 0;

  async get(): Promise<Lease> {
    await this.#answer();
    if (this.lease === null) throw statusError(404, 'NotFound');
    return structuredClone(this.lease);
  }

  async create(_resource: Resource<Lease>, lease: Lease): Promise<Lease> {
    return this.#store(lease);
  }

  async update(_resource: Resource<Lease>, lease: Lease): Promise<Lease> {
    if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) throw statusError(409, 'Conflict');
    return this.#store(lease);
  }

  /** Another replica holds it. */
  take(): void {
    this.#version++;
    this.lease = {
      metadata: { name: 'pets', namespace: 'system', resourceVersion: String(this.#version) },
      spec: { ...this.lease?.spec, holderIdentity: 'another', ...{ leaseDurationSeconds: 15, renewTime: `at ${this.#version}` } },
    };
  }

  get holder(): string | undefined {
    return this.lease?.spec?.holderIdentity;
  }

  async #store(lease: Lease): Promise<Lease> {
    await this.#answer();
    this.#version++;
    this.lease = structuredClone({ ...lease, metadata: { ...lease.metadata, resourceVersion: String(this.#version) } });
    return structuredClone(this.lease);
  }

  async #answer(): Promise<void> {
    if (this.isAway) throw statusError(503, 'ServiceUnavailable');
    return Promise.resolve();
  }
}

function statusError(code: number, reason: string): StatusError {
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, code, message: reason });
}

class Scene {
  readonly clock = new FakeClock();
  readonly registry = new Registry();
  readonly informers = new FakeInformers();
  readonly informer = new FakeInformer<KubeObject>();
  readonly leases = new FakeLeases();
  readonly stop = new AbortController();
  readonly runs: {
    readonly context: ReconcileContext;
    readonly resolve: (result: Result) => void;
    readonly reject: (error: unknown) => void;
  }[] = [];
  readonly manager: ControllerManager;
  outcome: 'running' | 'ended' | Error = 'running';

  constructor({ isElected = false } = {}) {
    const { clock, registry, informers } = this;
    const { logger } = recordingLogger();
    // The elector gets, creates and updates one Lease, and that is all the fake can do.
    const client = this.leases as unknown as KubeClient;
    const leaderElection = isElected ? { client, namespace: 'system', name: 'pets' } : undefined;
    this.manager = new ControllerManager({ informers, logger, registry, clock, leaderElection });
    this.manager.add(
      new Controller({
        name: 'pets',
        reconciler: {
          reconcile: (_key, context) => {
            const { promise, resolve, reject } = Promise.withResolvers<Result>();
            this.runs.push({ context, resolve, reject });
            return promise;
          },
        },
        sources: [{ informer: this.informer }],
        logger,
        registry,
        clock,
      }),
    );
    for (const name of ['rex', 'tom']) this.informer.set({ metadata: { name } });
  }

  start(): void {
    void this.manager.run(this.stop.signal).then(
      () => (this.outcome = 'ended'),
      (error: Error) => (this.outcome = error),
    );
  }

  async startSynced(): Promise<void> {
    this.start();
    this.informers.fill();
    await settled();
  }
}

describe('ControllerManager', () => {
  it('begins no reconcile before all caches are filled', async () => {
    const scene = new Scene();
    scene.start();
    await settled();
    expect([scene.informers.isRunning, scene.informer.handlers, scene.runs]).toEqual([true, 0, []]);
    scene.informers.fill();
    await settled();
    expect(scene.runs).toHaveLength(1);
  });

  it('rejects when the caches are not filled in time, and ends them', async () => {
    const scene = new Scene();
    scene.start();
    scene.informers.fail(new Error('the caches are not filled after 120 s: pets'));
    await settled();
    expect(scene.outcome).toEqual(new Error('the caches are not filled after 120 s: pets'));
    expect([scene.informers.isRunning, scene.runs]).toEqual([false, []]);
  });

  it('is ready when the caches are filled, leader or not, and never says that it is dead', async () => {
    const scene = new Scene({ isElected: true });
    scene.leases.take();
    const [ready] = scene.manager.checks.ready();
    const { signal } = new AbortController();
    expect(ready).toMatchObject({ name: 'caches-of-pets', isCritical: true });
    expect(() => ready?.check(signal)).toThrow('the caches are not filled yet');
    await scene.startSynced();
    expect(scene.runs).toEqual([]);
    expect(() => ready?.check(signal)).not.toThrow();
    expect(scene.manager.checks.live()).toEqual([]);
  });

  it('ends when it is told to before the caches are filled', async () => {
    const scene = new Scene();
    scene.start();
    await settled();
    scene.stop.abort();
    await settled();
    expect([scene.outcome, scene.informers.isRunning, scene.runs]).toEqual(['ended', false, []]);
  });

  it('finishes what is under way when it is told to end, begins nothing more, and keeps the caches until then', async () => {
    const scene = new Scene();
    await scene.startSynced();
    scene.stop.abort();
    await scene.clock.advance(29_000);
    expect([scene.outcome, scene.informers.isRunning]).toEqual(['running', true]);
    expect(scene.runs[0]?.context.signal.aborted).toBe(false);
    scene.runs[0]?.resolve({});
    await settled();
    expect([scene.outcome, scene.informers.isRunning]).toEqual(['ended', false]);
    expect(scene.runs).toHaveLength(1);
    expect(scene.clock.timers).toEqual([]);
  });

  it('ends what takes longer than 30 seconds', async () => {
    const scene = new Scene();
    await scene.startSynced();
    scene.stop.abort();
    await scene.clock.advance(30_000);
    expect(scene.runs[0]?.context.signal.aborted).toBe(true);
    await scene.clock.advance(1000);
    await settled();
    expect(scene.outcome).toBe('ended');
  });

  it('works only while it holds the lease, and gives it back when it ends', async () => {
    const scene = new Scene({ isElected: true });
    scene.leases.take();
    await scene.startSynced();
    await scene.clock.advance(10_000);
    expect(scene.runs).toEqual([]);
    await scene.clock.advance(10_000);
    expect(scene.runs).toHaveLength(1);
    expect(scene.leases.holder).not.toBe('another');
    scene.stop.abort();
    await scene.clock.advance(20_000);
    // The lease outlives its 15 seconds as long as something is under way.
    expect([scene.outcome, scene.leases.holder]).not.toContain('');
    expect(scene.runs[0]?.context.signal.aborted).toBe(false);
    scene.runs[0]?.resolve({});
    await scene.clock.advance(0);
    await settled();
    expect([scene.outcome, scene.leases.holder]).toEqual(['ended', '']);
  });

  it('ends without the lease when it is told to while it waits for it', async () => {
    const scene = new Scene({ isElected: true });
    scene.leases.take();
    await scene.startSynced();
    scene.stop.abort();
    await settled();
    expect([scene.outcome, scene.runs, scene.leases.holder]).toEqual(['ended', [], 'another']);
  });

  it('aborts what is under way when the lease is lost, begins nothing more, and rejects', async () => {
    const scene = new Scene({ isElected: true });
    await scene.startSynced();
    expect(scene.runs).toHaveLength(1);
    scene.leases.isAway = true;
    await scene.clock.advance(10_000);
    const { signal } = scene.runs[0]?.context ?? {};
    expect(signal?.reason).toBeInstanceOf(LeaderLostError);
    scene.runs[0]?.reject(signal?.reason);
    await settled();
    expect(scene.outcome).toEqual(new LeaderLostError('the lease system/pets is lost'));
    expect([scene.runs.length, scene.informers.isRunning]).toEqual([1, false]);
  });

  it('aborts what is under way when the lease is lost while it ends', async () => {
    const scene = new Scene({ isElected: true });
    await scene.startSynced();
    scene.stop.abort();
    await settled();
    scene.leases.take();
    await scene.clock.advance(2000);
    expect(scene.runs[0]?.context.signal.reason).toBeInstanceOf(LeaderLostError);
  });

  it('rejects when the lease is lost even if a reconcile does not end', async () => {
    const scene = new Scene({ isElected: true });
    await scene.startSynced();
    scene.leases.take();
    await scene.clock.advance(10_000);
    await settled();
    expect(scene.outcome).toBeInstanceOf(LeaderLostError);
  });
});
