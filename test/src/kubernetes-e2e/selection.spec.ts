import { describe, expect, it } from '@jest/globals';
import { differences } from './kubernetes-e2e.js';
import { selectSpecs } from './selection.js';

describe('the selection of specs', () => {
  it('refuses a list that fits no spec', () => {
    expect(() => selectSpecs([], { isShort: false })).toThrow('AdmissionWebhook');
  });
});

describe('the comparison of two stores', () => {
  const run = (store: 'etcd' | 'router', outcomes: readonly (readonly [string, string | null])[]) => ({
    ...{ store, outcomes: new Map(outcomes), timing: [], seconds: 1 },
  });

  it('finds a spec that passes on one of them only', () => {
    const etcd = run('etcd', [
      ['a', null],
      ['b', null],
      ['c', 'no node'],
    ]);
    const router = run('router', [
      ['a', null],
      ['b', 'lost'],
      ['c', 'no Node'],
    ]);
    expect(differences([etcd, router])).toEqual(['b']);
    expect(differences([etcd, etcd])).toEqual([]);
  });
});
