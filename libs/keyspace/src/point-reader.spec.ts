import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { LoadAnswer } from './backend.js';
import { PointReader } from './point-reader.js';

describe('PointReader', () => {
  /** A database whose loads are answered, or fail, when the test says so. */
  function pausedDatabase() {
    const loads: { readonly keys: string[]; readonly resolve: (answer: LoadAnswer) => void; readonly reject: (error: Error) => void }[] =
      [];
    const load = (keys: readonly Buffer[]): Promise<LoadAnswer> => {
      const { promise, resolve, reject } = Promise.withResolvers<LoadAnswer>();
      loads.push({ keys: keys.map(String), resolve, reject });
      return promise;
    };
    return { loads, load };
  }

  const answerTo = (keys: readonly string[]): LoadAnswer => ({
    lastRevision: 7n,
    heads: keys.map((key) => ({ id: 1n, record: Buffer.from(key) })),
  });

  it('loads what was asked for in one turn together, and what waits for a third load with it', async () => {
    const database = pausedDatabase();
    const reader = new PointReader(database);
    const reads = [reader.read(Buffer.from('a')), reader.read(Buffer.from('b'))];
    await nextTurn();
    for (const key of ['c', 'd', 'e']) {
      reads.push(reader.read(Buffer.from(key)));
      await nextTurn();
    }
    expect(database.loads.map(({ keys }) => keys)).toEqual([['a', 'b'], ['c']]);
    database.loads[1]?.resolve(answerTo(['c']));
    await nextTurn();
    await nextTurn();
    expect(database.loads.map(({ keys }) => keys)).toEqual([['a', 'b'], ['c'], ['d', 'e']]);
    for (const { keys, resolve } of database.loads) resolve(answerTo(keys));
    const found = await Promise.all(reads);
    expect(found.map(({ head, lastRevision }) => [String(head?.record), lastRevision])).toEqual(
      ['a', 'b', 'c', 'd', 'e'].map((key) => [key, 7n]),
    );
  });

  it('goes on after loads that failed', async () => {
    const database = pausedDatabase();
    const reader = new PointReader(database);
    for (const key of ['a', 'b']) {
      const read = reader.read(Buffer.from(key));
      await nextTurn();
      database.loads.at(-1)?.reject(new Error('away'));
      await expect(read).rejects.toThrow('away');
    }
    const read = reader.read(Buffer.from('c'));
    await nextTurn();
    await nextTurn();
    database.loads.at(-1)?.resolve(answerTo(['c']));
    expect(String((await read).head?.record)).toBe('c');
  });
});
