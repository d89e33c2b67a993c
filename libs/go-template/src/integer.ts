import { TypedValue, type Value } from './value.js';

/**
 * A whole number that is no int64 in Go: a constant, a length and an index are an `int`, a byte of a string is an `uint8`. Only the language itself and
 * the functions that ask for it tell them apart; lists and maps hold none.
 */
export class Integer extends TypedValue {
  readonly type: 'int' | 'uint8';
  readonly value: bigint;

  constructor(type: 'int' | 'uint8', value: bigint) {
    super();
    this.type = type;
    this.value = value;
  }

  override get isTrue(): boolean {
    return this.value !== 0n;
  }

  toString(): string {
    return String(this.value);
  }
}

/** The number itself, whatever its type. */
export function withoutIntegerType(value: Value): Value {
  return value instanceof Integer ? value.value : value;
}
