import { describe, expect, it } from '@jest/globals';
import type { TopologyConfigSpec } from '@harikube/crds';
import { parseTopology } from '@harikube/datasources';
import {
  checkReferencedEndpoints,
  configDocument,
  type ConfigDocument,
  referencesOf,
  type Resolve,
  UnresolvedReferenceError,
} from './config-document.js';

const SECRETS: Readonly<Record<string, string>> = {
  'shop/databases/dsn': 'sqlite://shop.db\n',
  'shop/databases/password': 'Canary-1',
  'shop/databases/redis': 'redis://u:Canary-1@host',
  'shop/tls/ca': '-----BEGIN CERTIFICATE-----\nCA\n',
  'shop/tls/crt': '# ours\n-----BEGIN CERTIFICATE-----\nCRT\n',
  'shop/tls/key': '-----BEGIN EC PRIVATE KEY-----\nKEY\n',
};

const resolve: Resolve = ({ namespace, name, key }) => {
  const value = SECRETS[`${namespace}/${name}/${key}`];
  if (value === undefined) throw new UnresolvedReferenceError(`the Secret ${namespace}/${name} has no key "${key}"`);
  return Buffer.from(value);
};

const configOf = (backends: object[]): { spec: TopologyConfigSpec } => ({
  spec: { targetSecret: 'harikube/topology-config', backends } as TopologyConfigSpec,
});

const document = (...backends: object[]): ConfigDocument => configDocument(configOf(backends), resolve);

describe('configDocument', () => {
  it("writes the reference's documents character by character", () => {
    const shirts = {
      name: 'shirts',
      endpoint: 'mysql://root:passwd@tcp(172.17.0.1:33061)/kine_db',
      customresource: { kind: 'shirts', group: 'stable.example.com' },
      connectionPool: { maxIdle: 5, maxOpen: 90, maxLifeTime: '5m', maxIdleLifeTime: '5m' },
    };
    expect(document(shirts).text).toBe(`backends:
- name: shirts
  endpoint: mysql://root:passwd@tcp(172.17.0.1:33061)/kine_db
  connectionPool:
    maxIdle: 5
    maxOpen: 90
    maxLifeTime: 5m0s
    maxIdleLifeTime: 5m0s
  customresource:
    group: stable.example.com
    kind: shirts
`);
    const namespace = {
      name: 'namespace',
      endpoint: 'sqlite://./db/namespace.db?_journal_mode=WAL&_busy_timeout=30000&_synchronous=NORMAL&_txlock=immediate&cache=shared',
      namespace: { namespace: 'test' },
    };
    expect(document(namespace).text).toBe(`backends:
- name: namespace
  endpoint: sqlite://./db/namespace.db?_journal_mode=WAL&_busy_timeout=30000&_synchronous=NORMAL&_txlock=immediate&cache=shared
  namespace:
    namespace: test
    kinds: []
`);
  });

  it('writes every field, and quotes what YAML would take for something else', () => {
    const { text } = document({
      name: '12',
      endpoint: 'sqlite://a b: c#.db',
      regexp: { key: '^/registry/.*: ', prefix: '[' },
      compactInterval: '90s',
      compactIntervalJitter: 0,
      compactTimeout: '1500ms',
      compactMinRetain: 10,
      compactBatchSize: 10000,
      disableStorageLevelFiltering: false,
    });
    expect(text).toBe(`backends:
- name: "12"
  endpoint: "sqlite://a b: c#.db"
  compactInterval: 1m30s
  compactIntervalJitter: 0
  compactTimeout: 1.5s
  compactMinRetain: 10
  compactBatchSize: 10000
  disableStorageLevelFiltering: false
  regexp:
    prefix: "["
    key: "^/registry/.*: "
`);
  });

  it('is read by the router, whatever the matcher', () => {
    const { text } = document(
      { name: 'a', endpoint: 'sqlite://a.db?cache=shared', customresource: { group: 'x.example.com/v1', kind: '' } },
      { name: 'b', endpoint: 'sqlite://b.db', namespace: { namespace: 'one', kinds: ['pods'] }, connectionPool: { maxLifeTime: '1h' } },
      { name: 'c', endpoint: 'sqlite://c.db', prefix: { prefix: 'pods' } },
      { name: 'd', endpoint: 'sqlite://d.db', regexp: { key: 'x$' } },
    );
    expect(parseTopology(text, 'a.yaml').rules.map(({ name, matcher }) => [name, matcher.type])).toEqual([
      ['a', 'customresource'],
      ['b', 'namespace'],
      ['c', 'prefix'],
      ['d', 'regexp'],
    ]);
  });

  it('replaces references: an endpoint by its value, TLS material by the name of a file', () => {
    const tls = { caFile: 'secret://shop/tls/ca', certFile: 'secret://shop/tls/crt', keyFile: 'secret://shop/tls/key', skipVerify: false };
    const made = document({ name: 'shop', endpoint: 'secret://shop/databases/dsn', backendTLS: tls, prefix: { prefix: 'pods' } });
    expect(made.text).toBe(`backends:
- name: shop
  endpoint: sqlite://shop.db
  backendTLS:
    caFile: shop-ca.crt
    certFile: shop-tls.crt
    keyFile: shop-tls.key
    skipVerify: false
  prefix:
    prefix: pods
`);
    expect(made.files).toEqual({
      'shop-ca.crt': SECRETS['shop/tls/ca'],
      'shop-tls.crt': SECRETS['shop/tls/crt'],
      'shop-tls.key': SECRETS['shop/tls/key'],
    });
    expect(document({ name: 'a', endpoint: 'sqlite://a.db', backendTLS: { caFile: '/tls/ca' } }).files).toEqual({});
  });

  it('refuses what is not in PEM, which the router would take for a document', () => {
    const tls = { caFile: 'secret://shop/databases/dsn' };
    expect(() => document({ name: 'shop', endpoint: 'postgres://db', backendTLS: tls, prefix: { prefix: 'pods' } })).toThrow(
      'the key "dsn" of the Secret shop/databases holds nothing in PEM',
    );
  });

  it('says which reference leads nowhere', () => {
    expect(() => document({ name: 'shop', endpoint: 'secret://shop/databases/other', prefix: { prefix: 'pods' } })).toThrow(
      'the Secret shop/databases has no key "other"',
    );
  });
});

describe('checkReferencedEndpoints', () => {
  it('passes it, and what is no reference', () => {
    const backends = [{ endpoint: 'secret://shop/databases/dsn' }, { endpoint: 'redis://x' }];
    expect(() => checkReferencedEndpoints(configOf(backends), resolve)).not.toThrow();
  });

  it.each([
    ['password', ''],
    ['redis', ' (its scheme is "redis")'],
  ])('refuses the %s, and shows nothing of it', (key, why) => {
    expect(() => checkReferencedEndpoints(configOf([{ name: 'shop', endpoint: `secret://shop/databases/${key}` }]), resolve)).toThrow(
      new UnresolvedReferenceError(
        `the key "${key}" of the Secret shop/databases holds no endpoint that can be used${why}; it is written as in sqlite://PATH`,
      ),
    );
  });
});

describe('referencesOf', () => {
  it('finds each reference once', () => {
    const reference = 'secret://a/b/c';
    const backends = [
      { name: 'a', endpoint: reference, backendTLS: { caFile: 'secret://a/b/d', keyFile: '/key' } },
      { name: 'b', endpoint: 'sqlite://b.db', backendTLS: { caFile: reference } },
    ];
    expect(referencesOf({ spec: { targetSecret: 'a/b', backends } }).map(({ key }) => key)).toEqual(['c', 'd']);
  });
});
