import { setTimeout as delay } from 'node:timers/promises';

/** Between two requests of a kind: whoever is asked runs on this machine, too. */
const PAUSE_MS = 50;
/** Enough to see what is wrong. */
const MAX_FAILURES = 20;

/**
 * What fails of requests that are made over and over, each kind one after the other, while something else happens; the requests that were made by
 * then are all answered. Rejects when a kind was never answered: nothing would be known then.
 */
export async function failuresDuring(
  asks: Readonly<Record<string, () => Promise<unknown>>>,
  work: () => Promise<unknown>,
): Promise<string[]> {
  const failures: string[] = [];
  let isOver = false;
  const asking = Object.entries(asks).map(async ([what, ask]) => {
    let answered = 0;
    do {
      try {
        await ask();
        answered++;
      } catch (error) {
        failures.push(`${what}, after ${answered}: ${error instanceof Error ? error.message : String(error)}`);
        if (failures.length > MAX_FAILURES) return;
      }
      await delay(PAUSE_MS);
    } while (!isOver);
    if (answered === 0 && failures.length === 0) throw new Error(`${what}: nothing was asked`);
  });
  try {
    await work();
  } finally {
    isOver = true;
    await Promise.all(asking);
  }
  return failures;
}
