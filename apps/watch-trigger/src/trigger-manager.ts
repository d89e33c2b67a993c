import { HTTP_TRIGGERS, type HTTPTrigger } from '@harikube/crds';
import { type Clock, ifFound, type Informer, type KubeClient, type ResourceDiscovery } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import type { EventRecorder, Key, ReconcileContext, Reconciler, Result } from '@harikube/reconcilers';
import type { SharedWatches } from './shared-watch.js';
import type { StatusWriter } from './status-writer.js';
import type { TriggerMetrics } from './trigger-metrics.js';
import { TriggerRecord } from './trigger-record.js';
import { type Sender, TriggerRunner } from './trigger-runner.js';

export interface TriggerManagerOptions {
  readonly triggers: Pick<Informer<HTTPTrigger>, 'get'>;
  readonly client: Pick<KubeClient, 'get' | 'list'>;
  readonly senderOf: (trigger: HTTPTrigger) => Sender;
  readonly watches: Pick<SharedWatches, 'subscribe'>;
  readonly discovery: Pick<ResourceDiscovery, 'resolve' | 'forget'>;
  readonly statuses: Pick<StatusWriter, 'add' | 'remove' | 'writeNow' | 'flush'>;
  readonly metrics: TriggerMetrics;
  readonly events: Pick<EventRecorder, 'normal' | 'warning'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly allowsOtherNamespaces: boolean;
  readonly queueLimit?: number;
}

interface Served {
  readonly record: TriggerRecord;
  readonly generation: number;
  readonly runner: TriggerRunner;
}

/** Requests that are under way when the spec changes may end, and count; the others are made again by the new spec. */
const CHANGE_GRACE_MS = 2000;

/** Serves each trigger by one runner, which is replaced when the spec changes. */
export class TriggerManager implements Reconciler {
  readonly #options: TriggerManagerOptions;
  readonly #served = new Map<string, Served>();
  #isClosed = false;

  constructor(options: TriggerManagerOptions) {
    this.#options = options;
  }

  /** How many triggers are served. */
  get size(): number {
    return this.#served.size;
  }

  async reconcile(key: Key, { signal, logger }: ReconcileContext): Promise<Result> {
    const name = nameOf(key);
    const wanted = this.#options.triggers.get(key.name, key.namespace);
    const served = this.#served.get(name);
    const isWanted = wanted !== undefined && wanted.metadata.deletionTimestamp === undefined;
    if (served !== undefined && (!isWanted || wanted.metadata.uid !== served.record.uid)) {
      await this.#drop(served);
      logger.info('a trigger is no longer served');
    }
    if (!isWanted) return {};
    const current = this.#served.get(name);
    const { generation = 0 } = wanted.metadata;
    // What was read from the API may be newer than the cache.
    if (current !== undefined && current.generation >= generation) return {};
    await current?.runner.stop(CHANGE_GRACE_MS);
    await this.#serve(wanted, current?.record, signal);
    logger.info('serving a trigger', { generation });
    return {};
  }

  /**
   * Ends all of them. Requests that are under way may end within the time, and the status tells where each trigger is to go on. Once `abort` has aborted
   * nothing is sent or written any more.
   */
  async close(graceMs: number, abort: AbortSignal): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#served.values()];
    const hurry = (): void => void Promise.all(all.map(({ runner }) => runner.stop(0)));
    abort.addEventListener('abort', hurry, { once: true });
    await Promise.all(
      all.map(async ({ record, runner }) => {
        await runner.stop(abort.aborted ? 0 : graceMs);
        if (!abort.aborted) await this.#options.statuses.flush(record);
        this.#options.statuses.remove(record);
      }),
    );
    abort.removeEventListener('abort', hurry);
    this.#served.clear();
  }

  async #serve(wanted: HTTPTrigger, known: TriggerRecord | undefined, signal: AbortSignal): Promise<void> {
    const { client, metrics, statuses, senderOf } = this.#options;
    const { name = '', namespace, uid } = wanted.metadata;
    let trigger = wanted;
    let record = known;
    if (record === undefined) {
      // Not from the cache: who served it before may have written where it is a moment ago.
      const stored = await ifFound(client.get(HTTP_TRIGGERS, name, namespace, { signal }));
      if (stored === null || stored.metadata.uid !== uid || stored.metadata.deletionTimestamp !== undefined) return;
      trigger = stored;
      record = new TriggerRecord(stored);
      statuses.add(record);
      metrics.begin(record.key);
    }
    if (this.#isClosed) return;
    const runner = new TriggerRunner({ ...this.#options, trigger, record, sender: senderOf(trigger) });
    this.#served.set(nameOf(record.key), { record, runner, generation: trigger.metadata.generation ?? 0 });
    runner.start();
  }

  async #drop({ record, runner }: Served): Promise<void> {
    this.#served.delete(nameOf(record.key));
    await runner.stop(0);
    // It may only have left the selection of this program: another one goes on from there.
    await this.#options.statuses.flush(record);
    this.#options.statuses.remove(record);
    this.#options.metrics.remove(record.key);
  }
}

function nameOf({ namespace = '', name }: Key): string {
  return `${namespace}/${name}`;
}
