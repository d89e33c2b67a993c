import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { DatabaseSettings } from '@harikube/datasources';
import { glanceAtPostgres, PostgresBackend } from '@harikube/datasources/engines';
import { CommitFailedError, CommitUnknownError, type ControlState, FencedError, prefixRange, type RangeAnswer } from '@harikube/keyspace';
import pg from 'pg';
import { BatchWriter } from './batch-writer.js';
import type { PostgresServer } from './databases/postgres-server.js';
import { openPostgres, POSTGRES_SETTINGS, postgresBackend, PostgresDatabases, postgresEndpoint } from './postgres-databases.js';
import { takeOver } from './take-over.js';

const databases = new PostgresDatabases({});
const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});
afterAll(() => databases.close());

async function open(name: string, settings: Partial<DatabaseSettings> = {}): Promise<PostgresBackend> {
  const backend = postgresBackend(name, settings);
  opened.push(backend);
  await backend.open();
  return backend;
}

/** A session of somebody else, as the superuser. */
async function connect(name: string): Promise<pg.Client> {
  const { host, port, user, password, database } = postgresEndpoint(name);
  const client = new pg.Client({ host, port, user, database, ...(password === null ? {} : { password }) });
  client.on('error', () => undefined); // it may be ended by the server
  await client.connect();
  opened.push({ close: () => client.end() });
  return client;
}

async function claimed(backend: PostgresBackend): Promise<{ control: ControlState; writer: BatchWriter }> {
  const control = await takeOver(backend);
  await backend.claim({ storeId: control.storeId, epoch: control.epoch });
  return { control, writer: new BatchWriter(backend, 1n) };
}

async function hasKey(backend: PostgresBackend, key: string): Promise<boolean> {
  return (await backend.load([Buffer.from(key)])).heads[0] !== null;
}

async function lengthOf({ blocks, rest }: RangeAnswer): Promise<number> {
  let length = blocks.reduce((sum, block) => sum + block.length, 0);
  if (rest !== undefined) for await (const block of rest) length += block.length;
  return length;
}

function withName(name: string, database: string): string {
  return name.replace(/[^/]*$/, database);
}

/** Again and again until it is true, or too much time has passed. */
async function until(work: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end;) if (await work()) return;
  throw new Error('it does not become true');
}

/** Until it succeeds, or too much time has passed. */
async function succeeds<T>(work: () => Promise<T>): Promise<T> {
  let found: { readonly result: T } | null = null;
  await until(async () => {
    try {
      found = { result: await work() };
      return true;
    } catch {
      return false;
    }
  });
  return (found as { readonly result: T } | null)?.result as T;
}

/** A session of the backend waits for a lock. */
async function isWaiting(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'harikube' AND wait_event_type IN ('Lock', 'IPC')`,
  );
  return rows.length > 0;
}

async function endThoseWhoWait(client: pg.Client): Promise<void> {
  await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'harikube' AND wait_event_type IN ('Lock', 'IPC')`,
  );
}

