import { readEnv } from '@harikube/platform';
import { ROUTER_ENV, ROUTER_NODE_FLAGS } from '@harikube/cli/router-memory';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '@harikube/local-cluster';

export const STORE_NAMES = ['router', 'router-normal', 'etcd', 'kine', 'kine-full'] as const;
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
  etcd: 'its defaults: each acknowledged write is synced',
  kine: 'SQLite, WAL, synchronous=NORMAL, its default: acknowledged writes may be lost by a power failure',
  'kine-full': 'SQLite, WAL, synchronous=FULL: each acknowledged write is synced',
};

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));
const START_LIMIT_SECONDS = 30;
const STOP_LIMIT_SECONDS = 10;

/** One server on an empty folder of its own. */
export class RunningStore {
  private constructor(
    readonly pid: number,
    /** `host:port` of the etcd API. */
    readonly endpoint: string,
    private readonly end: () => Promise<void>,
  ) {}

  /** Resolves when the server accepts connections. */
  static async start(name: StoreName, programs: StorePrograms, folder: string): Promise<RunningStore> {
    const port = await freePort();
    const { program, args, env } = await commandOf(name, programs, folder, port);
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
    const end = async (): Promise<void> => {
      child.kill('SIGTERM');
      const timer = setTimeout(kill, STOP_LIMIT_SECONDS * 1000);
      await exit;
      clearTimeout(timer);
      process.removeListener('exit', kill);
      log.end();
    };
    const deadline = performance.now() + START_LIMIT_SECONDS * 1000;
    while (!(await accepts(port))) {
      if (ended || child.pid === undefined || performance.now() > deadline) {
        if (!ended && child.pid !== undefined) await end();
        const tail = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-10).join('\n');
        throw new Error(`${name} does not start (${program} ${args.join(' ')}):\n${tail}`);
      }
      await delay(10);
    }
    if (child.pid === undefined) throw new Error(`${name} has no process`);
    return new RunningStore(child.pid, `127.0.0.1:${port}`, end);
  }

  async stop(): Promise<void> {
    await this.end();
  }
}

async function commandOf(name: StoreName, programs: StorePrograms, folder: string, port: number): Promise<Command> {
  switch (name) {
    case 'router':
    case 'router-normal': {
      const parameters = name === 'router' ? '' : '?_synchronous=NORMAL';
      return {
        program: process.execPath,
        env: ROUTER_ENV,
        args: [
          ...ROUTER_NODE_FLAGS,
          LAUNCHER,
          'router',
          '--listen-address',
          `http://127.0.0.1:${port}`,
          '--endpoint',
          `multi://sqlite://${join(folder, 'main.db')}${parameters}`,
          '--metrics-bind-address',
          '0',
        ],
      };
    }
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
    case 'kine-full': {
      const synchronous = name === 'kine' ? 'NORMAL' : 'FULL';
      // kine's own default parameters, spelled out because a path of one's own drops them.
      const parameters = `_journal_mode=WAL&_busy_timeout=30000&_synchronous=${synchronous}&_txlock=immediate&_stmt_cache_size=20&cache=shared`;
      return {
        program: programs.kine,
        args: [
          '--endpoint',
          `sqlite://${join(folder, 'state.db')}?${parameters}`,
          '--listen-address',
          `tcp://127.0.0.1:${port}`,
          '--metrics-bind-address',
          '0',
        ],
      };
    }
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
