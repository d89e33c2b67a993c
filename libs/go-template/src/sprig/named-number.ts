import { TypedValue } from '../value.js';

/** A number that is shown by its name: a month, a day of the week. */
export class NamedNumber extends TypedValue {
  readonly type: string;
  readonly number: bigint;
  readonly #name: string;

  constructor({ type, number, name }: { readonly type: string; readonly number: bigint; readonly name: string }) {
    super();
    this.type = type;
    this.number = number;
    this.#name = name;
  }

  override get isTrue(): boolean {
    return this.number !== 0n;
  }

  toString(): string {
    return this.#name;
  }
}
