/**
 * A message that is too large for one buffer: `head`, then what `rest` yields, then `tail`, all inside one gRPC frame
 * whose prefix stands at the start of `head` and announces the length of everything.
 */
export interface LargeReply {
  /** Length of the whole frame, prefix included. */
  readonly length: number;
  readonly head: readonly Buffer[];
  /** Whoever sends the reply iterates it or calls its `return()`. */
  readonly rest?: AsyncGenerator<Buffer, void, void> | undefined;
  readonly tail: Buffer;
}

/** A message with its gRPC frame around it. */
export type Reply = Buffer | LargeReply;

/**
 * Gives back what a generator holds that nobody has asked for anything yet. `return()` alone would end it without entering
 * its body, and so without the `finally` that frees the snapshot.
 */
export async function abandon(rest: AsyncGenerator<Buffer, void, void> | undefined): Promise<void> {
  if (rest === undefined) return;
  try {
    await rest.next();
  } finally {
    await rest.return();
  }
}
