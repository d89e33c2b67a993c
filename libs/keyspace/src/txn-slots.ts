import { isEmptyRange } from './key-range.js';
import type { KeyRange, TxnOp, TxnRequest } from './model.js';
import type { Placement } from './placement.js';
import type { Slot } from './slot.js';
import { isPast } from './txn-scope.js';

/** The slot of a txn over single keys that all lie in one; undefined: it takes a closer look. Nearly all txns are of this kind, so nothing is allocated. */
export function soleSlotOf(placement: Placement, { compares, success, failure }: TxnRequest): Slot | undefined {
  let sole: Slot | undefined;
  for (const { range } of compares) {
    const slot = range.single ? placement.slotOf(range.start) : undefined;
    if (slot === undefined || (sole !== undefined && slot !== sole)) return undefined;
    sole = slot;
  }
  for (let i = success.length + failure.length - 1; i >= 0; i--) {
    const op = (i < success.length ? success[i] : failure[i - success.length]) as TxnOp;
    const key = op.type === 'put' ? op.key : op.type !== 'txn' && op.range.single && !isPast(op) ? op.range.start : undefined;
    const slot = key === undefined ? undefined : placement.slotOf(key);
    if (slot === undefined || (sole !== undefined && slot !== sole)) return undefined;
    sole = slot;
  }
  return sole;
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
