import type { RangeAnswer, RangeQuery } from './backend.js';
import { BlockStream } from './block-stream.js';
import { KeyspaceError, UnavailableError } from './errors.js';
import { messageOf } from './message-of.js';
import type { Slot } from './slot.js';
import { LateAnswerError, within } from './within.js';

/** What a database answers; UnavailableError when it cannot. The slot is not closed meanwhile. */
export async function askSlot<T>(slot: Slot, read: Promise<T>): Promise<T> {
  slot.reading++;
  try {
    const answer = await read;
    if (slot.isReady) slot.problem = '';
    return answer;
  } catch (error) {
    if (error instanceof KeyspaceError) throw error;
    const problem = messageOf(error);
    if (slot.isReady) slot.problem = problem;
    throw new UnavailableError(slot.label, problem, { cause: error });
  } finally {
    slot.reading--;
  }
}

/** The same for a range. The slot is not closed before the answer is over, its `rest` included. */
export async function askRange(slot: Slot, query: RangeQuery): Promise<RangeAnswer> {
  const answer = await askSlot(slot, slot.guarded.range(query));
  const { rest } = answer;
  if (rest === undefined) return answer;
  slot.reading++;
  const read = async (): Promise<Buffer | null> => (await rest.next()).value ?? null;
  const end = async (): Promise<void> => {
    slot.reading--;
    await rest.return();
  };
  return { ...answer, rest: new BlockStream(read, end) };
}

/** The outcome of `work`, or UnavailableError of the slot when it takes longer than `milliseconds`; `work` goes on then. */
export function inTime<T>(slot: Slot, milliseconds: number, work: Promise<T>): Promise<T> {
  return within(milliseconds, work, () => lateAnswerOf(slot, milliseconds));
}

export function lateAnswerOf(slot: Slot, milliseconds: number): UnavailableError {
  return new UnavailableError(slot.label, new LateAnswerError(milliseconds).message);
}
