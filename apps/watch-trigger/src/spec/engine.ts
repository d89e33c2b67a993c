import type { HTTPTrigger } from '@harikube/crds';
import { type Clock, NoSuchKindError, type Resource, type KubeObject } from '@harikube/kube';
import { createLogger } from '@harikube/platform';
import { Registry } from 'prom-client';
import { SharedWatches } from '../shared-watch.js';
import { StatusWriter } from '../status-writer.js';
import { TriggerManager } from '../trigger-manager.js';
import { TriggerMetrics } from '../trigger-metrics.js';
import type { FakeApi } from './fake-api.js';
import { FakeSender } from './fake-sender.js';
import { ORDERS } from './sample-trigger.js';

export interface EngineOptions {
  readonly api: FakeApi;
  readonly clock: Clock;
  readonly random?: () => number;
  readonly allowsOtherNamespaces?: boolean;
  readonly queueLimit?: number;
  /** By the trigger's name. */
  readonly senders?: Map<string, FakeSender>;
}

const discarded = { write: (): void => undefined };

/** Everything of the program that serves triggers but what asks for it: one process's worth. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #abort = new AbortController();
  readonly manager: TriggerManager;
  readonly watches: SharedWatches;
  readonly registry = new Registry();
  readonly senders: Map<string, FakeSender>;
  readonly events: { readonly reason: string; readonly note: string }[] = [];
  kind: Resource<KubeObject> | null = ORDERS;
  readonly logger = createLogger({ format: 'json', debug: true, destination: discarded });
  readonly statuses: StatusWriter;

  constructor(options: EngineOptions) {
    const { api, clock, random = () => 0.5, allowsOtherNamespaces = true, queueLimit } = options;
    const { logger } = this;
    this.#options = options;
    this.senders = options.senders ?? new Map<string, FakeSender>();
    const metrics = new TriggerMetrics(this.registry);
    const onRestart = (): void => undefined;
    this.watches = new SharedWatches({ client: api, clock, random, logger, onRestart });
    this.statuses = new StatusWriter({ client: api, clock, logger, random, signal: this.#abort.signal });
    const record = (_regarding: unknown, reason: string, _action: string, note: string): void => void this.events.push({ reason, note });
    this.manager = new TriggerManager({
      triggers: { get: (name, namespace) => this.#cached(name, namespace) },
      client: api,
      senderOf: ({ metadata }) => this.sender(metadata.name),
      watches: this.watches,
      discovery: { resolve: async () => this.#resolve(), forget: () => undefined },
      statuses: this.statuses,
      metrics,
      events: { normal: record, warning: record },
      clock,
      random,
      logger,
      allowsOtherNamespaces,
      queueLimit,
    });
  }

  sender(name = ''): FakeSender {
    const sender = this.senders.get(name) ?? new FakeSender(this.#options.clock);
    this.senders.set(name, sender);
    return sender;
  }

  /** Makes the trigger what the API has by this name, and serves it so. */
  async serve(trigger: HTTPTrigger): Promise<void> {
    this.#options.api.addTrigger(trigger);
    await this.reconcile(trigger.metadata.name);
  }

  async reconcile(name = '', namespace = 'shop'): Promise<void> {
    await this.manager.reconcile({ name, namespace }, { signal: this.#abort.signal, logger: this.logger });
  }

  stop(graceMs = 10_000): Promise<void> {
    return this.manager.close(graceMs, this.#abort.signal);
  }

  /** As kill -9: nothing is written any more. */
  async kill(): Promise<void> {
    this.#abort.abort();
    await this.manager.close(0, this.#abort.signal);
  }

  #cached(name: string, namespace = ''): HTTPTrigger | undefined {
    try {
      return this.#options.api.trigger(name, namespace);
    } catch {
      return undefined;
    }
  }

  #resolve(): Resource<KubeObject> {
    if (this.kind === null) throw new NoSuchKindError('there is no such kind');
    return this.kind;
  }
}

/** The same trigger under another spec. */
export function changed(trigger: HTTPTrigger, spec: Partial<HTTPTrigger['spec']>): HTTPTrigger {
  const { generation = 0 } = trigger.metadata;
  return { ...trigger, metadata: { ...trigger.metadata, generation: generation + 1 }, spec: { ...trigger.spec, ...spec } };
}
