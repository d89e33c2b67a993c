import { describe, expect, it } from '@jest/globals';
import type { Verdict } from '@harikube/admission';
import { claimName, REGISTRATION_FINALIZER } from '@harikube/crds';
import { applyPatch } from '@harikube/admission/apply-patch';
import { type ReviewOptions, requestOf } from '@harikube/admission/review';
import { platformAccounts } from './kept-metadata.js';
import { LAST_APPLIED_ANNOTATION } from './last-applied.js';
import { DEFAULT_HASH_PARAMETERS, HashBounds } from './password-hash.js';
import { PasswordHasher, type PasswordHasherOptions } from './password-hasher.js';
import { RegistrationRequestAdmission } from './registration-request-admission.js';

const CANARY = 'Plain-Canary-1';
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const OTHER_HASH = HASH.replace('Rdes', 'AAAA');
const accounts = platformAccounts('harikube-system');
const forever = new AbortController().signal;

const user = { firstName: 'Jane', lastName: 'Doe', email: 'jane@example.com' };
const tenant = { country: 'HU', city: 'Budapest', address: 'Fő u. 1', postalCode: '1011' };

interface Parts {
  readonly password?: unknown;
  readonly spec?: object;
  readonly metadata?: object;
}

function registration({ password = CANARY, spec = {}, metadata = {} }: Parts = {}): Record<string, unknown> {
  return {
    apiVersion: 'product.webshop.harikube.info/v1',
    kind: 'RegistrationRequest',
    metadata: { name: 'sample', ...metadata },
    spec: { password, user, tenant, ...spec },
  };
}

const lastApplied = (object: object): object => ({ annotations: { [LAST_APPLIED_ANNOTATION]: `${JSON.stringify(object)}\n` } });

function admission({ taken = '', ...hasher }: Partial<PasswordHasherOptions> & { taken?: string } = {}): RegistrationRequestAdmission {
  return new RegistrationRequestAdmission({
    accounts,
    bounds: new HashBounds(DEFAULT_HASH_PARAMETERS),
    hasher: new PasswordHasher({
      parameters: DEFAULT_HASH_PARAMETERS,
      parallel: 1,
      waiting: 0,
      hash: async (password) => (password === CANARY ? HASH : OTHER_HASH),
      ...hasher,
    }),
    isClaimed: (name) => taken !== '' && name === claimName(taken),
  });
}

function mutate(options: ReviewOptions, by = admission()): Promise<Verdict> {
  return by.mutate(requestOf(options), forever);
}

async function mutated(object: object, more: ReviewOptions = {}): Promise<Record<string, unknown>> {
  const { denial, patch = [] } = await mutate({ ...more, object });
  expect(denial).toBeNull();
  return applyPatch(object, patch);
}

const causesOf = ({ denial }: Verdict): string[] => denial?.details?.causes?.map(({ field, message }) => `${field}: ${message}`) ?? [];

