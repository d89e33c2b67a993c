import { type ChildProcess, fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('controllers-program.js', import.meta.url));

/** The flags of each controller by its name. */
export type ControllerFlags = Readonly<Record<string, readonly string[]>>;

/** The three controllers in a process of their own. */
export class ControllersProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly ended: Promise<number | NodeJS.Signals | null>,
  ) {}

  /** Resolves when the process is there; nothing is synced then. */
  static start(flags: ControllerFlags, logFile: string): ControllersProcess {
    const child = fork(PROGRAM, [JSON.stringify(flags)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
    child.stderr?.pipe(createWriteStream(logFile, { flags: 'a' }));
    const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? signal));
    });
    return new ControllersProcess(child, ended);
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** SIGTERM; the exit code. */
  async stop(): Promise<number | NodeJS.Signals | null> {
    this.child.kill('SIGTERM');
    return this.ended;
  }
}
