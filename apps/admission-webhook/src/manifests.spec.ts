import { describe, expect, it } from '@jest/globals';
import { admissionWebhookManifests } from './manifests.js';

interface Webhook {
  readonly name: string;
  readonly clientConfig: object;
  readonly rules: readonly object[];
}

const caBundle = '-----BEGIN CERTIFICATE-----\n';
const manifests = (url?: string): Record<string, unknown>[] =>
  admissionWebhookManifests({ namespace: 'shop', caBundle, ...(url === undefined ? {} : { url }) }) as Record<string, unknown>[];
const webhooks = (kind: string, url?: string): Webhook[] =>
  manifests(url).find((manifest) => manifest['kind'] === kind)?.['webhooks'] as Webhook[];

describe('admissionWebhookManifests', () => {
  it('ask the Service in the cluster, and the given address elsewhere', () => {
    const encoded = Buffer.from(caBundle).toString('base64');
    const path = '/mutate-product-webshop-harikube-info-v1-registrationrequest';
    const service = { name: 'harikube-admission-webhook', namespace: 'shop', path, port: 443 };
    expect(webhooks('MutatingWebhookConfiguration')[0]?.clientConfig).toEqual({ service, caBundle: encoded });
    expect(webhooks('MutatingWebhookConfiguration', 'https://localhost:9443/')[0]?.clientConfig).toEqual({
      url: `https://localhost:9443${path}`,
      caBundle: encoded,
    });
    const kinds = (url?: string): unknown[] => manifests(url).map(({ kind }) => kind);
    expect(kinds()).toContain('Service');
    expect(kinds('https://localhost:9443')).not.toContain('Service');
  });

  it('ask for creates and updates of the kinds of the webshop, and for no subresource', () => {
    for (const [kind, does] of [
      ['MutatingWebhookConfiguration', 'mutate'],
      ['ValidatingWebhookConfiguration', 'validate'],
    ] as const) {
      const common = {
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
        matchPolicy: 'Equivalent',
        timeoutSeconds: 10,
        ...(does === 'mutate' ? { reinvocationPolicy: 'IfNeeded' } : {}),
      };
      expect(webhooks(kind).slice(0, 3)).toEqual(
        [
          ['registrationrequests', 'Cluster'],
          ['tenants', 'Cluster'],
          ['users', 'Namespaced'],
        ].map(([plural, scope]) => ({
          name: `${does}.${plural}.product.webshop.harikube.info`,
          clientConfig: expect.any(Object),
          rules: [
            {
              apiGroups: ['product.webshop.harikube.info'],
              apiVersions: ['v1'],
              operations: ['CREATE', 'UPDATE'],
              resources: [plural],
              scope,
            },
          ],
          ...common,
        })),
      );
    }
  });

  it('ask what to say to a trigger, and let it pass when nobody answers', () => {
    expect(webhooks('MutatingWebhookConfiguration')).toHaveLength(3);
    const url = 'https://localhost:9443';
    expect(webhooks('ValidatingWebhookConfiguration', url).slice(3)).toEqual([
      {
        name: 'validate.httptriggers.triggers.harikube.info',
        clientConfig: { url: `${url}/validate-triggers-harikube-info-v1-httptrigger`, caBundle: expect.any(String) },
        rules: [
          {
            apiGroups: ['triggers.harikube.info'],
            apiVersions: ['v1'],
            operations: ['CREATE', 'UPDATE'],
            resources: ['httptriggers'],
            scope: 'Namespaced',
          },
        ],
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Ignore',
        matchPolicy: 'Equivalent',
        timeoutSeconds: 5,
      },
    ]);
  });

  it('let the webhook read claims and nothing else', () => {
    const roles = manifests().filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role');
    expect(roles.map((role) => role['rules'])).toEqual([
      [{ apiGroups: ['product.webshop.harikube.info'], resources: ['emailclaims'], verbs: ['list', 'watch'] }],
    ]);
  });
});
