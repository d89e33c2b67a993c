import { createServer } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type BackendTls, parseEtcd } from '@harikube/datasources';
import { type EtcdBackend, glanceAtEtcd } from '@harikube/datasources/engines';
import { CommitFailedError, CommitUnknownError } from '@harikube/keyspace';
import { BatchWriter } from './batch-writer.js';
import { startEtcd, type EtcdServer, type EtcdServerOptions } from './databases/etcd-server.js';
import { TestAuthority } from './databases/test-authority.js';
import { ETCD_SETTINGS, openEtcd } from './etcd-databases.js';
import { takeOver } from './take-over.js';

const REQUEST_TIMEOUT_MS = 500;

async function withEtcd(options: EtcdServerOptions, run: (server: EtcdServer, url: string) => Promise<void>): Promise<void> {
  const server = await startEtcd({ isDurable: false, ...options });
  try {
    await run(server, await server.createDatabase());
  } finally {
    await server.stop();
  }
}

async function writerOn(backend: EtcdBackend): Promise<BatchWriter> {
  await backend.claim(await takeOver(backend));
  return new BatchWriter(backend);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no address');
  return address.port;
}

describe('EtcdBackend over TLS', () => {
  let folder: string;
  let server: EtcdServer;
  let client: BackendTls;
  let url: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'harikube-etcd-tls-'));
    const authority = await TestAuthority.create('etcd-ca');
    const other = await TestAuthority.create('other-ca');
    const file = async (name: string, content: string): Promise<string> => {
      await writeFile(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    const pair = async (name: string): Promise<{ certFile: string; keyFile: string }> => {
      const { cert, key } = await authority.issue(name);
      return { certFile: await file(`${name}.crt`, cert), keyFile: await file(`${name}.key`, key) };
    };
    const caFile = await file('ca.crt', authority.cert);
    await file('other.crt', other.cert);
    const own = await pair('client');
    server = await startEtcd({ isDurable: false, tls: { caFile, ...(await pair('server')), client: own } });
    url = await server.createDatabase();
    client = { caFile, ...own, skipVerify: false };
  });

  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });

  it('serves with the certificates that it is given', async () => {
    const backend = await openEtcd(url, { tls: client });
    const writer = await writerOn(backend);
    await writer.put('/a', 'one');
    expect((await backend.load([Buffer.from('/a')])).heads[0]).not.toBeNull();
    await backend.close();
  });

  it.each([
    ['without a certificate of its own', (tls: BackendTls): BackendTls => ({ ...tls, certFile: null, keyFile: null })],
    ['with the authority of somebody else', (tls: BackendTls): BackendTls => ({ ...tls, caFile: join(folder, 'other.crt') })],
  ])('cannot be opened %s', async (_, change) => {
    const opening = openEtcd(url, { tls: change(client), requestTimeoutMs: 3000 });
    await expect(opening).rejects.toMatchObject({ name: 'DatabaseOpenError', message: expect.stringContaining(url) });
  });

  it.each(['localhost', '[::ffff:127.0.0.1]'])('is not opened under the name %s, which its certificate has not', async (host) => {
    const opening = openEtcd(url.replace('127.0.0.1', host), { tls: client, requestTimeoutMs: 3000 });
    await expect(opening).rejects.toThrow(/does not match certificate's altnames/);
    const backend = await openEtcd(url.replace('127.0.0.1', host), { tls: { ...client, skipVerify: true } });
    await backend.close();
  });

  it('trusts anybody when it is told not to look', async () => {
    const backend = await openEtcd(url, { tls: { ...client, caFile: join(folder, 'other.crt'), skipVerify: true } });
    await backend.close();
  });
});

describe('EtcdBackend with a user', () => {
  const rootPassword = 'pass/wo@rd';

  it('logs in, and again when its token has ended', () =>
    withEtcd({ rootPassword, flags: { 'auth-token-ttl': '1' } }, async (server, url) => {
      const backend = await openEtcd(url);
      const writer = await writerOn(backend);
      await writer.put('/a', 'one');
      // The tokens that were given before are not good any more: simple tokens live in the server's memory.
      await server.kill();
      await server.start();
      expect((await backend.load([Buffer.from('/a')])).lastRevision).toBe(2n);
      await server.kill();
      await server.start();
      await backend.resolve();
      await writer.put('/a', 'two');
      await backend.close();
    }));

  it('says that it is not let in, without the password', () =>
    withEtcd({ rootPassword }, async (server, url) => {
      const wrong = url.replace(encodeURIComponent(rootPassword), 'wrong-one');
      const error: unknown = await openEtcd(wrong).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ name: 'DatabaseOpenError', message: expect.stringContaining('invalid user ID or password') });
      expect(String(error)).not.toContain('wrong-one');
      await expect(openEtcd(server.url)).rejects.toThrow(/user name is empty/);
    }));
});

