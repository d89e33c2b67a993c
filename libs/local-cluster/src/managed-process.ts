/**
 * One child process that is kept running: started, watched, started again when it dies, and stopped. Its output goes to a
 * log file of its own; a record beside it says which process it is, so that a later run can end what a `kill -9` of this
 * one left behind.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Env } from '@harikube/platform';
import { identifyProcess, isRunning, parseIdentity, type ProcessIdentity } from './process-identity.js';
import { errorCode, explainFileError, SetupError } from './setup-error.js';

const LOG_BYTES = 16 * 1024 * 1024;
const TAIL_BYTES = 64 * 1024;
/** A process that lived this long was well: its next death is the first of a series. */
const STABLE_MILLISECONDS = 60_000;

export type ProcessEvent =
  | { readonly type: 'died'; readonly name: string; readonly how: string; readonly restartInMilliseconds: number }
  | { readonly type: 'restarted'; readonly name: string }
  /** It was told to end and did not within this time. */
  | { readonly type: 'killed'; readonly name: string; readonly afterMilliseconds: number };

export interface ManagedProcessOptions {
  /** Names the log file and the record, too. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Env;
  readonly cwd?: string;
  /** Folder of the log files. */
  readonly logFolder: string;
  /** Folder of the records of running processes. */
  readonly runFolder: string;
  /** Asked again and again after a start until it says yes; absent: a started process is a ready one. */
  readonly isReady?: (signal: AbortSignal) => Promise<boolean>;
  readonly readyTimeoutMilliseconds?: number;
  /** How long a process may take to end after SIGTERM before it is killed. */
  readonly stopTimeoutMilliseconds?: number;
  /** Pause before a restart: doubled with each death that follows a short life, up to `maximumMilliseconds`. */
  readonly backoff?: { readonly initialMilliseconds: number; readonly maximumMilliseconds: number };
  readonly onEvent?: (event: ProcessEvent) => void;
}

/** A child that ended or did not become ready; `output` is the end of its log. */
export class ProcessStartError extends Error {
  override readonly name = 'ProcessStartError';
  constructor(
    readonly process: string,
    readonly how: string,
    readonly output: readonly string[],
    readonly logFile: string,
  ) {
    super([`${process} ${how}; the end of ${logFile}:`, ...output.map((line) => `  ${line}`)].join('\n'));
  }
}

interface Running {
  readonly child: ChildProcess;
  readonly startedAt: number;
  /** Where this run begins in the log file. */
  readonly logOffset: number;
  /** Resolves to a clause such as `exited with code 1`. */
  readonly ended: Promise<string>;
  hasEnded: boolean;
}

export class ManagedProcess {
  readonly name: string;
  readonly logFile: string;
  readonly #options: ManagedProcessOptions;
  readonly #recordFile: string;
  readonly #stopping = new AbortController();
  #running: Running | null = null;
  #kept: Promise<void> = Promise.resolve();

  constructor(options: ManagedProcessOptions) {
    this.name = options.name;
    this.#options = options;
    this.logFile = join(options.logFolder, `${options.name}.log`);
    this.#recordFile = join(options.runFolder, `${options.name}.json`);
  }

  /** The pid of the running process; `null`: there is none at this moment. */
  get pid(): number | null {
    return this.#running === null || this.#running.hasEnded ? null : (this.#running.child.pid ?? null);
  }

  /** Resolves when the process is ready. Rejects with `ProcessStartError` when it ends before, or is not ready in time (it is then ended). */
  async start(signal?: AbortSignal): Promise<void> {
    const running = await this.#spawn();
    try {
      await this.#awaitReady(running, signal);
    } catch (error) {
      await this.#end(running);
      throw error;
    }
    this.#kept = this.#keep(running);
  }

