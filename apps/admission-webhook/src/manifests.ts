import { webhookManifests, type WebhookOfKind } from '@harikube/admission';
import { EMAIL_CLAIMS, HTTP_TRIGGERS, MANAGED_BY, MANAGED_BY_LABEL, REGISTRATION_REQUESTS, TENANTS, USERS } from '@harikube/crds';
import { accountManifests, type Resource } from '@harikube/kube';

export interface AdmissionWebhookManifestsOptions {
  readonly namespace: string;
  /** PEM: the authority of the webhook's certificate. */
  readonly caBundle: string;
  /** Where the webhook answers, such as `https://127.0.0.1:9443`, when it is no pod of the cluster. */
  readonly url?: string;
}

const NAME = 'admission-webhook';
const KINDS: readonly Resource<unknown>[] = [REGISTRATION_REQUESTS, TENANTS, USERS];
const OPERATIONS = ['CREATE', 'UPDATE'] as const;

const WEBHOOKS: readonly WebhookOfKind[] = [
  ...(['mutate', 'validate'] as const).flatMap((does) =>
    // Without an answer a plain password would be stored.
    KINDS.map((resource) => ({ does, resource, operations: OPERATIONS, failurePolicy: 'Fail' as const, timeoutSeconds: 10 })),
  ),
  // A trigger that is not judged here is judged by who serves it, and nothing is stored that would have to be hidden: it can be written, changed
  // and freed of finalizers while nobody answers.
  { does: 'validate', resource: HTTP_TRIGGERS, operations: OPERATIONS, failurePolicy: 'Ignore', timeoutSeconds: 5 },
];

/** What the webhook needs in Kubernetes, and what makes kube-apiserver ask it: to be applied when it serves. */
export function admissionWebhookManifests({ namespace, caBundle, url }: AdmissionWebhookManifestsOptions): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY, 'app.kubernetes.io/name': NAME };
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [{ apiGroups: [EMAIL_CLAIMS.group], resources: [EMAIL_CLAIMS.plural], verbs: ['list', 'watch'] }],
    }),
    ...webhookManifests({ name: `harikube-${NAME}`, program: NAME, namespace, labels, caBundle, url, webhooks: WEBHOOKS }),
  ];
}
