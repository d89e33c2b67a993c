import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parseEndpoint, parseTopology, type Topology, TopologyManager, type TopologyManagerOptions } from '@harikube/datasources';
import { prefixRange, type RangeRequest, type Revision } from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import { kvsOf, putOp, watchOf } from './keyspace-harness.js';
import { WatchRecorder } from './watch-recorder.js';

let folder: string;
const open: TopologyManager[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-topology-'));
});

afterEach(async () => {
  for (const manager of open.splice(0)) await manager.close();
  await rm(folder, { recursive: true });
});

interface Rule {
  readonly name: string;
  readonly kind: string;
  readonly file?: string;
  readonly parameters?: string;
}

/** Rules of kinds of one group, each in a file of its own. */
function topologyOf(...rules: readonly (string | Rule)[]): Topology {
  const backends = rules
    .map((rule) => (typeof rule === 'string' ? { name: rule, kind: rule } : rule))
    .map(({ name, kind, file = `${kind}.db`, parameters = '' }) => ({
      name,
      endpoint: `sqlite://${join(folder, file)}${parameters}`,
      customresource: { group: 'shop.example.com', kind },
    }));
  return parseTopology(JSON.stringify({ backends }), 'topology.yaml');
}

async function start(startFrom: TopologyManagerOptions['startFrom'] = { topology: topologyOf() }): Promise<TopologyManager> {
  const manager = await TopologyManager.open({
    main: { endpoint: parseEndpoint(`sqlite://${join(folder, 'main.db')}`), tls: null, pool: {} },
    startFrom,
    topologyOptions: {},
    defaults: { compactBatchSize: 1000, requestTimeoutMs: 5000 },
    writer: { identity: { holder: 'test', address: '', leaseMs: 5000 } },
    keyspace: {
      cacheBytes: 1 << 20,
      eventBytes: 1 << 20,
      progressIntervalMs: 3_600_000,
      log: { info: () => undefined, warn: () => undefined },
    },
  });
  open.push(manager);
  return manager;
}

async function stop(manager: TopologyManager): Promise<void> {
  open.splice(open.indexOf(manager), 1);
  await manager.close();
}

function keyOf(kind: string, name: string): string {
  return `/registry/shop.example.com/${kind}/ns/${name}`;
}

async function put({ keyspace }: TopologyManager, kind: string, name: string): Promise<Revision> {
  return (await keyspace.put(putOp(keyOf(kind, name), `${kind} ${name}`))).revision;
}

async function remove({ keyspace }: TopologyManager, kind: string, name: string): Promise<Revision> {
  return (await keyspace.deleteRange({ type: 'delete', range: prefixRange(bytesOf(keyOf(kind, name))), prevKv: false })).revision;
}

async function list({ keyspace }: TopologyManager, options: Partial<RangeRequest> = {}): Promise<string[]> {
  const range = prefixRange(bytesOf('/registry/'));
  const request = { type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false, ...options } as const;
  return (await kvsOf(await keyspace.range(request))).map(({ key }) => key.toString().replace('/registry/shop.example.com/', ''));
}

function watch({ keyspace }: TopologyManager, prefix = '/registry/', startRevision = 0n): WatchRecorder {
  const recorder = new WatchRecorder();
  keyspace.watch(recorder).create(watchOf(prefix, { startRevision }));
  return recorder;
}

function told(recorder: WatchRecorder): string[] {
  return recorder.events().map(({ key, isDelete }) => `${isDelete ? '-' : '+'}${key.replace('/registry/shop.example.com/', '')}`);
}

