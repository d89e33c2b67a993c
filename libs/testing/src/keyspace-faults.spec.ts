import { describe, expect, it } from '@jest/globals';
import { decodeKeyValue } from '@harikube/keyspace';
import { faultyKeyspaces, holdCommits, settle } from './faulty-keyspaces.js';
import { Gate } from './gate.js';
import { EVERYTHING, type KeyspaceHarness, kvsOf, putOp, watchOf } from './keyspace-harness.js';
import { WatchRecorder } from './watch-recorder.js';

const start = faultyKeyspaces();

describe('a DeleteRange over several backends', () => {
  const deleteAll = { type: 'delete', range: EVERYTHING, prevKv: false } as const;

  it('is as old as no key that it leaves', async () => {
    const harness = await start({ others: ['user'] });
    await harness.put('/a', 'x'); // 2
    const gate = new Gate();
    let looks = 0;
    harness.hook('user').afterRead = (method) => (method === 'range' && ++looks === 2 ? gate.pass() : undefined);
    const deleting = harness.keyspace.deleteRange(deleteAll);
    await gate.arrived;
    // That backend was looked at for the last time, and held nothing.
    const writing = harness.put('/user/a', 'x');
    await settle();
    gate.open();
    expect(await deleting).toMatchObject({ revision: 3n, deleted: 1 });
    expect(await writing).toBe(4n);
    expect((await harness.list('')).kvs).toEqual(['/user/a=x@4']);
  });

  it('sees what was on its way to them', async () => {
    const harness = await start({ others: ['user'] });
    await harness.put('/a', 'x');
    const gate = holdCommits(harness, 'user');
    const writing = harness.put('/user/a', 'x');
    await gate.arrived;
    const deleting = harness.keyspace.deleteRange(deleteAll);
    await settle(); // the first look is over
    gate.open();
    await expect(deleting).rejects.toThrow(/"main", "user"/);
    await writing;
    expect((await harness.list('')).count).toBe(2);
  });
});

describe('a read at latest', () => {
  it('is not headed by a revision below what it shows after it waited', async () => {
    const harness = await start({ others: ['user'] });
    await harness.put('/a', 'one'); // 2
    const gate = holdCommits(harness);
    const first = harness.put('/a', 'two'); // 3, pending
    await gate.arrived;
    await harness.put('/user/x', 'seen'); // 4: a read must not answer below it
    const reads = [harness.get('/a'), harness.get('/a')];
    const second = harness.put('/a', 'three'); // 5
    gate.open();
    await Promise.all([first, second]);
    for (const { revision, kv } of await Promise.all(reads)) {
      expect(revision).toBeGreaterThanOrEqual(4n);
      expect(kv?.modRevision ?? 0n).toBeLessThanOrEqual(revision);
    }
  });

  it('keeps no head in the cache that is not settled', async () => {
    const harness = await start({ cacheBytes: 0 });
    await harness.put('/a', 'one'); // 2
    await harness.restart();
    const written = new Gate();
    const told = new Gate();
    harness.hook('main').afterCommit = () => told.pass();
    harness.hook('main').beforeRead = () => written.pass();
    void written.pass();
    const reading = harness.get('/a');
    await written.arrived;
    const writing = harness.update('/a', 'two', 2n);
    written.open();
    await told.arrived;
    // The commit is in the database, but its batch is still pending.
    const { revision, kv } = await reading;
    expect(kv?.modRevision ?? 0n).toBeLessThanOrEqual(revision);
    told.open();
    await writing;
  });

  it('that was overtaken by a write does not bring the older head into the cache', async () => {
    const harness = await start();
    await harness.put('/a', 'one'); // 2
    await harness.restart();
    const gate = new Gate();
    let reads = 0;
    harness.hook('main').afterRead = () => (++reads === 1 ? gate.pass() : undefined);
    const reading = harness.get('/a');
    await gate.arrived;
    await harness.put('/a', 'two'); // 3
    gate.open();
    const { kv, revision } = await reading;
    expect([kv?.modRevision, revision]).toEqual([2n, 2n]);
    expect(await harness.get('/a')).toMatchObject({ kv: { modRevision: 3n }, revision: 3n });
  });

  it('of a head that its write did without in the end is not told to a later write of the key', async () => {
    const harness = await start({ cacheBytes: 0 });
    await harness.put('/a/1', 'one'); // 2
    const gate = new Gate();
    let loads = 0;
    harness.hook('main').afterRead = (method) => (method === 'load' && ++loads === 1 ? gate.pass() : undefined);
    const writing = harness.put('/a/1', 'two'); // 4
    await gate.arrived;
    // It tells the head of the key before the load does, and the write goes on.
    await harness.delete('/a/', true); // 3
    await writing;
    const deleting = harness.delete('/a/1');
    gate.open();
    const { prevKvs } = await deleting;
    expect(prevKvs.map((record) => decodeKeyValue(record).modRevision)).toEqual([4n]);
  });

  it('over two backends is whole though a compaction passes it', async () => {
    const harness = await start({ others: ['user'] });
    await harness.put('/a', 'one'); // 2
    await harness.put('/user/a', 'one'); // 3
    const gate = new Gate();
    harness.hook('user').beforeRead = (method) => (method === 'range' ? gate.pass() : undefined);
    const listing = harness.list('');
    await gate.arrived;
    await harness.put('/user/a', 'two'); // 4
    await harness.put('/user/a', 'three'); // 5
    await harness.keyspace.compact(5n);
    await settle();
    gate.open();
    const { kvs, revision } = await listing;
    expect(kvs).toEqual(['/a=one@2', expect.stringContaining('/user/a=')]);
    expect(revision).toBeGreaterThanOrEqual(3n);
  });
});

