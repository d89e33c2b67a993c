import { Counter, exponentialBuckets, Gauge, Histogram, type Registry } from 'prom-client';
import type { WorkQueueMetrics } from './work-queue.js';

/** How a reconcile ended, as controller-runtime names it. */
export type ReconcileOutcome = 'success' | 'error' | 'requeue' | 'requeue_after';
const OUTCOMES: readonly ReconcileOutcome[] = ['success', 'error', 'requeue', 'requeue_after'];

/** controller-runtime's own (v0.24). */
const RECONCILE_SECONDS_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5,
  5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
const QUEUE_SECONDS_BUCKETS = exponentialBuckets(10e-9, 10, 12);

type CounterName = 'errors' | 'terminalErrors' | 'panics' | 'timeouts';

/** Asked when the metrics are read: how long each item is worked on by now. */
type WorkSeconds = () => readonly number[];

/** The metrics of all controllers on one page: with the names of controller-runtime, whose dashboards fit. */
class MetricFamilies {
  readonly reconciles: Counter<'controller' | 'result'>;
  readonly counters: Readonly<Record<CounterName, Counter<'controller'>>>;
  readonly reconcileSeconds: Histogram<'controller'>;
  readonly activeWorkers: Gauge<'controller'>;
  readonly maxWorkers: Gauge<'controller'>;
  readonly depth: Gauge<'name' | 'controller'>;
  readonly adds: Counter<'name' | 'controller'>;
  readonly queueSeconds: Histogram<'name' | 'controller'>;
  readonly workSeconds: Histogram<'name' | 'controller'>;
  readonly retries: Counter<'name' | 'controller'>;
  readonly working = new Map<string, WorkSeconds>();

  constructor(registry: Registry) {
    const registers = [registry];
    const byController = { registers, labelNames: ['controller'] as const };
    const byQueue = { registers, labelNames: ['name', 'controller'] as const };
    const reconciler = 'controller_runtime_reconcile';
    this.reconciles = new Counter({
      registers,
      labelNames: ['controller', 'result'],
      name: `${reconciler}_total`,
      help: 'Total number of reconciliations per controller',
    });
    this.counters = {
      errors: new Counter({
        ...byController,
        name: `${reconciler}_errors_total`,
        help: 'Total number of reconciliation errors per controller',
      }),
      terminalErrors: new Counter({
        ...byController,
        name: 'controller_runtime_terminal_reconcile_errors_total',
        help: 'Total number of terminal reconciliation errors per controller',
      }),
      panics: new Counter({
        ...byController,
        name: `${reconciler}_panics_total`,
        help: 'Total number of reconciliation panics per controller',
      }),
      timeouts: new Counter({
        ...byController,
        name: `${reconciler}_timeouts_total`,
        help: 'Total number of reconciliation timeouts per controller',
      }),
    };
    this.reconcileSeconds = new Histogram({
      ...byController,
      name: `${reconciler}_time_seconds`,
      help: 'Length of time per reconciliation per controller',
      buckets: RECONCILE_SECONDS_BUCKETS,
    });
    this.activeWorkers = new Gauge({
      ...byController,
      name: 'controller_runtime_active_workers',
      help: 'Number of currently used workers per controller',
    });
    this.maxWorkers = new Gauge({
      ...byController,
      name: 'controller_runtime_max_concurrent_reconciles',
      help: 'Maximum number of concurrent reconciles per controller',
    });
    this.depth = new Gauge({ ...byQueue, name: 'workqueue_depth', help: 'Current depth of workqueue' });
    this.adds = new Counter({ ...byQueue, name: 'workqueue_adds_total', help: 'Total number of adds handled by workqueue' });
    this.queueSeconds = new Histogram({
      ...byQueue,
      name: 'workqueue_queue_duration_seconds',
      help: 'How long in seconds an item stays in workqueue before being requested',
      buckets: QUEUE_SECONDS_BUCKETS,
    });
    this.workSeconds = new Histogram({
      ...byQueue,
      name: 'workqueue_work_duration_seconds',
      help: 'How long in seconds processing an item from workqueue takes',
      buckets: QUEUE_SECONDS_BUCKETS,
    });
    this.retries = new Counter({ ...byQueue, name: 'workqueue_retries_total', help: 'Total number of retries handled by workqueue' });
    const { working } = this;
    new Gauge({
      ...byQueue,
      name: 'workqueue_unfinished_work_seconds',
      help: 'How many seconds of work has been done that is in progress and is not observed by work_duration: large values indicate stuck workers',
      collect() {
        for (const [name, seconds] of working)
          this.set(
            labelsOf(name),
            seconds().reduce((sum, one) => sum + one, 0),
          );
      },
    });
    new Gauge({
      ...byQueue,
      name: 'workqueue_longest_running_processor_seconds',
      help: 'How many seconds has the longest running processor for workqueue been running',
      collect() {
        for (const [name, seconds] of working) this.set(labelsOf(name), Math.max(0, ...seconds()));
      },
    });
  }
}

/** Several services may share one registry, in which a name is registered once. */
const families = new WeakMap<Registry, MetricFamilies>();

function labelsOf(name: string): { name: string; controller: string } {
  return { name, controller: name };
}

/** What one controller tells. Everything is there with a zero from the start, so that rates have a beginning. */
export class ControllerMetrics {
  readonly queue: WorkQueueMetrics;
  readonly #families: MetricFamilies;
  readonly #label: { readonly controller: string };

  constructor(registry: Registry, name: string, concurrency: number) {
    const found = families.get(registry) ?? new MetricFamilies(registry);
    families.set(registry, found);
    this.#families = found;
    this.#label = { controller: name };
    const { depth, adds, queueSeconds, workSeconds, retries } = found;
    const labels = labelsOf(name);
    this.queue = {
      depth: (items) => depth.set(labels, items),
      added: () => adds.inc(labels),
      taken: (waited) => queueSeconds.observe(labels, waited),
      done: (worked) => workSeconds.observe(labels, worked),
      retried: () => retries.inc(labels),
    };
    for (const result of OUTCOMES) found.reconciles.inc({ ...this.#label, result }, 0);
    for (const counter of Object.values(found.counters)) counter.inc(this.#label, 0);
    found.reconcileSeconds.zero(this.#label);
    found.activeWorkers.set(this.#label, 0);
    found.maxWorkers.set(this.#label, concurrency);
    depth.set(labels, 0);
    adds.inc(labels, 0);
    retries.inc(labels, 0);
    queueSeconds.zero(labels);
    workSeconds.zero(labels);
  }

  /** Whom to ask how long items are worked on. */
  watch(name: string, workSeconds: WorkSeconds): void {
    this.#families.working.set(name, workSeconds);
  }

  began(): void {
    this.#families.activeWorkers.inc(this.#label);
  }

  ended(seconds: number): void {
    this.#families.activeWorkers.dec(this.#label);
    this.#families.reconcileSeconds.observe(this.#label, seconds);
  }

  outcome(result: ReconcileOutcome): void {
    this.#families.reconciles.inc({ ...this.#label, result });
  }

  count(what: CounterName): void {
    this.#families.counters[what].inc(this.#label);
  }
}
