import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { readEnv } from '@harikube/platform';

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));

/** A `harikube` command of the test's own. */
export class HarikubeProcess {
  #log = '';

  private constructor(private readonly child: ChildProcess) {
    child.stderr?.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
  }

  static start(args: readonly string[]): HarikubeProcess {
    const env = { ...readEnv(), NODE_OPTIONS: '' };
    return new HarikubeProcess(spawn(process.execPath, [LAUNCHER, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env }));
  }

  /** What it has written to standard error. */
  get log(): string {
    return this.#log;
  }

  /** SIGTERM; resolves when it has ended. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    await ended;
  }
}