describe('a large answer', () => {
  async function fill(harness: KeyspaceHarness): Promise<void> {
    for (let i = 0; i < 10; i++) {
      await harness.put(`/big/${i}`, 'x'.repeat(30_000));
      await harness.put(`/user/${i}`, 'x'.repeat(30_000));
    }
  }

  it.each(['/big/', ''])('over %j gives its snapshots up when nothing of it is read', async (prefix) => {
    const harness = await start({ others: ['user'] });
    await fill(harness);
    const result = await harness.range(watchOf(prefix).range);
    expect(harness.openSnapshots).toBeGreaterThan(0);
    await result.rest?.return();
    expect(harness.openSnapshots).toBe(0);
  });

  it.each(['/big/', ''])('over %j gives its snapshots up when it is left half way', async (prefix) => {
    const harness = await start({ others: ['user'] });
    await fill(harness);
    const result = await harness.range(watchOf(prefix).range);
    await result.rest?.next();
    await result.rest?.return();
    expect(harness.openSnapshots).toBe(0);
  });

  it('with a limit gives its snapshot up, too', async () => {
    const harness = await start();
    await fill(harness);
    const result = await harness.range(watchOf('/big/').range, { limit: 8 });
    await result.rest?.return();
    expect(harness.openSnapshots).toBe(0);
    expect((await kvsOf(await harness.range(watchOf('/big/').range, { limit: 8 }))).length).toBe(8);
  });
});

describe('a backend that is away', () => {
  it('stalls nothing outside of its own ranges', async () => {
    const harness = await start({ others: ['user', 'email'] });
    await harness.put('/user/a', 'one');
    const all = harness.watch('');
    const emails = harness.watch('/email/');
    const gate = holdCommits(harness, 'user');
    const stuck = harness.put('/user/a', 'two'); // 3
    await gate.arrived;
    await harness.put('/email/a', 'x'); // 4
    await harness.put('/b', 'x'); // 5
    expect((await harness.list('/email/')).revision).toBe(5n);
    expect((await harness.get('/b')).revision).toBe(5n);
    await emails.until(() => emails.reached() >= 4n);
    // The watch over everything may not tell what comes after the write that is under way.
    expect(all.events()).toEqual([]);
    gate.open();
    await stuck;
    await all.until(() => all.reached() >= 5n);
    expect(all.events().map((event) => event.revision)).toEqual([3n, 4n, 5n]);
  });

  it('that cannot be claimed at the start is unavailable by name, and is taken up when it is back', async () => {
    const harness = await start({ others: ['user'] });
    await harness.put('/user/a', 'one');
    await harness.close();
    let isAway = true;
    harness.hook('user').beforeControl = (method) => {
      if (method === 'claim' && isAway) throw new Error('no route to host');
    };
    await harness.start();
    await expect(harness.get('/user/a')).rejects.toThrow('backend "user" is unavailable: no route to host');
    await expect(harness.put('/user/a', 'two')).rejects.toThrow(/unavailable/);
    const recorder = harness.watch('/user/', { startRevision: 2n });
    await harness.put('/b', 'x');
    isAway = false;
    await recorder.until(() => recorder.events().length > 0);
    expect((await harness.get('/user/a')).kv?.value.toString()).toBe('one');
  });

  it('answers reads as unavailable while they fail', async () => {
    const harness = await start({ others: ['user'], cacheBytes: 0 });
    await harness.put('/user/a', 'one');
    harness.hook('user').beforeRead = () => {
      throw new Error('connection refused');
    };
    await expect(harness.list('/user/')).rejects.toThrow('backend "user" is unavailable: connection refused');
    await expect(harness.list('')).rejects.toThrow('backend "user" is unavailable: connection refused');
    expect((await harness.list('/b/')).revision).toBe(2n);
    delete harness.hook('user').beforeRead;
    expect((await harness.list('/user/')).kvs).toEqual(['/user/a=one@2']);
  });

  it('fails the writes whose keys it could not load, and only those', async () => {
    const harness = await start();
    await harness.put('/known', 'one'); // in the cache
    harness.hook('main').beforeRead = () => {
      throw new Error('connection refused');
    };
    const [unknown, known] = await Promise.allSettled([harness.put('/unknown', 'x'), harness.put('/known', 'two')]);
    expect([unknown?.status, known?.status]).toEqual(['rejected', 'fulfilled']);
    delete harness.hook('main').beforeRead;
    await harness.put('/unknown', 'x');
  });
});

