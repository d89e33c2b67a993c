import { GROUP, MANAGED_BY, MANAGED_BY_LABEL } from '@harikube/crds';

const NAME = 'registration-controller';
const RBAC = 'rbac.authorization.k8s.io';

/**
 * What the controller needs in Kubernetes. It may make Secrets in namespaces of tenants only: the tenant-controller binds
 * `harikube-registration-controller-tenant` there.
 */
export function registrationControllerManifests({ namespace }: { readonly namespace: string }): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY };
  const name = `harikube-${NAME}`;
  const subjects = [{ kind: 'ServiceAccount', name: NAME, namespace }];
  const apiVersion = `${RBAC}/v1`;
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: NAME, namespace, labels } },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name, labels },
      rules: [
        { apiGroups: [GROUP], resources: ['registrationrequests'], verbs: ['delete', 'get', 'list', 'patch', 'watch'] },
        { apiGroups: [GROUP], resources: ['registrationrequests/status'], verbs: ['patch'] },
        { apiGroups: [GROUP], resources: ['emailclaims'], verbs: ['create', 'delete', 'get', 'list', 'patch', 'watch'] },
        { apiGroups: [GROUP], resources: ['tenants'], verbs: ['create', 'delete', 'get', 'list', 'watch'] },
        { apiGroups: [GROUP], resources: ['users'], verbs: ['create', 'get', 'list', 'watch'] },
        { apiGroups: [GROUP], resources: ['emails'], verbs: ['create', 'get'] },
        { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
      ],
    },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name: `${name}-tenant`, labels },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['create', 'delete', 'get'] }],
    },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name, labels },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name },
      subjects,
    },
    {
      apiVersion,
      kind: 'Role',
      metadata: { name, namespace, labels },
      rules: [
        { apiGroups: [GROUP], resources: ['emailtemplates'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
        { apiGroups: ['coordination.k8s.io'], resources: ['leases'], resourceNames: [NAME], verbs: ['get', 'patch', 'update'] },
      ],
    },
    { apiVersion, kind: 'RoleBinding', metadata: { name, namespace, labels }, roleRef: { apiGroup: RBAC, kind: 'Role', name }, subjects },
  ];
}
