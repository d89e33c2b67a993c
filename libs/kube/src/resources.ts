import type { KubeObject, Resource } from './kube-object.js';

type Place = readonly [group: string, version: string];

const CORE: Place = ['', 'v1'];
const RBAC: Place = ['rbac.authorization.k8s.io', 'v1'];

function namespaced([group, version]: Place, kind: string, plural: string): Resource<KubeObject> {
  return { group, version, kind, plural, namespaced: true };
}

function clusterScoped([group, version]: Place, kind: string, plural: string): Resource<KubeObject> {
  return { group, version, kind, plural, namespaced: false };
}

export const NAMESPACES = clusterScoped(CORE, 'Namespace', 'namespaces');
export const SECRETS = namespaced(CORE, 'Secret', 'secrets');
export const CONFIG_MAPS = namespaced(CORE, 'ConfigMap', 'configmaps');
export const SERVICE_ACCOUNTS = namespaced(CORE, 'ServiceAccount', 'serviceaccounts');
export const SERVICES = namespaced(CORE, 'Service', 'services');
export const ROLES = namespaced(RBAC, 'Role', 'roles');
export const ROLE_BINDINGS = namespaced(RBAC, 'RoleBinding', 'rolebindings');
export const CLUSTER_ROLES = clusterScoped(RBAC, 'ClusterRole', 'clusterroles');
export const CLUSTER_ROLE_BINDINGS = clusterScoped(RBAC, 'ClusterRoleBinding', 'clusterrolebindings');
export const LEASES = namespaced(['coordination.k8s.io', 'v1'], 'Lease', 'leases');
/** The ones of events.k8s.io, which the core group shows as well. */
export const EVENTS = namespaced(['events.k8s.io', 'v1'], 'Event', 'events');
export const TOKEN_REVIEWS = clusterScoped(['authentication.k8s.io', 'v1'], 'TokenReview', 'tokenreviews');
export const SUBJECT_ACCESS_REVIEWS = clusterScoped(['authorization.k8s.io', 'v1'], 'SubjectAccessReview', 'subjectaccessreviews');
