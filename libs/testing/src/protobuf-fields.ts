/*
 * Just enough of protobuf (https://protobuf.dev/programming-guides/encoding) for tests to speak it without the code under
 * test: fields of numbers and of bytes. Numbers of fixed size are read and never written.
 */

export interface Field {
  readonly field: number;
  /** As int64; 0n for bytes. */
  readonly number: bigint;
  /** Null for numbers. */
  readonly bytes: Buffer | null;
}

export function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let offset = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[offset++];
      if (byte === undefined) throw new Error('a message ends in a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
  };
  while (offset < message.length) {
    const tag = Number(varint());
    const type = tag & 7;
    if (type === 1 || type === 5) {
      const number = type === 1 ? message.readBigInt64LE(offset) : BigInt(message.readInt32LE(offset));
      fields.push({ field: tag >> 3, number, bytes: null });
      offset += type === 1 ? 8 : 4;
      continue;
    }
    const number = varint();
    if (type === 0) {
      fields.push({ field: tag >> 3, number, bytes: null });
    } else if (type === 2) {
      const end = offset + Number(number);
      if (end > message.length) throw new Error('a message ends in a field');
      fields.push({ field: tag >> 3, number: 0n, bytes: message.subarray(offset, end) });
      offset = end;
    } else {
      throw new Error(`a message has a field of wire type ${type}`);
    }
  }
  return fields;
}

export function bytesField(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([varintOf(BigInt(field * 8 + 2)), varintOf(BigInt(bytes.length)), bytes]);
}

/** Absent when it is 0, unless it `mustBeThere`. */
export function numberField(field: number, value: bigint, mustBeThere = false): Buffer {
  if (value === 0n && !mustBeThere) return Buffer.alloc(0);
  return Buffer.concat([varintOf(BigInt(field * 8)), varintOf(BigInt.asUintN(64, value))]);
}

function varintOf(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
