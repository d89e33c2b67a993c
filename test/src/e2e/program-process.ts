import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Env, readEnv } from '@harikube/platform';

export interface ProgramProcessOptions {
  /** The file `NAME-program.ts` beside this one. */
  readonly name: 'admission' | 'api-server' | 'controllers' | 'leader' | 'topology-operator' | 'trigger';
  readonly args: readonly string[];
  /** What it writes to stderr is added to it. */
  readonly logFile: string;
  /** Besides the environment of the test. */
  readonly env?: Env;
}

/** A program of ours in a process of its own. */
export class ProgramProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** Its exit code, or the signal that ended it. */
    readonly ended: Promise<number | NodeJS.Signals | null>,
    /** Resolves when the program says that it has started; rejects when it ends before. */
    private readonly started: Promise<void>,
  ) {}

  /** The process is there; the program may not have begun. */
  static launch({ name, args, logFile, env }: ProgramProcessOptions): ProgramProcess {
    const program = fileURLToPath(new URL(`${name}-program.js`, import.meta.url));
    const child = fork(program, [...args], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [], env: { ...readEnv(), ...env } });
    child.stderr?.pipe(createWriteStream(logFile, { flags: 'a' }));
    const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? signal));
    });
    const started = new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      ended.then((end) => reject(new Error(`the ${name} program ended with ${end}; see ${logFile}`)), reject);
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

  /** The answer of the program to a message; it has to know the question. */
  async ask(question: string): Promise<unknown> {
    const answered = once(this.child, 'message');
    this.child.send(question);
    const [answer] = (await answered) as [unknown];
    return answer;
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
