/*
 * HPACK's Huffman code (RFC 7541 appendix B) is canonical: the codes follow from their lengths, shorter before longer and,
 * of one length, in the order of the symbols. Decoding goes through a table of states, four bits at a time; since no code is shorter than five
 * bits, four bits end at most one symbol.
 */

/** Bits of the code of each byte. */
// oxfmt-ignore
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const EOS = 256;
const EOS_LENGTH = 30;

/** A step: the state after it in the low bits, then whether a symbol ends in it, then that symbol. */
const STATE_BITS = 0x1ff;
const EMITS = 0x200;
const SYMBOL_SHIFT = 10;
/** No code goes on this way: the step stays here, and the text is refused. */
const FAILED = 0x1ff;

interface Tables {
  /** By state and four bits. */
  readonly steps: Int32Array;
  /** By state: whether a text may end there, which is after no bits or up to seven ones (RFC 7541 section 5.2). */
  readonly mayEnd: Uint8Array;
}

const { steps, mayEnd } = makeTables();

/**
 * Decodes `source` from `start` to `end` into `target`, which has room for 8/5 of it, and returns the length; -1 when it
 * is no Huffman text.
 */
export function decodeHuffman(source: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let length = 0;
  let state = 0;
  for (let i = start; i < end; i++) {
    const byte = source[i] as number;
    const high = steps[(state << 4) | (byte >> 4)] as number;
    if ((high & EMITS) !== 0) target[length++] = high >> SYMBOL_SHIFT;
    if ((high & STATE_BITS) === FAILED) return -1;
    const low = steps[((high & STATE_BITS) << 4) | (byte & 0xf)] as number;
    if ((low & EMITS) !== 0) target[length++] = low >> SYMBOL_SHIFT;
    state = low & STATE_BITS;
    if (state === FAILED) return -1;
  }
  return mayEnd[state] === 1 ? length : -1;
}

function makeTables(): Tables {
  const tree = makeTree();
  const table = new Int32Array(tree.length * 16);
  for (let state = 0; state < tree.length; state++) {
    for (let bits = 0; bits < 16; bits++) table[(state << 4) | bits] = step(tree, state, bits);
  }
  const ends = new Uint8Array(tree.length);
  let node = 0;
  for (let ones = 0; ones <= 7; ones++) {
    ends[node] = 1;
    node = tree[node]?.[1] ?? 0;
  }
  return { steps: table, mayEnd: ends };
}

/** Inner nodes of the code's tree; a child is another one's number, or a symbol as `-1 - symbol`. */
type Tree = [zero: number, one: number][];

function makeTree(): Tree {
  const lengths = [...CODE_LENGTHS, EOS_LENGTH];
  const symbols = lengths.map((_, symbol) => symbol).sort((a, b) => (lengths[a] ?? 0) - (lengths[b] ?? 0) || a - b);
  const tree: Tree = [[0, 0]];
  let code = 0;
  let previous = 0;
  for (const symbol of symbols) {
    const length = lengths[symbol] ?? 0;
    code <<= length - previous;
    previous = length;
    let node = tree[0] as Tree[number];
    for (let bit = length - 1; bit > 0; bit--) {
      const way = (code >> bit) & 1;
      if (node[way] === 0) node[way] = tree.push([0, 0]) - 1;
      node = tree[node[way] as number] as Tree[number];
    }
    node[code & 1] = -1 - symbol;
    code++;
  }
  return tree;
}

function step(tree: Tree, from: number, bits: number): number {
  let state = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = tree[state]?.[(bits >> bit) & 1] ?? 0;
    if (next >= 0) state = next;
    else if (next === -1 - EOS) return FAILED;
    else {
      emitted = EMITS | ((-1 - next) << SYMBOL_SHIFT);
      state = 0;
    }
  }
  return emitted | state;
}
