import type { Revision } from '@harikube/keyspace';
import type { WatchedMessage } from '@harikube/testing';

/** Where and when a request went, and what had been seen by anybody before it was sent. */
export interface Asked {
  /** Keys of these areas decide whether it may fail. */
  readonly areas: readonly string[];
  readonly what: string;
  readonly startedAt: number;
  /** Highest revision that anybody had seen. */
  readonly floor: Revision;
}

export type WriteOutcome =
  | { readonly type: 'done'; readonly revision: Revision }
  /** Its guard did not hold at this revision. */
  | { readonly type: 'refused'; readonly revision: Revision }
  /** It certainly did not take place. */
  | { readonly type: 'failed' }
  | { readonly type: 'unknown' };

export interface RecordedWrite extends Asked {
  readonly key: string;
  /** Null: a deletion. No value is written twice. */
  readonly value: string | null;
  /** Mod revision that its guard demands; 0: no key; null: no guard. */
  readonly expected: Revision | null;
  readonly endedAt: number;
  readonly outcome: WriteOutcome;
}

export interface RecordedRead extends Asked {
  readonly prefix: string;
  /** First key of the page. */
  readonly from: string;
  /** One key, not a range. */
  readonly isSingle: boolean;
  readonly limit: number;
  /** 0: latest. */
  readonly at: Revision;
  readonly endedAt: number;
  /** The header's. */
  readonly revision: Revision;
  readonly kvs: readonly { readonly key: string; readonly value: string; readonly modRevision: Revision }[];
  readonly count: number;
  readonly more: boolean;
}

export interface RecordedWatch {
  readonly name: string;
  readonly prefix: string;
  readonly prevKv: boolean;
  readonly messages: WatchedMessage[];
}

/** Everything that the clients of a workload saw, in one process and on one clock. */
export class WorkloadRecord {
  readonly writes: RecordedWrite[] = [];
  readonly reads: RecordedRead[] = [];
  readonly watches: RecordedWatch[] = [];
  /** What was wrong at once. */
  readonly findings: string[] = [];
  /** Slowest answer of an area that was well, in milliseconds. */
  slowestHealthyMs = 0;
  /** Slowest answer, or error, while its area was in trouble. */
  slowestTroubledMs = 0;
  errors = 0;

  constructor(public highest: Revision) {}

  see(revision: Revision): void {
    if (revision > this.highest) this.highest = revision;
  }

  complain(what: string): void {
    if (this.findings.length < 50) this.findings.push(what);
  }
}
