/*
 * A list of 500 objects is close to a megabyte. Left to the garbage collector, such blocks trigger a full collection
 * every few lists and hold some 60 MB until then; given back as soon as they are sent they cost nothing.
 */

const owned = new WeakSet<Buffer>();

/** A block over memory that nobody else uses: whoever consumes it may free it. */
export function ownedBlock(memory: Uint8Array<ArrayBuffer>): Buffer {
  const block = Buffer.from(memory.buffer, memory.byteOffset, memory.length);
  owned.add(block);
  return block;
}

/** Gives the memory of an owned block back; its bytes are gone afterwards. Any other block stays as it is. */
export function freeBlock(block: Buffer): void {
  if (owned.delete(block)) (block.buffer as ArrayBuffer).transfer(0);
}
