import { afterEach, describe, expect, it } from '@jest/globals';
import { type BackendStatus, CommitUnknownError } from '@harikube/keyspace';
import { type HarnessOptions, KeyspaceHarness } from './keyspace-harness.js';
import { MemoryBackend, MemoryDatabase, type MemoryHooks } from './memory-backend.js';
import type { WatchRecorder } from './watch-recorder.js';

/** Databases that outlive every router, as a disk does. */
class Disk {
  readonly #databases = new Map<string, MemoryDatabase>();

  database(name: string): MemoryDatabase {
    let database = this.#databases.get(name);
    if (database === undefined) this.#databases.set(name, (database = new MemoryDatabase()));
    return database;
  }

  /** Another database comes under the name. */
  replace(name: string): void {
    this.#databases.delete(name);
  }

  async start(options: HarnessOptions = {}, hooks: MemoryHooks = {}): Promise<KeyspaceHarness> {
    const openBackend = async (name: string): Promise<MemoryBackend> => new MemoryBackend(name, this.database(name), hooks);
    const harness = await KeyspaceHarness.open({ others: ['user'], open: openBackend, ...options });
    open.push(harness);
    return harness;
  }
}

const open: KeyspaceHarness[] = [];

afterEach(async () => {
  for (const harness of open.splice(0)) await harness.close();
});

