import { afterAll, describe, expect, it } from '@jest/globals';
import { adoptEtcd, type AdoptOptions, type EtcdBackend, leaveEtcd, parseEtcd } from '@harikube/datasources';
import { decodeKeyValue, keyRange, type KeyValue, recordsOf, revisionOf, type RowWrite, rowId, encodeKeyValue } from '@harikube/keyspace';
import type { EtcdServer } from './databases/etcd-server.js';
import { EtcdClient } from './etcd-client.js';
import { ETCD_SETTINGS, EtcdDatabases, openEtcd } from './etcd-databases.js';
import { takeOver } from './take-over.js';

const databases = new EtcdDatabases();

afterAll(() => databases.close());

const EVERYTHING = keyRange(Buffer.from([0]), Buffer.from([0]));
const NO_BYTES = Buffer.alloc(0);

interface Cluster {
  readonly server: EtcdServer;
  readonly url: string;
  readonly client: EtcdClient;
}

async function withCluster(run: (cluster: Cluster) => Promise<void>): Promise<void> {
  const server = await databases.server();
  const url = await databases.create();
  const client = new EtcdClient(url);
  try {
    await run({ server, url, client });
  } finally {
    client.close();
  }
}

/** Some keys with a past, and two leases; the ids of these. */
async function filled({ server, client }: Cluster): Promise<readonly string[]> {
  await Promise.all(Array.from({ length: 250 }, (_, i) => client.put(`/registry/pods/ns/p${i}`, `value ${i}`)));
  await Promise.all(Array.from({ length: 10 }, (_, i) => client.put(`/registry/pods/ns/p${i}`, `changed ${i}`)));
  await client.put('compact_rev_key', '1');
  const ids: string[] = [];
  for (const ttl of ['600', '3600']) {
    const id = /lease ([0-9a-f]+) granted/.exec(await server.etcdctl('lease', 'grant', ttl))?.[1] ?? '';
    ids.push(id);
    for (let i = 0; i < 3; i++) await server.etcdctl('put', `/registry/events/ns/${ttl}-${i}`, 'event', `--lease=${id}`);
  }
  return ids;
}

function adopt(url: string, options: Partial<AdoptOptions> = {}) {
  return adoptEtcd(parseEtcd(url, url), ETCD_SETTINGS, { dryRun: false, ...options });
}

function leave(url: string, dryRun = false) {
  return leaveEtcd(parseEtcd(url, url), ETCD_SETTINGS, { dryRun });
}

/** What stands under the keys of clients. */
async function plainKeys({ client }: Cluster): Promise<readonly KeyValue[]> {
  const lists = await Promise.all(['/', 'compact_rev_key'].map((prefix) => client.list(prefix)));
  return lists.flatMap(({ kvs }) => kvs);
}

/** The whole etcd. */
async function wholeOf({ server }: Cluster): Promise<string> {
  return server.etcdctl('get', '', '--from-key', '--write-out=json');
}

async function recordsOn(backend: EtcdBackend, revision = 0n): Promise<readonly KeyValue[]> {
  const query = { range: EVERYTHING, revision, limit: 0, keysOnly: false, countOnly: false, count: true };
  const { blocks } = await backend.range(query);
  return blocks.flatMap((block) => [...recordsOf(block)].map((record) => decodeKeyValue(record)));
}

/** Writes a key as the router does. */
async function put(backend: EtcdBackend, key: string, value: string, previousRevision: bigint, revision: bigint): Promise<void> {
  const [head] = (await backend.load([Buffer.from(key)])).heads;
  const before = head === undefined || head === null ? null : decodeKeyValue(head.record);
  const kv = {
    key: Buffer.from(key),
    value: Buffer.from(value),
    createRevision: before?.createRevision ?? revision,
    version: (before?.version ?? 0n) + 1n,
    lease: 0n,
  };
  const row: RowWrite = {
    ...kv,
    id: rowId(revision, 0),
    record: encodeKeyValue({ ...kv, modRevision: revision }),
    tombstone: false,
    prevId: head?.id ?? 0n,
  };
  await backend.commit({ rows: [row], firstRevision: revision, lastRevision: revision, previousRevision });
}

