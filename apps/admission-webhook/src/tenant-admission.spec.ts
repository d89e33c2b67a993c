import { describe, expect, it } from '@jest/globals';
import type { Verdict } from '@harikube/admission';
import { REGISTRATION_ANNOTATION, TENANT_FINALIZER, TENANT_LABEL } from '@harikube/crds';
import { applyPatch } from '@harikube/admission/apply-patch';
import { type ReviewOptions, requestOf } from '@harikube/admission/review';
import { platformAccounts } from './kept-metadata.js';
import { TenantAdmission } from './tenant-admission.js';

const accounts = platformAccounts('harikube-system');
const admission = new TenantAdmission(accounts);
const spec = { companyName: 'Acme', country: 'HU', city: 'Budapest', address: 'Fő u. 1', postalCode: '1011' };
const tenant = (metadata: object = {}, more: object = {}): Record<string, unknown> => ({
  metadata: { name: 'acme', ...metadata },
  spec: { ...spec, ...more },
});
const kept = { finalizers: [TENANT_FINALIZER] };
const deleted = { deletionTimestamp: '2026-01-02T03:04:05Z' };
const marks = { labels: { [TENANT_LABEL]: 'acme' }, annotations: { [REGISTRATION_ANNOTATION]: 'sample' } };

const mutate = (options: ReviewOptions): Verdict => admission.mutate(requestOf({ kind: 'Tenant', ...options }));
const validate = (options: ReviewOptions): Verdict => admission.validate(requestOf({ kind: 'Tenant', ...options }));
const causesOf = ({ denial }: Verdict): string[] => denial?.details?.causes?.map(({ field, message }) => `${field}: ${message}`) ?? [];

describe('TenantAdmission, mutating', () => {
  it('sets the finalizer of a Tenant, once', () => {
    const object = tenant();
    const once = applyPatch(object, mutate({ object }).patch ?? []);
    expect(once).toEqual(tenant(kept));
    expect(mutate({ object: once })).toEqual({ denial: null, patch: [], warnings: [] });
    expect(mutate({ operation: 'UPDATE', object, oldObject: object })).toMatchObject({ patch: [{ op: 'add' }], warnings: [] });
  });

  it('puts the finalizer back and says so, unless the Tenant is being deleted or its controller takes it', () => {
    const change = { operation: 'UPDATE', oldObject: tenant(kept), object: tenant() };
    expect(mutate(change)).toMatchObject({ patch: [{ op: 'add' }], warnings: [expect.any(String)] });
    expect(mutate({ ...change, object: tenant(deleted) })).toEqual({ denial: null, patch: [], warnings: [] });
    expect(mutate({ ...change, username: accounts.tenantController })).toEqual({ denial: null });
    expect(mutate({ operation: 'DELETE', object: null, oldObject: tenant(kept) })).toEqual({ denial: null });
  });
});

describe('TenantAdmission, validating', () => {
  it('takes a Tenant that an administrator made', () => {
    expect(validate({ object: tenant(kept), username: 'kubernetes-admin' })).toEqual({ denial: null });
  });

  it('names every field that is wrong', () => {
    expect(
      causesOf(validate({ object: tenant({}, { country: 'hu', city: '', postalCode: undefined }) })).map((cause) => cause.split(':')[0]),
    ).toEqual(['spec.country', 'spec.city', 'spec.postalCode']);
  });

  it('holds nothing against a change that was so before', () => {
    const oldObject = tenant(kept, { country: 'hu' });
    expect(validate({ operation: 'UPDATE', oldObject, object: tenant(kept, { country: 'hu', city: 'Győr' }) })).toEqual({ denial: null });
    expect(causesOf(validate({ operation: 'UPDATE', oldObject, object: tenant(kept, { country: 'HUNG' }) })).length).toBeGreaterThan(0);
    expect(validate({ operation: 'UPDATE', oldObject, object: tenant(deleted, { country: '' }) })).toEqual({ denial: null });
  });

  it('lets nobody but the registration-controller say which registration a Tenant is of', () => {
    const message = 'Forbidden: only the registration-controller sets it';
    for (const username of ['kubernetes-admin', accounts.tenantController, 'system:serviceaccount:other:registration-controller']) {
      expect(causesOf(validate({ object: tenant(marks), username }))).toEqual([
        `metadata.labels[${TENANT_LABEL}]: ${message}`,
        `metadata.annotations[${REGISTRATION_ANNOTATION}]: ${message}`,
      ]);
      expect(causesOf(validate({ operation: 'UPDATE', oldObject: tenant(), object: tenant(marks), username }))).toHaveLength(2);
    }
    expect(validate({ object: tenant(marks), username: accounts.registrationController })).toEqual({ denial: null });
  });

  it('lets nobody change it', () => {
    const oldObject = tenant(marks);
    for (const object of [tenant(), tenant({ labels: { [TENANT_LABEL]: 'other' }, annotations: { [REGISTRATION_ANNOTATION]: 'other' } })]) {
      expect(causesOf(validate({ operation: 'UPDATE', oldObject, object, username: accounts.registrationController }))).toEqual([
        `metadata.labels[${TENANT_LABEL}]: Forbidden: it cannot be changed`,
        `metadata.annotations[${REGISTRATION_ANNOTATION}]: Forbidden: it cannot be changed`,
      ]);
    }
    const relabelled = tenant({ ...marks, labels: { ...marks.labels, team: 'a' } });
    expect(validate({ operation: 'UPDATE', oldObject, object: relabelled })).toEqual({ denial: null });
  });

  it('lets the finalizer go with the Tenant or by its controller only', () => {
    const change = { operation: 'UPDATE', oldObject: tenant(kept), object: tenant() };
    expect(causesOf(validate(change))).toEqual([`metadata.finalizers: Forbidden: ${TENANT_FINALIZER} stays until the object is deleted`]);
    expect(validate({ ...change, object: tenant(deleted) })).toEqual({ denial: null });
    expect(validate({ ...change, username: accounts.tenantController })).toEqual({ denial: null });
  });
});
