import type { Random } from '@harikube/etcd-api/spec';

/** An input that something went wrong with. */
export class FuzzFinding extends Error {
  override readonly name = 'FuzzFinding';
  constructor(
    message: string,
    /** As far as it is bytes of one piece. */
    readonly input: Buffer,
  ) {
    super(message);
  }
}

/** What is fuzzed, ready to be. */
export interface FuzzTarget {
  /** One input, drawn from `random` alone. Throws a FuzzFinding. */
  execute(random: Random): Promise<void> | void;
  /** Looks at what a single input does not show, such as memory. Throws a FuzzFinding. */
  check(): Promise<void>;
  close(): Promise<void>;
}

export interface FuzzPart {
  readonly name: string;
  readonly what: string;
  start(): Promise<FuzzTarget>;
}