describe('EtcdBackend and an etcd that is away', () => {
  it('fails within the time of a request while etcd stands still, and goes on behind it', () =>
    withEtcd({}, async (server, url) => {
      const backend = await openEtcd(url, { requestTimeoutMs: REQUEST_TIMEOUT_MS });
      const writer = await writerOn(backend);
      await writer.put('/a', 'one');
      server.pause();
      const started = performance.now();
      const prepared = writer.prepare([{ put: '/a', value: 'two' }]);
      const [commit, load] = await Promise.allSettled([backend.commit(prepared.batch), backend.load([Buffer.from('/a')])]);
      expect(performance.now() - started).toBeLessThan(2 * REQUEST_TIMEOUT_MS);
      expect([commit, load]).toMatchObject([
        { status: 'rejected', reason: { name: 'CommitUnknownError', message: expect.stringMatching(/no answer within 500 ms/) } },
        { status: 'rejected', reason: { message: expect.stringMatching(/no answer within 500 ms/) } },
      ]);
      await expect(backend.resolve()).rejects.toThrow(/no answer/);
      server.resume();
      const tookPlace = await resolved(backend, prepared.batch.lastRevision);
      if (tookPlace) writer.tookPlace(prepared);
      const { heads } = await backend.load([Buffer.from('/a')]);
      expect(heads[0]?.record.includes('two')).toBe(tookPlace);
      await writer.put('/a', 'three');
      await backend.close();
    }));

  it('is told at once that etcd is gone, certainly without a commit, and goes on when it is back', () =>
    withEtcd({ isDurable: true }, async (server, url) => {
      const backend = await openEtcd(url);
      const writer = await writerOn(backend);
      await writer.put('/a', 'one');
      await server.kill();
      // The first one may have left on the connection that ended.
      const prepared = writer.prepare([{ put: '/a', value: 'lost' }]);
      await expect(backend.commit(prepared.batch)).rejects.toThrow(/etcd 127\.0\.0\.1/);
      await expect(backend.load([Buffer.from('/a')])).rejects.toThrow(/ECONNREFUSED/);
      const failed = await backend.commit(writer.prepare([{ put: '/a' }]).batch).catch((reason: unknown) => reason);
      expect(failed).toBeInstanceOf(CommitFailedError);
      await server.start();
      expect(await resolved(backend, prepared.batch.lastRevision)).toBe(false);
      await writer.put('/a', 'two');
      expect((await backend.load([Buffer.from('/a')])).heads[0]?.record.includes('two')).toBe(true);
      await backend.close();
    }));

  it('loses nothing that it was told of, killed again and again in the middle of commits', () =>
    withEtcd({ isDurable: true }, async (server, url) => {
      const backend = await openEtcd(`${url}?max-txn-ops=16`, { requestTimeoutMs: 5000 });
      const writer = await writerOn(backend);
      for (let round = 0; round < 6; round++) {
        const killing = writer.put('/round', `${round}`).then(() => server.kill());
        await killing;
        const starting = server.start();
        const prepared = writer.prepare(...Array.from({ length: 30 }, (_, i) => [{ put: `/k/${i}`, value: `${round}` }]));
        try {
          await backend.commit(prepared.batch);
          writer.tookPlace(prepared);
        } catch (error) {
          const isUnknown = error instanceof CommitUnknownError;
          await starting;
          if (isUnknown && (await resolved(backend, prepared.batch.lastRevision))) writer.tookPlace(prepared);
        }
        await starting;
        await resolved(backend, writer.lastRevision);
      }
      const wanted = writer.live({ start: Buffer.from('/'), end: Buffer.from('0'), single: false });
      const { heads } = await backend.load(wanted.map(({ key }) => key));
      expect(heads.map((head, i) => head?.record.includes(wanted[i]?.value ?? ''))).toEqual(wanted.map(() => true));
      await backend.close();
    }));

  it('goes to another member when one is not there', () =>
    withEtcd({}, async (server) => {
      const dead = await freePort();
      const backend = await openEtcd(`http://127.0.0.1:${dead},127.0.0.1:${server.port}`);
      const writer = await writerOn(backend);
      await writer.put('/a', 'one');
      expect((await backend.load([Buffer.from('/a')])).lastRevision).toBe(2n);
      await backend.close();
    }));

  it('takes up other options of the same etcd', () =>
    withEtcd({ flags: { 'max-txn-ops': '512' } }, async (server, url) => {
      const backend = await openEtcd(url);
      const writer = await writerOn(backend);
      await writer.put('/a', 'one');
      const wide = parseEtcd(`${server.url}?max-txn-ops=512`, server.url);
      await backend.configure(wide, { ...ETCD_SETTINGS, requestTimeoutMs: 1000 });
      const before = await server.etcdctl('get', 'harikube.io/meta', '--write-out=fields');
      await writer.commit(...Array.from({ length: 200 }, (_, i) => [{ put: `/k/${i}` }]));
      const after = await server.etcdctl('get', 'harikube.io/meta', '--write-out=fields');
      expect(revisionIn(after)).toBe(revisionIn(before) + 1);
      await backend.close();
    }));

  it('is not opened while etcd has no room, and says what to do', () =>
    withEtcd({ flags: { 'quota-backend-bytes': '200000', 'backend-batch-limit': '1' } }, async (server, url) => {
      const backend = await openEtcd(url);
      const writer = await writerOn(backend);
      const value = Buffer.alloc(100_000, 1);
      let failure: unknown = null;
      for (let i = 0; i < 30 && failure === null; i++) {
        failure = await writer.put(`/big/${i}`, value).then(
          () => null,
          (reason: unknown) => reason,
        );
      }
      expect(failure).toBeInstanceOf(CommitFailedError);
      expect(failure).toMatchObject({ message: expect.stringContaining('database space exceeded') });
      expect((await backend.load([Buffer.from('/big/0')])).heads[0]).not.toBeNull();
      await backend.close();
      await expect(openEtcd(url)).rejects.toThrow(/alarm NOSPACE and takes no writes: raise --quota-backend-bytes/);
      await server.stop();
    }));
});

