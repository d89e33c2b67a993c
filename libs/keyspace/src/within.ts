/** The outcome of `work`, or a rejection with what `late` makes when it takes longer than `milliseconds`; `work` goes on then, and nobody waits for it. */
export async function within<T>(milliseconds: number, work: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), milliseconds);
  });
  try {
    return await Promise.race([work, ended]);
  } finally {
    clearTimeout(timer);
  }
}

/** A call of a database that was not answered in time. */
export class LateAnswerError extends Error {
  override readonly name = 'LateAnswerError';
  constructor(milliseconds: number) {
    super(`its database has not answered within ${milliseconds / 1000} seconds`);
  }
}
