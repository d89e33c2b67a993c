/** A question that takes long, such as one by kubectl, is asked more seldom: what it waits for runs on this machine, too. */
const PAUSE = { asLongAs: 3, leastMs: 200, mostMs: 1000 };

/** Asks until it holds, for what no watch tells; the answer of which it holds. Rejects with the last answer when that takes too long. */
export async function eventually<T>(ask: () => Promise<T>, holds: (answer: T) => boolean, seconds = 120): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const asked = performance.now();
    const answer = await ask();
    const took = performance.now() - asked;
    if (holds(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`it did not become so within ${seconds} s: ${JSON.stringify(answer)}`);
    const pauseMs = Math.min(Math.max(PAUSE.asLongAs * took, PAUSE.leastMs), PAUSE.mostMs);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
