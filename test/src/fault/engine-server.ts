import { execFile } from 'node:child_process';
import { chown, mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type DatabaseServer, type MariadbServer, startEtcd, startMariadb, startPostgres } from '@harikube/testing';
import { type CommitWire, EtcdWire, MysqlWire, PostgresWire } from './commit-wire.js';
import { SmallDisk } from './small-disk.js';

export const ENGINES = ['postgres', 'mariadb', 'etcd'] as const;

export type Engine = (typeof ENGINES)[number];

/** A database server of one engine with what this engine's faults take. */
export interface EngineServer {
  readonly engine: Engine;
  readonly server: DatabaseServer;
  readonly wire: () => CommitWire;
  /** The data source name of its database, by way of a port. */
  endpoint(port: number): string;
  /** What it answers in place of a login; null: this engine has no such answer. */
  readonly loginErrors: readonly ((hello: Buffer) => Buffer)[];
  /** Takes no writes; the function makes it take them again. */
  makeReadOnly(): Promise<() => Promise<void>>;
  /** Has no room; the function makes room. */
  fill(): Promise<() => Promise<void>>;
  /** Ends the server for good and removes its data. */
  close(): Promise<void>;
  /** The router's password is not the right one any more; the function makes it right. Null: it needs none. */
  readonly changePassword: (() => Promise<() => Promise<void>>) | null;
}

const run = promisify(execFile);
const PASSWORD = 'router/password';

/** `isSmall`: its data is on a disk of its own that can be filled up, where this process may mount one. */
export function openEngine(engine: Engine, isSmall = false): Promise<EngineServer> {
  switch (engine) {
    case 'postgres':
      return openPostgres(isSmall);
    case 'mariadb':
      return openMariadb(isSmall);
    case 'etcd':
      return openEtcd();
  }
}

/** A copy of the data of a server that does not run. */
export async function copyData(server: DatabaseServer, copy: string): Promise<void> {
  await rm(join(server.directory, copy), { recursive: true, force: true });
  // Keeps owners and modes, which servers insist on.
  await run('cp', ['-a', join(server.directory, 'data'), join(server.directory, copy)]);
}

/** Puts a copy in place of the data of a server that does not run; what was there takes the copy's name. */
export async function exchangeData({ directory }: DatabaseServer, copy: string): Promise<void> {
  const data = join(directory, 'data');
  await rename(data, join(directory, 'away'));
  await rename(join(directory, copy), data);
  await rename(join(directory, 'away'), join(directory, copy));
}

/** Bounds the size of every file that a process, and whoever it starts from now on, may write. */
async function limitFiles(pids: readonly number[], limit: string): Promise<void> {
  for (const pid of pids) await run('prlimit', [`--pid=${pid}`, `--fsize=${limit}`]).catch(() => undefined); // it may have ended
}

async function openPostgres(isSmall: boolean): Promise<EngineServer> {
  const server = await startPostgres();
  const folder = join(server.directory, 'disk');
  const disk = isSmall ? await mountFor(server, folder) : null;
  await server.query(`CREATE ROLE router LOGIN PASSWORD '${PASSWORD}'`);
  if (disk !== null) await server.query(`CREATE TABLESPACE small LOCATION '${folder}'`);
  await server.query(`CREATE DATABASE shop OWNER router ${disk === null ? '' : 'TABLESPACE small'}`);
  const setReadOnly = async (value: string): Promise<void> => {
    await server.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
    await server.query('SELECT pg_reload_conf()');
  };
  const sessions = async (): Promise<number[]> => {
    const { rows } = await server.query("SELECT pid FROM pg_stat_activity WHERE usename = 'router'");
    return (rows as { readonly pid: number }[]).map(({ pid }) => pid);
  };
  return {
    engine: 'postgres',
    server,
    wire: () => new PostgresWire(),
    endpoint: (port) => `postgres://router:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/shop`,
    loginErrors: [
      ['28P01', 'password authentication failed for user "router"'],
      ['53300', 'sorry, too many clients already'],
      ['57P03', 'the database system is starting up'],
    ].map(
      ([code = '', message = '']) =>
        (hello) =>
          hello.length === 0 ? hello : postgresError(code, message),
    ),
    makeReadOnly: async () => {
      await setReadOnly('on');
      return () => setReadOnly('off');
    },
    close: () => close(server, disk),
    fill: async () => {
      if (disk !== null) return disk.fill();
      // The sessions that are there: what they write to the log of the server itself is written in files that have their size already.
      await limitFiles(await sessions(), '8192');
      return async () => limitFiles(await sessions(), 'unlimited');
    },
    changePassword: async () => {
      await server.query("ALTER ROLE router PASSWORD 'another'");
      return async () => {
        await server.query(`ALTER ROLE router PASSWORD '${PASSWORD}'`);
      };
    },
  };
}

