import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeKeyValue, type RangeRequest, type RangeSelection, type TxnOp, type TxnOpResult, UnsupportedError } from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import {
  between,
  compare,
  deleteOp,
  EVERYTHING,
  getOp,
  KeyspaceHarness,
  kvsOf,
  modIs,
  putOp,
  responsesOf,
  watchOf,
} from './keyspace-harness.js';
import { SqliteFiles } from './sqlite-files.js';
import { eventText } from './watch-recorder.js';

const NO_BOUNDS = { minModRevision: 0n, maxModRevision: 0n, minCreateRevision: 0n, maxCreateRevision: 0n };

function selection(fields: Partial<RangeSelection>): RangeSelection {
  return { target: 'key', order: 'none', ...NO_BOUNDS, ...fields };
}

function txnOp(success: readonly TxnOp[], failure: readonly TxnOp[] = [], compares = [] as ReturnType<typeof compare>[]): TxnOp {
  return { type: 'txn', compares, success, failure };
}

function rangeOp(fields: Partial<RangeRequest> = {}): RangeRequest {
  return { type: 'range', range: watchOf('/k/').range, limit: 0, revision: 0n, keysOnly: false, countOnly: false, ...fields };
}

/** The answers inside the answer of a txn. */
function inside(result: TxnOpResult | undefined): string[] {
  if (result?.type !== 'txn') throw new Error('this is no answer of a txn');
  return [result.succeeded ? 'succeeded' : 'failed', ...responsesOf(result)];
}