  /** Ends the process: SIGTERM, then SIGKILL when it does not follow in time. May be called at any moment and more than once. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#running !== null) await this.#end(this.#running);
    await this.#kept;
  }

  /** Sends SIGKILL without waiting: for a parent that has no time left. */
  kill(): void {
    this.#stopping.abort();
    if (this.#running !== null && !this.#running.hasEnded) this.#running.child.kill('SIGKILL');
  }

  async #spawn(): Promise<Running> {
    const { command, args, env, cwd } = this.#options;
    mkdirSync(this.#options.runFolder, { recursive: true, mode: 0o700 });
    const log = openLog(this.logFile);
    try {
      const [program, programArgs] = dieWithParent(command, args);
      // A session of its own: Ctrl-C on the terminal reaches only the parent, which stops its children in order.
      const child = spawn(program, programArgs, { cwd, env, detached: true, stdio: ['ignore', log.descriptor, log.descriptor] });
      const running: Running = {
        child,
        startedAt: performance.now(),
        logOffset: log.offset,
        hasEnded: false,
        ended: new Promise((resolve) => {
          child.once('error', (error) => resolve(`could not be started (${error.message})`));
          child.once('exit', (code, exitSignal) =>
            resolve(exitSignal === null ? `exited with code ${code}` : `was ended by ${exitSignal}`),
          );
        }),
      };
      void running.ended.then(() => {
        running.hasEnded = true;
        rmSync(this.#recordFile, { force: true });
      });
      if (child.pid !== undefined) writeRecord(this.#recordFile, child.pid);
      this.#running = running;
      return running;
    } catch (error) {
      throw explainFileError(error, this.#options.logFolder);
    } finally {
      closeSync(log.descriptor);
    }
  }

  async #awaitReady(running: Running, signal?: AbortSignal): Promise<void> {
    const { isReady, readyTimeoutMilliseconds = 60_000 } = this.#options;
    const over = AbortSignal.any([
      this.#stopping.signal,
      AbortSignal.timeout(readyTimeoutMilliseconds),
      ...(signal === undefined ? [] : [signal]),
    ]);
    while (isReady !== undefined && !over.aborted && !running.hasEnded) {
      const attempt = new AbortController();
      const ready = isReady(AbortSignal.any([over, attempt.signal])).catch(() => false);
      if ((await Promise.race([ready, running.ended.then(() => false)])) && !running.hasEnded) return;
      attempt.abort();
      await Promise.race([delay(50), running.ended]);
    }
    if (isReady === undefined) {
      // The system tells about a program that is not there only after the spawn.
      await new Promise((resolve) => setImmediate(resolve));
      if (!running.hasEnded) return;
    }
    signal?.throwIfAborted();
    if (running.hasEnded) throw this.#startError(running, await running.ended);
    throw this.#startError(
      running,
      this.#stopping.signal.aborted ? 'was stopped before it was ready' : `was not ready within ${readyTimeoutMilliseconds / 1000}s`,
    );
  }

  /** Restarts the process until it is stopped. */
  async #keep(first: Running): Promise<void> {
    const { backoff = { initialMilliseconds: 500, maximumMilliseconds: 15_000 }, onEvent } = this.#options;
    let pause = backoff.initialMilliseconds;
    let running = first;
    for (;;) {
      const how = await running.ended;
      if (this.#stopping.signal.aborted) return;
      if (performance.now() - running.startedAt > STABLE_MILLISECONDS) pause = backoff.initialMilliseconds;
      onEvent?.({ type: 'died', name: this.name, how, restartInMilliseconds: pause });
      await delay(pause, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      pause = Math.min(pause * 2, backoff.maximumMilliseconds);
      try {
        running = await this.#spawn();
        await this.#awaitReady(running);
        onEvent?.({ type: 'restarted', name: this.name });
      } catch {
        // It ended, or is ended here, and is told about above in the next turn.
        await this.#end(running);
      }
    }
  }

  async #end(running: Running): Promise<void> {
    if (running.hasEnded) return;
    running.child.kill('SIGTERM');
    const { stopTimeoutMilliseconds: afterMilliseconds = 15_000, onEvent } = this.#options;
    const timer = setTimeout(() => {
      running.child.kill('SIGKILL');
      onEvent?.({ type: 'killed', name: this.name, afterMilliseconds });
    }, afterMilliseconds);
    await running.ended;
    clearTimeout(timer);
  }

  #startError(running: Running, how: string): ProcessStartError {
    return new ProcessStartError(this.name, how, tail(this.logFile, running.logOffset, 24), this.logFile);
  }
}

/** Ends what earlier runs left behind under `runFolder`, and nothing else; resolves to the names of what it ended. */
export async function endLeftovers(runFolder: string, timeoutMilliseconds = 15_000): Promise<string[]> {
  const leftovers: { name: string; identity: ProcessIdentity }[] = [];
  let files: string[];
  try {
    files = readdirSync(runFolder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  for (const file of files) {
    if (!file.endsWith('.json')) continue;
    const identity = parseIdentity(readFileSync(join(runFolder, file), 'utf8'));
    if (identity !== null && isRunning(identity)) leftovers.push({ name: file.slice(0, -'.json'.length), identity });
    else rmSync(join(runFolder, file), { force: true });
  }
  for (const { identity } of leftovers) signalProcess(identity, 'SIGTERM');
  const deadline = performance.now() + timeoutMilliseconds;
  for (const { name, identity } of leftovers) {
    while (isRunning(identity)) {
      if (performance.now() > deadline) signalProcess(identity, 'SIGKILL');
      await delay(50);
    }
    rmSync(join(runFolder, `${name}.json`), { force: true });
  }
  return leftovers.map(({ name }) => name);
}

function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isRunning(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if (errorCode(error) === 'EPERM') {
      throw new SetupError(`process ${identity.pid}, left behind by an earlier run, belongs to another user: end it first`, {
        cause: error,
      });
    }
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

function writeRecord(file: string, pid: number): void {
  const identity = identifyProcess(pid);
  if (identity !== null) writeFileSync(file, JSON.stringify(identity), { mode: 0o600 });
}

function openLog(file: string): { descriptor: number; offset: number } {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size > LOG_BYTES) renameSync(file, `${file}.1`);
    const descriptor = openSync(file, 'a', 0o600);
    return { descriptor, offset: size > LOG_BYTES ? 0 : size };
  } catch (error) {
    throw explainFileError(error, dirname(file));
  }
}

/** The last lines that a run wrote to its log, without empty ones and the frames of stack traces. */
function tail(file: string, offset: number, lines: number): string[] {
  const content = readFileSync(file);
  const text = content.subarray(Math.max(offset, content.length - TAIL_BYTES)).toString('utf8');
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s+at .*:\d+:\d+\)?/.test(line))
    .slice(-lines);
}

let hasParentDeathSignal: boolean | undefined;

/** On Linux the kernel itself ends the child when this process dies, even by `kill -9` (util-linux `setpriv`; it replaces itself by the program). */
function dieWithParent(command: string, args: readonly string[]): [string, string[]] {
  hasParentDeathSignal ??= process.platform === 'linux' && spawnSync('setpriv', ['--pdeathsig', 'TERM', 'true']).status === 0;
  return hasParentDeathSignal ? ['setpriv', ['--pdeathsig', 'TERM', command, ...args]] : [command, [...args]];
}
