import { encode, fieldsOf, type PlainMessage } from './protocol.js';
import type { Random } from './random.js';

const MAX_DEPTH = 4;

/** A message of this type with any of its fields, as the generic implementation writes it. */
export function randomMessage(type: string, random: Random): Buffer {
  return encode(type, randomFields(type, random, 0));
}

function randomFields(type: string, random: Random, depth: number): PlainMessage {
  const message: PlainMessage = {};
  for (const { name, type: fieldType, kind, isRepeated, oneof } of fieldsOf(type)) {
    if (random.bool() || (kind === 'message' && depth >= MAX_DEPTH)) continue;
    const isTaken = oneof !== null && fieldsOf(type).some((other) => other.oneof === oneof && other.name in message);
    if (isTaken) continue;
    const make = (): unknown => (kind === 'message' ? randomFields(fieldType, random, depth + 1) : randomScalar(fieldType, kind, random));
    message[name] = isRepeated ? random.list(3, make) : make();
  }
  return message;
}

function randomScalar(type: string, kind: 'enum' | 'scalar', random: Random): unknown {
  if (kind === 'enum') return random.below(3);
  if (type === 'bytes') return random.bytes();
  if (type === 'bool') return random.bool();
  if (type === 'string') return random.pick(['', 'a', 'größer']);
  return `${type === 'uint64' ? BigInt.asUintN(64, random.int64()) : random.int64()}`;
}

/** The same bytes with some of them changed, lost, doubled or moved. */
export function damaged(bytes: Buffer, random: Random): Buffer {
  let damagedBytes = Buffer.from(bytes);
  for (let hits = random.below(5); hits > 0; hits--) {
    const at = random.below(damagedBytes.length + 1);
    const [before, after] = [damagedBytes.subarray(0, at), damagedBytes.subarray(at)];
    const parts: readonly (() => Buffer[])[] = [
      () => [before, Buffer.from([random.below(256)]), after.subarray(1)],
      () => [before, after.subarray(random.below(9))],
      () => [before, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), after],
      () => [before, after.subarray(0, random.below(40)), after],
      () => [before, random.unknownField([1, 2, 3, 4, 5, 7]), after],
      () => [before],
    ];
    damagedBytes = Buffer.concat(random.pick(parts)());
  }
  return damagedBytes;
}
