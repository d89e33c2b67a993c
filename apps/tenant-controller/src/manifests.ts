import { GROUP, MANAGED_BY, MANAGED_BY_LABEL } from '@harikube/crds';
import { accountManifests, leaseRules } from '@harikube/kube';
import { BOUND_CONTROLLERS } from './tenant-children.js';

const NAME = 'tenant-controller';
const RBAC = 'rbac.authorization.k8s.io';

/** What the controller needs in Kubernetes. */
export function tenantControllerManifests({ namespace }: { readonly namespace: string }): object[] {
  const bound = BOUND_CONTROLLERS.map((controller) => `harikube-${controller}-tenant`);
  return accountManifests({
    name: NAME,
    namespace,
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY },
    clusterRules: [
      { apiGroups: [GROUP], resources: ['tenants'], verbs: ['get', 'list', 'patch', 'watch'] },
      { apiGroups: [GROUP], resources: ['tenants/status'], verbs: ['patch'] },
      { apiGroups: [GROUP], resources: ['tenants/finalizers'], verbs: ['update'] },
      { apiGroups: [GROUP], resources: ['users'], verbs: ['deletecollection', 'list', 'watch'] },
      { apiGroups: [GROUP], resources: ['emails'], verbs: ['deletecollection'] },
      // For giving them to each tenant: nobody grants what he does not have.
      { apiGroups: [GROUP], resources: ['addons', 'products'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: [''], resources: ['namespaces'], verbs: ['create', 'delete', 'get', 'list', 'patch', 'watch'] },
      {
        apiGroups: [RBAC],
        resources: ['clusterrolebindings', 'clusterroles', 'rolebindings'],
        verbs: ['create', 'delete', 'list', 'patch', 'watch'],
      },
      { apiGroups: [RBAC], resources: ['clusterroles'], resourceNames: bound, verbs: ['bind'] },
      { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
    ],
    namespaceRules: leaseRules(NAME),
  });
}
