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
    return new ProgramProcess(child, ended);
  }

  /** Resolves when the program says that it has started; rejects when it ends before. */
  static async start(options: ProgramProcessOptions): Promise<ProgramProcess> {
    const started = ProgramProcess.launch(options);
    const failed = started.ended.then((end) => {
      throw new Error(`the ${options.name} program ended with ${end}; see ${options.logFile}`);
    });
    failed.catch(() => undefined); // it always ends some day
    await Promise.race([once(started.child, 'message'), failed]);
    return started;
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

  /** SIGTERM; how it ended, also when that was before. */
  async stop(): Promise<number | NodeJS.Signals | null> {
    this.child.kill('SIGTERM');
    return this.ended;
  }
}
