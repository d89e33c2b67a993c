import { describe, expect, it } from '@jest/globals';
import { compilerEnv } from './go-compiler.js';

const GIB = 2 ** 30;

describe('compilerEnv', () => {
  it('spares the compilers their collections where each may have its heap', () => {
    expect(compilerEnv({ PATH: '/bin' }, { memory: 8 * GIB, processors: 2 })).toEqual({ PATH: '/bin', GOGC: 'off', GOMEMLIMIT: '2GiB' });
  });

  it('leaves them as they are where memory is short', () => {
    expect(compilerEnv({ PATH: '/bin' }, { memory: 8 * GIB - 1, processors: 2 })).toEqual({ PATH: '/bin' });
  });

  it.each([{ GOGC: '50' }, { GOMEMLIMIT: '1GiB' }])('leaves what the user says: %o', (env) => {
    expect(compilerEnv(env, { memory: 64 * GIB, processors: 2 })).toEqual(env);
  });
});
