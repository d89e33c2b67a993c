import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { readEnv } from '@harikube/platform';
import { findStrace } from './debian-tools.js';

export interface SystemCallFault {
  /** Of the process whose calls fail. */
  readonly pid: number;
  /** Only calls about these files fail; absolute paths. */
  readonly files: readonly string[];
  readonly calls: readonly string[];
  /** What the failing calls answer: `EIO`. */
  readonly error: string;
  /** Which of each thread's calls fail, in strace's notation: `1` is the first, `3+2` every second one from the third on; absent: all. */
  readonly when?: string;
}

/** Has calls of a running process fail, by strace; resolves when that is so, with the function that ends it. */
export async function failSystemCalls({ pid, files, calls, error, when }: SystemCallFault): Promise<() => Promise<void>> {
  const { path, env } = await findStrace();
  const names = calls.join(',');
  const inject = `inject=${names}:error=${error}${when === undefined ? '' : `:when=${when}`}`;
  const args = ['-f', '-p', `${pid}`, ...files.flatMap((file) => ['-P', file]), '-e', `trace=${names}`, '-e', inject];
  const strace = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...readEnv(), ...env } });
  const ended = once(strace, 'exit');
  const lines = createInterface({ input: strace.stderr });
  await new Promise<void>((resolve, reject) => {
    const output: string[] = [];
    lines.on('line', (line) => {
      if (line.includes('attached')) resolve();
      else if (output.length < 20) output.push(line);
    });
    void ended.then(() => reject(new Error(`strace ended before it was attached to ${pid}:\n${output.join('\n')}`)));
  });
  return async () => {
    strace.kill('SIGTERM');
    await ended;
  };
}
