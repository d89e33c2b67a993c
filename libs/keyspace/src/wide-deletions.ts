import { askSlot, inTime } from './ask-slot.js';
import type { RangeAnswer, RangeQuery } from './backend.js';
import { UnsupportedError } from './errors.js';
import { contains } from './key-range.js';
import type { TxnRequest, TxnResult } from './model.js';
import type { Slot } from './slot.js';
import { WriteGate } from './write-gate.js';

/**
 * A DeleteRange may reach over several backends as long as one of them holds all of its keys: the others get none until it has taken
 * place, since those would be older than the deletion and outlive it.
 */
export class WideDeletions {
  /** Each holds back writes to what it deletes until it has taken place. */
  readonly #gates = new Set<WriteGate>();

  constructor(private readonly requestTimeoutMs: number) {}

  /** Of deletions under way; empty nearly always. */
  get gates(): ReadonlySet<WriteGate> {
    return this.#gates;
  }

  /**
   * The outcome of a txn over several slots, which has to be a lone DeleteRange: UnsupportedError for any other one, and when more than one slot
   * holds keys. Null: `isOutdated` says that keys live elsewhere by now, or are about to, and nothing was done.
   */
  async delete(request: TxnRequest, slots: readonly Slot[], isOutdated: () => boolean): Promise<TxnResult | null> {
    const [op] = request.success;
    const isLoneDelete =
      request.compares.length === 0 && request.failure.length === 0 && request.success.length === 1 && op?.type === 'delete';
    if (!isLoneDelete || op?.type !== 'delete') throw acrossBackends('a transaction', slots);
    const { range } = op;
    const query: RangeQuery = { range, revision: 0n, limit: 1, keysOnly: true, countOnly: false, count: false };
    // A first look, for which nobody waits: a backend that does not answer holds up the deletion and nothing else.
    if ((await holderOf(slots, query, isOutdated)) === null) return null;
    const gate = new WriteGate('a deletion over several databases', (key) => contains(range, key), [range]);
    this.#gates.add(gate);
    try {
      // What was let in before.
      await Promise.all(slots.map((slot) => inTime(slot, this.requestTimeoutMs, slot.committer.whenDone())));
      const slot = await holderOf(slots, query, isOutdated);
      return slot === null ? null : await slot.committer.submit(request);
    } finally {
      this.#gates.delete(gate);
      gate.open();
    }
  }
}

/** The slot that holds keys of the range, the first one when none does; null when that is outdated, so that nobody need have answered. */
async function holderOf(slots: readonly Slot[], query: RangeQuery, isOutdated: () => boolean): Promise<Slot | null> {
  let answers: readonly RangeAnswer[];
  try {
    answers = await Promise.all(slots.map((slot) => askSlot(slot, slot.guarded.range(query))));
  } catch (error) {
    if (isOutdated()) return null;
    throw error;
  }
  if (isOutdated()) return null;
  const holding = slots.filter((_, i) => (answers[i] as RangeAnswer).records > 0);
  if (holding.length > 1) throw acrossBackends('a DeleteRange that holds keys', holding);
  return holding[0] ?? (slots[0] as Slot);
}

function acrossBackends(what: string, slots: readonly Slot[]): UnsupportedError {
  return new UnsupportedError(
    `${what} over the backends ${slots.map(({ label }) => `"${label}"`).join(', ')}, which cannot be changed as one,`,
  );
}
