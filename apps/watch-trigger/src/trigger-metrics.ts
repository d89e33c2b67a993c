import type { Key } from '@harikube/reconcilers';
import { Counter, exponentialBuckets, Gauge, Histogram, type Registry } from 'prom-client';
import type { EventType } from './trigger-event.js';
import type { RestartReason } from './watch-loop.js';

const EVENT_TYPES: readonly EventType[] = ['ADDED', 'MODIFIED', 'DELETED'];
const CODE_CLASSES = ['2xx', '3xx', '4xx', '5xx', 'none'] as const;
const RESULTS = ['delivered', 'temporary', 'refused'] as const;

type CodeClass = (typeof CODE_CLASSES)[number];
export type DeliveryResult = (typeof RESULTS)[number];

const USUAL_ENDS = [
  ['2xx', 'delivered'],
  ['5xx', 'temporary'],
  ['4xx', 'refused'],
] as const;

/** 5 ms to 80 s. */
const DURATION_BUCKETS = exponentialBuckets(0.005, 2, 15);
/** 10 ms to 45 min: an event may wait for its destination. */
const LAG_BUCKETS = exponentialBuckets(0.01, 4, 10);

/** The metrics of all triggers on one page. Labels name the trigger, and never where it sends. */
export class TriggerMetrics {
  readonly #received: Counter<'namespace' | 'name' | 'type'>;
  readonly #filtered: Counter<'namespace' | 'name'>;
  readonly #deliveries: Counter<'namespace' | 'name' | 'code_class' | 'result'>;
  readonly #retries: Counter<'namespace' | 'name'>;
  readonly #deadLetters: Counter<'namespace' | 'name'>;
  readonly #dropped: Counter<'namespace' | 'name'>;
  readonly #gaps: Counter<'namespace' | 'name'>;
  readonly #queueDepth: Gauge<'namespace' | 'name'>;
  readonly #duration: Histogram<'namespace' | 'name'>;
  readonly #lag: Histogram<'namespace' | 'name'>;
  readonly #restarts: Counter<'resource' | 'reason'>;
  /** With the names of serverless-kube-watch-trigger, whose dashboards fit. */
  readonly #calls: Counter<'namespace' | 'name'>;
  readonly #callsFailed: Counter<'namespace' | 'name'>;
  readonly #callDuration: Histogram<'namespace' | 'name'>;
  readonly #callRetries: Counter<'namespace' | 'name'>;

