import { describe, expect, it } from '@jest/globals';
import { parseTopology } from './parse-topology.js';
import { Topology } from './topology.js';
import { redactedTopologyText } from './topology-text.js';

const TEXT = `backends:
  - name: tenant
    endpoint: sqlite:///db/tenant.db?_journal=WAL&cache=shared
    customresource:
      group: product.webshop.harikube.info
      kind: tenants
  - name: system
    endpoint: sqlite://./db/system.db?synchronous=NORMAL
    namespace:
      namespace: kube-system
      kinds:
        - pods
        - services
    connectionPool:
      maxIdle: 0
      maxOpen: 5
      maxLifeTime: 5m0s
      maxIdleLifeTime: 1h0m0s
    compactInterval: 5m0s
    compactIntervalJitter: 10
    compactTimeout: 5s
    compactMinRetain: 1000
    compactBatchSize: 500
    disableStorageLevelFiltering: true
  - name: leases
    endpoint: sqlite://leases.db
    prefix:
      prefix: leases
  - name: odd
    endpoint: sqlite://odd.db
    regexp:
      prefix: ^/registry/
      key: "[13579]$"
`;

describe('redactedTopologyText', () => {
  it('is the document that was read, with everything that was given and nothing else', () => {
    expect(redactedTopologyText(parseTopology(TEXT, 'topology.yaml', { directory: '/data' }))).toBe(TEXT);
  });

  it('is a document without rules for a topology without rules', () => {
    expect(redactedTopologyText(new Topology([]))).toBe('backends: []\n');
  });

  it('hides credentials, and shows where certificates are', () => {
    const [rule] = parseTopology(TEXT, 'topology.yaml', { directory: '/data' }).rules;
    if (rule === undefined) throw new Error('there is no rule');
    const dataSourceName = 'postgres://shop:pa:ss@db/shop?sslpassword=word';
    const tls = { caFile: '/tls/ca.crt', certFile: null, keyFile: null, skipVerify: true };
    const text = redactedTopologyText(new Topology([{ ...rule, dataSourceName, tls }]));
    expect(text).toContain('endpoint: postgres://shop:***@db/shop?sslpassword=***\n');
    expect(text).toContain('backendTLS:\n      caFile: /tls/ca.crt\n      skipVerify: true\n');
  });
});