describe('a watch of a backend that is stuck', () => {
  it('is told no progress beyond what is being committed', async () => {
    const harness = await start({ others: ['user'], progressIntervalMs: 10 });
    const stuck = harness.watch('/user/', { progressNotify: true });
    const other = harness.watch('/b', { progressNotify: true });
    const gate = holdCommits(harness, 'user');
    const write = harness.put('/user/a', 'x'); // 2
    await gate.arrived;
    await harness.put('/b', 'x'); // 3
    // Several rounds of progress for everybody who has everything.
    const rounds = (): number => other.history().filter(({ type }) => type === 'progress').length;
    await other.until(() => rounds() >= 4);
    expect(stuck.reached()).toBeLessThan(2n);
    gate.open();
    await write;
    await stuck.until(() => stuck.reached() >= 3n);
    expect(stuck.texts().slice(-2)).toEqual(['events 0: /user/a=x@2', 'progress 0 at 3']);
  });
});

describe('a watch over several backends of which one is stuck', () => {
  /** More than a watch holds in memory. */
  const MANY = 10_500;

  async function write(harness: KeyspaceHarness, count: number): Promise<void> {
    for (let i = 0; i < count; i += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, j) => harness.put(`/user/${(i + j) % 7}`, `${i + j}`)));
    }
  }

  it('loses, repeats and reorders nothing when more is held than it can keep', async () => {
    const harness = await start({ others: ['user'], eventBytes: 64 << 20 });
    for (let i = 0; i < 7; i++) await harness.put(`/user/${i}`);
    await harness.put('/a', 'one');
    const recorder = harness.watch('');
    const from = harness.revision + 1n;
    const gate = holdCommits(harness, 'main');
    const stuck = [harness.put('/a', 'two'), harness.put('/b', 'two')];
    await gate.arrived;
    await write(harness, MANY);
    gate.open();
    await Promise.all(stuck);
    const last = harness.revision;
    await recorder.until(({ messages }) => messages.length > 1 && recorder.reached() >= last);
    const revisions = recorder.events().map((event) => event.revision);
    expect(revisions.length).toBe(MANY + 2);
    expect(revisions).toEqual(Array.from({ length: MANY + 2 }, (_, i) => from + BigInt(i)));
  }, 60_000);

  it('gets a deletion of more keys than it can keep, once', async () => {
    const harness = await start({ others: ['user'], eventBytes: 64 << 20 });
    for (let i = 0; i < MANY; i += 500)
      await harness.txn(
        [],
        Array.from({ length: 500 }, (_, j) => putOp(`/user/${String(i + j).padStart(6, '0')}`, 'x')),
      );
    const recorder = harness.watch('');
    const { deleted, revision } = await harness.delete('/user/', true);
    expect(deleted).toBe(MANY);
    const marker = await harness.put('/a', 'end');
    await recorder.until(() => recorder.events().at(-1)?.revision === marker);
    const events = recorder.events();
    expect(events.filter((event) => event.revision === revision).length).toBe(MANY);
    expect(events.length).toBe(MANY + 1);
    expect(recorder.messages.filter((m) => m.type === 'events').length).toBe(2);
  }, 60_000);
});

describe('compaction', () => {
  it('takes effect only when it is recorded', async () => {
    const harness = await start();
    await harness.put('/a', 'one'); // 2
    await harness.put('/a', 'two'); // 3
    await harness.put('/a', 'three'); // 4
    harness.hook('main').beforeControl = () => {
      throw new Error('disk full');
    };
    await expect(harness.keyspace.compact(3n)).rejects.toThrow();
    delete harness.hook('main').beforeControl;
    expect(harness.keyspace.status().compactRevision).toBe(0n);
    expect((await harness.get('/a', { revision: 2n })).kv?.value.toString()).toBe('one');
    await harness.keyspace.compact(3n);
    await expect(harness.get('/a', { revision: 2n })).rejects.toMatchObject({ name: 'CompactedError', compactRevision: 3n });
  });

  it('never goes back, however two of them cross', async () => {
    const harness = await start();
    for (let i = 0; i < 6; i++) await harness.put('/a', `${i}`);
    const gate = new Gate();
    let calls = 0;
    harness.hook('main').beforeControl = () => (++calls === 1 ? gate.pass() : undefined);
    const low = harness.keyspace.compact(3n);
    await gate.arrived;
    const high = harness.keyspace.compact(5n);
    await settle();
    gate.open();
    await Promise.all([low, high]);
    delete harness.hook('main').beforeControl;
    await harness.restart();
    expect(harness.keyspace.status().compactRevision).toBe(5n);
  });
});

