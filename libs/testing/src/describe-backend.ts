import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type Backend,
  type Change,
  type ChangesQuery,
  type CommitBatch,
  CommitFailedError,
  type ControlState,
  type ControlStore,
  countedPrefix,
  decodeKeyValue,
  type KeyRange,
  type KeyValue,
  keyRange,
  prefixRange,
  type RangeAnswer,
  type RangeQuery,
  recordsOf,
  type Revision,
  revisionOf,
  singleKey,
} from '@harikube/keyspace';
import { BatchWriter, bytesOf, type Write } from './batch-writer.js';
import { Random } from './random.js';
import { someWriter, takeOver } from './take-over.js';

/** One database for one test: empty at first, found again by every further `open`. */
export interface TestDatabase {
  open(): Promise<Backend & ControlStore>;
  remove(): Promise<void>;
  /** A second writer can open the database while the first one has it; otherwise opening it is what fails. */
  readonly allowsSecondWriter: boolean;
}

type TestBackend = Backend & ControlStore;

const EVERYTHING: KeyRange = { start: Buffer.alloc(0), end: null, single: false };
const MANY_BYTES = 1 << 30;

/** The promises of `Backend` and `ControlStore`, for any implementation. */
export function describeBackend(name: string, create: () => Promise<TestDatabase>): void {
  describe(`${name} as a backend`, () => {
    let database: TestDatabase;
    let backend: TestBackend;
    let control: ControlState;
    let writer: BatchWriter;
    let compacted: Revision;
    let isOpen: boolean;

    beforeEach(async () => {
      database = await create();
      backend = await database.open();
      control = await takeOver(backend);
      await backend.claim({ storeId: control.storeId, epoch: control.epoch });
      writer = new BatchWriter(backend, 1n);
      compacted = 0n;
      isOpen = true;
    });

    afterEach(async () => {
      try {
        if (isOpen) await checkInvariants(backend, writer, compacted);
      } finally {
        if (isOpen) await backend.close();
        await database.remove();
      }
    });

    /** Closes the backend and takes the database over again, as the next run of the router does. */
    async function reopen(): Promise<Revision> {
      await backend.close();
      isOpen = false;
      backend = await database.open();
      isOpen = true;
      control = await takeOver(backend);
      const { lastRevision } = await backend.claim({ storeId: control.storeId, epoch: control.epoch });
      writer.moveTo(backend);
      return lastRevision;
    }

    /** Another writer takes over, on the backend that is open. */
    async function takeAnew(): Promise<void> {
      control = await takeOver(backend);
      await backend.claim(control);
      writer.moveTo(backend);
    }

    async function compact(revision: Revision): Promise<void> {
      await backend.compact(revision, new AbortController().signal);
      compacted = revision;
    }

    describe('claim', () => {
      it('finds an empty database at revision 0', async () => {
        const { lastRevision, identity } = await backend.claim({ storeId: control.storeId, epoch: control.epoch });
        expect(lastRevision).toBe(0n);
        expect(identity).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        expect((await backend.load([bytesOf('/a')])).lastRevision).toBe(0n);
      });

      it('tells the last revision after a reopen', async () => {
        await writer.put('/a', 'one');
        writer.skip(10);
        await writer.put('/a', 'two');
        expect(await reopen()).toBe(13n);
      });

      it('knows the database by the same identity after a reopen', async () => {
        const { identity } = await backend.claim({ storeId: control.storeId, epoch: control.epoch });
        await reopen();
        expect((await backend.claim({ storeId: control.storeId, epoch: control.epoch })).identity).toBe(identity);
      });

      it('refuses a writer of an older epoch and leaves the newer one alone', async () => {
        const { storeId, epoch } = control;
        await reopen();
        const late = backend.claim({ storeId, epoch });
        await expect(late).rejects.toMatchObject({ name: 'FencedError', epoch, foundEpoch: control.epoch });
        await writer.put('/a', 'one');
      });

      it('refuses the database of another store and leaves it usable', async () => {
        await expect(backend.claim({ storeId: '00000000-0000-4000-8000-000000000000', epoch: 99n })).rejects.toThrow();
        await writer.put('/a', 'one');
      });

      it('keeps the last revision when its keys are gone and compacted', async () => {
        await writer.put('/a', 'one');
        await writer.delete('/a');
        await compact(writer.lastRevision);
        writer.skip(5);
        await writer.put('/b', 'one');
        const last = await writer.delete('/b');
        await compact(last);
        expect(await reopen()).toBe(last);
      });
    });

    describe('fencing', () => {
      it('lets nothing of an older writer in', async () => {
        await writer.put('/a', 'one');
        if (!database.allowsSecondWriter) {
          await expect(database.open()).rejects.toThrow();
          return;
        }
        const newer = await database.open();
        const state = await takeOver(newer);
        expect(state.epoch).toBeGreaterThan(control.epoch);
        await newer.claim({ storeId: state.storeId, epoch: state.epoch });
        const { lastRevision } = writer;
        const late: readonly (() => Promise<unknown>)[] = [
          () => writer.put('/b', 'late'),
          () => backend.reserve(1_000_000n),
          () => backend.setCompactRevision(2n),
          () => backend.saveLease({ id: 7n, ttl: 5n, expiresAt: 1, renewed: false }),
          () => backend.removeLease(7n),
          () => backend.renew(new Map([['late', 7n]])),
          () => backend.release(),
          () => backend.resolve(),
          () => backend.compact(lastRevision, new AbortController().signal),
          () => backend.claim({ storeId: control.storeId, epoch: control.epoch }),
        ];
        for (const write of late) {
          const error = await write().then(
            () => `${write.toString()} was let in`,
            (reason: unknown) => reason,
          );
          expect(error).toBeInstanceOf(CommitFailedError);
          expect(error).toMatchObject({ name: 'FencedError', epoch: control.epoch, foundEpoch: state.epoch });
        }
        expect((await newer.load([bytesOf('/b')])).heads).toEqual([null]);
        expect(await newer.writer()).toMatchObject({ epoch: state.epoch, renewals: 0n, isReleased: false });
        await backend.close();
        backend = newer;
        writer.moveTo(newer);
        await writer.put('/c', 'of the newer one');
        control = await takeOver(newer);
        expect(control).toMatchObject({ reservedRevision: 1n, compactRevision: 0n, leases: [], marks: new Map() });
        await newer.claim({ storeId: control.storeId, epoch: control.epoch });
      });
    });

    describe('commit', () => {
      it('stores each write of a batch under its own revision', async () => {
        const last = await writer.commit([{ put: '/a', value: 'one' }], [{ put: '/b', value: 'two' }], [{ put: '/a', value: 'three' }]);
        expect(last).toBe(4n);
        const { heads, lastRevision } = await backend.load([bytesOf('/a'), bytesOf('/b'), bytesOf('/c')]);
        expect(await backend.load([bytesOf('/a'), bytesOf('/b'), bytesOf('/c')], 'commit')).toEqual({ heads, lastRevision });
        expect(lastRevision).toBe(4n);
        expect(heads.map((head) => head && kvText(decodeKeyValue(head.record)))).toEqual(['/a=three 2/4 v2', '/b=two 3/3 v1', null]);
        expect(heads.map((head) => head && revisionOf(head.id))).toEqual([4n, 3n, null]);
      });

      it('gives all writes of one txn the same revision and its own place in it', async () => {
        const revision = await writer.commit([{ put: '/b' }, { put: '/a' }, { put: '/c' }]);
        await writer.commit([{ delete: '/c' }, { delete: '/a' }]);
        const { changes } = await backend.changes({ range: EVERYTHING, after: 0n, through: writer.lastRevision, maxBytes: MANY_BYTES });
        expect(changes.map((change) => `${revisionOf(change.id)} ${change.key.toString()}`)).toEqual([
          '2 /b',
          '2 /a',
          '2 /c',
          '3 /c',
          '3 /a',
        ]);
        expect(revision).toBe(2n);
      });

      it('keeps values as they are: empty, each byte, invalid UTF-8, SQL, a megabyte', async () => {
        const values = [
          Buffer.alloc(0),
          Buffer.from([0]),
          Buffer.from([0, 1, 0, 0xff, 0xfe, 0x80]),
          Buffer.alloc(1 << 20, 0xa5),
          Buffer.from("'; --"),
          // Each byte between others, and what a text of SQL could take for something else.
          ...Array.from({ length: 256 }, (_, byte) => Buffer.from([0x61, byte, 0x62])),
          ...['\\', "'", '"', '`', '?', '?1', '%', ';', '-- ', '/*', '\\0', "\\'", 'a\\'].map((text) => Buffer.from(text)),
          ...[0xc3, 0xe2, 0xf0, 0x81].map((lead) => Buffer.from([lead, 0x27, lead, 0x5c, lead])),
        ];
        for (const [i, value] of values.entries()) await writer.put(`/v${i}`, value);
        const read = await recordsIn(await backend.range(query(EVERYTHING)));
        expect(read.map((kv) => kv.value.equals(values[Number(kv.key.toString().slice(2))] as Buffer))).toEqual(values.map(() => true));
      });

      it('counts versions from the creation of a key, again after it was deleted', async () => {
        await writer.put('/a', 'one');
        await writer.put('/a', 'two');
        await writer.delete('/a');
        await writer.put('/a', 'three');
        const { heads } = await backend.load([bytesOf('/a')]);
        expect(heads.map((head) => head && kvText(decodeKeyValue(head.record)))).toEqual(['/a=three 5/5 v1']);
      });

      it('takes numbers above 2^53', async () => {
        writer.skip(Number(2n ** 42n));
        await writer.put('/a', 'x', 2n ** 63n - 1n);
        const { heads, lastRevision } = await backend.load([bytesOf('/a')]);
        expect(lastRevision).toBe(2n ** 42n + 2n);
        expect(heads.map((head) => head && decodeKeyValue(head.record).lease)).toEqual([2n ** 63n - 1n]);
        expect(await backend.leasesInUse()).toEqual([2n ** 63n - 1n]);
        expect(await backend.keysOfLease(2n ** 63n - 1n, 10)).toEqual([bytesOf('/a')]);
      });

      it('leaves nothing of a batch that cannot be written whole', async () => {
        await writer.put('/a', 'one');
        const { batch } = writer.prepare([{ put: '/b', value: 'two' }], [{ put: '/c', value: 'three' }]);
        const [first, second] = batch.rows;
        if (first === undefined || second === undefined) throw new Error('two rows were prepared');
        // The id of the second row is taken.
        const broken = { ...batch, rows: [first, { ...second, id: first.id }] };
        await expect(backend.commit(broken)).rejects.toBeInstanceOf(CommitFailedError);
        expect((await backend.load([bytesOf('/b'), bytesOf('/c')])).heads).toEqual([null, null]);
        expect((await backend.resolve()) >= batch.lastRevision).toBe(false);
        await writer.put('/b', 'again');
      });

      it('refuses a batch that creates a key which is there, as a conflict', async () => {
        await writer.put('/a', 'one');
        const { batch } = writer.prepare([{ put: '/b', value: 'two' }], [{ put: '/a', value: 'three' }]);
        const [first, second] = batch.rows;
        if (first === undefined || second === undefined) throw new Error('two rows were prepared');
        const created = { ...batch, rows: [first, { ...second, prevId: 0n }] };
        await expect(backend.commit(created)).rejects.toMatchObject({ name: 'CommitFailedError', isConflict: true });
        expect(await texts(backend, query(EVERYTHING))).toEqual(['/a=one 2/2 v1']);
        await writer.put('/b', 'again');
        await writer.commit([{ delete: '/a' }], [{ put: '/a', value: 'anew' }]);
      });

      it.each([1n, -1n])('refuses a batch for a database that does not stand where it is known to (%s)', async (difference) => {
        await writer.put('/a', 'one');
        const { batch } = writer.prepare([{ put: '/b', value: 'two' }]);
        const knownRevision = batch.previousRevision + difference;
        const error = await backend.commit({ ...batch, previousRevision: knownRevision }).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(CommitFailedError);
        expect(error).toMatchObject({ name: 'RolledBackError', knownRevision, foundRevision: 2n, isConflict: false });
        expect(await backend.load([bytesOf('/b')])).toEqual({ lastRevision: 2n, heads: [null] });
        await writer.put('/b', 'again');
      });

      it('takes a batch once', async () => {
        const prepared = writer.prepare([{ put: '/a', value: 'one' }]);
        await backend.commit(prepared.batch);
        writer.tookPlace(prepared);
        await expect(backend.commit(prepared.batch)).rejects.toMatchObject({ name: 'RolledBackError', foundRevision: 2n });
        expect(await texts(backend, query(EVERYTHING))).toEqual(['/a=one 2/2 v1']);
      });

      it('is whole and durable when it resolves', async () => {
        await writer.commit([{ put: '/a', value: 'one' }], [{ put: '/b', value: 'two' }]);
        await reopen();
        expect(await texts(backend, query(EVERYTHING))).toEqual(['/a=one 2/2 v1', '/b=two 3/3 v1']);
      });

      it('takes a batch of a thousand txns', async () => {
        await writer.commit(...Array.from({ length: 1000 }, (_, i): Write[] => [{ put: `/registry/pods/ns/p${i % 700}`, value: `${i}` }]));
        const { count } = await backend.range(query(EVERYTHING, { countOnly: true }));
        expect(count).toBe(700);
      });
    });

    describe('a commit behind another', () => {
      /** Two batches of which the second one follows the first; values of 1 to 40 KB go to the database in different ways. */
      function prepareTwo(bytes: number): readonly CommitBatch[] {
        const value = 'x'.repeat(bytes);
        const first = writer.prepare([{ put: '/a', value }], [{ put: '/b', value }]);
        writer.tookPlace(first);
        const second = writer.prepare([{ put: '/c', value }], [{ put: '/d', value: 'small' }]);
        writer.tookPlace(second);
        return [first.batch, second.batch];
      }

      /** Gives both to the backend, the second one as early as it may be: what became of them. */
      async function commitBoth(first: CommitBatch, second: CommitBatch): Promise<readonly unknown[]> {
        const outcome = (batch: CommitBatch): Promise<unknown> => backend.commit(batch).catch((error: unknown) => error);
        const outcomes = [outcome(first)];
        // The first one has begun, and is hardly over.
        await (backend.ordersCommits === true ? new Promise((resolve) => setImmediate(resolve)) : outcomes[0]);
        return Promise.all([...outcomes, outcome(second)]);
      }

      it.each([1000, 40_000])('takes place after it (%i bytes)', async (bytes) => {
        const [first, second] = prepareTwo(bytes) as [CommitBatch, CommitBatch];
        expect(await commitBoth(first, second)).toEqual([undefined, undefined]);
        expect(await backend.resolve()).toBe(second.lastRevision);
        const { heads } = await backend.load(['/a', '/b', '/c', '/d'].map(bytesOf));
        expect(heads.map((head) => head && revisionOf(head.id))).toEqual([2n, 3n, 4n, 5n]);
        await writer.put('/e', 'next');
      });

      it.each([1000, 40_000])('comes to nothing with it, and leaves nothing of either (%i bytes)', async (bytes) => {
        await writer.put('/b', 'is there');
        const value = 'x'.repeat(bytes);
        const { batch: first } = writer.prepare([{ put: '/a', value }], [{ put: '/b', value }]);
        const { batch: second } = writer.prepare([{ put: '/c', value }], [{ put: '/d', value: 'small' }]);
        // Its second row takes a key for absent that is not: the first one is written by then.
        const conflicting = { ...first, rows: first.rows.map((row) => ({ ...row, prevId: 0n })) };
        const [failure, behind] = await commitBoth(conflicting, { ...second, previousRevision: first.lastRevision });
        expect(failure).toMatchObject({ name: 'CommitFailedError', isConflict: true });
        expect(behind).toMatchObject({ name: 'RolledBackError', foundRevision: 2n, knownRevision: first.lastRevision });
        expect(await texts(backend, query(EVERYTHING))).toEqual(['/b=is there 2/2 v1']);
        expect(await backend.resolve()).toBe(2n);
        await writer.commit([{ put: '/a', value: 'again' }], [{ put: '/c', value: 'again' }]);
      });

      it('waits for what is read between them', async () => {
        const [first, second] = prepareTwo(1000) as [CommitBatch, CommitBatch];
        const committing = backend.commit(first);
        const loading = backend.load([bytesOf('/a'), bytesOf('/d')], 'commit');
        if (backend.ordersCommits !== true) await committing;
        await Promise.all([committing, backend.commit(second)]);
        const { heads, lastRevision } = await loading;
        const ofBoth = heads.map((head) => head && revisionOf(head.id));
        expect([
          [null, null],
          [2n, null],
          [2n, 5n],
        ]).toContainEqual(ofBoth);
        expect(lastRevision).toBe(ofBoth[1] ?? (ofBoth[0] === null ? 0n : first.lastRevision));
      });

      it('holds its own through hundreds of them beside compactions', async () => {
        let behind: Promise<void> | null = null;
        let held = 0n;
        for (let i = 0; i < 200; i++) {
          const prepared = writer.prepare([{ put: `/k/${i % 10}`, value: `${i}` }], [{ put: `/n/${i}`, value: 'x' }]);
          const committing = backend.commit({ ...prepared.batch, previousRevision: held });
          held = prepared.batch.lastRevision;
          writer.tookPlace(prepared);
          if (i % 50 === 49) await Promise.all([committing, compact(held - 20n)]);
          if (backend.ordersCommits !== true) await committing;
          await behind;
          behind = committing;
        }
        await behind;
        expect(await backend.resolve()).toBe(held);
        expect(await texts(backend, query(EVERYTHING))).toEqual(writer.live(EVERYTHING).map(kvText));
      });
    });

    describe('resolve', () => {
      it('tells whether a batch took place', async () => {
        await writer.put('/a', 'one');
        expect((await backend.resolve()) >= writer.lastRevision).toBe(true);
        const { batch } = writer.prepare([{ put: '/b' }], [{ put: '/c' }]);
        expect((await backend.resolve()) >= batch.lastRevision).toBe(false);
        await writer.put('/c', 'later');
      });

      it('does not overtake a batch that it says took place', async () => {
        for (let round = 0; round < 10; round++) {
          const keys = Array.from({ length: 50 }, (_, i) => `/${round}/${i}`);
          const prepared = writer.prepare(keys.map((put) => ({ put })));
          const committing = backend.commit(prepared.batch);
          const tookPlace = (await backend.resolve()) >= prepared.batch.lastRevision;
          const { heads } = await backend.load(keys.map(bytesOf));
          if (tookPlace) expect(heads.filter((head) => head === null)).toEqual([]);
          await committing;
          writer.tookPlace(prepared);
          expect((await backend.resolve()) >= prepared.batch.lastRevision).toBe(true);
        }
      });

      it('tells it after a reopen, too', async () => {
        await writer.put('/a', 'one');
        await reopen();
        expect((await backend.resolve()) >= writer.lastRevision).toBe(true);
        expect((await backend.resolve()) >= writer.lastRevision + 1n).toBe(false);
      });
    });

    describe('load', () => {
      it('answers in the order of the keys, twice for a key that is asked for twice', async () => {
        await writer.put('/b', 'b');
        await writer.put('/a', 'a');
        const keys = ['/a', '/x', '/b', '/a'].map(bytesOf);
        const { heads } = await backend.load(keys);
        expect(heads.map((head) => head && decodeKeyValue(head.record).value.toString())).toEqual(['a', null, 'b', 'a']);
      });

      it('answers nothing for no keys', async () => {
        await writer.put('/a');
        expect(await backend.load([])).toEqual({ lastRevision: 2n, heads: [] });
      });

      it('sees a commit that resolved before', async () => {
        for (let i = 0; i < 20; i++) {
          const revision = await writer.put('/a', `${i}`);
          const { heads, lastRevision } = await backend.load([bytesOf('/a')]);
          expect([lastRevision, heads[0] && revisionOf(heads[0].id)]).toEqual([revision, revision]);
        }
      });

      it('finds thousands of keys at once', async () => {
        const keys = Array.from({ length: 3000 }, (_, i) => bytesOf(`/k/${i}`));
        await writer.commit(...keys.filter((_, i) => i % 3 === 0).map((key): Write[] => [{ put: key, value: key }]));
        const { heads } = await backend.load(keys);
        expect(heads.map((head) => (head === null ? 0 : 1)).filter((found) => found === 1).length).toBe(1000);
        expect(
          heads.every(
            (head, i) => (head === null) === (i % 3 !== 0) && (head === null || decodeKeyValue(head.record).key.equals(keys[i] as Buffer)),
          ),
        ).toBe(true);
      });
    });

    describe('range', () => {
      /** In bytewise order. */
      const hostile = [
        Buffer.from([0]),
        Buffer.from([0, 0]),
        Buffer.from([0, 0xff]),
        Buffer.from('%'),
        Buffer.from("/'"),
        Buffer.from('/?'),
        Buffer.from('/A'),
        Buffer.from('/\\'),
        Buffer.from('/_'),
        Buffer.from('/a'),
        Buffer.from('/a\0'),
        Buffer.from('/a '),
        Buffer.from('/a%'),
        Buffer.from('/a/'),
        Buffer.from('/a_b'),
        Buffer.from('/aab'),
        Buffer.from('/é'),
        Buffer.from('/ﬀ'),
        Buffer.from('/𝄞'),
        Buffer.from([0x2f, 0xff]),
        Buffer.from([0xff]),
        Buffer.from([0xff, 0xff]),
      ];

      it('orders hostile keys bytewise', async () => {
        for (const key of [...hostile].reverse()) await writer.put(key, 'v');
        const read = await recordsIn(await backend.range(query(EVERYTHING)));
        expect(read.map((kv) => kv.key.toString('hex'))).toEqual(hostile.map((key) => key.toString('hex')));
      });

      it('cuts between any two hostile keys', async () => {
        for (const key of hostile) await writer.put(key, key);
        for (const [i, start] of hostile.entries()) {
          for (const end of [...hostile.slice(i), null]) {
            const range = { start, end, single: false };
            const wanted = hostile.filter((key) => Buffer.compare(key, start) >= 0 && (end === null || Buffer.compare(key, end) < 0));
            const answer = await backend.range(query(range));
            expect((await recordsIn(answer)).map((kv) => kv.key.toString('hex'))).toEqual(wanted.map((key) => key.toString('hex')));
            expect([answer.count, answer.records, answer.more]).toEqual([wanted.length, wanted.length, false]);
          }
        }
      });

      it('holds exactly one key when it is single, and nothing when it ends before it starts', async () => {
        for (const key of hostile) await writer.put(key, key);
        for (const key of hostile) {
          expect((await recordsIn(await backend.range(query(singleKey(key))))).map((kv) => kv.key)).toEqual([key]);
        }
        expect(await texts(backend, query(singleKey(bytesOf('/none'))))).toEqual([]);
        expect(await texts(backend, query(keyRange(bytesOf('/b'), bytesOf('/a'))))).toEqual([]);
        expect(await texts(backend, query(keyRange(bytesOf('/a'), bytesOf('/a'))))).toEqual([]);
      });

      it('stops at the limit and counts on', async () => {
        for (let i = 0; i < 10; i++) await writer.put(`/k/${i}`, `${i}`);
        for (const limit of [1, 3, 9, 10, 11]) {
          const answer = await backend.range(query(prefixRange(bytesOf('/k/')), { limit }));
          const found = await recordsIn(answer);
          expect({ ...answer, blocks: [], rest: undefined, found: found.length }).toMatchObject({
            count: 10,
            more: limit < 10,
            records: Math.min(limit, 10),
            found: Math.min(limit, 10),
            lastRevision: writer.lastRevision,
          });
        }
      });

      it('tells no count that nobody asked for, or the right one', async () => {
        for (let i = 0; i < 10; i++) await writer.put(`/k/${i}`, `${i}`);
        const cut = await backend.range(query(EVERYTHING, { limit: 4, count: false }));
        expect([null, 10]).toContain(cut.count);
        expect(cut.more).toBe(true);
        const whole = await backend.range(query(EVERYTHING, { limit: 10, count: false }));
        expect([whole.count ?? whole.records, whole.more]).toEqual([10, false]);
      });

      it('walks in pages from behind the last key', async () => {
        const keys = Array.from({ length: 23 }, (_, i) => `/k/${String(i * 7).padStart(3, '0')}`);
        await writer.commit(keys.map((key) => ({ put: key })));
        const end = prefixRange(bytesOf('/k/')).end;
        const walked: string[] = [];
        let start: Buffer = bytesOf('/k/');
        for (;;) {
          const answer = await backend.range(query({ start, end, single: false }, { limit: 5, revision: writer.lastRevision }));
          const page = await recordsIn(answer);
          expect(answer.count).toBe(keys.length - walked.length);
          walked.push(...page.map((kv) => kv.key.toString()));
          if (!answer.more) break;
          start = Buffer.concat([page.at(-1)?.key ?? start, Buffer.from([0])]);
        }
        expect(walked).toEqual(keys);
      });

      it('leaves the values out for keysOnly and everything for countOnly', async () => {
        await writer.put('/a', 'one', 7n);
        await writer.put('/a', 'two', 7n);
        await writer.put('/b', 'three');
        const [a] = await recordsIn(await backend.range(query(EVERYTHING, { keysOnly: true, limit: 1 })));
        expect(a).toEqual({ key: bytesOf('/a'), value: Buffer.alloc(0), createRevision: 2n, modRevision: 3n, version: 2n, lease: 7n });
        const counted = await backend.range(query(EVERYTHING, { countOnly: true }));
        expect({ ...counted, rest: null }).toEqual({
          lastRevision: 4n,
          count: 2,
          more: false,
          records: 0,
          bytes: 0,
          blocks: [],
          rest: null,
        });
      });

      it('tells the bytes that it sends', async () => {
        for (let i = 0; i < 50; i++) await writer.put(`/k/${i}`, Buffer.alloc(i * 997, i));
        for (const options of [{}, { limit: 20 }, { keysOnly: true }]) {
          const answer = await backend.range(query(EVERYTHING, options));
          let bytes = 0;
          for (const block of await blocksOf(answer)) bytes += block.length;
          expect(bytes).toBe(answer.bytes);
        }
      });

      it('answers as of any revision, also one that another backend used', async () => {
        await writer.put('/a', 'one');
        await writer.put('/b', 'two');
        writer.skip(3);
        await writer.put('/a', 'three');
        await writer.delete('/b');
        await writer.put('/b', 'four');
        const at: string[][] = [];
        for (let revision = 1n; revision <= writer.lastRevision; revision++) at.push(await texts(backend, query(EVERYTHING, { revision })));
        expect(at).toEqual([
          [],
          ['/a=one 2/2 v1'],
          ['/a=one 2/2 v1', '/b=two 3/3 v1'],
          ['/a=one 2/2 v1', '/b=two 3/3 v1'],
          ['/a=one 2/2 v1', '/b=two 3/3 v1'],
          ['/a=one 2/2 v1', '/b=two 3/3 v1'],
          ['/a=three 2/7 v2', '/b=two 3/3 v1'],
          ['/a=three 2/7 v2'],
          ['/a=three 2/7 v2', '/b=four 9/9 v1'],
        ]);
      });

      it('reads, limits and counts at every revision of a long history', async () => {
        const random = new Random(11);
        await writeAtRandom(writer, random, 300);
        const range = prefixRange(bytesOf('/registry/'));
        for (let i = 0; i < 60; i++) {
          const revision = random.pick(writer.revisions);
          const wanted = writer.live(range, revision);
          const limit = random.below(wanted.length + 3);
          const answer = await backend.range(query(range, { revision, limit }));
          const cut = limit > 0 && limit < wanted.length;
          expect((await recordsIn(answer)).map(kvText)).toEqual((cut ? wanted.slice(0, limit) : wanted).map(kvText));
          expect([answer.count, answer.more, answer.lastRevision]).toEqual([wanted.length, cut, writer.lastCommitted]);
          expect((await backend.range(query(range, { revision, countOnly: true }))).count).toBe(wanted.length);
        }
      });

      it('shows a write together with its revision, never one without the other', async () => {
        await writer.put('/a', '1');
        let isDone = false;
        const reading = (async () => {
          while (!isDone) {
            const answer = await backend.range(query(EVERYTHING));
            const [kv] = await recordsIn(answer);
            expect(kv?.modRevision).toBe(answer.lastRevision);
            const { heads, lastRevision } = await backend.load([bytesOf('/a')]);
            expect(heads[0] && revisionOf(heads[0].id)).toBe(lastRevision);
          }
        })();
        for (let i = 0; i < 60; i++) await writer.put('/a', `${i}`);
        isDone = true;
        await reading;
      });
    });

    describe('a large range', () => {
      const value = Buffer.alloc(40_000, 1);

      beforeEach(async () => {
        for (let i = 0; i < 10; i++) {
          await writer.commit(Array.from({ length: 20 }, (_, j) => ({ put: `/big/${String(i * 20 + j).padStart(4, '0')}`, value })));
        }
      });

      it('is read from one snapshot while commits go on', async () => {
        const wanted = writer.live(prefixRange(bytesOf('/big/'))).map(kvText);
        const answer = await backend.range(query(prefixRange(bytesOf('/big/'))));
        await writer.commit([{ put: '/big/0000', value: 'changed' }, { delete: '/big/0199' }, { put: '/big/0100x', value: 'new' }]);
        const read: string[] = [];
        for (const block of answer.blocks) for (const record of recordsOf(block)) read.push(kvText(decodeKeyValue(record)));
        if (answer.rest !== undefined) {
          for await (const block of answer.rest) {
            for (const record of recordsOf(block)) read.push(kvText(decodeKeyValue(record)));
            if (read.length % 3 === 0) await writer.put('/big/0150', `${read.length}`);
          }
        }
        expect(read).toEqual(wanted);
        expect([answer.records, answer.count, answer.more]).toEqual([200, 200, false]);
      });

      it('is read whole at an old revision while its history is compacted', async () => {
        const revision = writer.lastRevision;
        const wanted = writer.live(prefixRange(bytesOf('/big/'))).map(kvText);
        for (let i = 0; i < 200; i += 2) await writer.delete(`/big/${String(i).padStart(4, '0')}`);
        const answer = await backend.range(query(prefixRange(bytesOf('/big/')), { revision }));
        await compact(writer.lastRevision);
        expect((await recordsIn(answer)).map(kvText)).toEqual(wanted);
      });

      it('gives its snapshot up when it is returned, before and after the first block', async () => {
        for (let i = 0; i < 30; i++) {
          const answer = await backend.range(query(EVERYTHING));
          if (i % 2 === 0) await answer.rest?.next();
          await answer.rest?.return();
          expect((await answer.rest?.next())?.done ?? true).toBe(true);
        }
        const answers = await Promise.all(Array.from({ length: 4 }, () => backend.range(query(EVERYTHING))));
        await writer.put('/big/0000', 'while several are open');
        for (const answer of answers) await answer.rest?.return();
        expect(await texts(backend, query(singleKey(bytesOf('/big/0000'))))).toEqual([expect.stringContaining('while several are open')]);
      });
    });

    describe('counts of resources', () => {
      const resources = ['/registry/pods/', '/registry/services/specs/', '/registry/shop.example.com/users/'].map(bytesOf);

      async function expectExactCounts(): Promise<void> {
        for (const prefix of [...resources, ...resources.map((resource) => Buffer.concat([resource, bytesOf('n1/')]))]) {
          const range = prefixRange(prefix);
          const wanted = writer.live(range).length;
          const counted = await backend.range(query(range, { countOnly: true }));
          const page = await backend.range(query(range, { limit: 2 }));
          expect([prefix.toString(), counted.count, page.count]).toEqual([prefix.toString(), wanted, wanted]);
        }
      }

      it('are exact through creates, updates, deletes, re-creations, failed commits and a reopen', async () => {
        const random = new Random(5);
        for (let round = 0; round < 4; round++) {
          for (let i = 0; i < 30; i++) {
            const writes = Array.from({ length: 1 + random.below(3) }, (_, j): Write => {
              const key = `${random.pick(resources).toString()}n${j}/k${random.below(6)}`;
              return random.chance(0.35) && writer.live(singleKey(bytesOf(key))).length > 0 ? { delete: key } : { put: key, value: `${i}` };
            });
            await writer.commit(writes);
          }
          const { batch } = writer.prepare([{ put: '/registry/pods/n1/never' }], [{ put: '/registry/pods/n1/nor this' }]);
          const [first, second] = batch.rows;
          if (first === undefined || second === undefined) throw new Error('two rows were prepared');
          await expect(backend.commit({ ...batch, rows: [first, { ...second, id: first.id }] })).rejects.toThrow();
          await expectExactCounts();
          if (round === 1) await compact(writer.lastCommitted);
          await reopen();
          await expectExactCounts();
        }
      });

      it('are exact when one batch creates, deletes and creates a key again', async () => {
        const key = '/registry/pods/n1/a';
        expect(countedPrefix(bytesOf(key))?.toString()).toBe('/registry/pods/');
        await writer.commit(
          [{ put: key }],
          [{ delete: key }],
          [{ put: key }],
          [{ put: key }],
          [{ put: `${key}2` }],
          [{ delete: `${key}2` }],
        );
        await expectExactCounts();
        await writer.commit([{ delete: key }], [{ put: key }], [{ delete: key }]);
        await expectExactCounts();
      });

      it('are exact for keys that lie beside a counted prefix', async () => {
        for (const key of [
          '/registry/pods',
          '/registry/pods0',
          '/registry/',
          '/registry/pods/',
          '/registry/shop.example.com/users',
          '/registry/services/x',
        ]) {
          await writer.put(key);
        }
        await expectExactCounts();
        await writer.delete('/registry/pods/');
        await expectExactCounts();
      });
    });

    describe('changes', () => {
      async function changes(query: Partial<ChangesQuery>): Promise<{ changes: readonly string[]; through: Revision }> {
        const answer = await backend.changes({
          range: EVERYTHING,
          after: 0n,
          through: writer.lastRevision,
          maxBytes: MANY_BYTES,
          ...query,
        });
        return { changes: answer.changes.map(changeText), through: answer.through };
      }

      it('tell what was written, replaced and deleted', async () => {
        await writer.put('/a', 'one');
        await writer.put('/a', 'two');
        await writer.delete('/a');
        await writer.put('/a', 'three');
        expect(await changes({})).toEqual({
          changes: [
            'put /a=one 2/2 v1',
            'put /a=two 2/3 v2 was /a=one 2/2 v1',
            'delete /a= 0/4 v0 was /a=two 2/3 v2',
            'put /a=three 5/5 v1',
          ],
          through: 5n,
        });
      });

      it('begin behind `after` and end with `through`', async () => {
        for (let i = 2; i <= 6; i++) await writer.put('/a', `${i}`);
        const revisions = async (after: bigint, through: bigint): Promise<bigint[]> => {
          const answer = await backend.changes({ range: EVERYTHING, after, through, maxBytes: MANY_BYTES });
          expect(answer.through).toBe(through);
          return answer.changes.map((change) => revisionOf(change.id));
        };
        expect(await revisions(0n, 6n)).toEqual([2n, 3n, 4n, 5n, 6n]);
        expect(await revisions(2n, 4n)).toEqual([3n, 4n]);
        expect(await revisions(5n, 6n)).toEqual([6n]);
        expect(await revisions(6n, 6n)).toEqual([]);
        expect(await revisions(1n, 2n)).toEqual([2n]);
      });

      it('are those of the range, and reach to `through` when there are none', async () => {
        await writer.put('/a', 'one');
        await writer.put('/b', 'two');
        await writer.put('/c', 'three');
        writer.skip(5);
        expect(await changes({ range: singleKey(bytesOf('/b')) })).toEqual({ changes: ['put /b=two 3/3 v1'], through: 9n });
        expect(await changes({ range: keyRange(bytesOf('/b'), bytesOf('/d')) })).toMatchObject({
          changes: ['put /b=two 3/3 v1', 'put /c=three 4/4 v1'],
        });
        expect(await changes({ range: prefixRange(bytesOf('/x/')) })).toEqual({ changes: [], through: 9n });
        expect(await changes({ range: prefixRange(bytesOf('/x/')), maxBytes: 1 })).toEqual({ changes: [], through: 9n });
      });

      it('find hostile keys by their exact bytes', async () => {
        const keys = ['/a', '/a\0', '/A', '/a%', '/a_', '/ab', '/a/'].map(bytesOf);
        await writer.commit(keys.map((key) => ({ put: key })));
        await writer.commit(keys.map((key) => ({ put: key, value: 'again' })));
        for (const key of keys) {
          const answer = await backend.changes({ range: singleKey(key), after: 0n, through: 3n, maxBytes: MANY_BYTES });
          expect(answer.changes.map((change) => change.key.toString('latin1'))).toEqual([key, key].map((k) => k.toString('latin1')));
          expect(answer.changes.map((change) => change.prevRecord && decodeKeyValue(change.prevRecord).key.equals(key))).toEqual([
            null,
            true,
          ]);
        }
      });

      it('are cut between revisions only, and nothing is lost over the cuts', async () => {
        await writer.commit([{ put: '/a', value: 'x'.repeat(3000) }, { put: '/b', value: 'x'.repeat(3000) }, { put: '/c' }]);
        await writer.commit([{ put: '/a' }], [{ put: '/b' }], [{ put: '/a' }, { put: '/b' }]);
        for (const maxBytes of [1, 100, 3100, 6500, MANY_BYTES]) {
          const seen: string[] = [];
          let cuts = 0;
          for (let after = 0n; after < writer.lastRevision; cuts++) {
            const answer = await backend.changes({ range: EVERYTHING, after, through: writer.lastRevision, maxBytes });
            expect(answer.through).toBeGreaterThan(after);
            for (const change of answer.changes) {
              expect(revisionOf(change.id)).toBeGreaterThan(after);
              expect(revisionOf(change.id)).toBeLessThanOrEqual(answer.through);
              seen.push(`${revisionOf(change.id)}${change.key.toString()}`);
            }
            after = answer.through;
          }
          expect(seen).toEqual(['2/a', '2/b', '2/c', '3/a', '4/b', '5/a', '5/b']);
          if (maxBytes === 1) expect(cuts).toBe(4);
          if (maxBytes === MANY_BYTES) expect(cuts).toBe(1);
        }
      });

      it('do not tell what comes after `through`', async () => {
        await writer.put('/a', 'one');
        await writer.put('/a', 'two');
        expect(await changes({ through: 2n })).toEqual({ changes: ['put /a=one 2/2 v1'], through: 2n });
      });
    });

    describe('compact', () => {
      /** `/a` 2 4 6, `/b` 3 and deleted at 5, `/c` 7 and deleted at 8, `/d` 9. */
      beforeEach(async () => {
        await writer.put('/a', 'a2');
        await writer.put('/b', 'b3');
        await writer.put('/a', 'a4');
        await writer.delete('/b');
        await writer.put('/a', 'a6');
        await writer.put('/c', 'c7');
        await writer.delete('/c');
        await writer.put('/d', 'd9');
      });

      it('keeps every state from its revision on', async () => {
        for (const revision of [2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n]) {
          await compact(revision);
          for (let at = revision; at <= 9n; at++) {
            expect(await texts(backend, query(EVERYTHING, { revision: at }))).toEqual(writer.live(EVERYTHING, at).map(kvText));
            expect((await backend.range(query(EVERYTHING, { revision: at, countOnly: true }))).count).toBe(
              writer.live(EVERYTHING, at).length,
            );
          }
        }
      });

      it('keeps what a watch from its revision on tells, the replaced records too', async () => {
        const all = (await backend.changes({ range: EVERYTHING, after: 0n, through: 9n, maxBytes: MANY_BYTES })).changes.map(changeText);
        for (const revision of [2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n]) {
          await compact(revision);
          const answer = await backend.changes({ range: EVERYTHING, after: revision - 1n, through: 9n, maxBytes: MANY_BYTES });
          expect(answer.changes.map(changeText)).toEqual(all.slice(Number(revision) - 2));
        }
      });

      it('removes the rest', async () => {
        await compact(8n);
        const { changes } = await backend.changes({ range: EVERYTHING, after: 0n, through: 9n, maxBytes: MANY_BYTES });
        // `a6` lives, and a watch from 8 needs the deletion of `/c` and what it deleted.
        expect(changes.map((change) => `${revisionOf(change.id)}${change.key.toString()}`)).toEqual(['6/a', '7/c', '8/c', '9/d']);
      });

      it('removes a tombstone below its revision with the whole key', async () => {
        await compact(9n);
        const { changes } = await backend.changes({ range: EVERYTHING, after: 0n, through: 9n, maxBytes: MANY_BYTES });
        expect(changes.map((change) => `${revisionOf(change.id)}${change.key.toString()}`)).toEqual(['6/a', '9/d']);
      });

      it('lets a read that it has overtaken come to an end, whatever that finds', async () => {
        await writer.put('/z', 'z10');
        await writer.put('/a', 'a11');
        await writer.put('/a', 'a12');
        await compact(12n);
        for (let revision = 2n; revision <= 12n; revision++) {
          for (const how of [{}, { limit: 1 }, { limit: 2 }, { keysOnly: true, limit: 1 }, { countOnly: true }]) {
            const { rest } = await backend.range(query(EVERYTHING, { revision, ...how }));
            await rest?.return();
          }
        }
      });

      it('does nothing at a revision below an earlier one, and nothing twice', async () => {
        await compact(6n);
        const before = await backend.changes({ range: EVERYTHING, after: 0n, through: 9n, maxBytes: MANY_BYTES });
        await backend.compact(6n, new AbortController().signal);
        await backend.compact(3n, new AbortController().signal);
        expect(await backend.changes({ range: EVERYTHING, after: 0n, through: 9n, maxBytes: MANY_BYTES })).toEqual(before);
      });

      it('lets commits pass, and their revisions stay', async () => {
        for (let i = 0; i < 400; i++) await writer.commit([{ put: '/hot', value: `${i}` }], [{ put: `/k/${i % 50}`, value: `${i}` }]);
        const revision = writer.lastRevision;
        const compaction = compact(revision);
        for (let i = 0; i < 30; i++) await writer.commit([{ put: '/hot', value: `again ${i}` }], [{ delete: `/k/${i}` }]);
        await compaction;
        for (const at of [revision, writer.lastRevision]) {
          expect(await texts(backend, query(EVERYTHING, { revision: at }))).toEqual(writer.live(EVERYTHING, at).map(kvText));
        }
      });

      it('removes a long history through and through', async () => {
        for (let i = 0; i < 20; i++)
          await writer.commit(...Array.from({ length: 150 }, (_, j): Write[] => [{ put: `/k/${j}`, value: `${i}` }]));
        await writer.commit(Array.from({ length: 100 }, (_, j): Write => ({ delete: `/k/${j}` })));
        const revision = writer.lastRevision;
        await writer.put('/last');
        await compact(revision + 1n);
        const { changes } = await backend.changes({
          range: prefixRange(bytesOf('/k/')),
          after: 0n,
          through: writer.lastRevision,
          maxBytes: MANY_BYTES,
        });
        expect(changes.length).toBe(50);
        expect(changes.every((change) => !change.isDelete)).toBe(true);
      });

      it('ends soon when it is aborted and can be taken up again', async () => {
        const aborted = new AbortController();
        aborted.abort();
        await backend.compact(9n, aborted.signal).catch(() => undefined);
        await compact(9n);
        const { changes } = await backend.changes({ range: EVERYTHING, after: 0n, through: 9n, maxBytes: MANY_BYTES });
        expect(changes.length).toBe(2);
      });

      it('is taken up again after a reopen', async () => {
        await compact(4n);
        await reopen();
        await compact(9n);
        expect(await texts(backend, query(EVERYTHING))).toEqual(['/a=a6 2/6 v3', '/d=d9 9/9 v1']);
      });
    });

    describe('keys of leases', () => {
      it('are the live ones that were last put with the lease', async () => {
        await writer.put('/b', 'x', 5n);
        await writer.put('/a', 'x', 5n);
        await writer.put('/c', 'x', 6n);
        await writer.put('/d', 'x');
        const keys = async (lease: bigint, limit = 100): Promise<string[]> =>
          (await backend.keysOfLease(lease, limit)).map((key) => key.toString());
        expect(await keys(5n)).toEqual(['/a', '/b']);
        expect(await keys(5n, 1)).toEqual(['/a']);
        await writer.put('/a', 'x', 6n);
        await writer.put('/b', 'x');
        await writer.delete('/c');
        expect([await keys(5n), await keys(6n), await keys(0n + 7n)]).toEqual([[], ['/a'], []]);
        expect(await backend.leasesInUse()).toEqual([6n]);
        await writer.commit([{ delete: '/a' }], [{ put: '/a', lease: 9n }]);
        expect([await keys(6n), await keys(9n)]).toEqual([[], ['/a']]);
        await reopen();
        expect([await keys(6n), await keys(9n)]).toEqual([[], ['/a']]);
      });

      it('stay through a compaction', async () => {
        await writer.put('/a', 'x', 5n);
        await writer.put('/b', 'x', 6n);
        await writer.delete('/b');
        await writer.put('/c', 'x');
        await compact(writer.lastRevision);
        expect(await backend.keysOfLease(5n, 10)).toEqual([bytesOf('/a')]);
        expect(await backend.leasesInUse()).toEqual([5n]);
      });
    });

    describe('as the control store', () => {
      it('makes a store at revision 1 once', async () => {
        expect(control).toMatchObject({ reservedRevision: 1n, compactRevision: 0n, leases: [] });
        expect(control.clusterId).toBeGreaterThan(0n);
        expect(control.clusterId).toBeLessThan(2n ** 64n);
        expect(control.storeId).toMatch(/^[0-9a-f-]{36}$/);
        const { clusterId, storeId, epoch } = control;
        await reopen();
        expect(control).toMatchObject({ clusterId, storeId, reservedRevision: 1n });
        expect(control.epoch).toBeGreaterThan(epoch);
      });

      it('begins one epoch for those who have seen the same writer', async () => {
        const seen = await backend.writer();
        expect(seen).toMatchObject({ epoch: control.epoch, renewals: 0n, isReleased: false });
        const [one, other] = [someWriter(15_000), { ...someWriter(700), address: '10.0.0.7:2379' }];
        const begun = await Promise.all([backend.begin(one, seen), backend.begin(other, seen)]);
        const states = begun.filter((state) => state !== null);
        expect(states).toHaveLength(1);
        const winner = begun[0] === null ? other : one;
        expect(await backend.writer()).toEqual({ ...winner, epoch: states[0]?.epoch, renewals: 0n, isReleased: false });
        expect(await backend.begin(other, null)).toBeNull();
        await takeAnew();
      });

      it('begins nothing for somebody who has not seen a renewal, or the end of the lease', async () => {
        const begun = await backend.writer();
        await backend.renew(new Map());
        const renewed = await backend.writer();
        expect(renewed).toEqual({ ...begun, renewals: 1n });
        expect(await backend.begin(someWriter(), begun)).toBeNull();
        await backend.release();
        expect(await backend.writer()).toEqual({ ...renewed, isReleased: true });
        expect(await backend.begin(someWriter(), renewed)).toBeNull();
        await takeAnew();
        expect(await backend.writer()).toMatchObject({ epoch: control.epoch, renewals: 0n, isReleased: false });
      });

      it('knows who wrote last after a reopen', async () => {
        const self = { ...someWriter(4_321), address: 'router-1.example.com:2379' };
        control = await takeOver(backend, self);
        await backend.claim(control);
        await backend.renew(new Map());
        await backend.renew(new Map());
        await backend.close();
        isOpen = false;
        backend = await database.open();
        isOpen = true;
        expect(await backend.writer()).toEqual({ ...self, epoch: control.epoch, renewals: 2n, isReleased: false });
        await takeAnew();
      });

      it('keeps the marks of the last renewal, all of them', async () => {
        expect(control.marks).toEqual(new Map());
        await backend.renew(new Map([['5f0c3c1e-0000-4000-8000-000000000001', 7n]]));
        const marks = new Map(
          Array.from({ length: 300 }, (_, i): [string, bigint] => [
            `5f0c3c1e-0000-4000-8000-${String(i).padStart(12, '0')}`,
            2n ** 43n - 1n - BigInt(i),
          ]),
        );
        await backend.renew(marks);
        await backend.reserve(100n);
        await backend.release();
        await reopen();
        expect(control.marks).toEqual(marks);
        await backend.renew(new Map([['other', 3n]]));
        await reopen();
        expect(control.marks).toEqual(new Map([['other', 3n]]));
      });

      it('keeps what it was told over a reopen', async () => {
        await backend.reserve(100_001n);
        await backend.setCompactRevision(77n);
        const lease = { id: 2n ** 63n - 1n, ttl: 9_000_000_000n, expiresAt: 1_900_000_000_123, renewed: false };
        await backend.saveLease(lease);
        await backend.saveLease({ id: 5n, ttl: 10n, expiresAt: 1_900_000_000_000, renewed: false });
        await backend.saveLease({ id: 6n, ttl: 10n, expiresAt: 1_900_000_000_000, renewed: false });
        await backend.saveLease({ id: 5n, ttl: 10n, expiresAt: 1_900_000_111_111, renewed: true });
        await backend.removeLease(6n);
        await backend.removeLease(6n);
        await reopen();
        expect(control).toMatchObject({ reservedRevision: 100_001n, compactRevision: 77n });
        expect([...control.leases].sort((a, b) => Number(a.ttl - b.ttl))).toEqual([
          { id: 5n, ttl: 10n, expiresAt: 1_900_000_111_111, renewed: true },
          lease,
        ]);
      });

      it('takes a lower reservation back, as a clean stop writes it', async () => {
        await backend.reserve(100_001n);
        await backend.reserve(17n);
        await reopen();
        expect(control.reservedRevision).toBe(17n);
      });

      it('writes its records beside commits that are under way', async () => {
        const work: Promise<unknown>[] = [];
        for (let i = 0; i < 20; i++) {
          work.push(backend.saveLease({ id: BigInt(i + 1), ttl: 10n, expiresAt: i, renewed: false }), backend.reserve(BigInt(1000 + i)));
          await writer.put(`/k/${i}`, `${i}`);
        }
        await Promise.all(work);
        await reopen();
        expect([control.leases.length, control.reservedRevision]).toEqual([20, 1019n]);
      });
    });

    describe('size', () => {
      it('is that of the data', async () => {
        const before = await backend.size();
        expect(before.bytes).toBeGreaterThan(0);
        await writer.commit(Array.from({ length: 100 }, (_, i) => ({ put: `/k/${i}`, value: Buffer.alloc(10_000, i) })));
        const after = await backend.size();
        expect(after.bytes).toBeGreaterThan(500_000);
        expect(after.inUse).toBeGreaterThan(500_000);
        expect(after.inUse).toBeLessThanOrEqual(after.bytes);
      });
    });

    it.each([1, 2, 3])('holds every state of a random history (seed %i)', async (seed) => {
      const random = new Random(seed);
      for (let round = 0; round < 5; round++) {
        await writeAtRandom(writer, random, 60);
        if (random.chance(0.4)) await reopen();
        if (random.chance(0.6)) {
          const history = writer.revisions.filter((revision) => revision > compacted);
          await compact(random.pick(history));
        }
        await checkInvariants(backend, writer, compacted);
      }
    });
  });
}

