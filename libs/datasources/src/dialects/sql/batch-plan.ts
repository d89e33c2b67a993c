import { type CommitBatch, CommitFailedError, countedPrefix, type RowWrite, varint64Size } from '@harikube/keyspace';

/** A key and what its head is to be. */
export interface HeadWrite {
  readonly key: Buffer;
  readonly id: bigint;
  readonly lease: bigint;
}

/** What a batch changes: in `head`, once for each key. Applied in the order of the fields. */
export interface BatchPlan {
  readonly rows: readonly RowWrite[];
  /** Keys without a head: one that has one makes the batch fail. */
  readonly inserted: readonly HeadWrite[];
  readonly updated: readonly HeadWrite[];
  readonly deleted: readonly Buffer[];
  /** Live keys more or fewer, for each resource that has another number of them. */
  readonly counts: readonly { readonly prefix: Buffer; readonly change: number }[];
}

interface KeyPlan {
  readonly isCreated: boolean;
  last: RowWrite;
}

/** Throws CommitFailedError for a batch that contradicts itself. */
export function planBatch({ rows }: CommitBatch): BatchPlan {
  const keys = new Map<string, KeyPlan>();
  const counts = new Map<string, number>();
  for (const row of rows) {
    const { key, prevId, tombstone } = row;
    const text = key.toString('latin1');
    const known = keys.get(text);
    if (known === undefined) keys.set(text, { isCreated: prevId === 0n, last: row });
    else if (prevId === 0n && !known.last.tombstone) throw new CommitFailedError('a key is created twice in one batch', true);
    else known.last = row;
    if (!tombstone && prevId !== 0n) continue;
    const prefix = countedPrefix(key)?.toString('latin1');
    if (prefix !== undefined) counts.set(prefix, (counts.get(prefix) ?? 0) + (tombstone ? -1 : 1));
  }
  const inserted: HeadWrite[] = [];
  const updated: HeadWrite[] = [];
  const deleted: Buffer[] = [];
  for (const { isCreated, last } of keys.values()) {
    // One that is created and deleted goes through `head`, too: it may be live.
    if (isCreated) inserted.push(last);
    else if (!last.tombstone) updated.push(last);
    if (last.tombstone) deleted.push(last.key);
  }
  const changed = [...counts].filter(([, change]) => change !== 0);
  return {
    rows,
    inserted,
    updated,
    deleted,
    counts: changed.map(([prefix, change]) => ({ prefix: Buffer.from(prefix, 'latin1'), change })),
  };
}

/** Where the value lies in a row's record, counted from 1; it is followed by the lease alone. */
export function valueFrom({ record, value, lease }: RowWrite): number {
  if (value.length === 0) return 1;
  return record.length - (lease === 0n ? 0 : 1 + varint64Size(lease)) - value.length + 1;
}
