import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { GO_FUNCTIONS } from './functions.js';
import { SPRIG_FUNCTIONS } from './sprig/index.js';

const DOCUMENTATION = new URL('../../../docs/templates.md', import.meta.url);

describe('the table of functions in docs/templates.md', () => {
  it('names every function, and none that there is not', async () => {
    const table = /^## Functions$(.*?)^Not there/ms.exec(await readFile(DOCUMENTATION, 'utf8'))?.[1] ?? '';
    const named = [...table.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
    expect([...new Set(named)].sort()).toEqual(
      [...new Set([...GO_FUNCTIONS.keys(), ...SPRIG_FUNCTIONS.keys(), 'and', 'or', 'call'])].sort(),
    );
  });
});
