import type { KubeObject } from './kube-object.js';

/** One rule of a role, as `rbac.authorization.k8s.io/v1` has it. */
export interface PolicyRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

export interface AccountManifestsOptions {
  /** Of the ServiceAccount; its roles and bindings are called `harikube-<name>`. */
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What the account may do everywhere. */
  readonly clusterRules: readonly PolicyRule[];
  /** What it may do in its own namespace. */
  readonly namespaceRules?: readonly PolicyRule[];
}

const RBAC = 'rbac.authorization.k8s.io';

/** A ServiceAccount and what it may do. */
export function accountManifests({ name, namespace, labels, clusterRules, namespaceRules = [] }: AccountManifestsOptions): KubeObject[] {
  const apiVersion = `${RBAC}/v1`;
  const roleName = `harikube-${name}`;
  const inCluster = { name: roleName, labels: { ...labels } };
  const inNamespace = { ...inCluster, namespace };
  const binding = (roleKind: 'Role' | 'ClusterRole'): object => ({
    roleRef: { apiGroup: RBAC, kind: roleKind, name: roleName },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  });
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...inNamespace, name } },
    { apiVersion, kind: 'ClusterRole', metadata: inCluster, ...{ rules: clusterRules } },
    { apiVersion, kind: 'ClusterRoleBinding', metadata: inCluster, ...binding('ClusterRole') },
    ...(namespaceRules.length === 0
      ? []
      : [
          { apiVersion, kind: 'Role', metadata: inNamespace, ...{ rules: namespaceRules } },
          { apiVersion, kind: 'RoleBinding', metadata: inNamespace, ...binding('Role') },
        ]),
  ];
}

/** The Lease by which the replicas of a program agree which one of them works. */
export function leaseNameOf(program: string): string {
  return `${program}.harikube.info`;
}

/** To hold the Lease of this program, and no other one. */
export function leaseRules(program: string): PolicyRule[] {
  const lease = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] };
  return [
    // Kubernetes knows no name at a create.
    { ...lease, verbs: ['create'] },
    { ...lease, resourceNames: [leaseNameOf(program)], verbs: ['get', 'update'] },
  ];
}
