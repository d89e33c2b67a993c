/**
 * Protobuf's base-128 varints, as the few places need them that put records together by hand
 * (https://protobuf.dev/programming-guides/encoding).
 */

/** Encoded length of a non-negative integer below 2^53, in bytes. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < 0x10000000) return 4;
  let size = 4;
  for (let rest = Math.floor(value / 0x10000000); rest > 0; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Writes a non-negative integer below 2^53 and returns the offset behind it. */
export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  while (value >= 0x10000000) {
    target[offset++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  while (value >= 0x80) {
    target[offset++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  target[offset++] = value;
  return offset;
}

/** Encoded length of an int64 (negative ones take ten bytes). */
export function varint64Size(value: bigint): number {
  if (value >= 0n && value <= MAX_SAFE) return varintSize(Number(value));
  return bigSize(BigInt.asUintN(64, value));
}

export function writeVarint64(target: Uint8Array, offset: number, value: bigint): number {
  if (value >= 0n && value <= MAX_SAFE) return writeVarint(target, offset, Number(value));
  let rest = BigInt.asUintN(64, value);
  while (rest >= 0x80n) {
    target[offset++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  target[offset++] = Number(rest);
  return offset;
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

function bigSize(value: bigint): number {
  let size = 1;
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) size++;
  return size;
}
