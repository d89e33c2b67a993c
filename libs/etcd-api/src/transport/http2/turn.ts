let turn = 0;
let isCounting = false;

/** A number that is the same until the event loop has had a look at everybody else. */
export function currentTurn(): number {
  if (!isCounting) {
    isCounting = true;
    setImmediate(() => {
      isCounting = false;
      turn++;
    });
  }
  return turn;
}
