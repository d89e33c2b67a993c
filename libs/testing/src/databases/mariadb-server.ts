import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants, realpathSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { cacheRoot, FileLock, freePort, SetupError, silent, unpackDebianPackage } from '@harikube/local-cluster';
import { type Env, readEnv } from '@harikube/platform';
import { createConnection } from 'mysql2/promise';
import type { DatabaseServer } from './database-server.js';
import { GuardedProcess } from './guarded-process.js';

export interface MariadbOptions {
  /** Settings of the server by their names, such as `max_allowed_packet`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** False: nothing waits for the disk, and what the machine loses with its power is lost. */
  readonly isDurable?: boolean;
  /** Files of the server's certificate; the authority's makes it ask clients for theirs, too. */
  readonly tls?: { readonly caFile?: string; readonly certFile: string; readonly keyFile: string };
}

export interface MariadbServer extends DatabaseServer {
  readonly user: string;
  readonly password: string;
  /** Runs a statement as the user who may do anything; the rows of its answer. */
  query(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** A MariaDB program with what it finds beside itself. */
interface Program {
  readonly path: string;
  /** Its messages and the statements that make its system tables. */
  readonly share: string;
  readonly env: Env;
}

const NAMES = ['mariadbd', 'mysqld'];
const SHARES = ['mysql', 'mariadb'];
const USER = 'harikube';
const PASSWORD = 'pass/word@1';
const SYSTEM_TABLES = ['mysql_system_tables.sql', 'mysql_performance_tables.sql', 'mysql_system_tables_data.sql'];
/** Another layout of the data folder gets another template. */
const TEMPLATE = 'mariadb-template-1';
const STORAGE = ['--innodb-log-file-size=48M', '--innodb-data-file-path=ibdata1:12M:autoextend'];
const START_ATTEMPTS = 3;

const run = promisify(execFile);
let found: Promise<Program> | undefined;

/** A MariaDB server of this test. The program is the one on PATH, else Debian's, unpacked into the cache folder. */
export async function startMariadb(options: MariadbOptions = {}): Promise<MariadbServer> {
  const env = readEnv();
  const program = await (found ??= findProgram(env));
  const template = await makeTemplate(program, env);
  const directory = await mkdtemp(join(tmpdir(), 'harikube-mariadb-'));
  try {
    await cp(template, join(directory, 'data'), { recursive: true });
    for (let attempt = 1; ; attempt++) {
      const server = new OwnMariadb(program, directory, await freePort(), options);
      try {
        await server.start();
        return server;
      } catch (error) {
        // Another program may have taken the port that was free.
        if (attempt === START_ATTEMPTS || !/already in use/.test(String(error))) throw error;
      }
    }
  } catch (error) {
    await rm(directory, { recursive: true });
    throw error;
  }
}

class OwnMariadb implements MariadbServer {
  readonly user = USER;
  readonly password = PASSWORD;
  #process: GuardedProcess | null = null;
  #databases = 0;

  constructor(
    private readonly program: Program,
    readonly directory: string,
    readonly port: number,
    private readonly options: MariadbOptions,
  ) {}

  get pid(): number {
    if (this.#process === null) throw new Error('the server does not run');
    return this.#process.pid;
  }

  async start(): Promise<void> {
    const { path, share, env } = this.program;
    const { settings = {}, isDurable = true, tls } = this.options;
    const server = spawn(
      path,
      [
        '--no-defaults',
        `--datadir=${join(this.directory, 'data')}`,
        `--tmpdir=${this.directory}`,
        `--socket=${join(this.directory, 'socket')}`,
        `--pid-file=${join(this.directory, 'pid')}`,
        `--lc-messages-dir=${share}`,
        `--character-sets-dir=${join(share, 'charsets')}`,
        ...asRoot(),
        '--bind-address=127.0.0.1',
        `--port=${this.port}`,
        '--skip-name-resolve',
        // A server that gives up is gone at once, not when it has found the names of its functions.
        '--skip-stack-trace',
        '--innodb-buffer-pool-size=64M',
        ...STORAGE,
        ...(isDurable ? [] : ['--innodb-flush-method=nosync']),
        ...(tls === undefined ? [] : [`--ssl-cert=${tls.certFile}`, `--ssl-key=${tls.keyFile}`]),
        ...(tls?.caFile === undefined ? [] : [`--ssl-ca=${tls.caFile}`]),
        ...Object.entries(settings).map(([name, value]) => `--${name.replaceAll('_', '-')}=${value}`),
      ],
      { env, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process = new GuardedProcess(server, this.directory);
    try {
      await ready(server);
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  async kill(): Promise<void> {
    const server = this.#process;
    this.#process = null;
    await server?.kill();
  }

  pause(): void {
    this.#process?.pause();
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async stop(): Promise<void> {
    // Its data goes with it: nothing is gained by an orderly end.
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  async createDatabase(): Promise<string> {
    const name = `harikube_${++this.#databases}`;
    await this.query(`CREATE DATABASE ${name}`);
    return `mysql://${USER}:${PASSWORD}@tcp(127.0.0.1:${this.port})/${name}`;
  }

  async query(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const socketPath = join(this.directory, 'socket');
    const connection = await createConnection({ socketPath, user: USER, password: PASSWORD, multipleStatements: true });
    try {
      const [rows] = await connection.query(statement);
      return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
    } finally {
      connection.destroy();
    }
  }
}

/** Waits until the server answers; rejects with what it said last when it ends instead. */
async function ready(server: ChildProcess): Promise<void> {
  const { stderr } = server;
  if (stderr === null) throw new Error('the output of the server was not asked for');
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('close', () => reject(new Error(`mariadbd ended: ${said.slice(-8).join(' | ')}`)));
    createInterface({ input: stderr }).on('line', (line) => {
      said.push(line);
      if (line.includes('ready for connections')) resolve();
    });
  });
}

/** MariaDB refuses to run as root unless told so; its data is root's alone then. */
function asRoot(): readonly string[] {
  return process.getuid?.() === 0 ? ['--user=root'] : [];
}

async function findProgram(env: Env): Promise<Program> {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      const share = isExecutable(path) ? await shareOf(realpathSync(path)) : null;
      if (share !== null && (await isMariadb(path))) return { path, share, env };
    }
  }
  const { root, libraryPath } = await unpackDebianPackage('mariadb-server-core', { env, progress: silent });
  const path = join(root, 'usr/sbin/mariadbd');
  const share = await shareOf(path);
  if (share === null) throw new SetupError(`${root} is not whole: delete that folder and start again`);
  return { path, share, env: { ...env, LD_LIBRARY_PATH: libraryPath } };
}

/** A `mysqld` may be MySQL's, which makes its data in another way. */
async function isMariadb(path: string): Promise<boolean> {
  return (await run(path, ['--version'])).stdout.includes('MariaDB');
}

async function shareOf(path: string): Promise<string | null> {
  for (const name of SHARES) {
    const share = join(dirname(dirname(path)), 'share', name);
    if ((await stat(join(share, 'mysql_system_tables.sql')).catch(() => null)) !== null) return share;
  }
  return null;
}

/** A data folder as it is before the first start, made once for each version and kept in the cache folder. */
async function makeTemplate(program: Program, env: Env): Promise<string> {
  const { stdout } = await run(program.path, ['--version'], { env: program.env });
  const version = /Ver (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  const folder = join(cacheRoot(env), 'databases');
  const template = join(folder, `${TEMPLATE}-${version}`);
  await mkdir(folder, { recursive: true });
  const lock = await FileLock.acquire(`${template}.lock`, { onWait: () => undefined });
  try {
    if ((await stat(template).catch(() => null)) !== null) return template;
    const draft = await mkdtemp(`${template}.draft-`);
    try {
      await bootstrap(program, draft);
      await rename(draft, template);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    return template;
  } finally {
    lock.release();
  }
}

async function bootstrap({ path, share, env }: Program, data: string): Promise<void> {
  const tables = await Promise.all(SYSTEM_TABLES.map((file) => readFile(join(share, file), 'utf8')));
  // Read statement by statement, each at the end of a line.
  const statements = [
    'CREATE DATABASE mysql;',
    'USE mysql;',
    'SET @auth_root_socket = NULL;',
    'SET @skip_auth_anonymous = 1;',
    ...tables,
    'FLUSH PRIVILEGES;',
    `CREATE USER ${USER}@'%' IDENTIFIED BY '${PASSWORD}';`,
    `GRANT ALL ON *.* TO ${USER}@'%' WITH GRANT OPTION;`,
    '',
  ].join('\n');
  const args = ['--no-defaults', '--bootstrap', `--datadir=${data}`, `--lc-messages-dir=${share}`, ...asRoot(), ...STORAGE];
  const server = spawn(path, [...args, `--character-sets-dir=${join(share, 'charsets')}`], { env, stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  server.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  server.stdin.on('error', () => undefined); // what it says on its way out tells more
  server.stdin.end(statements);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new SetupError(`${path} could not make its first data: ${said.trim().split('\n').slice(-5).join(' | ')}`));
    });
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
