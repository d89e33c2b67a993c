import { readEnv } from '@harikube/platform';
import { ROUTER_ENV, ROUTER_NODE_FLAGS } from '@harikube/cli/router-memory';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '@harikube/local-cluster';
import { GivenMysqlDatabases, startMariadb, startPostgres } from '@harikube/testing';

export const STORE_NAMES = [
  'router',
  'router-normal',
  'router-postgres',
  'router-mariadb',
  'router-mysql',
  'router-etcd',
  'etcd',
  'kine',
  'kine-full',
  'kine-postgres',
  'kine-mariadb',
  'kine-mysql',
] as const;
export type StoreName = (typeof STORE_NAMES)[number];

export interface StorePrograms {
  readonly etcd: string;
  readonly kine: string;
}

interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** What the stores promise when they acknowledge a write; part of every table. */
export const DURABILITY: Readonly<Record<StoreName, string>> = {
  router: 'SQLite, WAL, synchronous=FULL: each acknowledged write is synced',
  'router-normal': 'SQLite, WAL, synchronous=NORMAL: acknowledged writes may be lost by a power failure',
  'router-postgres': 'PostgreSQL with its defaults: each acknowledged write is synced',
  'router-mariadb': 'MariaDB with its defaults, no binary log: each acknowledged write is synced',
  'router-mysql': 'the MySQL that TEST_MYSQL_URL names, with its settings',
  'router-etcd': 'on an etcd with its defaults: each acknowledged write is synced',
  'kine-postgres': 'PostgreSQL with its defaults: each acknowledged write is synced',
  'kine-mariadb': 'MariaDB with its defaults, no binary log: each acknowledged write is synced',
  'kine-mysql': 'the MySQL that TEST_MYSQL_URL names, with its settings',
  etcd: 'its defaults: each acknowledged write is synced',
  kine: 'SQLite, WAL, synchronous=NORMAL, its default: acknowledged writes may be lost by a power failure',
  'kine-full': 'SQLite, WAL, synchronous=FULL: each acknowledged write is synced',
};

/** What the servers have by default, 15 and 10.11; tests start them with less. */
const POSTGRES_SIZES = { shared_buffers: '128MB' };
const MARIADB_SIZES = { innodb_buffer_pool_size: '128M', innodb_log_file_size: '96M' };

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));
const START_LIMIT_SECONDS = 90;
const STOP_LIMIT_SECONDS = 10;

/** One server on an empty folder of its own. */
export class RunningStore {
  private constructor(
    readonly pid: number,
    /** `host:port` of the etcd API. */
    readonly endpoint: string,
    private readonly end: (signal: 'SIGTERM' | 'SIGKILL') => Promise<void>,
  ) {}

  /** Resolves when the server accepts connections. */
  static async start(name: StoreName, programs: StorePrograms, folder: string): Promise<RunningStore> {
    const port = await freePort();
    const database = await databaseOf(name, programs, folder);
    try {
      return await RunningStore.#start(name, await commandOf(name, programs, folder, port, database.url), folder, port, database);
    } catch (error) {
      await database.stop();
      throw error;
    }
  }

