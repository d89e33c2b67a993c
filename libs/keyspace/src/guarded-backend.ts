import {
  type Backend,
  type BackendState,
  type ChangesAnswer,
  type ChangesQuery,
  type CommitBatch,
  FencedError,
  type LoadAnswer,
  type RangeAnswer,
  type RangeQuery,
  RolledBackError,
  type WriterClaim,
} from './backend.js';
import { BlockStream } from './block-stream.js';
import type { Revision } from './model.js';
import { LateAnswerError, within } from './within.js';

export interface GuardedBackendOptions {
  /** As people know the backend at the moment. */
  readonly label: () => string;
  /** No read takes longer. */
  readonly requestTimeoutMs: number;
  /** The database is not the one that was taken over: an older copy, or another writer's. */
  readonly onForeign: (error: RolledBackError | FencedError) => void;
}

/**
 * A backend as the keyspace asks it. It knows the last revision that was settled there: an answer from a database that does not
 * hold it is of an older copy, and is never told. What takes too long is given up; commits end by themselves, since only their
 * backend can tell what became of them.
 */
export class GuardedBackend implements Omit<Backend, 'name' | 'close' | 'resolve'> {
  #held: Revision = 0n;
  /** How often the database was taken over: an answer from before says nothing of what it is after. */
  #claims = 0;

  constructor(
    private readonly backend: Backend,
    private readonly options: GuardedBackendOptions,
  ) {}

  /** The last revision that the database is known to hold. */
  get held(): Revision {
    return this.#held;
  }

  /** The database was claimed and looked at, and holds this as its last revision. */
  takeUp(lastRevision: Revision): void {
    this.#claims++;
    this.#held = lastRevision;
  }

  /** A batch has taken place. */
  settle(lastRevision: Revision): void {
    // Of two answers that come together either may be heard first.
    if (lastRevision > this.#held) this.#held = lastRevision;
  }

  /** Opening a database may take its time: nobody waits for it. */
  claim(claim: WriterClaim): Promise<BackendState> {
    return this.backend.claim(claim);
  }

  get ordersCommits(): boolean {
    return this.backend.ordersCommits === true;
  }

  async commit(batch: CommitBatch): Promise<void> {
    try {
      await this.backend.commit(batch);
    } catch (error) {
      // Behind a commit that came to nothing: the database stands where it did before both.
      const isBehind = error instanceof RolledBackError && error.foundRevision === this.#held && batch.previousRevision !== this.#held;
      if (!isBehind) this.#note(error);
      throw error;
    }
    this.settle(batch.lastRevision);
  }

  /**
   * Whether the batch that ends in `lastRevision` took place. An older copy of the database, which may have been claimed and refused
   * meanwhile, cannot tell what became of a commit in the right one.
   */
  async tookPlace(lastRevision: Revision): Promise<boolean> {
    const asked = this.backend.resolve().then((found) => ({ lastRevision: found }));
    return (await this.#checked(this.#noting(asked))).lastRevision >= lastRevision;
  }

  load(keys: readonly Buffer[], purpose?: 'read' | 'commit'): Promise<LoadAnswer> {
    return this.#checked(this.backend.load(keys, purpose));
  }

  async range(query: RangeQuery): Promise<RangeAnswer> {
    const reading = this.backend.range(query);
    let answer: RangeAnswer;
    try {
      answer = await this.#checked(reading);
    } catch (error) {
      // It may come yet, with a snapshot that is to be given up.
      reading.then(({ rest }) => rest?.return()).catch(() => undefined);
      throw error;
    }
    const { rest } = answer;
    if (rest === undefined) return answer;
    const read = async (): Promise<Buffer | null> => (await this.#inTime(rest.next())).value ?? null;
    return { ...answer, rest: new BlockStream(read, async () => void (await rest.return())) };
  }

  changes(query: ChangesQuery): Promise<ChangesAnswer> {
    return this.#checked(this.backend.changes(query));
  }

  keysOfLease(lease: bigint, limit: number): Promise<readonly Buffer[]> {
    return this.#inTime(this.backend.keysOfLease(lease, limit));
  }

  leasesInUse(): Promise<readonly bigint[]> {
    return this.#inTime(this.backend.leasesInUse());
  }

  compact(revision: Revision, signal: AbortSignal): Promise<void> {
    return this.backend.compact(revision, signal);
  }

  size(): Promise<{ readonly bytes: number; readonly inUse: number }> {
    return this.#inTime(this.backend.size());
  }

  async #noting<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  #note(error: unknown): void {
    if (error instanceof RolledBackError || error instanceof FencedError) this.options.onForeign(error);
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    const { requestTimeoutMs } = this.options;
    return within(requestTimeoutMs, work, () => new LateAnswerError(requestTimeoutMs));
  }

  /** Called in the turn in which the question is asked: what is settled by then has to be in the answer. */
  async #checked<A extends { readonly lastRevision: Revision }>(work: Promise<A>): Promise<A> {
    const known = this.#held;
    const claims = this.#claims;
    const answer = await this.#inTime(work);
    if (answer.lastRevision < known) {
      const error = new RolledBackError(this.options.label(), known, answer.lastRevision);
      if (claims === this.#claims) this.options.onForeign(error);
      throw error;
    }
    if (claims !== this.#claims) throw new Error('its database was taken over again meanwhile');
    return answer;
  }
}
