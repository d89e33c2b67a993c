import { formatFloat } from './float.js';
import { TypedValue } from './value.js';

/** Go's complex128. */
export class Complex extends TypedValue {
  readonly type = 'complex128';
  readonly real: number;
  readonly imaginary: number;

  constructor(real: number, imaginary: number) {
    super();
    this.real = real;
    this.imaginary = imaginary;
  }

  override get isTrue(): boolean {
    return this.real !== 0 || this.imaginary !== 0;
  }

  equals(other: Complex): boolean {
    return this.real === other.real && this.imaginary === other.imaginary;
  }

  toString(): string {
    const imaginary = formatFloat(this.imaginary, 'g', -1);
    return `(${formatFloat(this.real, 'g', -1)}${/^[+-]/.test(imaginary) ? '' : '+'}${imaginary}i)`;
  }
}
