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
import { systemClock } from '@harikube/kube';
import { Controller, controllerProgram, type Key } from '@harikube/reconcilers';
import { claimNameOf } from './registration-children.js';
import { type RegistrationCaches, RegistrationReconciler } from './registration.reconciler.js';

interface RegistrationSettings {
  readonly emailTemplate: string;
  readonly failedTtlMs: number;
}

export const registrationControllerProgram = controllerProgram<RegistrationSettings>({
  name: 'registration-controller',
  summary: 'makes a Tenant, a User and a mail of each RegistrationRequest',
  objects: 'registrations',
  flags: [
    {
      name: 'email-template',
      help: 'name of the EmailTemplate of the welcome mail, in the namespace of the platform',
      shownDefault: REGISTRATION_EMAIL_TEMPLATE,
    },
    { name: 'failed-ttl', help: 'how long a registration that failed is kept for people to see', shownDefault: '10m' },
  ],
  configure: (settings) => ({
    emailTemplate: settings.text('email-template') ?? REGISTRATION_EMAIL_TEMPLATE,
    failedTtlMs: settings.duration('failed-ttl', 600_000),
  }),
  setUp: (config, { client, informers, events, namespace, common }) => {
    const caches: RegistrationCaches = {
      requests: informers.informer(REGISTRATION_REQUESTS),
      claims: informers.informer(EMAIL_CLAIMS),
      tenants: informers.informer(TENANTS),
      users: informers.informer(USERS),
      templates: informers.informer(EMAIL_TEMPLATES, { namespace }),
    };
    caches.requests.addIndex('claim', (request) => [claimNameOf(request)]);
    caches.claims.addIndex('registration', ({ spec }) => [spec.requestUid]);
    return new Controller({
      ...common,
      objectOf: ({ name }) => caches.requests.get(name),
      reconciler: new RegistrationReconciler({ client, caches, events, clock: systemClock, namespace, ...config }),
      sources: [
        {
          informer: caches.requests,
          mapTo: (request) => [{ name: String(request.metadata.name) }, ...waitingFor(caches, request.metadata.uid)],
        },
        { informer: caches.claims, mapTo: (claim) => withAddress(caches, claim) },
        { informer: caches.tenants, mapTo: (tenant) => [...requestOf(caches, tenant), ...waitingFor(caches, tenant.metadata.name)] },
        { informer: caches.users, mapTo: (user) => requestOf(caches, user) },
      ],
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
