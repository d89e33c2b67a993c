/**
 * What one connection may hold and may cost. The figures are far above what kube-apiserver and etcd's clients do: those open few
 * connections with many streams, cancel thousands of calls at once when their own clients go away, ping after each
 * batch of data to measure the line, and open one stream for ten thousand watches.
 */
export interface Http2Limits {
  /** SETTINGS_MAX_CONCURRENT_STREAMS. A call that was reset counts until its handler has ended. */
  readonly maxConcurrentStreams: number;
  /** SETTINGS_MAX_HEADER_LIST_SIZE. */
  readonly maxHeaderListBytes: number;
  /** A header block as it comes, in HEADERS and CONTINUATION. */
  readonly maxHeaderBlockBytes: number;
  readonly maxContinuations: number;
  /** Flow-control windows for what clients send: a request of etcd's 1.5 MiB fits a stream's. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Requests that have begun and not ended, all streams together; a stream beyond it is reset. */
  readonly maxPartialBytes: number;
  /** Answers are framed until this much waits for the socket; the rest waits unframed. */
  readonly outputBytes: number;
  /** Control frames may go beyond that by so much; then the peer does not read, and the connection is cut. */
  readonly maxControlBytes: number;
  /** Answers that wait for the client to read, all streams together: beyond it no further call is taken. */
  readonly maxQueuedBytes: number;
  /** Calls given up by the client before they are answered. */
  readonly resets: Allowance;
  /** Frames that move nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, what concerns no stream, refused requests. */
  readonly control: Allowance;
  /** Every request and every DATA frame that moves something pays for this many of those. */
  readonly controlPerMessage: number;
  /** Time for the preface and the first SETTINGS. */
  readonly prefaceMs: number;
  /** How long a client may keep its side of a call open that has been answered, and a connection that has been told to close. */
  readonly lingerMs: number;
}

/** So many at once, and so many more each second. */
export interface Allowance {
  readonly burst: number;
  readonly perSecond: number;
}

export const DEFAULT_LIMITS: Http2Limits = {
  maxConcurrentStreams: 20_000,
  maxHeaderListBytes: 64 * 1024,
  maxHeaderBlockBytes: 64 * 1024,
  maxContinuations: 16,
  streamWindowBytes: 2 * 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  maxPartialBytes: 128 * 1024 * 1024,
  outputBytes: 256 * 1024,
  maxControlBytes: 1024 * 1024,
  maxQueuedBytes: 256 * 1024 * 1024,
  resets: { burst: 50_000, perSecond: 5000 },
  control: { burst: 10_000, perSecond: 1000 },
  controlPerMessage: 4,
  prefaceMs: 10_000,
  lingerMs: 1000,
};

/** Counts down what somebody is allowed. */
export class Budget {
  private left: number;
  private countedAt: number;

  constructor(
    private readonly allowance: Allowance,
    now: number,
  ) {
    this.left = allowance.burst;
    this.countedAt = now;
  }

  earn(amount: number): void {
    this.left = Math.min(this.allowance.burst, this.left + amount);
  }

  /** False when that much is not left. Time is counted only when it has to be. */
  spend(amount: number, now: number): boolean {
    if (this.left < amount) {
      this.earn(((now - this.countedAt) * this.allowance.perSecond) / 1000);
      this.countedAt = now;
      if (this.left < amount) return false;
    }
    this.left -= amount;
    return true;
  }
}
