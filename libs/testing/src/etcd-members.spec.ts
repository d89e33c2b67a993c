import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EtcdBackend } from '@harikube/datasources/engines';
import { CommitUnknownError, prefixRange } from '@harikube/keyspace';
import { freePort } from '@harikube/local-cluster';
import { BatchWriter } from './batch-writer.js';
import { type EtcdServer, startEtcd } from './databases/etcd-server.js';
import { openEtcd } from './etcd-databases.js';
import { takeOver } from './take-over.js';

const MEMBERS = 3;
const ROUNDS = 20;

let members: readonly EtcdServer[];

beforeAll(async () => {
  const peers = await Promise.all(Array.from({ length: MEMBERS }, async () => `http://127.0.0.1:${await freePort()}`));
  const cluster = peers.map((peer, i) => `m${i}=${peer}`).join(',');
  members = await Promise.all(
    peers.map((peer, i) =>
      startEtcd({
        isDurable: false,
        flags: { name: `m${i}`, 'listen-peer-urls': peer, 'initial-advertise-peer-urls': peer, 'initial-cluster': cluster },
      }),
    ),
  );
}, 30_000);

afterAll(async () => {
  await Promise.all(members.map((member) => member.stop()));
});

/** Writes on until it is told, whoever leads meanwhile. */
async function put(backend: EtcdBackend, writer: BatchWriter, value: string): Promise<void> {
  for (;;) {
    const prepared = writer.prepare([{ put: '/a', value }], [{ put: `/k/${value}`, value }]);
    try {
      await backend.commit(prepared.batch);
      writer.tookPlace(prepared);
      return;
    } catch (error) {
      if (error instanceof CommitUnknownError && (await resolved(backend, prepared.batch.lastRevision))) {
        writer.tookPlace(prepared);
        return;
      }
    }
  }
}

async function resolved(backend: EtcdBackend, lastRevision: bigint): Promise<boolean> {
  for (;;) {
    try {
      return (await backend.resolve()) >= lastRevision;
    } catch {
      // As the keyspace does: it is asked again until it tells.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function expectAll(backend: EtcdBackend, writer: BatchWriter): Promise<void> {
  const wanted = writer.live(prefixRange(Buffer.from('/')));
  const { heads, lastRevision } = await backend.load(wanted.map(({ key }) => key));
  expect(lastRevision).toBe(writer.lastCommitted);
  expect(heads.map((head, i) => head?.record.includes(wanted[i]?.value ?? ''))).toEqual(wanted.map(() => true));
}

describe('EtcdBackend on a cluster of three', () => {
  it('goes on while any one of its members is gone, or stands still', async () => {
    const backend = await openEtcd(members.map(({ url }) => url).join(','), { requestTimeoutMs: 1000 });
    await backend.claim(await takeOver(backend));
    const writer = new BatchWriter(backend);
    for (const member of members) {
      await member.kill();
      for (let i = 0; i < ROUNDS; i++) await put(backend, writer, `without ${member.port}, ${i}`);
      await expectAll(backend, writer);
      await member.start();
      member.pause();
      for (let i = 0; i < ROUNDS; i++) await put(backend, writer, `beside ${member.port}, ${i}`);
      await expectAll(backend, writer);
      member.resume();
      await put(backend, writer, `with ${member.port}`);
    }
    await backend.close();
  }, 60_000);

  it('is not served by an etcd of another cluster', async () => {
    const stranger = await startEtcd({ isDurable: false });
    const [first] = members;
    await expect(openEtcd(`${first?.url},${stranger.url}`)).rejects.toThrow(/names members of different clusters; name those of one/);
    await stranger.stop();
  });

  it('is not served by a learner', async () => {
    const peer = `http://127.0.0.1:${await freePort()}`;
    const voter = await startEtcd({ isDurable: false });
    const added = await voter.etcdctl('member', 'add', 'late', `--peer-urls=${peer}`, '--learner');
    const learner = await startEtcd({
      isDurable: false,
      flags: {
        name: 'late',
        'listen-peer-urls': peer,
        'initial-advertise-peer-urls': peer,
        'initial-cluster': /ETCD_INITIAL_CLUSTER="([^"]*)"/.exec(added)?.[1] ?? '',
        'initial-cluster-state': 'existing',
      },
    });
    await expect(openEtcd(learner.url)).rejects.toThrow(/is a learner, which answers no reads; promote it/);
    await learner.stop();
    await voter.stop();
  });
});
