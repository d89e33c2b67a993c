import { describe, expect, it } from '@jest/globals';
import { topologyVersion } from '@harikube/datasources';
import type { MergedEntry } from './merge-topology.js';
import { DOCUMENTS_ANNOTATION, entriesOf, isAsWanted, isOurs, mergedSecret, type Secret, secretTexts, versionOf } from './merged-secret.js';

const TARGET = { namespace: 'harikube', name: 'topology-config' };

const entry = (name: string, order: number, files: Record<string, string> = {}): MergedEntry => ({
  uid: `uid-${name}`,
  key: `shop/${name}`,
  generation: 3,
  order,
  document: { text: `backends: []  # ${name}\n`, files },
});

const of = (...entries: MergedEntry[]): Secret => mergedSecret(TARGET, entries, undefined);

describe('secretTexts', () => {
  it('names documents as the reference does, and so that the order of names is the deploy order', () => {
    expect([...secretTexts([entry('shirts', 1), entry('pods', 2)]).keys()]).toEqual(['1-shirts.yaml', '2-pods.yaml']);
    const many = [entry('b', 2), entry('a', 10), entry('c', 100)];
    const keys = [...secretTexts(many).keys()];
    expect(keys).toEqual(['002-b.yaml', '010-a.yaml', '100-c.yaml']);
    expect(keys.toSorted()).toEqual(keys);
  });

  it('has the version that the router counts, files included', () => {
    const texts = secretTexts([entry('a', 1, { 'a-ca.crt': 'CA' })]);
    expect(versionOf(texts)).toBe(
      topologyVersion([
        { name: 'a-ca.crt', text: 'CA' },
        { name: '1-a.yaml', text: 'backends: []  # a\n' },
      ]),
    );
  });
});

describe('mergedSecret', () => {
  it('is read again as it was written', () => {
    const entries = [entry('a', 1, { 'a-ca.crt': 'CA', 'a-tls.key': 'KEY' }), entry('b', 2)];
    expect(entriesOf(mergedSecret(TARGET, entries, undefined))).toEqual({ entries, tampered: false });
  });

  it('has the finalizer and the mark of its maker, and leaves what others have written', () => {
    const current: Secret = {
      metadata: { ...TARGET, resourceVersion: '7', labels: { team: 'a' }, annotations: { note: 'b' }, finalizers: ['other/one'] },
      data: { 'by-hand.yaml': 'eA==' },
    };
    const wanted = mergedSecret(TARGET, [entry('a', 1)], current);
    expect(wanted).toMatchObject({
      type: 'Opaque',
      metadata: {
        resourceVersion: '7',
        labels: { team: 'a', 'app.kubernetes.io/managed-by': 'harikube' },
        annotations: { note: 'b' },
        finalizers: ['other/one', 'harikube.info/finalizer'],
      },
    });
    expect(Object.keys(wanted.data ?? {})).toEqual(['1-a.yaml']);
    expect(isAsWanted(current, wanted)).toBe(false);
    expect(isAsWanted(wanted, wanted)).toBe(true);
  });
});

describe('entriesOf', () => {
  it.each<[string, (secret: Secret) => void]>([
    ['changed', ({ data = {} }) => (data['1-a.yaml'] = 'eA==')],
    ['removed', ({ data = {} }) => delete data['1-a.yaml']],
    ['robbed of a file', ({ data = {} }) => delete data['a-ca.crt']],
  ])('does not trust a document that was %s by hand', (_, change) => {
    const secret = of(entry('a', 1, { 'a-ca.crt': 'CA' }), entry('b', 2));
    change(secret);
    expect(entriesOf(secret)).toMatchObject({ entries: [{ key: 'shop/b' }], tampered: true });
  });

  it.each(['', 'no JSON', '[]', '{"1-a.yaml":{"uid":"x"}}', '{"1-a.yaml":null}', 'null'])('takes %j for no entries', (text) => {
    const secret = of(entry('a', 1));
    secret.metadata.annotations = { [DOCUMENTS_ANNOTATION]: text };
    expect(entriesOf(secret)).toEqual({ entries: [], tampered: true });
  });
});

describe('isOurs', () => {
  it('takes over what is empty, and what the operator of the reference made', () => {
    const data = { '1-shirts.yaml': 'eA==' };
    expect(isOurs({ metadata: {} })).toBe(true);
    expect(isOurs({ metadata: { finalizers: ['harikube.info/finalizer'] }, data })).toBe(true);
    expect(isOurs(of(entry('a', 1)))).toBe(true);
    expect(isOurs({ metadata: {}, data })).toBe(false);
  });
});