describe('RegistrationRequestAdmission, mutating a new object', () => {
  it('puts the hash in the place of the password, names the company and sets the finalizer', async () => {
    expect(await mutated(registration())).toEqual(
      registration({
        password: HASH,
        spec: { tenant: { ...tenant, companyName: 'Jane Doe' } },
        metadata: { finalizers: [REGISTRATION_FINALIZER] },
      }),
    );
  });

  it('says nothing more when it is asked about its own result', async () => {
    for (const object of [registration(), registration({ metadata: lastApplied(registration()) }), registration({ password: HASH })]) {
      const once = await mutated(object);
      expect(await mutate({ object: once })).toEqual({ denial: null, patch: [], warnings: [] });
      expect(await mutate({ object: once, username: accounts.apiServer })).toEqual({ denial: null, patch: [], warnings: [] });
    }
  });

  it('keeps what is there: the name of a company, other finalizers, other annotations', async () => {
    const spec = { tenant: { ...tenant, companyName: 'Acme' } };
    const metadata = { finalizers: ['example.com/own'], annotations: { note: 'x' } };
    expect(await mutated(registration({ spec, metadata }))).toEqual(
      registration({ password: HASH, spec, metadata: { ...metadata, finalizers: ['example.com/own', REGISTRATION_FINALIZER] } }),
    );
  });

  it.each(['', null])('takes %j for no company', async (companyName) => {
    const result = await mutated(registration({ spec: { tenant: { ...tenant, companyName } } }));
    expect(result).toHaveProperty('spec.tenant.companyName', 'Jane Doe');
  });

  it('names no company when the name of the person is too long for one', async () => {
    const long = { ...user, firstName: 'J'.repeat(125), lastName: 'D'.repeat(125) };
    expect(await mutated(registration({ spec: { user: long } }))).not.toHaveProperty('spec.tenant.companyName');
    expect(await mutated(registration({ spec: { user: { ...long, lastName: 'D'.repeat(124) } } }))).toHaveProperty(
      'spec.tenant.companyName',
    );
  });

  it('takes the password out of the annotation of kubectl', async () => {
    const object = registration({ metadata: lastApplied(registration()) });
    const { patch = [], warnings = [] } = await mutate({ object });
    const result = applyPatch(object, patch);
    expect(JSON.stringify(result)).not.toContain(CANARY);
    expect(result).toHaveProperty(
      ['metadata', 'annotations', LAST_APPLIED_ANNOTATION],
      `${JSON.stringify(registration({ password: HASH }))}\n`,
    );
    expect(warnings).toHaveLength(1);
    const broken = registration({ metadata: { annotations: { [LAST_APPLIED_ANNOTATION]: `{ ${CANARY}` } } });
    expect(await mutated(broken)).toHaveProperty('metadata.annotations', {});
    for (const warning of [...warnings, ...((await mutate({ object: broken })).warnings ?? [])]) {
      expect(warning.length).toBeLessThanOrEqual(120);
      expect(warning).not.toContain(CANARY);
    }
  });

  it('names everything that is wrong at once, without hashing and without the password', async () => {
    const hash = (): Promise<string> => Promise.reject(new Error('hashed'));
    const verdict = await mutate(
      { object: registration({ password: 'canary', spec: { user: { ...user, email: 'x' }, tenant: {} } }) },
      admission({ hash }),
    );
    expect(verdict.denial).toMatchObject({ code: 422, reason: 'Invalid', details: { kind: 'RegistrationRequest', name: 'sample' } });
    expect(causesOf(verdict).map((cause) => cause.split(': ')[0])).toEqual(
      expect.arrayContaining(['spec.user.email', 'spec.tenant.country', 'spec.tenant.city', 'spec.tenant.address', 'spec.password']),
    );
    expect(causesOf(verdict)).toContain(
      'spec.password: Invalid value: "string": must have 8 to 64 characters, among them a small letter, a capital letter, a digit and a special character; ' +
        'it is too short and lacks a capital letter, a digit and a special character',
    );
    expect(JSON.stringify(verdict)).not.toContain('canary');
  });

  it.each([
    [undefined, 'Required value'],
    [null, 'Required value'],
    [7, 'must be of type string'],
    [[CANARY], 'must be of type string'],
    [{ a: CANARY }, 'must be of type string'],
    ['$argon2id$Canary', 'must be an argon2id hash in PHC form'],
    [HASH.replace('m=65536', 'm=9999999'), 'must be an argon2id hash with m from 19456 to 131072'],
  ])('refuses %j for a password', async (password, message) => {
    const object = registration({ password });
    if (password === undefined) object['spec'] = { user, tenant };
    const verdict = await mutate({ object });
    expect(causesOf(verdict)).toEqual([expect.stringMatching(`^spec.password: .*${message}`)]);
    expect(JSON.stringify(verdict)).not.toContain('Canary');
  });

  it('refuses an object of any shape without throwing', async () => {
    for (const object of [{}, { spec: null }, { spec: 'x', metadata: 'x' }, { spec: { user: [], tenant: 7, password: CANARY } }]) {
      const verdict = await mutate({ object });
      expect(verdict.denial?.code).toBe(422);
      expect(JSON.stringify(verdict)).not.toContain(CANARY);
    }
  });

  it('takes the hash of an object that was hashed already, but none from the people behind the aggregated API', async () => {
    const object = registration({ password: OTHER_HASH });
    expect(await mutated(object, { username: 'kubernetes-admin' })).toHaveProperty('spec.password', OTHER_HASH);
    const verdict = await mutate({ object, username: accounts.apiServer });
    expect(causesOf(verdict)).toEqual(['spec.password: Invalid value: "string": must be the password itself and not a hash of it']);
  });

  it('says early that an address is taken, whatever its case, without another word and without hashing', async () => {
    const hash = (): Promise<string> => Promise.reject(new Error('hashed'));
    const object = registration({ spec: { user: { ...user, email: 'JANE@example.com' } } });
    const { denial } = await mutate({ object }, admission({ taken: 'jane@example.com', hash }));
    expect(denial).toMatchObject({
      code: 409,
      reason: 'Conflict',
      message: 'a registration with this e-mail address exists already',
      details: { causes: [{ reason: 'FieldValueDuplicate', field: 'spec.user.email' }] },
    });
    expect(JSON.stringify(denial)).not.toMatch(/jane/i);
  });

  it('tells a client when to come back while too many passwords wait', async () => {
    const never = admission({ hash: () => new Promise(() => undefined) });
    void mutate({ object: registration() }, never);
    expect((await mutate({ object: registration() }, never)).denial).toMatchObject({
      code: 429,
      reason: 'TooManyRequests',
      details: { retryAfterSeconds: 1 },
    });
  });

  it('says that the time is over when it is over', async () => {
    const by = admission({ hash: () => new Promise(() => undefined), waiting: 1 });
    void mutate({ object: registration() }, by);
    const stop = new AbortController();
    const late = by.mutate(requestOf({ object: registration() }), stop.signal);
    stop.abort();
    expect((await late).denial).toMatchObject({ code: 504, reason: 'Timeout' });
  });

  it('lets a failure of the hash be one', async () => {
    const by = admission({ hash: () => Promise.reject(new Error('no memory')) });
    await expect(mutate({ object: registration() }, by)).rejects.toThrow('no memory');
  });
});

