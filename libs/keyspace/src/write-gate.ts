import { isEmptyRange } from './key-range.js';
import type { KeyRange, TxnOp, TxnRequest } from './model.js';

/** Holds back writes to some keys, and reads inside txns with them, while something about these keys is decided. */
export class WriteGate {
  /** Resolves when the gate is open again, whatever was decided. */
  readonly opened: Promise<void>;
  #open: () => void = () => undefined;

  constructor(
    /** What is decided, for the error of whoever waits too long. */
    readonly reason: string,
    readonly holdsBackKey: (key: Buffer) => boolean,
    /** Ranges outside which no key is held back. */
    private readonly affected: readonly KeyRange[],
  ) {
    this.opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
  }

  holdsBack({ compares, success, failure }: TxnRequest): boolean {
    return (
      compares.some(({ range }) => this.#holdsBackRange(range)) ||
      success.some((op) => this.#holdsBackOp(op)) ||
      failure.some((op) => this.#holdsBackOp(op))
    );
  }

  #holdsBackOp(op: TxnOp): boolean {
    if (op.type === 'put') return this.holdsBackKey(op.key);
    return op.type === 'txn' ? this.holdsBack(op) : this.#holdsBackRange(op.range);
  }

  #holdsBackRange(range: KeyRange): boolean {
    if (range.single) return this.holdsBackKey(range.start);
    return this.affected.some((other) => overlap(range, other));
  }
}

function overlap(a: KeyRange, b: KeyRange): boolean {
  if (isEmptyRange(a) || isEmptyRange(b)) return false;
  return (b.end === null || Buffer.compare(a.start, b.end) < 0) && (a.end === null || Buffer.compare(b.start, a.end) < 0);
}
