/**
 * Writes the status of triggers at a bounded rate: that of a trigger at most once in a second while it moves, and once in a minute while its cursor only
 * follows the resource; that of all together a few times in a second.
 */
import { Backoff, type Clock, type KubeClient, StatusError } from '@harikube/kube';
import { HTTP_TRIGGERS } from '@harikube/crds';
import type { Logger } from '@harikube/platform';
import { TokenBucket } from './token-bucket.js';
import type { TriggerRecord, Urgency } from './trigger-record.js';

export interface StatusWriterOptions {
  readonly client: Pick<KubeClient, 'patch'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** Ends what is being written, and everything after: another one may write. */
  readonly signal: AbortSignal;
}

const MOVED_MS = 1000;
const IDLE_MS = 60_000;
const WRITES_PER_SECOND = 5;
const WRITES_AT_ONCE = 10;
const RETRY_LEAST_MS = 1000;
const RETRY_MOST_MS = 30_000;

interface Entry {
  readonly record: TriggerRecord;
  readonly backoff: Backoff;
  urgency: Urgency | null;
  /** Not before. */
  pausedUntil: number;
  writtenAt: number;
  writing: Promise<void> | null;
  /** What the server has. */
  stored: string | null;
  timer: { readonly due: number; readonly cancel: () => void } | null;
  /** The trigger is gone. */
  isGone: boolean;
}

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #bucket: TokenBucket;
  readonly #entries = new Map<TriggerRecord, Entry>();

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket({ clock: options.clock, perSecond: WRITES_PER_SECOND, burst: WRITES_AT_ONCE });
  }

  /** Writes it whenever it changes, until `remove`. */
  add(record: TriggerRecord): void {
    const { random } = this.#options;
    const backoff = new Backoff({ leastMs: RETRY_LEAST_MS, mostMs: RETRY_MOST_MS, random });
    const entry: Entry = {
      record,
      backoff,
      urgency: null,
      pausedUntil: 0,
      writtenAt: -Infinity,
      writing: null,
      stored: null,
      timer: null,
      isGone: false,
    };
    this.#entries.set(record, entry);
    record.onChange = (urgency) => this.#ask(entry, urgency);
  }

  remove(record: TriggerRecord): void {
    const entry = this.#entries.get(record);
    entry?.timer?.cancel();
    this.#entries.delete(record);
    record.onChange = () => undefined;
  }

  /** Resolves when what the record says at this moment is stored, and rejects when it cannot be. The rates do not hold. */
  async writeNow(record: TriggerRecord): Promise<void> {
    const entry = this.#entries.get(record);
    if (entry === undefined) return;
    // Another one that is under way may say less.
    while (entry.writing !== null) await entry.writing.catch(() => undefined);
    await this.#write(entry);
  }

  /** Writes what is not written yet, as well as it can. */
  async flush(record: TriggerRecord): Promise<void> {
    try {
      await this.writeNow(record);
    } catch (error) {
      this.#warn(record, error);
    }
  }

  #ask(entry: Entry, urgency: Urgency): void {
    if (entry.urgency !== 'moved') entry.urgency = urgency;
    this.#schedule(entry);
  }

  #schedule(entry: Entry): void {
    const { clock, signal } = this.#options;
    if (entry.urgency === null || entry.writing !== null || entry.isGone || signal.aborted || !this.#entries.has(entry.record)) return;
    const due = Math.max(entry.writtenAt + (entry.urgency === 'moved' ? MOVED_MS : IDLE_MS), entry.pausedUntil);
    if (entry.timer !== null && entry.timer.due <= due) return;
    entry.timer?.cancel();
    this.#wait(entry, due, Math.max(0, due - clock.monotonic()));
  }

  #wait(entry: Entry, due: number, milliseconds: number): void {
    const run = (): void => {
      entry.timer = null;
      if (entry.writing !== null || this.#options.signal.aborted) return;
      const waitMs = this.#bucket.waitMs;
      if (waitMs > 0) {
        this.#wait(entry, due, waitMs);
        return;
      }
      this.#bucket.take();
      this.#write(entry).catch((error: unknown) => {
        if (!this.#options.signal.aborted) this.#warn(entry.record, error);
      });
    };
    entry.timer = { due, cancel: this.#options.clock.setTimeout(run, milliseconds) };
  }

  async #write(entry: Entry): Promise<void> {
    const { clock } = this.#options;
    const { status } = entry.record;
    const text = JSON.stringify(status);
    const { urgency } = entry;
    entry.urgency = null;
    if (text === entry.stored || entry.isGone) return;
    entry.writing = this.#patch(entry, status);
    try {
      await entry.writing;
      entry.stored = text;
      entry.backoff.reset();
    } catch (error) {
      entry.urgency ??= urgency ?? 'moved';
      entry.pausedUntil = clock.monotonic() + entry.backoff.next();
      throw error;
    } finally {
      entry.writing = null;
      entry.writtenAt = clock.monotonic();
      this.#schedule(entry);
    }
  }

  async #patch(entry: Entry, status: object): Promise<void> {
    const { client, signal } = this.#options;
    const { key, uid } = entry.record;
    try {
      // The uid makes it fail when it is another trigger by now.
      const patch = { metadata: { uid }, status };
      await client.patch(HTTP_TRIGGERS, key.name, key.namespace, patch, { type: 'merge', subresource: 'status', signal });
    } catch (error) {
      if (!(error instanceof StatusError) || !error.isNotFound) throw error;
      entry.isGone = true;
    }
  }

  #warn({ key }: TriggerRecord, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.logger.warn('cannot write the status of a trigger; trying again', { ...key, reason });
  }
}
