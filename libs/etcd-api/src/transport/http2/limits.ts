/**
 * What one connection may hold and may cost. The figures are far above what kube-apiserver and etcd's clients do: those open few
 * connections with many streams, cancel thousands of calls at once when their own clients go away, ping after each
 * batch of data to measure the line, and open one stream for ten thousand watches. kube-apiserver has 600 requests under way
 * unless it is told otherwise (`--max-requests-inflight` and `--max-mutating-requests-inflight`).
 *
 * etcd (v3.6) and gRPC-Go, for comparison: 2^32-1 streams (`--max-concurrent-streams`), 16 MiB of header fields, windows of up to
 * 16 MiB, a PING after two hours of silence and 20 s for its answer, and the third PING within five seconds of another ends a
 * connection on which nothing was sent meanwhile. It reads nothing further while 50 answers to control frames wait, and has no bound on
 * resets, on half-sent requests or on answers that nobody reads.
 *
 * Servers that face anybody: nghttp2 (nghttp2.h, `nghttp2_option_set_stream_reset_rate_limit` and `nghttp2_option_set_glitch_rate_limit`) allows
 * 1000 resets at once and 33 a second, and 10 000 frames that make no sense (1000 before) and 330 a second. Go's golang.org/x/net/http2
 * (server.go, `scheduleHandler`) runs no more handlers than streams may be open, 250, and ends a connection for
 * which four times as many wait. Here a call that is reset as soon as it comes counts twenty, so that such a client has 1000 of
 * them; one that gives up what it has waited for has 20 000, since kube-apiserver may.
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
  /** Requests that have begun and not ended, of all connections of a server together: beyond it the stream that has waited longest for the rest is reset. */
  readonly maxPartialBytes: number;
  /** Reads that wait for their turn, of all connections of a server together: beyond it the connection that has most loses its oldest. */
  readonly maxWaitingBytes: number;
  /** For so long nothing is read from a connection that has lost a request to one of these two, or has used up `streamMessages`. */
  readonly restMs: number;
  /** Answers are framed until this much waits for the socket; the rest waits unframed. */
  readonly outputBytes: number;
  /** Control frames may go beyond that by so much; then the peer does not read, and the connection is cut. */
  readonly maxControlBytes: number;
  /** Answers that wait for the client to read, all streams together: beyond it reads wait, and watches get no events. */
  readonly maxQueuedBytes: number;
  /** The same of all connections of a server together: beyond it a connection for which something waits starts no further read, */
  readonly maxServerQueuedBytes: number;
  /** But for what stays below this, whatever the others do. */
  readonly ownQueuedBytes: number;
  /** What else is written beyond that, such as answers to writes, may go on to here; then the connection is ended. One answer that is larger by itself does not count. */
  readonly maxUnreadBytes: number;
  /** An answer of which less than `minReadBytes` is taken in this time ends the connection. */
  readonly stallMs: number;
  readonly minReadBytes: number;
  /** Reads under way; further ones wait. A connection begins with `firstRunningReads`, and is let have one more with each that is answered. */
  readonly maxRunningReads: number;
  readonly firstRunningReads: number;
  /** Reads wait while so many handlers run whose calls the client has given up. */
  readonly maxAbandoned: number;
  /** Calls given up by the client before they are answered, and frames for streams that are over. */
  readonly resets: Allowance;
  /** What a call counts as that is given up in the turn in which it came, or by a frame that is against the rules: no honest client does that often. */
  readonly earlyResetCost: number;
  /** Messages of streams, such as creations of watches: an honest client that sends more is slowed down. */
  readonly streamMessages: Allowance;
  /** Frames that move nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, what concerns no stream, refused requests. */
  readonly control: Allowance;
  /** Every request and every DATA frame that moves something pays for this many of those. */
  readonly controlPerMessage: number;
  /** So do so many bytes of answers: a client with a small window sends two WINDOW_UPDATE for each part of a large one. */
  readonly bytesPerControl: number;
  /** What a header list beyond `maxHeaderListBytes` costs, as so many frames that move nothing: to read one takes far longer than to send it. */
  readonly largeHeaderCost: number;
  /** Header fields that a request may have for nothing; each `fieldsPerControl` beyond them cost as much as a frame that moves nothing. */
  readonly freeHeaderFields: number;
  readonly fieldsPerControl: number;
  /** How long the frames of one connection may keep the others waiting; it is less when more than `fullTurns` connections use up theirs. */
  readonly turnMs: number;
  readonly fullTurns: number;
  /** For so long after a connection was ended for a flood, further ones from its address begin with this share of `resets` and `control`. */
  readonly suspicionMs: number;
  readonly suspectShare: number;
  /** Time for the preface and the first SETTINGS. */
  readonly prefaceMs: number;
  /** Time for a header block, from its first frame to its last. */
  readonly headerBlockMs: number;
  /** After so much silence the client is sent a PING, and is cut when nothing at all comes in within the time after that. */
  readonly keepAliveMs: number;
  readonly keepAliveTimeoutMs: number;
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
  maxPartialBytes: 32 * 1024 * 1024,
  maxWaitingBytes: 16 * 1024 * 1024,
  restMs: 250,
  outputBytes: 256 * 1024,
  maxControlBytes: 1024 * 1024,
  maxQueuedBytes: 8 * 1024 * 1024,
  maxServerQueuedBytes: 16 * 1024 * 1024,
  ownQueuedBytes: 512 * 1024,
  maxUnreadBytes: 32 * 1024 * 1024,
  stallMs: 30_000,
  minReadBytes: 64 * 1024,
  maxRunningReads: 400,
  firstRunningReads: 4,
  maxAbandoned: 100,
  // All streams that a client may have, given up at once.
  resets: { burst: 20_000, perSecond: 2000 },
  earlyResetCost: 20,
  streamMessages: { burst: 10_000, perSecond: 2000 },
  control: { burst: 2000, perSecond: 500 },
  controlPerMessage: 4,
  bytesPerControl: 4096,
  largeHeaderCost: 100,
  freeHeaderFields: 64,
  fieldsPerControl: 16,
  turnMs: 0.5,
  fullTurns: 4,
  suspicionMs: 60_000,
  suspectShare: 0.05,
  prefaceMs: 10_000,
  headerBlockMs: 10_000,
  keepAliveMs: 60_000,
  keepAliveTimeoutMs: 20_000,
  lingerMs: 1000,
};

/** Counts down what somebody is allowed. */
export class Budget {
  private left: number;
  private countedAt: number;

  constructor(
    private readonly allowance: Allowance,
    now: number,
    /** Of the burst, what is there at the beginning. */
    share = 1,
  ) {
    this.left = allowance.burst * share;
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
