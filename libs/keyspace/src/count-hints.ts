import type { Revision } from './model.js';

/** Walks of pages that are remembered at the same time. */
const MAX_HINTS = 4096;

/**
 * What is left of a walk in pages. A page's `count` is the previous page's count less its length, as both are read at
 * one revision with one end, so only the first page of a walk has to be counted.
 */
export class CountHints {
  readonly #hints = new Map<string, number>();

  /** `lastKey`: the last key of a page; `left`: how many keys come after it. */
  remember(revision: Revision, end: Buffer | null, lastKey: Buffer, left: number): void {
    const next = Buffer.concat([lastKey, ZERO]);
    this.#hints.set(nameOf(revision, next, end), left);
    if (this.#hints.size > MAX_HINTS) this.#hints.delete(this.#hints.keys().next().value as string);
  }

  find(revision: Revision, start: Buffer, end: Buffer | null): number | undefined {
    return this.#hints.get(nameOf(revision, start, end));
  }
}

const ZERO = Buffer.from([0]);

function nameOf(revision: Revision, start: Buffer, end: Buffer | null): string {
  return `${revision} ${start.length} ${start.toString('latin1')}${end === null ? '' : end.toString('latin1')}`;
}
