// Events of events.k8s.io/v1. The first one of its kind is created; its repetitions become a series on that one, whose count is written at the first
// repetition and then once a minute, until nothing was repeated for six minutes. Equal are events that say the same about the same object, note
// included: a text that differs is news.

import { type Clock, ConnectionError, EVENTS, type KubeClient, type KubeObject, StatusError, systemClock } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** Events that wait to be written; more are dropped. */
const MAX_QUEUED = 1000;
/** Events whose repetitions are known; the oldest is forgotten beyond. */
const MAX_SERIES = 4096;
const SERIES_ENDS_AFTER_MS = 6 * 60_000;
const REFRESH_MS = 60_000;
const MAX_NOTE_BYTES = 1024;
const MAX_WORD = 128;
const MAX_NAME = 253;
const TRIES = 5;
const FIRST_RETRY_MS = 1000;
/** What is not written so long after `close` is dropped. */
const CLOSE_MS = 5000;

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  /** A qualified name, such as `example.org/some-controller`. */
  readonly reportingController: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** `events.k8s.io/v1.Event` */
interface KubeEvent extends KubeObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly eventTime: string;
  readonly type: EventType;
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly regarding: {
    readonly apiVersion?: string;
    readonly kind?: string;
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}

type EventType = 'Normal' | 'Warning';

/** An event and its repetitions. */
interface Series {
  readonly event: KubeEvent;
  count: number;
  lastObserved: number;
  /** The count that the API server knows, or will know when the queue is through. */
  asked: number;
}

/** Tells people, by `kubectl describe` and `kubectl get events`, what a controller does about an object. No secrets. */
export class EventRecorder {
  readonly #client: EventRecorderOptions['client'];
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #reportingController: string;
  readonly #reportingInstance: string;
  readonly #series = new Map<string, Series>();
  readonly #queue: Series[] = [];
  readonly #giveUp = new AbortController();
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #cancelRefresh: (() => void) | null = null;
  #isClosed = false;
  #dropped = 0;

  constructor({ client, reportingController, logger, clock = systemClock }: EventRecorderOptions) {
    this.#client = client;
    this.#logger = logger;
    this.#clock = clock;
    this.#reportingController = reportingController;
    this.#reportingInstance = `${reportingController}-${hostname()}`.slice(0, MAX_WORD);
  }

  /** How many were not written: too many at once, or refused. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Returns at once and never throws; the event is written later, or not at all. `reason` and `action` are words in CamelCase. */
  normal(regarding: KubeObject, reason: string, action: string, note: string): void {
    this.#record('Normal', regarding, { reason, action, note });
  }

  /** The same, for what somebody may have to look at. */
  warning(regarding: KubeObject, reason: string, action: string, note: string): void {
    this.#record('Warning', regarding, { reason, action, note });
  }

