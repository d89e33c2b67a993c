/**
 * Serves one trigger under one spec: follows what it watches, and hands each event to the sender until that event has come to its end. The cursor of the
 * record tells at any moment from where another runner can go on without a loss; it may tell it an event once more, under the same id.
 */
import type { HTTPTrigger } from '@harikube/crds';
import {
  Backoff,
  type Clock,
  ifFound,
  type KubeClient,
  type KubeList,
  type KubeObject,
  NoSuchKindError,
  type Resource,
  type ResourceDiscovery,
  resourceName,
  StatusError,
} from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import type { EventRecorder } from '@harikube/reconcilers';
import { CircuitBreaker, type Sign } from './circuit-breaker.js';
import { type Cursor, CursorTracker, lowestCursor, type Ticket } from './cursor-tracker.js';
import { decide, type RetryRules } from './delivery-policy.js';
import { DeliveryQueue, type QueueEntry } from './delivery-queue.js';
import { foundChange, type FoundChange, inOrder } from './gap.js';
import { KindArrival } from './kind-arrival.js';
import { isStatusChange } from './own-kind.js';
import { positionOf } from './position.js';
import { retryRulesOf } from './retry-rules.js';
import type { SharedWatches, Subscription } from './shared-watch.js';
import type { StatusWriter } from './status-writer.js';
import { TokenBucket } from './token-bucket.js';
import { type Problem, watchProblem } from './trigger-conditions.js';
import { eventId, type TriggerEvent } from './trigger-event.js';
import type { TriggerMetrics } from './trigger-metrics.js';
import { type Failure, SUSPEND_REQUESTED, type TriggerRecord } from './trigger-record.js';
import type { Attempt, TriggerSender } from './trigger-sender.js';
import type { Change, WatchTarget } from './watch-loop.js';

/** What sends the events of a trigger. */
export type Sender = Pick<TriggerSender, 'problems' | 'onProblemsChange' | 'matches' | 'send' | 'sendDeadLetter' | 'close'>;

export interface TriggerRunnerOptions {
  readonly trigger: HTTPTrigger;
  readonly record: TriggerRecord;
  readonly sender: Sender;
  readonly client: Pick<KubeClient, 'list' | 'get'>;
  readonly watches: Pick<SharedWatches, 'subscribe'>;
  readonly discovery: Pick<ResourceDiscovery, 'resolve' | 'forget'>;
  readonly statuses: Pick<StatusWriter, 'writeNow'>;
  readonly metrics: TriggerMetrics;
  readonly events: Pick<EventRecorder, 'normal' | 'warning'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** False: a trigger watches its own namespace only. */
  readonly allowsOtherNamespaces: boolean;
  /** Unfinished events; with more of them the trigger is left alone until half of them are finished. 1000 unless told. */
  readonly queueLimit?: number;
}

/** An event on its way. */
interface Delivery {
  event: TriggerEvent;
  readonly ticket: Ticket;
  /** Whether the object of a DELETED is to be asked for. */
  asksStillExists: boolean;
  /** The filter cannot be evaluated on the object. */
  readonly filterFailure: Problem | null;
  attempts: number;
  /** Why it is to be sent as a dead letter; null: it is not. */
  failure: (Failure & { readonly response?: string }) | null;
  isBlocked: boolean;
}

/** The objects of one namespace, or of all. */
interface Source {
  readonly namespace: string | undefined;
  readonly tracker: CursorTracker;
  subscription: Subscription | null;
  isFollowing: boolean;
  trouble: Problem | null;
}

/** The kind is served no longer, or otherwise. */
class KindGoneError extends Error {
  override readonly name = 'KindGoneError';
}

const QUEUE_LIMIT = 1000;
const PAGE_SIZE = 500;
const RETRY_LEAST_MS = 1000;
const RETRY_MOST_MS = 30_000;
const UNKNOWN_KIND_MS = 3000;
/** Problems of a trigger that something else may cure. Until the spec changes, the others let no event be sent, and none is used up for them. */
const CURED_ELSEWHERE: ReadonlySet<string> = new Set(['SecretNotReady', 'SecretInvalid', 'ServiceNotReady']);

