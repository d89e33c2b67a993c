const PAUSE_MS = 200;

/** Asks until it holds, for what no watch tells; the answer of which it holds. Rejects with the last answer when that takes too long. */
export async function eventually<T>(ask: () => Promise<T>, holds: (answer: T) => boolean, seconds = 120): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`it did not become so within ${seconds} s: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