  /** Records nothing more, and writes what waits, for five seconds at most. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#refresh();
      this.#isClosed = true;
      this.#cancelRefresh?.();
      this.#cancelRefresh = null;
    }
    const cancel = this.#clock.setTimeout(() => this.#giveUp.abort(), CLOSE_MS);
    await this.#writing;
    cancel();
  }

  #record(
    type: EventType,
    regarding: KubeObject,
    words: { readonly reason: string; readonly action: string; readonly note: string },
  ): void {
    if (this.#isClosed) return;
    const now = this.#clock.now();
    const event = this.#eventOf(type, regarding, { ...words, now });
    const same = JSON.stringify([
      type,
      event.regarding.uid,
      event.regarding.name,
      event.metadata.namespace,
      event.regarding.kind,
      event.reason,
      event.action,
      event.note,
    ]);
    const series = this.#series.get(same);
    if (series !== undefined && now - series.lastObserved < SERIES_ENDS_AFTER_MS) {
      series.count++;
      series.lastObserved = now;
      if (series.count === 2) this.#ask(series);
      return;
    }
    const first: Series = { event, count: 1, lastObserved: now, asked: 0 };
    if (!this.#ask(first)) return;
    this.#series.delete(same);
    this.#series.set(same, first);
    const [oldest] = this.#series.keys();
    if (this.#series.size > MAX_SERIES && oldest !== undefined) this.#series.delete(oldest);
    this.#cancelRefresh ??= this.#clock.setTimeout(() => this.#refresh(), REFRESH_MS);
  }

  #eventOf(
    type: EventType,
    { apiVersion, kind, metadata }: KubeObject,
    { reason, action, note, now }: { readonly reason: string; readonly action: string; readonly note: string; readonly now: number },
  ): KubeEvent {
    const { name = '', namespace, uid, resourceVersion } = metadata;
    const suffix = `.${now.toString(16)}${randomBytes(4).toString('hex')}`;
    // Names of roles may hold what names of events may not.
    const stem = name
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, '-')
      .replace(/^[.-]+/, '')
      .slice(0, MAX_NAME - suffix.length)
      .replace(/[.-]+$/, '');
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      // That of an object without a namespace is looked for in `default`.
      metadata: { name: `${stem === '' ? 'event' : stem}${suffix}`, namespace: namespace ?? 'default' },
      eventTime: microTime(now),
      type,
      reason: reason.slice(0, MAX_WORD),
      action: action.slice(0, MAX_WORD),
      note: cutToBytes(note, MAX_NOTE_BYTES),
      regarding: { apiVersion, kind, name, namespace, uid, resourceVersion },
      reportingController: this.#reportingController,
      reportingInstance: this.#reportingInstance,
    };
  }

  /** Writes the counts that have grown, and forgets what is not repeated any more. */
  #refresh(): void {
    this.#cancelRefresh?.();
    const now = this.#clock.now();
    for (const [same, series] of this.#series) {
      if (series.count > series.asked) this.#ask(series);
      if (now - series.lastObserved >= SERIES_ENDS_AFTER_MS) this.#series.delete(same);
    }
    this.#cancelRefresh = this.#series.size === 0 ? null : this.#clock.setTimeout(() => this.#refresh(), REFRESH_MS);
  }

  /** False: too many wait already. */
  #ask(series: Series): boolean {
    if (this.#queue.length >= MAX_QUEUED) {
      this.#drop('too many events at once, some are dropped', {});
      return false;
    }
    series.asked = series.count;
    if (!this.#queue.includes(series)) this.#queue.push(series);
    if (!this.#isWriting) {
      this.#isWriting = true;
      this.#writing = this.#writeAll();
    }
    return true;
  }

  async #writeAll(): Promise<void> {
    for (let series = this.#queue.shift(); series !== undefined; series = this.#queue.shift()) await this.#write(series);
    this.#isWriting = false;
  }

  async #write(series: Series): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#send(series);
        return;
      } catch (error) {
        if (isQuiet(error)) {
          this.#logger.debug('an event is not written, its namespace goes', { reason: error.message });
          return;
        }
        if (!isTransient(error) || attempt === TRIES || this.#giveUp.signal.aborted) {
          this.#drop('an event could not be written', { err: error });
          return;
        }
        await this.#pause(FIRST_RETRY_MS * 2 ** (attempt - 1));
      }
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    try {
      await this.#clock.sleep(milliseconds, this.#giveUp.signal);
    } catch {
      // Only the signal ends it early: what follows is the last try.
    }
  }

  async #send({ event, count, lastObserved }: Series): Promise<void> {
    const { signal } = this.#giveUp;
    const { name, namespace } = event.metadata;
    const series = count === 1 ? undefined : { count, lastObservedTime: microTime(lastObserved) };
    if (series !== undefined) {
      try {
        await this.#client.patch(EVENTS, name, namespace, { series }, { type: 'merge', signal });
        return;
      } catch (error) {
        // It was never written, or is older than events are kept.
        if (!(error instanceof StatusError && error.isNotFound)) throw error;
      }
    }
    try {
      await this.#client.create<KubeObject>(EVENTS, series === undefined ? event : { ...event, series }, { signal });
    } catch (error) {
      // An earlier try has arrived after all.
      if (!(error instanceof StatusError && error.isAlreadyExists)) throw error;
    }
  }

  /** Told once: whatever is wrong with one event is wrong with most of them. */
  #drop(message: string, fields: { readonly err?: unknown }): void {
    this.#dropped++;
    if (this.#dropped === 1) this.#logger.warn(message, { ...fields, reportingController: this.#reportingController });
  }
}

/** The namespace goes, and its objects and events with it. */
function isQuiet(error: unknown): error is StatusError {
  return error instanceof StatusError && (error.isNotFound || error.isNamespaceTerminating);
}

function isTransient(error: unknown): boolean {
  return error instanceof ConnectionError || (error instanceof StatusError && (error.code >= 500 || error.isTooManyRequests));
}

/** Kubernetes' `MicroTime`: always six digits. */
function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000Z');
}

/** At the end of a character. */
function cutToBytes(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  let end = most;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
