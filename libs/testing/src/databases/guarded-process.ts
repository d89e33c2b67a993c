import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';

/** A server of a test, which ends with the process that started it, however that ends, and its data with it. */
export class GuardedProcess {
  readonly #guard: ChildProcess | null;

  constructor(
    private readonly child: ChildProcess,
    directory: string,
  ) {
    this.#guard = child.pid === undefined ? null : guardOf(child.pid, directory);
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error('the server does not run');
    return pid;
  }

  /** SIGSTOP; the server does nothing any more when this returns. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
    waitUntilStopped(this.pid);
  }

  /** SIGKILL; resolves when it is gone. Its data stays. */
  async kill(): Promise<void> {
    const { child } = this;
    await new Promise<void>((resolve) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
        resolve();
        return;
      }
      child.once('exit', () => resolve());
      child.kill('SIGKILL');
    });
    this.#guard?.kill();
  }
}

/** For a process that has got its SIGSTOP: a thread on another processor goes on until it is interrupted there. */
export function waitUntilStopped(pid: number): void {
  while (!isStopped(pid));
}

/** Whether each of its threads is, or is gone; where the system does not tell, it is believed. */
function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return true;
  try {
    return readdirSync(tasks).every((task) => /\) [TtZX] /.test(readFileSync(`${tasks}/${task}/stat`, 'latin1')));
  } catch (error) {
    // A thread ended meanwhile.
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return false;
  }
}

/** The pipe to it is closed when this process is gone. */
function guardOf(pid: number, directory: string): ChildProcess {
  const script = 'read -r line; kill -9 "$1"; sleep 1; rm -rf "$2"';
  const guard = spawn('/bin/sh', ['-c', script, 'guard', `${pid}`, directory], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  guard.unref();
  if (guard.stdin instanceof Socket) guard.stdin.unref();
  return guard;
}
