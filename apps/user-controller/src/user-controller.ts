import { USERS } from '@harikube/crds';
import {
  InformerFactory,
  KubeClient,
  type KubeObject,
  NAMESPACES,
  ROLE_BINDINGS,
  ROLES,
  SERVICE_ACCOUNTS,
  systemClock,
} from '@harikube/kube';
import { Controller, ControllerManager, EventRecorder, type Key, startManager } from '@harikube/reconcilers';
import { serviceProgram, type ServiceSettings } from '@harikube/platform';
import { CHILDREN_SELECTOR } from './user-children.js';
import { type UserCaches, UserReconciler } from './user.reconciler.js';

const NAME = 'user-controller';
/** People wait for it: what failed while a server was away is not to be left alone for a quarter of an hour. */
const LONGEST_RETRY_MS = 10_000;

interface UserSettings extends ServiceSettings {
  readonly workers: number;
}

export const userControllerProgram = serviceProgram<UserSettings>({
  name: NAME,
  summary: 'gives each User an account, its rights and the place of its password',
  flags: [{ name: 'max-concurrent-reconciles', help: 'how many Users are worked on at once', shownDefault: '16' }],
  configure: (settings, common) => ({
    ...common,
    workers: settings.integer('max-concurrent-reconciles', 16, { least: 1, most: 1000 }),
  }),
  start: async (config, { logger, registry }) => {
    const client = KubeClient.fromConfig({ kubeconfig: config.kubeconfig ?? undefined, userAgent: `harikube-${NAME}`, registry });
    const informers = new InformerFactory(client, { logger, registry });
    const events = new EventRecorder({ client, reportingController: NAME, logger });
    const selector = { labelSelector: CHILDREN_SELECTOR };
    const caches: UserCaches = {
      users: informers.informer(USERS),
      namespaces: informers.informer(NAMESPACES),
      accounts: informers.informer(SERVICE_ACCOUNTS, selector),
      roles: informers.informer(ROLES, selector),
      roleBindings: informers.informer(ROLE_BINDINGS, selector),
    };
    caches.users.addIndex('namespace', ({ metadata }) => [String(metadata.namespace)]);
    const reconciler = new UserReconciler({ client, caches, events, clock: systemClock });
    const leaderElection = config.leaderElect ? { client, namespace: config.namespace, name: NAME } : undefined;
    const manager = new ControllerManager({ informers, logger, registry, leaderElection });
    manager.add(
      new Controller({
        name: NAME,
        reconciler,
        concurrency: config.workers,
        longestRetryMs: LONGEST_RETRY_MS,
        logger,
        registry,
        sources: [
          { informer: caches.users },
          { informer: caches.namespaces, mapTo: ({ metadata }) => caches.users.byIndex('namespace', String(metadata.name)).map(keyOf) },
          { informer: caches.accounts, mapTo: ownerKeys },
          { informer: caches.roles, mapTo: ownerKeys },
          { informer: caches.roleBindings, mapTo: ownerKeys },
        ],
      }),
    );
    return startManager(manager, async () => {
      await events.close();
      await client.close();
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
