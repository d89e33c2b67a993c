import { type ChildProcess, fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Env, readEnv } from '@harikube/platform';
import { memoryUsage } from '../bench/process-usage.js';

export interface ProgramProcessOptions {
  /** A command of `harikube` that runs until it is stopped. */
  readonly command: string;
  readonly args: readonly string[];
  /** What it writes to stderr is added to it. */
  readonly logFile: string;
  /** Besides the environment of the test. */
  readonly env?: Env;
}

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));

/** The line of a log that says that everything has started, in either format. */
const STARTED = /"msg":"all services have started"|INFO +all services have started/;

/** A program in a process of its own, for tests that look at it, stop it or kill it. */
export class ProgramProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** Its exit code, or the signal that ended it. */
    readonly ended: Promise<number | NodeJS.Signals | null>,
    /** Resolves when the program says that it has started; rejects when it ends before. */
    private readonly started: Promise<void>,
  ) {}

  /** The process of a command of `harikube` is there; the program may not have begun. It takes no kubeconfig but the one it is told. */
  static launch({ command, args, logFile, env }: ProgramProcessOptions): ProgramProcess {
    return ProgramProcess.fork(LAUNCHER, [command, ...args], logFile, { KUBECONFIG: '', POD_NAMESPACE: '', ...env });
  }

  /** The same for a file that Node runs. */
  static fork(file: string, args: readonly string[], logFile: string, env: Env = {}): ProgramProcess {
    const child = fork(file, [...args], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [], env: { ...readEnv(), ...env } });
    const { stderr } = child;
    if (stderr === null) throw new Error('no stderr');
    stderr.pipe(createWriteStream(logFile, { flags: 'a' }));
    const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? signal));
    });
    const started = new Promise<void>((resolve, reject) => {
      createInterface(stderr).on('line', (line) => {
        if (STARTED.test(line)) resolve();
      });
      ended.then((end) => reject(new Error(`${args[0]} ended with ${end}; see ${logFile}`)), reject);
    });
    started.catch(() => undefined); // told by `ended`, too
    return new ProgramProcess(child, ended, started);
  }

  /** Resolves when the program says that it has started; rejects when it ends before. */
  static async start(options: ProgramProcessOptions): Promise<ProgramProcess> {
    const process = ProgramProcess.launch(options);
    await process.started;
    return process;
  }

  /** The most memory that it had so far. */
  async peakMegabytes(): Promise<number> {
    return (await memoryUsage(this.child.pid ?? 0)).peakMegabytes;
  }

  /** SIGSTOP: it does nothing until `continue`. */
  pause(): void {
    this.child.kill('SIGSTOP');
  }

  continue(): void {
    this.child.kill('SIGCONT');
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** SIGTERM, as soon as it has started and so listens to it; how it ended, also when that was before. */
  async stop(): Promise<number | NodeJS.Signals | null> {
    await this.started.catch(() => undefined);
    this.child.kill('SIGTERM');
    return this.ended;
  }
}
