/**
 * Memory for records that live on in caches: chunks that many records share, since a Buffer of its own costs some
 * 750 bytes more a record (measured at 1.5 kB values). A chunk is freed when the last record in it is dropped, so the
 * holders drop in about the order in which they took (first in, first out), and copy what they keep longer.
 */
export class RecordArena {
  #chunk = Buffer.alloc(0);
  #used = 0;

  /** Large enough that a chunk goes back to the system when it is freed (`apps/cli/bin/router-memory.js`). */
  constructor(private readonly chunkBytes = 128 * 1024) {}

  allocate(size: number): Buffer {
    if (size > this.chunkBytes / 4) return Buffer.allocUnsafeSlow(size);
    if (this.#used + size > this.#chunk.length) {
      this.#chunk = Buffer.allocUnsafeSlow(this.chunkBytes);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += size;
    return this.#chunk.subarray(start, this.#used);
  }

  copy(bytes: Buffer): Buffer {
    const copied = this.allocate(bytes.length);
    bytes.copy(copied);
    return copied;
  }
}
