import { afterAll, describe, expect, it } from '@jest/globals';
import { glanceAtEtcd, parseEtcd, type EtcdBackend } from '@harikube/datasources';
import { keyRange } from '@harikube/keyspace';
import { BatchWriter } from './batch-writer.js';
import type { EtcdServer } from './databases/etcd-server.js';
import { ETCD_SETTINGS, EtcdDatabases, openEtcd } from './etcd-databases.js';
import { takeOver } from './take-over.js';

const databases = new EtcdDatabases();

afterAll(() => databases.close());

interface Story {
  readonly server: EtcdServer;
  readonly url: string;
  readonly backend: EtcdBackend;
  readonly writer: BatchWriter;
}

async function begun(): Promise<Story> {
  const server = await databases.server();
  const url = await databases.create();
  const backend = await openEtcd(url);
  await backend.claim(await takeOver(backend));
  const writer = new BatchWriter(backend);
  await writer.commit([
    { put: '/a', value: 'one' },
    { put: '/b', value: 'one' },
  ]);
  return { server, url, backend, writer };
}

const SOMEBODY = /somebody else writes there/;

describe('Somebody else who writes into an etcd', () => {
  it('is found with the next commit, which is kept, and nothing is served any more', async () => {
    const { server, url, backend, writer } = await begun();
    await server.etcdctl('put', '/c', 'foreign');
    await writer.put('/a', 'two');
    await expect(backend.load([Buffer.from('/a')])).rejects.toThrow(SOMEBODY);
    await expect(writer.put('/a', 'three')).rejects.toThrow(SOMEBODY);
    await expect(backend.reserve(100n)).rejects.toThrow(SOMEBODY);
    await backend.close();
    const error: unknown = await openEtcd(url).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      name: 'RefusedDatabaseError',
      message: expect.stringMatching(/: 1 of its revisions from \d+ to \d+ are not of the router; .* `harikube adopt --endpoint/),
    });
  });

  it('is found by reads alone', async () => {
    const { server, backend } = await begun();
    await server.etcdctl('put', '/c', 'foreign');
    await backend.load([Buffer.from('/a')]);
    const reading = async (): Promise<void> => {
      for (;;) await backend.load([Buffer.from('/a')]);
    };
    await expect(reading()).rejects.toThrow(/its revision \d+ is not of the router, whose last is \d+/);
    await backend.close();
  });

  it('is found at the next start, whatever was changed', async () => {
    for (const change of [
      ['del', '/a'],
      ['put', '/a', 'changed'],
      ['put', 'harikube.io/lease/1', '{}'],
    ] as const) {
      const { server, url, backend } = await begun();
      await backend.close();
      await server.etcdctl(...change);
      await expect(openEtcd(url)).rejects.toThrow(SOMEBODY);
    }
  });

  it('is named when the history is compacted', async () => {
    const { server, backend, writer } = await begun();
    const revision = writer.lastRevision;
    await writer.put('/a', 'two');
    await writer.put('/a', 'three');
    const fields = await server.etcdctl('get', '/a', '--write-out=fields');
    await server.etcdctl('compaction', /"Revision" : (\d+)/.exec(fields)?.[1] ?? '');
    const range = keyRange(Buffer.from('/'), Buffer.from('0'));
    const query = { range, revision, limit: 0, keysOnly: false, countOnly: false, count: true };
    await expect(backend.range(query)).rejects.toThrow(/compacted, by somebody else: leave that to the router/);
    expect((await backend.load([Buffer.from('/a')])).lastRevision).toBe(writer.lastRevision);
    await backend.close();
  });
});

describe('An etcd with keys that no router wrote', () => {
  it('is not served before it is adopted, and stays as it is', async () => {
    const server = await databases.server();
    const url = await databases.create();
    await server.etcdctl('put', '/registry/pods/a/b', 'value');
    const before = await server.etcdctl('get', '', '--from-key', '--write-out=json');
    await expect(openEtcd(url)).rejects.toMatchObject({
      name: 'RefusedDatabaseError',
      message: `${url} holds 1 keys that no router wrote: take them over with \`harikube adopt --endpoint ${url}\`, or name an empty etcd`,
    });
    expect(await glanceAtEtcd(parseEtcd(url, url), ETCD_SETTINGS)).toEqual({ identity: null, storeId: null, keys: 1 });
    expect(await server.etcdctl('get', '', '--from-key', '--write-out=json')).toBe(before);
  });
});
