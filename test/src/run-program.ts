import { spawn, type SpawnOptions } from 'node:child_process';

/** A program that could not be started or that failed, with what it wrote to stderr. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** Runs a program to its end and returns its stdout; a failure carries the last lines of its stderr. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: Pick<SpawnOptions, 'cwd' | 'env'> = {},
): Promise<string> {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const ended = Promise.withResolvers<number | NodeJS.Signals>();
  child.once('error', (error: NodeJS.ErrnoException) => {
    const sentence = error.code === 'ENOENT' ? `${program} is not on PATH: install it, or put it there` : error.message;
    ended.reject(new ProgramError(sentence, { cause: error }));
  });
  child.once('close', (code, signal) => ended.resolve(code ?? signal ?? 1));
  const end = await ended.promise;
  if (end === 0) return Buffer.concat(out).toString();
  const tail = Buffer.concat(err).toString().trimEnd().split('\n').slice(-30).join('\n');
  throw new ProgramError(`${program} ${args.join(' ')} ended with ${end}:\n${tail}`);
}