describe.each([
  ['in memory', false],
  ['in SQLite', true],
])('a keyspace %s', (_name, isSqlite) => {
  const files = new SqliteFiles();
  let directory: string;
  let harness: KeyspaceHarness;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'harikube-transactions-'));
    const open = (name: string): ReturnType<SqliteFiles['open']> => files.open(name, join(directory, `${name}.db`));
    harness = await KeyspaceHarness.open({ others: ['user'], ...(isSqlite ? { open } : {}) });
  });

  afterEach(async () => {
    await harness.close();
    await rm(directory, { recursive: true });
  });

  afterAll(() => files.close());

  describe('with a txn inside a txn', () => {
    it('does what the inner one says under the revision of the outer one', async () => {
      const recorder = harness.watch('/k/');
      const result = await harness.txn(
        [],
        [putOp('/k/a', 'one'), txnOp([putOp('/k/b', 'two'), txnOp([putOp('/k/c', 'three')])]), rangeOp()],
      );
      expect([result.revision, inside(result.responses[1])]).toEqual([2n, ['succeeded', 'put', 'txn']]);
      expect(responsesOf(result)[2]).toBe('range 3: /k/a=one@2, /k/b=two@2, /k/c=three@2');
      await recorder.until(() => recorder.events().length === 3);
      expect(recorder.texts().slice(1)).toEqual(['events 0: /k/a=one@2, /k/b=two@2, /k/c=three@2']);
    });

    it('judges all compares by what was there before', async () => {
      await harness.put('/k/a', 'old'); // 2
      const isOld = [compare('/k/a', 'value', 'old')];
      const result = await harness.txn([modIs('/k/b', 0n)], [putOp('/k/a', 'new'), txnOp([putOp('/k/b', 'x')], [getOp('/k/a')], isOld)]);
      expect(inside(result.responses[1])).toEqual(['succeeded', 'put']);
      const late = await harness.txn([], [txnOp([deleteOp('/k/a')], [getOp('/k/a')], isOld), getOp('/k/b')]);
      expect([late.revision, inside(late.responses[0])]).toEqual([3n, ['failed', 'range 1: /k/a=new@3']]);
    });

    it('refuses the whole for what is wrong in a branch that is taken, and only for that', async () => {
      const wrong = [putOp('/k/x', '', { ignoreValue: true })];
      await expect(harness.txn([], [putOp('/k/a', 'x'), txnOp(wrong)])).rejects.toMatchObject({ name: 'KeyNotFoundError' });
      expect((await harness.list('')).count).toBe(0);
      expect((await harness.txn([], [putOp('/k/a', 'x'), txnOp([], wrong)])).revision).toBe(2n);
    });

    it('goes with others in one commit', async () => {
      const results = await Promise.all(Array.from({ length: 20 }, (_, i) => harness.txn([], [txnOp([putOp(`/k/${i}`, 'x')])])));
      expect(new Set(results.map(({ revision }) => revision)).size).toBe(20);
      expect((await harness.list('/k/')).count).toBe(20);
    });

    it('is refused when the two are about keys of two backends', async () => {
      await expect(harness.txn([], [putOp('/k/a', 'x'), txnOp([], [putOp('/user/a', 'x')])])).rejects.toBeInstanceOf(UnsupportedError);
    });
  });

  describe('with a compare of a range', () => {
    it('succeeds when it holds for every key, and takes an empty range for an absent key', async () => {
      await harness.put('/k/a', 'x'); // 2
      await harness.put('/k/b', 'x'); // 3
      const { range } = watchOf('/k/');
      const holds = async (fields: Partial<ReturnType<typeof compare>>): Promise<boolean> =>
        (await harness.txn([{ ...compare('/k/', 'mod', 0n), range, ...fields }], [])).succeeded;
      expect(await holds({ result: 'greater', number: 1n })).toBe(true);
      expect(await holds({ result: 'greater', number: 2n })).toBe(false);
      expect(await holds({ target: 'value', value: bytesOf('x') })).toBe(true);
      expect(await holds({ range: between('/n', '/o') })).toBe(true);
      expect(await holds({ range: between('/n', '/o'), number: 1n })).toBe(false);
      expect(await holds({ range: between('/n', '/o'), target: 'value', value: bytesOf('') })).toBe(false);
      expect(await holds({ range: between('/z', '/a') })).toBe(true);
    });
  });

  describe('with a range inside a txn', () => {
    it('reads at old revisions, also of another backend', async () => {
      await harness.put('/user/a', 'one'); // 2
      await harness.put('/k/a', 'one'); // 3
      await harness.put('/k/a', 'two'); // 4
      const past = (revision: bigint): RangeRequest => rangeOp({ revision });
      const result = await harness.txn(
        [],
        [putOp('/k/b', 'x'), past(3n), past(2n), rangeOp({ range: EVERYTHING, revision: 3n }), rangeOp()],
      );
      expect([result.revision, ...responsesOf(result)]).toEqual([
        5n,
        'put',
        'range 1: /k/a=one@3',
        'range 0: ',
        'range 2: /k/a=one@3, /user/a=one@2',
        'range 2: /k/a=two@4, /k/b=x@5',
      ]);
    });

    it('refuses revisions to come and compacted ones, in the branch that is taken', async () => {
      for (const value of ['one', 'two', 'three']) await harness.put('/k/a', value); // 2 to 4
      await harness.keyspace.compact(3n);
      const at = (revision: bigint) => harness.txn([], [putOp('/k/b', 'x'), rangeOp({ revision })]);
      await expect(at(5n)).rejects.toMatchObject({ name: 'FutureRevisionError' });
      await expect(at(2n)).rejects.toMatchObject({ name: 'CompactedError' });
      await expect(at(-1n)).rejects.toMatchObject({ name: 'CompactedError' });
      expect(harness.revision).toBe(4n);
      expect((await harness.txn([], [putOp('/k/b', 'x')], [rangeOp({ revision: 2n })])).revision).toBe(5n);
    });

    it('tells of each operation whether it came before the first write', async () => {
      await harness.put('/k/a', 'x');
      const { responses } = await harness.txn([], [rangeOp(), deleteOp('/none'), putOp('/k/b', 'x'), rangeOp(), deleteOp('/none2')]);
      const isBefore = responses.map((response) => (response.type === 'range' || response.type === 'delete') && response.isBefore === true);
      expect(isBefore).toEqual([true, true, false, false, false]);
      const read = await harness.txn([], [rangeOp()]);
      expect(read.responses[0]).not.toHaveProperty('isBefore');
    });

    it('over several backends answers at one revision when nothing is written', async () => {
      await harness.put('/user/a', 'one'); // 2
      await harness.put('/k/a', 'two'); // 3
      const compares = [modIs('/user/a', 2n), { ...compare('/k/', 'mod', 2n, 'greater'), range: watchOf('/k/').range }];
      const result = await harness.txn(compares, [
        rangeOp({ range: EVERYTHING }),
        getOp('/user/a'),
        rangeOp({ range: EVERYTHING, revision: 2n }),
      ]);
      expect([result.succeeded, result.revision, ...responsesOf(result)]).toEqual([
        true,
        3n,
        'range 2: /k/a=two@3, /user/a=one@2',
        'range 1: /user/a=one@2',
        'range 1: /user/a=one@2',
      ]);
    });
  });

  describe('with a range that is sorted or filtered', () => {
    beforeEach(async () => {
      await harness.put('/k/c', 'x'); // 2
      await harness.put('/k/a', 'y'); // 3
      await harness.put('/user/b', 'w'); // 4
      await harness.put('/k/c', 'z'); // 5
    });

    async function keys(fields: Partial<RangeRequest>): Promise<string> {
      const { count, more, ...rest } = await harness.range(EVERYTHING, fields);
      const found = (await kvsOf({ count, more, ...rest })).map((kv) => kv.key.toString().slice(-1)).join('');
      return `${found} of ${count}${more ? '+' : ''}`;
    }

    it.each<[Partial<RangeSelection>, number, string]>([
      [{ order: 'descend' }, 0, 'bca of 3'],
      [{ order: 'descend' }, 2, 'bc of 3+'],
      [{ target: 'mod', order: 'ascend' }, 0, 'abc of 3'],
      [{ target: 'mod', order: 'descend' }, 1, 'c of 3+'],
      [{ target: 'create', order: 'ascend' }, 1, 'c of 3+'],
      [{ target: 'version', order: 'descend' }, 0, 'cab of 3'],
      [{ target: 'value', order: 'ascend' }, 3, 'bac of 3'],
      // Without an order only the first ones and one more are looked at.
      [{ target: 'value' }, 1, 'a of 3+'],
      [{ target: 'mod' }, 0, 'abc of 3'],
      [{ minModRevision: 4n }, 0, 'cb of 3'],
      [{ maxModRevision: 4n }, 1, 'a of 3+'],
      [{ minCreateRevision: 3n, maxCreateRevision: 3n }, 0, 'a of 3'],
      [{ target: 'create', order: 'descend', maxCreateRevision: 3n }, 1, 'a of 3+'],
      [{ maxModRevision: -1n }, 0, ' of 3'],
    ])('answers %j with limit %i by %s', async (fields, limit, expected) => {
      expect(await keys({ selection: selection(fields), limit })).toBe(expected);
      expect(
        (await harness.txn([], [{ ...rangeOp(), range: EVERYTHING, limit, selection: selection(fields) }])).responses[0],
      ).toMatchObject({
        count: 3,
        more: expected.endsWith('+'),
      });
    });

    it('leaves the values out, having sorted by them', async () => {
      const sorted = selection({ target: 'value', order: 'descend' });
      const kvs = await kvsOf(await harness.range(EVERYTHING, { selection: sorted, keysOnly: true }));
      expect(kvs.map((kv) => `${kv.key.toString()}=${kv.value.toString()}`)).toEqual(['/k/c=', '/k/a=', '/user/b=']);
      const { responses } = await harness.txn([], [rangeOp({ selection: sorted, keysOnly: true })]);
      const [response] = responses;
      expect(response?.type === 'range' && response.kvs.map((kv) => decodeKeyValue(kv).value.length)).toEqual([0, 0]);
    });

    it('counts without a word about the order, and reads old revisions', async () => {
      const sorted = selection({ target: 'mod', order: 'descend', maxModRevision: 3n });
      expect(await keys({ selection: sorted, countOnly: true, limit: 1 })).toBe(' of 3');
      expect(await keys({ countOnly: true, limit: 1 })).toBe(' of 3');
      expect(await keys({ selection: sorted, revision: 3n })).toBe('ac of 2');
    });

    it('takes the first of many', async () => {
      await harness.txn(
        [],
        Array.from({ length: 100 }, (_, i) => putOp(`/k/${i}`, String(1000 - i))),
      );
      for (let i = 0; i < 30; i++)
        await harness.txn(
          [],
          Array.from({ length: 100 }, (_, j) => putOp(`/k/${i}/${j}`, String(5000 - i * 100 - j))),
        );
      const sorted = selection({ target: 'value', order: 'ascend' });
      const kvs = await kvsOf(await harness.range(watchOf('/k/').range, { selection: sorted, limit: 3 }));
      expect(kvs.map((kv) => kv.value.toString())).toEqual(['1000', '2001', '2002']);
    });
  });

  describe('asked about leases', () => {
    it('tells what is left of one, its keys in every backend, and which there are', async () => {
      await harness.keyspace.grantLease(500n, 7n);
      await harness.keyspace.grantLease(100n, 8n);
      for (const key of ['/user/b', '/k/a', '/k/c']) await harness.put(key, 'x', { lease: 7n });
      const life = await harness.keyspace.leaseLife(7n, true);
      expect([life?.granted, life?.keys.map(String)]).toEqual([500n, ['/k/a', '/k/c', '/user/b']]);
      expect([499n, 500n]).toContain(life?.ttl);
      expect(await harness.keyspace.leaseLife(7n, false)).toMatchObject({ keys: [] });
      expect(await harness.keyspace.leaseLife(9n, true)).toBeNull();
      expect(harness.keyspace.leases()).toEqual([8n, 7n]);
      await harness.keyspace.revokeLease(8n);
      expect(harness.keyspace.leases()).toEqual([7n]);
    });

    it('misses the lease before the key of a put that keeps the value', async () => {
      await expect(harness.put('/none', '', { ignoreValue: true, lease: 5n })).rejects.toMatchObject({ name: 'LeaseNotFoundError' });
      await expect(harness.txn([], [putOp('/none', '', { ignoreValue: true, lease: 5n })])).rejects.toMatchObject({
        name: 'KeyNotFoundError',
      });
    });
  });

  describe('hashed', () => {
    it('differs with what is there and how it came, and is the same again after a restart', async () => {
      const hashes = new Set<number>();
      const hash = async (revision = 0n): Promise<number> => (await harness.keyspace.hash(revision)).hash;
      hashes.add(await hash());
      await harness.put('/k/a', 'x'); // 2
      const second = await hash();
      hashes.add(second);
      await harness.put('/user/a', 'x'); // 3
      await harness.delete('/k/a'); // 4
      hashes.add(await hash());
      expect(hashes.size).toBe(3);
      expect(await hash(2n)).toBe(second);
      const before = await harness.keyspace.hash(0n);
      expect(before).toMatchObject({ hashRevision: 4n, revision: 4n, compactRevision: -1n });
      await harness.restart();
      expect(await harness.keyspace.hash(0n)).toEqual(before);
      await harness.keyspace.compact(3n);
      expect(await harness.keyspace.hash(0n)).toMatchObject({ compactRevision: 3n });
      await expect(hash(2n)).rejects.toMatchObject({ name: 'CompactedError' });
      await expect(hash(5n)).rejects.toMatchObject({ name: 'FutureRevisionError' });
    });
  });

  it('is compacted physically when it says so', async () => {
    for (let i = 0; i < 5; i++) await harness.put('/k/a', String(i)); // 2 to 6
    expect(await harness.keyspace.compact(6n, true)).toBe(6n);
    expect((await harness.truth()).map(eventText)).toEqual(['/k/a=3@5', '/k/a=4@6 was 3@5']);
  });

  it('tells watches of nested deletes in the order of the operations', async () => {
    for (const key of ['/k/a', '/k/b', '/k/c']) await harness.put(key, 'x'); // 2 to 4
    const recorder = harness.watch('/k/', { prevKv: true });
    await harness.txn([], [txnOp([deleteOp('/k/c')]), putOp('/k/d', 'y')]);
    await recorder.until(() => recorder.events().length === 2);
    expect(recorder.events().map(eventText)).toEqual(['/k/c deleted@5 was x@4', '/k/d=y@5']);
  });
});

it('is hashed to the same whether its keys lie in one database or in two', async () => {
  const [one, two] = await Promise.all([KeyspaceHarness.open(), KeyspaceHarness.open({ others: ['user'] })]);
  try {
    for (const harness of [one, two]) {
      await harness.put('/k/a', 'x');
      await harness.put('/user/a', 'x');
      await harness.put('/user/a', 'y');
    }
    expect((await one.keyspace.hash(0n)).hash).toBe((await two.keyspace.hash(0n)).hash);
  } finally {
    await Promise.all([one.close(), two.close()]);
  }
});
