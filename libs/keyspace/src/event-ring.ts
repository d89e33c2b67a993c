import { type RowId, revisionOf } from './backend.js';
import { keyText } from './key-text.js';
import type { KeyRange, KeyValueBytes, Revision } from './model.js';

/** A settled change, as watches get it. Thousands are held: it has no more objects than it needs. */
export interface StoreEvent {
  readonly id: RowId;
  readonly revision: Revision;
  /** See `keyText`. */
  readonly keyText: string;
  readonly isDelete: boolean;
  /** Put: the record. Delete: key and mod_revision. */
  readonly record: KeyValueBytes;
  readonly prevRecord: KeyValueBytes | null;
}

export interface RingRead {
  readonly events: readonly StoreEvent[];
  /** Everything of the range in (after, through] is in `events`. */
  readonly through: Revision;
}

/** What an event costs beside its records. */
const EVENT_OVERHEAD = 200;

function bytesOf(event: StoreEvent): number {
  return EVENT_OVERHEAD + event.record.length + (event.prevRecord?.length ?? 0);
}

/**
 * The newest settled events of one backend in revision order, bounded by bytes: what a watch reads when it starts or
 * falls behind a little. Everything with a revision above `floor` is in it; what is older is in the database's log.
 */
export class EventRing {
  #events: StoreEvent[] = [];
  /** Index of the oldest event still held; slots before it are already given up. */
  #head = 0;
  #bytes = 0;
  #floor: Revision;

  constructor(
    private maxBytes: number,
    floor: Revision,
  ) {
    this.#floor = floor;
  }

  get floor(): Revision {
    return this.#floor;
  }

  get length(): number {
    return this.#events.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(events: readonly StoreEvent[]): void {
    for (const event of events) {
      this.#events.push(event);
      this.#bytes += bytesOf(event);
    }
    this.#trim();
  }

  /** Holds nothing up to `floor` any more. */
  clear(floor: Revision): void {
    this.#events = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#floor = floor;
  }

  /** Another bound: what is too much goes at once. */
  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.#trim();
  }

  #trim(): void {
    while (this.#bytes > this.maxBytes && this.#head < this.#events.length) this.#dropOldestRevision();
    if (this.#head > 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Events of a range after `after` up to `through`; `after` must not lie below the floor. */
  read(range: KeyRange, after: Revision, through: Revision, maxBytes: number): RingRead {
    const start = keyText(range.start);
    const end = range.end === null ? null : keyText(range.end);
    const found: StoreEvent[] = [];
    let bytes = 0;
    let last = after;
    for (let i = this.#firstAfter(after); i < this.#events.length; i++) {
      const event = this.#events[i] as StoreEvent;
      if (event.revision > through) break;
      if (bytes >= maxBytes && event.revision > last) return { events: found, through: last };
      last = event.revision;
      if (event.keyText < start || (end !== null && event.keyText >= end)) continue;
      found.push(event);
      bytes += bytesOf(event);
    }
    return { events: found, through };
  }

  #firstAfter(revision: Revision): number {
    let low = this.#head;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle] as StoreEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A revision leaves as a whole, so that the floor never lies inside a txn. */
  #dropOldestRevision(): void {
    const oldest = revisionOf((this.#events[this.#head] as StoreEvent).id);
    while (this.#head < this.#events.length) {
      const event = this.#events[this.#head] as StoreEvent;
      if (event.revision !== oldest) break;
      this.#bytes -= bytesOf(event);
      // The slot gives its event up at once: the array itself is only cut now and then.
      (this.#events as (StoreEvent | undefined)[])[this.#head] = undefined;
      this.#head++;
    }
    this.#floor = oldest;
  }
}
