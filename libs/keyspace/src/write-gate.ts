import { isEmptyRange } from './key-range.js';
import type { KeyRange, TxnOp, TxnRequest } from './model.js';
import type { Placement } from './placement.js';

/**
 * Holds back writes to keys that are about to change their backend, and reads inside txns with them. What it lets pass has the
 * same backend before and after, so it needs not wait for what is decided meanwhile.
 */
export class WriteGate {
  /** Resolves when the gate is open again, whatever was decided. */
  readonly opened: Promise<void>;
  #open: () => void = () => undefined;

  constructor(
    private readonly before: Placement,
    private readonly after: Placement,
    /** Ranges outside which no key changes its backend. */
    private readonly affected: readonly KeyRange[],
  ) {
    this.opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
  }

  holdsBackKey(key: Buffer): boolean {
    return this.before.slotOf(key) !== this.after.slotOf(key);
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
