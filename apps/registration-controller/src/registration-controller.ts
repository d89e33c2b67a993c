import {
  EMAIL_CLAIMS,
  EMAIL_TEMPLATES,
  type EmailClaim,
  REGISTRATION_ANNOTATION,
  REGISTRATION_EMAIL_TEMPLATE,
  REGISTRATION_REQUESTS,
  type Tenant,
  TENANTS,
  type User,
  USERS,
} from '@harikube/crds';
import { InformerFactory, KubeClient, systemClock } from '@harikube/kube';
import { Controller, ControllerManager, EventRecorder, type Key, startManager } from '@harikube/reconcilers';
import { serviceProgram, type ServiceSettings } from '@harikube/platform';
import { claimNameOf } from './registration-children.js';
import { type RegistrationCaches, RegistrationReconciler } from './registration.reconciler.js';

const NAME = 'registration-controller';
/** People wait for it: what failed while a server was away is not to be left alone for a quarter of an hour. */
const LONGEST_RETRY_MS = 10_000;

interface RegistrationSettings extends ServiceSettings {
  readonly emailTemplate: string;
  readonly failedTtlMs: number;
  readonly workers: number;
}

export const registrationControllerProgram = serviceProgram<RegistrationSettings>({
  name: NAME,
  summary: 'makes a Tenant, a User and a mail of each RegistrationRequest',
  flags: [
    {
      name: 'email-template',
      help: 'name of the EmailTemplate of the welcome mail, in the namespace of the platform',
      shownDefault: REGISTRATION_EMAIL_TEMPLATE,
    },
    { name: 'failed-ttl', help: 'how long a registration that failed is kept for people to see', shownDefault: '10m' },
    { name: 'max-concurrent-reconciles', help: 'how many registrations are worked on at once', shownDefault: '16' },
  ],
  configure: (settings, common) => ({
    ...common,
    emailTemplate: settings.text('email-template') ?? REGISTRATION_EMAIL_TEMPLATE,
    failedTtlMs: settings.duration('failed-ttl', 600_000),
    workers: settings.integer('max-concurrent-reconciles', 16, { least: 1, most: 1000 }),
  }),
  start: async (config, { logger, registry }) => {
    const client = KubeClient.fromConfig({ kubeconfig: config.kubeconfig ?? undefined, userAgent: `harikube-${NAME}`, registry });
    const informers = new InformerFactory(client, { logger, registry });
    const events = new EventRecorder({ client, reportingController: NAME, logger });
    const caches: RegistrationCaches = {
      requests: informers.informer(REGISTRATION_REQUESTS),
      claims: informers.informer(EMAIL_CLAIMS),
      tenants: informers.informer(TENANTS),
      users: informers.informer(USERS),
      templates: informers.informer(EMAIL_TEMPLATES, { namespace: config.namespace }),
    };
    caches.requests.addIndex('claim', (request) => [claimNameOf(request)]);
    caches.claims.addIndex('registration', ({ spec }) => [spec.requestUid]);
    const reconciler = new RegistrationReconciler({
      client,
      caches,
      events,
      clock: systemClock,
      namespace: config.namespace,
      emailTemplate: config.emailTemplate,
      failedTtlMs: config.failedTtlMs,
    });
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
          {
            informer: caches.requests,
            mapTo: (request) => [{ name: String(request.metadata.name) }, ...waitingFor(caches, request.metadata.uid)],
          },
          { informer: caches.claims, mapTo: (claim) => withAddress(caches, claim) },
          { informer: caches.tenants, mapTo: (tenant) => [...requestOf(caches, tenant), ...waitingFor(caches, tenant.metadata.name)] },
          { informer: caches.users, mapTo: (user) => requestOf(caches, user) },
        ],
      }),
    );
    return startManager(manager, async () => {
      await events.close();
      await client.close();
    });
  },
});

/** The request that something was made for, as long as it is there. */
function requestOf({ requests }: RegistrationCaches, { metadata }: Tenant | User): Key[] {
  const name = metadata.annotations?.[REGISTRATION_ANNOTATION];
  return name === undefined || requests.get(name) === undefined ? [] : [{ name }];
}

/** The requests with the address of a claim. */
function withAddress({ requests }: RegistrationCaches, claim: EmailClaim): Key[] {
  return requests.byIndex('claim', String(claim.metadata.name)).map(({ metadata }) => ({ name: String(metadata.name) }));
}

/** The requests whose address another registration has, which is known by its uid: what becomes of it may free the address. */
function waitingFor(caches: RegistrationCaches, uid: string | undefined): Key[] {
  return caches.claims.byIndex('registration', String(uid)).flatMap((claim) => withAddress(caches, claim));
}
