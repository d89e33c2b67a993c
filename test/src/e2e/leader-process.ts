import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('leader-program.js', import.meta.url));

export interface LeaderProgramArguments {
  readonly kubeconfig: string;
  /** Names in the namespace default. */
  readonly lease: string;
  readonly configMap: string;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

/** A leader in a process of its own, that can be stopped and continued. */
export class LeaderProcess {
  readonly ended: Promise<number | NodeJS.Signals | null>;
  readonly #child: ChildProcess;

  constructor(args: LeaderProgramArguments) {
    this.#child = spawn(process.execPath, [PROGRAM, JSON.stringify(args)], { stdio: 'ignore' });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('exit', (code, signal) => resolve(code ?? signal));
    });
  }

  stop(): void {
    this.#child.kill('SIGSTOP');
  }

  continue(): void {
    this.#child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
