import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  CompactedError,
  type Compare,
  decodeKeyValue,
  type KeyValue,
  type Revision,
  singleKey,
  UnsupportedError,
} from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import { type AcknowledgedWrite, HistoryChecker, type ListedState } from './history-checker.js';
import {
  between,
  compare,
  deleteOp,
  EVERYTHING,
  getOp,
  type HarnessOptions,
  KeyspaceHarness,
  kvsOf,
  modIs,
  putOp,
  responsesOf,
  watchOf,
} from './keyspace-harness.js';
import { Random } from './random.js';
import { takeOver } from './take-over.js';
import { eventText, WatchRecorder } from './watch-recorder.js';

/** Databases for one test. */
export interface TestDatabases {
  /** Absent: in memory. */
  readonly open?: HarnessOptions['open'];
  remove(): Promise<void>;
}

/** What a keyspace promises its clients, over any kind of database. */
export function describeKeyspace(name: string, create: () => Promise<TestDatabases>): void {
  describe(`a keyspace over ${name}`, () => {
    let databases: TestDatabases;
    let harness: KeyspaceHarness;

    async function start(options: HarnessOptions = {}): Promise<void> {
      await harness.close();
      await databases.remove();
      databases = await create();
      harness = await KeyspaceHarness.open({ others: ['user'], open: databases.open, ...options });
    }

    beforeEach(async () => {
      databases = await create();
      harness = await KeyspaceHarness.open({ others: ['user'], open: databases.open });
    });

    afterEach(async () => {
      try {
        const isWhole = harness.keyspace.status().compactRevision === 0n;
        if (isWhole) expect(new HistoryChecker(await harness.truth()).problems).toEqual([]);
      } finally {
        await harness.close();
        await databases.remove();
      }
    });

    describe('revisions', () => {
      it('begin at 1 and grow by one with each write, wherever it lands', async () => {
        expect(harness.revision).toBe(1n);
        expect(await harness.put('/a', 'x')).toBe(2n);
        expect(await harness.put('/user/a', 'x')).toBe(3n);
        expect((await harness.create('/b', 'x')).revision).toBe(4n);
        expect((await harness.delete('/user/a')).revision).toBe(5n);
        expect((await harness.txn([], [putOp('/c', 'x'), putOp('/d', 'x'), deleteOp('/a')])).revision).toBe(6n);
        expect(await harness.put('/user/b', 'x')).toBe(7n);
        expect(harness.revision).toBe(7n);
      });

      it('stay where they are with reads, failed compares, empty deletes, leases and compactions', async () => {
        await harness.put('/a', 'x'); // 2
        expect((await harness.create('/a', 'y')).revision).toBe(2n);
        expect((await harness.update('/a', 'y', 7n)).revision).toBe(2n);
        expect((await harness.remove('/none', 7n)).revision).toBe(2n);
        expect(await harness.delete('/none')).toMatchObject({ revision: 2n, deleted: 0 });
        expect(await harness.delete('/none/', true)).toMatchObject({ revision: 2n, deleted: 0 });
        expect((await harness.txn([], [getOp('/a')])).revision).toBe(2n);
        expect((await harness.txn([], [])).revision).toBe(2n);
        expect((await harness.keyspace.grantLease(60n, 0n)).revision).toBe(2n);
        expect(await harness.keyspace.compact(2n)).toBe(2n);
        await harness.get('/user/a');
        expect(await harness.put('/a', 'z')).toBe(3n);
      });

      it('are the same in the answer, the record and the event of a write', async () => {
        const recorder = harness.watch('');
        const { revision } = await harness.create('/user/a', 'x');
        expect((await harness.get('/user/a')).kv).toMatchObject({ createRevision: revision, modRevision: revision, version: 1n });
        await recorder.until(() => recorder.events().length === 1);
        expect(recorder.events()[0]).toMatchObject({ revision, createRevision: revision });
      });

      it('are each own ones for writes that go together in a commit', async () => {
        const revisions = await Promise.all(Array.from({ length: 50 }, (_, i) => harness.put(`/k/${i}`, 'x')));
        expect([...revisions].sort((a, b) => Number(a - b))).toEqual(Array.from({ length: 50 }, (_, i) => BigInt(i + 2)));
        const kvs = await kvsOf(await harness.range(watchOf('/k/').range));
        expect(kvs.map((kv) => kv.modRevision)).toEqual(kvs.map((kv) => revisions[Number(kv.key.toString().slice(3))]));
      });
    });

    describe('a txn', () => {
      it('creates a key once', async () => {
        const first = await harness.create('/a', 'one');
        expect([first.succeeded, first.revision, responsesOf(first)]).toEqual([true, 2n, ['put']]);
        const second = await harness.create('/a', 'two');
        expect([second.succeeded, second.revision, second.responses]).toEqual([false, 2n, []]);
        expect((await harness.list('')).kvs).toEqual(['/a=one@2']);
      });

      it('updates what is still the same, and else tells what is there', async () => {
        await harness.create('/a', 'one'); // 2
        expect(await harness.update('/a', 'two', 2n)).toMatchObject({ succeeded: true, revision: 3n });
        const late = await harness.update('/a', 'three', 2n);
        expect([late.succeeded, late.revision, responsesOf(late)]).toEqual([false, 3n, ['range 1: /a=two@3']]);
        const none = await harness.update('/none', 'x', 2n);
        expect([none.succeeded, responsesOf(none)]).toEqual([false, ['range 0: ']]);
        expect(await harness.update('/none', 'x', 0n)).toMatchObject({ succeeded: true, revision: 4n });
      });

      it('deletes under the revision that it tells', async () => {
        await harness.create('/a', 'one'); // 2
        const late = await harness.remove('/a', 9n);
        expect([late.succeeded, responsesOf(late)]).toEqual([false, ['range 1: /a=one@2']]);
        const gone = await harness.remove('/a', 2n);
        expect([gone.succeeded, gone.revision, responsesOf(gone)]).toEqual([true, 3n, ['deleted 1']]);
        expect(responsesOf(await harness.remove('/a', 2n))).toEqual(['range 0: ']);
        expect((await harness.get('/a')).kv).toBeNull();
      });

      it('creates a deleted key with a life of its own', async () => {
        await harness.create('/a', 'one');
        await harness.update('/a', 'two', 2n);
        await harness.remove('/a', 3n);
        await harness.create('/a', 'three');
        expect((await harness.get('/a')).kv).toMatchObject({ createRevision: 5n, modRevision: 5n, version: 1n });
      });

      it('takes part in the compaction by compare-and-swap of a version', async () => {
        const swap = (version: bigint, value: string) =>
          harness.txn([compare('compact_rev_key', 'version', version)], [putOp('compact_rev_key', value)], [getOp('compact_rev_key')]);
        expect(await swap(0n, '0')).toMatchObject({ succeeded: true, revision: 2n });
        const lost = await swap(0n, '1');
        expect([lost.succeeded, responsesOf(lost)]).toEqual([false, ['range 1: compact_rev_key=0@2']]);
        const [response] = lost.responses;
        expect(response?.type === 'range' && decodeKeyValue(response.kvs[0] as Buffer).version).toBe(1n);
        expect(await swap(1n, '2')).toMatchObject({ succeeded: true, revision: 3n });
      });

      it.each<[Compare['target'], Compare['result'], bigint | string, boolean, boolean]>([
        ['mod', 'equal', 3n, true, false],
        ['mod', 'equal', 0n, false, true],
        ['mod', 'not-equal', 3n, false, true],
        ['mod', 'greater', 2n, true, false],
        ['mod', 'less', 4n, true, true],
        ['mod', 'less', 3n, false, true],
        ['create', 'equal', 2n, true, false],
        ['create', 'greater', 2n, false, false],
        ['create', 'equal', 0n, false, true],
        ['version', 'equal', 2n, true, false],
        ['version', 'equal', 0n, false, true],
        ['version', 'less', 1n, false, true],
        ['value', 'equal', 'two', true, false],
        ['value', 'equal', '', false, false],
        ['value', 'not-equal', 'two', false, false],
        ['value', 'not-equal', 'x', true, false],
        ['value', 'greater', 'tw', true, false],
        ['value', 'less', 'twoo', true, false],
        ['lease', 'equal', 0n, true, true],
        ['lease', 'not-equal', 0n, false, false],
      ])('compares %s %s %s: %s for a key in its second version, %s for none', async (target, result, wanted, ofLiving, ofNone) => {
        await harness.put('/a', 'one');
        await harness.put('/a', 'two');
        const holds = async (key: string) => (await harness.txn([compare(key, target, wanted, result)], [])).succeeded;
        expect([await holds('/a'), await holds('/none')]).toEqual([ofLiving, ofNone]);
      });

      it('succeeds only if all its compares hold', async () => {
        await harness.put('/a', 'one');
        expect((await harness.txn([modIs('/a', 2n), modIs('/b', 0n)], [])).succeeded).toBe(true);
        expect((await harness.txn([modIs('/a', 2n), modIs('/b', 1n)], [])).succeeded).toBe(false);
        expect((await harness.txn([], [])).succeeded).toBe(true);
      });

      it('does its operations in order, each seeing those before it', async () => {
        await harness.put('/k/a', 'old'); // 2
        const result = await harness.txn(
          [],
          [
            getOp('/k/', true),
            putOp('/k/b', 'new', { prevKv: true }),
            putOp('/k/a', 'newer', { prevKv: true }),
            getOp('/k/', true),
            { type: 'delete', range: singleKey(bytesOf('/k/c')), prevKv: false },
            { type: 'range', range: watchOf('/k/').range, limit: 1, revision: 0n, keysOnly: false, countOnly: false },
            { type: 'range', range: watchOf('/k/').range, limit: 0, revision: 0n, keysOnly: false, countOnly: true },
          ],
        );
        expect([result.revision, responsesOf(result)]).toEqual([
          3n,
          [
            'range 1: /k/a=old@2',
            'put',
            'put over /k/a=old@2',
            'range 2: /k/a=newer@3, /k/b=new@3',
            'deleted 0',
            'range 2+: /k/a=newer@3',
            'range 2: ',
          ],
        ]);
      });

      it('deletes ranges and tells what was there', async () => {
        for (const key of ['/k/a', '/k/b', '/k/c', '/l']) await harness.put(key, 'x'); // 2 to 5
        const { deleted, prevKvs, revision } = await harness.keyspace.deleteRange({
          type: 'delete',
          range: between('/k/b', '/k/z'),
          prevKv: true,
        });
        expect([deleted, revision, prevKvs.map((kv) => decodeKeyValue(kv).key.toString())]).toEqual([2, 6n, ['/k/b', '/k/c']]);
        expect((await harness.list('')).kvs).toEqual(['/k/a=x@2', '/l=x@5']);
      });

      it('sees in a range what others of its batch wrote', async () => {
        const results = await Promise.all([
          harness.txn([], [putOp('/k/a', 'x')]),
          harness.txn([], [deleteOp('/k/', true), getOp('/k/', true)]),
          harness.txn([], [putOp('/k/b', 'x')]),
          harness.txn([], [getOp('/k/', true)]),
        ]);
        const checker = new HistoryChecker(await harness.truth());
        for (const result of results) if (!result.succeeded) throw new Error('a txn without compares did not succeed');
        expect(checker.problems).toEqual([]);
      });

      it('keeps value or lease on request, of a key that exists', async () => {
        const { id } = await harness.keyspace.grantLease(600n, 0n);
        await harness.put('/a', 'one', { lease: id });
        await harness.put('/a', '', { ignoreValue: true });
        expect((await harness.get('/a')).kv).toMatchObject({ value: bytesOf('one'), lease: 0n, version: 2n });
        await harness.put('/a', 'two', { lease: id });
        await harness.put('/a', 'three', { ignoreLease: true });
        expect((await harness.get('/a')).kv).toMatchObject({ value: bytesOf('three'), lease: id });
        await expect(harness.put('/none', '', { ignoreValue: true })).rejects.toMatchObject({ name: 'KeyNotFoundError' });
        await expect(harness.put('/none', 'x', { ignoreLease: true })).rejects.toMatchObject({ name: 'KeyNotFoundError' });
        expect(harness.revision).toBe(5n);
      });

      it('leaves nothing when one of its operations is refused', async () => {
        await expect(harness.txn([], [putOp('/a', 'x'), putOp('/b', 'x', { lease: 77n })])).rejects.toMatchObject({
          name: 'LeaseNotFoundError',
        });
        expect([await harness.list(''), harness.revision]).toEqual([{ revision: 1n, count: 0, more: false, kvs: [] }, 1n]);
      });

      it('over keys of two backends is refused whole, by their names', async () => {
        await expect(harness.txn([], [putOp('/a', 'x'), putOp('/user/a', 'x')])).rejects.toThrow(/"main".*"user"|"user".*"main"/);
        await expect(harness.txn([modIs('/a', 0n)], [putOp('/user/a', 'x')])).rejects.toBeInstanceOf(UnsupportedError);
        expect((await harness.list('')).kvs).toEqual([]);
      });

      it('deletes a range over two backends only if one of them holds all its keys', async () => {
        await harness.put('/user/a', 'x');
        expect((await harness.keyspace.deleteRange({ type: 'delete', range: EVERYTHING, prevKv: false })).deleted).toBe(1);
        await harness.put('/user/a', 'x');
        await harness.put('/a', 'x');
        await expect(harness.keyspace.deleteRange({ type: 'delete', range: EVERYTHING, prevKv: false })).rejects.toThrow(/"main", "user"/);
        expect((await harness.list('')).count).toBe(2);
      });
    });

    describe('a read', () => {
      it('at latest is headed by the newest revision that anybody was told, of whatever backend', async () => {
        const { revision } = await harness.create('/a', 'x');
        expect((await harness.get('/user/none')).revision).toBe(revision);
        expect((await harness.list('/user/')).revision).toBe(revision);
        expect((await harness.list('')).revision).toBe(revision);
        expect((await harness.txn([], [getOp('/user/none')])).revision).toBe(revision);
      });

      it('at any revision shows the state of that revision, also of a backend that was idle', async () => {
        await harness.put('/user/a', 'one'); // 2
        await harness.put('/a', 'x'); // 3
        await harness.put('/user/a', 'two'); // 4
        await harness.delete('/user/a'); // 5
        await harness.put('/a', 'y'); // 6
        const at = async (revision: Revision) => (await harness.list('', { revision })).kvs.join(' ');
        expect(await Promise.all([1n, 2n, 3n, 4n, 5n, 6n].map(at))).toEqual([
          '',
          '/user/a=one@2',
          '/a=x@3 /user/a=one@2',
          '/a=x@3 /user/a=two@4',
          '/a=x@3',
          '/a=y@6',
        ]);
        expect((await harness.get('/user/a', { revision: 3n })).kv?.value.toString()).toBe('one');
        expect(await harness.get('/user/a', { revision: 6n })).toEqual({ revision: 6n, kv: null });
        expect((await harness.list('/user/', { revision: 6n })).kvs).toEqual([]);
        // The header is that of the store, not the one asked for.
        expect((await harness.list('/user/', { revision: 2n })).revision).toBe(6n);
      });

      it('at a revision that nobody was told yet is refused', async () => {
        await harness.put('/a', 'x');
        await expect(harness.get('/a', { revision: 3n })).rejects.toMatchObject({ name: 'FutureRevisionError' });
        await expect(harness.list('/user/', { revision: 3n })).rejects.toMatchObject({ name: 'FutureRevisionError' });
        await harness.put('/user/a', 'x');
        expect((await harness.get('/a', { revision: 3n })).kv?.modRevision).toBe(2n);
      });

      it('merges backends in the order of bytes, with one limit and one count', async () => {
        for (const key of ['/z', '/user/b', '/a', '/user/a', '/usera', '/user', '/user/\xff', '/user0']) await harness.put(key, 'x');
        const keys = async (limit: number) => {
          const { kvs, count, more } = await harness.list('', { limit });
          return `${kvs.map((kv) => kv.split('=')[0]).join(' ')} of ${count}${more ? '+' : ''}`;
        };
        expect(await keys(0)).toBe('/a /user /user/a /user/b /user/Ã¿ /user0 /usera /z of 8');
        expect(await keys(3)).toBe('/a /user /user/a of 8+');
        expect(await keys(8)).toBe('/a /user /user/a /user/b /user/Ã¿ /user0 /usera /z of 8');
        const counted = await harness.range(EVERYTHING, { countOnly: true });
        expect([counted.count, counted.records, counted.more]).toEqual([8, 0, false]);
      });

      it('of one key answers limit, keysOnly and countOnly, cached or not', async () => {
        await harness.put('/a', 'value');
        for (let i = 0; i < 2; i++) {
          const range = singleKey(bytesOf('/a'));
          const [kv] = await kvsOf(await harness.range(range, { keysOnly: true, limit: 1 }));
          expect(kv).toMatchObject({ key: bytesOf('/a'), value: Buffer.alloc(0), modRevision: 2n });
          const counted = await harness.range(range, { countOnly: true });
          expect([counted.count, counted.records, counted.blocks.length]).toEqual([1, 0, 0]);
          expect((await harness.range(singleKey(bytesOf('/none')), { countOnly: true })).count).toBe(0);
          await harness.restart();
        }
      });

      it.each(['/user/', ''])('walks %j in pages of one revision with the right count on each', async (prefix) => {
        for (let i = 0; i < 23; i++) await harness.put(`${i % 2 === 0 || prefix === '/user/' ? '/user' : '/other'}/${i}`, 'x');
        const { range } = watchOf(prefix);
        const first = await harness.range(range, { limit: 4 });
        const walked: KeyValue[] = await kvsOf(first);
        expect([first.count, first.more]).toEqual([23, true]);
        // What is written meanwhile is not in the walk.
        await harness.put('/user/x', 'late');
        await harness.delete('/user/10');
        for (let more = first.more; more;) {
          const start = Buffer.concat([walked.at(-1)?.key ?? Buffer.alloc(0), Buffer.from([0])]);
          const page = await harness.range({ ...range, start }, { limit: 4, revision: first.revision });
          const kvs = await kvsOf(page);
          expect(page.count).toBe(23 - walked.length);
          expect(page.more).toBe(kvs.length < page.count);
          walked.push(...kvs);
          more = page.more;
        }
        expect(new Set(walked.map((kv) => kv.key.toString())).size).toBe(23);
        expect(walked.some((kv) => kv.key.toString() === '/user/10')).toBe(true);
      });

      it('counts a page again that is asked for with another limit', async () => {
        for (let i = 0; i < 9; i++) await harness.put(`/user/${i}`, 'x');
        const { range } = watchOf('/user/');
        const first = await harness.range(range, { limit: 3 });
        const last = (await kvsOf(first)).at(-1)?.key ?? Buffer.alloc(0);
        const start = Buffer.concat([last, Buffer.from([0])]);
        for (const limit of [2, 6, 7, 0]) {
          const page = await harness.range({ ...range, start }, { limit, revision: first.revision });
          await kvsOf(page);
          expect([limit, page.count, page.more]).toEqual([limit, 6, limit > 0 && limit < 6]);
        }
      });

      it('sends a large answer whole, from one revision, while writes go on', async () => {
        const value = 'x'.repeat(80_000);
        for (let i = 0; i < 40; i++) await harness.txn([], [putOp(`/user/${i}`, value), putOp(`/user/${i}b`, value)]);
        for (const prefix of ['/user/', '']) {
          const truth = (await harness.list(prefix)).kvs;
          const result = await harness.range(watchOf(prefix).range);
          const writing = Promise.all([harness.put('/user/0', 'changed'), harness.delete('/user/39'), harness.put('/user/10a', 'new')]);
          const kvs = await kvsOf(result);
          await writing;
          expect(kvs.length).toBe(truth.length);
          expect(kvs.map((kv) => `${kv.key.toString()}@${kv.modRevision}`)).toEqual(truth.map((kv) => kv.replace(/=[^@]*/, '')));
          for (const kv of kvs) expect(kv.modRevision).toBeLessThanOrEqual(result.revision);
        }
      });
    });

    describe('compaction', () => {
      beforeEach(async () => {
        for (let i = 2; i <= 6; i++) await harness.put(i % 2 === 0 ? '/a' : '/user/a', `${i}`);
      });

      it('refuses what lies below it, everywhere and at once', async () => {
        await harness.keyspace.compact(4n);
        for (const prefix of ['/a', '/user/', '']) {
          await expect(harness.list(prefix, { revision: 3n })).rejects.toMatchObject({ name: 'CompactedError', compactRevision: 4n });
          expect((await harness.list(prefix, { revision: 4n })).revision).toBe(6n);
        }
        expect((await harness.list('', { revision: 4n })).kvs).toEqual(['/a=4@4', '/user/a=3@3']);
        expect((await harness.list('')).kvs).toEqual(['/a=6@6', '/user/a=5@5']);
      });

      it('goes forward only, and not beyond the current revision', async () => {
        await expect(harness.keyspace.compact(7n)).rejects.toMatchObject({ name: 'FutureRevisionError' });
        await harness.keyspace.compact(4n);
        await expect(harness.keyspace.compact(4n)).rejects.toMatchObject({ name: 'CompactedError', compactRevision: 4n });
        await expect(harness.keyspace.compact(2n)).rejects.toMatchObject({ name: 'CompactedError' });
        await expect(harness.keyspace.compact(7n)).rejects.toMatchObject({ name: 'FutureRevisionError' });
        await harness.keyspace.compact(6n);
        expect((await harness.list('')).kvs).toEqual(['/a=6@6', '/user/a=5@5']);
      });

      it('is remembered', async () => {
        await harness.keyspace.compact(5n);
        await harness.restart();
        expect(harness.keyspace.status().compactRevision).toBe(5n);
        await expect(harness.get('/a', { revision: 4n })).rejects.toMatchObject({ name: 'CompactedError', compactRevision: 5n });
      });

      it('ends watches below it and lets those at it go on', async () => {
        await harness.keyspace.compact(5n);
        const below = harness.watch('', { startRevision: 4n });
        await below.until(({ messages }) => messages.length === 2);
        expect(below.texts()).toEqual(['created 0 at 6', 'canceled 0 compacted 5']);
        const at = harness.watch('', { startRevision: 5n });
        await at.until(() => at.events().length === 2);
        expect(at.events().map(eventText)).toEqual(['/user/a=5@5', '/a=6@6']);
      });

      it('keeps a deletion at it for watches', async () => {
        await harness.delete('/a'); // 7
        await harness.put('/b', 'x'); // 8
        await harness.keyspace.compact(7n);
        await harness.restart();
        const recorder = harness.watch('', { startRevision: 7n });
        await recorder.until(() => recorder.events().length === 2);
        expect(recorder.events().map(eventText)).toEqual(['/a deleted@7', '/b=x@8']);
        expect((await harness.list('', { revision: 7n })).kvs).toEqual(['/user/a=5@5']);
      });
    });

    describe('a watch', () => {
      it('tells what comes after its creation', async () => {
        await harness.put('/a', 'before');
        const recorder = harness.watch('/a', { prevKv: true });
        await harness.put('/a', 'one');
        await harness.put('/b', 'x');
        await harness.delete('/a');
        await harness.put('/a', 'two');
        await recorder.until(() => recorder.events().length === 3);
        expect(recorder.texts()[0]).toBe('created 0 at 2');
        expect(recorder.events().map(eventText)).toEqual(['/a=one@3 was before@2', '/a deleted@5 was one@3', '/a=two@6']);
      });

      it('starts at every revision of the past, from memory or the log, with the same story', async () => {
        for (const eventBytes of [16 << 20, 2_000]) {
          await start({ eventBytes });
          for (let i = 0; i < 40; i++) await writeSomething(harness, new Random(i));
          const truth = await harness.truth();
          const checker = new HistoryChecker(truth);
          const watches = ['', '/user/', '/a/', '/user/1'].flatMap((prefix) =>
            Array.from({ length: Number(harness.revision) }, (_, i) => ({ prefix, from: BigInt(i + 1) })),
          );
          const recorders = watches.map(({ prefix, from }) => harness.watch(prefix, { startRevision: from, prevKv: from % 2n === 0n }));
          const last = await harness.put('/user/1', 'last');
          await harness.put('/a/1', 'last');
          const complete = new HistoryChecker(await harness.truth());
          expect(checker.problems).toEqual([]);
          for (const [i, { prefix, from }] of watches.entries()) {
            const recorder = recorders[i] as WatchRecorder;
            await recorder.until(() => recorder.reached() >= (prefix === '' || prefix === '/a/' ? last + 1n : last));
            complete.checkWatch(
              {
                name: `watch of ${prefix} from ${from}`,
                covers: (key) => key.startsWith(prefix),
                from,
                prevKv: from % 2n === 0n,
                messages: recorder.history(),
              },
              true,
            );
          }
          expect(complete.problems).toEqual([]);
        }
      });

      it('at a future revision is silent until then', async () => {
        const recorder = new WatchRecorder();
        const stream = harness.keyspace.watch(recorder);
        stream.create(watchOf('/a', { startRevision: 4n }));
        await harness.put('/a', 'two');
        stream.requestProgress();
        await harness.put('/a', 'three');
        await harness.put('/a', 'four');
        await harness.put('/a', 'five');
        await recorder.until(() => recorder.events().length === 2);
        expect(recorder.texts().slice(0, 2)).toEqual(['created 0 at 1', 'events 0: /a=four@4']);
        stream.close();
      });

      it('drops what its filters name', async () => {
        const puts = harness.watch('/a', { noDelete: true });
        const deletes = harness.watch('/a', { noPut: true, startRevision: 1n });
        await harness.put('/a', 'one');
        await harness.delete('/a');
        await harness.put('/a', 'two');
        await harness.delete('/a');
        await Promise.all([puts.until(() => puts.events().length === 2), deletes.until(() => deletes.events().length === 2)]);
        expect(puts.events().map(eventText)).toEqual(['/a=one@2', '/a=two@4']);
        expect(deletes.events().map(eventText)).toEqual(['/a deleted@3', '/a deleted@5']);
      });

      it('gets all events of a txn in one message, in the order of its writes', async () => {
        const recorders = [harness.watch(''), harness.watch('/k/')];
        await harness.txn([], [putOp('/k/b', 'x'), putOp('/k/a', 'x'), putOp('/k/c', 'x')]);
        await harness.delete('/k/', true);
        for (const recorder of recorders) {
          await recorder.until(() => recorder.events().length === 6);
          expect(recorder.texts().slice(1)).toEqual([
            'events 0: /k/b=x@2, /k/a=x@2, /k/c=x@2',
            'events 0: /k/a deleted@3, /k/b deleted@3, /k/c deleted@3',
          ]);
        }
      });

      it('gets a txn of several megabytes in one message, from memory and from the log', async () => {
        const value = 'x'.repeat(600_000);
        await harness.put('/k/first', 'x');
        await harness.txn([], [putOp('/k/a', value), putOp('/k/b', value), putOp('/k/c', value), putOp('/k/d', 'x')]);
        await harness.txn([], [putOp('/k/a', value), putOp('/k/b', value)]);
        for (const prefix of ['/k/', '']) {
          const recorder = harness.watch(prefix, { startRevision: 2n });
          await recorder.until(() => recorder.events().length === 7);
          const messages = recorder
            .history()
            .map((message) => (message.type === 'events' ? message.events.map(({ revision }) => revision) : []));
          for (const revision of [2n, 3n, 4n]) expect(messages.filter((revisions) => revisions.includes(revision)).length).toBe(1);
          expect(messages.length).toBeGreaterThan(1);
          await harness.restart();
        }
      });

      it('is refused as etcd does it', async () => {
        const recorder = new WatchRecorder();
        const stream = harness.keyspace.watch(recorder);
        stream.create(watchOf('/a', { startRevision: -1n }));
        stream.create({ ...watchOf('/a'), range: between('/b', '/a') });
        stream.create(watchOf('/a', { watchId: 7n }));
        stream.create(watchOf('/a', { watchId: 7n }));
        expect(recorder.texts()).toEqual([
          'canceled -1 refused: mvcc: required revision has been compacted',
          'canceled -1 refused: mvcc: watcher range is empty',
          'created 7 at 1',
          'canceled -1 refused: mvcc: duplicate watch ID provided on the WatchStream',
        ]);
        stream.close();
      });

      it('is one of many on its stream, each with its own id and events', async () => {
        const recorder = new WatchRecorder();
        const stream = harness.keyspace.watch(recorder);
        stream.create(watchOf('/a', { watchId: 1n }));
        stream.create(watchOf('/user/'));
        stream.create(watchOf(''));
        stream.create(watchOf('/b'));
        stream.cancel(99n);
        await harness.put('/a', 'x');
        await recorder.until(() => recorder.events(1n).length === 1 && recorder.events(2n).length === 1);
        stream.cancel(2n);
        await harness.put('/user/a', 'x');
        await recorder.until(() => recorder.events(0n).length === 1);
        expect(recorder.texts().filter((text) => text.startsWith('c'))).toEqual([
          'created 1 at 1',
          'created 0 at 1',
          'created 2 at 1',
          'created 3 at 1',
          'canceled 2',
        ]);
        expect([recorder.events(1n).length, recorder.events(2n).length, recorder.events(3n).length]).toEqual([1, 1, 0]);
        stream.close();
      });

      it('is told the progress of its stream when all of it has everything', async () => {
        const recorder = new WatchRecorder();
        const stream = harness.keyspace.watch(recorder);
        stream.requestProgress(); // no watch: no answer
        stream.create(watchOf('/user/'));
        stream.create(watchOf('/none/'));
        await harness.put('/user/a', 'x'); // 2
        await harness.put('/a', 'x'); // 3
        stream.requestProgress();
        await recorder.until(({ messages }) => messages.some((message) => message.type === 'progress'));
        expect(recorder.texts()).toEqual(['created 0 at 1', 'created 1 at 1', 'events 0: /user/a=x@2', 'progress -1 at 3']);
        stream.create(watchOf('/none/', { startRevision: 100n }));
        stream.requestProgress(); // one of them has not begun
        await harness.put('/user/a', 'y'); // 4
        await recorder.until(() => recorder.events().length === 2);
        expect(recorder.messages.filter((message) => message.type === 'progress').length).toBe(1);
        stream.close();
      });

      it('that asks for it is told progress from time to time', async () => {
        await start({ progressIntervalMs: 20 });
        const asking = harness.watch('/none/', { progressNotify: true });
        const silent = harness.watch('/none/');
        await harness.put('/a', 'x');
        await asking.until(() => asking.reached() >= 2n);
        await harness.put('/user/a', 'x');
        await asking.until(() => asking.reached() >= 3n);
        expect(silent.messages.length).toBe(1);
        const told = asking.history().map((message) => message.revision);
        expect(told).toEqual([...told].sort((a, b) => Number(a - b)));
      });

      it('ends with its stream', async () => {
        const recorder = new WatchRecorder();
        const stream = harness.keyspace.watch(recorder);
        stream.create(watchOf(''));
        stream.close();
        await harness.put('/a', 'x');
        await harness.put('/user/a', 'x');
        stream.create(watchOf(''));
        stream.requestProgress();
        expect(recorder.texts()).toEqual(['created 0 at 1']);
        const open = harness.watch('');
        await harness.close();
        expect(open.error).toMatchObject({ name: 'StoppedError' });
        await harness.start();
      });

      it('of a slow client waits for it and then goes on without loss', async () => {
        await start({ eventBytes: 4_000 });
        const random = new Random(3);
        const recorder = new WatchRecorder();
        const stream = harness.keyspace.watch(recorder);
        stream.create(watchOf('', { prevKv: true }));
        stream.create(watchOf('/user/', { startRevision: 1n }));
        stream.create(watchOf('/a/1'));
        for (let i = 0; i < 200; i++) {
          recorder.isSlow = random.chance(0.5);
          const before = recorder.messages.length;
          await writeSomething(harness, random);
          // Not one message after the client has said that it cannot take more.
          if (recorder.isSlow) expect(recorder.messages.length - before).toBeLessThanOrEqual(3);
          if (random.chance(0.2)) {
            recorder.isSlow = false;
            stream.drained();
          }
          if (random.chance(0.1)) stream.requestProgress();
        }
        recorder.isSlow = false;
        stream.drained();
        await Promise.all([harness.put('/user/1', 'last'), harness.put('/a/1', 'last')]);
        const last = harness.revision;
        stream.drained();
        await recorder.until(() => recorder.reached(0n) >= last && recorder.reached(1n) >= last - 1n && recorder.reached(2n) >= last - 1n);
        const checker = new HistoryChecker(await harness.truth());
        for (const [id, prefix] of ['', '/user/', '/a/1'].entries()) {
          const covers = (key: string): boolean => key.startsWith(prefix);
          checker.checkWatch(
            { name: `watch of ${prefix}`, covers, from: 2n, prevKv: id === 0, messages: recorder.history(BigInt(id)) },
            false,
          );
        }
        expect(checker.problems).toEqual([]);
        expect(recorder.events(0n).at(-1)?.revision).toBe(last);
        stream.close();
      });
    });

    describe('a lease', () => {
      it('has a number of its own, or the one asked for, and a time of two seconds at least', async () => {
        const one = await harness.keyspace.grantLease(1n, 0n);
        const two = await harness.keyspace.grantLease(60n, 0n);
        expect([one.ttl, two.ttl]).toEqual([2n, 60n]);
        expect(one.id).toBeGreaterThan(0n);
        expect(two.id).not.toBe(one.id);
        expect((await harness.keyspace.grantLease(60n, 77n)).id).toBe(77n);
        await expect(harness.keyspace.grantLease(60n, 77n)).rejects.toMatchObject({ name: 'LeaseExistsError' });
        await expect(harness.keyspace.grantLease(9_000_000_001n, 0n)).rejects.toMatchObject({ name: 'LeaseTtlTooLargeError' });
        expect(await harness.keyspace.keepAliveLease(77n)).toBe(60n);
        expect(await harness.keyspace.keepAliveLease(78n)).toBe(0n);
      });

      it('is refused to a put when it does not exist', async () => {
        await expect(harness.put('/a', 'x', { lease: 5n })).rejects.toMatchObject({ name: 'LeaseNotFoundError' });
        const { id } = await harness.keyspace.grantLease(60n, 0n);
        await harness.put('/a', 'x', { lease: id });
        await harness.keyspace.revokeLease(id);
        await expect(harness.put('/a', 'x', { lease: id })).rejects.toMatchObject({ name: 'LeaseNotFoundError' });
        await expect(harness.keyspace.revokeLease(id)).rejects.toMatchObject({ name: 'LeaseNotFoundError' });
      });

      it('takes its keys along, one revision in each backend', async () => {
        const { id } = await harness.keyspace.grantLease(60n, 0n);
        for (const key of ['/a', '/b', '/user/a', '/user/b']) await harness.put(key, 'x', { lease: id }); // 2 to 5
        await harness.put('/c', 'x'); // 6
        const recorder = harness.watch('');
        await harness.keyspace.revokeLease(id);
        expect((await harness.list('')).kvs).toEqual(['/c=x@6']);
        expect(harness.revision).toBe(8n);
        await recorder.until(() => recorder.events().length === 4);
        const messages = recorder.texts().slice(1).join(' ');
        expect(messages).toMatch(/\/a deleted@(\d), \/b deleted@\1/);
        expect(messages).toMatch(/\/user\/a deleted@(\d), \/user\/b deleted@\1/);
      });

      it('lets a key go that is put again without it or with another one', async () => {
        const first = await harness.keyspace.grantLease(60n, 0n);
        const second = await harness.keyspace.grantLease(60n, 0n);
        for (const key of ['/a', '/b', '/c']) await harness.put(key, 'x', { lease: first.id });
        await harness.put('/a', 'y');
        await harness.put('/b', 'y', { lease: second.id });
        await harness.keyspace.revokeLease(first.id);
        expect((await harness.list('')).kvs).toEqual(['/a=y@5', '/b=y@6']);
        await harness.keyspace.revokeLease(second.id);
        expect((await harness.list('')).kvs).toEqual(['/a=y@5']);
      });

      it('that ran out takes its keys along', async () => {
        const { id } = await harness.keyspace.grantLease(2n, 0n);
        await harness.put('/user/a', 'x', { lease: id });
        const recorder = harness.watch('/user/');
        await recorder.until(() => recorder.events().length === 1);
        expect(recorder.events().map(eventText)).toEqual(['/user/a deleted@3']);
        expect(await harness.keyspace.keepAliveLease(id)).toBe(0n);
      });

      it('lives on over a restart, with its keys', async () => {
        const { id } = await harness.keyspace.grantLease(600n, 0n);
        await harness.put('/user/a', 'x', { lease: id });
        await harness.restart();
        expect(harness.keyspace.leaseCount).toBe(1);
        expect(await harness.keyspace.keepAliveLease(id)).toBe(600n);
        await harness.put('/a', 'x', { lease: id });
        await harness.keyspace.revokeLease(id);
        await harness.restart();
        expect([harness.keyspace.leaseCount, (await harness.list('')).count]).toEqual([0, 0]);
      });

      it('of which many are revoked while puts go on leaves no key behind', async () => {
        const random = new Random(9);
        const leases = await Promise.all(Array.from({ length: 12 }, () => harness.keyspace.grantLease(600n, 0n)));
        const work: Promise<unknown>[] = [];
        for (const [i, { id }] of leases.entries()) {
          for (let j = 0; j < 6; j++)
            work.push(harness.put(`${random.chance(0.5) ? '/user' : '/k'}/${i}-${j}`, 'x', { lease: id }).catch(() => undefined));
          if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
          work.push(harness.keyspace.revokeLease(id));
          for (let j = 6; j < 9; j++) work.push(harness.put(`/user/${i}-${j}`, 'x', { lease: id }).catch(() => undefined));
        }
        await Promise.all(work);
        expect((await harness.list('')).kvs).toEqual([]);
      });
    });

    describe('a second keyspace', () => {
      /** Waits for its turn on the same databases; null: only one can have them open. */
      function startSecond(): Promise<KeyspaceHarness> | null {
        return harness.isExclusive ? null : KeyspaceHarness.open({ others: ['user'], open: databases.open });
      }

      it('begins when the first one ends, exactly where that has stopped', async () => {
        const starting = startSecond();
        if (starting === null) return;
        let isStarted = false;
        void starting.then(() => (isStarted = true));
        const recorder = harness.watch('');
        for (let i = 0; i < 20; i++) await harness.put(i % 2 === 0 ? '/a' : '/user/a', `${i}`); // 2 to 21
        expect([isStarted, harness.keyspace.writer.isHeld]).toEqual([false, true]);
        await harness.close();
        expect(recorder.error).toMatchObject({ name: 'StoppedError' });
        harness = await starting;
        expect(await harness.put('/a', 'next')).toBe(22n);
        expect((await harness.list('')).kvs).toEqual(['/a=next@22', '/user/a=19@21']);
      });

      it('lets the first one tell and write nothing any more', async () => {
        if (harness.isExclusive) return;
        await harness.put('/a', 'one'); // 2
        await harness.put('/user/a', 'two'); // 3
        const first = harness;
        const main = await harness.openBackend('main');
        await takeOver(main);
        // A write is what notices it.
        await expect(first.put('/a', 'late')).rejects.toThrow(/unavailable/);
        await expect(first.keyspace.deposed).resolves.toMatchObject({ name: 'FencedError' });
        expect(first.keyspace.writer).toMatchObject({ isHeld: false, millisecondsLeft: 0 });
        const late: readonly (() => Promise<unknown>)[] = [
          () => first.get('/a'),
          () => first.list(''),
          () => first.list('/user/', { revision: 3n }),
          () => first.put('/user/a', 'late'),
          () => first.update('/a', 'late', 9n),
          () => first.keyspace.compact(2n),
          () => first.keyspace.grantLease(60n, 0n),
          () => first.keyspace.keepAliveLease(7n),
        ];
        for (const each of late) await expect(each()).rejects.toThrow(/"main" is unavailable: another router has taken over/);
        await main.release();
        await main.close();
        const starting = startSecond();
        if (starting === null) throw new Error('the databases allow for a second keyspace');
        harness = await starting;
        await first.close();
        expect((await harness.list('')).kvs).toEqual(['/a=one@2', '/user/a=two@3']);
        expect(await harness.put('/user/a', 'next')).toBeGreaterThan(4n);
      });
    });

    describe('a restart', () => {
      it('goes on exactly where a clean stop ended', async () => {
        await harness.put('/a', 'x');
        await harness.put('/user/a', 'x'); // 3
        const { clusterId } = harness.keyspace.status();
        await harness.restart();
        expect(harness.revision).toBe(3n);
        expect(harness.keyspace.status().clusterId).toBe(clusterId);
        expect(await harness.put('/user/a', 'y')).toBe(4n);
        await harness.restart();
        await harness.restart();
        expect(await harness.put('/a', 'y')).toBe(5n);
        expect((await harness.list('')).kvs).toEqual(['/a=y@5', '/user/a=y@4']);
      });

      it('finishes what was asked for before it', async () => {
        const writes = Array.from({ length: 30 }, (_, i) => harness.put(i % 2 === 0 ? `/k/${i}` : `/user/${i}`, 'x'));
        await harness.close();
        const outcomes = await Promise.allSettled(writes);
        await harness.start();
        const { kvs } = await harness.list('');
        const acknowledged = outcomes.flatMap((outcome, i) =>
          outcome.status === 'fulfilled' ? [`${i % 2 === 0 ? '/k/' : '/user/'}${i}=x@${outcome.value}`] : [],
        );
        expect(acknowledged.length).toBe(30);
        expect([...kvs].sort()).toEqual(acknowledged.sort());
      });

      it('serves watches from before it', async () => {
        await harness.put('/a', 'one');
        await harness.put('/user/a', 'two');
        await harness.delete('/a');
        await harness.restart();
        await harness.put('/user/a', 'three');
        const recorder = harness.watch('', { startRevision: 2n, prevKv: true });
        await recorder.until(() => recorder.events().length === 4);
        expect(recorder.events().map(eventText)).toEqual([
          '/a=one@2',
          '/user/a=two@3',
          '/a deleted@4 was one@2',
          '/user/a=three@5 was two@3',
        ]);
      });
    });

    it.each([
      [1, ['user'], false],
      [2, [], false],
      [3, ['user', 'email'], false],
      [4, ['user'], true],
      [5, ['user', 'email'], true],
    ])(
      'keeps one story among many clients (seed %i, beside main: %j, compacting: %j)',
      async (seed, others, compacts) => {
        await start({ others, eventBytes: 30_000, cacheBytes: 20_000 });
        await runStory(harness, { seed, others, compacts });
      },
      60_000,
    );
  });
}

