import { setTimeout as delay } from 'node:timers/promises';
import { type ControlState, type ControlStore, FencedError, type WriterIdentity, type WriterRecord } from './backend.js';
import { StoppedError } from './errors.js';
import type { KeyspaceLog } from './keyspace-log.js';
import type { Revision } from './model.js';
import { Patience } from './patience.js';

/*
 * Who may write. The default database holds a record of the writer: its epoch, and a number that grows with each renewal.
 * Two clocks are never compared, and the database's is never read. The holder counts from the moment *before* it asked for
 * a renewal that then succeeded; whoever waits counts from the moment *after* it was shown a record, and begins when the
 * same record was there for the whole lease. What it saw was written before it saw it, so the holder's time is over first.
 *
 * The lease says when reads may be answered and requests admitted. It protects no write: every commit carries the epoch.
 */

/** Pauses between two looks at a record of somebody else. */
const LOOK_MS = { least: 100, most: 250 };
/** Renewals carry the marks, which have to be no older than this. */
const MARKS_INTERVAL_MS = 10_000;
/** Pause before a renewal that failed is tried again: the lease is short, and a database that was cut off may be back at once. */
const RETRY_MS = 250;
/** Part of the lease that the holder does not use: clocks of two machines run at speeds that differ by less. */
const CLOCK_DRIFT = 0.01;

export interface WriterLeaseOptions {
  readonly identity: WriterIdentity;
  /** Ends the waiting: `acquire` rejects with StoppedError. */
  readonly signal?: AbortSignal;
  /** Is told whose turn it is, and again when it is somebody else's. */
  readonly onWaiting?: (record: WriterRecord) => void;
  readonly log: KeyspaceLog;
}

export interface WriterStatus {
  readonly isHeld: boolean;
  readonly epoch: bigint;
  /** Until it runs out unless it is renewed; Infinity when it cannot. */
  readonly millisecondsLeft: number;
  /** Why it is not held; empty when it is. */
  readonly problem: string;
}

/** The right to write, renewed until it is released or lost. */
export class WriterLease {
  /** Resolves when another writer was seen; this one never writes again. */
  readonly lost: Promise<Error>;
  #lose: (error: Error) => void = () => undefined;
  /** On the monotonic clock. */
  #until: number;
  #lostTo: Error | null = null;
  #isReleased = false;
  /** Why the last renewal failed; empty when it did not. */
  #failure = '';
  #marks: () => ReadonlyMap<string, Revision>;
  readonly #stopped = new AbortController();
  /** Ends the pause before the next renewal. */
  #hurry: () => void = () => undefined;
  readonly #renewing: Promise<void>;

