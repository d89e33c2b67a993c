import { afterEach, describe, expect, it } from '@jest/globals';
import { affectedRanges, endpointLocation, MAIN, parseTopology, Topology } from '@harikube/datasources';
import {
  CommitFailedError,
  CompactedError,
  Keyspace,
  prefixRange,
  revisionOf,
  type RoutingChange,
  type RoutingVerdict,
  singleKey,
  WriterLease,
} from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import { Gate } from './gate.js';
import type { WatchedEvent } from './history-checker.js';
import { getOp, kvsOf, putOp, watchOf } from './keyspace-harness.js';
import { MemoryBackend, MemoryDatabase, type MemoryHooks } from './memory-backend.js';
import { Random } from './random.js';
import { RandomTopology } from './random-topology.js';
import { type ReroutedStore, tellRerouteStory } from './reroute-story.js';
import { someWriter } from './take-over.js';
import { watchedEvent, WatchRecorder } from './watch-recorder.js';

const BASE = '/registry/shop.example.com/';

/** A keyspace over databases in memory, one for each file that a topology names. */
class MemoryStore implements ReroutedStore {
  readonly #databases = new Map<string, MemoryDatabase>();
  readonly #backends = new Map<string, MemoryBackend>();
  topology = new Topology([]);

  private constructor(
    readonly keyspace: Keyspace,
    readonly main: MemoryBackend,
    database: MemoryDatabase,
    private readonly hooks: MemoryHooks,
  ) {
    this.#databases.set(MAIN, database);
  }

  static async open(hooks: MemoryHooks = {}): Promise<MemoryStore> {
    const main = new MemoryDatabase();
    const mainBackend = new MemoryBackend(MAIN, main, { ...hooks });
    const log = { info: () => undefined, warn: () => undefined };
    const lease = await WriterLease.acquire(mainBackend, { identity: someWriter(), log });
    const keyspace = await Keyspace.open({
      main: mainBackend,
      lease,
      backends: new Map(),
      routing: new Topology([]),
      cacheBytes: 40_000,
      eventBytes: 120_000,
      progressIntervalMs: 50,
      log,
    });
    return new MemoryStore(keyspace, mainBackend, main, hooks);
  }

  async apply(topology: Topology): Promise<number> {
    const { moves, problems } = await this.reroute(topology);
    expect(problems).toEqual([]);
    return moves.reduce((sum, { keys }) => sum + keys, 0);
  }

  async reroute(topology: Topology, change: Partial<RoutingChange> = {}): Promise<RoutingVerdict> {
    const backends = new Map(topology.rules.map(({ name, endpoint }) => [name, this.backend(endpointLocation(endpoint))]));
    const affected = affectedRanges(this.topology, topology);
    const verdict = await this.keyspace.reroute({ routing: topology, backends, affected, record: () => this.#record(), ...change });
    if (verdict.moves.length === 0 && verdict.problems.length === 0) this.topology = topology;
    return verdict;
  }

  /** `key@revision` of each row of a database. */
  rows(file: string): string[] {
    const rows = this.#databases.get(file)?.log ?? [];
    return rows.map(({ id, key }) => `${key.toString().replace(BASE, '')}@${revisionOf(id)}`);
  }

  async truth(): Promise<WatchedEvent[]> {
    const query = { range: { start: Buffer.alloc(0), end: null, single: false }, after: 0n, through: 1n << 60n, maxBytes: 1 << 30 };
    const answers = await Promise.all([...this.#databases.values()].map((database) => new MemoryBackend('truth', database).changes(query)));
    return answers
      .flatMap(({ changes }) => changes)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ isDelete, record, prevRecord }) => watchedEvent(isDelete, record, prevRecord));
  }

  #record(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 1));
  }

  backend(file: string): MemoryBackend {
    let backend = this.#backends.get(file);
    if (backend === undefined) {
      const database = new MemoryDatabase();
      backend = new MemoryBackend(file, database, { ...this.hooks });
      this.#databases.set(file, database);
      this.#backends.set(file, backend);
    }
    return backend;
  }
}

/** Databases that answer when they like. */
function unevenHooks(random: Random): MemoryHooks {
  const pause = async (): Promise<void> => {
    if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
    if (random.chance(0.1)) await new Promise((resolve) => setTimeout(resolve, random.below(4)));
  };
  return { beforeCommit: pause, afterCommit: pause, beforeRead: pause, afterRead: pause, beforeControl: pause };
}