const SEGMENTS = ['a', 'user', 'b'];

async function writeSomething(harness: KeyspaceHarness, random: Random): Promise<void> {
  const key = `/${random.pick(SEGMENTS)}/${random.below(3)}`;
  const what = random.below(10);
  if (what < 5) await harness.put(key, `${what} ${'x'.repeat(random.below(200))}`);
  else if (what < 7) await harness.delete(key);
  else if (what < 8) await harness.delete(`/${random.pick(SEGMENTS)}/`, true);
  else {
    const prefix = `/${random.pick(SEGMENTS)}/`;
    await harness.txn([], [putOp(`${prefix}0`, 'many'), putOp(`${prefix}1`, 'many'), deleteOp(`${prefix}2`)]);
  }
}

interface Holder {
  readonly name: string;
  readonly covers: (key: string) => boolean;
  readonly from: Revision;
  readonly prevKv: boolean;
  readonly recorder: WatchRecorder;
  readonly drained: () => void;
}

interface StoryOptions {
  readonly seed: number;
  readonly others: readonly string[];
  readonly compacts: boolean;
}

/** Clients that write, read, list and watch at random and at once; whatever they saw is then compared with the log. */
async function runStory(harness: KeyspaceHarness, { seed, others, compacts }: StoryOptions): Promise<void> {
  const random = new Random(seed);
  const segments = ['a', 'b', ...others];
  // From what is to come: one that still read the log when the first compaction passes would be told to begin anew.
  const everything = harness.watch('', { prevKv: true, startRevision: harness.revision + 1n });
  const writes: AcknowledgedWrite[] = [];
  const lists: ListedState[] = [];
  const watches: Holder[] = [];
  let highestSeen = 0n;
  let tick = 0;

  const watch = (): void => {
    const prefix = random.pick(['', ...segments.map((segment) => `/${segment}/`), `/${random.pick(segments)}/1`]);
    const recorder = new WatchRecorder();
    const stream = harness.keyspace.watch(recorder);
    const startRevision = random.chance(0.5) ? 0n : BigInt(1 + random.below(Number(harness.revision) + 5));
    const prevKv = random.chance(0.5);
    stream.create(watchOf(prefix, { startRevision, prevKv, progressNotify: random.chance(0.3) }));
    const [created] = recorder.messages;
    const from = startRevision > 0n ? startRevision : (created?.type === 'created' ? created.revision : 0n) + 1n;
    const name = `watch ${watches.length} of ${prefix} from ${from}`;
    watches.push({ name, covers: (key) => key.startsWith(prefix), from, prevKv, recorder, drained: () => stream.drained() });
    const poke = new Random(seed + watches.length);
    recorder.onMessage = () => {
      recorder.isSlow = poke.chance(0.15);
      if (poke.chance(0.1)) setImmediate(() => stream.requestProgress());
      if (!recorder.isSlow) return;
      setImmediate(() => {
        recorder.isSlow = false;
        stream.drained();
      });
    };
  };

  const acknowledge = (revision: Revision, key: string, value: string | null, startedAt: number): void => {
    writes.push({ revision, key, value, startedAt, endedAt: tick++ });
    if (revision > highestSeen) highestSeen = revision;
  };

  const update = async (key: string, value: string): Promise<void> => {
    const seen = highestSeen;
    const { kv, revision } = await harness.get(key);
    expect(revision).toBeGreaterThanOrEqual(seen);
    const found = (record: KeyValue | null) =>
      record === null ? [] : [{ key, value: record.value.toString('latin1'), modRevision: record.modRevision }];
    lists.push({ revision, covers: (candidate) => candidate === key, kvs: found(kv) });
    const startedAt = tick++;
    const result = await harness.update(key, value, kv?.modRevision ?? 0n);
    if (result.succeeded) {
      acknowledge(result.revision, key, value, startedAt);
      return;
    }
    const [response] = result.responses;
    const [record] = response?.type === 'range' ? response.kvs : [];
    const current = record === undefined ? null : decodeKeyValue(record);
    expect(current?.modRevision ?? 0n).not.toBe(kv?.modRevision ?? 0n);
    lists.push({ revision: result.revision, covers: (candidate) => candidate === key, kvs: found(current) });
  };

  const list = async (own: Random, segment: string): Promise<void> => {
    const seen = highestSeen;
    const prefix = own.chance(0.5) ? '' : `/${segment}/`;
    const limit = own.below(6);
    const revision = own.chance(0.3) && seen > 1n ? BigInt(1 + own.below(Number(seen))) : 0n;
    try {
      const result = await harness.range(watchOf(prefix).range, { limit, revision });
      const kvs = (await kvsOf(result)).map((kv) => ({ key: kv.key.toString(), value: kv.value.toString(), modRevision: kv.modRevision }));
      expect(result.revision).toBeGreaterThanOrEqual(seen);
      const at = revision > 0n ? revision : result.revision;
      lists.push({ revision: at, covers: (candidate) => candidate.startsWith(prefix), kvs, count: result.count, limit });
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
      expect([compacts, revision > 0n && revision < error.compactRevision]).toEqual([true, true]);
    }
  };

  const client = async (id: number): Promise<void> => {
    const own = new Random(seed * 1000 + id);
    for (let i = 0; i < 40; i++) {
      const segment = own.pick(segments);
      const key = `/${segment}/${own.below(4)}`;
      const startedAt = tick++;
      const what = own.below(12);
      if (what < 5) {
        const value = `${id}-${i} ${'x'.repeat(own.below(300))}`;
        acknowledge(await harness.put(key, value), key, value, startedAt);
      } else if (what < 8) {
        await update(key, `${id}-${i} update`);
      } else if (what < 9) {
        const { revision, deleted } = await harness.delete(key);
        if (deleted === 1) acknowledge(revision, key, null, startedAt);
      } else if (what < 11) {
        await list(own, segment);
      } else {
        watch();
      }
    }
  };

  let isDone = false;
  const compactor = async (): Promise<void> => {
    while (compacts && !isDone) {
      const { revision, compactRevision } = harness.keyspace.status();
      const target = compactRevision + BigInt(1 + random.below(20));
      if (target <= revision) await harness.keyspace.compact(target);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };

  for (let i = 0; i < 4; i++) watch();
  const compacting = compactor();
  await Promise.all(Array.from({ length: 12 }, (_, id) => client(id)));
  isDone = true;
  await compacting;
  for (const segment of segments) for (const name of ['0', '1']) await harness.put(`/${segment}/${name}`, 'end');
  const end = harness.revision;
  await everything.until(() => everything.events().at(-1)?.revision === end);
  const truth = everything.events();
  const { compactRevision } = harness.keyspace.status();
  if (!compacts) expect(truth).toEqual(await harness.truth());

  const checker = new HistoryChecker(truth);
  for (const { recorder, drained, covers, ...rest } of watches) {
    recorder.onMessage = () => undefined;
    recorder.isSlow = false;
    drained();
    const last = truth.findLast((event) => covers(event.key) && event.revision >= rest.from)?.revision ?? 0n;
    const canceled = (): boolean => recorder.messages.some((message) => message.type === 'canceled' && message.compactRevision > 0n);
    await recorder.until(() => canceled() || last === 0n || recorder.events().at(-1)?.revision === last);
    if (canceled()) expect(compacts).toBe(true);
    checker.checkWatch({ ...rest, covers, compactRevision, messages: recorder.history() }, !canceled());
  }
  checker.checkWrites(writes);
  checker.checkGapless();
  for (const listed of lists) checker.checkList(listed);
  expect(checker.problems).toEqual([]);
  expect([writes.length > 100, lists.length > 50, watches.length > 8]).toEqual([true, true, true]);
}
