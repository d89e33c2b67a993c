import { BlockStream, type KeyRange, ownedBlock } from '@harikube/keyspace';
import { type Entry, type EtcdSnapshot, framedSizeOf } from './etcd-snapshot.js';

/** Bytes of one block of an answer. */
const BLOCK_BYTES = 1024 * 1024;
/** Bytes of an answer that are read at once; more than that is read while it is sent. */
const ANSWER_BYTES = 4 * 1024 * 1024;

/** What of a range is answered at once, and how much comes after it. */
export interface RangePlan {
  readonly blocks: readonly (readonly Entry[])[];
  /** Records in `blocks`. */
  readonly read: number;
  /** Records and bytes of the whole answer. */
  readonly records: number;
  readonly bytes: number;
  /** Where the answer goes on behind the blocks; null: nowhere. */
  readonly next: Buffer | null;
  /** The answer ends with the range. */
  readonly isEnd: boolean;
  /** The limit may have cut nothing off. */
  readonly isDoubtful: boolean;
}

/** Reads the metadata of a range until it is known how much there is. */
export async function planOf(snapshot: EtcdSnapshot, range: KeyRange, limit: number, keysOnly: boolean): Promise<RangePlan> {
  const blocks: Entry[][] = [];
  let blockBytes = Infinity;
  let records = 0;
  let read = 0;
  let bytes = 0;
  let next: Buffer | null = null;
  for (let from: Buffer | null = range.start; from !== null && records < limit;) {
    const page = await snapshot.page(from, range.end, limit - records);
    for (const entry of page.entries) {
      const size = framedSizeOf(entry, keysOnly);
      records++;
      if (next === null && bytes < ANSWER_BYTES) {
        if (blockBytes >= BLOCK_BYTES) {
          blocks.push([]);
          blockBytes = 0;
        }
        blocks.at(-1)?.push(entry);
        blockBytes += size;
        read++;
      } else next ??= entry.key;
      bytes += size;
    }
    from = page.next;
    if (from === null) return { blocks, read, records, bytes, next, isEnd: true, isDoubtful: false };
  }
  return { blocks, read, records, bytes, next, isEnd: false, isDoubtful: snapshot.isOverlaid };
}

/** The blocks of an answer that follow the first ones, read while they are sent. */
export function restOf(
  snapshot: EtcdSnapshot,
  range: KeyRange,
  start: Buffer,
  records: number,
  keysOnly: boolean,
  release: () => void,
): BlockStream {
  let from: Buffer | null = start;
  let left = records;
  let waiting: readonly Entry[] = [];
  const read = async (): Promise<Buffer | null> => {
    if (waiting.length === 0 && from !== null && left > 0) {
      const page = await snapshot.page(from, range.end, left);
      waiting = page.entries;
      left -= page.entries.length;
      from = page.next;
    }
    if (waiting.length === 0) return null;
    let bytes = 0;
    let end = 0;
    for (; end < waiting.length && bytes < BLOCK_BYTES; end++) bytes += framedSizeOf(waiting[end] as Entry, keysOnly);
    const block = await snapshot.block(waiting.slice(0, end), keysOnly);
    waiting = waiting.slice(end);
    return ownedBlock(block);
  };
  return new BlockStream(read, async () => release());
}
