import { describe, expect, it } from '@jest/globals';
import { topologyOperatorManifests } from '../manifests.js';

const configurations = (options: { readonly caBundle?: string; readonly url?: string }): object[] =>
  topologyOperatorManifests({ namespace: 'home', ...options }).filter(
    (manifest) => 'kind' in manifest && ['Service', 'ValidatingWebhookConfiguration'].includes(String(manifest.kind)),
  );

describe('the manifests of the webhook', () => {
  it('make kube-apiserver ask about TopologyConfigs alone, and refuse these when nobody answers', () => {
    expect(configurations({ caBundle: 'PEM', url: 'https://127.0.0.1:9443' })).toEqual([
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingWebhookConfiguration',
        metadata: { name: 'harikube-topology-operator', labels: { 'app.kubernetes.io/managed-by': 'harikube' } },
        webhooks: [
          {
            name: 'validate.topologyconfigs.harikube.info',
            clientConfig: { url: 'https://127.0.0.1:9443/validate-harikube-info-v1-topologyconfig', caBundle: 'UEVN' },
            rules: [
              {
                apiGroups: ['harikube.info'],
                apiVersions: ['v1'],
                operations: ['CREATE', 'UPDATE', 'DELETE'],
                resources: ['topologyconfigs'],
                scope: 'Namespaced',
              },
            ],
            admissionReviewVersions: ['v1'],
            sideEffects: 'None',
            matchPolicy: 'Equivalent',
            failurePolicy: 'Fail',
            timeoutSeconds: 10,
          },
        ],
      },
    ]);
  });

  it('are none without the authority of its certificate, and have a Service in the cluster', () => {
    expect(configurations({})).toEqual([]);
    expect(configurations({ caBundle: 'PEM' })).toMatchObject([
      { kind: 'Service', metadata: { name: 'harikube-topology-operator', namespace: 'home' } },
      { webhooks: [{ clientConfig: { service: { name: 'harikube-topology-operator', namespace: 'home' } } }] },
    ]);
  });
});
