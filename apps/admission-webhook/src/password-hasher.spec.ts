import { describe, expect, it } from '@jest/globals';
import { DEFAULT_HASH_PARAMETERS, HashBounds } from './password-hash.js';
import { PasswordHasher, TooManyPasswordsError } from './password-hasher.js';

const forever = new AbortController().signal;
/** All that is ready to run has run by then. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Hashes that end when the spec says so. */
class Hashes {
  readonly started: string[] = [];
  readonly done: string[] = [];
  readonly states: string[] = [];
  readonly hasher: PasswordHasher;
  readonly #ends = new Map<string, { resolve(hash: string): void; reject(error: Error): void }>();

  constructor(parallel: number, waiting: number) {
    this.hasher = new PasswordHasher({
      parameters: DEFAULT_HASH_PARAMETERS,
      parallel,
      waiting,
      hash: (password) => {
        this.started.push(password);
        return new Promise((resolve, reject) => this.#ends.set(password, { resolve, reject }));
      },
      onChange: (state) => this.states.push(`${state.running}+${state.waiting}`),
    });
  }

  async ask(password: string, signal = forever): Promise<void> {
    this.done.push(
      await this.hasher.hash(password, signal).catch((error: unknown) => `${password}: ${error instanceof Error ? error.name : 'odd'}`),
    );
  }

  async end(password: string): Promise<void> {
    this.#ends.get(password)?.resolve(`hash of ${password}`);
    await settled();
  }

  async fail(password: string): Promise<void> {
    this.#ends.get(password)?.reject(new TypeError('broken'));
    await settled();
  }
}

describe('PasswordHasher', () => {
  it('hashes few at once and the others in their order', async () => {
    const hashes = new Hashes(2, 10);
    for (const password of ['a', 'b', 'c', 'd']) void hashes.ask(password);
    await settled();
    expect(hashes.started).toEqual(['a', 'b']);
    await hashes.end('b');
    expect(hashes.started).toEqual(['a', 'b', 'c']);
    await hashes.end('a');
    await hashes.end('d');
    await hashes.end('c');
    expect(hashes.done).toEqual(['hash of b', 'hash of a', 'hash of d', 'hash of c']);
    expect([hashes.states.at(-1), Math.max(...hashes.states.map(parseFloat))]).toEqual(['0+0', 2]);
  });

  it('gives a free place to who waits and not to who comes in between', async () => {
    const hashes = new Hashes(1, 10);
    void hashes.ask('a');
    void hashes.ask('b');
    await settled();
    const ended = hashes.end('a');
    void hashes.ask('c');
    await ended;
    expect(hashes.started).toEqual(['a', 'b']);
    await hashes.end('b');
    expect(hashes.started).toEqual(['a', 'b', 'c']);
    await hashes.end('c');
  });

  it('refuses at once what finds the line full', async () => {
    const hashes = new Hashes(1, 1);
    for (const password of ['a', 'b', 'c']) void hashes.ask(password);
    await settled();
    expect(hashes.done).toEqual(['c: TooManyPasswordsError']);
    await expect(hashes.hasher.hash('d', forever)).rejects.toEqual(expect.objectContaining({ retryAfterSeconds: 1 }));
    expect(new TooManyPasswordsError(1).message).toBe('too many passwords wait to be hashed');
    await hashes.end('a');
    await hashes.end('b');
    expect(hashes.started).toEqual(['a', 'b']);
  });

  it('drops from the line who is not waited for any more', async () => {
    const hashes = new Hashes(1, 1);
    const stop = new AbortController();
    void hashes.ask('a');
    void hashes.ask('b', stop.signal);
    await settled();
    stop.abort();
    await settled();
    expect(hashes.done).toEqual(['b: AbortError']);
    void hashes.ask('c');
    await hashes.end('a');
    await hashes.end('c');
    expect([hashes.started, hashes.done]).toEqual([
      ['a', 'c'],
      ['b: AbortError', 'hash of a', 'hash of c'],
    ]);
    void hashes.ask('d', stop.signal);
    await settled();
    expect(hashes.started).not.toContain('d');
  });

  it('goes on after a hash that failed', async () => {
    const hashes = new Hashes(1, 1);
    void hashes.ask('a');
    void hashes.ask('b');
    await settled();
    await hashes.fail('a');
    await hashes.end('b');
    expect(hashes.done).toEqual(['a: TypeError', 'hash of b']);
    expect(hashes.states.at(-1)).toBe('0+0');
  });

  it('makes argon2id hashes with the parameters of the reference, each with a salt of its own', async () => {
    const hasher = new PasswordHasher({ parameters: DEFAULT_HASH_PARAMETERS, parallel: 2, waiting: 0 });
    const [one, other] = await Promise.all([hasher.hash('Aa1!aaaa', forever), hasher.hash('Aa1!aaaa', forever)]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=65536,t=3,p=2\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one).not.toBe(other);
    expect(new HashBounds(DEFAULT_HASH_PARAMETERS).problemOf(one)).toBeNull();
  });
});
