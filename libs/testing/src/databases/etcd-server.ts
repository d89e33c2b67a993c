import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { get, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import type { DatabaseServer } from './database-server.js';
import { GuardedProcess } from './guarded-process.js';

export interface EtcdServerOptions {
  /** Flags of the server by their names, such as `quota-backend-bytes`. */
  readonly flags?: Readonly<Record<string, string>>;
  /** False: nothing waits for the disk, and what the machine loses with its power is lost. */
  readonly isDurable?: boolean;
  /** Files of the server's certificate; the authority's makes it ask clients for theirs, too. */
  readonly tls?: EtcdServerTls;
  /** The password of `root`, without which nobody gets in. */
  readonly rootPassword?: string;
}

export interface EtcdServerTls {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** Of a client; named, it is what the server asks everybody for. */
  readonly client?: { readonly certFile: string; readonly keyFile: string };
}

export interface EtcdServer extends DatabaseServer {
  /** Without credentials. */
  readonly url: string;
  /**
   * An etcd is one database, so every call empties it: the last one counts.
   */
  createDatabase(): Promise<string>;
  /** Runs etcdctl against it as the user who may do anything; what it printed. */
  etcdctl(...args: readonly string[]): Promise<string>;
}

interface Programs {
  readonly etcd: string;
  readonly etcdctl: string;
}

const START_ATTEMPTS = 3;
const READY_MS = 30_000;

const run = promisify(execFile);
let found: Promise<Programs> | undefined;

/** An etcd server of this test. The program is found as the local cluster finds its own. */
export async function startEtcd(options: EtcdServerOptions = {}): Promise<EtcdServer> {
  const programs = await (found ??= findPrograms());
  const directory = await mkdtemp(join(tmpdir(), 'harikube-etcd-'));
  try {
    for (let attempt = 1; ; attempt++) {
      const server = new OwnEtcd(programs, directory, await freePort(), await freePort(), await freePort(), options);
      try {
        await server.start();
        await server.lock();
        return server;
      } catch (error) {
        // Another program may have taken a port that was free.
        if (attempt === START_ATTEMPTS || !/address already in use/.test(String(error))) throw error;
      }
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

class OwnEtcd implements EtcdServer {
  readonly url: string;
  #process: GuardedProcess | null = null;
  #isLocked = false;

  constructor(
    private readonly programs: Programs,
    readonly directory: string,
    readonly port: number,
    private readonly peerPort: number,
    private readonly healthPort: number,
    private readonly options: EtcdServerOptions,
  ) {
    this.url = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  }

  get pid(): number {
    if (this.#process === null) throw new Error('the server does not run');
    return this.#process.pid;
  }

  async start(): Promise<void> {
    const { flags = {}, isDurable = true, tls } = this.options;
    const peerUrl = `http://127.0.0.1:${this.peerPort}`;
    const settings: Record<string, string> = {
      'data-dir': join(this.directory, 'data'),
      'listen-client-urls': this.url,
      'advertise-client-urls': this.url,
      'listen-metrics-urls': `http://127.0.0.1:${this.healthPort}`,
      'listen-peer-urls': peerUrl,
      'initial-advertise-peer-urls': peerUrl,
      'initial-cluster': `default=${peerUrl}`,
      // A lone member elects itself after one timeout.
      'heartbeat-interval': '50',
      'election-timeout': '500',
      'log-level': 'warn',
      ...(isDurable ? {} : { 'unsafe-no-fsync': 'true' }),
      ...(tls === undefined ? {} : { 'cert-file': tls.certFile, 'key-file': tls.keyFile }),
      ...(tls?.client === undefined ? {} : { 'client-cert-auth': 'true', 'trusted-ca-file': tls.caFile }),
      ...flags,
    };
    const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    const server = spawn(this.programs.etcd, args, { env: {}, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = new GuardedProcess(server, this.directory);
    try {
      await ready(server, `http://127.0.0.1:${this.healthPort}/health?exclude=NOSPACE`);
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** Lets nobody in without the password, when there is one. */
  async lock(): Promise<void> {
    const { rootPassword } = this.options;
    if (rootPassword === undefined) return;
    await this.etcdctl('user', 'add', 'root', `--new-user-password=${rootPassword}`);
    await this.etcdctl('user', 'grant-role', 'root', 'root');
    await this.etcdctl('auth', 'enable');
    this.#isLocked = true;
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
    const { rootPassword, tls } = this.options;
    // Hundreds of times, by the gateway: etcdctl takes a tenth of a second of processor time for it.
    if (rootPassword === undefined && tls === undefined) await deleteAll(this.url);
    else await this.etcdctl('del', '', '--from-key');
    if (rootPassword === undefined) return this.url;
    return this.url.replace('://', `://root:${encodeURIComponent(rootPassword)}@`);
  }

  async etcdctl(...args: readonly string[]): Promise<string> {
    const { tls, rootPassword } = this.options;
    const access = [`--endpoints=${this.url}`];
    if (tls !== undefined) access.push(`--cacert=${tls.caFile}`);
    if (tls?.client !== undefined) access.push(`--cert=${tls.client.certFile}`, `--key=${tls.client.keyFile}`);
    if (this.#isLocked) access.push('--user=root', `--password=${rootPassword ?? ''}`);
    return (await run(this.programs.etcdctl, [...access, ...args], { env: {} })).stdout;
  }
}

/** Waits until the server has a leader; rejects with what it said last when it ends instead. */
async function ready(server: ChildProcess, url: string): Promise<void> {
  const said: string[] = [];
  let hasEnded = false;
  server.stderr?.on('data', (chunk: Buffer) => {
    said.push(chunk.toString());
    if (said.length > 20) said.shift();
  });
  server.once('error', (error) => said.push(error.message));
  server.once('close', () => (hasEnded = true));
  const deadline = performance.now() + READY_MS;
  while (!(await isHealthy(url))) {
    if (hasEnded) throw new Error(`etcd ended: ${said.join('').slice(-2000)}`);
    if (performance.now() > deadline) throw new Error(`etcd has no leader after ${READY_MS} ms: ${said.join('').slice(-2000)}`);
    await delay(20);
  }
}

/** See api/etcdserverpb/rpc.proto, v3.6, for the gateway's paths and fields. */
function deleteAll(url: string): Promise<void> {
  const everyKey = { key: 'AA==', range_end: 'AA==' };
  return new Promise((resolve, reject) => {
    request(`${url}/v3/kv/deleterange`, { method: 'POST', agent: false }, (response) => {
      response.resume();
      if (response.statusCode === 200) response.once('end', resolve);
      else reject(new Error(`etcd answers ${response.statusCode} when all keys are to be deleted`));
    })
      .once('error', reject)
      .end(JSON.stringify(everyKey));
  });
}

function isHealthy(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    get(url, { agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).once('error', () => resolve(false));
  });
}

async function findPrograms(): Promise<Programs> {
  const { etcd, etcdctl } = await new Binaries({ env: readEnv(), progress: silent }).find(['etcd', 'etcdctl']);
  return { etcd: etcd.path, etcdctl: etcdctl.path };
}
