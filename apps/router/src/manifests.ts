const NAME = 'router';

export interface RouterManifestsOptions {
  /** Of the platform. */
  readonly namespace: string;
  /** The Secret that the topology is read from. */
  readonly topologySecret: { readonly namespace: string; readonly name: string };
}

/** What a router needs in Kubernetes whose topology is in a Secret: to read that one, and nothing else. */
export function routerManifests({ namespace, topologySecret }: RouterManifestsOptions): object[] {
  const labels = { 'app.kubernetes.io/managed-by': 'harikube', 'app.kubernetes.io/name': NAME };
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const metadata = { name: `harikube-${NAME}-topology`, namespace: topologySecret.namespace, labels };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: NAME, namespace, labels } },
    {
      apiVersion,
      kind: 'Role',
      metadata,
      // To list and to watch by name is to ask for the one name.
      rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [topologySecret.name], verbs: ['get', 'list', 'watch'] }],
    },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: NAME, namespace }],
    },
  ];
}
