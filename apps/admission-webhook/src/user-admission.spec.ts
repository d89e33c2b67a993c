import { describe, expect, it } from '@jest/globals';
import type { Verdict } from '@harikube/admission';
import { PASSWORD_ANNOTATION, TENANT_LABEL } from '@harikube/crds';
import { applyPatch } from '@harikube/admission/apply-patch';
import { type ReviewOptions, requestOf } from '@harikube/admission/review';
import { platformAccounts } from './kept-metadata.js';
import { LAST_APPLIED_ANNOTATION } from './last-applied.js';
import { DEFAULT_HASH_PARAMETERS, HashBounds } from './password-hash.js';
import { UserAdmission } from './user-admission.js';

const CANARY = 'Plain-Canary-1';
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const accounts = platformAccounts('harikube-system');
const admission = new UserAdmission({ accounts, bounds: new HashBounds(DEFAULT_HASH_PARAMETERS) });
const spec = { firstName: 'Jane', lastName: 'Doe', email: 'jane@example.com' };
const user = (annotations: object = {}, more: object = {}): object => ({
  metadata: { name: 'jane', namespace: 'acme', annotations },
  spec: { ...spec, ...more },
});

const mutate = (options: ReviewOptions): Verdict => admission.mutate(requestOf({ kind: 'User', ...options }));
const validate = (options: ReviewOptions): Verdict => admission.validate(requestOf({ kind: 'User', ...options }));
const causesOf = ({ denial }: Verdict): string[] => denial?.details?.causes?.map(({ field, message }) => `${field}: ${message}`) ?? [];

describe('UserAdmission, mutating', () => {
  it('takes the password out of the annotation of kubectl, once', () => {
    const object = user({ [PASSWORD_ANNOTATION]: HASH, [LAST_APPLIED_ANNOTATION]: JSON.stringify(user({ [PASSWORD_ANNOTATION]: HASH })) });
    const { patch = [], warnings } = mutate({ object });
    const once = applyPatch(object, patch);
    expect(once).toEqual(user({ [PASSWORD_ANNOTATION]: HASH, [LAST_APPLIED_ANNOTATION]: JSON.stringify(user()) }));
    expect(warnings).toHaveLength(1);
    expect(mutate({ operation: 'UPDATE', object: once, oldObject: object })).toEqual({ denial: null });
    expect(mutate({ object: user({ [LAST_APPLIED_ANNOTATION]: `{${CANARY}` }) }).patch).toEqual([
      { op: 'remove', path: expect.any(String) },
    ]);
  });

  it('has nothing to say otherwise', () => {
    expect(mutate({ object: user() })).toEqual({ denial: null });
    expect(mutate({ operation: 'DELETE', object: null, oldObject: user() })).toEqual({ denial: null });
  });
});

describe('UserAdmission, validating', () => {
  it('takes a User with a hash and one without', () => {
    expect(validate({ object: user() })).toEqual({ denial: null });
    expect(validate({ object: user({ [PASSWORD_ANNOTATION]: HASH }) })).toEqual({ denial: null });
  });

  it('refuses a password that is no hash and does not repeat it, and one that takes too long to verify', () => {
    for (const password of [CANARY, '', 7, HASH.replace('t=3', 't=999')]) {
      const verdict = validate({ object: user({ [PASSWORD_ANNOTATION]: password }) });
      expect(causesOf(verdict)).toEqual([
        expect.stringMatching(
          /^metadata\.annotations\[.*\/password\]: Invalid value: "string": must be an argon2id hash .*, never the password itself$/,
        ),
      ]);
      expect(JSON.stringify(verdict)).not.toContain(CANARY);
    }
  });

  it('takes changes of a User that has a bad one from before', () => {
    const bad = { [PASSWORD_ANNOTATION]: CANARY };
    expect(validate({ operation: 'UPDATE', oldObject: user(bad), object: user({ ...bad, note: 'x' }) })).toEqual({ denial: null });
    expect(validate({ operation: 'UPDATE', oldObject: user(bad), object: user() })).toEqual({ denial: null });
    expect(causesOf(validate({ operation: 'UPDATE', oldObject: user(), object: user(bad) }))).toHaveLength(1);
  });

  it('names every field that is wrong, but none that was so before', () => {
    const object = user({}, { firstName: '', email: 'x' });
    expect(new Set(causesOf(validate({ object })).map((cause) => cause.split(':')[0]))).toEqual(new Set(['spec.firstName', 'spec.email']));
    expect(validate({ operation: 'UPDATE', object, oldObject: object })).toEqual({ denial: null });
  });

  it('keeps the label of the controllers to the registration-controller', () => {
    const object = { ...user(), metadata: { name: 'jane', labels: { [TENANT_LABEL]: 'acme' } } };
    expect(causesOf(validate({ object }))).toHaveLength(1);
    expect(validate({ object, username: accounts.registrationController })).toEqual({ denial: null });
  });
});
