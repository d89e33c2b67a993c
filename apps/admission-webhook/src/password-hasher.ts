import { hash as argon2 } from '@node-rs/argon2';
import type { HashParameters } from './password-hash.js';

export interface PasswordHasherOptions {
  readonly parameters: HashParameters;
  /** So many hashes at once, each with its memory. */
  readonly parallel: number;
  /** So many more may wait. */
  readonly waiting: number;
  /** Of one password; argon2id with the parameters, 16 random bytes of salt and 32 bytes of key. */
  readonly hash?: (password: string, parameters: HashParameters) => Promise<string>;
  /** Told after each change of who is hashed and who waits. */
  readonly onChange?: (state: { readonly running: number; readonly waiting: number }) => void;
  readonly onRefusal?: () => void;
}

/** The line is full. Nothing was done; it may be tried again. */
export class TooManyPasswordsError extends Error {
  override readonly name = 'TooManyPasswordsError';
  constructor(readonly retryAfterSeconds: number) {
    super('too many passwords wait to be hashed');
  }
}

interface Place {
  readonly enter: () => void;
}

/** A place in a full line is likely to be free by then: a hash takes a few tenths of a second. */
const RETRY_AFTER_SECONDS = 1;

/**
 * Hashes passwords, few at once: each takes 64 MiB and a processor, so that a flood of registrations would otherwise end the process. The others
 * wait in the order in which they came, as long as somebody waits for the answer.
 */
export class PasswordHasher {
  readonly #options: PasswordHasherOptions;
  readonly #line = new Set<Place>();
  #running = 0;

  constructor(options: PasswordHasherOptions) {
    this.#options = options;
  }

  /** Throws `TooManyPasswordsError` when the line is full, and the reason of the signal when that aborts before the turn has come. */
  async hash(password: string, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    // A place that becomes free is handed over: whoever comes in between does not get it.
    if (this.#running < this.#options.parallel) this.#running++;
    else await this.#wait(signal);
    this.#tell();
    try {
      const { hash = argon2id, parameters } = this.#options;
      signal.throwIfAborted();
      return await hash(password, parameters);
    } finally {
      const [next] = this.#line;
      if (next === undefined) this.#running--;
      else next.enter();
      this.#tell();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#line.size >= this.#options.waiting) {
      this.#options.onRefusal?.();
      return Promise.reject(new TooManyPasswordsError(RETRY_AFTER_SECONDS));
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#line.delete(place);
        this.#tell();
        reject(signal.reason instanceof Error ? signal.reason : new DOMException('nobody waits for the hash', 'AbortError'));
      };
      const place: Place = {
        enter: () => {
          this.#line.delete(place);
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      this.#line.add(place);
      signal.addEventListener('abort', leave, { once: true });
      this.#tell();
    });
  }

  #tell(): void {
    this.#options.onChange?.({ running: this.#running, waiting: this.#line.size });
  }
}

function argon2id(password: string, { memoryKib, iterations, parallelism }: HashParameters): Promise<string> {
  // Its default is argon2id, version 19, with a salt of 16 random bytes.
  return argon2(password, { memoryCost: memoryKib, timeCost: iterations, parallelism, outputLen: 32 });
}
