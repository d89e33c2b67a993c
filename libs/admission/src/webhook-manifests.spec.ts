import { describe, expect, it } from '@jest/globals';
import { TENANTS, USERS } from '@harikube/crds';
import { webhookManifests, type WebhookOfKind } from './webhook-manifests.js';

const judge: WebhookOfKind = {
  does: 'validate',
  resource: USERS,
  operations: ['CREATE', 'DELETE'],
  failurePolicy: 'Fail',
  timeoutSeconds: 7,
};
const common = { name: 'sample-webhook', program: 'sample', namespace: 'home', labels: { of: 'us' }, caBundle: 'PEM' };

describe('webhookManifests', () => {
  it('make a configuration for each side that has a webhook, and no other', () => {
    const url = 'https://127.0.0.1:9443/';
    const kinds = (webhooks: readonly WebhookOfKind[]): unknown[] =>
      webhookManifests({ ...common, url, webhooks }).map((manifest) => ('kind' in manifest ? manifest.kind : null));
    expect(kinds([judge])).toEqual(['ValidatingWebhookConfiguration']);
    expect(kinds([judge, { ...judge, does: 'mutate', resource: TENANTS }])).toEqual([
      'MutatingWebhookConfiguration',
      'ValidatingWebhookConfiguration',
    ]);
  });

  it('ask by the Service of the program in the cluster', () => {
    expect(webhookManifests({ ...common, webhooks: [judge] })).toEqual([
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'sample-webhook', namespace: 'home', labels: { of: 'us' } },
        spec: {
          selector: { 'app.kubernetes.io/name': 'sample' },
          ports: [{ name: 'https', port: 443, targetPort: 9443, protocol: 'TCP' }],
        },
      },
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingWebhookConfiguration',
        metadata: { name: 'sample-webhook', labels: { of: 'us' } },
        webhooks: [
          {
            name: 'validate.users.product.webshop.harikube.info',
            clientConfig: {
              service: {
                name: 'sample-webhook',
                namespace: 'home',
                path: '/validate-product-webshop-harikube-info-v1-user',
                port: 443,
              },
              caBundle: 'UEVN',
            },
            rules: [
              {
                apiGroups: ['product.webshop.harikube.info'],
                apiVersions: ['v1'],
                operations: ['CREATE', 'DELETE'],
                resources: ['users'],
                scope: 'Namespaced',
              },
            ],
            admissionReviewVersions: ['v1'],
            sideEffects: 'None',
            matchPolicy: 'Equivalent',
            failurePolicy: 'Fail',
            timeoutSeconds: 7,
          },
        ],
      },
    ]);
  });
});
