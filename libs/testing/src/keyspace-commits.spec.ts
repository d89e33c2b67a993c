import { describe, expect, it } from '@jest/globals';
import { CommitFailedError, CommitUnknownError } from '@harikube/keyspace';
import { faultyKeyspaces, holdCommits, settle, untilKnown } from './faulty-keyspaces.js';
import { Gate } from './gate.js';
import { type HarnessOptions, type KeyspaceHarness, putOp, responsesOf } from './keyspace-harness.js';

const start = faultyKeyspaces();

describe('an answer that was judged against an uncommitted write', () => {
  it('fails with the commit of that write', async () => {
    const harness = await start();
    await harness.put('/a', 'one'); // 2
    const gate = holdCommits(harness);
    const before = harness.put('/b', 'x');
    await gate.arrived;
    // Both in the next batch: the second one fails its compare because of the first one.
    const write = harness.update('/a', 'two', 2n);
    const loser = harness.update('/a', 'three', 2n);
    harness.hook('main').beforeCommit = () => {
      throw new CommitFailedError('disk full');
    };
    gate.open();
    await before;
    await expect(write).rejects.toThrow(/unavailable: disk full/);
    await expect(loser).rejects.toThrow(/unavailable: disk full/);
    harness.hook('main').beforeCommit = () => undefined;
    expect((await harness.get('/a')).kv?.modRevision).toBe(2n);
    expect(responsesOf(await harness.update('/a', 'four', 1n))).toEqual(['range 1: /a=one@2']);
  });

  it('fails with it even if the answer is an error', async () => {
    const harness = await start();
    await harness.put('/a', 'one');
    const gate = holdCommits(harness);
    const before = harness.put('/b', 'x');
    await gate.arrived;
    const removal = harness.remove('/a', 2n);
    const kept = harness.txn([], [putOp('/a', 'other', { ignoreLease: true })]);
    harness.hook('main').beforeCommit = () => {
      throw new CommitFailedError('disk full');
    };
    gate.open();
    await before;
    await expect(removal).rejects.toThrow(/unavailable/);
    // "key not found" would be a lie: the key is there.
    await expect(kept).rejects.toThrow(/unavailable/);
  });

  it('is told after the commit and holds at its place in the batch', async () => {
    const harness = await start();
    await harness.put('/a', 'one'); // 2
    const gate = holdCommits(harness);
    const before = harness.put('/b', 'x'); // 3
    await gate.arrived;
    const write = harness.update('/a', 'two', 2n); // 4
    const loser = harness.update('/a', 'three', 2n);
    const after = harness.put('/c', 'x'); // 5
    const order: string[] = [];
    void write.then(() => order.push('write'));
    void loser.then(() => order.push('loser'));
    const second = new Gate();
    harness.hook('main').beforeCommit = () => second.pass();
    gate.open();
    await before;
    await second.arrived;
    await settle();
    expect(order).toEqual([]);
    second.open();
    expect((await write).revision).toBe(4n);
    const lost = await loser;
    expect([lost.succeeded, lost.revision, responsesOf(lost)]).toEqual([false, 4n, ['range 1: /a=two@4']]);
    expect((await after).valueOf()).toBe(5n);
  });

  it('of a settled write is told at once, whatever is being committed', async () => {
    const harness = await start();
    await harness.put('/a', 'one'); // 2
    const gate = holdCommits(harness);
    const write = harness.put('/b', 'x');
    const loser = harness.update('/a', 'three', 1n);
    expect(responsesOf(await loser)).toEqual(['range 1: /a=one@2']);
    gate.open();
    await write;
  });
});

