import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('api-server-program.js', import.meta.url));

/** The aggregated API server in a process of its own. */
export class ApiServerProcess {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when it serves; rejects when it ends before. */
  static async start(flags: readonly string[], logFile: string): Promise<ApiServerProcess> {
    const child = fork(PROGRAM, [...flags], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
    child.stderr?.pipe(createWriteStream(logFile, { flags: 'a' }));
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the API server ended with ${String(code)}; see ${logFile}`);
    });
    await Promise.race([once(child, 'message'), ended]);
    ended.catch(() => undefined);
    return new ApiServerProcess(child);
  }

  /** SIGTERM; the exit code. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const [code] = (await ended) as [number | null];
    return code;
  }
}
