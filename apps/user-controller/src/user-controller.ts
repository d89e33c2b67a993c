import { USERS } from '@harikube/crds';
import { type KubeObject, NAMESPACES, ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS, systemClock } from '@harikube/kube';
import { Controller, controllerProgram, type Key } from '@harikube/reconcilers';
import { CHILDREN_SELECTOR } from './user-children.js';
import { type UserCaches, UserReconciler } from './user.reconciler.js';

export const userControllerProgram = controllerProgram({
  name: 'user-controller',
  summary: 'gives each User an account, its rights and the place of its password',
  objects: 'Users',
  configure: () => undefined,
  setUp: (_config, { client, informers, events, common }) => {
    const selector = { labelSelector: CHILDREN_SELECTOR };
    const caches: UserCaches = {
      users: informers.informer(USERS),
      namespaces: informers.informer(NAMESPACES),
      accounts: informers.informer(SERVICE_ACCOUNTS, selector),
      roles: informers.informer(ROLES, selector),
      roleBindings: informers.informer(ROLE_BINDINGS, selector),
    };
    caches.users.addIndex('namespace', ({ metadata }) => [String(metadata.namespace)]);
    return new Controller({
      ...common,
      objectOf: ({ name, namespace }) => caches.users.get(name, namespace),
      reconciler: new UserReconciler({ client, caches, events, clock: systemClock }),
      sources: [
        { informer: caches.users },
        { informer: caches.namespaces, mapTo: ({ metadata }) => caches.users.byIndex('namespace', String(metadata.name)).map(keyOf) },
        { informer: caches.accounts, mapTo: ownerKeys },
        { informer: caches.roles, mapTo: ownerKeys },
        { informer: caches.roleBindings, mapTo: ownerKeys },
      ],
    });
  },
});

function keyOf({ metadata }: KubeObject): Key {
  return { namespace: metadata.namespace, name: String(metadata.name) };
}

/** The User whose account or right it is. */
function ownerKeys({ metadata }: KubeObject): Key[] {
  const owner = metadata.ownerReferences?.find(({ kind, controller }) => kind === 'User' && controller === true);
  return owner === undefined ? [] : [{ namespace: metadata.namespace, name: owner.name }];
}
