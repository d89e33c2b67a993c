/** How soon fewer writers than this are back is chance more than habit: waiting for them made creates through a kube-apiserver some per cent slower. */
const LEAST_WRITES = 8;
/**
 * Above so many writes what a commit costs whatever is in it (as much as some 15 rows on MariaDB, 20 to 25 on etcd) is no longer
 * most of it.
 */
const MOST_WRITES = 32;
/** Writers are waited for who are back after this share of a commit's time. */
const SHARE = 0.7;
/** However slow commits are, a write is not held up for longer: a database that was slow a moment ago may be quick again. */
const MOST_MS = 10;
/** Of a new measurement in the average: a few are enough to change what is done. */
const WEIGHT = 0.25;
/** Commits after which somebody who is not back counts as that late, whenever it comes. */
const LATEST_RETURN = 4;

/**
 * Whether a commit waits a moment for the writers who have just been told of the one before.
 *
 * Writers that write again as soon as they are told, such as controllers with a queue of work, fall into two halves: one's commit
 * is under way while the other's gathers, and each write sits through two commits. Where they are back within a fraction of a
 * commit's time, one commit of all of them is sooner for each, and the database has half as many. Others are not waited for: how
 * soon the writers of a commit are back is measured after every one.
 */
export class Gathering {
  /** Milliseconds of a commit, and from the telling of its writers until as many have come; averages. 0: not known yet. */
  #commitMs = 0;
  #returnMs = 0;
  #toldAt = 0;
  /** Writers told last who are not back yet. */
  #missing = 0;
  #go: (() => void) | null = null;

  /** Somebody is waited for. */
  get isWaiting(): boolean {
    return this.#go !== null;
  }

  /** As many have come as were told last. */
  get isComplete(): boolean {
    return this.#missing === 0;
  }

  committed(ms: number): void {
    this.#commitMs = average(this.#commitMs, ms);
  }

  /** The writers of the last commit are told of it now. */
  told(writers: number): void {
    if (this.#missing > 0) this.#returned();
    this.#toldAt = performance.now();
    this.#missing = writers;
  }

  /** Somebody's write can be committed: whoever it is, one more is there. */
  arrived(): void {
    if (this.#missing === 0 || --this.#missing > 0) return;
    this.#returned();
    this.#go?.();
  }

  /** `writers` are to be told, `queued` are there for the next commit. */
  isWorthwhile(writers: number, queued: number): boolean {
    const writes = writers + queued;
    if (writers === 0 || writes < LEAST_WRITES || writes > MOST_WRITES) return false;
    return this.#returnMs > 0 && this.#returnMs < Math.min(SHARE * this.#commitMs, MOST_MS);
  }

  /** Right behind `told`: resolves when as many have come, or they take longer than they use to. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#go?.(), Math.min(Math.ceil(2 * this.#returnMs) + 1, MOST_MS));
      this.#go = () => {
        clearTimeout(timer);
        this.#go = null;
        resolve();
      };
    });
  }

  /** Nobody is waited for any more. */
  end(): void {
    this.#go?.();
  }

  #returned(): void {
    const took = performance.now() - this.#toldAt;
    this.#returnMs = average(this.#returnMs, Math.min(took, LATEST_RETURN * this.#commitMs));
  }
}

function average(before: number, ms: number): number {
  return before === 0 ? ms : before + WEIGHT * (ms - before);
}
