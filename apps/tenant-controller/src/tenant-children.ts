import { API_VERSION, GROUP, MANAGED_BY, MANAGED_BY_LABEL, REGISTRATION_ANNOTATION, type Tenant, TENANT_LABEL } from '@harikube/crds';
import type { KubeObject, OwnerReference } from '@harikube/kube';

/** Who works in the namespaces of tenants with more than the rights that hold everywhere: the ClusterRole `harikube-<name>-tenant` is bound there. */
export const BOUND_CONTROLLERS: readonly string[] = ['registration-controller', 'user-controller'];

const COMPONENT_LABEL = 'app.kubernetes.io/component';
const COMPONENT = 'tenant';

/** The labels by which the rights that belong to tenants are found again. */
export const CHILDREN_SELECTOR = `${COMPONENT_LABEL}=${COMPONENT},${MANAGED_BY_LABEL}=${MANAGED_BY}`;

const RBAC = 'rbac.authorization.k8s.io';

export interface Namespace extends KubeObject {
  status?: { phase?: string; conditions?: { type: string; status: string; message?: string }[] };
}

export interface ClusterRole extends KubeObject {
  rules?: { apiGroups: string[]; resources: string[]; resourceNames?: string[]; verbs: string[] }[];
}

export interface Binding extends KubeObject {
  roleRef?: { apiGroup: string; kind: string; name: string };
  subjects?: { kind: string; name: string; namespace?: string; apiGroup?: string }[];
}

export interface TenantRights {
  /** In the namespace: our own controllers, for the Secrets of users. */
  readonly roleBindings: readonly Binding[];
  /** To read its own Tenant and what the shop sells. */
  readonly clusterRole: ClusterRole;
  /** The one cluster-scoped binding of a tenant, for all of its users. */
  readonly clusterRoleBinding: Binding;
}

export function namespaceOf(tenant: Tenant): Namespace {
  const { name = '' } = tenant.metadata;
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { ...childMetadata(tenant), name } };
}

/** Every list in them has a fixed order, so that equal tenants give equal objects. */
export function rightsOf(tenant: Tenant, platformNamespace: string): TenantRights {
  const { name = '' } = tenant.metadata;
  const metadata = childMetadata(tenant);
  const apiVersion = `${RBAC}/v1`;
  const clusterName = `webshop-tenant:${name}`;
  const roleRef = { apiGroup: RBAC, kind: 'ClusterRole', name: clusterName };
  return {
    roleBindings: BOUND_CONTROLLERS.map((controller) => ({
      apiVersion,
      kind: 'RoleBinding',
      // A colon: no user has this name.
      metadata: { ...metadata, name: `harikube:${controller}`, namespace: name },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: `harikube-${controller}-tenant` },
      subjects: [{ kind: 'ServiceAccount', name: controller, namespace: platformNamespace }],
    })),
    clusterRole: {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { ...metadata, name: clusterName },
      rules: [
        { apiGroups: [GROUP], resources: ['addons', 'products'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: [GROUP], resources: ['tenants'], resourceNames: [name], verbs: ['get', 'list', 'watch'] },
      ],
    },
    clusterRoleBinding: {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { ...metadata, name: clusterName },
      roleRef,
      subjects: [{ apiGroup: RBAC, kind: 'Group', name: `system:serviceaccounts:${name}` }],
    },
  };
}

/** Whether it belongs to this very Tenant, not to one that had the name before. */
export function isOwnedBy(child: KubeObject, tenant: Tenant): boolean {
  return child.metadata.ownerReferences?.some(({ uid, kind }) => kind === 'Tenant' && uid === tenant.metadata.uid) === true;
}

function childMetadata(tenant: Tenant): KubeObject['metadata'] {
  const { name = '', annotations } = tenant.metadata;
  const registration = annotations?.[REGISTRATION_ANNOTATION];
  return {
    labels: { [COMPONENT_LABEL]: COMPONENT, [MANAGED_BY_LABEL]: MANAGED_BY, [TENANT_LABEL]: name },
    ...(registration === undefined ? {} : { annotations: { [REGISTRATION_ANNOTATION]: registration } }),
    ownerReferences: [ownerOf(tenant)],
  };
}

function ownerOf(tenant: Tenant): OwnerReference {
  const { name = '', uid = '' } = tenant.metadata;
  return { apiVersion: API_VERSION, kind: 'Tenant', name, uid, controller: true, blockOwnerDeletion: true };
}
