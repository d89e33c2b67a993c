/** How an argon2id hash is made. */
export interface HashParameters {
  readonly memoryKib: number;
  readonly iterations: number;
  readonly parallelism: number;
}

/** The reference's. */
export const DEFAULT_HASH_PARAMETERS: HashParameters = { memoryKib: 64 * 1024, iterations: 3, parallelism: 2 };

/** Below it a hash is quick to try passwords on; the first of OWASP's recommendations for argon2id. */
const LEAST: HashParameters = { memoryKib: 19 * 1024, iterations: 2, parallelism: 1 };
/** Above it to verify one password is work enough to hold up the program that does it. */
const MOST: HashParameters = { memoryKib: 128 * 1024, iterations: 10, parallelism: 8 };
const SALT_BYTES = { least: 16, most: 64 } as const;
const KEY_BYTES = { least: 32, most: 64 } as const;

const PHC = /^\$argon2id\$v=19\$m=([1-9][0-9]{0,7}),t=([1-9][0-9]{0,2}),p=([1-9][0-9]{0,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

/** Whether it is meant to be a hash of argon2, well formed or not. */
export function isMeantAsHash(text: string): boolean {
  return text.startsWith('$argon2');
}

/**
 * Judges hashes that were made elsewhere. What it takes is longer than the policy lets a password be, so that no text is both. `own` are the
 * parameters of this program, which are within the bounds whatever they are.
 */
export class HashBounds {
  readonly #least: HashParameters;
  readonly #most: HashParameters;

  constructor(own: HashParameters) {
    this.#least = combine(Math.min, LEAST, own);
    this.#most = combine(Math.max, MOST, own);
  }

  /** Why a text is no hash that is taken, in a sentence that does not show it; null: it is one. */
  problemOf(text: string): string | null {
    const match = PHC.exec(text);
    if (match === null) return 'must be an argon2id hash in PHC form';
    const [, m, t, p, salt = '', key = ''] = match;
    const [memoryKib, iterations, parallelism] = [Number(m), Number(t), Number(p)];
    const problems = [
      ...outside('m', memoryKib, this.#least.memoryKib, this.#most.memoryKib),
      ...outside('t', iterations, this.#least.iterations, this.#most.iterations),
      ...outside('p', parallelism, this.#least.parallelism, this.#most.parallelism),
      ...outsideBytes('a salt', salt, SALT_BYTES),
      ...outsideBytes('a key', key, KEY_BYTES),
    ];
    return problems.length === 0 ? null : `must be an argon2id hash with ${problems.join(', ')}`;
  }
}

function combine(choose: (a: number, b: number) => number, one: HashParameters, other: HashParameters): HashParameters {
  return {
    memoryKib: choose(one.memoryKib, other.memoryKib),
    iterations: choose(one.iterations, other.iterations),
    parallelism: choose(one.parallelism, other.parallelism),
  };
}

function outside(name: string, value: number, least: number, most: number): string[] {
  return value < least || value > most ? [`${name} from ${least} to ${most}`] : [];
}

/** Base64 without padding: four characters for three bytes, and two or three for the rest. */
function outsideBytes(what: string, base64: string, { least, most }: { readonly least: number; readonly most: number }): string[] {
  const bytes = Math.floor((base64.length * 3) / 4);
  return base64.length % 4 === 1 || bytes < least || bytes > most ? [`${what} of ${least} to ${most} bytes`] : [];
}
