import type { ControlStore } from './backend.js';
import type { Clock } from './clock.js';
import type { DefaultStore } from './default-store.js';

/** Revisions made durable at a time: so many that nobody ever waits for the next block. */
const REVISION_BLOCK = 100_000n;

/** Revisions are durable in the default database, in blocks, before the clock hands them out. */
export class RevisionReserve {
  #extending: Promise<void> | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly control: Pick<ControlStore, 'reserve'>,
    private readonly store: Pick<DefaultStore, 'inTime'>,
  ) {}

  /** Undefined when `count` revisions may be handed out right now. The next block is made durable long before it is needed. */
  ensure(count: number): Promise<void> | undefined {
    const { available } = this.clock;
    if (available < REVISION_BLOCK / 2n) {
      const extending = this.extend();
      if (available < BigInt(count)) return this.store.inTime(extending);
      extending.catch(() => undefined); // tried again with the next write; who must wait for it is told
    }
    return undefined;
  }

  /** Makes the next block durable. */
  extend(): Promise<void> {
    this.#extending ??= this.#extendOnce().finally(() => (this.#extending = undefined));
    return this.#extending;
  }

  /** The block that is being made durable. */
  get extending(): Promise<void> | undefined {
    return this.#extending;
  }

  async #extendOnce(): Promise<void> {
    const limit = this.clock.current + REVISION_BLOCK;
    await this.control.reserve(limit);
    this.clock.extend(limit);
  }
}