export class TriggerRunner {
  readonly #options: TriggerRunnerOptions;
  readonly #trigger: HTTPTrigger;
  readonly #record: TriggerRecord;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #rules: RetryRules;
  readonly #queueLimit: number;
  readonly #queue: DeliveryQueue<Delivery>;
  readonly #breaker: CircuitBreaker;
  readonly #bucket: TokenBucket | null;
  /** Ends the watching; requests that are under way go on. */
  readonly #stop = new AbortController();
  /** Ends requests. */
  readonly #abort = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  #resource: Resource<KubeObject> | null = null;
  #sources: readonly Source[] = [];
  #kindProblem: Problem | null = null;
  #problems: readonly Problem[] = [];
  /** What the condition Delivering says. */
  #saidProblem: Problem | null = null;
  #running: Promise<void> = Promise.resolve();
  #isPaused = false;
  #blocked = 0;
  readonly #roomAwaited: (() => void)[] = [];
  #timer: (() => void) | null = null;

  constructor(options: TriggerRunnerOptions) {
    const { trigger, clock, logger, record } = options;
    this.#options = options;
    this.#trigger = trigger;
    this.#record = record;
    this.#clock = clock;
    this.#logger = logger;
    this.#rules = retryRulesOf(trigger.spec);
    this.#queueLimit = options.queueLimit ?? QUEUE_LIMIT;
    this.#queue = new DeliveryQueue({ clock, concurrency: trigger.spec.concurrency });
    const { initialDelayMs, maxDelayMs } = this.#rules;
    this.#breaker = new CircuitBreaker({ clock, leastPauseMs: initialDelayMs, mostPauseMs: maxDelayMs });
    const { rateLimit } = trigger.spec;
    this.#bucket =
      rateLimit === undefined ? null : new TokenBucket({ clock, perSecond: rateLimit.requestsPerSecond, burst: rateLimit.burst });
  }