describe('a lease', () => {
  it('that is revoked while a put of its key is being committed leaves no key behind', async () => {
    const harness = await start({ others: ['user'] });
    const { id } = await harness.keyspace.grantLease(60n, 0n);
    const gate = holdCommits(harness, 'user');
    const put = harness.put('/user/a', 'x', { lease: id });
    await gate.arrived;
    const revoking = harness.keyspace.revokeLease(id);
    await settle();
    gate.open();
    await Promise.all([put, revoking]);
    expect((await harness.list('')).kvs).toEqual([]);
  });

  it('whose revoke failed half way ends all the same, so its outcome is told as unknown', async () => {
    const harness = await start();
    const { id } = await harness.keyspace.grantLease(3600n, 0n);
    await harness.put('/a', 'x', { lease: id });
    harness.hook('main').beforeRead = (method) => {
      if (method === 'keysOfLease') throw new Error('connection refused');
    };
    await expect(harness.keyspace.revokeLease(id)).rejects.toMatchObject({ name: 'UnknownOutcomeError', backend: 'main' });
    await expect(harness.put('/b', 'x', { lease: id })).rejects.toMatchObject({ name: 'LeaseNotFoundError' });
    delete harness.hook('main').beforeRead;
    await harness.keyspace.revokeLease(id);
    expect((await harness.list('')).kvs).toEqual([]);
    expect(harness.keyspace.leaseCount).toBe(0);
  });

  it('whose row may or may not have been kept is granted with an unknown outcome', async () => {
    const harness = await start();
    harness.hook('main').beforeControl = (method) => {
      if (method === 'saveLease') throw new Error('connection reset');
    };
    await expect(harness.keyspace.grantLease(3600n, 7n)).rejects.toMatchObject({ name: 'UnknownOutcomeError', backend: 'main' });
    delete harness.hook('main').beforeControl;
    expect(await harness.keyspace.grantLease(3600n, 7n)).toMatchObject({ id: 7n, ttl: 3600n });
  });
});

describe('a watch from the current revision on', () => {
  it('is told progress although nothing was written since', async () => {
    const harness = await start();
    await harness.put('/a', 'one');
    const recorder = new WatchRecorder();
    const stream = harness.keyspace.watch(recorder);
    stream.create(watchOf('/x/'));
    stream.requestProgress();
    await recorder.until(({ messages }) => messages.some((message) => message.type === 'progress'));
    expect(recorder.texts()).toEqual(['created 0 at 2', 'progress -1 at 2']);
  });
});

describe('a stop', () => {
  it('waits for its own questions, so that no database is asked after it was closed', async () => {
    const harness = await start({ others: ['user'] });
    const gate = new Gate();
    const asked: string[] = [];
    await harness.close();
    for (const name of harness.names) {
      harness.hook(name).beforeRead = async (method) => {
        asked.push(`${name} ${method}`);
        if (method === 'leasesInUse') await gate.pass();
      };
    }
    await harness.start();
    await gate.arrived;
    let isClosed = false;
    const closing = harness.close().then(() => (isClosed = true));
    await settle();
    expect(isClosed).toBe(false);
    gate.open();
    await closing;
    const before = asked.length;
    await settle();
    expect(asked.length).toBe(before);
  });
});

describe('a write that its database cannot store', () => {
  it('fails alone, by name, and harms none that would go with it', async () => {
    const harness = await start();
    harness.hook('main').misfit = (_, value) => (value.length > 10 ? `its value has ${value.length} bytes` : null);
    const gate = holdCommits(harness);
    const first = harness.put('/first', 'one');
    await gate.arrived;
    const beside = harness.put('/beside', 'two');
    await expect(harness.put('/large', 'a value of 20 bytes.')).rejects.toMatchObject({
      name: 'MisfitError',
      message: 'request is too large for backend "main": its value has 20 bytes',
    });
    gate.open();
    await Promise.all([first, beside]);
    expect((await harness.get('/large')).kv).toBeNull();
    expect((await harness.get('/beside')).kv).not.toBeNull();
  });
});
