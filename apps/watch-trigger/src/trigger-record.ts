import type { HTTPTrigger, HTTPTriggerStatus } from '@harikube/crds';
import type { KubeObject } from '@harikube/kube';
import { type Key, setCondition } from '@harikube/reconcilers';
import type { Cursor } from './cursor-tracker.js';
import { conditionsOf, type Problem, type TriggerView } from './trigger-conditions.js';
import type { TriggerEvent } from './trigger-event.js';

type Conditions = NonNullable<HTTPTriggerStatus['conditions']>;
type Counters = NonNullable<HTTPTriggerStatus['counters']>;

/** A failed attempt. */
export interface Failure extends Problem {
  readonly code?: number;
}

/** How soon a change is to be seen in the status: `idle` changes are those of a cursor that only follows the resource. */
export type Urgency = 'idle' | 'moved';

/** Suspended because the spec asks for it; with any other reason because of a failure, until the spec changes. */
export const SUSPEND_REQUESTED = 'SuspendRequested';

const NO_COUNTERS: Counters = { received: 0, filtered: 0, delivered: 0, retried: 0, failed: 0, deadLettered: 0, dropped: 0 };
/** Below what the schema takes. */
const MAX_MESSAGE = 4096;

/**
 * What is known of a trigger while its spec changes and its process restarts: where it is, what it counted, and what its conditions say. Continues the
 * status that is stored.
 */
export class TriggerRecord {
  readonly key: Key;
  readonly uid: string;
  /** Called after each change that the status is to tell. */
  onChange: (urgency: Urgency) => void = () => undefined;
  /** Generations of HTTPTriggers that the trigger was told of, by uid. */
  readonly generations = new Map<string, number>();
  #regarding: KubeObject;
  #generation: number;
  #cursor: Cursor | null;
  #mayGoBack = false;
  #conditions: Conditions;
  #gap: Problem | null = null;
  #failedSuspension: Problem | null = null;
  readonly #counters: Counters;
  #pending = 0;
  #phase: HTTPTriggerStatus['phase'];
  #lastDelivered: { readonly time: string; readonly resourceVersion: string } | null;
  #error: { readonly time: string; readonly reason: string; readonly resourceVersion: string } | null;
  #lastError: HTTPTriggerStatus['lastError'];

  constructor(trigger: HTTPTrigger) {
    const { metadata, status = {} } = trigger;
    this.key = { namespace: metadata.namespace, name: metadata.name ?? '' };
    this.uid = metadata.uid ?? '';
    this.#regarding = trigger;
    this.#generation = status.observedGeneration ?? 0;
    this.#cursor = cursorIn(status);
    this.#conditions = status.conditions ?? [];
    this.#counters = { ...NO_COUNTERS, ...status.counters };
    this.#phase = status.phase;
    this.#lastError = status.lastError;
    const { errorTime, errorReason, errorResourceVersion, lastDeliveredTime, lastDeliveredResourceVersion } = status;
    this.#error =
      errorTime === undefined ? null : { time: errorTime, reason: errorReason ?? '', resourceVersion: errorResourceVersion ?? '' };
    this.#lastDelivered =
      lastDeliveredTime === undefined ? null : { time: lastDeliveredTime, resourceVersion: lastDeliveredResourceVersion ?? '' };
    const said = (type: string): Problem | null => {
      const found = this.#conditions.find((one) => one.type === type && one.status === 'True');
      return found === undefined ? null : { reason: found.reason, message: found.message };
    };
    this.#gap = said('GapDetected');
    const suspension = said('Suspended');
    this.#failedSuspension = suspension?.reason === SUSPEND_REQUESTED ? null : suspension;
  }

  /** Of the trigger: for Events about it. */
  get regarding(): KubeObject {
    return this.#regarding;
  }

  get cursor(): Cursor | null {
    return this.#cursor;
  }

  /** The last attempt that failed. */
  get lastError(): HTTPTriggerStatus['lastError'] {
    return this.#lastError;
  }

  /** Why it stopped by itself under its present spec; null: it did not. */
  get failedSuspension(): Problem | null {
    return this.#failedSuspension;
  }

  /** The spec that is served from now on. Another one takes back what was said of the one before. */
  serve(trigger: HTTPTrigger): void {
    this.#regarding = trigger;
    const generation = trigger.metadata.generation ?? 0;
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#gap = null;
    this.#failedSuspension = null;
    this.onChange('moved');
  }

