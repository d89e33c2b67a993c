import { describe, expect, it } from '@jest/globals';
import { apiServerHostName, apiServerManifests } from './manifests.js';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: object;
  readonly rules?: object[];
}

const options = { namespace: 'shop', caBundle: 'PEM' };

function find(kind: string, name: string, more: object = {}): Manifest | undefined {
  return (apiServerManifests({ ...options, ...more }) as Manifest[]).find(
    (manifest) => manifest.kind === kind && manifest.metadata.name === name,
  );
}

describe('apiServerManifests', () => {
  it('registers the group with the authority of the certificate, whose name it gives', () => {
    expect(find('APIService', 'v1.api.product.webshop.harikube.info')?.spec).toEqual({
      ...{ group: 'api.product.webshop.harikube.info', version: 'v1', groupPriorityMinimum: 1000, versionPriority: 10 },
      caBundle: Buffer.from('PEM').toString('base64'),
      service: { name: 'api-server', namespace: 'shop', port: 443 },
    });
    expect(apiServerHostName('shop')).toBe('api-server.shop.svc');
  });

  it('points to a server outside of the cluster when it is there', () => {
    const outside = { externalName: 'localhost', port: 7443 };
    expect(find('Service', 'api-server', outside)?.spec).toEqual({ type: 'ExternalName', externalName: 'localhost' });
    expect(find('APIService', 'v1.api.product.webshop.harikube.info', outside)?.spec).toMatchObject({ service: { port: 7443 } });
  });

  it('gives the server what it needs and no more, and registrars to nobody', () => {
    expect(find('ClusterRole', 'harikube-api-server')?.rules).toEqual([
      { apiGroups: ['product.webshop.harikube.info'], resources: ['registrationrequests'], verbs: ['create', 'get', 'list', 'watch'] },
    ]);
    const text = JSON.stringify(apiServerManifests(options));
    expect(text).not.toMatch(/"\*"|system:anonymous|system:unauthenticated|aggregate-to/);
    expect(text.match(/"name":"webshop-registrar"/g)).toHaveLength(1);
  });
});
