import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { DatabaseSettings } from '@harikube/datasources';
import { glanceAtMysql, MysqlBackend } from '@harikube/datasources/engines';
import {
  type CommitBatch,
  CommitFailedError,
  CommitUnknownError,
  type ControlState,
  FencedError,
  keyOf,
  keyRange,
  recordsOf,
} from '@harikube/keyspace';
import { readEnv } from '@harikube/platform';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { BatchWriter } from './batch-writer.js';
import { TestAuthority } from './databases/test-authority.js';
import {
  GivenMysqlDatabases,
  MariadbDatabases,
  MYSQL_SETTINGS,
  mysqlEndpoint,
  type MysqlDatabases,
  openMysql,
} from './mariadb-databases.js';
import { takeOver } from './take-over.js';

interface IdRow extends RowDataPacket {
  readonly id: number;
}

const EVERYTHING = {
  range: keyRange(Buffer.from([0]), Buffer.from([0])),
  revision: 0n,
  limit: 0,
  keysOnly: false,
  countOnly: false,
  count: true,
};

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function open(url: string, settings: Partial<DatabaseSettings> = {}): Promise<MysqlBackend> {
  const backend = await openMysql(url, settings);
  opened.push(backend);
  return backend;
}

/** A session of somebody else. */
async function connect(url: string): Promise<Connection> {
  const { user, password, address, database } = mysqlEndpoint(url);
  const connection = await createConnection({ ...address, user, password, database, multipleStatements: true });
  opened.push({ close: () => Promise.resolve(connection.destroy()) });
  return connection;
}

async function claimed(backend: MysqlBackend): Promise<{ control: ControlState; writer: BatchWriter }> {
  const control = await takeOver(backend);
  await backend.claim({ storeId: control.storeId, epoch: control.epoch });
  return { control, writer: new BatchWriter(backend, 1n) };
}

async function keysIn(backend: MysqlBackend): Promise<string[]> {
  const { blocks } = await backend.range(EVERYTHING);
  return blocks.flatMap((block) => Array.from(recordsOf(block), (record) => keyOf(record).toString()));
}

/** Again and again until it succeeds, or too much time has passed. */
async function until<T>(work: () => Promise<T>): Promise<T> {
  const end = performance.now() + 20_000;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > end) throw error;
      await setImmediate(); // an answer that comes at once lets nothing else happen
    }
  }
}

/** The number of the session whose statement begins so, once the server runs it. */
async function sessionThatRuns(watcher: Connection, statement: string): Promise<number> {
  for (;;) {
    const [rows] = await watcher.query<IdRow[]>(
      `SELECT id FROM information_schema.processlist WHERE info LIKE '${statement}%' AND id <> CONNECTION_ID()`,
    );
    const [found] = rows;
    if (found !== undefined) return found.id;
  }
}

