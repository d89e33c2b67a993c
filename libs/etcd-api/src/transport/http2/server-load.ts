import type { Http2Limits } from './limits.js';

/** A stream whose request is not whole. */
export interface Holder {
  /** There is no room for its request. */
  giveUp(): void;
}

/** The reads of one connection that wait. */
export interface WaitingReads {
  /** Of their requests. */
  readonly waitingBytes: number;
  /** There is no room for all of them. */
  giveUpOldest(): void;
}

/** Addresses that are remembered; the oldest is forgotten for one more. */
const MAX_SUSPECTS = 1000;

/** What all connections of a server hold together: many that each stay within their bounds are a flood, too. */
export class ServerLoad {
  /** Answers that wait for their clients. */
  queuedBytes = 0;
  /** Answers that are being made, as long as they are thought to become. */
  expectedBytes = 0;
  private partialBytes = 0;
  /** Bytes of each request that is not whole, those first that have waited longest for more. */
  private readonly holders = new Map<Holder, number>();
  private waitingBytes = 0;
  /** The connections of which reads wait. */
  private readonly waiting = new Set<WaitingReads>();
  /** Until when an address is suspect. */
  private readonly suspects = new Map<string, number>();

  constructor(private readonly limits: Http2Limits) {}

  /** More may wait, or be made, for a connection for which something does already. */
  hasRoomFor(bytes: number): boolean {
    return this.queuedBytes + this.expectedBytes + bytes <= this.limits.maxServerQueuedBytes;
  }

  /** More of a stream's request has come: so many bytes of it are kept; 0: it is whole or given up. May reset this or other streams. */
  hold(holder: Holder, bytes: number): void {
    this.release(holder);
    if (bytes === 0) return;
    this.holders.set(holder, bytes);
    this.partialBytes += bytes;
    while (this.partialBytes > this.limits.maxPartialBytes) {
      const [stalest] = this.holders.keys();
      if (stalest === undefined) return;
      this.release(stalest);
      stalest.giveUp();
    }
  }

  /** More bytes of a connection's requests wait, or fewer. Where all of them are too many, the connection that has most loses some: whoever has few is spared. */
  wait(reads: WaitingReads, bytes: number): void {
    this.waitingBytes += bytes;
    if (reads.waitingBytes > 0) this.waiting.add(reads);
    else this.waiting.delete(reads);
    while (this.waitingBytes > this.limits.maxWaitingBytes) {
      let most = reads;
      for (const each of this.waiting) if (each.waitingBytes > most.waitingBytes) most = each;
      most.giveUpOldest();
    }
  }

  /** A connection from there was ended for a flood. An address may be that of many: nobody is refused for it. */
  suspect(address: string, now: number): void {
    this.suspects.delete(address);
    const [oldest] = this.suspects.keys();
    if (oldest !== undefined && this.suspects.size >= MAX_SUSPECTS) this.suspects.delete(oldest);
    this.suspects.set(address, now + this.limits.suspicionMs);
  }

  isSuspect(address: string, now: number): boolean {
    const until = this.suspects.get(address);
    if (until === undefined) return false;
    if (now < until) return true;
    this.suspects.delete(address);
    return false;
  }

  private release(holder: Holder): void {
    this.partialBytes -= this.holders.get(holder) ?? 0;
    this.holders.delete(holder);
  }
}
