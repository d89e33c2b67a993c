let turn = 0;
let isCounting = false;
/** Connections that have used up their share of this turn, and of the one before. */
let busy = 0;
let busyBefore = 0;

/** A number that is the same until the event loop has had a look at everybody else. */
export function currentTurn(): number {
  if (!isCounting) {
    isCounting = true;
    setImmediate(() => {
      isCounting = false;
      busyBefore = busy;
      busy = 0;
      turn++;
    });
  }
  return turn;
}

/** A connection has used up its share of the turn. */
export function useUpTurn(): void {
  busy++;
}

/**
 * What one connection's share of the turn is, of a whole share for each of `full` connections: when more of them want all they can get, they get less, so
 * that those who want little do not wait for all of them.
 */
export function shareOfTurn(whole: number, full: number): number {
  return busyBefore <= full ? whole : (whole * full) / busyBefore;
}
