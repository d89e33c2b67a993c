import { describe, expect, it } from '@jest/globals';
import { passwordProblem } from './password-policy.js';
import { DEFAULT_HASH_PARAMETERS, HashBounds, isMeantAsHash } from './password-hash.js';

const SALT = 'c29tZXNhbHRzb21lc2FsdA';
const KEY = 'RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const hash = ({ m = 65536, t = 3, p = 2, salt = SALT, key = KEY } = {}): string => `$argon2id$v=19$m=${m},t=${t},p=${p}$${salt}$${key}`;
const bounds = new HashBounds(DEFAULT_HASH_PARAMETERS);

describe('HashBounds', () => {
  it('takes a hash that is neither quick to guess nor long to verify', () => {
    for (const text of [hash(), hash({ m: 19456, t: 2, p: 1 }), hash({ m: 131072, t: 10, p: 8 }), hash({ salt: 'A'.repeat(86) })])
      expect(bounds.problemOf(text)).toBeNull();
  });

  it.each([
    [hash({ m: 19455 }), 'm from 19456 to 131072'],
    [hash({ m: 99999999 }), 'm from 19456 to 131072'],
    [hash({ t: 1 }), 't from 2 to 10'],
    [hash({ t: 999 }), 't from 2 to 10'],
    [hash({ p: 9 }), 'p from 1 to 8'],
    [hash({ salt: 'A'.repeat(20) }), 'a salt of 16 to 64 bytes'],
    [hash({ salt: 'A'.repeat(25) }), 'a salt of 16 to 64 bytes'],
    [hash({ key: 'A'.repeat(42) }), 'a key of 32 to 64 bytes'],
    [hash({ key: 'A'.repeat(88) }), 'a key of 32 to 64 bytes'],
    [hash({ m: 1, t: 1 }), 'm from 19456 to 131072, t from 2 to 10'],
  ])('refuses %s', (text, problem) => {
    expect(bounds.problemOf(text)).toBe(`must be an argon2id hash with ${problem}`);
  });

  it('refuses what is no argon2id hash, and does not show it', () => {
    for (const text of ['', 'Canary-1', hash().replace('argon2id', 'argon2i'), hash().replace('v=19', 'v=16'), `${hash()}=`, `${hash()}\n`])
      expect(bounds.problemOf(text)).toBe('must be an argon2id hash in PHC form');
  });

  it('takes what this program makes, whatever it is told to make', () => {
    expect(new HashBounds({ memoryKib: 8192, iterations: 1, parallelism: 1 }).problemOf(hash({ m: 8192, t: 1, p: 1 }))).toBeNull();
    expect(
      new HashBounds({ memoryKib: 1048576, iterations: 20, parallelism: 16 }).problemOf(hash({ m: 1048576, t: 20, p: 16 })),
    ).toBeNull();
  });

  it('takes nothing that could be a password', () => {
    const shortest = hash({ m: 19456, t: 2, p: 1 });
    expect(isMeantAsHash(shortest)).toBe(true);
    expect(passwordProblem(shortest)).toContain('is too long');
  });
});