describe('EtcdBackend and what does not fit', () => {
  it('refuses a value that etcd takes, but not with what stands beside it', () =>
    withEtcd({}, async (server, url) => {
      const backend = await openEtcd(url);
      const writer = await writerOn(backend);
      await writer.put('/fits', Buffer.alloc(1.5 * 1024 * 1024 - 4096, 1));
      const tooLarge = writer.prepare([{ put: '/too/large', value: Buffer.alloc(1.5 * 1024 * 1024 - 1024, 1) }]);
      await expect(backend.commit(tooLarge.batch)).rejects.toThrow(
        /^the value of \/too\/large has 1571840 bytes, \d+ with what is kept beside it, and etcd takes 1572864; raise etcd's --max-request-bytes/,
      );
      expect((await backend.resolve()) >= tooLarge.batch.lastRevision).toBe(false);
      await server.etcdctl('put', '--', '/too/large', 'x');
      await backend.close();
    }));

  it('refuses keys that would stand among its own', () =>
    withEtcd({}, async (_, url) => {
      const backend = await openEtcd(url);
      const writer = await writerOn(backend);
      const { batch } = writer.prepare([{ put: 'harikube.io/meta', value: 'mine' }]);
      await expect(backend.commit(batch)).rejects.toThrow(/the key harikube\.io\/meta is under harikube\.io\//);
      await backend.close();
    }));

  it('is another database when another identity is on record', () =>
    withEtcd({}, async (_, url) => {
      await (await openEtcd(url)).close();
      const { identity, storeId, keys } = await glanceAtEtcd(parseEtcd(url, url), ETCD_SETTINGS);
      expect([identity, storeId, keys]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), null, 0]);
      const expectedIdentity = '00000000-0000-4000-8000-000000000000';
      await expect(openEtcd(url, { expectedIdentity })).rejects.toMatchObject({
        name: 'RefusedDatabaseError',
        message: expect.stringContaining(`its identity is ${identity}, recorded is ${expectedIdentity}`),
      });
    }));
});

/** As the keyspace asks: until the database tells. */
async function resolved(backend: EtcdBackend, lastRevision: bigint): Promise<boolean> {
  for (let attempt = 0; ; attempt++) {
    try {
      return (await backend.resolve()) >= lastRevision;
    } catch (error) {
      if (attempt === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function revisionIn(fields: string): number {
  return Number(/"Revision" : (\d+)/.exec(fields)?.[1]);
}
