import { describe, expect, it } from '@jest/globals';
import { API_VERSION, type Tenant, TENANT_FINALIZER } from '@harikube/crds';
import { type NamespaceView, nextStep, type TenantStep, type TenantView } from './tenant-step.js';

const OURS: NamespaceView = { isOurs: true, isTerminating: false, isDrifted: false, remains: null };
const FOREIGN: NamespaceView = { ...OURS, isOurs: false };
const DELETED = { deletionTimestamp: '2026-01-01T00:00:00Z' };

function tenant(meta: Partial<Tenant['metadata']> = {}): Tenant {
  return {
    apiVersion: API_VERSION,
    kind: 'Tenant',
    metadata: { name: 'acme', uid: 't-1', finalizers: [TENANT_FINALIZER], ...meta },
    spec: { country: 'HU', city: 'B', address: 'a', postalCode: '1' },
  };
}

function step(view: Partial<TenantView>): TenantStep {
  return nextStep({
    tenant: tenant(),
    namespace: null,
    isFresh: true,
    users: { total: 0, leaving: 0 },
    missingRights: 0,
    ...view,
  });
}

describe('nextStep of a Tenant', () => {
  it('goes from the finalizer over namespace and rights to Ready', () => {
    expect(step({ tenant: tenant({ finalizers: [] }) }).do).toBe('add-finalizer');
    expect(step({}).do).toBe('create-namespace');
    expect(step({ namespace: OURS, missingRights: 3 }).do).toBe('apply-rights');
    expect(step({ namespace: OURS })).toMatchObject({ do: 'say', ready: { status: 'True' } });
    expect(step({ namespace: { ...OURS, isDrifted: true } }).do).toBe('apply-namespace');
  });

  it('never touches a namespace that is not its own', () => {
    const conflict = { do: 'say', ready: { status: 'False', reason: 'NamespaceConflict' } };
    expect(step({ namespace: FOREIGN, missingRights: 3 })).toMatchObject(conflict);
    expect(step({ namespace: { ...FOREIGN, isDrifted: true, isTerminating: true } })).toMatchObject(conflict);
    expect(step({ namespace: FOREIGN, tenant: tenant(DELETED), users: { total: 5, leaving: 0 } }).do).toBe('remove-finalizer');
  });

  it('waits for a namespace that somebody deleted, and makes it again', () => {
    const terminating = { ...OURS, isTerminating: true, remains: 'pods remain' };
    expect(step({ namespace: terminating })).toMatchObject({ do: 'say', ready: { status: 'False', reason: 'NamespaceTerminating' } });
    expect(step({ namespace: null }).do).toBe('create-namespace');
  });

  it('deletes users, then the namespace, and lets go of the Tenant when it is gone', () => {
    const deleted = tenant(DELETED);
    expect(step({ tenant: deleted, namespace: OURS, users: { total: 2, leaving: 1 } }).do).toBe('delete-users');
    expect(step({ tenant: deleted, namespace: OURS, users: { total: 2, leaving: 2 } }).do).toBe('say');
    expect(step({ tenant: deleted, namespace: OURS }).do).toBe('delete-namespace');
    const terminating = { ...OURS, isTerminating: true, remains: 'pods remain' };
    expect(step({ tenant: deleted, namespace: terminating })).toMatchObject({
      ready: { status: 'False', reason: 'Terminating', message: expect.stringContaining('pods remain') },
    });
    expect(step({ tenant: deleted, namespace: null }).do).toBe('remove-finalizer');
    expect(step({ tenant: tenant({ ...DELETED, finalizers: [] }), namespace: OURS }).do).toBe('nothing');
  });

  it('does not let go of the Tenant on what a cache says', () => {
    expect(step({ tenant: tenant(DELETED), namespace: null, isFresh: false }).do).toBe('read');
  });
});