describe('a topology that is applied while the store is in use', () => {
  it('gives a kind without keys a database of its own, and the watches of it go on', async () => {
    const manager = await start();
    const everything = watch(manager);
    const users = watch(manager, '/registry/shop.example.com/users/');
    await put(manager, 'orders', 'a');
    expect(await manager.apply(topologyOf('users'))).toEqual({
      applied: true,
      plan: { changes: [expect.objectContaining({ kind: 'add', backend: 'users' })], moves: [], problems: [] },
    });
    await put(manager, 'users', 'a');
    await put(manager, 'orders', 'b');
    await users.until(() => users.events().length === 1);
    await everything.until(() => everything.events().length === 3);
    expect([told(everything), told(users)]).toEqual([['+orders/ns/a', '+users/ns/a', '+orders/ns/b'], ['+users/ns/a']]);
    expect(await list(manager)).toEqual(['orders/ns/a', 'orders/ns/b', 'users/ns/a']);
    const counts = (await manager.backends()).map(({ name, keys }) => [name, keys]);
    expect(counts).toEqual([
      ['users', 1],
      ['main', 2],
    ]);
  });

  it('is refused with the number of keys that it would hide, and nothing changes', async () => {
    const manager = await start();
    for (const name of ['a', 'b', 'c']) await put(manager, 'users', name);
    const { applied, plan } = await manager.apply(topologyOf('users'));
    const move = { from: 'main', to: 'users', keys: 3, bytes: expect.any(Number), example: keyOf('users', 'a') };
    expect([applied, plan.moves, plan.problems]).toEqual([false, [move], []]);
    expect(await manager.plan(topologyOf('users'))).toEqual(plan);
    expect(manager.topology.rules).toEqual([]);
    await put(manager, 'users', 'd');
    expect((await list(manager)).length).toBe(4);
    for (const name of ['a', 'b', 'c', 'd']) await remove(manager, 'users', name);
    expect((await manager.apply(topologyOf('users'))).applied).toBe(true);
  });

  it('tells what was before from where it was', async () => {
    const manager = await start();
    await put(manager, 'users', 'a');
    const before = await put(manager, 'users', 'b');
    await remove(manager, 'users', 'a');
    await remove(manager, 'users', 'b');
    await manager.apply(topologyOf('users'));
    await put(manager, 'users', 'c');
    expect(await list(manager, { revision: before })).toEqual(['users/ns/a', 'users/ns/b']);
    expect(await list(manager)).toEqual(['users/ns/c']);
    const recorder = watch(manager, '/registry/shop.example.com/users/', 2n);
    await recorder.until(() => recorder.events().length === 5);
    expect(told(recorder)).toEqual(['+users/ns/a', '+users/ns/b', '-users/ns/a', '-users/ns/b', '+users/ns/c']);
  });

  it('closes what has gone as soon as compaction has passed it', async () => {
    const manager = await start({ topology: topologyOf('users') });
    const before = await put(manager, 'users', 'a');
    await remove(manager, 'users', 'a');
    await manager.apply(topologyOf());
    expect(await list(manager, { revision: before })).toEqual(['users/ns/a']);
    expect((await manager.backends()).map(({ name, retiredAt }) => [name, retiredAt])).toEqual([
      ['main', undefined],
      ['users', expect.any(String)],
    ]);
    const last = await put(manager, 'orders', 'a');
    await manager.keyspace.compact(last);
    expect((await manager.backends()).map(({ name }) => name)).toEqual(['main']);
    expect((await manager.apply(topologyOf('users'))).applied).toBe(true);
    await put(manager, 'users', 'b');
    expect(await list(manager)).toEqual(['orders/ns/a', 'users/ns/b']);
  });

  it('tells the very last change of a database after a compaction to it', async () => {
    const manager = await start({ topology: topologyOf('users') });
    await put(manager, 'users', 'a');
    const last = await remove(manager, 'users', 'a');
    await manager.apply(topologyOf());
    await put(manager, 'orders', 'a');
    await manager.keyspace.compact(last);
    const recorder = watch(manager, '/registry/shop.example.com/users/', last);
    await put(manager, 'users', 'b');
    await recorder.until(() => recorder.events().length === 2);
    expect(told(recorder)).toEqual(['-users/ns/a', '+users/ns/b']);
  });

  it('keeps the history over a restart', async () => {
    const manager = await start({ topology: topologyOf('users') });
    const before = await put(manager, 'users', 'a');
    await remove(manager, 'users', 'a');
    await manager.apply(topologyOf());
    await stop(manager);
    const again = await start('recorded');
    expect([again.version, again.topology.rules]).toEqual([manager.version, []]);
    expect(await list(again, { revision: before })).toEqual(['users/ns/a']);
  });

  it('begins the past anew when the database of it is gone at a start', async () => {
    const manager = await start({ topology: topologyOf('users') });
    const before = await put(manager, 'users', 'a');
    await remove(manager, 'users', 'a');
    await manager.apply(topologyOf());
    await stop(manager);
    await rm(join(folder, 'users.db'));
    const again = await start('recorded');
    await expect(list(again, { revision: before })).rejects.toThrow(/compacted/);
    expect(existsSync(join(folder, 'users.db'))).toBe(false);
  });

  it('calls a database by another name without touching it', async () => {
    const manager = await start({ topology: topologyOf('users', 'orders') });
    await put(manager, 'users', 'a');
    const recorder = watch(manager, '/registry/shop.example.com/users/');
    const renamed = topologyOf('orders', { name: 'people', kind: 'users' });
    const { plan } = await manager.apply(renamed);
    expect(plan.changes.map(({ kind, backend }) => `${kind} ${backend}`).toSorted()).toEqual([
      expect.stringMatching(/^rename people$/),
      expect.stringMatching(/^reorder (orders|people)$/),
    ]);
    await put(manager, 'users', 'b');
    await recorder.until(() => recorder.events().length === 1);
    expect((await manager.backends()).map(({ name, keys }) => [name, keys])).toEqual([
      ['orders', 0],
      ['people', 2],
      ['main', 0],
    ]);
    await stop(manager);
    const again = await start({ topology: renamed });
    expect(await list(again)).toEqual(['users/ns/a', 'users/ns/b']);
  });

  it('changes the settings of a file that stays open', async () => {
    const manager = await start({ topology: topologyOf('users') });
    await put(manager, 'users', 'a');
    const normal = topologyOf({ name: 'users', kind: 'users', parameters: '?_synchronous=NORMAL' });
    const { applied, plan } = await manager.apply(normal);
    expect([applied, plan.changes.map(({ kind }) => kind)]).toEqual([true, ['reconfigure']]);
    await put(manager, 'users', 'b');
    expect(await list(manager)).toEqual(['users/ns/a', 'users/ns/b']);
  });

  it.each([
    ['is the default database', 'main.db', /is the default database/],
    ['cannot be a file', '.', /is not a file/],
  ])('is refused when a file %s', async (_name, file, sentence) => {
    const manager = await start();
    const topology = topologyOf({ name: 'users', kind: 'users', file });
    const { applied, plan } = await manager.apply(topology);
    expect([applied, plan.problems]).toEqual([false, [expect.stringMatching(sentence)]]);
    expect((await manager.plan(topology)).problems).toEqual(plan.problems);
  });

  it('is refused when a file belongs to another store, or holds keys', async () => {
    const manager = await start({ topology: topologyOf('users') });
    await put(manager, 'users', 'a');
    await stop(manager);
    await rename(join(folder, 'main.db'), join(folder, 'other.db'));
    for (const suffix of ['-wal', '-shm']) await rm(join(folder, `main.db${suffix}`), { force: true });
    const other = await start();
    const { applied, plan } = await other.apply(topologyOf('users'));
    expect([applied, plan.problems]).toEqual([false, [expect.stringMatching(/belongs to the store/)]]);
  });

  it('may hide what was given up, and whoever watches it begins anew', async () => {
    const manager = await start({ topology: topologyOf('users', 'orders') });
    await put(manager, 'users', 'a');
    await put(manager, 'orders', 'a');
    const users = watch(manager, '/registry/shop.example.com/users/');
    const orders = watch(manager, '/registry/shop.example.com/orders/');
    expect((await manager.apply(topologyOf('orders'))).plan.moves).toEqual([
      expect.objectContaining({ from: 'users', to: 'main', keys: 1 }),
    ]);
    expect(await manager.abandon('users')).toBe(1);
    expect(await list(manager)).toEqual(['orders/ns/a', 'users/ns/a']);
    expect((await manager.apply(topologyOf('orders'))).applied).toBe(true);
    expect(await list(manager)).toEqual(['orders/ns/a']);
    expect(users.texts().at(-1)).toMatch(/^canceled 0 compacted/);
    await put(manager, 'orders', 'b');
    await orders.until(() => orders.events().length === 1);
    await expect(manager.abandon('users')).rejects.toThrow('there is no backend "users" to be abandoned; there are "orders"');
    await stop(manager);
    expect(await list(await start('recorded'))).toEqual(['orders/ns/a', 'orders/ns/b']);
  });
});
