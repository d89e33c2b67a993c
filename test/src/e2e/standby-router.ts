import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { LAUNCHER, type RouterLine } from '../fault/router-process.js';

export interface StandbyRouterOptions {
  /** Data source name of the default database, which another router has, too. */
  readonly endpoint: string;
  /** Of the etcd API; the same after a restart. */
  readonly port: number;
  readonly flags?: readonly string[];
}

/** How long a process may take for what it is waited for. */
const PATIENCE_MS = 180_000;
const SERVING = 'serving the etcd API';

/** One of several routers on one default database, each a process of its own. */
export class StandbyRouter {
  readonly lines: RouterLine[] = [];
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string | null>;
  readonly #said: string[] = [];
  readonly #child: ChildProcess;
  readonly #looks = new Set<() => void>();
  #servingSince: number | null = null;

  private constructor(readonly options: StandbyRouterOptions) {
    const { endpoint, port, flags = [] } = options;
    const args = ['--listen-address', `127.0.0.1:${port}`, '--metrics-bind-address', '127.0.0.1:0', '--log-format', 'json', ...flags];
    // This Node itself, so that the process started is the router and not its launcher.
    const child = spawn(process.execPath, [LAUNCHER, 'router', '--endpoint', endpoint, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? signal));
    });
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => this.#read(line));
  }

  /** The process is there; it may not listen yet. */
  static launch(options: StandbyRouterOptions): StandbyRouter {
    return new StandbyRouter(options);
  }

  /** Resolves when it serves or stands by. */
  static async start(options: StandbyRouterOptions): Promise<StandbyRouter> {
    const router = StandbyRouter.launch(options);
    await router.placed();
    return router;
  }

  /** HOST:PORT of the etcd API. */
  get address(): string {
    return `127.0.0.1:${this.options.port}`;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Since when it serves, by `performance.now()`; null: it does not. */
  get servingSince(): number | null {
    return this.hasEnded ? null : this.#servingSince;
  }

  /** The first line that is the one, logged already or later; fails when the process ends without it. */
  async line(isIt: (line: RouterLine) => boolean): Promise<RouterLine> {
    const found = Promise.withResolvers<RouterLine>();
    const look = (): void => {
      const line = this.lines.find(isIt);
      if (line !== undefined) found.resolve(line);
    };
    this.#looks.add(look);
    look();
    const gone = this.ended.then((end) => found.reject(new Error(`the router ended with ${end}:\n${this.output}`)));
    gone.catch(() => undefined);
    const late = setTimeout(() => found.reject(new Error(`the router did not log what was waited for:\n${this.output}`)), PATIENCE_MS);
    try {
      return await found.promise;
    } finally {
      clearTimeout(late);
      this.#looks.delete(look);
    }
  }

  /** Resolves when it serves or stands by. */
  async placed(): Promise<void> {
    await this.line(({ msg }) => msg === SERVING || msg.startsWith('standby: '));
  }

  /** Resolves when it is this router that serves. */
  async serving(): Promise<void> {
    await this.line(({ msg }) => msg === SERVING);
  }

  /** A page of its metrics and health. */
  async page(path: string): Promise<string> {
    const { port } = await this.line(({ msg }) => msg === 'serving metrics and health');
    return (await fetch(`http://127.0.0.1:${String(port)}${path}`)).text();
  }

  /** SIGSTOP: it does nothing until `continue`. */
  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  continue(): void {
    this.#child.kill('SIGCONT');
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** SIGTERM; how it ended. */
  async stop(): Promise<number | string | null> {
    this.#child.kill('SIGTERM');
    return this.ended;
  }

  #read(line: string): void {
    if (!line.startsWith('{')) {
      this.#said.push(line);
      return;
    }
    const read = JSON.parse(line) as RouterLine;
    this.lines.push(read);
    if (read.msg === SERVING) this.#servingSince = performance.now();
    for (const look of [...this.#looks]) look();
  }

  /** The end of what it wrote. */
  get output(): string {
    return [...this.#said, ...this.lines.map((line) => JSON.stringify(line))].slice(-20).join('\n');
  }
}
