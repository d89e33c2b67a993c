import { beforeEach, describe, expect, it } from '@jest/globals';
import { type Head, rowId } from './backend.js';
import { HeadCache } from './head-cache.js';
import { singleKey } from './key-range.js';
import { textKey } from './key-text.js';
import type { TxnRequest } from './model.js';
import { RecordArena } from './record-arena.js';
import { type HeadUser, WorkingHeads } from './working-heads.js';

/** One question to the database that is not answered yet. */
interface Load {
  readonly keys: readonly string[];
  readonly answer: (heads: readonly (Head | null)[]) => Promise<void>;
  readonly fail: (error: Error) => Promise<void>;
}

const KEY = '/registry/pods/default/a';

let cache: HeadCache;
let heads: WorkingHeads<HeadUser>;
let loads: Load[];
let queue: HeadUser[];
let failures: [HeadUser, unknown][];
let ready: number;

beforeEach(() => {
  cache = new HeadCache(10_000);
  loads = [];
  queue = [];
  failures = [];
  ready = 0;
  heads = new WorkingHeads({
    cache,
    arena: new RecordArena(),
    load: (keys) => {
      const asked = Promise.withResolvers<readonly (Head | null)[]>();
      const told = async (): Promise<void> => void (await new Promise((resolve) => setImmediate(resolve)));
      loads.push({
        keys: keys.map(String),
        answer: (found) => (asked.resolve(found), told()),
        fail: (error) => (asked.reject(error), told()),
      });
      return asked.promise;
    },
    isQueued: (user) => queue.includes(user),
    onReady: () => ready++,
    onLoaded: () => undefined,
    onFailed: (user, error) => failures.push([user, error]),
  });
});

function creation(key: string): TxnRequest {
  const bytes = textKey(key);
  return {
    type: 'txn',
    compares: [{ range: singleKey(bytes), target: 'mod', result: 'equal', number: 0n, value: Buffer.alloc(0) }],
    success: [{ type: 'put', key: bytes, value: Buffer.from('x'), lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false }],
    failure: [],
  };
}

function user(txn: TxnRequest, ...keys: string[]): HeadUser {
  const made: HeadUser = { txn, keys, ranges: [], missing: 0, isDone: false };
  heads.use(made);
  queue.push(made);
  return made;
}

/** Names the keys and takes none for absent. */
const reader = (...keys: string[]): HeadUser => user({ type: 'txn', compares: [], success: [], failure: [] }, ...keys);
const creator = (key: string): HeadUser => user(creation(key), key);
const headAt = (revision: bigint): Head => ({ id: rowId(revision, 0), record: Buffer.from(`at ${revision}`) });
const nameOf = (head: Head | null | undefined): string | null | undefined =>
  head === null || head === undefined ? head : head.record.toString();

function end(done: HeadUser): void {
  queue = queue.filter((each) => each !== done);
  done.isDone = true;
  heads.release(done);
}

describe('WorkingHeads', () => {
  it('asks for what no cache knows, once for all who name it, and keeps it while somebody does', async () => {
    cache.set('/known', headAt(1n));
    const users = [reader(KEY, '/known'), reader(KEY)];
    expect(users.map(({ missing }) => missing)).toEqual([1, 1]);
    heads.load();
    heads.load();
    expect(loads.map(({ keys }) => keys)).toEqual([[KEY]]);
    await loads[0]?.answer([headAt(7n)]);
    expect(users.map(({ missing }) => missing)).toEqual([0, 0]);
    expect(ready).toBe(2);
    cache.clear();
    expect([nameOf(heads.head(KEY)), nameOf(heads.head('/known'))]).toEqual(['at 7', 'at 1']);
    for (const each of users) end(each);
    expect(heads.head(KEY)).toBeUndefined();
  });

  it('lets a creation take its key for absent, and whoever comes while it is being committed wait for what it leaves', () => {
    const created = creator(KEY);
    expect([created.missing, heads.isTrusting(created), heads.head(KEY)]).toEqual([0, true, null]);
    queue = [];
    const next = reader(KEY);
    expect([next.missing, heads.toLoad]).toEqual([1, 0]);
    heads.settle(KEY, headAt(9n));
    expect([next.missing, heads.isTrusting(created), nameOf(heads.head(KEY)), nameOf(cache.get(KEY))]).toEqual([0, false, 'at 9', 'at 9']);
  });

  it('looks a key up after all when somebody names it before its creation is on the way', async () => {
    const created = creator(KEY);
    const next = reader(KEY);
    expect([created.missing, next.missing, heads.isTrusting(created)]).toEqual([1, 1, false]);
    heads.load();
    await loads[0]?.answer([null]);
    expect([created.missing, next.missing, heads.head(KEY)]).toEqual([0, 0, null]);
  });

  it('looks a key up when its creation came to nothing, and before the creations after one that was wrong', () => {
    const created = creator(KEY);
    heads.beCautious();
    heads.distrust([created]);
    expect([created.missing, heads.toLoad, heads.head(KEY)]).toEqual([1, 1, undefined]);
    const cautious = Array.from({ length: 65 }, (_, i) => creator(`/new/${i}`));
    expect(cautious.map((each) => heads.isTrusting(each))).toEqual([...Array.from({ length: 64 }, () => false), true]);
  });

  it('prefers what a batch has left to the answer of a load that was on its way', async () => {
    const named = reader(KEY);
    heads.load();
    heads.settle(KEY, headAt(5n));
    expect(named.missing).toBe(0);
    await loads[0]?.answer([headAt(2n)]);
    expect([nameOf(heads.head(KEY)), nameOf(cache.get(KEY))]).toEqual(['at 5', 'at 5']);
  });

  it('does not give the answer of an earlier load to one who names the key anew', async () => {
    const first = reader(KEY);
    heads.load();
    heads.settle(KEY, headAt(5n));
    end(first);
    cache.clear();
    const second = reader(KEY);
    await loads[0]?.answer([headAt(2n)]);
    expect([second.missing, heads.head(KEY), cache.get(KEY)]).toEqual([1, undefined, undefined]);
    heads.load();
    await loads[1]?.answer([headAt(5n)]);
    expect([second.missing, nameOf(heads.head(KEY))]).toEqual([0, 'at 5']);
  });

  it('tells those who waited for a load that has failed, and asks again for the next', async () => {
    const users = [reader(KEY), reader(KEY)];
    end(users[1] as HeadUser);
    heads.load();
    const error = new Error('away');
    await loads[0]?.fail(error);
    expect(failures).toEqual([[users[0], error]]);
    end(users[0] as HeadUser);
    reader(KEY);
    heads.load();
    expect(loads).toHaveLength(2);
  });
});
