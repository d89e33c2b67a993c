import { describe, expect, it } from '@jest/globals';
import { allows, type NetworkPolicy, type Party, policiesOf } from './network-policy.js';

const POLICY: NetworkPolicy = {
  metadata: { name: 'store', namespace: 'home' },
  spec: {
    podSelector: { matchLabels: { app: 'store' } },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [
      {
        from: [{ namespaceSelector: { matchLabels: { team: 'a' } } }, { podSelector: { matchLabels: { app: 'store' } } }],
        ports: [{ port: 'api' }],
      },
      { from: [{ ipBlock: { cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] } }], ports: [{ port: 9443 }] },
    ],
    egress: [
      { to: [{ podSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] } }] },
      { ports: [{ port: 53, protocol: 'UDP' }] },
    ],
  },
};

function pod(app: string, namespace = 'home', namespaceLabels = {}): Party {
  return { address: '10.0.0.1', pod: { namespace, namespaceLabels, labels: { app }, ports: { api: 2379 } } };
}

describe('a NetworkPolicy', () => {
  it('is one of the Pods that it selects, in its own namespace', () => {
    expect(policiesOf([POLICY], pod('store'))).toEqual([POLICY]);
    expect(policiesOf([POLICY], pod('store', 'other'))).toEqual([]);
    expect(policiesOf([POLICY], pod('web'))).toEqual([]);
  });

  it.each([
    ['from a namespace with the label, by the name of the port', pod('web', 'other', { team: 'a' }), pod('store'), 2379, true],
    ['from such a namespace to another port', pod('web', 'other', { team: 'a' }), pod('store'), 2381, false],
    ['from a namespace without it', pod('web', 'other'), pod('store'), 2379, false],
    ['from a Pod of the label in another namespace', pod('store', 'other'), pod('store'), 2379, false],
    ['from its like', pod('store'), pod('store'), 2379, true],
    ['from an address of the block', { address: '192.0.2.1' }, pod('store'), 9443, true],
    ['from an address that the block leaves out', { address: '192.0.2.200' }, pod('store'), 9443, false],
    ['to a Pod that is under no policy, from one that is', pod('store'), pod('db'), 80, true],
    ['to a Pod that egress does not name', pod('store'), pod('web'), 80, false],
    ['to an address that egress does not name, on a port of another protocol', pod('store'), { address: '192.0.2.1' }, 53, false],
    ['between Pods that are under none', pod('web'), pod('db'), 80, true],
  ] as const)('judges a connection %s', (_what, from, to, port, isAllowed) => {
    expect(allows([POLICY], from, to, port)).toBe(isAllowed);
  });
});
