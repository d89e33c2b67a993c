import { isEmptyRange } from './key-range.js';
import type { KeyRange, TxnOp, TxnRequest } from './model.js';
import type { Placement } from './placement.js';
import type { Slot } from './slot.js';
import { isPast } from './txn-scope.js';

/**
 * The slot of a txn over single keys that all lie in one; undefined: it takes a closer look. Nearly all txns are of this kind, and they name one key
 * again and again, which is looked for once.
 */
export function soleSlotOf(placement: Placement, { compares, success, failure }: TxnRequest): Slot | undefined {
  let sole: Slot | undefined;
  let known: Buffer | undefined;
  const isOfSole = (key: Buffer | undefined): boolean => {
    if (key === undefined) return false;
    if (known?.equals(key) === true) return true;
    const slot = placement.slotOf(key);
    known = key;
    sole ??= slot;
    return slot === sole;
  };
  for (const { range } of compares) if (!isOfSole(range.single ? range.start : undefined)) return undefined;
  for (const ops of [success, failure]) for (const op of ops) if (!isOfSole(soleKeyOf(op))) return undefined;
  return sole;
}

function soleKeyOf(op: TxnOp): Buffer | undefined {
  if (op.type === 'put') return op.key;
  return op.type !== 'txn' && op.range.single && !isPast(op) ? op.range.start : undefined;
}

/** Every slot in which a txn could read or write now, in either branch; none when it names no key. */
export function slotsOfTxn(placement: Placement, request: TxnRequest): Slot[] {
  const slots = new Set<Slot>();
  const add = (range: KeyRange): void => {
    if (!isEmptyRange(range)) placement.slotsFor(range).forEach((slot) => slots.add(slot));
  };
  const addOp = (op: TxnOp): void => {
    if (op.type === 'put') slots.add(placement.slotOf(op.key));
    else if (op.type === 'txn') addTxn(op);
    else if (!isPast(op)) add(op.range);
  };
  const addTxn = ({ compares, success, failure }: TxnRequest): void => {
    for (const compare of compares) add(compare.range);
    success.forEach(addOp);
    failure.forEach(addOp);
  };
  addTxn(request);
  return [...slots];
}
