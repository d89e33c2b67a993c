import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('admission-program.js', import.meta.url));

/** The admission webhook in a process of its own. */
export class AdmissionProcess {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when it serves; rejects when it ends before. */
  static async start(flags: readonly string[], logFile: string): Promise<AdmissionProcess> {
    const child = fork(PROGRAM, [...flags], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
    child.stderr?.pipe(createWriteStream(logFile, { flags: 'a' }));
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the admission webhook ended with ${String(code)}; see ${logFile}`);
    });
    await Promise.race([once(child, 'message'), ended]);
    ended.catch(() => undefined);
    return new AdmissionProcess(child);
  }

  /** The most memory that it had so far. */
  async peakKib(): Promise<number> {
    this.child.send('memory');
    const [{ peakKib }] = (await once(this.child, 'message')) as [{ peakKib: number }];
    return peakKib;
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
