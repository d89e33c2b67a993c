import { EMAIL_CLAIMS, HTTP_TRIGGERS, MANAGED_BY, MANAGED_BY_LABEL, REGISTRATION_REQUESTS, TENANTS, USERS } from '@harikube/crds';
import { accountManifests, type Resource, resourceName } from '@harikube/kube';
import { webhookPath } from './admission-handler.js';

export interface AdmissionWebhookManifestsOptions {
  readonly namespace: string;
  /** PEM: the authority of the webhook's certificate. */
  readonly caBundle: string;
  /** Where the webhook answers, such as `https://127.0.0.1:9443`, when it is no pod of the cluster. */
  readonly url?: string;
}

const NAME = 'admission-webhook';
const PORT = 9443;
const KINDS: readonly Resource<unknown>[] = [REGISTRATION_REQUESTS, TENANTS, USERS];

/** What the webhook needs in Kubernetes, and what makes kube-apiserver ask it: to be applied when it serves. */
export function admissionWebhookManifests({ namespace, caBundle, url }: AdmissionWebhookManifestsOptions): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY, 'app.kubernetes.io/name': NAME };
  const name = `harikube-${NAME}`;
  const authority = Buffer.from(caBundle).toString('base64');
  const clientConfig = (path: string): object => ({
    ...(url === undefined ? { service: { name, namespace, path, port: 443 } } : { url: `${url.replace(/\/$/, '')}${path}` }),
    caBundle: authority,
  });
  const webhook = (does: 'mutate' | 'validate', resource: Resource<unknown>, policy: object): object => ({
    name: `${does}.${resourceName(resource)}`,
    clientConfig: clientConfig(`/${webhookPath(does, resource)}`),
    rules: [
      {
        apiGroups: [resource.group],
        apiVersions: [resource.version],
        operations: ['CREATE', 'UPDATE'],
        resources: [resource.plural],
        scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      },
    ],
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    matchPolicy: 'Equivalent',
    ...policy,
  });
  const webhooks = (does: 'mutate' | 'validate'): object[] => [
    ...KINDS.map((resource) =>
      webhook(does, resource, {
        // Without an answer a plain password would be stored.
        failurePolicy: 'Fail',
        timeoutSeconds: 10,
        ...(does === 'mutate' ? { reinvocationPolicy: 'IfNeeded' } : {}),
      }),
    ),
    // A trigger that is not judged here is judged by who serves it, and nothing is stored that would have to be hidden: it can be written, changed
    // and freed of finalizers while nobody answers.
    ...(does === 'validate' ? [webhook(does, HTTP_TRIGGERS, { failurePolicy: 'Ignore', timeoutSeconds: 5 })] : []),
  ];
  const configuration = (kind: string, does: 'mutate' | 'validate'): object => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name, labels },
    webhooks: webhooks(does),
  });
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [{ apiGroups: [EMAIL_CLAIMS.group], resources: [EMAIL_CLAIMS.plural], verbs: ['get', 'list', 'watch'] }],
    }),
    ...(url === undefined
      ? [
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name, namespace, labels },
            spec: {
              selector: { 'app.kubernetes.io/name': NAME },
              ports: [{ name: 'https', port: 443, targetPort: PORT, protocol: 'TCP' }],
            },
          },
        ]
      : []),
    configuration('MutatingWebhookConfiguration', 'mutate'),
    configuration('ValidatingWebhookConfiguration', 'validate'),
  ];
}
