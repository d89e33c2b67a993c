import { GROUP, MANAGED_BY, MANAGED_BY_LABEL } from '@harikube/crds';
import { accountManifests, leaseRules } from '@harikube/kube';

const NAME = 'registration-controller';

/**
 * What the controller needs in Kubernetes. It may make Secrets in namespaces of tenants only: the tenant-controller binds
 * `harikube-registration-controller-tenant` there.
 */
export function registrationControllerManifests({ namespace }: { readonly namespace: string }): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY };
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [
        { apiGroups: [GROUP], resources: ['registrationrequests'], verbs: ['delete', 'get', 'list', 'patch', 'watch'] },
        { apiGroups: [GROUP], resources: ['registrationrequests/status'], verbs: ['patch'] },
        { apiGroups: [GROUP], resources: ['emailclaims'], verbs: ['create', 'delete', 'get', 'list', 'patch', 'watch'] },
        { apiGroups: [GROUP], resources: ['tenants'], verbs: ['create', 'delete', 'get', 'list', 'watch'] },
        { apiGroups: [GROUP], resources: ['users'], verbs: ['create', 'get', 'list', 'watch'] },
        { apiGroups: [GROUP], resources: ['emails'], verbs: ['create', 'get'] },
        { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
      ],
      namespaceRules: [{ apiGroups: [GROUP], resources: ['emailtemplates'], verbs: ['list', 'watch'] }, ...leaseRules(NAME)],
    }),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: `harikube-${NAME}-tenant`, labels },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['create', 'delete', 'get'] }],
    },
  ];
}
