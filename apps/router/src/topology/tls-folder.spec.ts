import { describe, expect, it } from '@jest/globals';
import { withoutTlsMaterial } from './tls-folder.js';

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

describe('withoutTlsMaterial', () => {
  it.each([
    ['a certificate', 'ca', PEM],
    ['a key after some words', 'client', `Bag Attributes\n  name: x\n${PEM.replaceAll('CERTIFICATE', 'EC PRIVATE KEY')}`],
    ['a file that is called a certificate, whatever is in it', 'user-ca.crt', 'nothing'],
    ['a file that is called a key', 'user-tls.KEY', ''],
  ])('tells %s from a document', (_what, name, text) => {
    const document = { name: '1.yaml', text: 'backends: []' };
    expect(withoutTlsMaterial([document, { name, text }])).toEqual({ documents: [document], material: [{ name, text }] });
  });

  it.each([
    ['without an ending', 'topology', 'backends: []'],
    ['that is wrong', '1.yaml', 'nothing'],
    ['with a certificate in it', '1.yaml', `# ${PEM.replaceAll('\n', '\n  ')}`],
  ])('takes a text %s for a document', (_what, name, text) => {
    expect(withoutTlsMaterial([{ name, text }])).toEqual({ documents: [{ name, text }], material: [] });
  });
});