function query(range: KeyRange, options: Partial<RangeQuery> = {}): RangeQuery {
  return { range, revision: 0n, limit: 0, keysOnly: false, countOnly: false, count: true, ...options };
}

async function blocksOf(answer: RangeAnswer): Promise<Buffer[]> {
  const blocks = [...answer.blocks];
  if (answer.rest !== undefined) for await (const block of answer.rest) blocks.push(block);
  return blocks;
}

async function recordsIn(answer: RangeAnswer): Promise<KeyValue[]> {
  return (await blocksOf(answer)).flatMap((block) => [...recordsOf(block)].map(decodeKeyValue));
}

async function texts(backend: Backend, rangeQuery: RangeQuery): Promise<string[]> {
  return (await recordsIn(await backend.range(rangeQuery))).map(kvText);
}

/** Key, value, create and mod revision, version, lease: short values as they are, long ones by their length. */
function kvText({ key, value, createRevision, modRevision, version, lease }: KeyValue): string {
  const shown = value.length > 40 ? `(${value.length} bytes)` : value.toString('latin1');
  return `${key.toString('latin1')}=${shown} ${createRevision}/${modRevision} v${version}${lease === 0n ? '' : ` lease ${lease}`}`;
}

function changeText(change: Change): string {
  const record = decodeKeyValue(change.record);
  expect(record.key.equals(change.key)).toBe(true);
  expect(record.modRevision).toBe(revisionOf(change.id));
  const was = change.prevRecord === null ? '' : ` was ${kvText(decodeKeyValue(change.prevRecord))}`;
  return `${change.isDelete ? 'delete' : 'put'} ${kvText(record)}${was}`;
}