async function openMariadb(isSmall: boolean): Promise<EngineServer> {
  const server = await startMariadb();
  // The folder of a database is the database.
  const disk = isSmall ? await mountFor(server, join(server.directory, 'data', 'shop')) : null;
  await server.query('CREATE DATABASE IF NOT EXISTS shop');
  await server.query(`CREATE USER router@'%' IDENTIFIED BY '${PASSWORD}'; GRANT ALL ON shop.* TO router@'%'`);
  return {
    engine: 'mariadb',
    server,
    wire: () => new MysqlWire(),
    endpoint: (port) => `mysql://router:${PASSWORD}@tcp(127.0.0.1:${port})/shop`,
    loginErrors: [
      () => mysqlError(1045, '28000', "Access denied for user 'router'@'localhost' (using password: YES)"),
      () => mysqlError(1040, '08004', 'Too many connections'),
    ],
    makeReadOnly: async () => {
      await server.query('SET GLOBAL read_only = 1');
      return async () => {
        await server.query('SET GLOBAL read_only = 0');
      };
    },
    close: () => close(server, disk),
    fill: async () => {
      if (disk === null) {
        await limitFiles([server.pid], '8192');
        return () => limitFiles([server.pid], 'unlimited').then(() => revive(server));
      }
      const free = await disk.fill();
      return () => free().then(() => revive(server));
    },
    changePassword: async () => {
      await server.query("ALTER USER router@'%' IDENTIFIED BY 'another'");
      return async () => {
        await server.query(`ALTER USER router@'%' IDENTIFIED BY '${PASSWORD}'`);
      };
    },
  };
}

async function openEtcd(): Promise<EngineServer> {
  const flags: Record<string, string> = {};
  const server = await startEtcd({ flags });
  const restart = async (quota: string | null): Promise<void> => {
    await server.kill();
    if (quota === null) delete flags['quota-backend-bytes'];
    else flags['quota-backend-bytes'] = quota;
    await server.start();
  };
  // An etcd that takes no writes is one without room.
  const fill = async (): Promise<() => Promise<void>> => {
    await restart('16384');
    return async () => {
      await restart(null);
      await server.etcdctl('alarm', 'disarm');
    };
  };
  return {
    engine: 'etcd',
    server,
    wire: () => new EtcdWire(),
    endpoint: (port) => `http://127.0.0.1:${port}`,
    loginErrors: [],
    close: () => server.stop(),
    makeReadOnly: fill,
    fill,
    changePassword: null,
  };
}

async function mountFor(server: DatabaseServer, folder: string): Promise<SmallDisk | null> {
  const { uid, gid } = await stat(server.directory);
  await mkdir(folder, { mode: 0o700 });
  await chown(folder, uid, gid);
  return SmallDisk.mount(folder);
}

/** Starts it if it ends by itself: MariaDB does when it finds no room for a large value. It may be about to: one that takes a write is not. */
async function revive(server: MariadbServer): Promise<void> {
  try {
    await server.query(
      'CREATE DATABASE IF NOT EXISTS probe; CREATE OR REPLACE TABLE probe.written (id INT); INSERT INTO probe.written VALUES (1)',
    );
  } catch {
    await server.kill();
    await server.start();
  }
}

async function close(server: DatabaseServer, disk: SmallDisk | null): Promise<void> {
  await disk?.unmount();
  await server.stop();
}

/** https://www.postgresql.org/docs/current/protocol-error-fields.html */
function postgresError(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`);
  const head = Buffer.from('E\0\0\0\0');
  head.writeInt32BE(4 + fields.length, 1);
  return Buffer.concat([head, fields]);
}

/** https://mariadb.com/kb/en/err_packet */
function mysqlError(code: number, state: string, message: string): Buffer {
  const payload = Buffer.from(`\xff\0\0#${state}${message}`, 'latin1');
  payload.writeUInt16LE(code, 1);
  const head = Buffer.alloc(4);
  head.writeUIntLE(payload.length, 0, 3);
  return Buffer.concat([head, payload]);
}
