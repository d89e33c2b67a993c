import { describe, expect, it } from '@jest/globals';
import { inNameOrder, topologyVersion } from './topology-version.js';

describe('topologyVersion', () => {
  const one = { name: '1-user.yaml', text: 'backends: []\n' };
  const two = { name: '2-email.yaml', text: 'backends: []' };

  it('is the same for the same documents in any order', () => {
    expect(topologyVersion([one, two])).toBe(topologyVersion([two, one]));
    expect(topologyVersion([one])).toMatch(/^[0-9a-f]{64}$/);
  });

  it('stays what it is over releases: it is recorded, and compared between programs', () => {
    expect(topologyVersion([])).toBe('4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945');
  });

  it('differs when a text, a name, or the border between texts differs', () => {
    const versions = [
      [],
      [one],
      [one, two],
      [{ ...one, text: 'backends: []' }],
      [{ ...one, name: '1-users.yaml' }],
      [{ name: 'a', text: 'bc' }],
      [{ name: 'ab', text: 'c' }],
      [
        { name: 'a', text: 'b' },
        { name: 'c', text: '' },
      ],
    ].map(topologyVersion);
    expect(new Set(versions).size).toBe(versions.length);
  });
});

describe('inNameOrder', () => {
  it('orders by code units, not by any language', () => {
    const names = ['b', 'a', 'B', '10', '9', 'ä'].map((name) => ({ name }));
    expect(inNameOrder(names).map(({ name }) => name)).toEqual(['10', '9', 'B', 'a', 'b', 'ä']);
  });
});