  start(): void {
    this.#record.serve(this.#trigger);
    if (this.#trigger.spec.suspend || this.#record.failedSuspension !== null) {
      this.#say();
      // What happens from now on is told when it goes on, also where it never began.
      if (this.#record.cursor === null) this.#running = this.#beginSuspended();
      return;
    }
    const { sender } = this.#options;
    this.#problems = sender.problems();
    sender.onProblemsChange(() => {
      this.#problems = sender.problems();
      this.#say();
      this.#pump();
    });
    this.#say();
    this.#running = this.#run();
  }

  /** Begins nothing more. Resolves when what is being sent has ended, or was ended after so long. A later call may shorten that. */
  async stop(graceMs: number): Promise<void> {
    this.#stop.abort();
    this.#timer?.();
    const cancel = this.#clock.setTimeout(() => this.#abort.abort(), graceMs);
    if (graceMs <= 0) this.#abort.abort();
    await Promise.all([this.#running, ...this.#inFlight]);
    cancel();
    await this.#options.sender.close();
    this.#record.setPending(this.#queue.size);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const group = new AbortController();
      const end = AbortSignal.any([signal, group.signal]);
      try {
        const resource = await this.#resolve(signal);
        await this.#begin(resource, end);
        await Promise.all(this.#sources.map((source) => this.#follow(source, resource, end)));
      } catch (error) {
        group.abort();
        for (const source of this.#sources) source.subscription?.close();
        if (signal.aborted) return;
        const { apiVersion, kind } = this.#trigger.spec.resource;
        this.#options.discovery.forget(apiVersion, kind);
        if (!(error instanceof KindGoneError)) this.#logger.error('a trigger could not go on; it begins again', { err: error });
        await this.#sleep(RETRY_LEAST_MS);
      }
    }
  }

  /** Stores where the trigger is to begin, and nothing more. */
  async #beginSuspended(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#begin(await this.#resolve(signal), signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const { apiVersion, kind } = this.#trigger.spec.resource;
        this.#options.discovery.forget(apiVersion, kind);
        if (!(error instanceof KindGoneError)) this.#logger.error('a suspended trigger could not begin; it is tried again', { err: error });
        await this.#sleep(RETRY_LEAST_MS);
      }
    }
  }

  /** The resource of the kind, as soon as there is one. */
  async #resolve(signal: AbortSignal): Promise<Resource<KubeObject>> {
    const { apiVersion, kind } = this.#trigger.spec.resource;
    const { client, watches, discovery } = this.#options;
    const backoff = this.#newBackoff();
    let arrival: KindArrival | null = null;
    try {
      for (;;) {
        try {
          const resource = await discovery.resolve(apiVersion, kind, signal);
          const problem = this.#placeProblem(resource);
          if (problem === null) {
            this.#kindProblem = null;
            return resource;
          }
          this.#setKindProblem(problem);
          await this.#clock.sleep(RETRY_MOST_MS, signal);
        } catch (error) {
          if (signal.aborted) throw error;
          const isUnknown = error instanceof NoSuchKindError;
          this.#setKindProblem({ reason: isUnknown ? 'ResourceNotFound' : 'DiscoveryFailed', message: textOf(error) });
          if (isUnknown && arrival === null) {
            arrival = new KindArrival({ apiVersion, kind, client, watches, clock: this.#clock });
            arrival.start();
          }
          if (isUnknown) {
            await arrival?.wait(UNKNOWN_KIND_MS, signal);
            discovery.forget(apiVersion, kind);
          } else {
            await this.#clock.sleep(backoff.next(), signal);
          }
        }
      }
    } finally {
      arrival?.close();
    }
  }

  /** Namespaces that make no sense, or that the trigger must not watch. */
  #placeProblem(resource: Resource<KubeObject>): Problem | null {
    const { namespaces = [] } = this.#trigger.spec;
    if (!resource.namespaced) {
      if (namespaces.length === 0) return null;
      return { reason: 'NotNamespaced', message: `${resourceName(resource)} are in no namespace: leave spec.namespaces out` };
    }
    const { namespace } = this.#trigger.metadata;
    if (this.#options.allowsOtherNamespaces || (namespaces.length > 0 && namespaces.every((one) => one === namespace))) return null;
    const message = `here a trigger may watch its own namespace only: spec.namespaces has to be ["${namespace}"]`;
    return { reason: 'NamespaceNotAllowed', message };
  }

  /** Where each source begins. Where there is no cursor yet, it is stored before anything is delivered. */
  async #begin(resource: Resource<KubeObject>, signal: AbortSignal): Promise<void> {
    this.#resource = resource;
    const { namespaces = [], sendInitialEvents } = this.#trigger.spec;
    const places = namespaces.length === 0 ? [undefined] : [...new Set(namespaces)];
    const { cursor } = this.#record;
    if (this.#sources.length === 0) {
      this.#sources = places.map((namespace) => ({
        namespace,
        tracker: new CursorTracker(cursor),
        subscription: null,
        isFollowing: false,
        trouble: null,
      }));
    }
    if (sendInitialEvents || cursor !== null) return;
    for (const source of this.#sources) {
      const time = this.#clock.now();
      await this.#persist(source, signal, async () => {
        const { metadata } = await this.#page(source, { limit: 1 }, signal);
        source.tracker.advance(positionOf(metadata.resourceVersion), time);
      });
    }
    this.#moved('moved');
    await this.#persist(null, signal, () => this.#options.statuses.writeNow(this.#record));
  }

  async #follow(source: Source, resource: Resource<KubeObject>, signal: AbortSignal): Promise<never> {
    if (source.tracker.seen === null) await this.#persist(source, signal, () => this.#load(source, signal));
    for (;;) {
      const reason = await this.#watch(source, resource, signal);
      await this.#persist(source, signal, () => this.#bridge(source, reason, signal));
    }
  }

  /** Everything that is there, as ADDED. An interrupted load begins again. */
  async #load(source: Source, signal: AbortSignal): Promise<void> {
    const time = this.#clock.now();
    const revision = await this.#eachPage(source, signal, async (objects) => {
      for (const object of objects) {
        await this.#room(signal);
        const { resourceVersion } = object.metadata;
        const change = { type: 'ADDED', object, position: positionOf(resourceVersion), receivedAt: this.#clock.now() } as const;
        this.#enqueue(source, change, { isInitial: true });
      }
    });
    source.tracker.advance(positionOf(revision), time);
    this.#moved('moved');
  }

  /** Until the server does not know the changes any more. */
  #watch(source: Source, resource: Resource<KubeObject>, signal: AbortSignal): Promise<Error> {
    const target = this.#target(resource, source);
    const from = source.tracker.seen?.position ?? 0n;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        source.subscription?.close();
        source.subscription = null;
        source.isFollowing = false;
        signal.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        end();
        reject(reasonOf(signal));
      };
      if (signal.aborted) {
        reject(reasonOf(signal));
        return;
      }
      signal.addEventListener('abort', abort);
      source.subscription = this.#options.watches.subscribe(target, from, {
        change: (change) => this.#receive(source, change),
        bookmark: (position) => {
          source.tracker.advance(position, this.#clock.now());
          this.#moved('idle');
        },
        following: () => {
          source.isFollowing = true;
          source.trouble = null;
          this.#say();
        },
        trouble: (error) => {
          source.isFollowing = false;
          source.trouble = watchProblem(error, target);
          this.#say();
          if (!(error instanceof StatusError && error.isNotFound)) return;
          end();
          reject(new KindGoneError(error.message));
        },
        gone: (error) => {
          end();
          resolve(error);
        },
      });
      if (this.#isPaused) source.subscription.pause();
    });
  }

  /** Lists what changed since, and tells it in the order of the changes. */
  async #bridge(source: Source, reason: Error, signal: AbortSignal): Promise<void> {
    const since = source.tracker.seen;
    if (since === null) return;
    const time = this.#clock.now();
    let changes: FoundChange[] = [];
    const revision = positionOf(
      await this.#eachPage(source, signal, async (objects, isFirst) => {
        if (isFirst) changes = [];
        for (const object of objects) {
          const change = foundChange(object, since);
          if (change !== null) changes.push(change);
        }
      }),
    );
    this.#sayGap(source, { since, revision, reason, objects: changes.length });
    for (const change of inOrder(changes)) {
      await this.#room(signal);
      this.#enqueue(source, { ...change, receivedAt: this.#clock.now() }, { isAfterGap: true });
    }
    if (revision < since.position) {
      source.tracker.reset({ position: revision, time });
      this.#record.letCursorGoBack();
    } else {
      source.tracker.advance(revision, time);
    }
    this.#moved('moved');
  }

  #sayGap(
    source: Source,
    gap: { readonly since: Cursor; readonly revision: bigint; readonly reason: Error; readonly objects: number },
  ): void {
    const { since, revision, reason, objects } = gap;
    const where = source.namespace === undefined ? '' : ` in namespace ${source.namespace}`;
    const message =
      `the changes${where} from resourceVersion ${since.position} (of ${new Date(since.time).toISOString()}) to ${revision} are no longer known ` +
      `to the server; the objects that changed (${objects}) are delivered in their present state, and deletions in between are unknown (${reason.message})`;
    this.#logger.warn('changes were missed; the objects are listed instead', {
      ...this.#record.key,
      from: String(since.position),
      to: String(revision),
      objects,
    });
    this.#options.metrics.gap(this.#record.key);
    this.#options.events.warning(this.#record.regarding, 'GapDetected', 'Watch', message);
    this.#record.gap({ reason: 'ChangesMissed', message });
    this.#say();
  }

  #receive(source: Source, change: Change): void {
    const { object, type, position } = change;
    const isOwn = object.metadata.uid === this.#record.uid;
    // What this program writes about triggers must not call for more of it.
    const isNews = !isStatusChange(change.type, object, this.#record.generations) && !isOwn;
    if (isNews) this.#enqueue(source, change, {});
    const created = type === 'ADDED' ? Date.parse(object.metadata.creationTimestamp ?? '') : Number.NaN;
    source.tracker.advance(position, Number.isNaN(created) ? undefined : created);
    this.#moved(isNews ? 'moved' : 'idle');
    if (this.#queue.size >= this.#queueLimit) this.#pause();
    this.#pump();
  }

  /** Before the tracker advances to it. */
  #enqueue(source: Source, change: Change, marks: { readonly isInitial?: boolean; readonly isAfterGap?: boolean }): void {
    const { type, object, position, receivedAt } = change;
    const { isInitial = false, isAfterGap = false } = marks;
    const { sender, metrics } = this.#options;
    const { resourceVersion = '', uid = '' } = object.metadata;
    const resource = this.#resource;
    if (resource === null) return;
    this.#record.count('received');
    metrics.received(this.#record.key, type);
    const id = eventId({ triggerUid: this.#record.uid, objectUid: uid, resourceVersion, type });
    const event: TriggerEvent = { id, type, resource, object, resourceVersion, receivedAt, isInitial, isAfterGap };
    const matches = this.#matches(sender, event);
    if (matches === 'no') {
      this.#record.count('filtered');
      metrics.filtered(this.#record.key);
      return;
    }
    this.#queue.add(uid, {
      event,
      ticket: isInitial || isAfterGap ? source.tracker.openListed() : source.tracker.open(position),
      asksStillExists: type === 'DELETED' && this.#isSelective,
      filterFailure: matches === 'yes' ? null : matches,
      attempts: 0,
      failure: null,
      isBlocked: false,
    });
    this.#queueChanged();
    this.#pump();
  }

  #matches(sender: Sender, event: TriggerEvent): 'yes' | 'no' | Problem {
    try {
      return sender.matches(event);
    } catch (error) {
      this.#logger.error('a filter failed', { ...this.#record.key, err: error });
      return { reason: 'FilterFailed', message: textOf(error) };
    }
  }

  /** Starts what may be started, and comes again when more may be. */
  #pump(): void {
    this.#timer?.();
    this.#timer = null;
    if (this.#stop.signal.aborted || this.#isHeld) return;
    let sendWaitMs: number;
    for (;;) {
      sendWaitMs = this.#sendWaitMs;
      const canSend = sendWaitMs === 0;
      const entry = this.#queue.take(({ failure }) => canSend || failure !== null);
      if (entry === null) break;
      const attempt = this.#attempt(entry)
        .catch((error: unknown) => {
          this.#logger.error('the end of an attempt could not be told; the event is tried again', { ...this.#record.key, err: error });
          this.#queue.retryAfter(entry, this.#rules.maxDelayMs);
        })
        .finally(() => this.#inFlight.delete(attempt));
      this.#inFlight.add(attempt);
    }
    // Time has passed since: what waits for 0 ms by now was not looked at yet.
    const waits = [this.#queue.nextDueMs, sendWaitMs > 0 && sendWaitMs < Infinity ? sendWaitMs : null].filter((wait) => wait !== null);
    if (waits.length > 0 && this.#queue.size > this.#queue.running) {
      this.#timer = this.#clock.setTimeout(() => this.#pump(), Math.min(...waits));
    }
  }

  /** How long until something may be sent to the destination. */
  get #sendWaitMs(): number {
    return Math.max(this.#breaker.waitMs, this.#bucket?.waitMs ?? 0);
  }

  async #attempt(entry: QueueEntry<Delivery>): Promise<void> {
    const delivery = entry.value;
    const { metrics } = this.#options;
    const { key } = this.#record;
    delivery.attempts++;
    if (delivery.attempts > 1) {
      this.#record.count('retried');
      metrics.retried(key);
    }
    const startedAt = this.#clock.monotonic();
    const isToDestination = delivery.failure === null && delivery.filterFailure === null;
    if (isToDestination) this.#bucket?.take();
    const ended = isToDestination ? this.#breaker.begin() : () => undefined;
    let result: Attempt;
    try {
      result = await this.#send(delivery);
    } catch (error) {
      ended('none');
      // It is told again by whoever comes after.
      if (this.#abort.signal.aborted) return;
      this.#logger.error('an attempt to deliver failed by itself', { ...key, err: error });
      result = { outcome: 'temporary', reason: 'Internal', message: textOf(error) };
    }
    ended(signOf(result));
    const seconds = (this.#clock.monotonic() - startedAt) / 1000;
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
    const { key } = this.#record;
    const { metrics, events } = this.#options;
    const now = this.#clock.now();
    const tried = { isDeadLetter: delivery.failure !== null, attempts: delivery.attempts, ageMs: now - event.receivedAt };
    const failure: Failure | null = result.outcome === 'delivered' ? null : result;
    if (failure !== null) this.#record.failed(event, failure, now);
    const decision = decide(result, tried, this.#rules, this.#options.random);
    switch (decision.do) {
      case 'finish':
        if (tried.isDeadLetter) {
          this.#record.count('deadLettered');
          metrics.deadLettered(key);
        } else {
          this.#record.delivered(event, now);
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
        events.warning(
          this.#record.regarding,
          'DeadLettered',
          'Deliver',
          `events are sent as dead letters: ${reason}; see status.lastError`,
        );
        delivery.failure = failure;
        delivery.attempts = 0;
        this.#queue.retryAfter(entry, 0);
        break;
      }
      case 'drop': {
        const { reason = '' } = failure ?? {};
        events.warning(this.#record.regarding, 'Dropped', 'Deliver', `events are given up: ${reason}; see status.lastError`);
        this.#record.count('dropped');
        metrics.dropped(key);
        this.#finish(entry);
        break;
      }
      case 'suspend':
        this.#queue.retryAfter(entry, 0);
        this.#suspend(event, failure);
        break;
    }
    this.#sayDelivery();
    this.#pump();
  }

  #finish(entry: QueueEntry<Delivery>): void {
    this.#setBlocked(entry.value, false);
    entry.value.ticket.finish();
    this.#queue.finish(entry);
    this.#queueChanged();
    this.#moved('moved');
    if (this.#queue.size > this.#queueLimit / 2) return;
    for (const resolve of this.#roomAwaited.splice(0)) resolve();
    if (!this.#isPaused) return;
    this.#isPaused = false;
    for (const { subscription } of this.#sources) subscription?.resume();
  }

  #setBlocked(delivery: Delivery, isBlocked: boolean): void {
    if (delivery.isBlocked !== isBlocked) this.#blocked += isBlocked ? 1 : -1;
    delivery.isBlocked = isBlocked;
  }

  /** Until the spec changes. */
  #suspend({ object, resourceVersion }: TriggerEvent, failure: Failure | null): void {
    if (this.#record.failedSuspension !== null) return;
    const { reason, message } = failure ?? { reason: 'DeliveryFailed', message: '' };
    const what = `${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''} at resourceVersion ${resourceVersion}`;
    const note = `an event of ${what} could not be delivered (${message}); the trigger goes on from there when its spec is changed`;
    this.#record.suspendFor({ reason, message: note });
    this.#options.events.warning(this.#record.regarding, 'Suspended', 'Deliver', note);
    this.#stop.abort();
    this.#timer?.();
    this.#say();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    for (const { subscription } of this.#sources) subscription?.pause();
  }

  /** Resolves when another event may come. */
  async #room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#queue.size < this.#queueLimit) return;
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => reject(reasonOf(signal));
      signal.addEventListener('abort', abort, { once: true });
      this.#roomAwaited.push(() => {
        signal.removeEventListener('abort', abort);
        resolve();
      });
    });
  }

  #queueChanged(): void {
    this.#record.setPending(this.#queue.size);
    this.#options.metrics.queueDepth(this.#record.key, this.#queue.size);
  }

  #moved(urgency: 'idle' | 'moved'): void {
    const cursor = lowestCursor(this.#sources.map(({ tracker }) => tracker.cursor));
    if (cursor !== null) this.#record.moveCursor(cursor, urgency);
  }

  /** Tries until it succeeds, and says why it does not. */
  async #persist<T>(source: Source | null, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    const backoff = this.#newBackoff();
    for (;;) {
      try {
        const value = await act();
        if (source !== null && source.trouble !== null) {
          source.trouble = null;
          this.#say();
        }
        return value;
      } catch (error) {
        if (signal.aborted) throw error;
        const cause = error instanceof Error ? error : new Error(String(error));
        if (source === null || this.#resource === null) {
          this.#logger.warn('a trigger cannot begin yet; trying again', { ...this.#record.key, reason: cause.message });
        } else {
          if (cause instanceof StatusError && cause.isNotFound) throw new KindGoneError(cause.message);
          source.trouble = watchProblem(cause, this.#target(this.#resource, source));
          this.#say();
        }
        const askedForMs = cause instanceof StatusError ? 1000 * (cause.retryAfterSeconds ?? 0) : 0;
        await this.#clock.sleep(Math.max(backoff.next(), askedForMs), signal);
      }
    }
  }

  /** Hands on each page, and returns the revision of the first one: what changed after it is told by a watch from there. */
  async #eachPage(
    source: Source,
    signal: AbortSignal,
    take: (objects: readonly KubeObject[], isFirst: boolean) => Promise<void>,
  ): Promise<string | undefined> {
    let revision: string | undefined;
    let next: string | undefined;
    do {
      const page = await this.#page(source, { limit: PAGE_SIZE, continue: next }, signal).catch((error: unknown) => {
        // It took so long that the version of the first page is compacted: the rest is of a newer one.
        const rest = next === undefined ? undefined : continueAfter(error);
        if (rest === undefined) throw error;
        return this.#page(source, { limit: PAGE_SIZE, continue: rest }, signal);
      });
      for (const object of page.items) delete object.metadata.managedFields;
      const isFirst = next === undefined;
      if (isFirst) revision = page.metadata.resourceVersion;
      await take(page.items, isFirst);
      next = page.metadata.continue === '' ? undefined : page.metadata.continue;
    } while (next !== undefined);
    return revision;
  }

  #page(source: Source, page: { readonly limit: number; readonly continue?: string }, signal: AbortSignal): Promise<KubeList<KubeObject>> {
    const resource = this.#resource;
    if (resource === null) return Promise.reject(new Error('the kind is not known yet'));
    const { resource: of, ...select } = this.#target(resource, source);
    return this.#options.client.list(of, { ...select, ...page, exactIntegers: true, signal });
  }

  #target(resource: Resource<KubeObject>, { namespace }: Source): WatchTarget {
    const { labelSelectors = [], fieldSelectors = [] } = this.#trigger.spec;
    return {
      resource,
      namespace,
      labelSelector: labelSelectors.length === 0 ? undefined : labelSelectors.join(','),
      fieldSelector: fieldSelectors.length === 0 ? undefined : fieldSelectors.join(','),
    };
  }

  get #isSelective(): boolean {
    const { labelSelectors = [], fieldSelectors = [] } = this.#trigger.spec;
    return labelSelectors.length + fieldSelectors.length > 0;
  }

  /** The trigger cannot deliver anything before its spec changes. */
  get #isHeld(): boolean {
    return this.#problems.some(({ reason }) => !CURED_ELSEWHERE.has(reason));
  }

  #setKindProblem(problem: Problem): void {
    this.#kindProblem = problem;
    this.#say();
  }

  #say(): void {
    const { spec } = this.#trigger;
    // What a runner sees that is about to end says nothing about the trigger.
    if (this.#stop.signal.aborted && this.#record.failedSuspension === null) return;
    const requested = { reason: SUSPEND_REQUESTED, message: 'spec.suspend is true; the cursor stays where it is' };
    this.#saidProblem = this.#deliveryProblem;
    this.#record.say(
      {
        suspended: spec.suspend ? requested : this.#record.failedSuspension,
        watchProblem: this.#kindProblem ?? this.#sources.find(({ trouble }) => trouble !== null)?.trouble ?? null,
        isFollowing: this.#sources.length > 0 && this.#sources.every(({ isFollowing }) => isFollowing),
        deliveryProblem: this.#saidProblem,
      },
      this.#clock.now(),
    );
  }

  /** After each attempt: most of them change nothing. */
  #sayDelivery(): void {
    const problem = this.#deliveryProblem;
    if (problem?.reason !== this.#saidProblem?.reason || problem?.message !== this.#saidProblem?.message) this.#say();
  }

  get #deliveryProblem(): Problem | null {
    const [problem] = this.#problems;
    if (problem !== undefined) return problem;
    const last = this.#record.lastError;
    if (last === undefined) return null;
    if (this.#breaker.isOpen) return { reason: last.reason, message: `the destination does not answer as it should: ${last.message}` };
    if (this.#blocked > 0) return { reason: last.reason, message: `events are blocked that cannot be delivered: ${last.message}` };
    return null;
  }

  #newBackoff(): Backoff {
    return new Backoff({ leastMs: RETRY_LEAST_MS, mostMs: RETRY_MOST_MS, random: this.#options.random });
  }

  async #sleep(milliseconds: number): Promise<void> {
    await this.#clock.sleep(milliseconds, this.#stop.signal).catch(() => undefined);
  }
}

/** Only what the destination itself did, or did not do. */
function signOf(result: Attempt): Sign {
  if (result.outcome === 'delivered') return 'up';
  if (result.code !== undefined) return result.code >= 500 ? 'down' : 'up';
  return result.reason === 'ConnectionFailed' || result.reason === 'Timeout' ? 'down' : 'none';
}

/** Where the list can go on with a newer version. */
function continueAfter(error: unknown): string | undefined {
  if (!(error instanceof StatusError) || !error.isGone) return undefined;
  const { metadata } = error.status;
  return 'continue' in metadata && typeof metadata.continue === 'string' && metadata.continue !== '' ? metadata.continue : undefined;
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
