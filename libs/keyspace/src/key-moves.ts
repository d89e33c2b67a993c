import type { Backend } from './backend.js';
import { keyOf, recordsOf } from './key-value.js';
import type { KeyRange, Revision } from './model.js';
import type { Slot } from './slot.js';

/** Keys that are looked at together. */
const PAGE_KEYS = 10_000;
/** Bytes of changes that are looked at together. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** Keys of one move whose records are measured; the size of all is told by them. */
const MEASURED_KEYS = 1000;

/** Keys that other rules would look for in another backend. */
export interface KeyMove {
  readonly from: string;
  readonly to: string;
  readonly keys: number;
  /** Of their records; of more than a thousand keys by the first thousand. */
  readonly bytes: number;
  readonly example: string;
}

/** The name of the backend to which a key of `slot` would have to move; null: it stays. */
export type Destination = (key: Buffer, slot: Slot) => string | null;

interface Found {
  keys: number;
  readonly first: Buffer[];
}

/** Looks for live keys of a slot that would have to move. `ranges` must not overlap. */
export async function findMoves(slot: Slot, ranges: readonly KeyRange[], destination: Destination): Promise<KeyMove[]> {
  const found = new Map<string, Found>();
  for (const range of ranges) {
    for await (const key of keysIn(slot.guarded, range)) note(found, destination(key, slot), key);
  }
  return measure(slot, found);
}

/** The same for what was written after a revision, up to another one that is settled. Whoever has looked at everything before needs no more. */
export async function findMovesSince(
  slot: Slot,
  ranges: readonly KeyRange[],
  destination: Destination,
  after: Revision,
  through: Revision,
): Promise<KeyMove[]> {
  const written = new Map<string, Buffer>();
  for (const range of ranges) {
    for (let from = after; from < through;) {
      const answer = await slot.guarded.changes({ range, after: from, through, maxBytes: PAGE_BYTES });
      for (const { key, isDelete } of answer.changes) {
        if (!isDelete && destination(key, slot) !== null) written.set(key.toString('latin1'), Buffer.from(key));
      }
      from = answer.through;
    }
  }
  const found = new Map<string, Found>();
  const keys = [...written.values()];
  for (let i = 0; i < keys.length; i += PAGE_KEYS) {
    const page = keys.slice(i, i + PAGE_KEYS);
    const { heads } = await slot.guarded.load(page);
    page.forEach((key, at) => {
      if (heads[at] !== null) note(found, destination(key, slot), key);
    });
  }
  return measure(slot, found);
}

function note(found: Map<string, Found>, to: string | null, key: Buffer): void {
  if (to === null) return;
  let entry = found.get(to);
  if (entry === undefined) found.set(to, (entry = { keys: 0, first: [] }));
  entry.keys++;
  if (entry.first.length < MEASURED_KEYS) entry.first.push(Buffer.from(key));
}

async function measure(slot: Slot, found: ReadonlyMap<string, Found>): Promise<KeyMove[]> {
  const moves: KeyMove[] = [];
  for (const [to, { keys, first }] of found) {
    const { heads } = await slot.guarded.load(first);
    const measured = heads.reduce((sum, head) => sum + (head?.record.length ?? 0), 0);
    const bytes = keys === first.length ? measured : Math.round((measured / first.length) * keys);
    moves.push({ from: slot.label, to, keys, bytes, example: first[0]?.toString() ?? '' });
  }
  return moves;
}

/** Live keys of a range, page by page. */
async function* keysIn(backend: Pick<Backend, 'range'>, range: KeyRange): AsyncGenerator<Buffer, void, void> {
  let start = range.start;
  for (;;) {
    const page = { start, end: range.end, single: range.single };
    const answer = await backend.range({ range: page, revision: 0n, limit: PAGE_KEYS, keysOnly: true, countOnly: false, count: false });
    const blocks = [...answer.blocks];
    if (answer.rest !== undefined) for await (const block of answer.rest) blocks.push(block);
    let last: Buffer | undefined;
    for (const block of blocks) {
      for (const record of recordsOf(block)) {
        last = keyOf(record);
        yield last;
      }
    }
    if (!answer.more || last === undefined) return;
    start = Buffer.concat([last, ZERO]);
  }
}

const ZERO = Buffer.from([0]);