describe('adoptEtcd', () => {
  it('tells in a dry run what it would do, and changes nothing', () =>
    withCluster(async (cluster) => {
      await filled(cluster);
      const before = await wholeOf(cluster);
      const kvs = await plainKeys(cluster);
      const { revision } = await cluster.client.get('/');
      const report = await adopt(cluster.url, { dryRun: true });
      expect(report).toMatchObject({ isAdopted: false, keys: 257, leasedKeys: 6, tooLarge: [], revision });
      expect(report.leases).toBeGreaterThanOrEqual(2);
      const values = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
      expect(report.bytes).toBe(values);
      expect(await wholeOf(cluster)).toBe(before);
    }));

  it('keeps every key with its revisions, versions and lease, and the values where they are', () =>
    withCluster(async (cluster) => {
      const ids = await filled(cluster);
      const before = await plainKeys(cluster);
      const phases = new Set<string>();
      const { revision } = await adopt(cluster.url, { onProgress: ({ phase }) => phases.add(phase) });
      expect([...phases]).toEqual(['looking', 'leases', 'keys']);
      expect(revision).toBeGreaterThan(before.reduce((most, kv) => (kv.modRevision > most ? kv.modRevision : most), 0n));

      const backend = await openEtcd(cluster.url);
      const control = await takeOver(backend);
      expect(control).toMatchObject({ reservedRevision: revision, compactRevision: revision, epoch: 2n });
      expect((await backend.claim(control)).lastRevision).toBe(revision);
      expect(await recordsOn(backend)).toEqual(before);
      const values = await plainKeys(cluster);
      expect(values.map(({ key, value }) => [key, value])).toEqual(before.map(({ key, value }) => [key, value]));
      expect(values.every(({ lease }) => lease === 0n)).toBe(true);

      const leases = ids.map((id) => BigInt(`0x${id}`));
      expect(control.leases.filter(({ id }) => leases.includes(id)).map(({ id, ttl }) => [id, ttl])).toEqual(
        expect.arrayContaining([
          [leases[0], 600n],
          [leases[1], 3600n],
        ]),
      );
      const left = control.leases.filter(({ id }) => id === leases[0]).map(({ expiresAt }) => expiresAt - Date.now());
      expect(left[0]).toBeGreaterThan(400_000);
      expect(left[0]).toBeLessThanOrEqual(600_000);
      expect((await backend.keysOfLease(leases[1] ?? 0n, 10)).map(String)).toEqual([0, 1, 2].map((i) => `/registry/events/ns/3600-${i}`));
      await cluster.server.etcdctl('lease', 'revoke', ids[0] ?? '');
      expect((await recordsOn(backend)).length).toBe(before.length);

      await put(backend, '/registry/pods/ns/p1', 'by the router', revision, revision + 1n);
      const { changes } = await backend.changes({ range: EVERYTHING, after: revision, through: revision + 1n, maxBytes: 1 << 20 });
      expect(changes.map(({ prevRecord }) => prevRecord && decodeKeyValue(prevRecord).value.toString())).toEqual(['changed 1']);
      expect(await recordsOn(backend, revision)).toEqual(before);
      await backend.compact(revision + 1n, new AbortController().signal);
      const standing = await backend.changes({ range: EVERYTHING, after: 0n, through: revision + 1n, maxBytes: 1 << 30 });
      expect(standing.changes.map(({ id }) => revisionOf(id))).toEqual(
        [...before.map((kv) => kv.modRevision), revision + 1n].sort((a, b) => Number(a - b)),
      );
      await backend.close();
      expect((await adopt(cluster.url)).isAdopted).toBe(true);
    }));

  it('goes on after it was cut short, at any step', () =>
    withCluster(async (cluster) => {
      await filled(cluster);
      const before = await plainKeys(cluster);
      const cut = new Error('cut short');
      for (const stop of ['leases', 'keys'] as const) {
        for (let steps = 1; steps < 3; steps++) {
          let left = steps;
          const adopting = adopt(cluster.url, {
            onProgress: ({ phase }) => {
              if (phase === stop && --left === 0) throw cut;
            },
          });
          await expect(adopting).rejects.toBe(cut);
          await expect(openEtcd(cluster.url)).rejects.toThrow(/is being adopted: let `harikube adopt --endpoint .*` come to its end/);
        }
      }
      await adopt(cluster.url);
      const backend = await openEtcd(cluster.url);
      await backend.claim(await takeOver(backend));
      expect(await recordsOn(backend)).toEqual(before);
      await backend.close();
    }));

  it('finds out that somebody else writes meanwhile, and loses nothing of it the second time', () =>
    withCluster(async (cluster) => {
      await filled(cluster);
      let isFirst = true;
      const writing: Promise<unknown>[] = [];
      const adopting = adopt(cluster.url, {
        onProgress: ({ phase }) => {
          if (phase !== 'keys' || !isFirst) return;
          isFirst = false;
          writing.push(cluster.client.put('/registry/pods/ns/p0', 'meanwhile'), cluster.client.put('/registry/zzz', 'new'));
        },
      });
      await expect(adopting).rejects.toMatchObject({
        name: 'RefusedDatabaseError',
        message: expect.stringMatching(/somebody else wrote there while it was being adopted .* stop every kube-apiserver/),
      });
      await Promise.all(writing);
      const before = await plainKeys(cluster);
      const { revision } = await adopt(cluster.url);
      const backend = await openEtcd(cluster.url);
      expect((await backend.claim(await takeOver(backend))).lastRevision).toBe(revision);
      const records = await recordsOn(backend);
      const leased = (kvs: readonly KeyValue[]) =>
        kvs.map(({ key, value, modRevision, version }) => [key.toString(), value.toString(), modRevision, version]);
      expect(records.filter(({ lease }) => lease === 0n).map(({ key }) => key)).toEqual(
        before.filter(({ key }) => !key.toString().includes('/events/')).map(({ key }) => key),
      );
      expect(leased(records.filter(({ lease }) => lease === 0n))).toEqual(
        leased(before.filter(({ key }) => !key.toString().includes('/events/'))),
      );
      await backend.close();
    }));

  it('takes over what was written below a router, as its newest writes', () =>
    withCluster(async (cluster) => {
      await filled(cluster);
      const { revision } = await adopt(cluster.url);
      const backend = await openEtcd(cluster.url);
      await backend.claim(await takeOver(backend));
      await backend.reserve(revision + 1000n);
      await put(backend, '/registry/pods/ns/p1', 'by the router', revision, revision + 1n);
      await backend.close();
      await cluster.client.put('/registry/pods/ns/p1', 'by somebody else');
      await cluster.server.etcdctl('del', '/registry/pods/ns/p2');
      await cluster.client.put('/registry/pods/ns/p3x', 'new');
      await expect(openEtcd(cluster.url)).rejects.toThrow(/somebody else writes there.*harikube adopt/);
      expect((await adopt(cluster.url, { dryRun: true })).foreignRevisions).toBe(3n);
      const again = await adopt(cluster.url);
      expect(again.revision).toBe(revision + 1001n);
      const next = await openEtcd(cluster.url);
      const control = await takeOver(next);
      expect(control).toMatchObject({ reservedRevision: again.revision, compactRevision: again.revision });
      expect((await next.claim(control)).lastRevision).toBe(again.revision);
      const records = new Map((await recordsOn(next)).map((kv) => [kv.key.toString(), kv]));
      expect(records.get('/registry/pods/ns/p1')).toMatchObject({
        value: Buffer.from('by somebody else'),
        modRevision: again.revision,
        version: 4n,
      });
      expect(records.get('/registry/pods/ns/p3x')).toMatchObject({ createRevision: again.revision, version: 1n });
      expect(records.has('/registry/pods/ns/p2')).toBe(false);
      await next.close();
    }));
});

