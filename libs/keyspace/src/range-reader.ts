import { askRange, askSlot, lateAnswerOf } from './ask-slot.js';
import { type RangeAnswer, type RangeQuery, revisionOf } from './backend.js';
import { BlockStream } from './block-stream.js';
import type { Clock } from './clock.js';
import type { Compaction } from './compaction.js';
import { CountHints } from './count-hints.js';
import type { DefaultStore } from './default-store.js';
import { CompactedError, FutureRevisionError, UnavailableError } from './errors.js';
import type { HorizonWaits } from './horizon-waits.js';
import { keyText } from './key-text.js';
import { frameRecord, lastKeyOf, withoutValue } from './key-value.js';
import { endAll, mergeAnswers } from './merge-answers.js';
import type { RangeRequest, RangeResult, Revision } from './model.js';
import type { Placement } from './placement.js';
import type { RecordArena } from './record-arena.js';
import type { RoutingHistory } from './routing-history.js';
import { selectRange } from './selected-range.js';
import { ready, readyOf, type Slot } from './slot.js';
import { within } from './within.js';

export interface RangeReaderOptions {
  readonly clock: Clock;
  readonly history: RoutingHistory;
  readonly store: DefaultStore;
  readonly compaction: Compaction;
  readonly waits: HorizonWaits;
  readonly arena: RecordArena;
  readonly requestTimeoutMs: number;
}

/**
 * Reads of ranges: which backends hold them, up to where these have to be settled first, and at which revision the answer holds. See
 * "Reads" in docs/architecture.md.
 */
export class RangeReader {
  readonly #hints = new CountHints();

  constructor(private readonly options: RangeReaderOptions) {}

  async range(request: RangeRequest): Promise<RangeResult> {
    if (request.selection !== undefined) return selectRange(request, request.selection, (fetched) => this.range(fetched));
    const result = this.#cachedGet(request) ?? (await this.#rangeInTime(request));
    // Whoever else writes has begun after this: what was read is what there was.
    if (this.options.store.isHeld) return result;
    await result.rest?.return();
    throw this.options.store.notHeld();
  }

