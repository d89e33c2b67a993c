import { describe, expect, it } from '@jest/globals';
import { decodeKeyValue, encodeKeyValue, rowId, type RowWrite } from '@harikube/keyspace';
import { type BatchPlan, planBatch, valueFrom } from './batch-plan.js';

let revision = 1n;

function row(
  key: string,
  prevId: bigint,
  write: { readonly lease?: bigint; readonly tombstone?: boolean; readonly value?: string } = {},
): RowWrite {
  const { lease = 0n, tombstone = false, value = 'value' } = write;
  revision++;
  const kv = { key: Buffer.from(key), createRevision: revision, version: 1n, value: Buffer.from(tombstone ? '' : value), lease };
  return { ...kv, id: rowId(revision, 0), record: encodeKeyValue({ ...kv, modRevision: revision }), tombstone, prevId };
}

function plan(...rows: RowWrite[]): BatchPlan {
  return planBatch({ rows, firstRevision: 1n, lastRevision: revision, previousRevision: 0n });
}

function texts({ inserted, updated, deleted, counts }: BatchPlan): Record<string, string[]> {
  return {
    inserted: inserted.map(({ key }) => key.toString()),
    updated: updated.map(({ key }) => key.toString()),
    deleted: deleted.map(String),
    counts: counts.map(({ prefix, change }) => `${prefix.toString()} ${change}`),
  };
}

describe('planBatch', () => {
  it('writes the head of each key once, as its last row has it', () => {
    const first = row('/registry/pods/a', 0n);
    const second = row('/registry/pods/a', first.id);
    const planned = plan(first, second, row('/registry/pods/b', 7n), row('/registry/pods/c', 8n, { tombstone: true }));
    expect(texts(planned)).toEqual({
      inserted: ['/registry/pods/a'],
      updated: ['/registry/pods/b'],
      deleted: ['/registry/pods/c'],
      counts: [],
    });
    expect(planned.inserted[0]?.id).toBe(second.id);
  });

  it('lets a key that comes and goes try its place, which may be taken', () => {
    const first = row('/registry/pods/a', 0n);
    expect(texts(plan(first, row('/registry/pods/a', first.id, { tombstone: true })))).toEqual({
      inserted: ['/registry/pods/a'],
      updated: [],
      deleted: ['/registry/pods/a'],
      counts: [],
    });
  });

  it('changes the head of a key that goes and comes again', () => {
    expect(texts(plan(row('/registry/pods/a', 7n, { tombstone: true }), row('/registry/pods/a', 0n)))).toEqual({
      inserted: [],
      updated: ['/registry/pods/a'],
      deleted: [],
      counts: [],
    });
  });

  it('refuses a key that comes twice, as a conflict', () => {
    expect(() => plan(row('/a', 0n), row('/a', 0n))).toThrow(expect.objectContaining({ name: 'CommitFailedError', isConflict: true }));
  });

  it('counts the keys of each resource', () => {
    const planned = plan(
      row('/registry/pods/a', 0n),
      row('/registry/pods/b', 0n),
      row('/registry/apps/c', 7n, { tombstone: true }),
      row('/x', 0n),
    );
    expect(texts(planned)['counts']).toEqual(['/registry/pods/ 2', '/registry/apps/ -1']);
  });
});

describe('valueFrom', () => {
  it.each([
    ['without a lease', {}],
    ['with a lease', { lease: 300n }],
    ['with the longest lease', { lease: 2n ** 63n - 1n }],
    ['of a long value', { value: 'x'.repeat(100_000), lease: 7n }],
  ])('is where the record has it, %s', (_, write) => {
    const written = row('/a', 0n, write);
    const from = valueFrom(written) - 1;
    expect(written.record.subarray(from, from + written.value.length)).toEqual(decodeKeyValue(written.record).value);
  });

  it('is the beginning where there is none', () => {
    expect(valueFrom(row('/a', 1n, { tombstone: true }))).toBe(1);
  });
});
