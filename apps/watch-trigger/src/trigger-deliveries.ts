import type { HTTPTrigger } from '@harikube/crds';
import { type Clock, ifFound, type KubeClient } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import type { EventRecorder } from '@harikube/reconcilers';
import { CircuitBreaker, type Sign } from './circuit-breaker.js';
import type { Ticket } from './cursor-tracker.js';
import { decide, type RetryRules } from './delivery-policy.js';
import { DeliveryQueue, type QueueEntry } from './delivery-queue.js';
import { reasonOf, textOf } from './retrying.js';
import { retryRulesOf } from './retry-rules.js';
import { TokenBucket } from './token-bucket.js';
import type { Problem } from './trigger-conditions.js';
import type { TriggerEvent } from './trigger-event.js';
import type { TriggerMetrics } from './trigger-metrics.js';
import type { Failure, TriggerRecord } from './trigger-record.js';
import type { Attempt, TriggerSender } from './trigger-sender.js';

const QUEUE_LIMIT = 1000;

/** An event that is to be delivered. */
export interface NewDelivery {
  readonly event: TriggerEvent;
  readonly ticket: Ticket;
  /** Whether the object of a DELETED is to be asked for. */
  readonly asksStillExists: boolean;
  /** The filter cannot be evaluated on the object. */
  readonly filterFailure: Problem | null;
}

interface Delivery extends Omit<NewDelivery, 'event' | 'asksStillExists'> {
  event: TriggerEvent;
  asksStillExists: boolean;
  attempts: number;
  /** Why it is to be sent as a dead letter; null: it is not. */
  failure: (Failure & { readonly response?: string }) | null;
  isBlocked: boolean;
}

export interface TriggerDeliveriesOptions {
  readonly spec: HTTPTrigger['spec'];
  readonly record: TriggerRecord;
  readonly sender: Pick<TriggerSender, 'send' | 'sendDeadLetter'>;
  readonly client: Pick<KubeClient, 'get'>;
  readonly metrics: TriggerMetrics;
  readonly events: Pick<EventRecorder, 'warning'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** Unfinished events; 1000 unless told. */
  readonly queueLimit: number | undefined;
  /** Nothing is to be begun at the moment. */
  readonly isHeld: () => boolean;
  readonly onFinished: () => void;
  /** Half of the queue is free. */
  readonly onRoom: () => void;
  /** After each attempt. */
  readonly onSettled: () => void;
  /** The event is not to be given up, and no other one is to be sent before the spec changes. */
  readonly onSuspended: (event: TriggerEvent, failure: Failure | null) => void;
}

/** Sends the events of a trigger, each until it has come to its end: delivered, a dead letter, given up, or reason to suspend the trigger. */
export class TriggerDeliveries {
  readonly #options: TriggerDeliveriesOptions;
  readonly #rules: RetryRules;
  readonly #queueLimit: number;
  readonly #queue: DeliveryQueue<Delivery>;
  readonly #breaker: CircuitBreaker;
  readonly #bucket: TokenBucket | null;
  /** Ends requests. */
  readonly #abort = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #roomAwaited: (() => void)[] = [];
  #blocked = 0;
  #isHalted = false;
  #timer: (() => void) | null = null;

  constructor(options: TriggerDeliveriesOptions) {
    const { spec, clock } = options;
    const { rateLimit, concurrency } = spec;
    this.#options = options;
    this.#rules = retryRulesOf(spec);
    this.#queueLimit = options.queueLimit ?? QUEUE_LIMIT;
    this.#queue = new DeliveryQueue({ clock, concurrency });
    const { initialDelayMs, maxDelayMs } = this.#rules;
    this.#breaker = new CircuitBreaker({ clock, leastPauseMs: initialDelayMs, mostPauseMs: maxDelayMs });
    this.#bucket =
      rateLimit === undefined ? null : new TokenBucket({ clock, perSecond: rateLimit.requestsPerSecond, burst: rateLimit.burst });
  }

  /** Unfinished events. */
  get size(): number {
    return this.#queue.size;
  }