function users(harness: KeyspaceHarness): BackendStatus {
  const found = harness.keyspace.backendStatus().find(({ name }) => name === 'user');
  if (found === undefined) throw new Error('there is no backend of users');
  return found;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const RESTORED = /"user" is unavailable: the database of backend "user" holds revision 2, but it had revision 4: .*restore the right copy/;

describe('a database that is replaced by an older copy of itself while it is used', () => {
  /** Users at revision 4 are back at revision 2. */
  async function rollBack(options: HarnessOptions = {}): Promise<{ harness: KeyspaceHarness; disk: Disk; right: MemoryDatabase }> {
    const disk = new Disk();
    const harness = await disk.start({ cacheBytes: 0, eventBytes: 0, ...options });
    await harness.put('/user/a', 'one'); // 2
    const older = disk.database('user').copy();
    await harness.put('/b', 'x'); // 3
    await harness.put('/user/a', 'two'); // 4
    const right = disk.database('user').copy();
    disk.database('user').restore(older);
    return { harness, disk, right };
  }

  it.each<[string, (harness: KeyspaceHarness) => Promise<unknown>]>([
    ['a get', (harness) => harness.get('/user/a')],
    ['a list', (harness) => harness.list('/user/')],
    ['a list over several backends', (harness) => harness.list('')],
    ['a read of the past', (harness) => harness.list('/user/', { revision: 3n })],
    ['a put', (harness) => harness.put('/user/new', 'x')],
    ['a creation', (harness) => harness.create('/user/new', 'x')],
    ['a compare', (harness) => harness.update('/user/a', 'x', 2n)],
    ['a DeleteRange', (harness) => harness.delete('/user/', true)],
  ])('is refused by name when %s comes upon it, and is taken up when the right copy is back', async (_name, ask) => {
    const { harness, disk, right } = await rollBack();
    const recorder = harness.watch('/user/');
    await expect(ask(harness)).rejects.toThrow(RESTORED);
    await expect(harness.get('/user/a')).rejects.toThrow(RESTORED);
    await expect(harness.put('/user/a', 'x')).rejects.toThrow(RESTORED);
    expect(users(harness)).toMatchObject({ isReady: false, problem: expect.stringMatching(/holds revision 2, but it had revision 4/) });
    expect(disk.database('user').lastRevision).toBe(2n);
    const other = await harness.put('/b', 'y');
    expect((await harness.list('/b')).revision).toBe(other);
    disk.database('user').restore(right);
    await until(() => users(harness).isReady);
    expect((await harness.get('/user/a')).kv?.modRevision).toBe(4n);
    const next = await harness.put('/user/a', 'three');
    await recorder.until(() => recorder.reached() >= next);
    expect(recorder.texts()).toEqual(['created 0 at 4', `events 0: /user/a=three@${next}`]);
  });

  it('tells a watch of the past nothing wrong, and everything when the right copy is back', async () => {
    const { harness, disk, right } = await rollBack();
    const recorder = harness.watch('/user/', { startRevision: 2n });
    await until(() => !users(harness).isReady);
    expect(recorder.events()).toEqual([]);
    disk.database('user').restore(right);
    await recorder.until(() => recorder.reached() >= 4n);
    expect(recorder.events().map(({ value, revision }) => `${value}@${revision}`)).toEqual(['one@2', 'two@4']);
  });

  /** Users at revision 4, of which nobody was told, are back at revision 2; the watch of them began at 3. */
  async function rollBackUnknown(options: HarnessOptions = {}): Promise<{
    harness: KeyspaceHarness;
    disk: Disk;
    recorder: WatchRecorder;
    right: MemoryDatabase;
  }> {
    const disk = new Disk();
    let isLost = false;
    const hooks: MemoryHooks = {
      afterCommit: ({ rows }) => {
        if (!rows.some(({ value }) => value.toString() === 'unknown')) return;
        isLost = true;
        throw new CommitUnknownError('connection lost');
      },
      beforeResolve: () => {
        if (isLost) throw new Error('connection refused');
      },
    };
    const harness = await disk.start({ cacheBytes: 0, eventBytes: 0, ...options }, hooks);
    await harness.put('/user/a', 'one'); // 2
    const older = disk.database('user').copy();
    await harness.put('/user/a', 'two'); // 3
    const recorder = harness.watch('/user/');
    await expect(harness.put('/user/a', 'unknown')).rejects.toThrow(/outcome/); // 4
    const right = disk.database('user').copy();
    disk.database('user').restore(older);
    isLost = false;
    return { harness, disk, recorder, right };
  }

  it('tells nothing of a commit that nobody knows the outcome of: the right copy does', async () => {
    const { harness, disk, recorder, right } = await rollBackUnknown();
    await until(() => /holds revision 2, but it had revision 3/.test(users(harness).problem));
    await expect(harness.get('/user/a')).rejects.toThrow(/restore the right copy/);
    disk.database('user').restore(right);
    await until(() => users(harness).isReady);
    const next = await harness.put('/user/b', 'next');
    await recorder.until(() => recorder.reached() >= next);
    expect(recorder.texts()).toEqual(['created 0 at 3', 'events 0: /user/a=unknown@4', `events 0: /user/b=next@${next}`]);
    expect(harness.keyspace.status().compactRevision).toBe(0n);
  });

  it('ends the doubt about a commit when it is accepted', async () => {
    const { harness, recorder } = await rollBackUnknown({ acceptRestored: new Set(['user']) });
    await recorder.until(({ messages }) => messages.length > 1);
    await until(() => users(harness).isReady && users(harness).problem === '');
    const { compactRevision } = harness.keyspace.status();
    expect(recorder.texts()).toEqual(['created 0 at 3', `canceled 0 compacted ${compactRevision}`]);
    expect((await harness.list('/user/')).kvs).toEqual(['/user/a=one@2']);
    expect(await harness.put('/user/a', 'anew')).toBeGreaterThan(compactRevision);
  });

  it('is refused when another database has come in its place, too', async () => {
    const { harness, disk } = await rollBack();
    const foreign = new MemoryDatabase();
    foreign.lastRevision = 4n;
    const claimed = Object.assign(disk.database('user'), { identity: foreign.identity });
    await expect(harness.get('/user/a')).rejects.toThrow(/unavailable/);
    claimed.lastRevision = 4n;
    await until(() => users(harness).problem.includes('put the right one back'));
    expect(users(harness).isReady).toBe(false);
  });

  it('is taken as it is, once, when that is accepted: whoever has read it reads anew', async () => {
    const { harness, disk } = await rollBack({ acceptRestored: new Set(['user']), cacheBytes: 1 << 20, eventBytes: 1 << 20 });
    const synced = harness.watch('/user/');
    const all = harness.watch('');
    const others = harness.watch('/b');
    await harness.get('/user/a'); // from the cache, which cannot know
    await harness.list('/user/').catch(() => undefined);
    await until(() => users(harness).isReady);
    const { compactRevision } = harness.keyspace.status();
    expect(compactRevision).toBeGreaterThan(4n);
    expect((await harness.list('/user/')).kvs).toEqual(['/user/a=one@2']);
    expect((await harness.get('/user/a')).kv?.value.toString()).toBe('one');
    for (const recorder of [synced, all]) {
      await recorder.until(({ messages }) => messages.length > 1);
      expect(recorder.texts().at(-1)).toBe(`canceled 0 compacted ${compactRevision}`);
    }
    expect(harness.warnings.filter((text) => text.includes('accepted'))).toEqual([
      expect.stringMatching(/"backend":"user","revision":"2","revisionBefore":"4"/),
    ]);
    const next = await harness.put('/user/a', 'anew');
    expect(next).toBeGreaterThan(compactRevision);
    expect((await harness.get('/user/a')).kv).toMatchObject({ createRevision: 2n, version: 2n });
    await harness.put('/b', 'y');
    await others.until(() => others.events().length === 1);
    // A second time nobody has accepted.
    const database = disk.database('user');
    const older = database.copy();
    await harness.put('/user/a', 'lost');
    database.restore(older);
    await expect(harness.list('/user/')).rejects.toThrow(/restore the right copy/);
  });
});

describe('a database that was replaced by an older copy of itself between two runs', () => {
  it('is known by the marks of a clean stop, and refused until the right copy is back', async () => {
    const disk = new Disk();
    const harness = await disk.start();
    await harness.put('/user/a', 'one'); // 2
    const older = disk.database('user').copy();
    await harness.put('/user/a', 'two'); // 3
    await harness.put('/b', 'x'); // 4
    await harness.close();
    const right = disk.database('user').copy();
    disk.database('user').restore(older);
    await harness.start();
    await expect(harness.get('/user/a')).rejects.toThrow(/holds revision 2, but it had revision 3/);
    expect((await harness.get('/b')).kv?.modRevision).toBe(4n);
    // It is on record for as long as it takes.
    await harness.restart();
    await expect(harness.get('/user/a')).rejects.toThrow(/holds revision 2, but it had revision 3/);
    disk.database('user').restore(right);
    await until(() => users(harness).isReady);
    expect((await harness.get('/user/a')).kv?.value.toString()).toBe('two');
  });

  it('is known by the marks of the last renewal after a crash', async () => {
    const disk = new Disk();
    const hooks: MemoryHooks = {};
    const crashed = await disk.start({ leaseMs: 300 }, hooks);
    await crashed.put('/user/a', 'one'); // 2
    const older = disk.database('user').copy();
    await crashed.put('/user/a', 'two'); // 3
    await until(() => disk.database('main').control?.marks.get(disk.database('user').identity) === 3n);
    hooks.beforeControl = () => {
      throw new Error('the process is gone');
    };
    disk.database('user').restore(older);
    const harness = await disk.start();
    await expect(harness.get('/user/a')).rejects.toThrow(/holds revision 2, but it had revision 3/);
  });

  it('is taken as it is when that is accepted, and from then on it is the right one', async () => {
    const disk = new Disk();
    const first = await disk.start();
    await first.put('/user/a', 'one'); // 2
    const older = disk.database('user').copy();
    await first.put('/user/a', 'two'); // 3
    await first.close();
    disk.database('user').restore(older);
    const accepting = await disk.start({ acceptRestored: new Set(['user']) });
    await until(() => users(accepting).isReady);
    expect((await accepting.list('/user/')).kvs).toEqual(['/user/a=one@2']);
    const { compactRevision, revision } = accepting.keyspace.status();
    expect([compactRevision > 3n, revision >= compactRevision]).toEqual([true, true]);
    await expect(accepting.list('/user/', { revision: 3n })).rejects.toMatchObject({ name: 'CompactedError', compactRevision });
    const late = accepting.watch('/user/', { startRevision: 3n });
    await late.until(({ messages }) => messages.length > 1);
    expect(late.texts().at(-1)).toBe(`canceled 0 compacted ${compactRevision}`);
    await accepting.close();
    const harness = await disk.start();
    expect((await harness.get('/user/a')).kv?.value.toString()).toBe('one');
    expect(users(harness)).toMatchObject({ isReady: true, problem: '' });
  });

  it('that is ahead of the default store tells that it is the default store that was restored', async () => {
    const disk = new Disk();
    const first = await disk.start();
    await first.put('/b', 'x'); // 2
    await first.close();
    const older = disk.database('main').copy();
    const second = await disk.start();
    await second.put('/user/a', 'one'); // 3
    await second.close();
    disk.database('main').restore(older);
    // By its revision, since the epoch is the same one again.
    const harness = await disk.start();
    await expect(harness.get('/user/a')).rejects.toThrow(
      /"user" holds revision 3, but the default store never handed out more than 2: the default store was restored from an older copy/,
    );
    await harness.close();
    // By its epoch, if it has seen more writers than the default store knows of.
    for (let i = 0; i < 3; i++) disk.database('user').epoch++;
    await harness.start();
    await expect(harness.get('/user/a')).rejects.toThrow(
      /had a writer of epoch 5, but the default store knows of none above 3: the default store was restored from an older copy/,
    );
    expect((await harness.get('/b')).kv?.modRevision).toBe(2n);
  });
});
