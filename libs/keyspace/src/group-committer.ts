import { CommitFailedError, CommitUnknownError, type CommitBatch, type Head } from './backend.js';
import type { Clock } from './clock.js';
import { CommitQueue, isAlone, type QueuedTxn } from './commit-queue.js';
import { KeyspaceError, MisfitError, UnavailableError, UnknownOutcomeError, UnsupportedError } from './errors.js';
import type { StoreEvent } from './event-ring.js';
import { Gathering } from './gathering.js';
import type { GuardedBackend } from './guarded-backend.js';
import type { HeadCache } from './head-cache.js';
import { contains } from './key-range.js';
import { keyOf, recordsOf } from './key-value.js';
import type { KeyRange, RangeRequest, Revision, TxnRangeResult, TxnRequest, TxnResult } from './model.js';
import type { RecordArena } from './record-arena.js';
import { type Judgement, TxnJudge } from './txn-judge.js';
import { collect, MAX_RANGE_KEYS } from './txn-scope.js';
import { keyText, textKey } from './key-text.js';
import { LateAnswerError } from './within.js';
import { WorkingHeads } from './working-heads.js';

/** Pauses before a database is asked again for the outcome of a commit: each is twice the one before. */
const RESOLVE_PAUSE_MS = { first: 100, most: 2_000 };
/** So long everybody waits for the outcome of a commit that is not known; then requests are refused at once until it is. */
const DOUBT_AFTER_MS = 500;

interface Submission extends QueuedTxn {
  readonly resolve: (result: TxnResult) => void;
  readonly reject: (error: Error) => void;
  readonly cohort: Cohort;
  /** On the monotonic clock. */
  readonly since: number;
}

/** What was submitted between two questions of `whenDone`. */
interface Cohort {
  open: number;
  onDone: (() => void) | null;
}

interface Answer {
  readonly submission: Submission;
  /** An error, too, may come from a write of the same batch. */
  readonly judgement: Judgement | Error;
}

export interface CommitterStats {
  readonly commits: number;
  readonly rows: number;
  readonly lastBatchRows: number;
  readonly failedCommits: number;
  readonly queued: number;
  /** Nobody knows what became of the last commit: everything is refused until the database tells. */
  readonly isInDoubt: boolean;
}

/** A batch that is with the database. */
interface BatchUnderWay {
  readonly batch: CommitBatch;
  readonly judge: TxnJudge;
  readonly waiting: readonly Answer[];
  readonly submissions: readonly Submission[];
  /** Since when nothing was before it, on the monotonic clock. */
  since: number;
  /** Nothing goes behind it. */
  readonly isAlone: boolean;
  /** It has not simply taken place: what goes behind it would come to nothing, or wait until that is known. */
  hasFailed: boolean;
}

export interface CommitterOptions {
  /** The backend's place in the clock. */
  readonly id: string;
  /** As people know it now. */
  readonly label: () => string;
  readonly backend: GuardedBackend;
  /** Why the backend cannot store a key and a value; null: it takes whatever comes. */
  readonly misfit: Misfit | null;
  readonly clock: Clock;
  readonly cache: HeadCache;
  readonly arena: RecordArena;
  readonly hasLease: (id: bigint) => boolean;
  readonly compactRevision: () => Revision;
  /** Makes sure that `count` revisions may be handed out; undefined when they already may. */
  readonly reserve: (count: number) => Promise<void> | undefined;
  /** Answers a range at an old revision, which nothing can change any more. */
  readonly readPast: (request: RangeRequest) => Promise<TxnRangeResult>;
  /** Called in commit order, before any answer: the events are settled. */
  readonly onSettled: (events: readonly StoreEvent[]) => void;
  /** Called when a batch came to nothing: horizons have moved all the same. */
  readonly onBurned: () => void;
  readonly onCommit: (seconds: number, rows: number) => void;
  readonly onCommitFailed: (seconds: number) => void;
  /** No request waits longer. */
  readonly requestTimeoutMs: number;
  /** Why nothing may be answered that no commit vouches for; null: it may. */
  readonly refusal: () => KeyspaceError | null;
  /** It has begun or ended that nobody knows what became of the last commit. */
  readonly onDoubt: (isInDoubt: boolean) => void;
}