  /** Never back, but for `letCursorGoBack`. */
  moveCursor(cursor: Cursor, urgency: Urgency): void {
    const before = this.#cursor;
    const isBack = before !== null && cursor.position < before.position;
    if (isBack && !this.#mayGoBack) return;
    if (isBack) this.#mayGoBack = false;
    if (before?.position === cursor.position && before.time === cursor.time) return;
    this.#cursor = cursor;
    this.onChange(urgency);
  }

  /** The server's data was put back to an older state: once the cursor may follow. */
  letCursorGoBack(): void {
    this.#mayGoBack = true;
  }

  count(what: keyof Counters): void {
    this.#counters[what]++;
    this.onChange('moved');
  }

  setPending(events: number): void {
    if (events === this.#pending) return;
    this.#pending = events;
    this.onChange('moved');
  }

  /** A success takes the error of the columns back; `lastError` stays, as what was last. */
  delivered({ resourceVersion }: TriggerEvent, now: number): void {
    this.#counters.delivered++;
    this.#lastDelivered = { time: timestamp(now), resourceVersion };
    this.#error = null;
    this.onChange('moved');
  }

  failed({ resourceVersion }: TriggerEvent, { reason, message, code }: Failure, now: number): void {
    this.#counters.failed++;
    const time = timestamp(now);
    const shown = message.slice(0, MAX_MESSAGE);
    // A column of `kubectl get`: the words are in `lastError`, and in the condition as long as it lasts.
    this.#error = { time, reason, resourceVersion };
    this.#lastError = { time, reason, message: shown, code };
    this.onChange('moved');
  }

  gap(problem: Problem): void {
    this.#gap = problem;
    this.onChange('moved');
  }

  suspendFor(problem: Problem): void {
    this.#failedSuspension = problem;
    this.onChange('moved');
  }

  /** Says what is seen of the trigger; what has not changed stays as it is. */
  say(view: Omit<TriggerView, 'gap'>, now: number): void {
    let conditions: Conditions = this.#conditions;
    const next = conditionsOf({ ...view, gap: this.#gap });
    for (const { type, status, reason, message } of next) {
      const told = { type, status, reason, message: message.slice(0, MAX_MESSAGE), observedGeneration: this.#generation };
      conditions = setCondition(conditions, told, new Date(now));
    }
    if (this.#gap === null && conditions.some(({ type }) => type === 'GapDetected')) {
      conditions = conditions.filter(({ type }) => type !== 'GapDetected');
    }
    const isReady = next.some(({ type, status }) => type === 'Ready' && status === 'True');
    const phase = isReady || view.suspended?.reason === SUSPEND_REQUESTED ? 'Running' : 'Error';
    if (conditions === this.#conditions && phase === this.#phase) return;
    this.#conditions = conditions;
    this.#phase = phase;
    this.onChange('moved');
  }

  /** As a merge patch has it: what is not there is null. */
  get status(): object {
    const cursor = this.#cursor;
    const error = this.#error;
    const lastDelivered = this.#lastDelivered;
    return {
      observedGeneration: this.#generation,
      lastGeneration: this.#generation,
      phase: this.#phase ?? null,
      cursor: cursor === null ? null : { resourceVersion: String(cursor.position), time: timestamp(cursor.time) },
      conditions: this.#conditions,
      counters: { ...this.#counters },
      pending: this.#pending,
      errorTime: error?.time ?? null,
      errorReason: error?.reason ?? null,
      errorResourceVersion: error?.resourceVersion ?? null,
      lastDeliveredTime: lastDelivered?.time ?? null,
      lastDeliveredResourceVersion: lastDelivered?.resourceVersion ?? null,
      lastError: this.#lastError === undefined ? null : { ...this.#lastError, code: this.#lastError.code ?? null },
    };
  }
}

function cursorIn({ cursor }: HTTPTriggerStatus): Cursor | null {
  if (cursor === undefined || !/^\d+$/.test(cursor.resourceVersion)) return null;
  const time = Date.parse(cursor.time);
  // Without a time everything may have been created since.
  return { position: BigInt(cursor.resourceVersion), time: Number.isNaN(time) ? 0 : time };
}

/** Kubernetes' `meta/v1.Time`: whole seconds, rounded down. */
function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
}
