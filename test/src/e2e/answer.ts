import { execFile } from 'node:child_process';
import type { Env } from '@harikube/platform';

/** What a program said, to the byte. */
export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface AskOptions {
  readonly env: Env;
  /** For its standard input; an object is written as JSON. */
  readonly input?: string | object;
}

const TIMEOUT_MS = 240_000;

/** Runs a program to its end, whether it succeeds or not. Rejects when it cannot be started and when it takes too long. */
export function answerOf(program: string, args: readonly string[], { env, input = '' }: AskOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], { env, timeout: TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 }, (error, out, err) => {
      if (error !== null && typeof error.code !== 'number') reject(new Error(`${program} ${args.join(' ')}: ${error.message}`));
      else resolve({ code: Number(error?.code ?? 0), out, err });
    });
    child.stdin?.on('error', () => undefined); // It ended before it had read everything, and says why itself.
    child.stdin?.end(typeof input === 'string' ? input : JSON.stringify(input));
  });
}
