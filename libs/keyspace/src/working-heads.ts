import type { Head } from './backend.js';
import type { HeadCache } from './head-cache.js';
import { textKey } from './key-text.js';
import type { KeyRange, TxnRequest } from './model.js';
import type { RecordArena } from './record-arena.js';

/** Creations that load the head of their key first, after one whose key turned out to be there. */
const CAUTIOUS_CREATIONS = 64;

/** A txn that waits for its turn, as far as the heads of its keys go. */
export interface HeadUser {
  readonly txn: TxnRequest;
  readonly keys: readonly string[];
  /** Ranges of more than one key. */
  readonly ranges: readonly KeyRange[];
  /** Heads still being loaded, or being committed on trust. */
  missing: number;
  isDone: boolean;
}

/** The head of a key that some waiting txn names. */
interface WorkingHead<User> {
  head: Head | null | undefined;
  /** The creation that takes the key for absent though nobody has looked; `head` is null meanwhile, for its eyes only. */
  truster: User | null;
  users: number;
  waiting: User[];
}

export interface WorkingHeadsOptions<User> {
  readonly cache: HeadCache;
  readonly arena: RecordArena;
  /** The heads of keys as they are in the database, in the same order. */
  readonly load: (keys: readonly Buffer[]) => Promise<readonly (Head | null)[]>;
  /** In no batch yet. */
  readonly isQueued: (user: User) => boolean;
  /** A txn has all of its heads. */
  readonly onReady: () => void;
  /** A load is over, whatever came of it. */
  readonly onLoaded: () => void;
  readonly onFailed: (user: User, error: unknown) => void;
}

/**
 * The heads of every key that a waiting txn names, kept whatever the cache evicts. Kubernetes creates under names that are new, and no cache knows
 * those: such a creation takes its key for absent without a load, and whoever else names the key waits until the database has told.
 */
export class WorkingHeads<User extends HeadUser> {
  readonly #working = new Map<string, WorkingHead<User>>();
  readonly #toLoad: string[] = [];
  #isLoading = false;
  /** Creations that are not to be trusted, after one that was wrong. */
  #cautious = 0;

  constructor(private readonly options: WorkingHeadsOptions<User>) {}

  /** Keys that nobody has asked the database for yet. */
  get toLoad(): number {
    return this.#toLoad.length;
  }

  /** Of a key that a txn of the batch names; undefined: no txn names it, or it is not known. */
  head(text: string): Head | null | undefined {
    return this.#working.get(text)?.head;
  }

  /** Until `release` the heads of its keys stay. */
  use(user: User): void {
    for (const text of user.keys) this.#use(text, user);
  }

  release(user: User): void {
    for (const text of user.keys) {
      const working = this.#working.get(text);
      if (working !== undefined && --working.users === 0) this.#working.delete(text);
    }
  }

  /** It takes a key for absent. */
  isTrusting(user: User): boolean {
    return user.keys.some((text) => this.#working.get(text)?.truster === user);
  }

  /** The batch has not told whether the keys that these took for absent are. */
  distrust(users: readonly User[]): void {
    for (const user of users) {
      for (const text of user.keys) {
        const working = this.#working.get(text);
        if (working?.truster === user) this.#distrust(text, working);
      }
    }
  }

  /** A key that was taken for absent is there: the next creations look first. */
  beCautious(): void {
    this.#cautious = CAUTIOUS_CREATIONS;
  }

  /** What a batch has left, which is newer than whatever is loading. */
  settle(text: string, head: Head | null): void {
    this.options.cache.set(text, head);
    const working = this.#working.get(text);
    if (working === undefined) return;
    working.head = head;
    working.truster = null;
    this.#ready(working);
  }

  /**
   * Asks for what is to be loaded, unless a load is under way: while the commit before is with the database, so that the heads are there right behind it.
   * A key that is loading is in no batch: its txns wait.
   */
  load(): void {
    if (this.#isLoading || this.#toLoad.length === 0) return;
    this.#isLoading = true;
    const wanted = this.#toLoad.splice(0, this.#toLoad.length).flatMap((text) => {
      const working = this.#working.get(text);
      return working === undefined ? [] : [{ text, working }];
    });
    this.options.load(wanted.map(({ text }) => textKey(text))).then(
      (heads) => {
        this.#isLoading = false;
        wanted.forEach(({ text, working }, i) => this.#loaded(text, working, heads[i] ?? null));
        this.options.onLoaded();
      },
      (error: unknown) => {
        this.#isLoading = false;
        for (const { working } of wanted) this.#fail(working, error);
        this.options.onLoaded();
      },
    );
  }

  #use(text: string, user: User): void {
    let working = this.#working.get(text);
    if (working === undefined) {
      working = { head: this.options.cache.get(text), truster: null, users: 0, waiting: [] };
      this.#working.set(text, working);
      if (working.head === undefined) {
        if (this.#isTrusted(user)) {
          working.head = null;
          working.truster = user;
        } else this.#toLoad.push(text);
      }
    } else if (working.truster !== null && this.options.isQueued(working.truster)) this.#distrust(text, working);
    working.users++;
    if (working.head === undefined || (working.truster !== null && working.truster !== user)) this.#await(working, user);
  }

  #await(working: WorkingHead<User>, user: User): void {
    working.waiting.push(user);
    user.missing++;
  }

  #isTrusted({ txn, keys, ranges }: User): boolean {
    if (keys.length !== 1 || ranges.length > 0 || !isCreation(txn)) return false;
    if (this.#cautious === 0) return true;
    this.#cautious--;
    return false;
  }

  /** The key is looked up after all, and the creation waits for that like everybody else. */
  #distrust(text: string, working: WorkingHead<User>): void {
    const { truster } = working;
    working.head = undefined;
    working.truster = null;
    this.#toLoad.push(text);
    if (truster !== null && !truster.isDone) this.#await(working, truster);
  }

  #loaded(text: string, working: WorkingHead<User>, head: Head | null): void {
    // A DeleteRange may have settled this key while it was loading: what it left is newer. The txns that waited for that may even be done, and the key named
    // anew: this answer is from before what they wrote.
    if (this.#working.get(text) !== working || working.head !== undefined) return;
    working.head = head === null ? null : { id: head.id, record: this.options.arena.copy(head.record) };
    this.options.cache.set(text, working.head);
    this.#ready(working);
  }

  #ready(working: WorkingHead<User>): void {
    for (const user of working.waiting) if (--user.missing === 0) this.options.onReady();
    working.waiting = [];
  }

  #fail({ waiting }: WorkingHead<User>, error: unknown): void {
    for (const user of waiting) if (!user.isDone) this.options.onFailed(user, error);
  }
}

/** A put of a key that is to be absent, and nothing whose answer or effect would depend on more than that. */
function isCreation({ compares, success }: TxnRequest): boolean {
  const [compare] = compares;
  const [op] = success;
  return (
    compares.length === 1 &&
    success.length === 1 &&
    compare !== undefined &&
    compare.result === 'equal' &&
    compare.number === 0n &&
    (compare.target === 'mod' || compare.target === 'create' || compare.target === 'version') &&
    op?.type === 'put' &&
    !op.ignoreValue &&
    !op.ignoreLease
  );
}
