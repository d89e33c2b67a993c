/** A repeatable source of random values (mulberry32). */
export class Random {
  constructor(private state: number) {}

  /** A whole number from 0 up to, not including, `bound`. */
  below(bound: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let value = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % bound;
  }

  bool(): boolean {
    return this.below(2) === 1;
  }

  /** 0, small, large, negative, and the two ends in turn. */
  int64(): bigint {
    const edges = [0n, 1n, -1n, 127n, 128n, 2n ** 31n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 31n)];
    if (this.bool()) return edges[this.below(edges.length)] ?? 0n;
    return BigInt.asIntN(64, (BigInt(this.below(2 ** 32)) << 32n) | BigInt(this.below(2 ** 32))) >> BigInt(this.below(64));
  }

  bytes(): Buffer {
    const lengths = [0, 1, 5, 40, 127, 128, 300, 20_000];
    return Buffer.from(Array.from({ length: lengths[this.below(this.below(10) === 0 ? 8 : 6)] ?? 0 }, () => this.below(256)));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  list<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }

  /** One unknown field of any wire type but groups, numbered beyond all known ones or as one of those given. */
  unknownField(numbers: readonly number[]): Buffer {
    const number = this.pick([...numbers, 100, 536_870_911]);
    const type = this.pick([0, 1, 2, 5]);
    const bodies: Record<number, () => Buffer> = {
      0: () => Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
      1: () => Buffer.alloc(8, 0xab),
      2: () => Buffer.concat([Buffer.from([3]), Buffer.from('env')]),
      5: () => Buffer.alloc(4, 0xcd),
    };
    return Buffer.concat([varint(number * 8 + type), bodies[type]?.() ?? Buffer.alloc(0)]);
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return Buffer.from([...bytes, value]);
}