/**
 * Writes of one backend as group commits: what arrives while a commit is under way goes together in the next one, in
 * order. A batch is judged against what has settled, which is every earlier write that it could see.
 *
 * A backend that keeps commits in order is given a second one while the first is under way, so that it never waits for the router. The second holds
 * only txns that name no key of the first, and is told after it. Where the first comes to nothing, so does the second, whose txns are judged again.
 * Elsewhere Gathering tells when a commit is worth waiting for.
 *
 * A creation that takes its key for absent (`WorkingHeads`) is judged as if it were, and the database refuses the whole batch if it is not. Until then
 * nothing is told that rests on it.
 */
export class GroupCommitter {
  readonly #queue = new CommitQueue<Submission>();
  readonly #heads: WorkingHeads<Submission>;
  /** Of the batch that has settled last: told as soon as the database has the next one, or before, where the next one waits for them or there is none. */
  readonly #toAnswer: (() => void)[] = [];
  readonly #gathering = new Gathering();
  #isScheduled = false;
  #isBusy = false;
  #closed: Error | null = null;
  /** Why everything is refused at the moment; empty: it is not. */
  #refusedFor = '';
  /** Why nobody knows what became of the last commit; empty when it is known. */
  #doubtReason = '';
  /** Taken from the queue, and not given to the database yet. */
  #preparing: readonly Submission[] = [];
  /** In the order of their commits: one, or two where the backend keeps them in order. */
  readonly #underWay: BatchUnderWay[] = [];
  /** Of the batch given last: whether it took place. */
  #outcome: Promise<boolean> = Promise.resolve(true);
  /** A commit came to nothing, and so will the one behind it: the next one is given when nothing is under way any more. */
  #isDraining = false;
  /** Lets the pump look again: a batch is settled, or another may go. */
  #wake: () => void = () => undefined;
  #sweeper: NodeJS.Timeout | undefined;
  /** Ends the pause before the database is asked again. */
  #askAgain: () => void = () => undefined;
  #cohort: Cohort = { open: 0, onDone: null };
  #done: Promise<void> = Promise.resolve();
  readonly #idle: (() => void)[] = [];
  #commits = 0;
  #rows = 0;
  #lastBatchRows = 0;
  #failedCommits = 0;