  get #placement(): Placement {
    return this.options.history.present;
  }

  /** What has to be waited for and what is read then take no longer together than either may. */
  async #rangeInTime(request: RangeRequest): Promise<RangeResult> {
    const { clock, store, requestTimeoutMs } = this.options;
    const arrival = clock.observed;
    const reading = this.#range(request);
    const late = (): Error => {
      const slots = this.#placement.slotsFor(request.range);
      const slot = slots.find(({ id }) => clock.horizon(id) < arrival) ?? slots[0] ?? store.slot;
      return lateAnswerOf(slot, requestTimeoutMs);
    };
    try {
      return await within(requestTimeoutMs, reading, late);
    } catch (error) {
      // It may come yet, with a snapshot that is to be given up.
      reading.then(({ rest }) => rest?.return()).catch(() => undefined);
      throw error;
    }
  }

  async #range(request: RangeRequest): Promise<RangeResult> {
    this.#checkRevision(request.revision);
    const placement = this.#placement;
    try {
      return await this.#rangeIn(placement, request);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      // A backend that has gone from the rules meanwhile need not answer any more, nor one that held only what a compaction has passed.
      if (this.#placement !== placement) return this.#range(request);
      this.#checkRevision(request.revision);
      throw error;
    }
  }

  #checkRevision(revision: Revision): void {
    const { clock, store, compaction } = this.options;
    if (revision > clock.observed) {
      store.checkHeld();
      throw new FutureRevisionError(revision, clock.observed);
    }
    if (revision > 0n && revision < compaction.revision) throw new CompactedError(compaction.revision);
  }

  async #rangeIn(placement: Placement, request: RangeRequest): Promise<RangeResult> {
    const { clock, history, waits } = this.options;
    const present = readyOf(placement.slotsFor(request.range));
    const past = request.revision > 0n ? readyOf(history.before(request.range, request.revision, present).slots) : NO_SLOTS;
    // What anybody was told of by now has to be in the answer, and so has everything up to the revision asked for.
    const arrival = clock.observed;
    const wait = waits.whenWhole(present, arrival);
    if (wait !== undefined) await wait;
    if (past.length > 0) {
      await waits.whenWhole(past, request.revision);
      return this.#rangeOfMany([...present, ...past], request, arrival);
    }
    const [slot] = present;
    if (slot === undefined) return { revision: arrival, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    if (request.range.single) return this.#get(placement, slot, request, arrival);
    return present.length === 1 ? this.#rangeOfOne(placement, slot, request, arrival) : this.#rangeOfMany(present, request, arrival);
  }

  /** A get that nothing has to be waited for. */
  #cachedGet(request: RangeRequest): RangeResult | undefined {
    const { range, revision } = request;
    if (!range.single || revision !== 0n) return undefined;
    const { clock } = this.options;
    const slot = ready(this.#placement.slotOf(range.start));
    const arrival = clock.observed;
    if (clock.horizon(slot.id) < arrival) return undefined;
    const cached = slot.cache.get(keyText(range.start));
    return cached === undefined ? undefined : pointResult(cached === null ? null : cached.record, request, arrival);
  }

  /** A single key that `#cachedGet` could not tell: from the database, at latest together with the other gets of this turn. */
  #get(placement: Placement, slot: Slot, request: RangeRequest, arrival: Revision): RangeResult | Promise<RangeResult> {
    if (request.revision === 0n) return this.#load(placement, slot, request, arrival);
    // The cache holds the state at the horizon; below it only what has not changed since is known.
    const cached = slot.cache.get(keyText(request.range.start));
    if (cached === undefined || cached === null || revisionOf(cached.id) > request.revision)
      return this.#rangeOfOne(placement, slot, request, arrival);
    return pointResult(cached.record, request, arrival);
  }

  async #load(placement: Placement, slot: Slot, request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const { settled } = slot;
    const { head, lastRevision } = await askSlot(slot, slot.points.read(request.range.start));
    if (this.#placement !== placement) return this.#range(request);
    if (slot.settled === settled) {
      const kept = head === null ? null : { id: head.id, record: this.options.arena.copy(head.record) };
      slot.cache.set(keyText(request.range.start), kept);
    }
    return pointResult(head === null ? null : head.record, request, this.#told(arrival, lastRevision));
  }

  async #rangeOfOne(placement: Placement, slot: Slot, request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const { range, revision } = request;
    const hint = revision > 0n ? this.#hints.find(revision, range.start, range.end) : undefined;
    const answer = await askRange(slot, queryOf(request, revision, hint === undefined));
    if (this.#placement !== placement && revision === 0n) {
      // The snapshot may be one of after the change, and so lack what was written elsewhere since.
      await answer.rest?.return();
      return this.#range(request);
    }
    await this.#checkStillReadable(request, [answer]);
    const told = revision > 0n ? this.options.clock.observed : this.#told(arrival, answer.lastRevision);
    const count = hint ?? answer.count ?? answer.records;
    const result = { revision: told, count, more: answer.more, records: answer.records, bytes: answer.bytes, blocks: answer.blocks };
    const pinned = revision > 0n ? revision : told;
    if (!answer.more || request.countOnly) return answer.rest === undefined ? result : { ...result, rest: answer.rest };
    const remember = (last: Buffer): void => this.#hints.remember(pinned, range.end, last, count - answer.records);
    if (answer.rest !== undefined) return { ...result, rest: notingLastKey(answer.rest, remember) };
    const lastBlock = answer.blocks.at(-1);
    if (lastBlock !== undefined) remember(lastKeyOf(lastBlock));
    return result;
  }

  async #rangeOfMany(slots: readonly Slot[], request: RangeRequest, arrival: Revision): Promise<RangeResult> {
    const { clock, compaction } = this.options;
    const revision = request.revision > 0n ? request.revision : arrival;
    const query = queryOf(request, revision, true);
    const results = await Promise.allSettled(slots.map((slot) => askRange(slot, query)));
    const answers: RangeAnswer[] = [];
    for (const result of results) if (result.status === 'fulfilled') answers.push(result.value);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      await endAll(answers);
      throw failed.reason;
    }
    if (request.revision === 0n && revision < compaction.revision) {
      // A compaction passed the revision, maybe before the snapshots were taken: they may lack what it removed.
      await endAll(answers);
      return this.#range(request);
    }
    await this.#checkStillReadable(request, answers);
    const merged = await mergeAnswers(answers, request.countOnly ? 0 : request.limit);
    return { ...merged, revision: request.revision > 0n ? clock.observed : revision };
  }

  /** A compaction may have overtaken a read at an old revision. */
  async #checkStillReadable(request: RangeRequest, answers: readonly RangeAnswer[]): Promise<void> {
    const { compaction } = this.options;
    if (request.revision === 0n || request.revision >= compaction.revision) return;
    await endAll(answers);
    throw new CompactedError(compaction.revision);
  }

  /**
   * The revision at which a read of one backend holds. Everything up to `arrival` was settled before its snapshot, and
   * batches follow one another, so the snapshot is whole at the newest revision it holds, too.
   */
  #told(arrival: Revision, lastRevision: Revision): Revision {
    const revision = lastRevision > arrival ? lastRevision : arrival;
    this.options.clock.observe(revision);
    return revision;
  }
}

const NO_SLOTS: readonly Slot[] = [];

function queryOf(request: RangeRequest, revision: Revision, count: boolean): RangeQuery {
  const { range, limit, keysOnly, countOnly } = request;
  return { range, revision, limit, keysOnly, countOnly, count };
}

function pointResult(record: Buffer | null, request: RangeRequest, revision: Revision): RangeResult {
  if (record === null) return { revision, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
  if (request.countOnly) return { revision, count: 1, more: false, records: 0, bytes: 0, blocks: [] };
  const framed = frameRecord(request.keysOnly ? withoutValue(record) : record);
  return { revision, count: 1, more: false, records: 1, bytes: framed.length, blocks: [framed] };
}

/** The same blocks; `done` gets the last key when all were read. */
function notingLastKey(blocks: BlockStream, done: (last: Buffer) => void): BlockStream {
  let last: Buffer | undefined;
  const read = async (): Promise<Buffer | null> => {
    const { value } = await blocks.next();
    // Taken at once: whoever consumes a block may free it.
    if (value !== undefined) last = lastKeyOf(value);
    else if (last !== undefined) done(last);
    return value ?? null;
  };
  return new BlockStream(read, async () => void (await blocks.return()));
}
