import { afterAll, describe, expect, it } from '@jest/globals';
import { type DatabaseSettings, parseEtcd } from '@harikube/datasources';
import { EtcdBackend, EtcdCallError, EtcdClient, type EtcdClientOptions } from '@harikube/datasources/engines';
import { type Backend, CommitUnknownError, decodeKeyValue, keyRange, recordsOf, revisionOf } from '@harikube/keyspace';
import { BatchWriter, type Write } from './batch-writer.js';
import { ETCD_SETTINGS, EtcdDatabases } from './etcd-databases.js';
import { takeOver } from './take-over.js';

const databases = new EtcdDatabases();

afterAll(() => databases.close());

type Cut = 'before' | 'after';
const UNAVAILABLE = 14;

/** A client whose process dies at one of its txns, or only loses the answer. */
class CutClient extends EtcdClient {
  /** Txns until the cut; -1: there is none. */
  left = -1;
  cut: Cut = 'before';
  /** Nothing gets through after the cut. */
  isDead = false;
  diesAtCut = true;
  /** A txn that was cut before it got through, to be let through later. */
  late: Parameters<EtcdClient['txn']>[0] | null = null;

  override async txn(call: Parameters<EtcdClient['txn']>[0]): ReturnType<EtcdClient['txn']> {
    this.#check();
    if (this.left !== 0) {
      this.left--;
      return super.txn(call);
    }
    this.left = -1;
    if (this.cut === 'after') await super.txn(call);
    else this.late = call;
    this.isDead = this.diesAtCut;
    throw new EtcdCallError('the connection was cut', UNAVAILABLE, false);
  }

  override range(call: Parameters<EtcdClient['range']>[0]): ReturnType<EtcdClient['range']> {
    this.#check();
    return super.range(call);
  }

  letThrough(): ReturnType<EtcdClient['txn']> {
    if (this.late === null) throw new Error('no txn was cut before it got through');
    return super.txn(this.late);
  }

  #check(): void {
    if (this.isDead) throw new EtcdCallError('the process is gone', UNAVAILABLE, true);
  }
}

interface Opened {
  readonly backend: EtcdBackend;
  readonly client: CutClient;
}

async function openCut(url: string, settings: Partial<DatabaseSettings> = {}): Promise<Opened> {
  const clients: CutClient[] = [];
  const connect = (options: EtcdClientOptions): EtcdClient => {
    const client = new CutClient(options);
    clients.push(client);
    return client;
  };
  const backend = new EtcdBackend(parseEtcd(`${url}?max-txn-ops=8`, url), { ...ETCD_SETTINGS, ...settings }, connect);
  await backend.open();
  await backend.claim(await takeOver(backend));
  const [client] = clients;
  if (client === undefined) throw new Error('the backend has no client');
  return { backend, client };
}

/** Every key with its value and numbers, at a revision or at latest. */
async function stateOf(backend: Backend, revision = 0n): Promise<readonly string[]> {
  const range = keyRange(Buffer.from([0]), Buffer.from([0]));
  const { blocks } = await backend.range({ range, revision, limit: 0, keysOnly: false, countOnly: false, count: true });
  return blocks.flatMap((block) =>
    [...recordsOf(block)].map((record) => {
      const { key, value, createRevision, modRevision, version, lease } = decodeKeyValue(record);
      return `${key.toString()}=${value.toString()} ${createRevision}/${modRevision} v${version} l${lease}`;
    }),
  );
}

/** Creates, updates, deletes, leases, one key three times and one txn of many writes: more than one etcd txn of eight operations. */
const BATCH: readonly (readonly Write[])[] = [
  [{ put: '/a', value: 'a2' }],
  [{ delete: '/b' }],
  [{ put: '/new', value: 'n1', lease: 7n }],
  [{ put: '/a', value: 'a3' }],
  Array.from({ length: 7 }, (_, i) => ({ put: `/many/${i}`, value: `${i}`, lease: 9n })),
  [{ delete: '/new' }],
  [{ put: '/a', value: 'a4' }, { delete: '/many/3' }],
];

async function prepared(url: string): Promise<Opened & { readonly writer: BatchWriter }> {
  const opened = await openCut(url);
  const writer = new BatchWriter(opened.backend);
  await writer.commit([{ put: '/a', value: 'a1' }, { put: '/b', value: 'b1', lease: 5n }, { put: '/c' }]);
  await writer.put('/many/2', 'was there');
  return { ...opened, writer };
}

/** Txns that the batch takes. */
async function txnsOfBatch(): Promise<number> {
  const url = await databases.create();
  const { backend, client, writer } = await prepared(url);
  client.left = 1000;
  await writer.commit(...BATCH);
  await backend.close();
  return 1000 - client.left;
}

