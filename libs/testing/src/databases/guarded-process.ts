import { type ChildProcess, spawn } from 'node:child_process';
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

/** The pipe to it is closed when this process is gone. */
function guardOf(pid: number, directory: string): ChildProcess {
  const script = 'read -r line; kill -9 "$1"; sleep 1; rm -rf "$2"';
  const guard = spawn('/bin/sh', ['-c', script, 'guard', `${pid}`, directory], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  guard.unref();
  if (guard.stdin instanceof Socket) guard.stdin.unref();
  return guard;
}
