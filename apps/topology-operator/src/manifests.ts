import { webhookManifests } from '@harikube/admission';
import { DEFAULT_TARGET_SECRET, MANAGED_BY, MANAGED_BY_LABEL, TOPOLOGY_GROUP } from '@harikube/crds';
import { accountManifests, leaseRules, type PolicyRule } from '@harikube/kube';
import { TOPOLOGY_WEBHOOKS } from './admission/topology-webhook.js';
import { targetNameOf } from './topology-operator.config.js';

export const NAME = 'topology-operator';
const RBAC = 'rbac.authorization.k8s.io';

export interface TopologyOperatorManifestsOptions {
  readonly namespace: string;
  /** Target Secrets as `namespace/name`. */
  readonly targets?: readonly string[];
  /** Secrets that TopologyConfigs refer to, as `namespace/name`. */
  readonly references?: readonly string[];
  /** PEM: the authority of the webhook's certificate. Absent: kube-apiserver is not to ask a webhook. */
  readonly caBundle?: string;
  /** Where the webhook answers, such as `https://127.0.0.1:9443`, when it is no pod of the cluster. */
  readonly url?: string;
}

/** What the operator needs in Kubernetes. It may read and write the Secrets that are named, and no others; kube-apiserver knows no name at a create. */
export function topologyOperatorManifests({
  namespace,
  targets = [DEFAULT_TARGET_SECRET],
  references = [],
  caBundle,
  url,
}: TopologyOperatorManifestsOptions): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY };
  const written = byNamespace(targets);
  const read = byNamespace(references);
  const secretRoles = [...new Set([...written.keys(), ...read.keys()])].flatMap((of) => {
    const rules: PolicyRule[] = [];
    const targetNames = written.get(of) ?? [];
    const referenceNames = (read.get(of) ?? []).filter((name) => !targetNames.includes(name));
    const secrets = { apiGroups: [''], resources: ['secrets'] };
    if (targetNames.length > 0) {
      rules.push({ ...secrets, verbs: ['create'] });
      rules.push({ ...secrets, resourceNames: targetNames, verbs: ['get', 'list', 'patch', 'update', 'watch'] });
    }
    if (referenceNames.length > 0) rules.push({ ...secrets, resourceNames: referenceNames, verbs: ['get', 'list', 'watch'] });
    const metadata = { name: `harikube-${NAME}-secrets`, namespace: of, labels };
    return [
      { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata, rules },
      {
        apiVersion: `${RBAC}/v1`,
        kind: 'RoleBinding',
        metadata,
        roleRef: { apiGroup: RBAC, kind: 'Role', name: metadata.name },
        subjects: [{ kind: 'ServiceAccount', name: NAME, namespace }],
      },
    ];
  });
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [
        { apiGroups: [TOPOLOGY_GROUP], resources: ['topologyconfigs'], verbs: ['get', 'list', 'patch', 'watch'] },
        { apiGroups: [TOPOLOGY_GROUP], resources: ['topologyconfigs/status'], verbs: ['patch'] },
        { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
      ],
      namespaceRules: leaseRules(NAME),
    }),
    ...secretRoles,
    ...(caBundle === undefined
      ? []
      : webhookManifests({ name: `harikube-${NAME}`, program: NAME, namespace, labels, caBundle, url, webhooks: TOPOLOGY_WEBHOOKS })),
  ];
}

function byNamespace(secrets: readonly string[]): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const text of secrets) {
    const secret = targetNameOf(text);
    if (secret === null) throw new Error(`"${text}" is no Secret; write NAMESPACE/NAME`);
    names.set(secret.namespace, [...(names.get(secret.namespace) ?? []), secret.name]);
  }
  return names;
}