describe('RegistrationRequestAdmission, mutating a changed object', () => {
  const oldObject = registration({ password: HASH, metadata: { finalizers: [REGISTRATION_FINALIZER] } });
  const update = (object: object, username = 'someone'): Promise<Verdict> => mutate({ operation: 'UPDATE', object, oldObject, username });

  it('refuses another password, plain or hashed', async () => {
    for (const password of [CANARY, OTHER_HASH, null, 7]) {
      const verdict = await update(registration({ password }));
      expect(causesOf(verdict)).toEqual(['spec.password: Forbidden: the password of a registration cannot be changed']);
      expect(JSON.stringify(verdict)).not.toContain(CANARY);
    }
  });

  it('takes a password out of the annotation that other commands of kubectl write', async () => {
    const metadata = { finalizers: [REGISTRATION_FINALIZER], ...lastApplied(registration()) };
    const object = registration({ password: HASH, metadata });
    const { patch = [] } = await update(object);
    expect(JSON.stringify(applyPatch(object, patch))).not.toContain(CANARY);
    const hashed = registration({ password: HASH, metadata: { ...metadata, ...lastApplied(registration({ password: HASH })) } });
    expect((await update(hashed)).patch).toEqual([]);
  });

  it('puts back the finalizer of a living request, unless its controller takes it', async () => {
    const object = registration({ password: HASH });
    expect(applyPatch(object, (await update(object)).patch ?? [])).toHaveProperty('metadata.finalizers', [REGISTRATION_FINALIZER]);
    expect((await update(object, accounts.registrationController)).patch).toEqual([]);
    expect((await update(registration({ password: HASH, metadata: { deletionTimestamp: '2026-01-02T03:04:05Z' } }))).patch).toEqual([]);
    const without = await mutate({ operation: 'UPDATE', object, oldObject: object });
    expect(without.patch).toEqual([]);
  });

  it('has nothing to say to DELETE', async () => {
    expect(await mutate({ operation: 'DELETE', object: null, oldObject })).toEqual({ denial: null });
  });
});

describe('RegistrationRequestAdmission, validating', () => {
  const hashed = registration({ password: HASH, metadata: { finalizers: [REGISTRATION_FINALIZER] } });
  const validate = (options: ReviewOptions): Verdict => admission().validate(requestOf(options));

  it('takes what the mutating webhook made, and has no patch', async () => {
    expect(validate({ object: await mutated(registration()) })).toEqual({ denial: null });
    expect(validate({ operation: 'DELETE', object: null, oldObject: hashed })).toEqual({ denial: null });
  });

  it('refuses a plain password where the mutating webhook was not asked', () => {
    const verdict = validate({ object: registration() });
    expect(causesOf(verdict)).toEqual(['spec.password: Invalid value: "string": must be an argon2id hash in PHC form']);
    expect(JSON.stringify(verdict)).not.toContain(CANARY);
    expect(causesOf(validate({ object: registration({ password: null }) }))).toEqual(['spec.password: Required value']);
  });

  it('takes changes of the metadata alone, whatever the spec is', () => {
    const old = registration({ password: CANARY, spec: { user: { ...user, email: 'x' } } });
    const object = registration({ password: CANARY, spec: { user: { ...user, email: 'x' } }, metadata: { labels: { a: 'b' } } });
    expect(validate({ operation: 'UPDATE', object, oldObject: old })).toEqual({ denial: null });
  });

  it('lets the finalizer go with the object or by its controller only', () => {
    const change = { operation: 'UPDATE', oldObject: hashed, object: registration({ password: HASH }) };
    expect(causesOf(validate(change))).toEqual([
      `metadata.finalizers: Forbidden: ${REGISTRATION_FINALIZER} stays until the object is deleted`,
    ]);
    expect(validate({ ...change, username: accounts.registrationController })).toEqual({ denial: null });
    const deleting = registration({ password: HASH, metadata: { deletionTimestamp: '2026-01-02T03:04:05Z' } });
    expect(validate({ ...change, object: deleting })).toEqual({ denial: null });
  });
});
