import { describe, expect, it } from '@jest/globals';
import { parseSecretReference } from './secret-reference.js';

describe('parseSecretReference', () => {
  it('reads namespace, name and key', () => {
    expect(parseSecretReference('secret://shop/db.v2/ca.crt')).toEqual({ namespace: 'shop', name: 'db.v2', key: 'ca.crt' });
  });

  it.each([
    'secret://shop/db',
    'secret://shop/db/a/b',
    'secret:///db/key',
    'secret://Shop/db/key',
    'secret://shop/db/',
    'sqlite://a/b/c',
    '',
  ])('takes %j for no reference', (text) => {
    expect(parseSecretReference(text)).toBeNull();
  });
});
