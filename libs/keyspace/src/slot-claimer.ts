import { type BackendState, type ControlState, type ControlStore, FencedError, RolledBackError } from './backend.js';
import type { BackgroundWork } from './background-work.js';
import type { Clock } from './clock.js';
import type { Compaction } from './compaction.js';
import type { HorizonWaits } from './horizon-waits.js';
import type { KeyspaceLog } from './keyspace-log.js';
import { messageOf } from './message-of.js';
import type { Slot } from './slot.js';
import type { WatchHub } from './watch-hub.js';
import { LateAnswerError, within } from './within.js';
import type { WriterLease } from './writer-lease.js';

/** Pauses before a backend that could not be opened is tried again: each is twice the one before. */
export const CLAIM_PAUSE_MS = { first: 250, most: 2_000 };

export interface SlotClaimerOptions {
  readonly clock: Clock;
  readonly main: Slot;
  /** What was recorded when this writer began. */
  readonly recorded: Pick<ControlState, 'storeId' | 'epoch' | 'marks'>;
  readonly control: Pick<ControlStore, 'writer'>;
  readonly lease: WriterLease;
  readonly hub: WatchHub;
  readonly compaction: Compaction;
  readonly waits: HorizonWaits;
  readonly background: BackgroundWork;
  /** Names of backends of which a copy that is older than what was there is accepted, once. */
  readonly acceptRestored: ReadonlySet<string>;
  readonly requestTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly log: KeyspaceLog;
}

/** Takes databases over: makes sure that each is the one it was and holds what it held, and refuses it until it does. */
export class SlotClaimer {
  /** Each name is taken out when its copy was accepted. */
  readonly #acceptRestored: Set<string>;

  constructor(private readonly options: SlotClaimerOptions) {
    this.#acceptRestored = new Set(options.acceptRestored);
  }

  /** Rejects when the database is away, or not the right one. */
  async claim(slot: Slot): Promise<void> {
    const { clock, hub, compaction } = this.options;
    const { current } = clock;
    const state = await this.#takeOver(slot);
    if (slot.isGone) return;
    const { identity, lastRevision } = state;
    if (lastRevision > current) {
      throw new Error(
        `backend "${slot.label}" holds revision ${lastRevision}, but the default store never handed out more than ` +
          `${current}: the default store was restored from an older copy; restore the copy of "${slot.label}" that belongs to it`,
      );
    }
    if (slot.identity !== '' && identity !== slot.identity) {
      throw new Error(
        `backend "${slot.label}" had the database ${slot.identity}, and this is the database ${identity}; put the right one back`,
      );
    }
    await this.#judgeCopy(slot, state);
    if (slot.isGone) return;
    slot.identity = identity;
    slot.guarded.takeUp(lastRevision);
    slot.committer.resume();
    slot.claimPauseMs = CLAIM_PAUSE_MS.first;
    slot.isReady = true;
    slot.problem = '';
    clock.resume(slot.id);
    hub.moved(slot.id);
    // A compaction that the last run did not finish, or that passed while the backend was away.
    if (compaction.revision > 0n) compaction.removeLater(slot);
  }

  /** The start waits for a database only so long; it is taken up whenever it answers. */
  async claimInTime(slot: Slot): Promise<void> {
    const { background, requestTimeoutMs } = this.options;
    const claiming = this.#claimOrRetry(slot);
    background.add(claiming);
    await within(requestTimeoutMs, claiming, () => new LateAnswerError(requestTimeoutMs)).catch((error: unknown) => {
      if (!slot.isReady) slot.problem = messageOf(error);
    });
  }

  /** The database is not the one that was taken over. It is asked again and again whether the right one is back. */
  suspend(slot: Slot, error: RolledBackError | FencedError): void {
    const { lease, main, waits, background, log } = this.options;
    const isNewer = error instanceof FencedError && error.foundEpoch > error.epoch;
    if (isNewer) lease.check();
    // The writer of the default store is the writer: the lease tells what is wrong.
    if (!slot.isReady || (isNewer && slot === main)) return;
    slot.isReady = false;
    slot.problem = messageOf(error);
    log.warn('backend is refused until its right copy is back', { backend: slot.label, error: slot.problem });
    slot.committer.suspend(slot.problem);
    waits.turnAway(slot, slot.problem);
    background.add(this.#claimOrRetry(slot));
  }

  async #takeOver(slot: Slot): Promise<BackendState> {
    const { recorded, lease, control } = this.options;
    const { storeId, epoch } = recorded;
    try {
      return await slot.guarded.claim({ storeId, epoch });
    } catch (error) {
      if (!(error instanceof FencedError) || error.foundEpoch < epoch) throw error;
      lease.check();
      const writer = await control.writer();
      if (writer?.epoch !== epoch) throw error;
      throw new Error(
        `backend "${slot.label}" had a writer of epoch ${error.foundEpoch}, but the default store knows of none above ${epoch}: ` +
          `the default store was restored from an older copy; restore the copy of "${slot.label}" that belongs to it`,
        { cause: error },
      );
    }
  }

  /** Whether the database holds what it held. Rejects when it does not, unless that is accepted. */
  async #judgeCopy(slot: Slot, { identity, lastRevision }: BackendState): Promise<void> {
    const { clock, main, recorded, compaction, hub, log } = this.options;
    const { held } = slot.guarded;
    const mark = recorded.marks.get(identity) ?? 0n;
    const known = held > mark || slot.identity !== '' ? held : mark;
    const isUnsettled = clock.horizon(slot.id) < clock.current && slot.identity !== '';
    if (lastRevision === known || (lastRevision > known && (slot.identity === '' || isUnsettled))) return;
    // The default store holds more than keys: what it has lost of that, nobody can make up for while it runs.
    const isAccepted = slot !== main && this.#acceptRestored.has(slot.label);
    if (lastRevision < known && !isAccepted) throw new RolledBackError(slot.label, known, lastRevision);
    // What became of its keys cannot be told as changes: whoever has read them reads anew.
    await compaction.compactAll();
    if (lastRevision < known) this.#acceptRestored.delete(slot.label);
    log.warn('another copy of a database is accepted; clients read everything anew', {
      backend: slot.label,
      revision: `${lastRevision}`,
      revisionBefore: `${known}`,
    });
    slot.settled++;
    slot.cache.clear();
    slot.ring.clear(clock.current);
    hub.lost(slot.id, compaction.revision);
  }

  async #claimOrRetry(slot: Slot): Promise<void> {
    try {
      if (!slot.isGone) await this.claim(slot);
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== slot.problem) {
        this.options.log.warn('backend cannot be opened; it is tried again', { backend: slot.label, error: problem });
      }
      slot.problem = problem;
      this.#claimLater(slot);
    }
  }

  #claimLater(slot: Slot): void {
    const { signal, background } = this.options;
    const pause = slot.claimPauseMs;
    slot.claimPauseMs = Math.min(pause * 2, CLAIM_PAUSE_MS.most);
    const timer = setTimeout(() => {
      if (!signal.aborted) background.add(this.#claimOrRetry(slot));
    }, pause);
    timer.unref();
  }
}
