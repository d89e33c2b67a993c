import { TENANT_LABEL, TENANTS, USERS } from '@harikube/crds';
import {
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  InformerFactory,
  KubeClient,
  type KubeObject,
  NAMESPACES,
  ROLE_BINDINGS,
  systemClock,
} from '@harikube/kube';
import { Controller, ControllerManager, EventRecorder, type Key, startManager } from '@harikube/reconcilers';
import { serviceProgram, type ServiceSettings } from '@harikube/platform';
import { CHILDREN_SELECTOR } from './tenant-children.js';
import { type TenantCaches, TenantReconciler } from './tenant.reconciler.js';

const NAME = 'tenant-controller';
/** People wait for it: what failed while a server was away is not to be left alone for a quarter of an hour. */
const LONGEST_RETRY_MS = 10_000;

interface TenantSettings extends ServiceSettings {
  readonly workers: number;
}

export const tenantControllerProgram = serviceProgram<TenantSettings>({
  name: NAME,
  summary: 'gives each Tenant its namespace, and takes everything away with it',
  flags: [{ name: 'max-concurrent-reconciles', help: 'how many Tenants are worked on at once', shownDefault: '16' }],
  configure: (settings, common) => ({
    ...common,
    workers: settings.integer('max-concurrent-reconciles', 16, { least: 1, most: 1000 }),
  }),
  start: async (config, { logger, registry }) => {
    const client = KubeClient.fromConfig({ kubeconfig: config.kubeconfig ?? undefined, userAgent: `harikube-${NAME}`, registry });
    const informers = new InformerFactory(client, { logger, registry });
    const events = new EventRecorder({ client, reportingController: NAME, logger });
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
    const reconciler = new TenantReconciler({ client, caches, events, clock: systemClock, namespace: config.namespace });
    const called = (name: string | undefined): Key[] => (name === undefined || caches.tenants.get(name) === undefined ? [] : [{ name }]);
    const labelled = ({ metadata }: KubeObject): Key[] => called(metadata.labels?.[TENANT_LABEL]);
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
          { informer: caches.tenants },
          { informer: caches.namespaces, mapTo: ({ metadata }) => called(metadata.name) },
          // Only their going matters.
          { informer: caches.users, mapTo: ({ metadata }) => (isLeaving(caches, metadata.namespace) ? called(metadata.namespace) : []) },
          { informer: caches.roleBindings, mapTo: labelled },
          { informer: caches.clusterRoles, mapTo: labelled },
          { informer: caches.clusterRoleBindings, mapTo: labelled },
        ],
      }),
    );
    return startManager(manager, async () => {
      await events.close();
      await client.close();
    });
  },
});

function isLeaving({ tenants }: TenantCaches, name: string | undefined): boolean {
  return name !== undefined && tenants.get(name)?.metadata.deletionTimestamp !== undefined;
}
