import type { Revision } from '@harikube/keyspace';

/** What a finding is against. */
export type Rule =
  /** An answer's header lies below a revision that was told before the call was sent. */
  | 'stale header'
  /** A write got a revision that is not above what was told before it was sent. */
  | 'revision not above'
  /** Two writes have one revision. */
  | 'reused revision'
  /** A change that no request, or no request any more, accounts for. */
  | 'unexplained change'
  /** Two answers tell otherwise about one key at one revision. */
  | 'contradiction'
  /** A read does not show the state at its revision. */
  | 'read'
  /** A count, or whether there is more, is not that of the state. */
  | 'count'
  /** A compare was judged otherwise than the state at its place says. */
  | 'compare'
  /** A write is answered otherwise than its place says. */
  | 'write result'
  /** A call is refused for no good reason, or not refused though it has to be. */
  | 'refusal'
  | 'compaction'
  | 'lease'
  /** A watch was sent a change of a key or a time that is not its own. */
  | 'watch filter'
  | 'watch order'
  | 'watch unique'
  /** A change is missing between two others, or before progress. */
  | 'watch complete'
  | 'watch atomic'
  | 'watch event'
  | 'watch prev_kv'
  | 'watch progress'
  | 'watch header'
  /** A watch did not get what it was waited for, or was ended for no good reason. */
  | 'watch end';

export interface Finding {
  readonly rule: Rule;
  readonly text: string;
  /** The revision that it is about, for whoever looks at what happened around it; null: none. */
  readonly revision: Revision | null;
}
