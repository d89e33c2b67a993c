/** A resourceVersion as the number that it is: those of one resource are in the order of its changes. */
export type Position = bigint;

/** A resourceVersion that is no whole number: nothing can be said of before and after. */
export class NotAPositionError extends Error {
  override readonly name = 'NotAPositionError';
}

export function positionOf(resourceVersion: string | undefined): Position {
  if (resourceVersion === undefined || !/^\d{1,30}$/.test(resourceVersion)) {
    throw new NotAPositionError(`the resourceVersion "${resourceVersion ?? ''}" is not a whole number, so that changes have no order`);
  }
  return BigInt(resourceVersion);
}
