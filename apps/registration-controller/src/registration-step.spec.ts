import { describe, expect, it } from '@jest/globals';
import {
  API_VERSION,
  type Condition,
  type EmailClaim,
  REGISTRATION_ANNOTATION,
  REGISTRATION_FINALIZER,
  type RegistrationRequest,
  type Tenant,
  type User,
} from '@harikube/crds';
import { completionOf, failureOf, givenUp, nextStep, progressOf, type RegistrationView } from './registration-step.js';

const NOW = Date.parse('2026-01-01T00:10:00Z');

function condition(type: string, status: Condition['status'], reason = 'Because', message = 'because'): Condition {
  return { type, status, reason, message, lastTransitionTime: '2026-01-01T00:05:00Z' };
}

function request(conditions: Condition[] = [], meta: Partial<RegistrationRequest['metadata']> = {}): RegistrationRequest {
  return {
    apiVersion: API_VERSION,
    kind: 'RegistrationRequest',
    metadata: { name: 'jane', uid: 'u-1', resourceVersion: '5', finalizers: [REGISTRATION_FINALIZER], ...meta },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email: 'jane@example.com' },
      password: 'hash',
      tenant: { country: 'HU', city: 'B', address: 'a', postalCode: '1' },
    },
    ...(conditions.length === 0 ? {} : { status: { conditions } }),
  };
}

function claim(requestUid = 'u-1', owner = requestUid): EmailClaim {
  return {
    apiVersion: API_VERSION,
    kind: 'EmailClaim',
    metadata: { name: 'c', uid: 'c-1', ownerReferences: [{ apiVersion: API_VERSION, kind: 'Tenant', name: 'x', uid: owner }] },
    spec: { requestName: 'jane', requestUid },
  };
}

function tenant(ready: Condition | null = null, meta: Partial<Tenant['metadata']> = {}): Tenant {
  return {
    apiVersion: API_VERSION,
    kind: 'Tenant',
    metadata: { name: 'u-1', uid: 't-1', annotations: { [REGISTRATION_ANNOTATION]: 'jane' }, ...meta },
    spec: { country: 'HU', city: 'B', address: 'a', postalCode: '1' },
    ...(ready === null ? {} : { status: { conditions: [ready] } }),
  };
}

function user(ready: Condition | null = null, meta: Partial<User['metadata']> = {}): User {
  return {
    apiVersion: API_VERSION,
    kind: 'User',
    metadata: { name: 'u-1', namespace: 'u-1', uid: 'us-1', annotations: { [REGISTRATION_ANNOTATION]: 'jane' }, ...meta },
    spec: { firstName: 'Jane', lastName: 'Doe', email: 'jane@example.com' },
    ...(ready === null ? {} : { status: { conditions: [ready] } }),
  };
}

const EMPTY: RegistrationView = {
  request: request(),
  fresh: 'all',
  claim: null,
  holder: null,
  tenant: null,
  user: null,
  email: null,
  refusal: null,
  now: NOW,
  failedTtlMs: 600_000,
};
const READY = condition('Ready', 'True');
const DELETED = { deletionTimestamp: '2026-01-01T00:00:00Z' };
const GIVEN_UP = condition('Complete', 'False', 'EmailTaken', 'taken');

function step(view: Partial<RegistrationView>): string {
  return nextStep({ ...EMPTY, ...view }).do;
}