describe('leaveEtcd', () => {
  it('gives the keys back with higher revisions, and their leases, and takes everything of its own along', () =>
    withCluster(async (cluster) => {
      const ids = await filled(cluster);
      const { revision } = await adopt(cluster.url);
      const backend = await openEtcd(cluster.url);
      await backend.claim(await takeOver(backend));
      // The router counts far above its etcd.
      const last = revision + 3000n;
      await backend.reserve(last);
      await put(backend, '/registry/pods/ns/p1', 'by the router', revision, last);
      await backend.release();
      const before = await recordsOn(backend);
      await backend.close();

      const plan = await leave(cluster.url, true);
      expect(plan).toMatchObject({ keys: before.length, revision: last });
      expect(plan.missingRevisions).toBeGreaterThan(2500);
      await leave(cluster.url);
      const kvs = await plainKeys(cluster);
      const { revision: now, count } = await cluster.client.list('harikube.io/');
      expect(count).toBe(0);
      expect(kvs.map(({ key, value, lease }) => [key.toString(), value.toString(), lease])).toEqual(
        before.map(({ key, value, lease }) => [key.toString(), value.toString(), lease]),
      );
      expect(kvs.every((kv) => kv.modRevision > last)).toBe(true);
      expect(now).toBeGreaterThan(last);
      const ttl = await cluster.server.etcdctl('lease', 'timetolive', ids[0] ?? '', '--keys');
      const attached = /attached keys\(\[(.*)\]\)/.exec(ttl)?.[1]?.split(' ').sort();
      expect(attached).toEqual([0, 1, 2].map((i) => `/registry/events/ns/600-${i}`));
      await expect(leave(cluster.url)).rejects.toThrow(/was never a router's/);

      // And in again.
      await adopt(cluster.url);
      const again = await openEtcd(cluster.url);
      await again.claim(await takeOver(again));
      expect(await recordsOn(again)).toEqual(kvs);
      await again.close();
    }));

  it('goes on after it was cut short, at any step', () =>
    withCluster(async (cluster) => {
      await filled(cluster);
      const { revision } = await adopt(cluster.url);
      const backend = await openEtcd(cluster.url);
      await backend.claim(await takeOver(backend));
      await backend.reserve(revision + 2500n);
      await backend.release();
      const before = await recordsOn(backend);
      await backend.close();
      const cut = new Error('cut short');
      for (const stop of ['revisions', 'leases', 'keys'] as const) {
        const leaving = leaveEtcd(parseEtcd(cluster.url, ''), ETCD_SETTINGS, {
          dryRun: false,
          onProgress: ({ phase }) => {
            if (phase === stop) throw cut;
          },
        });
        await expect(leaving).rejects.toBe(cut);
        await expect(openEtcd(cluster.url)).rejects.toThrow(/is being left: let `harikube leave/);
      }
      await leave(cluster.url);
      const kvs = await plainKeys(cluster);
      expect(kvs.map(({ key, value, lease }) => [key.toString(), value.toString(), lease])).toEqual(
        before.map(({ key, value, lease }) => [key.toString(), value.toString(), lease]),
      );
      expect(kvs.every((kv) => kv.modRevision > revision + 2500n)).toBe(true);
    }));

  it('refuses while a router is at work', () =>
    withCluster(async (cluster) => {
      await filled(cluster);
      await adopt(cluster.url);
      const backend = await openEtcd(cluster.url);
      const self = { holder: crypto.randomUUID(), address: '10.0.0.1:2379', leaseMs: 20_000 };
      await backend.claim(await takeOver(backend, self));
      const renewing = setInterval(() => void backend.renew(new Map()).catch(() => undefined), 50);
      try {
        await expect(leave(cluster.url)).rejects.toThrow(/is served by a router at 10\.0\.0\.1:2379: stop every router/);
      } finally {
        clearInterval(renewing);
      }
      await backend.close();
    }));

  it('refuses as long as keys are elsewhere', () =>
    withCluster(async (cluster) => {
      await filled(cluster);
      await adopt(cluster.url);
      const backend = await openEtcd(cluster.url);
      await backend.claim(await takeOver(backend));
      await backend.saveAppliedTopology(
        JSON.stringify({ etcdPrefix: '/registry', rules: [{ name: 'users', endpoint: 'x', matcher: {} }] }),
      );
      await backend.release();
      await backend.close();
      await expect(leave(cluster.url)).rejects.toThrow(/is not the only database of its store: first move the keys of "users" back/);
    }));
});

it('adopts what has no value as it is', () =>
  withCluster(async (cluster) => {
    await cluster.client.put('/empty', '');
    await adopt(cluster.url);
    const backend = await openEtcd(cluster.url);
    await backend.claim(await takeOver(backend));
    expect((await recordsOn(backend)).map(({ value }) => value)).toEqual([NO_BYTES]);
    await backend.close();
  }));
