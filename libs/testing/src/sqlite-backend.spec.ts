import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, it } from '@jest/globals';
import { CommitUnknownError, keyRange } from '@harikube/keyspace';
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
      const tookPlace = await backend.resolve(lost.batch.lastRevision);
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
