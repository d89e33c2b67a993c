import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, it } from '@jest/globals';
import { CommitUnknownError, encodeKeyValue, frameRecord, keyRange, type RangeAnswer, recordsOf } from '@harikube/keyspace';
import { BatchWriter } from './batch-writer.js';
import { SqliteFiles } from './sqlite-files.js';
import { describeBackend } from './describe-backend.js';
import { takeOver } from './take-over.js';

const files = new SqliteFiles();

afterAll(() => files.close());

describeBackend('SqliteBackend', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'harikube-sqlite-'));
  return {
    open: () => files.open('main', join(directory, 'main.db')),
    remove: () => rm(directory, { recursive: true }),
    allowsSecondWriter: false,
  };
});

describe('SqliteBackend', () => {
  const everything = {
    range: keyRange(Buffer.from([0]), Buffer.from([0])),
    revision: 0n,
    keysOnly: false,
    countOnly: false,
    count: true,
    limit: 0,
  };

  async function inFolder(run: (file: string) => Promise<void>): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'harikube-sqlite-'));
    await run(join(directory, 'main.db'));
    await rm(directory, { recursive: true });
  }

  it('is not made the default database when it belongs to a store as one of the others', () =>
    inFolder(async (file) => {
      const backend = await files.open('a', file);
      await backend.claim({ storeId: 'store', epoch: 1n });
      await expect(takeOver(backend)).rejects.toThrow(/cannot be the default database: .* of the store store/);
      expect(await backend.claim({ storeId: 'store', epoch: 2n })).toEqual({ identity: backend.identity, lastRevision: 0n });
      await backend.close();
    }));

  it('refuses tables of a newer router, and opens them again when that has been undone', () =>
    inFolder(async (file) => {
      await (await files.open('main', file)).close();
      const database = new DatabaseSync(file);
      database.exec("INSERT INTO harikube_migrations (timestamp, name) VALUES (9, 'Later9')");
      await expect(files.open('main', file)).rejects.toMatchObject({
        name: 'RefusedDatabaseError',
        message: expect.stringMatching(/main\.db was brought up to date by a newer router: .* "Later9".*; use the newer router again/),
      });
      database.exec("DELETE FROM harikube_migrations WHERE name = 'Later9'");
      database.close();
      await (await files.open('main', file)).close();
    }));

  it('refuses the file of another program, and leaves it as it is', () =>
    inFolder(async (file) => {
      const database = new DatabaseSync(file);
      database.exec('CREATE TABLE kine (id INTEGER)');
      await expect(files.open('main', file)).rejects.toMatchObject({
        name: 'RefusedDatabaseError',
        message: expect.stringMatching(/main\.db is another program's database: it has the table "kine"; name a file of its own$/),
      });
      expect(database.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'kine' }]);
      expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'delete' });
      database.close();
    }));

  it('tells what an older file held at an older revision, whose index was another one', () =>
    inFolder(async (file) => {
      const backend = await files.open('main', file);
      const { storeId, epoch } = await takeOver(backend);
      await backend.claim({ storeId, epoch });
      const writer = new BatchWriter(backend);
      for (const key of ['/changed', '/removed', '/same']) await writer.put(key, 'first');
      const revision = writer.lastCommitted;
      await writer.put('/changed', 'second');
      await writer.delete('/removed');
      await writer.put('/new', 'first');
      await backend.close();
      const older = new DatabaseSync(file);
      older.exec(`DROP INDEX log_replacement; CREATE INDEX log_key ON log (key, id);
        DELETE FROM harikube_migrations WHERE name LIKE 'IndexReplacements%'`);
      older.close();
      const reopened = await files.open('main', file);
      const { count, blocks } = await reopened.range({ ...everything, revision });
      await reopened.close();
      const indexes = new DatabaseSync(file, { readOnly: true });
      expect(indexes.prepare(`SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'log'`).all()).toMatchObject([
        { name: 'log_replacement' },
      ]);
      indexes.close();
      const text = Buffer.concat(blocks).toString('latin1');
      expect([count, text.match(/first/g)?.length, text.includes('second'), text.includes('/new')]).toEqual([3, 3, false, false]);
    }));

  /** Reads the whole answer, and holds it against what was announced. */
  async function wholeOf(answer: RangeAnswer): Promise<{ records: number; announced: readonly number[]; bytes: number }> {
    const blocks = [...answer.blocks];
    for await (const block of answer.rest ?? []) blocks.push(Buffer.from(block));
    const records = blocks.reduce((sum, block) => sum + [...recordsOf(block)].length, 0);
    return { records, announced: [answer.records, answer.bytes], bytes: blocks.reduce((sum, block) => sum + block.length, 0) };
  }

  it('announces the length of large answers from a file whose heads had none', () =>
    inFolder(async (file) => {
      const backend = await files.open('main', file);
      const { storeId, epoch } = await takeOver(backend);
      await backend.claim({ storeId, epoch });
      const writer = new BatchWriter(backend);
      // Keys of a megabyte, so that an answer without values is a large one, too; values with lengths of one to three bytes.
      const keys = Array.from({ length: 8 }, (_, i) => Buffer.concat([Buffer.from(`/${i}/`), Buffer.alloc(1_000_000, 'k')]));
      const value = (i: number): Buffer => Buffer.alloc([0, 1, 127, 128, 16_383, 16_384][i % 6] as number);
      for (const [i, key] of keys.entries()) await writer.put(key, value(i), BigInt(i));
      const revision = writer.lastCommitted;
      await writer.put(keys[6] as Buffer, 'replaced');
      await writer.put(keys[7] as Buffer, Buffer.alloc(300));
      await backend.close();
      const older = new DatabaseSync(file);
      older.exec(`ALTER TABLE head DROP COLUMN record_bytes; ALTER TABLE head DROP COLUMN bare_bytes;
        DELETE FROM harikube_migrations WHERE name LIKE 'MeasureHeads%'`);
      older.close();
      const reopened = await files.open('main', file);
      for (const at of [0n, revision]) {
        for (const keysOnly of [false, true]) {
          const { records, announced, bytes } = await wholeOf(await reopened.range({ ...everything, revision: at, keysOnly }));
          expect([records, announced]).toEqual([8, [8, bytes]]);
        }
      }
      await reopened.close();
    }));

  it('lists records of every length as they were written, whatever their bytes, also those of an older revision', () =>
    inFolder(async (file) => {
      const backend = await files.open('main', file);
      const { storeId, epoch } = await takeOver(backend);
      await backend.claim({ storeId, epoch });
      const writer = new BatchWriter(backend);
      // Around the lengths whose varints get a byte longer; the last one takes four.
      const around = (first: number): number[] => Array.from({ length: 90 }, (_, i) => first + i);
      const valueOf = (size: number): Buffer => Buffer.alloc(size, Buffer.from(Array.from({ length: 256 }, (_, i) => (i + size) & 0xff)));
      const writes = [...around(60), 1000, ...around(16_320), 2_097_152].map((size) => ({ put: `/${1e8 + size}`, value: valueOf(size) }));
      await writer.commit(writes);
      const revision = writer.lastCommitted;
      await writer.commit(writes.map(({ put }) => ({ put, value: 'replaced' })));
      for (const at of [0n, revision]) {
        const answer = await backend.range({ ...everything, revision: at });
        const blocks = [...answer.blocks];
        for await (const block of answer.rest ?? []) blocks.push(Buffer.from(block));
        const expected = writer.live(everything.range, at).map((kv) => frameRecord(encodeKeyValue(kv)));
        expect(Buffer.concat(blocks).equals(Buffer.concat(expected))).toBe(true);
      }
      await backend.close();
    }));

  it('measures a large answer in steps, up to its limit', () =>
    inFolder(async (file) => {
      const backend = await files.open('main', file);
      const { storeId, epoch } = await takeOver(backend);
      await backend.claim({ storeId, epoch });
      const writer = new BatchWriter(backend);
      const large = Array.from({ length: 5 }, (_, i) => ({ put: `/a${i}`, value: Buffer.alloc(1_000_000) }));
      const small = Array.from({ length: 50_100 }, (_, i) => ({ put: `/b${i}` }));
      await writer.commit([...large, ...small]);
      const total = large.length + small.length;
      for (const limit of [0, total, 50_005]) {
        const answer = await backend.range({ ...everything, limit });
        const { records, announced, bytes } = await wholeOf(answer);
        const wanted = limit === 0 ? total : limit;
        expect([records, announced, answer.count, answer.more]).toEqual([wanted, [wanted, bytes], total, wanted < total]);
      }
      await backend.close();
    }));

  it('goes on after each of its threads was lost', () =>
    inFolder(async (file) => {
      const lossy = new SqliteFiles();
      const backend = await lossy.open('main', file);
      const { storeId, epoch } = await takeOver(backend);
      await backend.claim({ storeId, epoch });
      const writer = new BatchWriter(backend);
      for (let i = 0; i < 20; i++) await writer.put(`/big/${i}`, Buffer.alloc(600_000, i));
      const answer = await backend.range(everything);
      const lost = writer.prepare([{ put: '/a', value: 'lost or not' }]);
      const committing = backend.commit(lost.batch);
      await lossy.loseThreads();
      // It was told, or nobody knows: never that it certainly failed.
      await committing.catch((error: unknown) => expect(error).toBeInstanceOf(CommitUnknownError));
      const tookPlace = (await backend.resolve()) >= lost.batch.lastRevision;
      expect((await backend.load([Buffer.from('/a')])).heads[0] !== null).toBe(tookPlace);
      if (tookPlace) writer.tookPlace(lost);
      await writer.put('/b', 'x');
      const after = await backend.range(everything);
      // The answer from before has no snapshot any more, and gets nothing of another one's.
      await expect(answer.rest?.next()).rejects.toThrow(/lost/);
      let records = after.blocks.length;
      if (after.rest !== undefined) for await (const block of after.rest) records += block.length > 0 ? 1 : 0;
      expect([after.count, records > 1]).toEqual([tookPlace ? 22 : 21, true]);
      await backend.close();
      await lossy.close();
    }));

  it('answers nothing after it was closed, and leaves its file alone', () =>
    inFolder(async (file) => {
      const backend = await files.open('main', file);
      await backend.close();
      await expect(backend.size()).rejects.toThrow(/not open/);
      await expect(backend.load([])).rejects.toThrow(/not open/);
    }));
});
