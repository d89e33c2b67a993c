/**
 * Serves one trigger under one spec: follows what it watches, and hands each event to the deliveries until that event has come to its end. The cursor of
 * the record tells at any moment from where another runner can go on without a loss; it may tell it an event once more, under the same id.
 */
import type { HTTPTrigger } from '@harikube/crds';
import type { Clock, KubeClient, KubeObject, Resource, ResourceDiscovery } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import type { EventRecorder } from '@harikube/reconcilers';
import { lowestCursor } from './cursor-tracker.js';
import type { FoundChange } from './gap.js';
import { isStatusChange } from './own-kind.js';
import { textOf, untilDone } from './retrying.js';
import type { SharedWatches } from './shared-watch.js';
import type { StatusWriter } from './status-writer.js';
import type { Problem } from './trigger-conditions.js';
import { TriggerDeliveries } from './trigger-deliveries.js';
import { eventId, type TriggerEvent } from './trigger-event.js';
import { TriggerKind } from './trigger-kind.js';
import type { TriggerMetrics } from './trigger-metrics.js';
import { type Failure, SUSPEND_REQUESTED, type TriggerRecord, type Urgency } from './trigger-record.js';
import type { TriggerSender } from './trigger-sender.js';
import { type Gap, KindGoneError, TriggerSource } from './trigger-source.js';
import type { Change } from './watch-loop.js';

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

/** Pause before the watching begins again. */
const RESTART_MS = 1000;
/** Problems of a trigger that something else may cure. Until the spec changes, the others let no event be sent, and none is used up for them. */
const CURED_ELSEWHERE: ReadonlySet<string> = new Set(['SecretNotReady', 'SecretInvalid', 'ServiceNotReady']);

