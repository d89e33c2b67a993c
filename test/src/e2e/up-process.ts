import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Env } from '@harikube/platform';
import { runProgram } from '../run-program.js';

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));

class Terminal {
  readonly lines: string[] = [];
  readonly #waiting: (() => void)[] = [];

  add(line: string): void {
    this.lines.push(line);
    for (const look of this.#waiting.splice(0)) look();
  }

  async has(text: string, times: number): Promise<void> {
    while (this.lines.filter((line) => line.includes(text)).length < times)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** A `harikube up` of the test's own. */
export class UpProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly ended: Promise<number | null>,
    private readonly terminal: Terminal,
  ) {}

  /** Resolves when it says that it is ready. */
  static async start(data: string, port: number, env: Env, ...flags: string[]): Promise<UpProcess> {
    const child = spawn(process.execPath, [LAUNCHER, 'up', '--data', data, '--port', `${port}`, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const terminal = new Terminal();
    createInterface({ input: child.stdout }).on('line', (line) => terminal.add(line));
    createInterface({ input: child.stderr }).on('line', (line) => terminal.add(line));
    const up = new UpProcess(child, ended, terminal);
    await up.says('HariKube is ready');
    return up;
  }

  /** The lines of its terminal so far. */
  get output(): readonly string[] {
    return this.terminal.lines;
  }

  /** Resolves when so many lines with this text are there; rejects when the process ends without them. */
  async says(text: string, times = 1): Promise<void> {
    const failed = this.ended.then((code) =>
      Promise.reject(new Error(`harikube up ended with ${code} and did not say "${text}":\n${this.output.join('\n')}`)),
    );
    failed.catch(() => undefined); // it always ends some day
    await Promise.race([this.terminal.has(text, times), failed]);
  }

  /** As Ctrl-C does it; the exit code. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGINT');
    return this.ended;
  }

  /** kill -9 of it and of everything that it started. */
  async killAll(): Promise<void> {
    const { pid } = this.child;
    if (pid === undefined || this.child.exitCode !== null || this.child.signalCode !== null) return;
    for (const victim of await withDescendants(pid)) {
      try {
        process.kill(victim, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    await this.ended;
  }
}

async function withDescendants(root: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const line of (await runProgram('ps', ['-A', '-o', 'pid=,ppid='])).trim().split('\n')) {
    const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}