  static async #start(
    name: StoreName,
    { program, args, env }: Command,
    folder: string,
    port: number,
    database: Database,
  ): Promise<RunningStore> {
    const logFile = join(folder, 'server.log');
    const log = createWriteStream(logFile);
    const child = spawn(program, args, { cwd: folder, env: { ...readEnv(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    let ended = false;
    const exit = once(child, 'exit').finally(() => (ended = true));
    // A server that cannot even be started is told about below.
    exit.catch(() => undefined);
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
      child.kill(signal);
      const timer = setTimeout(kill, STOP_LIMIT_SECONDS * 1000);
      await exit;
      clearTimeout(timer);
      process.removeListener('exit', kill);
      log.end();
      await database.stop();
    };
    const deadline = performance.now() + START_LIMIT_SECONDS * 1000;
    while (!(await accepts(port))) {
      if (ended || child.pid === undefined || performance.now() > deadline) {
        if (!ended && child.pid !== undefined) await end('SIGTERM');
        const tail = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-10).join('\n');
        throw new Error(`${name} does not start (${program} ${args.join(' ')}):\n${tail}`);
      }
      await delay(10);
    }
    if (child.pid === undefined) throw new Error(`${name} has no process`);
    return new RunningStore(child.pid, `127.0.0.1:${port}`, end);
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  /** As a crash ends it. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }
}

/** What a store keeps its data in. */
interface Database {
  /** As its `--endpoint` names it; empty: the store is a database itself. */
  readonly url: string;
  stop(): Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** kine's own default parameters, spelled out because a path of one's own drops them. */
const KINE_SQLITE = '_journal_mode=WAL&_busy_timeout=30000&_txlock=immediate&_stmt_cache_size=20&cache=shared';

async function databaseOf(name: StoreName, programs: StorePrograms, folder: string): Promise<Database> {
  const file = join(folder, 'state.db');
  switch (name) {
    case 'router':
      return { url: `sqlite://${file}`, stop: nothing };
    case 'router-normal':
      return { url: `sqlite://${file}?_synchronous=NORMAL`, stop: nothing };
    case 'kine':
      return { url: `sqlite://${file}?${KINE_SQLITE}&_synchronous=NORMAL`, stop: nothing };
    case 'kine-full':
      return { url: `sqlite://${file}?${KINE_SQLITE}&_synchronous=FULL`, stop: nothing };
    case 'etcd':
      return { url: '', stop: nothing };
    case 'router-etcd': {
      // Each writes a log of its own.
      const own = join(folder, 'etcd-below');
      await mkdir(own);
      const etcd = await RunningStore.start('etcd', programs, own);
      return { url: `http://${etcd.endpoint}`, stop: () => etcd.stop() };
    }
    case 'router-postgres':
    case 'kine-postgres': {
      const server = await startPostgres({ settings: POSTGRES_SIZES });
      const url = await server.createDatabase();
      // kine would ask for TLS, which this server has not.
      return { url: name === 'kine-postgres' ? `${url}?sslmode=disable` : url, stop: () => server.stop() };
    }
    case 'router-mariadb':
    case 'kine-mariadb': {
      const server = await startMariadb({ settings: MARIADB_SIZES });
      return { url: await server.createDatabase(), stop: () => server.stop() };
    }
    case 'router-mysql':
    case 'kine-mysql': {
      const { TEST_MYSQL_URL: given = '' } = readEnv();
      if (given === '')
        throw new Error(`${name} needs a MySQL whose user may make databases: TEST_MYSQL_URL=mysql://USER:PASSWORD@tcp(HOST:PORT)/mysql`);
      const databases = new GivenMysqlDatabases(given);
      return { url: await databases.create(), stop: () => databases.close() };
    }
  }
}

async function commandOf(name: StoreName, programs: StorePrograms, folder: string, port: number, database: string): Promise<Command> {
  switch (name) {
    case 'router':
    case 'router-normal':
    case 'router-postgres':
    case 'router-mariadb':
    case 'router-mysql':
    case 'router-etcd':
      return {
        program: process.execPath,
        env: { ...ROUTER_ENV, KINE_ENDPOINT: `multi://${database}` },
        args: [...ROUTER_NODE_FLAGS, LAUNCHER, 'router', '--listen-address', `http://127.0.0.1:${port}`, '--metrics-bind-address', '0'],
      };
    case 'etcd': {
      const client = `http://127.0.0.1:${port}`;
      const peer = `http://127.0.0.1:${await freePort()}`;
      return {
        program: programs.etcd,
        args: [
          `--data-dir=${join(folder, 'etcd')}`,
          `--listen-client-urls=${client}`,
          `--advertise-client-urls=${client}`,
          `--listen-peer-urls=${peer}`,
          `--initial-advertise-peer-urls=${peer}`,
          `--initial-cluster=default=${peer}`,
          '--log-level=error',
        ],
      };
    }
    case 'kine':
    case 'kine-full':
    case 'kine-postgres':
    case 'kine-mariadb':
    case 'kine-mysql':
      return {
        program: programs.kine,
        args: ['--endpoint', database, '--listen-address', `tcp://127.0.0.1:${port}`, '--metrics-bind-address', '0'],
      };
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
