import { crc32 } from 'node:zlib';
import type { Backend, ChangesAnswer } from './backend.js';
import { EVERY_KEY } from './key-range.js';
import type { RangeResult, Revision } from './model.js';
import { recordsOf } from './key-value.js';

/** Bytes of changes that are looked at together. */
const PAGE_BYTES = 1024 * 1024;

/**
 * A hash that is equal for equal content, however many databases it lies in and in whatever order they tell it: the sum of
 * the records' own checksums. A change counts beside what is live, so that two stores differ that have come to the same by different ways.
 */
export class KeyspaceHasher {
  #sum = 0;

  get value(): number {
    return this.#sum;
  }

  async addLive(answer: RangeResult): Promise<void> {
    for (const block of answer.blocks) this.#addBlock(block);
    for await (const block of answer.rest ?? []) this.#addBlock(block);
  }

  /** Every change of a backend in (after, through]. */
  async addChanges(backend: Pick<Backend, 'changes'>, after: Revision, through: Revision): Promise<void> {
    for (let from = after; from < through;) {
      const answer: ChangesAnswer = await backend.changes({ range: EVERY_KEY, after: from, through, maxBytes: PAGE_BYTES });
      for (const { record, isDelete } of answer.changes) this.#add(crc32(record, isDelete ? 2 : 1));
      from = answer.through;
    }
  }

  #addBlock(block: Buffer): void {
    for (const record of recordsOf(block)) this.#add(crc32(record));
  }

  #add(checksum: number): void {
    this.#sum = (this.#sum + checksum) >>> 0;
  }
}
