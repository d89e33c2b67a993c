import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess, isRunning, parseIdentity, type ProcessIdentity } from './process-identity.js';
import { errorCode, SetupError } from './setup-error.js';

/**
 * A lock between processes: a file that names its holder. The lock of a process that has died counts as free, so a
 * `kill -9` leaves nothing to clean up.
 */
export class FileLock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** The lock, or the process that holds it. This process itself counts as a holder, too. */
  static try(path: string): FileLock | ProcessIdentity {
    const own = identifyProcess(process.pid);
    if (own === null) throw new SetupError('this process cannot be found in the process table: is /proc mounted?');
    const draft = `${path}.${randomUUID()}`;
    writeFileSync(draft, JSON.stringify(own), { mode: 0o600 });
    try {
      for (;;) {
        try {
          // A link appears whole or not at all, so nobody reads half an identity.
          linkSync(draft, path);
          return new FileLock(path);
        } catch (error) {
          if (errorCode(error) !== 'EEXIST') throw error;
        }
        const holder = readHolder(path);
        if (holder !== null && isRunning(holder)) return holder;
        removeAbandoned(path);
      }
    } finally {
      rmSync(draft, { force: true });
    }
  }

  /** Waits until the lock is free; `onWait` hears once who holds it. */
  static async acquire(
    path: string,
    options: { readonly onWait: (holder: ProcessIdentity) => void; readonly signal?: AbortSignal },
  ): Promise<FileLock> {
    for (let waited = false; ; waited = true) {
      const lock = FileLock.try(path);
      if (lock instanceof FileLock) return lock;
      if (!waited) options.onWait(lock);
      await delay(200, undefined, { signal: options.signal });
    }
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }
}

function readHolder(path: string): ProcessIdentity | null {
  try {
    return parseIdentity(readFileSync(path, 'utf8'));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Takes a dead holder's file away. Two processes may do so at once: whoever then finds a living holder's file in hand puts it back. */
function removeAbandoned(path: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  const holder = readHolder(aside);
  try {
    if (holder !== null && isRunning(holder)) linkSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
}
