/** Less than this is left to the collector: giving it back costs more than it holds. */
const MIN_BYTES = 4096;

/** Whether bytes that came in are still in somebody's hands. */
export interface Lender {
  /** How often a part of them has been given to somebody who may keep it. */
  readonly lent: number;
}

/**
 * Gives memory that held bytes of the socket back at once, when nothing has been lent since `lentBefore`. The collector comes by how much JavaScript has made,
 * which is next to nothing for a flood: it would let tens of megabytes gather before it looks.
 */
export function giveBack(memory: ArrayBufferLike, lender: Lender, lentBefore: number): void {
  if (memory.byteLength >= MIN_BYTES && lender.lent === lentBefore && memory instanceof ArrayBuffer) memory.transfer(0);
}