describe('nextStep of a registration', () => {
  it('goes from the finalizer over claim, Tenant, User and mail to the end', () => {
    expect(step({ request: request([], { finalizers: [] }) })).toBe('add-finalizer');
    expect(step({})).toBe('claim');
    expect(step({ claim: claim() })).toBe('create-tenant');
    expect(step({ claim: claim(), tenant: tenant() })).toBe('wait');
    const withTenant = { claim: claim(), tenant: tenant(READY) };
    expect(step(withTenant)).toBe('create-user');
    expect(step({ ...withTenant, user: user() })).toBe('wait');
    const withUser = { ...withTenant, user: user(READY) };
    expect(step(withUser)).toBe('create-email');
    expect(step({ ...withUser, email: { isCreated: true } })).toBe('hand-over-claim');
    expect(step({ ...withUser, email: { isCreated: true }, claim: claim('u-1', 't-1') })).toBe('complete');
    const complete = [condition('Complete', 'True')];
    expect(step({ request: request(complete) })).toBe('remove-finalizer');
    expect(step({ request: request(complete, { finalizers: [] }) })).toBe('delete-request');
  });

  it('goes on without a mail that has no template', () => {
    const email = { isCreated: false, reason: 'TemplateNotFound', message: 'none' } as const;
    expect(step({ claim: claim('u-1', 't-1'), tenant: tenant(READY), user: user(READY), email })).toBe('complete');
  });

  it('begins and gives up nothing on what a cache says', () => {
    expect(step({ fresh: 'nothing' })).toBe('read');
    expect(step({ fresh: 'nothing', claim: claim() })).toBe('read');
    expect(step({ fresh: 'request' })).toBe('claim');
    expect(step({ fresh: 'request', claim: claim('u-2'), holder: 'living' })).toBe('read');
    expect(step({ fresh: 'request', request: request([GIVEN_UP]) })).toBe('read');
    expect(step({ fresh: 'nothing', request: request([], DELETED) })).toBe('read');
  });

  it('asks whether the other holder of an address lives, and acts by the answer', () => {
    const other = claim('u-2');
    expect(step({ claim: other })).toBe('ask-holder');
    expect(step({ claim: other, holder: 'leaving' })).toBe('wait');
    expect(step({ claim: other, holder: 'gone' })).toBe('take-over-claim');
    expect(nextStep({ ...EMPTY, claim: other, holder: 'living' })).toMatchObject({ do: 'fail', reason: 'EmailTaken' });
  });

  it('writes down that it gives up before it removes anything', () => {
    const conflict = { claim: claim(), tenant: tenant(condition('Ready', 'False', 'NamespaceConflict', 'not ours')) };
    expect(nextStep({ ...EMPTY, ...conflict })).toEqual({ do: 'give-up', reason: 'NamespaceConflict', message: 'not ours' });
    const givenUpRequest = { request: request([GIVEN_UP]) };
    expect(step({ ...conflict, ...givenUpRequest })).toBe('delete-tenant');
    expect(step({ ...givenUpRequest, claim: claim(), tenant: tenant(READY, DELETED) })).toBe('wait');
    expect(step({ ...givenUpRequest, claim: claim() })).toBe('free-claim');
    expect(nextStep({ ...EMPTY, ...givenUpRequest })).toEqual({ do: 'fail', reason: 'EmailTaken', message: 'taken' });
  });

  it('does not begin again when it starts in the middle of giving up', () => {
    expect(step({ request: request([GIVEN_UP]), claim: claim(), tenant: tenant(READY), user: user(READY) })).toBe('delete-tenant');
  });

  it('gives up when its Tenant is deleted, and leaves a Tenant alone that is not its own', () => {
    expect(nextStep({ ...EMPTY, claim: claim(), tenant: tenant(READY, DELETED) })).toMatchObject({ do: 'give-up', reason: 'Cancelled' });
    const foreign = tenant(READY, { annotations: {} });
    expect(nextStep({ ...EMPTY, claim: claim(), tenant: foreign })).toMatchObject({ do: 'give-up', reason: 'NamespaceConflict' });
    expect(step({ request: request([GIVEN_UP]), claim: claim(), tenant: foreign })).toBe('free-claim');
    expect(step({ request: request([GIVEN_UP]), claim: claim('u-2'), tenant: foreign })).toBe('fail');
  });

  it('removes what is half made of a deleted request, and then its finalizer', () => {
    const deleted = { request: request([], DELETED) };
    expect(step({ ...deleted, claim: claim(), tenant: tenant(READY), user: user(READY) })).toBe('delete-tenant');
    expect(step({ ...deleted, claim: claim(), tenant: tenant(READY, DELETED) })).toBe('wait');
    expect(step({ ...deleted, claim: claim() })).toBe('free-claim');
    expect(step({ ...deleted, claim: claim('u-2') })).toBe('remove-finalizer');
    expect(step({ request: request([], { ...DELETED, finalizers: ['other/one'] }) })).toBe('nothing');
  });

  it('removes nothing of a request that was deleted after it was complete', () => {
    const done = request([condition('Complete', 'True')], DELETED);
    expect(step({ request: done, claim: claim('u-1', 't-1'), tenant: tenant(READY), user: user(READY) })).toBe('remove-finalizer');
  });

  it('keeps what failed for its time, without a finalizer', () => {
    const failed = [condition('Failed', 'True')];
    expect(step({ request: request(failed) })).toBe('remove-finalizer');
    const left = request(failed, { finalizers: [] });
    expect(nextStep({ ...EMPTY, request: left })).toEqual({ do: 'keep', milliseconds: 300_000 });
    expect(step({ request: left, now: NOW + 300_000 })).toBe('delete-request');
    expect(step({ request: request(failed, { finalizers: [], ...DELETED }) })).toBe('nothing');
  });
});

describe('the conditions of a registration', () => {
  it('are all there from the first time on', () => {
    const statuses = progressOf(EMPTY).map(({ type, status }) => `${type}=${status}`);
    expect(statuses).toEqual([
      'Claimed=Unknown',
      'TenantReady=Unknown',
      'UserReady=Unknown',
      'EmailCreated=Unknown',
      'Complete=False',
      'Failed=False',
    ]);
  });

  it('are never complete and failed at once', () => {
    expect(completionOf(EMPTY).slice(-2)).toMatchObject([{ status: 'True' }, { status: 'False' }]);
    const failure = { reason: 'EmailTaken', message: 'taken' } as const;
    expect(failureOf(EMPTY, failure).slice(-2)).toMatchObject([{ status: 'False' }, { status: 'True', ...failure }]);
  });

  it('say of a request under way that it was not given up', () => {
    const said = progressOf(EMPTY).map((saying) => ({ ...saying, lastTransitionTime: '2026-01-01T00:00:00Z' }));
    expect(givenUp(request(said))).toBeNull();
    expect(givenUp(request([GIVEN_UP]))).toEqual({ reason: 'EmailTaken', message: 'taken' });
  });
});
