import { afterEach, describe, expect, it } from '@jest/globals';
import { type BackendStatus, CommitFailedError, CommitUnknownError } from '@harikube/keyspace';
import { Gate } from './gate.js';
import { type HarnessOptions, KeyspaceHarness, putOp, watchOf } from './keyspace-harness.js';

/** Long enough for everything that is meant to succeed. */
const TIMEOUT_MS = 700;
/** What a refusal "at once" may take on a machine that is busy. */
const AT_ONCE_MS = 500;

const open: KeyspaceHarness[] = [];

async function start(options: HarnessOptions = {}): Promise<KeyspaceHarness> {
  const harness = await KeyspaceHarness.open({ others: ['user', 'email'], requestTimeoutMs: TIMEOUT_MS, ...options });
  open.push(harness);
  return harness;
}

afterEach(async () => {
  for (const harness of open.splice(0)) {
    clear(harness);
    await harness.close();
    expect(harness.openSnapshots).toBe(0);
  }
});

function clear(harness: KeyspaceHarness): void {
  for (const hooks of Object.values(harness.hooks)) for (const name of Object.keys(hooks)) delete hooks[name as keyof typeof hooks];
}

function status(harness: KeyspaceHarness, name: string): BackendStatus {
  const found = harness.keyspace.backendStatus().find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no backend ${name}`);
  return found;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** How long something takes to be refused, and with what. */
async function refusal(work: () => Promise<unknown>): Promise<{ readonly milliseconds: number; readonly error: Error }> {
  const began = performance.now();
  try {
    await work();
  } catch (error) {
    return { milliseconds: performance.now() - began, error: error as Error };
  }
  throw new Error('it was not refused');
}

async function expectRefused(work: () => Promise<unknown>, backend: string, reason: RegExp, withinMs = AT_ONCE_MS): Promise<void> {
  const { milliseconds, error } = await refusal(work);
  expect(error).toMatchObject({ name: 'UnavailableError', backend, message: expect.stringMatching(reason) });
  expect(milliseconds).toBeLessThan(withinMs);
}

async function expectUnknown(work: () => Promise<unknown>, backend: string, withinMs: number): Promise<void> {
  const { milliseconds, error } = await refusal(work);
  expect(error).toMatchObject({ name: 'UnknownOutcomeError', backend });
  expect(milliseconds).toBeLessThan(withinMs);
}

describe('a database that does not answer reads', () => {
  it('is waited for only so long, by the requests that need it', async () => {
    const harness = await start({ cacheBytes: 0 });
    await harness.put('/user/a', 'one'); // 2
    const gate = new Gate();
    harness.hook('user').beforeRead = () => gate.pass();
    const late = /"user" is unavailable: its database has not answered within 0.7 seconds/;
    const inTime = TIMEOUT_MS + AT_ONCE_MS;
    await Promise.all([
      expectRefused(() => harness.get('/user/a'), 'user', late, inTime),
      expectRefused(() => harness.list('/user/'), 'user', late, inTime),
      expectRefused(() => harness.list(''), 'user', late, inTime),
      expectRefused(() => harness.get('/user/a', { revision: 2n }), 'user', late, inTime),
      expectRefused(() => harness.update('/user/a', 'two', 2n), 'user', late, inTime),
      expectRefused(() => harness.delete('/user/', true), 'user', late, inTime),
      expectRefused(() => harness.delete('/', true), 'user', late, inTime),
      harness.put('/email/a', 'x'),
      harness.list('/email/'),
      harness.list('/b/'),
    ]);
    gate.open();
    delete harness.hook('user').beforeRead;
    // What was refused was not written later on.
    expect((await harness.list('')).kvs).toEqual(['/email/a=x@3', '/user/a=one@2']);
    expect(await harness.update('/user/a', 'two', 2n)).toMatchObject({ succeeded: true });
    expect(status(harness, 'user')).toMatchObject({ isReady: true, isInDoubt: false, problem: '' });
  });

  it('in the middle of a large answer ends that answer, and gives its snapshot up', async () => {
    const harness = await start();
    for (let i = 0; i < 10; i++) await harness.put(`/user/${i}`, 'x'.repeat(30_000));
    const gate = new Gate();
    harness.hook('user').beforeBlock = () => gate.pass();
    const { rest } = await harness.range(watchOf('/user/').range);
    await expect(rest?.next()).rejects.toThrow(/has not answered/);
    await until(() => harness.openSnapshots === 0);
    gate.open();
  });
});

describe('a database that does not answer a commit', () => {
  it('is told of as an unknown outcome in time; what waits behind is refused and never written', async () => {
    const harness = await start();
    await harness.put('/user/a', 'one'); // 2
    const recorder = harness.watch('');
    const gate = new Gate();
    harness.hook('user').beforeCommit = () => gate.pass();
    const write = refusal(() => harness.put('/user/a', 'two')); // 3
    await gate.arrived;
    const behind = refusal(() => harness.put('/user/b', 'two'));
    await harness.put('/b', 'x'); // 4: a read of users has to wait for 3 now
    const reading = refusal(() => harness.list('/user/'));
    const told = await write;
    expect(told.error).toMatchObject({ name: 'UnknownOutcomeError', backend: 'user' });
    expect(told.milliseconds).toBeLessThan(TIMEOUT_MS + AT_ONCE_MS);
    for (const { error, milliseconds } of [await behind, await reading]) {
      expect(error).toMatchObject({ name: 'UnavailableError', backend: 'user' });
      expect(milliseconds).toBeLessThan(TIMEOUT_MS + AT_ONCE_MS);
    }
    await until(() => status(harness, 'user').isInDoubt);
    const doubt = /nobody knows yet what became of its last commit: its database has not answered/;
    expect(status(harness, 'user')).toMatchObject({ isReady: true, hasPending: true, problem: expect.stringMatching(doubt) });
    await expectRefused(() => harness.put('/user/c', 'x'), 'user', doubt);
    await expectRefused(() => harness.list('/user/'), 'user', doubt);
    await expectRefused(() => harness.list(''), 'user', doubt);
    expect(await harness.put('/email/a', 'x')).toBe(5n);
    gate.open();
    await until(() => !status(harness, 'user').isInDoubt);
    expect(await harness.put('/user/a', 'three')).toBe(6n);
    await recorder.until(() => recorder.reached() >= 6n);
    expect(recorder.events().map(({ key, value, revision }) => `${key}=${value}@${revision}`)).toEqual([
      '/user/a=two@3',
      '/b=x@4',
      '/email/a=x@5',
      '/user/a=three@6',
    ]);
    expect(status(harness, 'user')).toMatchObject({ isInDoubt: false, hasPending: false, problem: '' });
  });

  it('and fails in the end has written nothing, and goes on', async () => {
    const harness = await start();
    const recorder = harness.watch('/user/');
    const gate = new Gate();
    harness.hook('user').beforeCommit = async () => {
      await gate.pass();
      throw new CommitFailedError('lock timeout');
    };
    expect((await refusal(() => harness.put('/user/a', 'one'))).error).toMatchObject({ name: 'UnknownOutcomeError' });
    delete harness.hook('user').beforeCommit;
    gate.open();
    await until(() => !status(harness, 'user').isInDoubt);
    const revision = await harness.put('/user/a', 'two');
    await recorder.until(() => recorder.reached() >= revision);
    expect(recorder.texts().slice(1)).toEqual([`events 0: /user/a=two@${revision}`]);
  });

  it('does not keep a stop from ending', async () => {
    const harness = await start();
    const gate = new Gate();
    harness.hook('user').beforeCommit = () => gate.pass();
    const write = refusal(() => harness.put('/user/a', 'one'));
    await gate.arrived;
    await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS / 2));
    const behind = refusal(() => harness.put('/user/b', 'one'));
    const began = performance.now();
    await harness.close();
    expect(performance.now() - began).toBeLessThan(3 * TIMEOUT_MS);
    expect((await write).error).toMatchObject({ name: 'UnknownOutcomeError' });
    expect((await behind).error).toMatchObject({ name: expect.stringMatching(/UnavailableError|StoppedError/) });
    gate.open();
    clear(harness);
    await harness.start();
    // The number was handed out: it is not used again, whatever became of the write.
    expect(await harness.put('/user/b', 'x')).toBeGreaterThan(2n);
  });
});

describe('a commit whose outcome its database does not tell', () => {
  it.each([
    ['took place', true],
    ['did not take place', false],
  ])('and that %s is settled when the database is back, without a restart', async (_name, tookPlace) => {
    const harness = await start({ cacheBytes: 0 });
    await harness.put('/user/a', 'one'); // 2
    const users = harness.watch('/user/', { progressNotify: true });
    const all = harness.watch('');
    const hooks = harness.hook('user');
    const lost = (): void => {
      throw new CommitUnknownError('connection lost');
    };
    if (tookPlace) hooks.afterCommit = lost;
    else hooks.beforeCommit = lost;
    hooks.beforeResolve = () => {
      throw new Error('connection refused');
    };
    const { error, milliseconds } = await refusal(() => harness.put('/user/a', 'two')); // 3
    expect([error.name, milliseconds < AT_ONCE_MS]).toEqual(['UnknownOutcomeError', true]);
    delete hooks.afterCommit;
    delete hooks.beforeCommit;
    await harness.put('/b', 'x'); // 4
    await until(() => status(harness, 'user').isInDoubt);
    await Promise.all([
      expectRefused(() => harness.put('/user/b', 'x'), 'user', /connection refused/),
      expectRefused(() => harness.update('/user/a', 'x', 2n), 'user', /connection refused/),
      expectRefused(() => harness.get('/user/a'), 'user', /connection refused/),
      expectRefused(() => harness.list(''), 'user', /connection refused/),
    ]);
    expect(await harness.put('/email/a', 'x')).toBe(5n);
    expect([users.events(), all.events()]).toEqual([[], []]);
    delete hooks.beforeResolve;
    await users.until(() => users.reached() >= (tookPlace ? 3n : 0n));
    await until(() => !status(harness, 'user').isInDoubt);
    expect(await harness.put('/user/a', 'three')).toBe(6n);
    await all.until(() => all.reached() >= 6n);
    await users.until(() => users.reached() >= 6n);
    const wanted = tookPlace ? ['two@3', 'three@6'] : ['three@6'];
    expect(users.events().map(({ value, revision }) => `${value}@${revision}`)).toEqual(wanted);
    expect(all.events().map(({ revision }) => revision)).toEqual(tookPlace ? [3n, 4n, 5n, 6n] : [4n, 5n, 6n]);
    expect((await harness.get('/user/a')).kv?.version).toBe(tookPlace ? 3n : 2n);
    expect(harness.warnings.filter((text) => text.includes('not known'))).toHaveLength(1);
  });

  it('turns those away who wait for it when it becomes clear that it will take longer', async () => {
    const harness = await start({ requestTimeoutMs: 60_000 });
    const hooks = harness.hook('user');
    hooks.afterCommit = () => {
      throw new CommitUnknownError('connection lost');
    };
    const gate = new Gate();
    hooks.beforeResolve = async () => {
      await gate.pass();
      throw new Error('connection refused');
    };
    await refusal(() => harness.put('/user/a', 'one')); // 2
    await harness.put('/b', 'x'); // 3
    const waiting = [refusal(() => harness.list('/user/')), refusal(() => harness.put('/user/b', 'x')), refusal(() => harness.list(''))];
    await settle();
    gate.open();
    for (const { error } of await Promise.all(waiting)) expect(error).toMatchObject({ name: 'UnavailableError', backend: 'user' });
    delete hooks.afterCommit;
    delete hooks.beforeResolve;
    await until(() => !status(harness, 'user').isInDoubt);
    expect((await harness.list('/user/')).kvs).toEqual(['/user/a=one@2']);
  });
});

describe('the default store', () => {
  it('that is away answers what it has to record in time, without knowing what becomes of it, and serves all else as long as the lease lasts', async () => {
    const harness = await start();
    const gate = new Gate();
    const { id } = await harness.keyspace.grantLease(60n, 0n);
    await harness.put('/user/a', 'one');
    harness.hook('main').beforeControl = () => gate.pass();
    const inTime = TIMEOUT_MS + AT_ONCE_MS;
    await Promise.all([
      expectUnknown(() => harness.keyspace.grantLease(60n, 0n), 'main', inTime),
      expectRefused(() => harness.keyspace.keepAliveLease(id), 'main', /has not answered/, inTime),
      expectUnknown(() => harness.keyspace.compact(2n), 'main', inTime),
      harness.put('/user/a', 'two'),
      harness.put('/b', 'two'),
      harness.list(''),
    ]);
    gate.open();
    await until(() => harness.keyspace.status().compactRevision === 2n);
  });

  it('that is away for longer than the lease refuses everything by its name, and keeps the watches open', async () => {
    const harness = await start({ leaseMs: 300, cacheBytes: 1 << 20 });
    await harness.put('/user/a', 'one'); // 2
    const recorder = harness.watch('/user/');
    harness.hook('main').beforeControl = () => {
      throw new Error('connection refused');
    };
    await until(() => !harness.keyspace.writer.isHeld);
    const reason = /"main" is unavailable: the writer lease has run out, since it could not be renewed: connection refused/;
    await Promise.all([
      expectRefused(() => harness.get('/user/a'), 'main', reason),
      expectRefused(() => harness.list(''), 'main', reason),
      expectRefused(() => harness.get('/user/a', { revision: 2n }), 'main', reason),
      expectRefused(() => harness.get('/user/a', { revision: 99n }), 'main', reason),
      expectRefused(() => harness.put('/user/a', 'two'), 'main', reason),
      expectRefused(() => harness.create('/user/a', 'two'), 'main', reason),
      expectRefused(() => harness.txn([], []), 'main', reason),
      expectRefused(() => harness.delete('/user/', true), 'main', reason),
      expectRefused(() => harness.keyspace.compact(2n), 'main', reason),
      expectRefused(() => harness.keyspace.grantLease(60n, 0n), 'main', reason),
      expectRefused(() => harness.keyspace.keepAliveLease(1n), 'main', reason),
      expectRefused(() => harness.keyspace.revokeLease(1n), 'main', reason),
    ]);
    delete harness.hook('main').beforeControl;
    await until(() => harness.keyspace.writer.isHeld);
    const revision = await harness.put('/user/a', 'two');
    await recorder.until(() => recorder.reached() >= revision);
    expect(recorder.texts().slice(1)).toEqual([`events 0: /user/a=two@${revision}`]);
  });

  it('whose lease ran out while something was read refuses the answer', async () => {
    const harness = await start({ leaseMs: 200, cacheBytes: 0, requestTimeoutMs: 60_000 });
    await harness.put('/user/a', 'one'); // 2
    for (const read of [
      () => harness.get('/user/a'),
      () => harness.list('/user/'),
      () => harness.list(''),
      () => harness.get('/user/a', { revision: 2n }),
      () => harness.update('/user/a', 'two', 7n), // a compare that fails is a read
      () => harness.txn([], [putOp('/user/none', '', { ignoreValue: true })]),
    ]) {
      const gate = new Gate();
      harness.hook('user').afterRead = () => gate.pass();
      const reading = refusal(read);
      await gate.arrived;
      harness.hook('main').beforeControl = () => {
        throw new Error('connection refused');
      };
      await until(() => !harness.keyspace.writer.isHeld);
      gate.open();
      expect((await reading).error).toMatchObject({ name: 'UnavailableError', backend: 'main' });
      clear(harness);
      await until(() => harness.keyspace.writer.isHeld);
    }
    expect((await harness.list('')).kvs).toEqual(['/user/a=one@2']);
  });

  it('whose lease ran out while a watch read the log tells it later', async () => {
    const harness = await start({ leaseMs: 200, eventBytes: 0, requestTimeoutMs: 60_000 });
    for (const value of ['one', 'two', 'three']) await harness.put('/user/a', value); // 2 to 4
    const gate = new Gate();
    harness.hook('user').afterRead = () => gate.pass();
    const recorder = harness.watch('/user/', { startRevision: 2n });
    await gate.arrived;
    harness.hook('main').beforeControl = () => {
      throw new Error('connection refused');
    };
    await until(() => !harness.keyspace.writer.isHeld);
    gate.open();
    await settle();
    expect(recorder.events()).toEqual([]);
    clear(harness);
    await recorder.until(() => recorder.reached() >= 4n);
    expect(recorder.events().map(({ revision }) => revision)).toEqual([2n, 3n, 4n]);
  });
});