/** What holds on a server of either product. */
function describeMysql(name: string, databases: MysqlDatabases): void {
  describe(name, () => {
    let url: string;

    beforeEach(async () => {
      url = await databases.create();
    });

    describe('open', () => {
      it('refuses a wrong password without showing it', async () => {
        const error: unknown = await open(url.replace(/^(mysql:\/\/[^:@]*)(:[^]*)?@tcp/, '$1:not-the-one@tcp')).catch(
          (reason: unknown) => reason,
        );
        expect(error).toMatchObject({ name: 'DatabaseOpenError', message: expect.stringContaining('check its password and its grants') });
        expect(String(error)).not.toContain('not-the-one');
      });

      it('refuses the database of another program', async () => {
        await (await connect(url)).query('CREATE TABLE orders (id INT)');
        await expect(open(url)).rejects.toMatchObject({
          name: 'RefusedDatabaseError',
          message: expect.stringContaining('the table "orders"'),
        });
      });

      it('refuses tables of a newer router', async () => {
        await (await open(url)).close();
        await (await connect(url)).query("INSERT INTO harikube_migrations (timestamp, name) VALUES (9, 'Later9')");
        await expect(open(url)).rejects.toMatchObject({
          name: 'RefusedDatabaseError',
          message: expect.stringMatching(/by a newer router: .* "Later9".*; use the newer router again/),
        });
      });

      it('refuses a database that is not the one on record', async () => {
        await expect(open(url, { expectedIdentity: '00000000-0000-4000-8000-000000000000' })).rejects.toMatchObject({
          name: 'RefusedDatabaseError',
        });
      });
    });

    describe('glanceAtMysql', () => {
      it('tells what a database is and changes nothing', async () => {
        const nothing = { identity: null, storeId: null, keys: 0 };
        expect(await glanceAtMysql(mysqlEndpoint(url, { database: 'harikube_is_not_there' }), MYSQL_SETTINGS)).toEqual(nothing);
        expect(await glanceAtMysql(mysqlEndpoint(url), MYSQL_SETTINGS)).toEqual(nothing);
        const [tables] = await (await connect(url)).query('SHOW TABLES');
        expect(tables).toEqual([]);
        const backend = await open(url);
        const { identity } = backend;
        expect(await glanceAtMysql(mysqlEndpoint(url), MYSQL_SETTINGS)).toEqual({ identity, storeId: null, keys: 0 });
        const { control, writer } = await claimed(backend);
        await writer.commit([{ put: '/a' }, { put: '/b' }]);
        expect(await glanceAtMysql(mysqlEndpoint(url), MYSQL_SETTINGS)).toEqual({ identity, storeId: control.storeId, keys: 2 });
      });

      it('refuses the database of another program', async () => {
        await (await connect(url)).query('CREATE TABLE orders (id INT)');
        await expect(glanceAtMysql(mysqlEndpoint(url), MYSQL_SETTINGS)).rejects.toThrow(/another program's database/);
      });
    });

    describe('commit', () => {
      it('is certain to have failed when another program holds its row for too long', async () => {
        const backend = await open(url, { requestTimeoutMs: 2000 });
        const { writer } = await claimed(backend);
        const blocker = await connect(url);
        await blocker.query('START TRANSACTION; SELECT * FROM meta FOR UPDATE');
        await expect(writer.put('/a')).rejects.toMatchObject({ name: 'CommitFailedError', isConflict: false });
        await blocker.query('ROLLBACK');
        await writer.put('/b');
        expect(await keysIn(backend)).toHaveLength(1);
      });

      it('is certain to have failed when it was chosen to end a deadlock', async () => {
        const backend = await open(url);
        const { writer } = await claimed(backend);
        await writer.put('/a');
        const rival = await connect(url);
        // It has written more than the commit, so that it is not the one to be ended.
        const leases = Array.from({ length: 200 }, (_, i) => `(${i + 1}, 1, 1, 0)`).join(', ');
        await rival.query(`START TRANSACTION; INSERT INTO lease VALUES ${leases}; SELECT * FROM head FOR UPDATE`);
        const committing = writer.put('/a', 'again').catch((error: unknown) => error);
        await sessionThatRuns(await connect(url), 'INSERT INTO head');
        await rival.query('SELECT * FROM meta FOR UPDATE');
        expect(await committing).toMatchObject({
          name: 'CommitFailedError',
          isConflict: false,
          message: expect.stringContaining('Deadlock'),
        });
        await rival.query('ROLLBACK');
        await writer.put('/a', 'at last');
      });
    });

    describe('a session that is ended', () => {
      /** How a commit ends whose session is ended while somebody else holds a lock that its statement waits for. */
      async function killed(backend: MysqlBackend, batch: CommitBatch, lock: string, statement: string): Promise<unknown> {
        const blocker = await connect(url);
        await blocker.query(`START TRANSACTION; ${lock}`);
        const committing = backend.commit(batch).catch((error: unknown) => error);
        const watcher = await connect(url);
        await watcher.query(`KILL ${await sessionThatRuns(watcher, statement)}`);
        const ended = await committing;
        await blocker.query('ROLLBACK');
        return ended;
      }

      const many = Array.from({ length: 500 }, (_, i) => ({ put: `/many/${100 + i}`, value: 'x'.repeat(500) }));

      it.each([
        ['at the first statement', 'SELECT * FROM meta FOR UPDATE', 'UPDATE meta'],
        ['at its rows', "INSERT INTO head VALUES ('/many/100', 1, 0)", 'INSERT INTO head'],
      ])('%s of a large commit has committed nothing', async (_name, lock, statement) => {
        const backend = await open(url);
        const { writer } = await claimed(backend);
        await writer.put('/a');
        expect(await killed(backend, writer.prepare(many).batch, lock, statement)).toMatchObject({
          name: 'CommitFailedError',
          isConflict: false,
        });
        await writer.put('/c');
        expect(await keysIn(backend)).toEqual(['/a', '/c']);
      });

      it('at rows that go together with COMMIT has committed nothing, which resolve tells', async () => {
        const backend = await open(url);
        const { writer } = await claimed(backend);
        await writer.put('/a');
        const { batch } = writer.prepare([{ put: '/b' }]);
        const ended = await killed(backend, batch, "INSERT INTO head VALUES ('/b', 1, 0)", 'INSERT INTO head');
        expect(ended).toBeInstanceOf(CommitUnknownError);
        expect((await backend.resolve()) >= batch.lastRevision).toBe(false);
        await writer.put('/c');
        expect(await keysIn(backend)).toEqual(['/a', '/c']);
      });

      it('that reads is replaced by another one', async () => {
        const backend = await open(url);
        const { writer } = await claimed(backend);
        await writer.put('/a');
        await keysIn(backend);
        const watcher = await connect(url);
        const [sessions] = await watcher.query<IdRow[]>(
          'SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()',
        );
        for (const { id } of sessions) await watcher.query(`KILL ${id}`);
        // Each of them may cost a read, one that was being opened too.
        expect(await until(() => keysIn(backend))).toHaveLength(1);
      });
    });

    describe('a writer that takes over', () => {
      it('ends the one that holds the lock of a commit', async () => {
        const older = await open(url);
        const { writer, control } = await claimed(older);
        await writer.put('/a');
        const blocker = await connect(url);
        await blocker.query("START TRANSACTION; INSERT INTO head VALUES ('/b', 1, 0)");
        const { batch } = writer.prepare([{ put: '/b' }]);
        const committing = older.commit(batch).catch((error: unknown) => error);
        await sessionThatRuns(await connect(url), 'INSERT INTO head');
        const newer = await open(url);
        const state = await takeOver(newer);
        expect(state.epoch).toBe(control.epoch + 1n);
        await newer.claim({ storeId: state.storeId, epoch: state.epoch });
        expect(await committing).toBeInstanceOf(CommitUnknownError);
        await blocker.query('ROLLBACK');
        await expect(older.resolve()).rejects.toBeInstanceOf(FencedError);
        await expect(older.commit(writer.prepare([{ put: '/c' }]).batch)).rejects.toBeInstanceOf(FencedError);
        expect(await keysIn(newer)).toHaveLength(1);
      });
    });

    it('shows people keys and values as text', async () => {
      const backend = await open(url);
      const { writer } = await claimed(backend);
      await writer.put('/a', 'one', 7n);
      await writer.put('/a', 'zwölf', 7n);
      await writer.delete('/a');
      await writer.put('/b', 'two');
      const [records] = await (await connect(url)).query('SELECT * FROM records');
      expect(records).toEqual([{ revision: 5, key: '/b', create_revision: 5, version: 1, lease: 0, value: 'two' }]);
      const [history] = await (
        await connect(url)
      ).query('SELECT revision, `key`, type, value, prev_revision FROM history ORDER BY revision');
      expect(history).toEqual([
        { revision: 2, key: '/a', type: 'PUT', value: 'one', prev_revision: 0 },
        { revision: 3, key: '/a', type: 'PUT', value: 'zwölf', prev_revision: 2 },
        { revision: 4, key: '/a', type: 'DELETE', value: '', prev_revision: 3 },
        { revision: 5, key: '/b', type: 'PUT', value: 'two', prev_revision: 0 },
      ]);
    });

    it('takes up other options of its database while it is used', async () => {
      const backend = await open(url);
      const { writer } = await claimed(backend);
      await writer.put('/a');
      await backend.configure(mysqlEndpoint(url, { connectTimeoutMs: 1234 }), { ...MYSQL_SETTINGS, pool: { maxOpen: 3 } });
      await writer.put('/b');
      expect(await keysIn(backend)).toHaveLength(2);
    });
  });
}

const mariadb = new MariadbDatabases({});
afterAll(() => mariadb.close());
describeMysql('MysqlBackend on MariaDB', mariadb);

const { TEST_MYSQL_URL: given } = readEnv();
if (given !== undefined && given !== '') {
  const databases = new GivenMysqlDatabases(given);
  afterAll(() => databases.close());
  describeMysql('MysqlBackend on MySQL', databases);
}

describe('MysqlBackend and its server', () => {
  let url: string;

  beforeEach(async () => {
    url = await mariadb.create();
  });

  /** The same server, another database. */
  const other = (name: string, login?: string): string =>
    url.replace(/\/[^/]*$/, `/${name}`).replace(/^mysql:\/\/[^]*@tcp/, (found) => (login === undefined ? found : `mysql://${login}@tcp`));

  describe('open', () => {
    it('makes a database that is not there', async () => {
      const server = await mariadb.server();
      await server.query('DROP DATABASE IF EXISTS `made by-us`');
      const backend = await open(other('made by-us'));
      const { writer } = await claimed(backend);
      await writer.put('/a', 'one');
      expect(await server.query('SELECT CONVERT(`key` USING utf8mb4) AS name FROM `made by-us`.head')).toEqual([{ name: '/a' }]);
    });

    it('takes names that are not of ASCII, whose session writes bytes in hexadecimal', async () => {
      const server = await mariadb.server();
      await server.query('DROP DATABASE IF EXISTS `größe`');
      const { writer } = await claimed(await open(other('größe')));
      await writer.put('/é', Buffer.from([0xc3, 0x28, 0]));
      expect(await server.query('SELECT HEX(`key`) AS name, HEX(RIGHT(record, 3)) AS value FROM `größe`.log')).toEqual([
        { name: '2FC3A9', value: 'C32800' },
      ]);
    });

    it('says who may not make one', async () => {
      const server = await mariadb.server();
      await server.query("CREATE OR REPLACE USER poor@'%' IDENTIFIED BY 'pw'");
      await expect(open(other('never_there', 'poor:pw'))).rejects.toMatchObject({
        name: 'DatabaseOpenError',
        message: expect.stringContaining('the server refuses user "poor" for database "never_there"'),
      });
      await server.query("GRANT SELECT ON never_there.* TO poor@'%'");
      await expect(open(other('never_there', 'poor:pw'))).rejects.toThrow(
        'there is no database "never_there", and "poor" may not create it; create it, or grant CREATE on it',
      );
    });

    it('is done by several routers at the same time', async () => {
      const name = other('made_at_once');
      await (await mariadb.server()).query('DROP DATABASE IF EXISTS made_at_once');
      const backends = await Promise.all([1, 2, 3, 4].map(() => open(name)));
      expect(new Set(backends.map(({ identity }) => identity)).size).toBe(1);
    });

    it('waits for a server that takes no writes, and then opens', async () => {
      const server = await mariadb.server();
      await server.query('SET GLOBAL read_only = ON');
      const backend = new MysqlBackend(mysqlEndpoint(url), MYSQL_SETTINGS);
      opened.push(backend);
      try {
        await expect(backend.open()).rejects.toMatchObject({
          name: 'DatabaseOpenError',
          message: expect.stringContaining('read_only=ON: the server takes no writes'),
        });
      } finally {
        await server.query('SET GLOBAL read_only = OFF');
      }
      await backend.open();
      expect(backend.isOpen).toBe(true);
    });

    it('warns of settings that lose acknowledged writes', async () => {
      const server = await mariadb.server();
      const warnings: string[] = [];
      const onWarning = (sentence: string): void => void warnings.push(sentence);
      await server.query('SET GLOBAL innodb_flush_log_at_trx_commit = 2');
      try {
        await open(url, { onWarning });
        expect(warnings.splice(0)).toEqual([expect.stringContaining('innodb_flush_log_at_trx_commit=2')]);
      } finally {
        await server.query('SET GLOBAL innodb_flush_log_at_trx_commit = 1');
      }
      await open(await mariadb.create(), { onWarning });
      expect(warnings).toEqual([]);
    });

    it('does not depend on the modes of the server', async () => {
      const server = await mariadb.server();
      const [before] = await server.query('SELECT @@GLOBAL.sql_mode AS modes');
      await server.query(
        "SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'; SET GLOBAL tx_isolation = 'SERIALIZABLE'; SET GLOBAL autocommit = 0",
      );
      try {
        const backend = await open(url);
        const { writer } = await claimed(backend);
        await writer.commit([{ put: '/a', value: 'back\\slash \' " `' }], [{ put: '/a ', value: 'two' }]);
        await backend.saveAppliedTopology('\\"\'é𝄞');
        expect(await backend.appliedTopology()).toBe('\\"\'é𝄞');
        expect(await keysIn(backend)).toHaveLength(2);
      } finally {
        await server.query(
          `SET GLOBAL sql_mode = '${String(before?.['modes'])}'; SET GLOBAL tx_isolation = 'REPEATABLE-READ'; SET GLOBAL autocommit = 1`,
        );
      }
    });
  });

  describe('commit', () => {
    it('refuses a key that is longer than the indexes take, and a record that is longer than a statement', async () => {
      const backend = await open(url);
      const { writer } = await claimed(backend);
      await writer.put(`/${'k'.repeat(1023)}`, 'fits');
      await expect(writer.put(`/${'k'.repeat(1024)}`)).rejects.toMatchObject({
        name: 'CommitFailedError',
        message: expect.stringMatching(/key has 1025 bytes.* 1024/),
      });
      await expect(writer.put('/big', Buffer.alloc(16 * 1024 * 1024))).rejects.toMatchObject({
        name: 'CommitFailedError',
        message: expect.stringMatching(/^"\/big" has \d+ bytes; .* max_allowed_packet=16777216/),
      });
      await writer.put('/b', 'goes on');
    });

    it('cuts a batch that is longer than a statement into several, which take place together', async () => {
      const backend = await open(url);
      const { writer } = await claimed(backend);
      await writer.commit(Array.from({ length: 30 }, (_, i) => ({ put: `/k/${10 + i}`, value: Buffer.alloc(1_000_000, i) })));
      expect((await backend.range({ ...EVERYTHING, countOnly: true })).count).toBe(30);
    });

    it('at the COMMIT may have committed, and resolve tells', async () => {
      const backend = await open(url);
      const { writer } = await claimed(backend);
      await writer.put('/a');
      const blocker = await connect(url);
      await blocker.query('BACKUP STAGE START; BACKUP STAGE FLUSH; BACKUP STAGE BLOCK_DDL; BACKUP STAGE BLOCK_COMMIT');
      const { batch } = writer.prepare([{ put: '/b' }]);
      const committing = backend.commit(batch).catch((error: unknown) => error);
      const watcher = await connect(url);
      await watcher.query(`KILL ${await sessionThatRuns(watcher, 'COMMIT')}`);
      expect(await committing).toBeInstanceOf(CommitUnknownError);
      const resolving = backend.resolve();
      await blocker.query('BACKUP STAGE END');
      expect((await backend.load([Buffer.from('/b')])).heads[0] !== null).toBe((await resolving) >= batch.lastRevision);
    });
  });

  describe('a server', () => {
    it('that is killed and started again serves on, without a second open', async () => {
      const own = new MariadbDatabases({});
      opened.push(own);
      const server = await own.server();
      const backend = await open(await own.create(), { requestTimeoutMs: 3000 });
      const { writer } = await claimed(backend);
      await writer.put('/a');
      const identity = backend.identity;
      await server.kill();
      await expect(backend.commit(writer.prepare([{ put: '/b' }]).batch)).rejects.toBeInstanceOf(CommitFailedError);
      await expect(keysIn(backend)).rejects.toThrow();
      await server.start();
      expect(await until(() => keysIn(backend))).toHaveLength(1);
      await until(() => writer.put('/c'));
      expect([await keysIn(backend), backend.identity]).toEqual([['/a', '/c'], identity]);
    });

    it('that stands still fails what waits for it, in time, and nothing of that comes later', async () => {
      const own = new MariadbDatabases({});
      opened.push(own);
      const server = await own.server();
      const backend = await open(await own.create(), { requestTimeoutMs: 1500 });
      const { writer } = await claimed(backend);
      await writer.put('/a');
      server.pause();
      const started = performance.now();
      const { batch } = writer.prepare([{ put: '/b' }]);
      const [commit, read] = await Promise.allSettled([backend.commit(batch), keysIn(backend)]);
      expect([commit.status, read.status]).toEqual(['rejected', 'rejected']);
      expect(performance.now() - started).toBeLessThan(15_000); // the server stands still for as long as nobody resumes it
      server.resume();
      // It went with its COMMIT, so that only the server knows; once it has told, that stays so.
      const tookPlace = (await until(() => backend.resolve())) >= batch.lastRevision;
      expect(await until(() => keysIn(backend))).toEqual(tookPlace ? ['/a', '/b'] : ['/a']);
    });

    it('with TLS is known by its certificate, and knows its clients by theirs', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'harikube-tls-'));
      opened.push({ close: () => rm(folder, { recursive: true }) });
      const [authority, stranger] = await Promise.all([TestAuthority.create('ours'), TestAuthority.create('another one')]);
      const file = async (name: string, text: string): Promise<string> => {
        await writeFile(join(folder, name), text, { mode: 0o600 });
        return join(folder, name);
      };
      const [serverPair, clientPair] = await Promise.all([authority.issue('server'), authority.issue('client')]);
      const caFile = await file('ca.pem', authority.cert);
      const tls = { caFile, certFile: await file('server.pem', serverPair.cert), keyFile: await file('server.key', serverPair.key) };
      const own = new MariadbDatabases({ isDurable: false, tls, settings: { require_secure_transport: 'ON' } });
      opened.push(own);
      const server = await own.server();
      const name = await own.create();
      await server.query("CREATE USER known@'%' IDENTIFIED BY 'pw' REQUIRE X509; GRANT ALL ON *.* TO known@'%'");
      const known = name.replace(/^mysql:\/\/[^]*@tcp/, 'mysql://known:pw@tcp');

      const verified = { caFile, certFile: null, keyFile: null, skipVerify: false };
      await expect(open(name)).rejects.toThrow(/whether the server wants TLS/);
      expect((await open(name, { tls: verified })).isOpen).toBe(true);
      expect((await open(`${name}?tls=skip-verify`)).isOpen).toBe(true);
      await expect(open(`${name}?tls=true`)).rejects.toThrow(/certificate/);
      await expect(open(name, { tls: { ...verified, caFile: await file('other.pem', stranger.cert) } })).rejects.toThrow(/certificate/);
      // Good for 127.0.0.1 alone.
      await expect(open(name.replace('127.0.0.1', 'localhost'), { tls: verified })).rejects.toThrow(/altnames|Hostname/);
      await expect(open(known, { tls: verified })).rejects.toThrow(/refuses user "known"/);
      const pair = { certFile: await file('client.pem', clientPair.cert), keyFile: await file('client.key', clientPair.key) };
      expect((await open(known, { tls: { ...verified, ...pair } })).isOpen).toBe(true);
    });
  });
});
