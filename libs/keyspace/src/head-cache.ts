import type { Head } from './backend.js';
import { RecordArena } from './record-arena.js';

interface Entry {
  readonly keyText: string;
  head: Head | null;
  bytes: number;
  used: boolean;
  isDeleted: boolean;
  line: Line;
}

/** What an entry costs beside its record and key: the objects, the map's slot, its share of a chunk. */
const ENTRY_OVERHEAD = 250;

/** What newcomers may take of the bytes before those that were used are evicted for them. */
const FRESH_SHARE = 1 / 3;

/** Entries in the order they came. An array of its own: taking a Map's first entry skips all the slots that were deleted before it, each time. */
class Line {
  bytes = 0;
  #entries: Entry[] = [];
  #first = 0;
  #cursor = 0;
  #live = 0;

  push(entry: Entry): void {
    if (this.#entries.length > 1024 + 2 * this.#live) this.#compact();
    entry.line = this;
    this.bytes += entry.bytes;
    this.#live++;
    this.#entries.push(entry);
  }

  /** The oldest entry, out of the line; undefined when there is none. */
  shift(): Entry | undefined {
    while (this.#first < this.#entries.length) {
      const entry = this.#entries[this.#first++] as Entry;
      if (entry.isDeleted) continue;
      this.remove(entry);
      return entry;
    }
    return undefined;
  }

  /** One entry after another, and then from the oldest on again. */
  walk(): Entry | undefined {
    if (this.#live === 0) return undefined;
    for (;;) {
      if (this.#cursor < this.#first || this.#cursor >= this.#entries.length) this.#cursor = this.#first;
      const entry = this.#entries[this.#cursor++] as Entry;
      if (!entry.isDeleted) return entry;
    }
  }

  /** The entry is no longer one of the line's; its slot stays. */
  remove(entry: Entry): void {
    this.bytes -= entry.bytes;
    this.#live--;
  }

  #compact(): void {
    this.#entries = this.#entries.slice(this.#first).filter((entry) => !entry.isDeleted);
    this.#first = 0;
    this.#cursor = 0;
  }
}

/**
 * Settled heads of one backend, absent keys included, bounded by bytes. Eviction is first in, first out in two lines: an entry that was
 * used since it came in goes from the line of newcomers to that of the kept, where it has a second chance each time. So a flood of
 * creations, or of keys read once, passes through a third of the cache and leaves alone what is read again and again.
 */
export class HeadCache {
  readonly #entries = new Map<string, Entry>();
  readonly #fresh = new Line();
  readonly #kept = new Line();
  /** Records of the kept have memory of their own: a chunk shared with newcomers would be held for one of its many records. */
  readonly #keptArena = new RecordArena();
  #hits = 0;
  #misses = 0;

  constructor(private maxBytes: number) {}

  get bytes(): number {
    return this.#fresh.bytes + this.#kept.bytes;
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
    // A key that was absent until now was only looked up to be created: that is its first use, not a second one.
    const used = entry !== undefined && entry.head !== null;
    if (entry?.line === this.#fresh) {
      this.#fresh.bytes += bytes - entry.bytes;
      entry.used = used;
      entry.head = head;
      entry.bytes = bytes;
    } else {
      if (entry !== undefined) this.#drop(entry);
      const added = { keyText, head, bytes, used, isDeleted: false, line: this.#fresh };
      this.#entries.set(keyText, added);
      this.#fresh.push(added);
    }
    if (this.bytes > this.maxBytes) this.#evict();
  }

  /** Another bound: what is too much goes at once. */
  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    if (this.bytes > maxBytes) this.#evict();
  }

  delete(keyText: string): void {
    const entry = this.#entries.get(keyText);
    if (entry !== undefined) this.#drop(entry);
  }

  clear(): void {
    for (const entry of [...this.#entries.values()]) this.#drop(entry);
  }

  #evict(): void {
    // A second chance for at most as many entries as there are, so that a cache of used ones still shrinks.
    let chances = this.#entries.size;
    while (this.bytes > this.maxBytes) {
      const isFresh = this.#fresh.bytes > this.maxBytes * FRESH_SHARE;
      const entry = (isFresh ? this.#fresh.shift() : this.#kept.shift()) ?? this.#fresh.shift();
      if (entry === undefined) break;
      if (entry.used && chances-- > 0) {
        entry.used = false;
        this.#keep(entry);
        if (!isFresh) continue;
        // For each that comes, one that is there is copied, too: in the end few records would hold each chunk otherwise.
        const other = this.#kept.walk();
        if (other !== undefined) this.#copy(other);
      } else {
        this.#entries.delete(entry.keyText);
        // The line holds on to the slot for a while.
        entry.head = null;
      }
    }
  }

  #keep(entry: Entry): void {
    this.#copy(entry);
    this.#kept.push(entry);
  }

  #copy(entry: Entry): void {
    if (entry.head !== null) entry.head = { id: entry.head.id, record: this.#keptArena.copy(entry.head.record) };
  }

  #drop(entry: Entry): void {
    entry.isDeleted = true;
    entry.head = null;
    this.#entries.delete(entry.keyText);
    entry.line.remove(entry);
  }
}
