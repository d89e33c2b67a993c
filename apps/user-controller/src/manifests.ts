import { GROUP, MANAGED_BY, MANAGED_BY_LABEL } from '@harikube/crds';
import { accountManifests, leaseRules } from '@harikube/kube';
import { WEBSHOP_USER_ROLE } from './user-children.js';

const NAME = 'user-controller';
const RBAC = 'rbac.authorization.k8s.io';

/**
 * What the controller needs in Kubernetes, and the ClusterRole of all users. It may read and write Secrets in namespaces of tenants only: the
 * tenant-controller binds `harikube-user-controller-tenant` there.
 */
export function userControllerManifests({ namespace }: { readonly namespace: string }): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY };
  const apiVersion = `${RBAC}/v1`;
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [
        // `update` is for giving it to each user of its own: nobody grants what he does not have.
        { apiGroups: [GROUP], resources: ['users'], verbs: ['get', 'list', 'patch', 'update', 'watch'] },
        { apiGroups: [GROUP], resources: ['users/status'], verbs: ['patch'] },
        { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
        { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['create', 'delete', 'get', 'list', 'patch', 'watch'] },
        { apiGroups: [RBAC], resources: ['rolebindings', 'roles'], verbs: ['create', 'delete', 'get', 'list', 'patch', 'watch'] },
        { apiGroups: [RBAC], resources: ['clusterroles'], resourceNames: [WEBSHOP_USER_ROLE], verbs: ['bind'] },
        { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
      ],
      namespaceRules: leaseRules(NAME),
    }),
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name: WEBSHOP_USER_ROLE, labels },
      rules: [
        { apiGroups: [GROUP], resources: ['orders'], verbs: ['create', 'get', 'list', 'watch'] },
        { apiGroups: [GROUP], resources: ['licences', 'payments'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: [GROUP], resources: ['registrytokens'], verbs: ['create', 'delete', 'get', 'list', 'watch'] },
      ],
    },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name: `harikube-${NAME}-tenant`, labels },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['create', 'delete', 'get', 'patch'] }],
    },
  ];
}