  private constructor(
    private readonly main: ControlStore,
    private readonly options: WriterLeaseOptions,
    /** What was recorded when this writer began. */
    readonly control: ControlState,
    began: number,
  ) {
    this.lost = new Promise((resolve) => (this.#lose = resolve));
    this.#until = this.#end(began);
    this.#marks = () => control.marks;
    this.#renewing = this.#keepRenewing();
  }

  /**
   * Waits for its turn and begins a new epoch. Rejects when the database cannot be looked at or refuses; once it has waited for
   * somebody, a database that is away is looked at again.
   */
  static async acquire(main: ControlStore, options: WriterLeaseOptions): Promise<WriterLease> {
    const { identity, signal, log } = options;
    let hasWaited = false;
    let watched: { readonly record: WriterRecord; readonly since: number } | null = null;
    let failure = '';
    for (;;) {
      if (signal?.aborted === true) throw new StoppedError();
      try {
        const sent = performance.now();
        const record = await main.writer();
        if (record === null || !isSame(record, watched?.record)) {
          if (record !== null && isWaitedFor(record, main, identity)) tell(record, watched?.record, options);
          watched = record === null ? null : { record, since: performance.now() };
        }
        failure = '';
        const isFree = record === null || !isWaitedFor(record, main, identity);
        hasWaited ||= !isFree;
        if (isFree || (watched !== null && sent - watched.since >= record.leaseMs)) {
          const began = performance.now();
          const control = await main.begin(identity, record);
          if (control !== null) return new WriterLease(main, options, control, began);
          continue;
        }
      } catch (error) {
        // Nobody is there to be waited for: whoever starts the process has to know.
        if (!hasWaited) throw error;
        const message = error instanceof Error ? error.message : String(error);
        if (message !== failure) log.warn('the default database cannot be asked whose turn it is; it is asked again', { error: message });
        failure = message;
      }
      await pause(LOOK_MS.least + Math.random() * (LOOK_MS.most - LOOK_MS.least), signal);
    }
  }

  /** Surely nobody else has begun to write. True at one instant: ask after the data is there that it is to vouch for. */
  get isHeld(): boolean {
    return performance.now() < this.#until;
  }

  get status(): WriterStatus {
    const millisecondsLeft = Math.max(0, this.#until - performance.now());
    return { isHeld: millisecondsLeft > 0, epoch: this.control.epoch, millisecondsLeft, problem: millisecondsLeft > 0 ? '' : this.problem };
  }

  /** Why it is not held. */
  get problem(): string {
    if (this.#lostTo !== null) return `another router has taken over: ${this.#lostTo.message}`;
    if (this.#isReleased) return 'this router has given the writer lease back';
    return `the writer lease has run out${this.#failure === '' ? '' : `, since it could not be renewed: ${this.#failure}`}`;
  }

  /** `marks` tells the last revision of each database, by identity, for the renewals to come; those recorded before stand beside. */
  markWith(marks: () => ReadonlyMap<string, Revision>): void {
    this.#marks = () => new Map([...this.control.marks, ...marks()]);
  }

  /** Renews at once: somebody has seen a sign of another writer. */
  check(): void {
    this.#hurry();
  }

  /** Records the marks and ends the lease. Nothing may be under way any more. Rejects when the database does not take it. */
  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#until = -Infinity;
    this.#stopped.abort();
    this.#hurry();
    await this.#renewing;
    if (this.#lostTo !== null) return;
    // It runs out by itself: nothing is won by waiting longer.
    const patience = new Patience(this.options.identity.leaseMs, NEVER);
    try {
      await patience.await(this.main.renew(this.#marks()));
      await patience.await(this.main.release());
    } catch (error) {
      if (!(error instanceof FencedError)) throw error;
    } finally {
      patience.end();
    }
  }

  get #interval(): number {
    return this.main.isExclusive ? MARKS_INTERVAL_MS : Math.min(this.options.identity.leaseMs / 3, MARKS_INTERVAL_MS);
  }

  #end(sent: number): number {
    return this.main.isExclusive ? Infinity : sent + this.options.identity.leaseMs * (1 - CLOCK_DRIFT);
  }

  async #keepRenewing(): Promise<void> {
    const interval = this.#interval;
    const retry = Math.min(interval, RETRY_MS);
    while (!this.#stopped.signal.aborted && this.#lostTo === null) {
      await this.#pause(this.#failure === '' ? interval : retry);
      if (this.#stopped.signal.aborted) return;
      await this.#renew();
    }
  }

  async #renew(): Promise<void> {
    const sent = performance.now();
    const renewing = this.main.renew(this.#marks()).then(
      // One that is answered late counts from when it was sent, too.
      () => this.#renewed(sent),
      (error: unknown) => this.#failed(error),
    );
    // Another one may come through where this one is stuck.
    const patience = new Patience(this.#interval, this.#stopped.signal);
    try {
      await patience.await(renewing);
    } catch (error) {
      this.#failed(error);
    } finally {
      patience.end();
    }
  }

  #renewed(sent: number): void {
    if (this.#isReleased || this.#lostTo !== null) return;
    if (this.#failure !== '') this.options.log.info('the writer lease is renewed again');
    this.#failure = '';
    this.#until = Math.max(this.#until, this.#end(sent));
  }

  #failed(error: unknown): void {
    if (this.#isReleased || this.#lostTo !== null) return;
    const { epoch } = this.control;
    // A lower epoch is no other writer but an older copy of the database: whoever restored it has to decide.
    if (error instanceof FencedError && error.foundEpoch > epoch) {
      this.#until = -Infinity;
      this.#lostTo = error;
      this.#lose(error);
      return;
    }
    const isOlder = error instanceof FencedError;
    if (isOlder) this.#until = -Infinity;
    const message = isOlder
      ? `the default database holds epoch ${error.foundEpoch}, but it had epoch ${epoch}: it was restored from an older copy; restore the right copy`
      : error instanceof Error
        ? error.message
        : String(error);
    if (message !== this.#failure) this.options.log.warn('the writer lease could not be renewed; it is tried again', { error: message });
    this.#failure = message;
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      timer.unref();
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const NEVER = new AbortController().signal;

function isSame(record: WriterRecord, other: WriterRecord | undefined): boolean {
  return record.epoch === other?.epoch && record.renewals === other.renewals && record.isReleased === other.isReleased;
}

/** Not one of the past, and not this process itself, to which a `begin` was not answered. */
function isWaitedFor(record: WriterRecord, main: ControlStore, identity: WriterIdentity): boolean {
  return !main.isExclusive && !record.isReleased && record.holder !== identity.holder;
}

function tell(record: WriterRecord, told: WriterRecord | undefined, { onWaiting }: WriterLeaseOptions): void {
  if (record.holder !== told?.holder || record.address !== told.address || record.epoch !== told.epoch) onWaiting?.(record);
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}
