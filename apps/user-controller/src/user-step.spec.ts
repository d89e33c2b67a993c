import { describe, expect, it } from '@jest/globals';
import { API_VERSION, PASSWORD_ANNOTATION, type User } from '@harikube/crds';
import { nextStep, type UserStep, type UserView } from './user-step.js';

const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo';
const OTHER = HASH.replace('aGFz', 'b3Ro');
const OWN = { kinship: 'own', hash: HASH } as const;
const SENT = { annotations: { [PASSWORD_ANNOTATION]: HASH } };

function user(meta: Partial<User['metadata']> = {}): User {
  return {
    apiVersion: API_VERSION,
    kind: 'User',
    metadata: { name: 'jane', namespace: 'acme', uid: 'u-1', ...meta },
    spec: { firstName: 'Jane', lastName: 'Doe', email: 'jane@example.com' },
  };
}

function step(view: Partial<UserView>): UserStep {
  return nextStep({
    user: user(),
    namespace: { isTerminating: false, tenant: 'acme' },
    missingChildren: 0,
    conflicts: [],
    secret: OWN,
    ...view,
  });
}

describe('nextStep of a User', () => {
  it('goes over account, rights and password to Ready', () => {
    expect(step({ missingChildren: 2, secret: undefined }).do).toBe('apply-children');
    expect(step({ secret: undefined }).do).toBe('read-secret');
    expect(step({})).toMatchObject({ do: 'say', ready: { status: 'True' }, hasPassword: true });
  });

  it('moves a hash from the annotation into the Secret before it removes it', () => {
    const sent = user(SENT);
    expect(step({ user: sent, secret: null })).toEqual({ do: 'create-secret', hash: HASH });
    expect(step({ user: sent, secret: { ...OWN, hash: OTHER } })).toEqual({ do: 'apply-secret', hash: HASH });
    expect(step({ user: sent, secret: { kinship: 'free', hash: HASH } })).toEqual({ do: 'apply-secret', hash: HASH });
    expect(step({ user: sent })).toEqual({ do: 'remove-annotation', hash: HASH });
  });

  it('takes a Secret that was made for it', () => {
    expect(step({ secret: { kinship: 'free', hash: HASH } })).toEqual({ do: 'apply-secret', hash: HASH });
  });

  it('removes the Secret of a User that had the name before', () => {
    expect(step({ user: user(SENT), secret: { kinship: 'predecessor', hash: OTHER } })).toEqual({ do: 'replace-secret' });
  });

  it('says what is missing, and stores nothing that is no hash', () => {
    expect(step({ secret: null })).toMatchObject({ ready: { status: 'False', reason: 'PasswordMissing' }, hasPassword: false });
    expect(step({ secret: { ...OWN, hash: null } })).toMatchObject({ ready: { reason: 'PasswordMissing' } });
    const plain = step({ user: user({ annotations: { [PASSWORD_ANNOTATION]: 'Password123!' } }), secret: null });
    expect(plain).toMatchObject({ do: 'say', ready: { status: 'False', reason: 'InvalidPassword' }, hasPassword: false });
    expect(JSON.stringify(plain)).not.toContain('Password123!');
  });

  it('leaves alone what belongs to somebody else', () => {
    expect(step({ user: user(SENT), secret: { kinship: 'foreign', hash: null } })).toMatchObject({
      do: 'say',
      ready: { reason: 'Conflict' },
    });
    expect(step({ conflicts: ['ServiceAccount jane'] })).toMatchObject({ do: 'say', ready: { reason: 'Conflict' }, hasPassword: true });
  });

  it('makes nothing outside of the namespace of a Tenant, nor in one that ends', () => {
    const nobody = { namespace: { isTerminating: false, tenant: null }, missingChildren: 4 };
    expect(step(nobody)).toMatchObject({ do: 'say', ready: { status: 'False', reason: 'NotOfTenant' } });
    expect(step({ namespace: { isTerminating: true, tenant: 'acme' }, missingChildren: 4 }).do).toBe('nothing');
    expect(step({ namespace: null }).do).toBe('nothing');
    expect(step({ user: user({ deletionTimestamp: '2026-01-01T00:00:00Z' }), missingChildren: 4 }).do).toBe('nothing');
  });
});