export class TriggerRunner {
  readonly #options: TriggerRunnerOptions;
  readonly #trigger: HTTPTrigger;
  readonly #record: TriggerRecord;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #kind: TriggerKind;
  readonly #deliveries: TriggerDeliveries;
  /** Ends the watching; requests that are under way go on. */
  readonly #stop = new AbortController();
  #resource: Resource<KubeObject> | null = null;
  #sources: readonly TriggerSource[] = [];
  #kindProblem: Problem | null = null;
  #problems: readonly Problem[] = [];
  /** What the condition Delivering says. */
  #saidProblem: Problem | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: TriggerRunnerOptions) {
    const { trigger, clock, logger, record, queueLimit } = options;
    this.#options = options;
    this.#trigger = trigger;
    this.#record = record;
    this.#clock = clock;
    this.#logger = logger;
    this.#kind = new TriggerKind({ ...options, onProblem: (problem) => this.#setKindProblem(problem) });
    this.#deliveries = new TriggerDeliveries({
      ...options,
      spec: trigger.spec,
      queueLimit,
      isHeld: () => this.#isHeld,
      onFinished: () => this.#moved('moved'),
      onRoom: () => this.#sources.forEach((source) => source.resume()),
      onSettled: () => this.#sayDelivery(),
      onSuspended: (event, failure) => this.#suspend(event, failure),
    });
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
      this.#deliveries.pump();
    });
    this.#say();
    this.#running = this.#run();
  }

  /** Begins nothing more. Resolves when what is being sent has ended, or was ended after so long. A later call may shorten that. */
  async stop(graceMs: number): Promise<void> {
    this.#end();
    const cancel = this.#clock.setTimeout(() => this.#deliveries.abort(), graceMs);
    if (graceMs <= 0) this.#deliveries.abort();
    await Promise.all([this.#running, this.#deliveries.whenIdle()]);
    cancel();
    await this.#options.sender.close();
    this.#record.setPending(this.#deliveries.size);
  }

  #end(): void {
    this.#stop.abort();
    this.#deliveries.halt();
  }

  #run(): Promise<void> {
    return this.#untilStopped('a trigger could not go on; it begins again', async (signal) => {
      const group = new AbortController();
      const end = AbortSignal.any([signal, group.signal]);
      try {
        const resource = await this.#kind.resolve(signal);
        await this.#begin(resource, end);
        await Promise.all(this.#sources.map((source) => source.follow(resource, end)));
      } catch (error) {
        group.abort();
        for (const source of this.#sources) source.close();
        throw error;
      }
    });
  }

  /** Stores where the trigger is to begin, and nothing more. */
  #beginSuspended(): Promise<void> {
    return this.#untilStopped('a suspended trigger could not begin; it is tried again', async (signal) => {
      await this.#begin(await this.#kind.resolve(signal), signal);
    });
  }

  /** Does it again after a failure, of which it does not know whether the kind has to do with it. */
  async #untilStopped(complaint: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await work(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#kind.forget();
        if (!(error instanceof KindGoneError)) this.#logger.error(complaint, { err: error });
        await this.#clock.sleep(RESTART_MS, signal).catch(() => undefined);
      }
    }
  }

  /** Where each source begins. Where there is no cursor yet, it is stored before anything is delivered. */
  async #begin(resource: Resource<KubeObject>, signal: AbortSignal): Promise<void> {
    this.#resource = resource;
    const { namespaces = [], sendInitialEvents } = this.#trigger.spec;
    const places = namespaces.length === 0 ? [undefined] : [...new Set(namespaces)];
    if (this.#sources.length === 0) this.#sources = places.map((namespace) => this.#newSource(namespace));
    if (sendInitialEvents || this.#record.cursor !== null) return;
    for (const source of this.#sources) await source.skipToPresent(resource, signal);
    this.#moved('moved');
    const { statuses, clock, random } = this.#options;
    const failed = ({ message }: Error): void =>
      this.#logger.warn('a trigger cannot begin yet; trying again', { ...this.#record.key, reason: message });
    await untilDone(() => statuses.writeNow(this.#record), failed, { clock, random, signal });
  }

  #newSource(namespace: string | undefined): TriggerSource {
    const source: TriggerSource = new TriggerSource({
      ...this.#options,
      spec: this.#trigger.spec,
      namespace,
      cursor: this.#record.cursor,
      onChange: (change) => this.#receive(source, change),
      onListed: (change, found, signal) => this.#takeListed(source, change, found === 'initially', signal),
      onGap: (gap) => this.#sayGap(source, gap),
      onMoved: (urgency) => this.#moved(urgency),
      onReset: () => this.#record.letCursorGoBack(),
      onState: () => this.#say(),
    });
    return source;
  }

  async #takeListed(source: TriggerSource, change: FoundChange, isInitial: boolean, signal: AbortSignal): Promise<void> {
    await this.#deliveries.room(signal);
    this.#enqueue(source, { ...change, receivedAt: this.#clock.now() }, { isInitial, isAfterGap: !isInitial });
  }

  #receive(source: TriggerSource, change: Change): void {
    const { object, type, position } = change;
    const isOwn = object.metadata.uid === this.#record.uid;
    // What this program writes about triggers must not call for more of it.
    const isNews = !isStatusChange(change.type, object, this.#record.generations) && !isOwn;
    if (isNews) this.#enqueue(source, change, { isInitial: false, isAfterGap: false });
    const created = type === 'ADDED' ? Date.parse(object.metadata.creationTimestamp ?? '') : Number.NaN;
    source.tracker.advance(position, Number.isNaN(created) ? undefined : created);
    this.#moved(isNews ? 'moved' : 'idle');
    if (this.#deliveries.isFull) for (const each of this.#sources) each.pause();
    this.#deliveries.pump();
  }

  /** Before the tracker advances to it. */
  #enqueue(source: TriggerSource, change: Change, marks: { readonly isInitial: boolean; readonly isAfterGap: boolean }): void {
    const { type, object, position, receivedAt } = change;
    const { isInitial, isAfterGap } = marks;
    const { metrics } = this.#options;
    const { resourceVersion = '', uid = '' } = object.metadata;
    const resource = this.#resource;
    if (resource === null) return;
    this.#record.count('received');
    metrics.received(this.#record.key, type);
    const id = eventId({ triggerUid: this.#record.uid, objectUid: uid, resourceVersion, type });
    const event: TriggerEvent = { id, type, resource, object, resourceVersion, receivedAt, isInitial, isAfterGap };
    const matches = this.#matches(event);
    if (matches === 'no') {
      this.#record.count('filtered');
      metrics.filtered(this.#record.key);
      return;
    }
    this.#deliveries.add(uid, {
      event,
      ticket: isInitial || isAfterGap ? source.tracker.openListed() : source.tracker.open(position),
      asksStillExists: type === 'DELETED' && this.#isSelective,
      filterFailure: matches === 'yes' ? null : matches,
    });
  }

  #matches(event: TriggerEvent): 'yes' | 'no' | Problem {
    try {
      return this.#options.sender.matches(event);
    } catch (error) {
      this.#logger.error('a filter failed', { ...this.#record.key, err: error });
      return { reason: 'FilterFailed', message: textOf(error) };
    }
  }

  /** Until the spec changes. */
  #suspend({ object, resourceVersion }: TriggerEvent, failure: Failure | null): void {
    if (this.#record.failedSuspension !== null) return;
    const { reason, message } = failure ?? { reason: 'DeliveryFailed', message: '' };
    const what = `${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''} at resourceVersion ${resourceVersion}`;
    const note = `an event of ${what} could not be delivered (${message}); the trigger goes on from there when its spec is changed`;
    this.#record.suspendFor({ reason, message: note });
    this.#options.events.warning(this.#record.regarding, 'Suspended', 'Deliver', note);
    this.#end();
    this.#say();
  }

  #moved(urgency: Urgency): void {
    const cursor = lowestCursor(this.#sources.map(({ tracker }) => tracker.cursor));
    if (cursor !== null) this.#record.moveCursor(cursor, urgency);
  }

  get #isSelective(): boolean {
    const { labelSelectors = [], fieldSelectors = [] } = this.#trigger.spec;
    return labelSelectors.length + fieldSelectors.length > 0;
  }

  /** The trigger cannot deliver anything before its spec changes. */
  get #isHeld(): boolean {
    return this.#problems.some(({ reason }) => !CURED_ELSEWHERE.has(reason));
  }

  #sayGap({ namespace }: TriggerSource, { since, revision, reason, objects }: Gap): void {
    const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
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

  #setKindProblem(problem: Problem | null): void {
    this.#kindProblem = problem;
    if (problem !== null) this.#say();
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
    return this.#problems[0] ?? this.#deliveries.problem;
  }
}