  constructor(private readonly options: CommitterOptions) {
    const { cache, arena, backend } = options;
    this.#heads = new WorkingHeads({
      cache,
      arena,
      load: async (keys) => (await backend.load(keys, 'commit')).heads,
      isQueued: (submission) => this.#queue.includes(submission),
      onReady: () => this.#gathering.arrived(),
      onLoaded: () => {
        this.#loadIfDue();
        void this.#pump();
      },
      onFailed: (submission, error) => this.#fail(submission, this.#unavailable(error)),
    });
  }

  get stats(): CommitterStats {
    return {
      commits: this.#commits,
      rows: this.#rows,
      lastBatchRows: this.#lastBatchRows,
      failedCommits: this.#failedCommits,
      queued: this.#queue.length,
      isInDoubt: this.#doubtReason !== '',
    };
  }

  /** Why nobody knows what became of the last commit; empty when it is known. */
  get doubt(): string {
    return this.#doubtReason;
  }

  /** Refuses what waits and what comes, until `resume`. */
  suspend(reason: string): void {
    this.#refusedFor = reason;
    this.#refuseQueued(reason);
  }

  resume(): void {
    this.#refusedFor = '';
  }

  /** Resolves after the commit is durable. Nothing that depends on an uncommitted write is told earlier. */
  submit(txn: TxnRequest): Promise<TxnResult> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    const { misfit } = this.options;
    const misfitReason = misfit === null ? null : misfitOf(txn, misfit);
    if (misfitReason !== null) return Promise.reject(new MisfitError(this.options.label(), misfitReason));
    const reason = this.#refusedFor || this.#doubtReason;
    if (reason !== '') return Promise.reject(this.#unavailable(reason));
    this.#sweeper ??= setInterval(() => this.#sweep(), this.options.requestTimeoutMs / 10);
    return new Promise((resolve, reject) => {
      const keys: string[] = [];
      const ranges: KeyRange[] = [];
      const pasts: RangeRequest[] = [];
      collect(txn, { keys, ranges, pasts });
      const cohort = this.#cohort;
      cohort.open++;
      const submission: Submission = {
        txn,
        keys,
        ranges,
        pasts,
        resolve,
        reject,
        cohort,
        since: performance.now(),
        missing: 0,
        isDone: false,
      };
      this.#heads.use(submission);
      this.#queue.add(submission);
      if (submission.missing === 0) this.#gathering.arrived();
      this.#schedule();
    });
  }

  /** Resolves when all that was submitted before is settled, and what came of it is told. */
  whenDone(): Promise<void> {
    const cohort = this.#cohort;
    if (cohort.open > 0) {
      this.#cohort = { open: 0, onDone: null };
      const before = this.#done;
      this.#done = new Promise<void>((resolve) => (cohort.onDone = resolve)).then(() => before);
    }
    return this.#done;
  }

  /** Refuses what comes from now on and resolves when what came before is settled, or a commit is not answered in time. */
  async close(reason: Error): Promise<void> {
    this.#closed = reason;
    this.#askAgain();
    this.#gathering.end();
    while ((this.#queue.length > 0 || this.#isBusy) && !this.#isStuck()) await new Promise<void>((resolve) => this.#idle.push(resolve));
    clearInterval(this.#sweeper);
    this.#rejectUnderWay(() => true);
    this.#failAll(this.#queue.open, reason);
  }

  #isStuck(): boolean {
    const [oldest] = this.#underWay;
    return oldest !== undefined && performance.now() - oldest.since >= this.options.requestTimeoutMs;
  }

  /** Tells those who have waited too long. What has not been given to the database never will be. */
  #sweep(): void {
    const due = performance.now() - this.options.requestTimeoutMs;
    const overdue = this.#notGiven.filter(({ since }) => since <= due);
    if (overdue.length > 0) this.#failAll(overdue, this.#unavailable(new LateAnswerError(this.options.requestTimeoutMs)));
    this.#rejectUnderWay(({ since }) => since <= due);
    if (this.#isStuck() && this.#doubtReason === '') this.#beInDoubt(new LateAnswerError(this.options.requestTimeoutMs));
    if (this.#isStuck() || this.#queue.length === 0) this.#tellIdle();
    if (this.#queue.length > 0 || this.#isBusy) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #rejectUnderWay(isDue: (submission: Submission) => boolean): void {
    for (const { submissions } of this.#underWay)
      for (const submission of submissions) if (isDue(submission)) submission.reject(this.#unknown());
  }

  #tellIdle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #refuseQueued(reason: string): void {
    this.#failAll(this.#notGiven, this.#unavailable(reason));
  }

  /** Those who wait, and whose txns the database does not have. */
  get #notGiven(): Submission[] {
    return [...this.#queue.open, ...this.#preparing.filter(({ isDone }) => !isDone)];
  }

  /** None of these is with the database. */
  #failAll(submissions: readonly Submission[], error: Error): void {
    for (const submission of submissions) this.#fail(submission, error);
    this.#heads.distrust(submissions);
    this.#queue.prune();
  }

  #beInDoubt(error: unknown): void {
    if (this.#doubtReason !== '') return;
    this.#doubtReason = `nobody knows yet what became of its last commit: ${error instanceof Error ? error.message : String(error)}`;
    this.#refuseQueued(this.#doubtReason);
    this.options.onDoubt(true);
  }

  #endDoubt(): void {
    if (this.#doubtReason === '') return;
    this.#doubtReason = '';
    this.options.onDoubt(false);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // After the poll phase: requests that arrived in the same turn share the first commit.
    setImmediate(() => {
      this.#isScheduled = false;
      this.#loadIfDue();
      void this.#pump();
    });
  }

  #release(submission: Submission): void {
    submission.isDone = true;
    if (--submission.cohort.open === 0) submission.cohort.onDone?.();
    this.#heads.release(submission);
  }

  /** During a commit keys are loaded some at a time: a message to the database costs as much as many keys do. What is left goes when it is over. */
  #loadIfDue(): void {
    if (!this.#isBusy || this.#gathering.isWaiting || this.#heads.toLoad >= Math.max(8, this.#lastBatchRows / 2)) this.#heads.load();
  }

  async #pump(): Promise<void> {
    if (this.#isBusy) {
      if (this.#mayTake) this.#wake();
      return;
    }
    this.#isBusy = true;
    try {
      for (;;) {
        const batch = this.#mayTake ? this.#queue.take(this.#underWay[0]?.submissions ?? null) : NO_SUBMISSIONS;
        if (batch.length > 0) await this.#process(batch);
        else if (this.#underWay.length === 0) break;
        else await this.#nextTurn();
      }
    } finally {
      this.#isBusy = false;
      this.#answer();
      this.#heads.load();
      if (this.#queue.length === 0) this.#tellIdle();
    }
  }

  /**
   * Nothing is under way; or one batch that another may go behind, once as many writers are back as were told last. Whoever else comes would gain
   * nothing by being given earlier: the database is busy.
   */
  get #mayTake(): boolean {
    const [oldest, second] = this.#underWay;
    if (oldest === undefined) return true;
    const mayFollow = this.options.backend.ordersCommits && second === undefined && !this.#isDraining;
    return mayFollow && !oldest.hasFailed && !oldest.isAlone && this.#gathering.isComplete;
  }

  /** Resolves when a batch is settled, or another may go behind the one that is under way. */
  async #nextTurn(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
    const { backend } = this.options;
    if (this.#underWay.length > 0 || backend.ordersCommits) return;
    if (!this.#gathering.isWorthwhile(this.#toAnswer.length, this.#queue.length)) return;
    this.#answer();
    await this.#gathering.wait();
  }

  async #process(taken: readonly Submission[]): Promise<void> {
    const { id, clock } = this.options;
    const rangeHeads = new Map<string, Head>();
    const pasts = new Map<RangeRequest, TxnRangeResult | Error>();
    let batch = taken;
    this.#preparing = taken;
    try {
      for (const submission of batch) {
        for (const range of submission.ranges) {
          this.#answer();
          await this.#loadRange(range, rangeHeads);
        }
        for (const past of submission.pasts) {
          this.#answer();
          // Only the branch that is taken has to be answerable.
          pasts.set(past, await this.options.readPast(past).catch((error: unknown) => this.#pastError(error)));
        }
      }
      // Loops because the other backends take numbers, too, while this one waits for its block.
      for (let reserved = this.options.reserve(batch.length); reserved !== undefined; reserved = this.options.reserve(batch.length)) {
        this.#answer();
        await reserved;
      }
    } catch (error) {
      const told = error instanceof UnsupportedError ? error : this.#unavailable(error);
      this.#failAll(
        batch.filter(({ isDone }) => !isDone),
        told,
      );
      return;
    } finally {
      this.#preparing = NO_SUBMISSIONS;
    }
    // Some may have been told meanwhile that they take too long.
    if (batch.some(({ isDone }) => isDone)) batch = batch.filter(({ isDone }) => !isDone);
    if (batch.length === 0) return;
    const judge = this.#judgeOf(rangeHeads, pasts);
    const waiting: Answer[] = [];
    for (const submission of batch) this.#judge(submission, judge, waiting);
    if (judge.rows.length === 0) return;
    const lastRevision = judge.lastRevision as Revision;
    const firstRevision = clock.current + 1n;
    clock.handOut(id, Number(lastRevision - firstRevision) + 1);
    const previousRevision = this.#underWay.at(-1)?.batch.lastRevision ?? this.options.backend.held;
    this.#commit({ rows: judge.rows, firstRevision, lastRevision, previousRevision }, judge, waiting);
  }

  #judgeOf(rangeHeads: Map<string, Head>, pasts: ReadonlyMap<RangeRequest, TxnRangeResult | Error>): TxnJudge {
    const { clock, arena, hasLease, compactRevision } = this.options;
    const settled = {
      head: (text: string): Head | null => this.#heads.head(text) ?? rangeHeads.get(text) ?? null,
      *keysIn(range: KeyRange): Generator<string> {
        for (const text of rangeHeads.keys()) if (contains(range, textKey(text))) yield text;
      },
      past: (op: RangeRequest): TxnRangeResult | Error => pasts.get(op) as TxnRangeResult | Error,
    };
    return new TxnJudge(settled, clock.current + 1n, compactRevision(), hasLease, arena);
  }

  /** Answers at once what depends on settled writes alone; the rest goes to `waiting`. */
  #judge(submission: Submission, judge: TxnJudge, waiting: Answer[]): void {
    let judgement: Judgement;
    try {
      judgement = judge.judge(submission.txn);
    } catch (error) {
      if (this.#heads.isTrusting(submission)) this.#retry([submission]);
      else if (judge.isDerived) waiting.push({ submission, judgement: error as Error });
      else this.#fail(submission, this.options.refusal() ?? (error as Error));
      return;
    }
    if (judgement.revision !== null || judgement.isDerived) {
      waiting.push({ submission, judgement });
    } else {
      this.#release(submission);
      const refusal = this.options.refusal();
      if (refusal !== null) {
        submission.reject(refusal);
        return;
      }
      const { succeeded, responses } = judgement;
      submission.resolve({ type: 'txn', revision: this.options.clock.observed, succeeded, responses });
    }
  }

  /** They are judged again, before all others, when what they took for granted is known. */
  #retry(submissions: readonly Submission[]): void {
    this.#queue.putBack(submissions);
    this.#heads.distrust(submissions);
  }

  #commit(batch: CommitBatch, judge: TxnJudge, waiting: readonly Answer[]): void {
    const before = this.#underWay.length > 0 ? this.#outcome : null;
    const submissions = waiting.map(({ submission }) => submission);
    const underWay = { batch, judge, waiting, submissions, since: performance.now(), isAlone: submissions.some(isAlone), hasFailed: false };
    this.#underWay.push(underWay);
    this.#outcome = this.#conclude(underWay, this.options.backend.commit(batch), before);
    // The database works on while answers are made: their clients' next requests come for the commit after.
    this.#answer();
  }

  /** Resolves when the batch is settled: whether it took place. `before`: whether the one before it, if that was under way, did. */
  async #conclude(underWay: BatchUnderWay, committed: Promise<void>, before: Promise<boolean> | null): Promise<boolean> {
    let failure: unknown = null;
    try {
      await committed;
    } catch (error) {
      failure = error;
      underWay.hasFailed = true;
      if (error instanceof CommitUnknownError) for (const { reject } of underWay.submissions) reject(this.#unknown(error));
    }
    const hasGround = before === null || (await before);
    const tookPlace = failure === null ? this.#succeed(underWay) : await this.#fall(underWay, failure, hasGround);
    this.#heads.load();
    this.#wake();
    return tookPlace;
  }

  #succeed({ batch, judge, waiting, since }: BatchUnderWay): true {
    const { clock, onCommit } = this.options;
    this.#leave(true);
    const tookMs = performance.now() - since;
    this.#gathering.committed(tookMs);
    onCommit(tookMs / 1000, batch.rows.length);
    this.#settle(batch, judge);
    for (const { submission, judgement } of waiting) {
      this.#release(submission);
      this.#toAnswer.push(() => {
        if (judgement instanceof Error) {
          submission.reject(judgement);
          return;
        }
        // An answer that saw the batch holds at the point of the batch where it was judged.
        const revision = judgement.revision ?? judgement.precedingRevision ?? clock.observed;
        submission.resolve({ type: 'txn', revision, succeeded: judgement.succeeded, responses: judgement.responses });
      });
    }
    if (this.#underWay.length > 0) this.#answer();
    return true;
  }

  /** Whether it took place all the same. `hasGround`: the batch before it did. */
  async #fall({ batch, judge, submissions, since }: BatchUnderWay, error: unknown, hasGround: boolean): Promise<boolean> {
    const { id, backend, clock, onBurned, onCommitFailed } = this.options;
    const isFailed = error instanceof CommitFailedError;
    const isMistrusted = isFailed && error.isConflict && submissions.some((each) => this.#heads.isTrusting(each));
    if (isMistrusted || (isFailed && !hasGround)) {
      if (isMistrusted) this.#heads.beCautious();
      clock.takeBack(id);
      onBurned();
      this.#leave(false);
      this.#retry(submissions);
      if (this.#refusedFor !== '') this.#refuseQueued(this.#refusedFor);
      return false;
    }
    this.#failedCommits++;
    onCommitFailed((performance.now() - since) / 1000);
    const isUnknown = error instanceof CommitUnknownError;
    // The others know it already.
    if (!isUnknown) for (const { reject } of submissions) reject(this.#unavailable(error));
    const tookPlace = isUnknown && (await this.#resolve(batch.lastRevision));
    this.#leave(tookPlace);
    if (tookPlace) {
      backend.settle(batch.lastRevision);
      this.#settle(batch, judge);
    } else {
      clock.settle(id);
      onBurned();
    }
    for (const submission of submissions) this.#release(submission);
    this.#heads.distrust(submissions);
    return tookPlace;
  }

  /** The oldest batch is settled. */
  #leave(tookPlace: boolean): void {
    this.#underWay.shift();
    const [next] = this.#underWay;
    if (next !== undefined) next.since = performance.now();
    this.#isDraining = next !== undefined && (this.#isDraining || !tookPlace);
    this.#endDoubt();
  }

  #answer(): void {
    if (this.#toAnswer.length === 0) return;
    this.#gathering.told(this.#toAnswer.length);
    for (const answer of this.#toAnswer.splice(0)) answer();
  }

  /** The batch stays pending until the database tells what became of it. */
  async #resolve(lastRevision: Revision): Promise<boolean> {
    const doubting = setTimeout(() => this.#beInDoubt('its database has not told yet'), DOUBT_AFTER_MS);
    try {
      for (let pause = RESOLVE_PAUSE_MS.first; ; pause = Math.min(pause * 2, RESOLVE_PAUSE_MS.most)) {
        try {
          return await this.options.backend.tookPlace(lastRevision);
        } catch (error) {
          // The database is still away: it is asked again.
          if (this.#closed !== null) return false;
          this.#beInDoubt(error);
        }
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pause);
          this.#askAgain = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    } finally {
      clearTimeout(doubting);
    }
  }

  #settle(batch: CommitBatch, judge: TxnJudge): void {
    const { id, clock, onSettled } = this.options;
    this.#commits++;
    this.#rows += batch.rows.length;
    this.#lastBatchRows = batch.rows.length;
    for (const [text, head] of judge.heads) this.#heads.settle(text, head);
    clock.observe(batch.lastRevision);
    clock.settle(id);
    onSettled(judge.events);
  }

  #unavailable(error: unknown): UnavailableError {
    if (error instanceof UnavailableError) return error;
    return new UnavailableError(this.options.label(), error instanceof Error ? error.message : String(error), { cause: error });
  }

  #pastError(error: unknown): Error {
    return error instanceof KeyspaceError ? error : this.#unavailable(error);
  }

  #unknown(cause?: unknown): UnknownOutcomeError {
    return new UnknownOutcomeError(this.options.label(), { cause });
  }

  #fail(submission: Submission, error: Error): void {
    this.#release(submission);
    submission.reject(error);
  }

  async #loadRange(range: KeyRange, into: Map<string, Head>): Promise<void> {
    const { backend } = this.options;
    const answer = await backend.range({ range, revision: 0n, limit: MAX_RANGE_KEYS + 1, keysOnly: true, countOnly: false, count: false });
    const keys: Buffer[] = [];
    for (const block of answer.blocks) for (const record of recordsOf(block)) keys.push(Buffer.from(keyOf(record)));
    if (answer.rest !== undefined) {
      for await (const block of answer.rest) for (const record of recordsOf(block)) keys.push(Buffer.from(keyOf(record)));
    }
    if (keys.length > MAX_RANGE_KEYS) throw new UnsupportedError(`a txn or DeleteRange over more than ${MAX_RANGE_KEYS} keys`);
    const { heads } = await backend.load(keys, 'commit');
    heads.forEach((head, i) => {
      if (head !== null) into.set(keyText(keys[i] as Buffer), head);
    });
  }
}

const NO_SUBMISSIONS: readonly Submission[] = [];

type Misfit = (key: Buffer, value: Buffer) => string | null;

/** Why one of the rows that a txn may write cannot be stored. */
function misfitOf({ success, failure }: TxnRequest, misfit: Misfit): string | null {
  for (const ops of [success, failure]) {
    for (const op of ops) {
      const reason = op.type === 'put' ? misfit(op.key, op.value) : op.type === 'txn' ? misfitOf(op, misfit) : null;
      if (reason !== null) return reason;
    }
  }
  return null;
}
