import { type Clock, type InformerFactory, type KubeClient, LeaderElector, systemClock } from '@harikube/kube';
import type { HealthChecks, Logger } from '@harikube/platform';
import type { Registry } from 'prom-client';
import type { ControllerSignals } from './controller.js';

/** Another one may have the lease by now: nothing more is written, and the process has to end. */
export class LeaderLostError extends Error {
  override readonly name = 'LeaderLostError';
  readonly exitCode = 1;
}

/** Of a `Controller`, what its manager needs. */
export interface Managed {
  readonly name: string;
  run(signals: ControllerSignals): Promise<void>;
}

export interface ControllerManagerOptions {
  readonly informers: Pick<InformerFactory, 'run' | 'awaitSynced' | 'isSynced'>;
  readonly logger: Logger;
  /** Of the metrics of the leader election. */
  readonly registry?: Registry;
  /** Of several replicas only the one works that holds the lease. Absent: this one works at once. */
  readonly leaderElection?: { readonly client: KubeClient; readonly namespace: string; readonly name: string };
  readonly clock?: Clock;
}

/** What is under way when the process is told to end may take so long. */
const DRAIN_MS = 30_000;

/**
 * Starts controllers in good order, and ends them so: caches, their first sync, the lease when one is asked for, then the workers; at the end the
 * workers, the lease, the caches.
 */
export class ControllerManager {
  readonly #options: ControllerManagerOptions;
  readonly #clock: Clock;
  readonly #controllers: Managed[] = [];

  constructor(options: ControllerManagerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Before `run`. */
  add(controller: Managed): void {
    this.#controllers.push(controller);
  }

  /** Ready when the caches hold everything, leader or not. A lost API server makes nothing dead: a restart would not bring it back. */
  get checks(): HealthChecks {
    const name = `caches-of-${this.#controllers.map((controller) => controller.name).join('-')}`;
    const check = (): void => {
      if (!this.#options.informers.isSynced) throw new Error('the caches are not filled yet');
    };
    return { live: () => [], ready: () => [{ name, isCritical: true, check }] };
  }

  /**
   * Resolves when the signal has aborted and all has ended, after 30 seconds at most. Rejects when the caches are not filled within two minutes, and
   * with `LeaderLostError`; nothing works then any more.
   */
  async run(signal: AbortSignal): Promise<void> {
    const caches = new AbortController();
    const running = this.#options.informers.run(caches.signal);
    try {
      const isSynced = await this.#synced(signal, running);
      if (isSynced) await this.#lead(signal);
    } finally {
      caches.abort();
      await running;
    }
  }

  /** False: the signal aborted before. */
  async #synced(signal: AbortSignal, running: Promise<void>): Promise<boolean> {
    try {
      await Promise.race([this.#options.informers.awaitSynced(signal), failureOf(running)]);
      return !signal.aborted;
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    }
  }

  async #lead(signal: AbortSignal): Promise<void> {
    const { leaderElection, logger, registry } = this.#options;
    if (leaderElection === undefined) {
      await this.#work(signal, new AbortController().signal);
      return;
    }
    // The lease is kept until the last reconcile has ended, and only then given back.
    const election = new AbortController();
    let isLeading = false;
    const giveUp = (): void => {
      if (!isLeading) election.abort();
    };
    signal.addEventListener('abort', giveUp);
    if (signal.aborted) giveUp();
    const elector = new LeaderElector({ ...leaderElection, clock: this.#clock, logger, registry });
    const outcome = await elector.run(election.signal, async (leading) => {
      isLeading = true;
      try {
        await this.#work(signal, leading);
      } finally {
        election.abort();
      }
    });
    signal.removeEventListener('abort', giveUp);
    if (outcome === 'lost') throw new LeaderLostError(`the lease ${leaderElection.namespace}/${leaderElection.name} is lost`);
  }

  /** Until `stop` aborts and what is under way has ended, or `lost` aborts. */
  async #work(stop: AbortSignal, lost: AbortSignal): Promise<void> {
    const abort = new AbortController();
    const lose = (): void => abort.abort(new LeaderLostError('the lease is lost'));
    lost.addEventListener('abort', lose);
    if (lost.aborted) lose();
    let cancel = (): void => undefined;
    const drain = (): void => {
      cancel = this.#clock.setTimeout(
        () => abort.abort(new Error(`the process ends, and ${DRAIN_MS / 1000} seconds have passed`)),
        DRAIN_MS,
      );
    };
    stop.addEventListener('abort', drain);
    if (stop.aborted) drain();
    try {
      await Promise.all(this.#controllers.map((controller) => controller.run({ stop, abort: abort.signal })));
    } finally {
      lost.removeEventListener('abort', lose);
      stop.removeEventListener('abort', drain);
      cancel();
    }
  }
}

/** Never resolves: what runs until it is told to end has nothing to say until then. */
async function failureOf(running: Promise<void>): Promise<never> {
  await running;
  return new Promise<never>(() => undefined);
}
