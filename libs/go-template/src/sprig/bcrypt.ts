// bcrypt (Provos and Mazières, 1999), version 2a: Blowfish with an expensive key schedule. Node.js has none of its own.

const COST = 10;
const ROUNDS = 16;
const ALPHABET = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** The text that the schedule enciphers at last. */
const MAGIC = 'OrpheanBeholderScryDoubt';

export const MAX_PASSWORD_BYTES = 72;

interface Blowfish {
  readonly subkeys: Uint32Array;
  /** Four boxes of 256 words, one behind the other. */
  readonly boxes: Uint32Array;
}

/** The hash of a password of at most 72 bytes with a salt of 16 bytes. */
export function bcryptHash(password: string, salt: Uint8Array, cost = COST): string {
  // Version 2a takes the zero byte at the end for a part of the password.
  const key = Buffer.from(`${password}\0`).subarray(0, MAX_PASSWORD_BYTES);
  const { subkeys, boxes } = initialState();
  const state = { subkeys: subkeys.slice(), boxes: boxes.slice() };
  expand(state, key, salt);
  for (let round = 0; round < 2 ** cost; round++) {
    expand(state, key, null);
    expand(state, salt, null);
  }
  const words = wordsOf(Buffer.from(MAGIC));
  for (let start = 0; start < words.length; start += 2) {
    for (let round = 0; round < 64; round++) encipher(state, words, start);
  }
  const digest = Buffer.alloc(words.length * 4);
  words.forEach((word, place) => digest.writeUInt32BE(word, place * 4));
  // The last byte of the digest is not kept.
  return `$2a$${String(cost).padStart(2, '0')}$${encoded(salt)}${encoded(digest.subarray(0, -1))}`;
}

function encoded(bytes: Uint8Array): string {
  return [...Buffer.from(bytes).toString('base64').replaceAll('=', '')].map((digit) => ALPHABET[BASE64.indexOf(digit)] ?? '').join('');
}

function wordsOf(bytes: Buffer): Uint32Array {
  return Uint32Array.from({ length: bytes.length / 4 }, (_, place) => bytes.readUInt32BE(place * 4));
}

/** Mixes the key, which repeats, into the subkeys, and fills all anew from the cipher and the salt. */
function expand(state: Blowfish, key: Uint8Array, salt: Uint8Array | null): void {
  const { subkeys, boxes } = state;
  let position = 0;
  for (let place = 0; place < subkeys.length; place++) {
    let word = 0;
    for (let count = 0; count < 4; count++) word = (word << 8) | (key[position++ % key.length] ?? 0);
    subkeys[place] = (subkeys[place] ?? 0) ^ word;
  }
  const saltWords = salt === null ? null : wordsOf(Buffer.from(salt));
  const block = new Uint32Array(2);
  let saltPlace = 0;
  for (const target of [subkeys, boxes]) {
    for (let place = 0; place < target.length; place += 2) {
      if (saltWords !== null) {
        block[0] = (block[0] ?? 0) ^ (saltWords[saltPlace] ?? 0);
        block[1] = (block[1] ?? 0) ^ (saltWords[saltPlace + 1] ?? 0);
        saltPlace = (saltPlace + 2) % saltWords.length;
      }
      encipher(state, block, 0);
      target[place] = block[0] ?? 0;
      target[place + 1] = block[1] ?? 0;
    }
  }
}

function encipher({ subkeys, boxes }: Blowfish, block: Uint32Array, start: number): void {
  let left = (block[start] ?? 0) ^ (subkeys[0] ?? 0);
  let right = block[start + 1] ?? 0;
  for (let round = 1; round <= ROUNDS; round += 2) {
    right ^= mixed(boxes, left) ^ (subkeys[round] ?? 0);
    left ^= mixed(boxes, right) ^ (subkeys[round + 1] ?? 0);
  }
  block[start] = right ^ (subkeys[ROUNDS + 1] ?? 0);
  block[start + 1] = left;
}

function mixed(boxes: Uint32Array, word: number): number {
  const sum = ((boxes[word >>> 24] ?? 0) + (boxes[256 + ((word >>> 16) & 255)] ?? 0)) | 0;
  return ((sum ^ (boxes[512 + ((word >>> 8) & 255)] ?? 0)) + (boxes[768 + (word & 255)] ?? 0)) | 0;
}

let initial: Blowfish | null = null;

/** Blowfish begins with the binary digits of pi behind the point. */
function initialState(): Blowfish {
  if (initial !== null) return initial;
  const count = ROUNDS + 2 + 4 * 256;
  const words = fractionOfPi(count);
  initial = { subkeys: words.slice(0, ROUNDS + 2), boxes: words.slice(ROUNDS + 2) };
  return initial;
}

/** As many words of 32 bits, by Machin's formula: pi is 16 arctan(1/5) - 4 arctan(1/239). */
function fractionOfPi(words: number): Uint32Array {
  const bits = BigInt(words * 32);
  const guard = 64n;
  const one = 1n << (bits + guard);
  const pi = (16n * inverseTangent(5n, one) - 4n * inverseTangent(239n, one)) >> guard;
  const digits = (pi & ((1n << bits) - 1n)).toString(16).padStart(words * 8, '0');
  return wordsOf(Buffer.from(digits, 'hex'));
}

/** arctan(1/x), as a multiple of `one`. */
function inverseTangent(x: bigint, one: bigint): bigint {
  let power = one / x;
  let sum = power;
  for (let divisor = 3n, sign = -1n; power !== 0n; divisor += 2n, sign = -sign) {
    power /= x * x;
    sum += (sign * power) / divisor;
  }
  return sum;
}
