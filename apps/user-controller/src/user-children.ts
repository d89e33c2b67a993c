import {
  API_VERSION,
  GROUP,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  PASSWORD_SECRET_KEY,
  REGISTRATION_ANNOTATION,
  TENANT_LABEL,
  type User,
} from '@harikube/crds';
import type { KubeObject, OwnerReference } from '@harikube/kube';
import type { Kinship } from './user-step.js';

/** What every user may do in the namespace of the tenant; the same for all, so that no user needs rules of its own for it. */
export const WEBSHOP_USER_ROLE = 'webshop-user';

const COMPONENT_LABEL = 'app.kubernetes.io/component';
const COMPONENT = 'user';

/** The labels by which account and rights of users are found again. */
export const CHILDREN_SELECTOR = `${COMPONENT_LABEL}=${COMPONENT},${MANAGED_BY_LABEL}=${MANAGED_BY}`;

export interface ServiceAccount extends KubeObject {
  automountServiceAccountToken?: boolean;
}

export interface Role extends KubeObject {
  rules?: { apiGroups: string[]; resources: string[]; resourceNames?: string[]; verbs: string[] }[];
}

export interface RoleBinding extends KubeObject {
  roleRef?: { apiGroup: string; kind: string; name: string };
  subjects?: { kind: string; name: string; namespace?: string; apiGroup?: string }[];
}

export interface Secret extends KubeObject {
  type?: string;
  data?: Record<string, string>;
}

export interface UserChildren {
  readonly account: ServiceAccount;
  /** Only what names this very user; the rest is in the static ClusterRole. */
  readonly ownRole: Role;
  readonly bindings: readonly RoleBinding[];
}

/** Account and rights of a user. Every list in them has a fixed order, so that equal users give equal objects. */
export function childrenOf(user: User, tenant: string): UserChildren {
  const { name = '', namespace = '' } = user.metadata;
  const metadata = childMetadata(user, tenant);
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  const apiGroup = 'rbac.authorization.k8s.io';
  return {
    // The account stands for a person; no pod gets a token of it by itself.
    account: { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    ownRole: {
      apiVersion: `${apiGroup}/v1`,
      kind: 'Role',
      metadata,
      rules: [{ apiGroups: [GROUP], resources: ['users'], resourceNames: [name], verbs: ['get', 'list', 'patch', 'update', 'watch'] }],
    },
    bindings: [
      { apiVersion: `${apiGroup}/v1`, kind: 'RoleBinding', metadata, roleRef: { apiGroup, kind: 'Role', name }, subjects },
      {
        apiVersion: `${apiGroup}/v1`,
        kind: 'RoleBinding',
        // A colon: no user has this name.
        metadata: { ...metadata, name: `${name}:${WEBSHOP_USER_ROLE}` },
        roleRef: { apiGroup, kind: 'ClusterRole', name: WEBSHOP_USER_ROLE },
        subjects,
      },
    ],
  };
}

/** The Secret of a user; nothing but the hash of the password is in it. */
export function passwordSecret(user: User, tenant: string, hash: string): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: childMetadata(user, tenant),
    type: 'Opaque',
    data: { [PASSWORD_SECRET_KEY]: Buffer.from(hash, 'utf8').toString('base64') },
  };
}

export function hashIn(secret: Secret): string | null {
  const value = secret.data?.[PASSWORD_SECRET_KEY];
  return value === undefined || value === '' ? null : Buffer.from(value, 'base64').toString('utf8');
}

/** Whose a thing is that has a name for the user's own things. A Secret that was made for the tenant and has no owner yet is free. */
export function kinshipOf(child: KubeObject, user: User): Kinship {
  const owner = child.metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) {
    const labels = child.metadata.labels ?? {};
    return labels[MANAGED_BY_LABEL] === MANAGED_BY && labels[TENANT_LABEL] === user.metadata.namespace ? 'free' : 'foreign';
  }
  if (owner.uid === user.metadata.uid) return 'own';
  const isOfName = owner.apiVersion === API_VERSION && owner.kind === 'User' && owner.name === user.metadata.name;
  // There is one user of a name at a time: that one is gone, and what it left is about to be collected.
  return isOfName ? 'predecessor' : 'foreign';
}

function childMetadata(user: User, tenant: string): KubeObject['metadata'] {
  const { name = '', namespace = '', annotations } = user.metadata;
  const registration = annotations?.[REGISTRATION_ANNOTATION];
  return {
    name,
    namespace,
    labels: { [COMPONENT_LABEL]: COMPONENT, [MANAGED_BY_LABEL]: MANAGED_BY, [TENANT_LABEL]: tenant },
    ...(registration === undefined ? {} : { annotations: { [REGISTRATION_ANNOTATION]: registration } }),
    ownerReferences: [ownerOf(user)],
  };
}

function ownerOf(user: User): OwnerReference {
  const { name = '', uid = '' } = user.metadata;
  return { apiVersion: API_VERSION, kind: 'User', name, uid, controller: true };
}
