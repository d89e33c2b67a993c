import type { BlockStream } from '@harikube/keyspace';

/**
 * A message that is too large for one buffer: `head`, then what `rest` yields, then `tail`, all inside one gRPC frame
 * whose prefix stands at the start of `head` and announces the length of everything.
 */
export interface LargeReply {
  /** Length of the whole frame, prefix included. */
  readonly length: number;
  readonly head: readonly Buffer[];
  /** Whoever sends the reply iterates it or calls its `return()`. */
  readonly rest?: BlockStream | undefined;
  readonly tail: Buffer;
}

/** A message with its gRPC frame around it. */
export type Reply = Buffer | LargeReply;
