import { describe, expect, it } from '@jest/globals';
import { emailFunctionManifests } from './manifests.js';

interface Manifest {
  readonly kind: string;
  readonly spec?: object;
  readonly rules?: object[];
}

const find = (kind: string, more: object = {}): Manifest[] =>
  (emailFunctionManifests({ namespace: 'shop', ...more }) as Manifest[]).filter((manifest) => manifest.kind === kind);

describe('emailFunctionManifests', () => {
  it('let it read Emails and write their status, and nothing else', () => {
    const group = ['product.webshop.harikube.info'];
    expect(find('ClusterRole')[0]?.rules).toEqual([
      { apiGroups: group, resources: ['emails'], verbs: ['get'] },
      { apiGroups: group, resources: ['emails/status'], verbs: ['patch'] },
    ]);
    expect(find('Role')).toEqual([]);
    expect(find('ServiceAccount')).toMatchObject([{ metadata: { name: 'email-function', namespace: 'shop' } }]);
  });

  it('have a Service for its pods, or for where it runs outside', () => {
    const selector = { 'app.kubernetes.io/name': 'email-function' };
    expect(find('Service')[0]?.spec).toEqual({ selector, ports: [{ name: 'http', port: 8080, protocol: 'TCP', targetPort: 8080 }] });
    expect(find('Service', { externalName: 'localhost', port: 9090 })[0]?.spec).toEqual({
      type: 'ExternalName',
      externalName: 'localhost',
      ports: [{ name: 'http', port: 9090, protocol: 'TCP' }],
    });
  });
});