describe('a commit that failed for certain', () => {
  it('burns its numbers, leaves nothing, and is seen by nobody', async () => {
    const harness = await start();
    await harness.put('/a', 'one'); // 2
    const recorder = harness.watch('');
    harness.hook('main').beforeCommit = () => {
      throw new CommitFailedError('disk full');
    };
    const failing = await Promise.allSettled([harness.put('/a', 'two'), harness.put('/b', 'x'), harness.create('/c', 'x')]);
    expect(failing.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    harness.hook('main').beforeCommit = () => undefined;
    expect(harness.revision).toBe(2n);
    expect(await harness.list('')).toMatchObject({ kvs: ['/a=one@2'], revision: 2n });
    const next = await harness.put('/a', 'three');
    expect(next).toBe(6n);
    await recorder.until(() => recorder.reached() >= next);
    expect(recorder.texts()).toEqual(['created 0 at 2', 'events 0: /a=three@6']);
    expect((await harness.get('/a')).kv).toMatchObject({ version: 2n, createRevision: 2n });
  });
});

describe('a creation of a key that no cache knows', () => {
  /** Keys that are there and in no cache. */
  async function startWith(keys: readonly string[], options: HarnessOptions = {}): Promise<KeyspaceHarness> {
    const harness = await start(options);
    for (const key of keys) await harness.put(key, 'old');
    await harness.restart();
    return harness;
  }

  function countLoads(harness: KeyspaceHarness): () => number {
    let loads = 0;
    harness.hook('main').beforeRead = (method) => void (method === 'load' && loads++);
    return () => loads;
  }

  it('is committed without a look at it', async () => {
    const harness = await startWith([]);
    const loads = countLoads(harness);
    const results = await Promise.all([harness.create('/a', '1'), harness.create('/b', '2')]);
    expect(results.map(({ succeeded }) => succeeded)).toEqual([true, true]);
    expect(loads()).toBe(0);
  });

  it('does not succeed when the key is there; what was in its batch does, and no number is lost', async () => {
    const harness = await startWith(['/a', '/c']);
    const { revision } = harness;
    const [a, b, c] = await Promise.all([harness.create('/a', 'new'), harness.create('/b', 'new'), harness.update('/c', 'new', revision)]);
    expect([a.succeeded, b.succeeded, c.succeeded]).toEqual([false, true, true]);
    expect(harness.revision).toBe(revision + 2n);
    expect((await harness.list('')).kvs).toEqual(['/a=old@2', ...[b, c].map(({ revision: at }, i) => `/${'bc'[i]}=new@${at}`)]);
  });

  it('burns its numbers when another backend may have told that they passed', async () => {
    const harness = await startWith(['/a'], { others: ['user'] });
    const { revision } = harness;
    const gate = holdCommits(harness);
    const creating = harness.create('/a', 'new');
    await gate.arrived;
    expect(await harness.put('/user/x')).toBe(revision + 2n);
    gate.open();
    expect((await creating).succeeded).toBe(false);
    expect(await harness.put('/b')).toBe(revision + 3n);
  });

  it('lets nobody who names the key go before it is known', async () => {
    for (const isThere of [false, true]) {
      const harness = await startWith(isThere ? ['/a'] : []);
      const { revision } = harness;
      const gate = holdCommits(harness);
      const created = harness.create('/a', 'first');
      await gate.arrived;
      const order: string[] = [];
      void created.then(() => order.push('first'));
      const again = harness.create('/a', 'second').then((result) => (order.push('second'), result));
      const updated = harness.update('/a', 'third', isThere ? 2n : revision + 1n).then((result) => (order.push('third'), result));
      await settle();
      expect(order).toEqual([]);
      gate.open();
      expect([(await created).succeeded, (await again).succeeded, (await updated).succeeded]).toEqual([!isThere, false, true]);
      expect((await harness.get('/a')).kv?.value.toString()).toBe('third');
    }
  });

  it('is looked at after all when another txn of the same turn names the key', async () => {
    const harness = await startWith(['/a']);
    const loads = countLoads(harness);
    const [created, updated] = await Promise.all([harness.create('/a', 'new'), harness.update('/a', 'new', 2n)]);
    expect([created.succeeded, updated.succeeded, loads()]).toEqual([false, true, 1]);
  });

  it('fails with its commit, and takes nobody along who only waited for it', async () => {
    const harness = await startWith(['/b']);
    const gate = new Gate();
    harness.hook('main').beforeCommit = async () => {
      await gate.pass();
      throw new CommitFailedError('disk full');
    };
    const created = harness.create('/a', 'first');
    await gate.arrived;
    const again = harness.create('/a', 'second');
    await settle();
    delete harness.hook('main').beforeCommit;
    gate.open();
    await expect(created).rejects.toThrow(/unavailable/);
    expect((await again).succeeded).toBe(true);
    expect((await harness.get('/a')).kv?.value.toString()).toBe('second');
  });

  it('with a lease that is gone is told so only when the key is absent', async () => {
    const harness = await startWith(['/a']);
    const [there, absent] = await Promise.allSettled([harness.create('/a', 'x', 7n), harness.create('/b', 'x', 7n)]);
    expect(there).toMatchObject({ status: 'fulfilled', value: { succeeded: false } });
    expect(absent).toMatchObject({ status: 'rejected', reason: { name: 'LeaseNotFoundError' } });
  });

  it('keeps no other txn waiting for its key, however many follow one another', async () => {
    const harness = await startWith(['/a']);
    let isUpdated = false;
    const creations = Promise.all(
      Array.from({ length: 4 }, async (_, client) => {
        for (let i = 0; !isUpdated; i++) await harness.create(`/new/${client}/${i}`, 'x');
      }),
    );
    await settle();
    expect((await harness.update('/a', 'new', 2n)).succeeded).toBe(true);
    isUpdated = true;
    await creations;
  });
});

describe('writers that write again as soon as they are told', () => {
  it('go in one commit, after a few in which they were two halves, where a database takes one at a time', async () => {
    const harness = await start();
    harness.hook('main').ordersCommits = false;
    const commits: number[] = [];
    harness.hook('main').beforeCommit = async ({ rows }) => {
      commits.push(rows.length);
      await new Promise((resolve) => setTimeout(resolve, 30));
    };
    let isLeft = false;
    const write = async (writer: number): Promise<void> => {
      // The halves: some begin while the first commit is under way.
      if (writer >= 4) await new Promise((resolve) => setTimeout(resolve, 10));
      for (let i = 0; !isLeft; i++) await harness.put(`/${writer}/${i}`, 'x');
    };
    const writers = Array.from({ length: 8 }, (_, writer) => write(writer));
    while (commits.length < 4 || (commits.at(-1) !== 8 && commits.length < 60)) await new Promise((resolve) => setTimeout(resolve, 10));
    isLeft = true;
    await Promise.all(writers);
    expect(commits.slice(0, 2)).toEqual([4, 4]);
    expect(commits).toContain(8);
  });
});

describe('a commit behind one that is under way', () => {
  /** Keys of the commits that were given, in order. */
  function givenTo(harness: KeyspaceHarness): string[] {
    const given: string[] = [];
    harness.hook('main').onCommit = ({ rows }) => given.push(rows.map(({ key }) => key.toString()).join());
    return given;
  }

  it('holds half of the writes at hand, none of a key that is under way, and is told after it', async () => {
    const harness = await start();
    for (const key of ['/a', '/b', '/c', '/d']) await harness.put(key, 'one'); // 2 to 5
    const given = givenTo(harness);
    const gate = holdCommits(harness);
    const first = harness.put('/a', 'two');
    await gate.arrived;
    const order: string[] = [];
    const writes = ['/b', '/a', '/c', '/a', '/d'].map(async (key, i) => {
      const revision = await harness.put(key, `${i}`);
      order.push(`${key}@${revision}`);
      return revision;
    });
    await settle();
    expect([given, order]).toEqual([['/a', '/b,/c,/d'], []]);
    gate.open();
    expect([await first, ...(await Promise.all(writes))]).toEqual([6n, 7n, 10n, 8n, 11n, 9n]);
    expect(order).toEqual(['/b@7', '/c@8', '/d@9', '/a@10', '/a@11']);
    expect(given).toEqual(['/a', '/b,/c,/d', '/a,/a']);
    expect((await harness.get('/a')).kv).toMatchObject({ version: 4n, modRevision: 11n });
  });

  it('waits until as many writers are back as were told last', async () => {
    const harness = await start();
    const given = givenTo(harness);
    const gates = [new Gate(), new Gate(), new Gate()];
    let begun = 0;
    harness.hook('main').beforeCommit = () => gates[begun++]?.pass();
    const write = async (key: string): Promise<bigint> => (await harness.create(key, 'x')).revision;
    const writes = [write('/a'), write('/b')];
    await gates[0]?.arrived;
    writes.push(write('/c'), write('/d'));
    await settle();
    expect(given).toEqual(['/a,/b', '/c,/d']);
    gates[0]?.open();
    await Promise.all(writes.slice(0, 2));
    writes.push(write('/e'));
    await settle();
    expect(given).toEqual(['/a,/b', '/c,/d']);
    writes.push(write('/f'));
    await settle();
    expect(given).toEqual(['/a,/b', '/c,/d', '/e,/f']);
    for (const gate of gates) gate.open();
    expect(await Promise.all(writes)).toEqual([2n, 3n, 4n, 5n, 6n, 7n]);
  });

  it('is not given while one over a range is at hand or under way', async () => {
    const harness = await start();
    await harness.put('/a/1'); // 2
    const given = givenTo(harness);
    const gate = holdCommits(harness);
    const before = harness.create('/b', 'x');
    await gate.arrived;
    const deleting = harness.delete('/a/', true);
    await settle();
    const writing = harness.create('/a/2', 'x');
    const other = harness.create('/c', 'x');
    await settle();
    expect(given).toEqual(['/b']);
    gate.open();
    const [{ revision }] = await Promise.all([writing, other, before, deleting]);
    expect(given).toEqual(['/b', '/a/1', '/a/2,/c']);
    expect((await harness.list('/a/')).kvs).toEqual([`/a/2=x@${revision}`]);
  });

  it.each([
    ['failed', () => new CommitFailedError('disk full'), /disk full/],
    ['is not known, and that did not take place,', () => new CommitUnknownError('connection lost'), /./],
  ])('that %s comes to nothing with it, and its txns go again with numbers of their own', async (_name, failure, told) => {
    const harness = await start({ others: ['user'] });
    const recorder = harness.watch('');
    const given = givenTo(harness);
    const gate = new Gate();
    harness.hook('main').beforeCommit = async ({ rows }) => {
      await gate.pass();
      if (rows.some(({ key }) => key.toString() === '/a')) throw failure();
    };
    const first = harness.create('/a', 'x'); // 2
    await gate.arrived;
    const behind = [harness.create('/b', 'x'), harness.create('/c', 'x')]; // 3, 4
    await settle();
    expect(given).toEqual(['/a', '/b,/c']);
    expect(await harness.put('/user/x')).toBe(5n);
    gate.open();
    await expect(first).rejects.toThrow(told);
    await Promise.all([...behind, harness.put('/d', 'x')]);
    delete harness.hook('main').beforeCommit;
    const last = await harness.put('/a', 'again');
    await recorder.until(() => recorder.reached() >= last);
    const revisions = recorder.events().map(({ revision }) => revision);
    expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => Number(a - b)));
    expect(
      recorder
        .events()
        .map(({ key }) => key)
        .toSorted(),
    ).toEqual(['/a', '/b', '/c', '/d', '/user/x']);
    expect(harness.keyspace.backendStatus().every(({ isReady }) => isReady)).toBe(true);
  });

  it('whose outcome is not known takes place with it', async () => {
    const harness = await start();
    const given = givenTo(harness);
    const gate = holdCommits(harness);
    harness.hook('main').afterCommit = () => {
      throw new CommitUnknownError('connection lost');
    };
    const first = harness.create('/a', 'x'); // 2
    await gate.arrived;
    const second = harness.create('/b', 'x'); // 3
    await settle();
    expect(given).toEqual(['/a', '/b']);
    gate.open();
    for (const write of [first, second]) await expect(write).rejects.toMatchObject({ name: 'UnknownOutcomeError' });
    delete harness.hook('main').afterCommit;
    await untilKnown(harness, 'main');
    expect((await harness.list('')).kvs).toEqual(['/a=x@2', '/b=x@3']);
    expect(await harness.put('/c', 'x')).toBe(4n);
  });

  it('goes again when a creation of the first one found its key', async () => {
    const harness = await start();
    await harness.put('/a', 'old'); // 2
    await harness.restart();
    const given = givenTo(harness);
    const gate = holdCommits(harness);
    const creating = harness.create('/a', 'new');
    await gate.arrived;
    const writes = [harness.create('/b', 'x'), harness.create('/c', 'x')];
    await settle();
    expect(given.length).toBe(2);
    gate.open();
    expect((await creating).succeeded).toBe(false);
    await Promise.all(writes);
    expect((await harness.list('')).kvs.map((text) => text.replace(/@.*/, ''))).toEqual(['/a=old', '/b=x', '/c=x']);
    expect(harness.revision).toBeGreaterThanOrEqual(4n);
  });
});

