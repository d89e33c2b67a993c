import type { Position } from './position.js';

/** Everything up to the position has come to its end, and nothing after it was created before the time (as far as clocks agree). */
export interface Cursor {
  readonly position: Position;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** An event that has not come to its end. */
export interface Ticket {
  finish(): void;
}

interface OpenTicket extends Ticket {
  /** What the cursor is as long as this is the first one that is unfinished; null: there is none yet. */
  readonly before: Cursor | null;
}

/**
 * The cursor of one stream of events: the position before the first event that is unfinished, or the last one that was seen. Events come in the order
 * of their positions and finish in any order.
 */
export class CursorTracker {
  #seen: Cursor | null;
  /** In their order. Finished ones are not kept: behind one that takes for ever there may be any number of them. */
  readonly #open = new Set<OpenTicket>();

  constructor(start: Cursor | null) {
    this.#seen = start;
  }

  /** Up to where everything was received; null: nothing yet. */
  get seen(): Cursor | null {
    return this.#seen;
  }

  /** Null until everything that there was at the start is finished. */
  get cursor(): Cursor | null {
    const [first] = this.#open;
    return first === undefined ? this.#seen : first.before;
  }

  /** An event of the stream, before `advance` to its position. */
  open(position: Position): Ticket {
    return this.#keep(this.#seen === null ? null : { position: position - 1n, time: this.#seen.time });
  }

  /**
   * One of the objects that a list found. Until all of them are finished the cursor stays where it is: whoever begins again has to list again, since in
   * the changes themselves there are older ones than what the list told.
   */
  openListed(): Ticket {
    return this.#keep(this.#seen);
  }

  #keep(before: Cursor | null): Ticket {
    const ticket: OpenTicket = { before, finish: () => void this.#open.delete(ticket) };
    this.#open.add(ticket);
    return ticket;
  }

  /** Everything up to the position was received. Without a time that of the position before holds on, which may be told too early and never too late. */
  advance(position: Position, time?: number): void {
    const before = this.#seen;
    if (before === null) this.#seen = time === undefined ? null : { position, time };
    else if (position > before.position) this.#seen = { position, time: Math.max(before.time, time ?? before.time) };
    else if (position === before.position && time !== undefined && time > before.time) this.#seen = { position, time };
  }

  /** The server's data was put back to an older state, in which later positions mean other changes. */
  reset(to: Cursor): void {
    this.#seen = to;
  }
}

/** Of several streams, where all of them have come to; null when one of them has none. */
export function lowestCursor(cursors: readonly (Cursor | null)[]): Cursor | null {
  let lowest: Cursor | null = null;
  for (const cursor of cursors) {
    if (cursor === null) return null;
    lowest =
      lowest === null
        ? cursor
        : {
            position: cursor.position < lowest.position ? cursor.position : lowest.position,
            time: Math.min(cursor.time, lowest.time),
          };
  }
  return lowest;
}
