import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));
const STARTUP_DEADLINE_MS = 30_000;

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
  /** File of the default database. */
  readonly database: string;
  /** File of the topology; absent: none. */
  readonly topology?: string;
}

/** A router of its own process, on a port that the system picks. */
export class RouterProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** http://HOST:PORT of the etcd API. */
    readonly address: string,
    private readonly ended: Promise<number | null>,
  ) {}

  /** Resolves when it serves. */
  static async start({ database, topology }: RouterProcessOptions): Promise<RouterProcess> {
    const args = ['router', '--listen-address', '127.0.0.1:0', '--metrics-bind-address', '0', '--log-format', 'json'];
    args.push('--endpoint', `sqlite://${database}`);
    if (topology !== undefined) args.push('--topology-config', `file://${topology}`);
    // This Node itself, so that the process started is the router and not its launcher.
    const child = spawn(process.execPath, [LAUNCHER, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const output: string[] = [];
    const serving = new Promise<string>((resolve) => {
      const read = (line: string): void => {
        output.push(line);
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
      return new RouterProcess(child, await Promise.race([serving, refused]), ended);
    } finally {
      clearTimeout(deadline);
    }
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