describe('a commit of unknown outcome', () => {
  it.each([
    ['took place', true],
    ['did not take place', false],
  ])('that %s is never told as a success or failure, and is settled when the database tells', async (_name, tookPlace) => {
    const harness = await start({ others: ['user'] });
    await harness.put('/user/a', 'one'); // 2
    const recorder = harness.watch('/user/', { progressNotify: true });
    const hooks = harness.hook('user');
    const lost = (): void => {
      throw new CommitUnknownError('connection lost');
    };
    if (tookPlace) hooks.afterCommit = lost;
    else hooks.beforeCommit = lost;
    const asked = new Gate();
    hooks.beforeResolve = () => asked.pass();
    const write = harness.put('/user/a', 'two'); // 3
    await expect(write).rejects.toMatchObject({ name: 'UnknownOutcomeError' });
    await asked.arrived;
    delete hooks.afterCommit;
    delete hooks.beforeCommit;
    // Meanwhile everything else goes on, and nothing of the backend is told as current above it.
    const other = await harness.put('/b', 'x');
    expect(other).toBe(4n);
    expect((await harness.get('/b')).revision).toBe(4n);
    let isTold = false;
    const reading = harness.get('/user/a').then((answer) => {
      isTold = true;
      return answer;
    });
    await settle();
    expect(isTold).toBe(false);
    expect(recorder.events()).toEqual([]);
    asked.open();
    const { kv, revision } = await reading;
    expect(revision).toBeGreaterThanOrEqual(4n);
    expect(kv?.value.toString()).toBe(tookPlace ? 'two' : 'one');
    const next = await harness.put('/user/a', 'three');
    expect(next).toBe(5n);
    await recorder.until(() => recorder.reached() >= next);
    expect(recorder.events().map((event) => `${event.value}@${event.revision}`)).toEqual(tookPlace ? ['two@3', 'three@5'] : ['three@5']);
    expect((await harness.get('/user/a')).kv?.version).toBe(tookPlace ? 3n : 2n);
  });

  it('is asked for again while the database is away', async () => {
    const harness = await start();
    let asked = 0;
    harness.hook('main').beforeCommit = () => {
      throw new CommitUnknownError('connection lost');
    };
    harness.hook('main').beforeResolve = () => {
      if (++asked < 3) throw new Error('still away');
    };
    await expect(harness.put('/a', 'one')).rejects.toMatchObject({ name: 'UnknownOutcomeError' });
    harness.hook('main').beforeCommit = () => undefined;
    const recorder = harness.watch('/a', { progressNotify: true });
    await untilKnown(harness, 'main');
    expect(await harness.put('/a', 'two')).toBe(3n);
    expect(asked).toBe(3);
    await recorder.until(() => recorder.events().length > 0);
    expect(recorder.texts().slice(1)).toEqual(['events 0: /a=two@3']);
  });

  it('does not keep a stop from ending, expiring leases included', async () => {
    const harness = await start();
    const { id } = await harness.keyspace.grantLease(60n, 0n);
    await harness.put('/leased', 'x', { lease: id });
    harness.hook('main').beforeCommit = () => {
      throw new CommitUnknownError('connection lost');
    };
    harness.hook('main').beforeResolve = () => {
      throw new Error('still away');
    };
    await expect(harness.put('/a', 'one')).rejects.toMatchObject({ name: 'UnknownOutcomeError' });
    const revoking = harness.keyspace.revokeLease(id);
    revoking.catch(() => undefined);
    await settle();
    await harness.close();
    await expect(revoking).rejects.toThrow();
    for (const name of ['beforeCommit', 'beforeResolve'] as const) delete harness.hook('main')[name];
    // The revision may have been used: it is not used again.
    await harness.start();
    expect(await harness.put('/a', 'two')).toBeGreaterThan(3n);
  });
});
