// What one call of a function may make. The executor charges what was made; this keeps it from being made.

import { FunctionError, MAX_TEXT_LENGTH } from '../template-function.js';

const MAX_ITEMS = 100_000;
const MAX_DEPTH = 1000;

export function checkTextLength(length: number | bigint): void {
  if (length > MAX_TEXT_LENGTH) throw new FunctionError(`it makes a text of more than ${MAX_TEXT_LENGTH} characters`);
}

export function checkItems(count: number | bigint): void {
  if (count > MAX_ITEMS) throw new FunctionError(`it makes a list of more than ${MAX_ITEMS} items`);
}

/** Lists and maps in each other, which are walked by recursion. */
export function checkDepth(depth: number): void {
  if (depth > MAX_DEPTH) throw new FunctionError(`lists and maps are nested deeper than ${MAX_DEPTH} levels`);
}