const RANDOM_KEYS = Array.from(
  { length: 12 },
  (_, i) => `/registry/${i % 3 === 0 ? 'pods' : i % 3 === 1 ? 'shop.example.com/users' : 'services/specs'}/ns${i % 2}/k${i}`,
);

async function writeAtRandom(writer: BatchWriter, random: Random, batches: number): Promise<void> {
  for (let i = 0; i < batches; i++) {
    const live = new Set(writer.live(EVERYTHING).map((kv) => kv.key.toString()));
    const txns = Array.from({ length: 1 + random.below(3) }, () => {
      const keys = new Set(Array.from({ length: random.chance(0.8) ? 1 : 4 }, () => random.pick(RANDOM_KEYS)));
      return [...keys].map((key): Write => {
        if (live.has(key) && random.chance(0.3)) {
          live.delete(key);
          return { delete: key };
        }
        live.add(key);
        return { put: key, value: `${i} ${'x'.repeat(random.below(100))}`, lease: random.chance(0.2) ? BigInt(1 + random.below(3)) : 0n };
      });
    });
    await writer.commit(...txns);
    if (random.chance(0.2)) writer.skip(random.below(5));
  }
}

/** What the backend tells in its several ways has to be one and the same story, and that of the writer. */
async function checkInvariants(backend: Backend, writer: BatchWriter, compacted: Revision): Promise<void> {
  const last = writer.lastCommitted;
  const wanted = writer.live(EVERYTHING);
  const answer = await backend.range(query(EVERYTHING));
  expect((await recordsIn(answer)).map(kvText)).toEqual(wanted.map(kvText));
  expect([answer.count, answer.records, answer.more]).toEqual([wanted.length, wanted.length, false]);
  if (last > 1n) expect(answer.lastRevision).toBe(last);

  const { heads } = await backend.load(wanted.map((kv) => kv.key));
  expect(heads.map((head) => head && kvText(decodeKeyValue(head.record)))).toEqual(wanted.map(kvText));
  expect(heads.map((head) => head && revisionOf(head.id))).toEqual(wanted.map((kv) => kv.modRevision));

  // The log leads from the oldest state that can still be read to the newest.
  const start = compacted === 0n ? 1n : compacted;
  const state = new Map(writer.live(EVERYTHING, start).map((kv) => [kv.key.toString('latin1'), kvText(kv)]));
  expect((await texts(backend, query(EVERYTHING, { revision: start }))).sort()).toEqual([...state.values()].sort());
  const { changes, through } = await backend.changes({
    range: EVERYTHING,
    after: start,
    through: writer.lastRevision,
    maxBytes: MANY_BYTES,
  });
  expect(through).toBe(writer.lastRevision);
  let lastId = 0n;
  for (const change of changes) {
    expect(change.id).toBeGreaterThan(lastId);
    lastId = change.id;
    const key = change.key.toString('latin1');
    expect(change.prevRecord === null ? undefined : kvText(decodeKeyValue(change.prevRecord))).toEqual(state.get(key));
    if (change.isDelete) {
      expect(decodeKeyValue(change.record)).toEqual({
        key: change.key,
        value: Buffer.alloc(0),
        createRevision: 0n,
        modRevision: revisionOf(change.id),
        version: 0n,
        lease: 0n,
      });
      state.delete(key);
    } else {
      state.set(key, kvText(decodeKeyValue(change.record)));
    }
  }
  expect([...state.values()].sort()).toEqual(wanted.map(kvText).sort());

  const leases = new Set(wanted.map((kv) => kv.lease).filter((lease) => lease !== 0n));
  expect([...(await backend.leasesInUse())].sort()).toEqual([...leases].sort());
  for (const lease of leases) {
    const keys = await backend.keysOfLease(lease, 1_000_000);
    expect(keys.map(String)).toEqual(wanted.filter((kv) => kv.lease === lease).map((kv) => kv.key.toString()));
  }
}