describe('A batch of several etcd txns', () => {
  it.each<Cut>(['before', 'after'])('is whole or not there at all for the next writer, cut %s any of them', async (cut) => {
    const txns = await txnsOfBatch();
    expect(txns).toBeGreaterThan(5);
    for (let i = 0; i < txns; i++) {
      const url = await databases.create();
      const { backend, client, writer } = await prepared(url);
      const before = await stateOf(backend);
      const batch = writer.prepare(...BATCH);
      client.left = i;
      client.cut = cut;
      await expect(backend.commit(batch.batch)).rejects.toBeInstanceOf(CommitUnknownError);
      await backend.close();
      const next = await openCut(url);
      const tookPlace = cut === 'after' && i === txns - 1;
      expect((await next.backend.resolve()) >= batch.batch.lastRevision).toBe(tookPlace);
      if (tookPlace) writer.tookPlace(batch);
      else expect(await stateOf(next.backend)).toEqual(before);
      writer.moveTo(next.backend);
      await writer.commit([{ put: '/a', value: 'afterwards' }], [{ put: '/b', value: 'anew' }, { delete: '/c' }]);
      const held = await next.backend.changes({
        range: keyRange(Buffer.from([0]), Buffer.from([0])),
        after: 1n,
        through: writer.lastRevision,
        maxBytes: 1 << 30,
      });
      const revisions = new Set(held.changes.map(({ id }) => revisionOf(id)));
      expect([...revisions]).toEqual(writer.revisions.slice(1));
      for (const revision of writer.revisions) {
        const wanted = writer.live(keyRange(Buffer.from([0]), Buffer.from([0])), revision).length;
        expect((await stateOf(next.backend, revision)).length).toBe(wanted);
      }
      await next.backend.close();
    }
  });

  it.each<Cut>(['before', 'after'])('is resolved by the writer whose answer was lost, %s any of them', async (cut) => {
    const txns = await txnsOfBatch();
    for (let i = 0; i < txns; i++) {
      const again = await prepared(await databases.create());
      again.client.diesAtCut = false;
      again.client.cut = cut;
      const before = await stateOf(again.backend);
      const batch = again.writer.prepare(...BATCH);
      again.client.left = i;
      await expect(again.backend.commit(batch.batch)).rejects.toBeInstanceOf(CommitUnknownError);
      const tookPlace = (await again.backend.resolve()) >= batch.batch.lastRevision;
      expect(tookPlace).toBe(cut === 'after' && i === txns - 1);
      if (tookPlace) again.writer.tookPlace(batch);
      else expect(await stateOf(again.backend)).toEqual(before);
      if (cut === 'before') {
        // It was under way all the time, and comes to nothing.
        const { succeeded } = await again.client.letThrough();
        expect(succeeded).toBe(false);
        expect(await stateOf(again.backend)).toEqual(before);
      }
      await again.writer.put('/a', 'afterwards');
      expect(await again.backend.keysOfLease(5n, 10)).toEqual(tookPlace ? [] : [Buffer.from('/b')]);
      await again.backend.close();
    }
  });

  it('shows readers nothing of itself before its end', async () => {
    const { backend, writer } = await prepared(await databases.create());
    const before = await stateOf(backend);
    let isDone = false;
    const states: (readonly string[])[] = [];
    const reading = (async () => {
      while (!isDone) states.push(await stateOf(backend));
    })();
    await writer.commit(...BATCH);
    isDone = true;
    await reading;
    const after = await stateOf(backend);
    for (const state of states) expect([before, after]).toContainEqual(state);
    await backend.close();
  });

  it('is taken back when a later part of it cannot be written', async () => {
    const { backend, writer } = await prepared(await databases.create());
    const before = await stateOf(backend);
    const { batch } = writer.prepare(...BATCH, [{ put: '/c', value: 'c2' }]);
    const last = batch.rows.at(-1);
    if (last === undefined) throw new Error('rows were prepared');
    // The last row takes a key for absent that is there.
    const broken = { ...batch, rows: [...batch.rows.slice(0, -1), { ...last, prevId: 0n }] };
    await expect(backend.commit(broken)).rejects.toMatchObject({ name: 'CommitFailedError', isConflict: true });
    expect(await stateOf(backend)).toEqual(before);
    await writer.put('/c', 'afterwards');
    await backend.close();
  });

  it('is undone by a writer that takes over in its middle, and its own writer is told so', async () => {
    const url = await databases.create();
    const { backend, client, writer } = await prepared(url);
    const before = await stateOf(backend);
    const batch = writer.prepare(...BATCH);
    client.left = 2;
    client.diesAtCut = false;
    await expect(backend.commit(batch.batch)).rejects.toBeInstanceOf(CommitUnknownError);
    const next = await openCut(url);
    expect(await stateOf(next.backend)).toEqual(before);
    await expect(backend.resolve()).rejects.toMatchObject({ name: 'FencedError' });
    expect((await client.letThrough()).succeeded).toBe(false);
    expect(await stateOf(next.backend)).toEqual(before);
    await next.backend.close();
    await backend.close();
  });
});
