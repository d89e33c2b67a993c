import { type Resource, resourceName } from '@harikube/kube';
import { webhookPath } from './admission-handler.js';

/** One kind that kube-apiserver asks about. */
export interface WebhookOfKind {
  readonly does: 'mutate' | 'validate';
  readonly resource: Resource<unknown>;
  readonly operations: readonly ('CREATE' | 'UPDATE' | 'DELETE')[];
  /** What becomes of a request when nobody answers: `Fail` refuses it. */
  readonly failurePolicy: 'Fail' | 'Ignore';
  readonly timeoutSeconds: number;
}

export interface WebhookManifestsOptions {
  /** Of the Service and of the configurations. */
  readonly name: string;
  /** The program, as `app.kubernetes.io/name` of its pods names it. */
  readonly program: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** PEM: the authority of the webhook's certificate. */
  readonly caBundle: string;
  /** Where the webhook answers, such as `https://127.0.0.1:9443`, when it is no pod of the cluster. */
  readonly url?: string | undefined;
  readonly webhooks: readonly WebhookOfKind[];
}

const PORT = 9443;

/** What makes kube-apiserver ask the webhooks: to be applied when they serve. */
export function webhookManifests({ name, program, namespace, labels, caBundle, url, webhooks }: WebhookManifestsOptions): object[] {
  const authority = Buffer.from(caBundle).toString('base64');
  const clientConfig = (path: string): object => ({
    ...(url === undefined ? { service: { name, namespace, path, port: 443 } } : { url: `${url.replace(/\/$/, '')}${path}` }),
    caBundle: authority,
  });
  const webhook = ({ does, resource, operations, failurePolicy, timeoutSeconds }: WebhookOfKind): object => ({
    name: `${does}.${resourceName(resource)}`,
    clientConfig: clientConfig(`/${webhookPath(does, resource)}`),
    rules: [
      {
        apiGroups: [resource.group],
        apiVersions: [resource.version],
        operations,
        resources: [resource.plural],
        scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      },
    ],
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    matchPolicy: 'Equivalent',
    failurePolicy,
    timeoutSeconds,
    ...(does === 'mutate' ? { reinvocationPolicy: 'IfNeeded' } : {}),
  });
  const configuration = (kind: string, side: 'mutate' | 'validate'): object[] => {
    const ofSide = webhooks.filter(({ does }) => does === side);
    if (ofSide.length === 0) return [];
    return [{ apiVersion: 'admissionregistration.k8s.io/v1', kind, metadata: { name, labels }, webhooks: ofSide.map(webhook) }];
  };
  return [
    ...(url === undefined
      ? [
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name, namespace, labels },
            spec: {
              selector: { 'app.kubernetes.io/name': program },
              ports: [{ name: 'https', port: 443, targetPort: PORT, protocol: 'TCP' }],
            },
          },
        ]
      : []),
    ...configuration('MutatingWebhookConfiguration', 'mutate'),
    ...configuration('ValidatingWebhookConfiguration', 'validate'),
  ];
}
