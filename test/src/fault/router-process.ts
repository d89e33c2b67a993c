import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { readEnv } from '@harikube/platform';

export const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));
const STARTUP_DEADLINE_MS = 120_000;

/** The router ended before it served. */
export class RouterRefusedError extends Error {
  override readonly name = 'RouterRefusedError';
  constructor(
    readonly exitCode: number | null,
    /** Everything that it wrote. */
    readonly output: string,
  ) {
    super(`the router ended with ${exitCode} before it served:\n${output}`);
  }
}

export interface RouterProcessOptions {
  /** File of the default database, or its data source name. */
  readonly database: string;
  /** File of the topology; absent: none. */
  readonly topology?: string;
  /** Beside those that every one of these routers has. */
  readonly flags?: readonly string[];
  /** Flags of Node itself. */
  readonly nodeFlags?: readonly string[];
  /** A program, with its arguments, that becomes this router or starts it as its own process. */
  readonly under?: readonly string[];
  /** Variables beside this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A line of its log. */
export interface RouterLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** What a process writes, line by line; those that are no JSON are left out. */
class RouterLog {
  readonly lines: RouterLine[] = [];
  readonly #waiting = new Set<() => void>();

  read(line: string): void {
    if (!line.startsWith('{')) return;
    this.lines.push(JSON.parse(line) as RouterLine);
    for (const look of [...this.#waiting]) look();
  }

  /** The first line from `start` on that is the one, written already or later. */
  find(start: number, isIt: (line: RouterLine) => boolean): Promise<RouterLine> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.lines.slice(start).find(isIt);
        if (found === undefined) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** A router of its own process, on a port that the system picks. */
export class RouterProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** http://HOST:PORT of the etcd API. */
    readonly address: string,
    private readonly ended: Promise<number | null>,
    private readonly log: RouterLog,
  ) {}

  /** Resolves when it serves. */
  static async start({
    database,
    topology,
    flags = [],
    nodeFlags = [],
    under = [],
    env = {},
  }: RouterProcessOptions): Promise<RouterProcess> {
    const args = ['router', '--listen-address', '127.0.0.1:0', '--metrics-bind-address', '0', '--log-format', 'json'];
    args.push('--endpoint', /^[a-z]+:\/\//.test(database) ? database : `sqlite://${database}`);
    if (topology !== undefined) args.push('--topology-config', `file://${topology}`);
    args.push(...flags);
    // This Node itself, so that the process started is the router and not its launcher.
    const [program = process.execPath, ...rest] = [...under, process.execPath, ...nodeFlags, LAUNCHER, ...args];
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...readEnv(), ...env } });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const output: string[] = [];
    const log = new RouterLog();
    const serving = new Promise<string>((resolve) => {
      const read = (line: string): void => {
        output.push(line);
        log.read(line);
        const address = addressIn(line);
        if (address !== null) resolve(address);
      };
      createInterface({ input: child.stdout }).on('line', read);
      createInterface({ input: child.stderr }).on('line', read);
    });
    const refused = ended.then((code) => Promise.reject(new RouterRefusedError(code, output.join('\n'))));
    refused.catch(() => undefined); // it always ends some day
    const deadline = setTimeout(() => child.kill('SIGKILL'), STARTUP_DEADLINE_MS);
    try {
      return new RouterProcess(child, await Promise.race([serving, refused]), ended, log);
    } finally {
      clearTimeout(deadline);
    }
  }

  /** What it has logged so far. */
  get lines(): readonly RouterLine[] {
    return this.log.lines;
  }

  /** The first line, after the first `skipped` ones, that is the one; fails when the process ends without it. */
  async line(isIt: (line: RouterLine) => boolean, skipped = 0): Promise<RouterLine> {
    const gone = this.ended.then((code) => Promise.reject(new Error(`the router ended with ${code} and did not log what was waited for`)));
    gone.catch(() => undefined);
    return Promise.race([this.log.find(skipped, isIt), gone]);
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error('the router was not started');
    return pid;
  }

  /** SIGSTOP: it does nothing until `resume`. */
  pause(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** SIGTERM; the exit code. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.ended;
  }
}

function addressIn(line: string): string | null {
  if (!line.includes('serving the etcd API')) return null;
  const { addresses } = JSON.parse(line) as { readonly addresses: readonly string[] };
  return addresses[0] ?? null;
}