  constructor(registry: Registry) {
    const registers = [registry];
    const ofTrigger = ['namespace', 'name'] as const;
    const counter = (name: string, help: string): Counter<'namespace' | 'name'> =>
      new Counter({ name, help, labelNames: ofTrigger, registers });
    const histogram = (name: string, help: string, buckets: number[]): Histogram<'namespace' | 'name'> =>
      new Histogram({ name, help, labelNames: ofTrigger, buckets, registers });
    const own = 'harikube_trigger';
    const known = 'serverless_kube_watch_trigger_delivery';
    this.#received = new Counter({
      name: `${own}_events_received_total`,
      help: 'Events that the watch of a trigger brought',
      labelNames: [...ofTrigger, 'type'],
      registers,
    });
    this.#filtered = counter(`${own}_events_filtered_total`, 'Events that a trigger does not want');
    this.#deliveries = new Counter({
      name: `${own}_deliveries_total`,
      help: 'Attempts to deliver an event, by class of the answer and result',
      labelNames: [...ofTrigger, 'code_class', 'result'],
      registers,
    });
    this.#retries = counter(`${own}_retries_total`, 'Attempts after the first of an event');
    this.#deadLetters = counter(`${own}_dead_letter_total`, 'Events that were sent as dead letters');
    this.#dropped = counter(`${own}_dropped_total`, 'Events that were given up');
    this.#gaps = counter(`${own}_resume_gap_total`, 'Times at which changes were missed and the objects were listed instead');
    this.#queueDepth = new Gauge({
      name: `${own}_queue_depth`,
      help: 'Events that wait to be delivered',
      labelNames: ofTrigger,
      registers,
    });
    this.#duration = histogram(`${own}_delivery_duration_seconds`, 'Length of an attempt', DURATION_BUCKETS);
    this.#lag = histogram(`${own}_lag_seconds`, 'From the arrival of an event until it was delivered', LAG_BUCKETS);
    this.#restarts = new Counter({
      name: `${own}_watch_restarts_total`,
      help: 'Watches that began anew, by what ended the one before',
      labelNames: ['resource', 'reason'],
      registers,
    });
    this.#calls = counter(`${known}_calls_total`, 'Attempts to deliver an event');
    this.#callsFailed = counter(`${known}_calls_failed_total`, 'Attempts to deliver an event that failed');
    this.#callDuration = histogram(`${known}_call_duration_seconds`, 'Length of an attempt', DURATION_BUCKETS);
    this.#callRetries = counter(`${known}_retries_total`, 'Attempts after the first of an event');
  }

  watchRestarted(resource: string, reason: RestartReason): void {
    this.#restarts.inc({ resource, reason });
  }

  received(key: Key, type: EventType): void {
    this.#received.inc({ ...labelsOf(key), type });
  }

  filtered(key: Key): void {
    this.#filtered.inc(labelsOf(key));
  }

  attempted(
    key: Key,
    { result, code, seconds }: { readonly result: DeliveryResult; readonly code?: number; readonly seconds: number },
  ): void {
    const labels = labelsOf(key);
    this.#deliveries.inc({ ...labels, code_class: codeClass(code), result });
    this.#duration.observe(labels, seconds);
    this.#calls.inc(labels);
    if (result !== 'delivered') this.#callsFailed.inc(labels);
    this.#callDuration.observe(labels, seconds);
  }

  retried(key: Key): void {
    this.#retries.inc(labelsOf(key));
    this.#callRetries.inc(labelsOf(key));
  }

  delivered(key: Key, lagSeconds: number): void {
    this.#lag.observe(labelsOf(key), lagSeconds);
  }

  deadLettered(key: Key): void {
    this.#deadLetters.inc(labelsOf(key));
  }

  dropped(key: Key): void {
    this.#dropped.inc(labelsOf(key));
  }

  gap(key: Key): void {
    this.#gaps.inc(labelsOf(key));
  }

  queueDepth(key: Key, events: number): void {
    this.#queueDepth.set(labelsOf(key), events);
  }

  /** Everything is there with a zero from the start, so that rates have a beginning. */
  begin(key: Key): void {
    const labels = labelsOf(key);
    for (const type of EVENT_TYPES) this.#received.inc({ ...labels, type }, 0);
    for (const metric of this.#counters) metric.inc(labels, 0);
    for (const [code, result] of USUAL_ENDS) this.#deliveries.inc({ ...labels, code_class: code, result }, 0);
    for (const metric of [this.#duration, this.#lag, this.#callDuration]) metric.zero(labels);
    this.#queueDepth.set(labels, 0);
  }

  /** The trigger is gone. */
  remove(key: Key): void {
    const labels = labelsOf(key);
    for (const type of EVENT_TYPES) this.#received.remove({ ...labels, type });
    for (const code of CODE_CLASSES) for (const result of RESULTS) this.#deliveries.remove({ ...labels, code_class: code, result });
    for (const metric of this.#counters) metric.remove(labels);
    for (const metric of [this.#duration, this.#lag, this.#callDuration]) metric.remove(labels);
    this.#queueDepth.remove(labels);
  }

  get #counters(): readonly Counter<'namespace' | 'name'>[] {
    return [this.#filtered, this.#retries, this.#deadLetters, this.#dropped, this.#gaps, this.#calls, this.#callsFailed, this.#callRetries];
  }
}

function labelsOf({ namespace = '', name }: Key): { namespace: string; name: string } {
  return { namespace, name };
}

function codeClass(code: number | undefined): CodeClass {
  return CODE_CLASSES.find((known) => known.startsWith(String(code).slice(0, 1))) ?? 'none';
}
