import { TENANT_LABEL, TENANTS, USERS } from '@harikube/crds';
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, type KubeObject, NAMESPACES, ROLE_BINDINGS, systemClock } from '@harikube/kube';
import { Controller, controllerProgram, type Key } from '@harikube/reconcilers';
import { CHILDREN_SELECTOR } from './tenant-children.js';
import { type TenantCaches, TenantReconciler } from './tenant.reconciler.js';

export const tenantControllerProgram = controllerProgram({
  name: 'tenant-controller',
  summary: 'gives each Tenant its namespace, and takes everything away with it',
  objects: 'Tenants',
  configure: () => undefined,
  setUp: (_config, { client, informers, events, namespace, common }) => {
    const selector = { labelSelector: CHILDREN_SELECTOR };
    const caches: TenantCaches = {
      tenants: informers.informer(TENANTS),
      // All of them: one that is in a Tenant's way has no label of ours.
      namespaces: informers.informer(NAMESPACES),
      users: informers.informer(USERS),
      roleBindings: informers.informer(ROLE_BINDINGS, selector),
      clusterRoles: informers.informer(CLUSTER_ROLES, selector),
      clusterRoleBindings: informers.informer(CLUSTER_ROLE_BINDINGS, selector),
    };
    caches.users.addIndex('namespace', ({ metadata }) => [String(metadata.namespace)]);
    const called = (name: string | undefined): Key[] => (name === undefined || caches.tenants.get(name) === undefined ? [] : [{ name }]);
    const labelled = ({ metadata }: KubeObject): Key[] => called(metadata.labels?.[TENANT_LABEL]);
    return new Controller({
      ...common,
      objectOf: ({ name }) => caches.tenants.get(name),
      reconciler: new TenantReconciler({ client, caches, events, clock: systemClock, namespace }),
      sources: [
        { informer: caches.tenants },
        { informer: caches.namespaces, mapTo: ({ metadata }) => called(metadata.name) },
        // Only their going matters.
        { informer: caches.users, mapTo: ({ metadata }) => (isLeaving(caches, metadata.namespace) ? called(metadata.namespace) : []) },
        { informer: caches.roleBindings, mapTo: labelled },
        { informer: caches.clusterRoles, mapTo: labelled },
        { informer: caches.clusterRoleBindings, mapTo: labelled },
      ],
    });
  },
});

function isLeaving({ tenants }: TenantCaches, name: string | undefined): boolean {
  return name !== undefined && tenants.get(name)?.metadata.deletionTimestamp !== undefined;
}