describe('opening a PostgreSQL database', () => {
  it('makes a database that is not there', async () => {
    const name = withName(await databases.create(), 'made by "me"'.replaceAll('"', '%22').replaceAll(' ', '%20'));
    const backend = await open(name);
    expect(backend.identity).toMatch(/^[0-9a-f-]{36}$/);
    expect(backend.location).not.toContain('@');
    await (await claimed(backend)).writer.put('/a', 'one');
  });

  it('says who may not make one, or its tables', async () => {
    const server = await databases.server();
    const name = await databases.create();
    await server.query(`CREATE ROLE poor LOGIN PASSWORD 'poor'`);
    const poor = name.replace(/\/\/.*@/, '//poor:poor@');
    await expect(open(withName(poor, 'absent'))).rejects.toMatchObject({
      name: 'RefusedDatabaseError',
      message: expect.stringMatching(/user "poor" may not make it; have it made: CREATE DATABASE "absent" OWNER "poor"/),
    });
    await expect(glanceAtPostgres(postgresEndpoint(withName(poor, 'absent')), POSTGRES_SETTINGS)).rejects.toThrow(/may not make it/);
    await server.query('REVOKE CREATE ON SCHEMA public FROM PUBLIC', postgresEndpoint(name).database);
    await expect(open(poor)).rejects.toMatchObject({
      name: 'RefusedDatabaseError',
      message: expect.stringContaining('GRANT CREATE ON SCHEMA "public" TO "poor"'),
    });
  });

  it('is done by several routers at the same time', async () => {
    const name = withName(await databases.create(), 'made_at_once');
    const backends = await Promise.all(Array.from({ length: 4 }, () => open(name)));
    expect(new Set(backends.map(({ identity }) => identity)).size).toBe(1);
  });

  it('refuses a wrong password without showing it', async () => {
    const name = (await databases.create()).replace(/:[^:@]*@/, ':wrong-secret@');
    const error = await open(name).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      name: 'DatabaseOpenError',
      message: expect.stringContaining('password authentication failed'),
    });
    expect(String(error)).not.toContain('wrong-secret');
  });

  it('refuses a table of another program, and takes a schema beside it', async () => {
    const name = await databases.create();
    const client = await connect(name);
    await client.query('CREATE TABLE log (line text)');
    await expect(open(name)).rejects.toMatchObject({
      name: 'RefusedDatabaseError',
      message: expect.stringContaining('name a schema of its own with ?search_path=NAME'),
    });
    await expect(glanceAtPostgres(postgresEndpoint(name), POSTGRES_SETTINGS)).rejects.toThrow(/of another program/);
    const one = await open(`${name}?search_path=One%20schema`);
    const other = await open(`${name}?search_path=other`);
    expect(one.identity).not.toBe(other.identity);
    await (await claimed(one)).writer.put('/a', 'one');
    await claimed(other);
    expect([await hasKey(one, '/a'), await hasKey(other, '/a')]).toEqual([true, false]);
  });

  it('refuses tables of a newer router', async () => {
    const name = await databases.create();
    await (await open(name)).close();
    const client = await connect(name);
    await client.query("INSERT INTO harikube_migrations (timestamp, name) VALUES (9, 'Later9')");
    await expect(open(name)).rejects.toMatchObject({
      name: 'RefusedDatabaseError',
      message: expect.stringMatching(/by a newer router: .* "Later9".*; use the newer router again/),
    });
  });

  it('refuses a database that is not the one on record', async () => {
    const name = await databases.create();
    await expect(open(name, { expectedIdentity: 'another' })).rejects.toMatchObject({
      name: 'RefusedDatabaseError',
      message: expect.stringContaining('recorded is another'),
    });
  });

  it('refuses an encoding that cannot show every text', async () => {
    const server = await databases.server();
    await server.query(`CREATE DATABASE old_encoding ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
    await expect(open(withName(await databases.create(), 'old_encoding'))).rejects.toMatchObject({
      name: 'RefusedDatabaseError',
      message: expect.stringContaining('has the encoding LATIN1'),
    });
  });

  it('waits for a server that takes no writes, and then opens', async () => {
    const name = await databases.create();
    const { database } = postgresEndpoint(name);
    const server = await databases.server();
    await server.query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
    await expect(open(name)).rejects.toMatchObject({
      name: 'DatabaseOpenError',
      message: expect.stringContaining('the server is read-only'),
    });
    await server.query(`ALTER DATABASE ${database} RESET default_transaction_read_only`);
    await open(name);
  });

  it('warns of settings that lose acknowledged writes', async () => {
    const warnings: string[] = [];
    const onWarning = (sentence: string): void => void warnings.push(sentence);
    const fragile = new PostgresDatabases({ isDurable: false });
    try {
      const backend = await openPostgres(await fragile.create(), { onWarning });
      expect(warnings.splice(0)).toEqual([expect.stringContaining('fsync=off'), expect.stringContaining('full_page_writes=off')]);
      await backend.close();
    } finally {
      await fragile.close();
    }
    await open(await databases.create(), { onWarning });
    expect(warnings).toEqual([]);
  });

  it.each([
    ['off', 'on'],
    ['local', 'on'],
    ['remote_apply', 'remote_apply'],
  ])('commits durably where synchronous_commit is %s', async (setting, effective) => {
    const name = await databases.create();
    const client = await connect(name);
    await client.query(`ALTER DATABASE ${postgresEndpoint(name).database} SET synchronous_commit = ${setting}`);
    const backend = await open(name);
    await client.query(`CREATE TABLE seen (setting text, isolation text);
      CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen VALUES (current_setting('synchronous_commit'), current_setting('transaction_isolation')); RETURN NULL;
      END $$;
      CREATE TRIGGER see AFTER INSERT ON log FOR EACH STATEMENT EXECUTE FUNCTION see();
      CREATE TRIGGER see AFTER UPDATE ON control FOR EACH STATEMENT EXECUTE FUNCTION see()`);
    await (await claimed(backend)).writer.put('/a', 'one');
    expect((await client.query('SELECT DISTINCT setting, isolation FROM seen')).rows).toEqual([
      { setting: effective, isolation: 'read committed' },
    ]);
  });
});

describe('a glance at a PostgreSQL database', () => {
  it('tells what it is and changes nothing', async () => {
    const name = await databases.create();
    const nothing = { identity: null, storeId: null, keys: 0 };
    expect(await glanceAtPostgres(postgresEndpoint(name), POSTGRES_SETTINGS)).toEqual(nothing);
    expect(await glanceAtPostgres(postgresEndpoint(withName(name, 'not_there')), POSTGRES_SETTINGS)).toEqual(nothing);
    const client = await connect(name);
    expect((await client.query(`SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace`)).rows).toEqual([]);
    expect((await client.query(`SELECT 1 FROM pg_database WHERE datname = 'not_there'`)).rows).toEqual([]);
    const backend = await open(name);
    const { control, writer } = await claimed(backend);
    await writer.put('/a', 'one');
    await writer.put('/b', 'one');
    const { identity } = backend;
    expect(await glanceAtPostgres(postgresEndpoint(name), POSTGRES_SETTINGS)).toEqual({ identity, storeId: control.storeId, keys: 2 });
  });
});

describe('a connection that is cut', () => {
  it.each(['meta', 'log', 'head', 'resource_count'])('at %s has committed nothing, which resolve tells', async (table) => {
    const name = await databases.create();
    const backend = await open(name);
    const { writer } = await claimed(backend);
    await writer.put('/registry/pods/a', 'one');
    const client = await connect(name);
    await client.query(`BEGIN; LOCK TABLE ${table} IN SHARE MODE`);
    const cut = writer.prepare([{ put: '/registry/pods/b', value: 'two' }]);
    const committing = backend.commit(cut.batch).catch((reason: unknown) => reason);
    await until(() => isWaiting(client));
    await endThoseWhoWait(client);
    expect(await committing).toBeInstanceOf(CommitUnknownError);
    await client.query('ROLLBACK');
    expect(await succeeds(async () => (await backend.resolve()) >= cut.batch.lastRevision)).toBe(false);
    await writer.put('/registry/pods/c', 'three');
    expect([await hasKey(backend, '/registry/pods/b'), await hasKey(backend, '/registry/pods/c')]).toEqual([false, true]);
  });

  it('behind the COMMIT has committed, which resolve tells', async () => {
    const lonely = new PostgresDatabases({});
    try {
      const name = await lonely.create();
      const server = await lonely.server();
      const backend = await open(name);
      const { writer } = await claimed(backend);
      await writer.put('/a', 'one');
      const client = await connect(name);
      // A commit waits for a standby that is not there, when it has taken place already.
      await server.query(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
      await server.query('SELECT pg_reload_conf()');
      await until(
        async () =>
          (await client.query<{ names: string }>(`SELECT current_setting('synchronous_standby_names') AS names`)).rows[0]?.names ===
          'nobody',
      );
      // The server's checkpointer makes commits wait, once it has read the setting, too.
      const commitThatWaits = async () => {
        for (let attempt = 1; ; attempt++) {
          const key = `/b${attempt}`;
          const cut = writer.prepare([{ put: key, value: 'two' }]);
          let isOver = false;
          const committing = backend
            .commit(cut.batch)
            .catch((reason: unknown) => reason)
            .finally(() => (isOver = true));
          await until(async () => isOver || (await isWaiting(client)));
          if (!isOver) return { key, cut, committing };
          writer.tookPlace(cut);
        }
      };
      const { key, cut, committing } = await commitThatWaits();
      await endThoseWhoWait(client);
      expect(await committing).toBeInstanceOf(CommitUnknownError);
      await server.query('ALTER SYSTEM RESET synchronous_standby_names');
      await server.query('SELECT pg_reload_conf()');
      expect(await succeeds(async () => (await backend.resolve()) >= cut.batch.lastRevision)).toBe(true);
      writer.tookPlace(cut);
      await writer.put('/c', 'three');
      expect(await hasKey(backend, key)).toBe(true);
      await Promise.all(opened.splice(0).map((one) => one.close()));
    } finally {
      await lonely.close();
    }
  });

  it('while it reads or waits is replaced by another one', async () => {
    const name = await databases.create();
    const backend = await open(name);
    const { writer } = await claimed(backend);
    await writer.put('/a', 'one');
    await hasKey(backend, '/a');
    const client = await connect(name);
    await client.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    expect(await succeeds(() => hasKey(backend, '/a'))).toBe(true);
    await succeeds(() => backend.renew(new Map()));
    await succeeds(() => writer.put('/b', 'two'));
  });
});

describe('a commit that takes too long', () => {
  it('ends in time, and what it was doing does not take place behind its end', async () => {
    const name = await databases.create();
    const backend = await open(name, { requestTimeoutMs: 700 });
    const { writer } = await claimed(backend);
    await writer.put('/a', 'one');
    const client = await connect(name);
    await client.query('BEGIN; UPDATE meta SET epoch = epoch');
    const late = writer.prepare([{ put: '/b', value: 'two' }]);
    const begun = performance.now();
    const error = await backend.commit(late.batch).catch((reason: unknown) => reason);
    expect(performance.now() - begun).toBeLessThan(5000);
    expect(error instanceof CommitUnknownError || error instanceof CommitFailedError).toBe(true);
    await expect(backend.resolve()).rejects.toThrow(/lock/);
    // The lease does not wait for the lock that a commit waits for.
    await backend.renew(new Map([['some', 7n]]));
    await client.query('ROLLBACK');
    expect((await backend.resolve()) >= late.batch.lastRevision).toBe(false);
    await writer.put('/c', 'three');
    expect(await hasKey(backend, '/b')).toBe(false);
  });
});

describe('a writer that takes over', () => {
  it('ends the one that holds the lock of a commit', async () => {
    const name = await databases.create();
    const first = await open(name);
    const { control, writer } = await claimed(first);
    await writer.put('/a', 'one');
    const stuck = await connect(name);
    await stuck.query('BEGIN; UPDATE meta SET last_revision = last_revision');
    const second = await open(name);
    const begun = performance.now();
    const next = await takeOver(second);
    await second.claim({ storeId: next.storeId, epoch: next.epoch });
    expect(performance.now() - begun).toBeLessThan(5000);
    expect(next.epoch).toBe(control.epoch + 1n);
    await expect(writer.put('/b', 'late')).rejects.toBeInstanceOf(FencedError);
    await expect(first.renew(new Map())).rejects.toBeInstanceOf(FencedError);
    await expect(stuck.query('COMMIT')).rejects.toThrow();
  });
});

describe('the sessions that read', () => {
  it('are no more than allowed, and whoever waits too long for one is told', async () => {
    const name = await databases.create();
    const backend = await open(name, { pool: { maxOpen: 4 }, requestTimeoutMs: 1000 });
    await claimed(backend);
    const client = await connect(name);
    await client.query('BEGIN; LOCK TABLE head IN ACCESS EXCLUSIVE MODE');
    const loads = Array.from({ length: 12 }, () => backend.load([Buffer.from('/a')]).then(String, String));
    await until(() => isWaiting(client));
    const { rows } = await client.query<{ sessions: string }>(
      `SELECT count(*) AS sessions FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'harikube'`,
    );
    expect(Number(rows[0]?.sessions)).toBeLessThanOrEqual(4);
    const answers = await Promise.all(loads);
    expect(answers.filter((answer) => answer.includes('none of 2 connections that read is free')).length).toBeGreaterThanOrEqual(8);
    await client.query('ROLLBACK');
    expect(await succeeds(() => hasKey(backend, '/a'))).toBe(false);
  });
});

describe('large lists', () => {
  it('wait for each other when there are more than sessions for them', async () => {
    const backend = await open(await databases.create(), { pool: { maxOpen: 4 } });
    const { writer } = await claimed(backend);
    for (let i = 0; i < 12; i++) await writer.put(`/large/${i}`, Buffer.alloc(600_000, i));
    const query = { range: prefixRange(Buffer.from('/large/')), revision: 0n, limit: 0, keysOnly: false, countOnly: false, count: true };
    const first = await backend.range(query);
    const others = Array.from({ length: 3 }, async () => lengthOf(await backend.range(query)));
    // A small read finds a session while the first list goes on and the others wait.
    expect(await hasKey(backend, '/large/1')).toBe(true);
    const lengths = [await lengthOf(first), ...(await Promise.all(others))];
    expect(lengths).toEqual([first.bytes, first.bytes, first.bytes, first.bytes]);
    expect(first.rest).toBeDefined();
  });
});

describe('a PostgreSQL server', () => {
  async function ofItsOwn(work: (server: PostgresServer, name: string) => Promise<void>): Promise<void> {
    const own = new PostgresDatabases({});
    try {
      await work(await own.server(), await own.create());
      for (const one of opened.splice(0)) await one.close();
    } finally {
      await own.close();
    }
  }

  it('that is killed and started again serves on, without a second open', () =>
    ofItsOwn(async (server, name) => {
      const backend = await open(name);
      const { writer } = await claimed(backend);
      await writer.put('/a', 'one');
      await server.kill();
      const lost = writer.prepare([{ put: '/b', value: 'two' }]);
      const error = await backend.commit(lost.batch).catch((reason: unknown) => reason);
      expect(error instanceof CommitUnknownError || error instanceof CommitFailedError).toBe(true);
      const begun = performance.now();
      await expect(hasKey(backend, '/a')).rejects.toThrow();
      await expect(backend.resolve()).rejects.toThrow();
      expect(performance.now() - begun).toBeLessThan(5000);
      await server.start();
      expect(await succeeds(async () => (await backend.resolve()) >= lost.batch.lastRevision)).toBe(false);
      await writer.put('/c', 'three');
      expect([await hasKey(backend, '/a'), await hasKey(backend, '/c')]).toEqual([true, true]);
    }));

  it('that stands still fails what waits for it, in time, and nothing of that comes later', () =>
    ofItsOwn(async (server, name) => {
      const backend = await open(name, { requestTimeoutMs: 800 });
      const { writer } = await claimed(backend);
      await writer.put('/a', 'one');
      server.pause();
      const late = writer.prepare([{ put: '/b', value: 'two' }]);
      const begun = performance.now();
      const [error] = await Promise.all([
        backend.commit(late.batch).catch((reason: unknown) => reason),
        expect(hasKey(backend, '/a')).rejects.toThrow(),
      ]);
      expect(performance.now() - begun).toBeLessThan(5000);
      expect(error).toBeInstanceOf(CommitUnknownError);
      server.resume();
      const tookPlace = await succeeds(async () => (await backend.resolve()) >= late.batch.lastRevision);
      expect(await succeeds(() => hasKey(backend, '/b'))).toBe(tookPlace);
      if (tookPlace) writer.tookPlace(late);
      await writer.put('/c', 'three');
      expect(await hasKey(backend, '/b')).toBe(tookPlace);
    }));

  it('with TLS is known by its certificate, and knows its clients by theirs', async () => {
    const secure = new PostgresDatabases({ tls: true });
    const folder = await mkdtemp(join(tmpdir(), 'harikube-certificates-'));
    try {
      const name = await secure.create();
      const { authority } = await secure.server();
      if (authority === null) throw new Error('the server has TLS');
      const [caFile, certFile, keyFile] = [join(folder, 'ca.crt'), join(folder, 'tls.crt'), join(folder, 'tls.key')];
      const certificate = await authority.issue('postgres');
      await Promise.all([writeFile(caFile, authority.cert), writeFile(certFile, certificate.cert), writeFile(keyFile, certificate.key)]);
      const files = `sslrootcert=${caFile}&sslcert=${certFile}&sslkey=${keyFile}`;
      const backend = await open(`${name}?sslmode=verify-full&${files}`);
      await (await claimed(backend)).writer.put('/a', 'one');
      expect(
        (
          await (
            await secure.server()
          ).query(`SELECT bool_and(ssl) AS ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'harikube'`)
        ).rows,
      ).toEqual([{ ssl: true }]);
      const tls = { caFile, certFile, keyFile, skipVerify: false };
      expect((await open(name, { tls })).identity).toBe(backend.identity);
      expect((await open(name, { tls: { ...tls, caFile: null, skipVerify: true } })).identity).toBe(backend.identity);
      await expect(open(name)).rejects.toThrow(/DatabaseOpenError|cannot be opened/);
      await expect(open(name, { tls: { ...tls, certFile: null, keyFile: null } })).rejects.toThrow(/certificate/);
      await expect(open(name, { tls: { ...tls, caFile: null } })).rejects.toThrow(/certificate/);
      await expect(open(`${name}?sslmode=disable`, { tls })).rejects.toMatchObject({ name: 'RefusedDatabaseError' });
      for (const one of opened.splice(0)) await one.close();
    } finally {
      await secure.close();
      await rm(folder, { recursive: true });
    }
  });
});

it('shows people keys and values as text', async () => {
  const name = await databases.create();
  const backend = await open(name);
  const { writer } = await claimed(backend);
  await writer.put('/é', 'grün', 7n);
  await writer.put(Buffer.from([0x2f, 0xff]), Buffer.from([0, 0xfe]));
  await writer.delete('/é');
  const client = await connect(name);
  expect((await client.query('SELECT revision, key, value FROM records ORDER BY revision')).rows).toEqual([
    { revision: '3', key: '/\\377', value: '\\000\\376' },
  ]);
  expect((await client.query('SELECT revision, key, type, value, prev_revision FROM history ORDER BY revision')).rows).toEqual([
    { revision: '2', key: '/é', type: 'PUT', value: 'grün', prev_revision: '0' },
    { revision: '3', key: '/\\377', type: 'PUT', value: '\\000\\376', prev_revision: '0' },
    { revision: '4', key: '/é', type: 'DELETE', value: '', prev_revision: '2' },
  ]);
});

it('refuses a key that is longer than the indexes take', async () => {
  const backend = await open(await databases.create());
  const { writer } = await claimed(backend);
  const key = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 7919 + (i >> 3)) & 0xff));
  await writer.put(key(2640), 'one');
  await writer.put(key(2640), 'two');
  await expect(writer.put(key(2641), 'one')).rejects.toThrow(/its key has 2641 bytes, and the indexes of .* take 2640/);
});

it('takes up other options of its database while it is used', async () => {
  const name = await databases.create();
  const backend = new PostgresBackend(postgresEndpoint(name), POSTGRES_SETTINGS);
  opened.push(backend);
  await backend.open();
  const { writer } = await claimed(backend);
  const client = await connect(name);
  const writing = Promise.all(Array.from({ length: 5 }, () => hasKey(backend, '/a')));
  await backend.configure(postgresEndpoint(name, { applicationName: 'anew' }), { ...POSTGRES_SETTINGS, pool: { maxOpen: 3 } });
  await writing;
  await writer.put('/a', 'one');
  expect(await hasKey(backend, '/a')).toBe(true);
  await backend.renew(new Map());
  await until(async () => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    return rows.length === 1 && rows[0]?.name === 'anew';
  });
});