  get isFull(): boolean {
    return this.#queue.size >= this.#queueLimit;
  }

  /** What is wrong with the destination; null: nothing that lasts. */
  get problem(): Problem | null {
    const last = this.#options.record.lastError;
    if (last === undefined) return null;
    if (this.#breaker.isOpen) return { reason: last.reason, message: `the destination does not answer as it should: ${last.message}` };
    if (this.#blocked > 0) return { reason: last.reason, message: `events are blocked that cannot be delivered: ${last.message}` };
    return null;
  }

  /** Behind what is there of the same object. */
  add(objectUid: string, delivery: NewDelivery): void {
    this.#queue.add(objectUid, { ...delivery, attempts: 0, failure: null, isBlocked: false });
    this.#queueChanged();
    this.pump();
  }

  /** Resolves when another event may come. */
  async room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.isFull) return;
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => reject(reasonOf(signal));
      signal.addEventListener('abort', abort, { once: true });
      this.#roomAwaited.push(() => {
        signal.removeEventListener('abort', abort);
        resolve();
      });
    });
  }

  /** Starts what may be started, and comes again when more may be. */
  pump(): void {
    this.#timer?.();
    this.#timer = null;
    if (this.#isHalted || this.#options.isHeld()) return;
    let sendWaitMs: number;
    for (;;) {
      sendWaitMs = this.#sendWaitMs;
      const canSend = sendWaitMs === 0;
      const entry = this.#queue.take(({ failure }) => canSend || failure !== null);
      if (entry === null) break;
      const attempt = this.#attempt(entry)
        .catch((error: unknown) => {
          const { logger, record } = this.#options;
          logger.error('the end of an attempt could not be told; the event is tried again', { ...record.key, err: error });
          this.#queue.retryAfter(entry, this.#rules.maxDelayMs);
        })
        .finally(() => this.#inFlight.delete(attempt));
      this.#inFlight.add(attempt);
    }
    // Time has passed since: what waits for 0 ms by now was not looked at yet.
    const waits = [this.#queue.nextDueMs, sendWaitMs > 0 && sendWaitMs < Infinity ? sendWaitMs : null].filter((wait) => wait !== null);
    if (waits.length > 0 && this.#queue.size > this.#queue.running) {
      this.#timer = this.#options.clock.setTimeout(() => this.pump(), Math.min(...waits));
    }
  }

  /** Begins nothing more; requests that are under way go on. */
  halt(): void {
    this.#isHalted = true;
    this.#timer?.();
  }

  /** Ends the requests that are under way; their events are told again by whoever comes after. */
  abort(): void {
    this.#abort.abort();
  }

  async whenIdle(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** How long until something may be sent to the destination. */
  get #sendWaitMs(): number {
    return Math.max(this.#breaker.waitMs, this.#bucket?.waitMs ?? 0);
  }

  async #attempt(entry: QueueEntry<Delivery>): Promise<void> {
    const delivery = entry.value;
    const { metrics, record, clock, logger } = this.#options;
    const { key } = record;
    delivery.attempts++;
    if (delivery.attempts > 1) {
      record.count('retried');
      metrics.retried(key);
    }
    const startedAt = clock.monotonic();
    const isToDestination = delivery.failure === null && delivery.filterFailure === null;
    if (isToDestination) this.#bucket?.take();
    const ended = isToDestination ? this.#breaker.begin() : () => undefined;
    let result: Attempt;
    try {
      result = await this.#send(delivery);
    } catch (error) {
      ended('none');
      if (this.#abort.signal.aborted) return;
      logger.error('an attempt to deliver failed by itself', { ...key, err: error });
      result = { outcome: 'temporary', reason: 'Internal', message: textOf(error) };
    }
    ended(signOf(result));
    const seconds = (clock.monotonic() - startedAt) / 1000;
    metrics.attempted(key, { result: result.outcome, code: result.code, seconds });
    this.#settle(entry, result);
  }

  async #send(delivery: Delivery): Promise<Attempt> {
    const { sender } = this.#options;
    const { filterFailure, failure, attempts } = delivery;
    const { signal } = this.#abort;
    if (failure !== null) return await sender.sendDeadLetter(delivery.event, failure, signal);
    if (filterFailure !== null) return { outcome: 'refused', ...filterFailure };
    if (delivery.asksStillExists) {
      const stillExists = await this.#stillExists(delivery.event, signal);
      if (stillExists !== undefined) delivery.event = { ...delivery.event, stillExists };
      delivery.asksStillExists = false;
    }
    return await sender.send(delivery.event, attempts, signal);
  }

  /** Whether the object only left the selection. Undefined: it cannot be asked for. */
  async #stillExists({ object, resource }: TriggerEvent, signal: AbortSignal): Promise<boolean | undefined> {
    const { name = '', namespace, uid } = object.metadata;
    try {
      const found = await ifFound(this.#options.client.get(resource, name, namespace, { signal }));
      return found !== null && found.metadata.uid === uid;
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  #settle(entry: QueueEntry<Delivery>, result: Attempt): void {
    const delivery = entry.value;
    const { event } = delivery;
    const { metrics, events, record, clock, random, onSettled, onSuspended } = this.#options;
    const { key, regarding } = record;
    const now = clock.now();
    const tried = { isDeadLetter: delivery.failure !== null, attempts: delivery.attempts, ageMs: now - event.receivedAt };
    const failure: Failure | null = result.outcome === 'delivered' ? null : result;
    if (failure !== null) record.failed(event, failure, now);
    const decision = decide(result, tried, this.#rules, random);
    switch (decision.do) {
      case 'finish':
        if (tried.isDeadLetter) {
          record.count('deadLettered');
          metrics.deadLettered(key);
        } else {
          record.delivered(event, now);
          metrics.delivered(key, (now - event.receivedAt) / 1000);
        }
        this.#finish(entry);
        break;
      case 'retry':
        this.#setBlocked(delivery, decision.isBlocked);
        this.#queue.retryAfter(entry, decision.afterMs);
        break;
      case 'dead-letter': {
        const { reason = '' } = failure ?? {};
        events.warning(regarding, 'DeadLettered', 'Deliver', `events are sent as dead letters: ${reason}; see status.lastError`);
        delivery.failure = failure;
        delivery.attempts = 0;
        this.#queue.retryAfter(entry, 0);
        break;
      }
      case 'drop': {
        const { reason = '' } = failure ?? {};
        events.warning(regarding, 'Dropped', 'Deliver', `events are given up: ${reason}; see status.lastError`);
        record.count('dropped');
        metrics.dropped(key);
        this.#finish(entry);
        break;
      }
      case 'suspend':
        this.#queue.retryAfter(entry, 0);
        onSuspended(event, failure);
        break;
    }
    onSettled();
    this.pump();
  }

  #finish(entry: QueueEntry<Delivery>): void {
    this.#setBlocked(entry.value, false);
    entry.value.ticket.finish();
    this.#queue.finish(entry);
    this.#queueChanged();
    this.#options.onFinished();
    if (this.#queue.size > this.#queueLimit / 2) return;
    for (const resolve of this.#roomAwaited.splice(0)) resolve();
    this.#options.onRoom();
  }

  #setBlocked(delivery: Delivery, isBlocked: boolean): void {
    if (delivery.isBlocked !== isBlocked) this.#blocked += isBlocked ? 1 : -1;
    delivery.isBlocked = isBlocked;
  }

  #queueChanged(): void {
    const { record, metrics } = this.#options;
    record.setPending(this.#queue.size);
    metrics.queueDepth(record.key, this.#queue.size);
  }
}

/** Only what the destination itself did, or did not do. */
function signOf(result: Attempt): Sign {
  if (result.outcome === 'delivered') return 'up';
  if (result.code !== undefined) return result.code >= 500 ? 'down' : 'up';
  return result.reason === 'ConnectionFailed' || result.reason === 'Timeout' ? 'down' : 'none';
}
