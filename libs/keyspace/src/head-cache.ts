import type { Head } from './backend.js';
import type { RecordArena } from './record-arena.js';

interface Entry {
  readonly keyText: string;
  head: Head | null;
  bytes: number;
  used: boolean;
  isDeleted: boolean;
}

/** What an entry costs beside its record and key: the objects, the map's slot, its share of a chunk. */
const ENTRY_OVERHEAD = 250;

/**
 * Settled heads of one backend, absent keys included, bounded by bytes. Eviction is first in, first out with a second
 * chance: an entry that was used since it came in is copied to fresh memory and goes to the end of the line. The line is
 * an array of its own: taking a Map's first entry skips all the slots that were deleted before it, each time.
 */
export class HeadCache {
  readonly #entries = new Map<string, Entry>();
  #line: Entry[] = [];
  #first = 0;
  #bytes = 0;
  #hits = 0;
  #misses = 0;

  constructor(
    private readonly maxBytes: number,
    private readonly arena: RecordArena,
  ) {}

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  get hits(): number {
    return this.#hits;
  }

  get misses(): number {
    return this.#misses;
  }

  /** The head of a key; null: the key is absent; undefined: not known here. */
  get(keyText: string): Head | null | undefined {
    const entry = this.#entries.get(keyText);
    if (entry === undefined) {
      this.#misses++;
      return undefined;
    }
    this.#hits++;
    entry.used = true;
    return entry.head;
  }

  /** `head.record` must be memory that may be kept: the arena's, not a slice of a message. */
  set(keyText: string, head: Head | null): void {
    const bytes = ENTRY_OVERHEAD + keyText.length + (head?.record.length ?? 0);
    const entry = this.#entries.get(keyText);
    if (entry === undefined) {
      const added = { keyText, head, bytes, used: false, isDeleted: false };
      this.#entries.set(keyText, added);
      this.#line.push(added);
      this.#bytes += bytes;
    } else {
      this.#bytes += bytes - entry.bytes;
      // A key that was absent until now was only looked up to be created: that is its first use, not a second one.
      entry.used = entry.head !== null;
      entry.head = head;
      entry.bytes = bytes;
    }
    if (this.#bytes > this.maxBytes) this.#evict();
  }

  delete(keyText: string): void {
    const entry = this.#entries.get(keyText);
    if (entry !== undefined) this.#drop(entry);
  }

  #evict(): void {
    // A second chance for at most as many entries as there are, so that a cache of used ones still shrinks.
    let chances = this.#entries.size;
    while (this.#bytes > this.maxBytes) {
      const entry = this.#line[this.#first++];
      if (entry === undefined) break;
      if (entry.isDeleted) continue;
      if (entry.used && chances-- > 0) {
        entry.used = false;
        if (entry.head !== null) entry.head = { id: entry.head.id, record: this.arena.copy(entry.head.record) };
        this.#line.push(entry);
      } else {
        this.#drop(entry);
      }
    }
    if (this.#first > 1024 && this.#first * 2 > this.#line.length) {
      this.#line = this.#line.slice(this.#first);
      this.#first = 0;
    }
  }

  #drop(entry: Entry): void {
    entry.isDeleted = true;
    entry.head = null;
    this.#entries.delete(entry.keyText);
    this.#bytes -= entry.bytes;
  }
}