describe('a keyspace whose topology changes again and again', () => {
  it.each([
    [1, false],
    [2, false],
    [3, false],
    [4, false],
    [5, true],
    [6, true],
  ])(
    'tells one story to all its clients (seed %i, compacting: %j)',
    async (seed, compacts) => {
      const random = new Random(seed);
      const store = await MemoryStore.open(unevenHooks(new Random(seed + 1000)));
      const topologies = new RandomTopology(random, (file) => `sqlite:///${file}`);
      const outcome = await tellRerouteStory(store, topologies, { random, changes: 30, compacts });
      expect([outcome.writes > 30, outcome.lists > 15, outcome.watches > 6]).toEqual([true, true, true]);
      await store.keyspace.close();
    },
    120_000,
  );
});

describe('a change of the topology', () => {
  const open: MemoryStore[] = [];

  afterEach(async () => {
    for (const store of open.splice(0)) await store.keyspace.close();
  });

  async function start(): Promise<MemoryStore> {
    const store = await MemoryStore.open();
    open.push(store);
    return store;
  }

  /** Each of these kinds in a database of its own. */
  function kindsApart(...kinds: readonly string[]): Topology {
    const backends = kinds.map((kind) => ({
      name: kind,
      endpoint: `sqlite:///${kind}`,
      customresource: { group: 'shop.example.com', kind },
    }));
    return parseTopology(JSON.stringify({ backends }), 'topology.yaml');
  }

  const key = (name: string): string => `${BASE}${name}`;
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  };

  it('holds back what touches its keys while it is recorded, and nothing else', async () => {
    const store = await start();
    const { keyspace } = store;
    const gate = new Gate();
    const changing = store.reroute(kindsApart('users'), { record: () => gate.pass() });
    await gate.arrived;
    const done: string[] = [];
    const note = (name: string) => () => void done.push(name);
    const write = { type: 'txn', compares: [], success: [putOp(key('orders/a'), 'x'), putOp(key('users/b'), 'x')], failure: [] } as const;
    const read = { type: 'txn', compares: [], success: [getOp(key('users/'), true)], failure: [] } as const;
    const held = [
      keyspace.put(putOp(key('users/a'), 'x')).then(note('put')),
      keyspace.txn(write).catch(note('txn')),
      keyspace.txn(read).then(note('read in a txn')),
      keyspace.deleteRange({ type: 'delete', range: prefixRange(bytesOf(key('users/'))), prevKv: false }).then(note('delete')),
    ];
    await keyspace.put(putOp(key('orders/b'), 'x'));
    const list = await keyspace.range({
      type: 'range',
      range: watchOf('').range,
      limit: 0,
      revision: 0n,
      keysOnly: false,
      countOnly: false,
    });
    expect((await kvsOf(list)).length).toBe(1);
    await turns();
    expect(done).toEqual([]);
    gate.open();
    expect(await changing).toEqual({ moves: [], problems: [] });
    await Promise.all(held);
    expect(done.toSorted()).toEqual(['delete', 'put', 'read in a txn', 'txn']);
    expect([store.rows('/users')[0], store.rows('main')]).toEqual([
      expect.stringMatching(/^users\/a@/),
      [expect.stringMatching(/^orders\/b@/)],
    ]);
  });

  it('waits for what is being committed, and is refused for what that wrote', async () => {
    const store = await start();
    const commit = new Gate();
    store.main.hooks.beforeCommit = () => commit.pass();
    const writing = store.keyspace.put(putOp(key('users/a'), 'x'));
    await commit.arrived;
    const changing = store.reroute(kindsApart('users'));
    await turns();
    const late = store.keyspace.put(putOp(key('users/b'), 'x'));
    commit.open();
    await writing;
    const move = { from: 'main', to: 'users', keys: 1, bytes: expect.any(Number), example: key('users/a') };
    expect(await changing).toEqual({ moves: [move], problems: [] });
    await late;
    expect(store.rows('main').map((row) => row.replace(/@.*/, ''))).toEqual(['users/a', 'users/b']);
  });

  it('is given up when a commit hangs, and everything goes on', async () => {
    const store = await start();
    const commit = new Gate();
    store.main.hooks.beforeCommit = () => commit.pass();
    const hanging = store.keyspace.put(putOp(key('orders/a'), 'x'));
    await commit.arrived;
    const changing = store.reroute(kindsApart('users'), { patienceMs: 20 });
    const verdict = await changing;
    expect(verdict).toEqual({
      moves: [],
      problems: [expect.stringMatching(/^the change was given up, .*: not done within 0.02 seconds$/)],
    });
    const waiting = store.keyspace.put(putOp(key('users/a'), 'x'));
    commit.open();
    await Promise.all([hanging, waiting]);
    expect(store.rows('main').length).toBe(2);
    await store.keyspace.deleteRange({ type: 'delete', range: singleKey(bytesOf(key('users/a'))), prevKv: false });
    expect(await store.reroute(kindsApart('users'))).toEqual({ moves: [], problems: [] });
  });

  it('does not take place when it cannot be recorded', async () => {
    const store = await start();
    const verdict = await store.reroute(kindsApart('users'), { record: () => Promise.reject(new Error('disk full')) });
    expect(verdict.problems).toEqual([expect.stringMatching(/disk full/)]);
    await store.keyspace.put(putOp(key('users/a'), 'x'));
    expect([store.rows('main').length, store.rows('/users')]).toEqual([1, []]);
    expect(store.keyspace.backendStatus().map(({ name }) => name)).toEqual(['main']);
  });

  it('does not take place when the database that comes in cannot be opened, or holds keys', async () => {
    const store = await start();
    const users = store.backend('/users');
    users.hooks.beforeControl = () => Promise.reject(new Error('no such disk'));
    expect((await store.reroute(kindsApart('users'))).problems).toEqual(['backend "users" cannot be opened: no such disk']);
    delete users.hooks.beforeControl;
    const other = await start();
    await other.reroute(kindsApart('users'));
    await other.keyspace.put(putOp(key('users/a'), 'x'));
    const backends = new Map([['users', other.backend('/users')]]);
    const taken = { routing: kindsApart('users'), backends, affected: [], record: () => Promise.resolve() };
    expect((await store.keyspace.reroute(taken)).problems).toEqual([expect.stringMatching(/belongs to the store/)]);
    expect(await store.reroute(kindsApart('users'))).toEqual({ moves: [], problems: [] });
  });

  it('does not take place while a database cannot be asked what it holds', async () => {
    const store = await start();
    await store.reroute(kindsApart('users'));
    const users = store.backend('/users');
    users.hooks.beforeRead = () => {
      throw new CommitFailedError('disk gone');
    };
    expect((await store.reroute(kindsApart())).problems).toEqual([
      expect.stringMatching(/^backend "users" cannot be asked .*: .*disk gone$/),
    ]);
    // What does not concern it can be changed.
    expect(await store.reroute(kindsApart('users', 'orders'))).toEqual({ moves: [], problems: [] });
    expect(await store.reroute(kindsApart('orders'), { abandoned: new Set([users]) })).toEqual({ moves: [], problems: [] });
    await store.keyspace.put(putOp(key('users/a'), 'x'));
    expect(store.rows('main').length).toBe(1);
  });

  it.each([
    ['a list', 'range'],
    ['a get', 'load'],
  ] as const)('does not let %s miss what is written right behind it', async (_name, method) => {
    const store = await start();
    const { keyspace } = store;
    await keyspace.put(putOp(key('orders/a'), 'x'));
    const reading = new Gate();
    store.main.hooks.beforeRead = (asked) => (asked === method ? reading.pass() : undefined);
    const range = method === 'range' ? prefixRange(bytesOf(key('users/'))) : singleKey(bytesOf(key('users/a')));
    const answer = keyspace.range({ type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false });
    await reading.arrived;
    delete store.main.hooks.beforeRead;
    expect(await store.reroute(kindsApart('users'))).toEqual({ moves: [], problems: [] });
    const { revision } = await keyspace.put(putOp(key('users/a'), 'x'));
    await keyspace.put(putOp(key('orders/a'), 'y'));
    reading.open();
    const result = await answer;
    expect([result.revision >= revision, (await kvsOf(result)).length]).toEqual([true, 1]);
  });

  it('closes what has gone when its last answer is read', async () => {
    const store = await start();
    await store.reroute(kindsApart('users'));
    const { keyspace } = store;
    for (let i = 0; i < 10; i++) await keyspace.put(putOp(key(`users/${i}`), 'x'.repeat(30_000)));
    const { revision } = await keyspace.put(putOp(key('orders/a'), 'x'));
    const range = prefixRange(bytesOf(key('users/')));
    for (let i = 0; i < 10; i++)
      await keyspace.deleteRange({ type: 'delete', range: singleKey(bytesOf(key(`users/${i}`))), prevKv: false });
    await store.reroute(kindsApart());
    const before = await keyspace.range({ type: 'range', range, limit: 0, revision, keysOnly: false, countOnly: false });
    const last = await keyspace.put(putOp(key('orders/a'), 'y'));
    await keyspace.compact(last.revision);
    expect(keyspace.retired()).toEqual([]);
    expect((await kvsOf(before)).length).toBe(10);
    const users = store.backend('/users');
    await keyspace.compact((await keyspace.put(putOp(key('orders/a'), 'z'))).revision);
    await turns();
    await expect(users.size()).rejects.toThrow(/closed/);
  });

  it('lets a lease end, and be asked for its keys, while a database goes', async () => {
    const store = await start();
    await store.reroute(kindsApart('users'));
    const { keyspace } = store;
    const { id } = await keyspace.grantLease(60n, 0n);
    await keyspace.put(putOp(key('orders/a'), 'x', { lease: id }));
    const users = store.backend('/users');
    const asked = new Gate();
    users.hooks.beforeRead = (method) => (method === 'keysOfLease' ? asked.pass() : undefined);
    const life = keyspace.leaseLife(id, true);
    await asked.arrived;
    const revoked = keyspace.revokeLease(id);
    await turns();
    expect(await store.reroute(kindsApart(), { abandoned: new Set([users]) })).toEqual({ moves: [], problems: [] });
    await turns();
    await expect(users.size()).rejects.toThrow(/closed/);
    asked.open();
    await revoked;
    expect((await life)?.keys.map(String)).toEqual([key('orders/a')]);
    expect([await keyspace.leaseLife(id, true), store.keyspace.backendStatus()[0]?.problem]).toEqual([null, '']);
  });

  /** A store whose users are of the past, in a database that goes with the next compaction; the revision at which there was one. */
  async function withFormerUsers(): Promise<{ store: MemoryStore; users: MemoryBackend; at: bigint }> {
    const store = await start();
    await store.reroute(kindsApart('orders', 'users'));
    const { revision: at } = await store.keyspace.put(putOp(key('users/a'), 'x'));
    await store.keyspace.deleteRange({ type: 'delete', range: singleKey(bytesOf(key('users/a'))), prevKv: false });
    const users = store.backend('/users');
    await store.reroute(kindsApart('orders'));
    return { store, users, at };
  }

  it('is not told as the failing of a database to who reads what a compaction has passed', async () => {
    const { store, users, at } = await withFormerUsers();
    const { keyspace } = store;
    const commit = new Gate();
    store.main.hooks.beforeCommit = () => commit.pass();
    const pending = keyspace.put(putOp(key('carts/a'), 'x'));
    await commit.arrived;
    const { revision } = await keyspace.put(putOp(key('orders/a'), 'x'));
    const range = prefixRange(bytesOf(key('users/')));
    // It waits for what is pending.
    const read = keyspace.range({ type: 'range', range, limit: 0, revision: at, keysOnly: false, countOnly: false });
    const refused = expect(read).rejects.toBeInstanceOf(CompactedError);
    await keyspace.compact(revision);
    await turns();
    await expect(users.size()).rejects.toThrow(/closed/);
    commit.open();
    await pending;
    await refused;
  });

  it('lets a hash begin anew when a database goes with what a compaction has passed', async () => {
    const { store, users } = await withFormerUsers();
    const { keyspace } = store;
    const asked = new Gate();
    store.main.hooks.beforeRead = (method) => (method === 'changes' ? asked.pass() : undefined);
    const hashing = keyspace.hash(0n);
    await asked.arrived;
    await keyspace.compact((await keyspace.put(putOp(key('orders/a'), 'x'))).revision);
    await turns();
    await expect(users.size()).rejects.toThrow(/closed/);
    asked.open();
    expect(await hashing).toEqual(await keyspace.hash(0n));
  });

  it('lets a deletion over several databases begin anew when one of them goes', async () => {
    const store = await start();
    await store.reroute(kindsApart('orders', 'users'));
    const { keyspace } = store;
    await keyspace.put(putOp(key('orders/a'), 'x'));
    const asked = new Gate();
    const users = store.backend('/users');
    users.hooks.beforeRead = (method) => (method === 'range' ? asked.pass() : undefined);
    const deleting = keyspace.deleteRange({ type: 'delete', range: prefixRange(bytesOf(BASE)), prevKv: false });
    await asked.arrived;
    expect(await store.reroute(kindsApart('orders'), { abandoned: new Set([users]) })).toEqual({ moves: [], problems: [] });
    await turns();
    asked.open();
    expect((await deleting).deleted).toBe(1);
  });

  it('lets a watch go on that waited for a database which is given up', async () => {
    const store = await start();
    await store.reroute(kindsApart('users', 'orders'));
    const { keyspace } = store;
    const recorder = new WatchRecorder();
    keyspace.watch(recorder).create(watchOf(key('orders/')));
    const users = store.backend('/users');
    const commit = new Gate();
    users.hooks.beforeCommit = () => commit.pass();
    const lost = keyspace.put(putOp(key('users/a'), 'x')).catch((error: unknown) => error);
    await commit.arrived;
    expect(await store.reroute(kindsApart('orders'), { abandoned: new Set([users]) })).toEqual({ moves: [], problems: [] });
    await keyspace.put(putOp(key('orders/a'), 'x'));
    await recorder.until(() => recorder.events().length === 1);
    const all = await keyspace.range({
      type: 'range',
      range: watchOf('').range,
      limit: 0,
      revision: 0n,
      keysOnly: false,
      countOnly: false,
    });
    expect((await kvsOf(all)).length).toBe(1);
    commit.open();
    await lost;
  });
});
