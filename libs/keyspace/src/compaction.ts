import type { ControlStore } from './backend.js';
import type { Clock } from './clock.js';
import type { DefaultStore } from './default-store.js';
import { CompactedError, FutureRevisionError } from './errors.js';
import type { KeyspaceLog } from './keyspace-log.js';
import { messageOf } from './message-of.js';
import type { Revision } from './model.js';
import type { RevisionReserve } from './revision-reserve.js';
import type { Slot } from './slot.js';

export interface CompactionOptions {
  /** As it is recorded. */
  readonly revision: Revision;
  readonly clock: Clock;
  readonly control: Pick<ControlStore, 'setCompactRevision'>;
  readonly store: DefaultStore;
  readonly reserve: RevisionReserve;
  /** Every slot, by id. */
  readonly slots: ReadonlyMap<string, Slot>;
  readonly signal: AbortSignal;
  readonly log: KeyspaceLog;
  /** Nobody can ask any more about what was below the revision. */
  readonly onCompacted: () => void;
  /** The horizons have moved without a write. */
  readonly onSkipped: () => void;
  /** A backend has removed what it may, or has failed to. */
  readonly onRemoved: (slot: Slot, isDone: boolean) => void;
}

/** One number for all databases, durable before anything is removed; the removal follows in each database by itself. */
export class Compaction {
  #revision: Revision;
  #compacting: Promise<void> = Promise.resolve();

  constructor(private readonly options: CompactionOptions) {
    this.#revision = options.revision;
  }

  /** Nothing below it can be read. */
  get revision(): Revision {
    return this.#revision;
  }

  /** One after the other, so that what is recorded never goes back. `isPhysical`: resolves when the removal is over. */
  async compact(revision: Revision, isPhysical = false): Promise<Revision> {
    const compacting = this.#compacting.then(() => this.#compactTo(revision));
    this.#compacting = compacting.then(
      () => undefined,
      () => undefined,
    );
    const current = await this.options.store.recorded(compacting);
    if (isPhysical) await Promise.all([...this.options.slots.values()].map((slot) => slot.compaction));
    return current;
  }

  /** Compacts everything that was: whoever wants to know begins with the present. For a past that cannot be told. */
  async compactAll(): Promise<Revision> {
    const revision = await this.#skip();
    await this.compact(revision);
    return revision;
  }

  /** Removes in one backend what the compaction has passed, behind what is being removed there. */
  removeLater(slot: Slot): void {
    const { clock, signal, log, onRemoved } = this.options;
    slot.compaction = slot.compaction.then(async () => {
      const revision = this.#revision;
      try {
        if (!slot.isReady || slot.isGone || signal.aborted) return;
        // A batch that is pending below the compaction has to be in the log before the log is gone through.
        await clock.whenWhole([slot.id], revision);
        await slot.guarded.compact(revision, signal);
        onRemoved(slot, true);
      } catch (error) {
        if (!signal.aborted) {
          onRemoved(slot, false);
          log.warn('compaction failed; the next one takes it up again', { backend: slot.label, error: messageOf(error) });
        }
      }
    });
  }

  async #compactTo(revision: Revision): Promise<Revision> {
    const { clock, control, store, slots, onCompacted } = this.options;
    store.checkHeld();
    if (revision > clock.observed) throw new FutureRevisionError(revision, clock.observed);
    if (revision <= this.#revision) throw new CompactedError(this.#revision);
    // However long it takes: of two that cross, the lower one must not be the last to be recorded.
    await store.recording(() => control.setCompactRevision(revision));
    this.#revision = revision;
    onCompacted();
    for (const slot of slots.values()) this.removeLater(slot);
    return clock.observed;
  }

  /** A revision above all others that anybody was told of, at which nothing was written. */
  async #skip(): Promise<Revision> {
    const { clock, reserve, onSkipped } = this.options;
    for (let reserved = reserve.ensure(1); reserved !== undefined; reserved = reserve.ensure(1)) await reserved;
    const revision = clock.skip();
    clock.observe(revision);
    onSkipped();
    return revision;
  }
}
