import { ArrayMaxSize } from 'class-validator';
import { describe, expect, it } from '@jest/globals';
import { EmailClaim } from './email-claim.js';
import { HTTPTrigger } from './http-trigger.js';
import { CustomObject } from './kind.js';
import { RegistrationRequest } from './registration-request.js';
import { Describe, List, Nested, NestedList } from './schema-facts.js';
import { LocalReference, Tenant } from './tenant.js';
import { User } from './user.js';
import { type FieldError, unknownFields, validateSpec } from './validate-spec.js';

const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const user = { firstName: 'Jane', lastName: "O'Neil-Bérces", email: 'jane@example.com', phoneNumber: '+123456789012345' };
const tenant = { country: 'HU', city: 'Budapest', address: 'Fő u. 1\n2nd floor', postalCode: '1011' };

const userErrors = (change: object): FieldError[] => validateSpec(User, { spec: { ...user, ...change } });

const triggerErrors = (change: object): FieldError[] =>
  validateSpec(HTTPTrigger, {
    spec: { resource: { apiVersion: 'v1', kind: 'Pod' }, url: { static: 'http://sink.example.com' }, ...change },
  });

class HolderSpec {
  @Describe('References.')
  @NestedList(() => LocalReference)
  @ArrayMaxSize(2)
  @List({ type: 'atomic' })
  refs!: LocalReference[];
}
class Holder extends CustomObject {
  @Describe('The list.')
  @Nested(() => HolderSpec)
  spec!: HolderSpec;
}

describe('validateSpec', () => {
  it('has nothing to say against what is right', () => {
    expect(validateSpec(RegistrationRequest, { spec: { user, password: HASH, tenant } })).toEqual([]);
    expect(validateSpec(Tenant, { spec: { ...tenant, companyName: 'Acme' } })).toEqual([]);
    expect(userErrors({ email: 'jane+tag.x@münchen.example.com' })).toEqual([]);
  });

  it('names what is missing, with the whole path', () => {
    const missing = (field: string) => ({ field, message: 'Required value', type: 'FieldValueRequired' });
    expect(validateSpec(RegistrationRequest, {})).toEqual([missing('spec')]);
    expect(validateSpec(RegistrationRequest, null)).toEqual([missing('spec')]);
    expect(validateSpec(EmailClaim, { spec: { requestName: null, requestUid: 'u' } })).toEqual([missing('spec.requestName')]);
    expect(validateSpec(RegistrationRequest, { spec: { user: {}, tenant } })).toEqual([
      missing('spec.user.firstName'),
      missing('spec.user.lastName'),
      missing('spec.user.email'),
      missing('spec.password'),
    ]);
  });

  it('says which type is wanted, and nothing more of that field', () => {
    expect(userErrors({ email: 5 })).toEqual([
      {
        field: 'spec.email',
        message: 'Invalid value: "integer": must be of type string: "integer"',
        type: 'FieldValueTypeInvalid',
        value: 5,
      },
    ]);
    expect(validateSpec(RegistrationRequest, { spec: { user: [], password: HASH, tenant: 'x' } })).toMatchObject([
      { field: 'spec.user', message: 'Invalid value: "array": must be of type object: "array"' },
      { field: 'spec.tenant', message: 'Invalid value: "string": must be of type object: "string"' },
    ]);
  });

  it('says what is wrong with a value', () => {
    expect(userErrors({ phoneNumber: '0123' })).toMatchObject([
      { field: 'spec.phoneNumber', message: 'Invalid value: "0123": should be at least 7 chars long', value: '0123' },
      { field: 'spec.phoneNumber', type: 'FieldValueInvalid', value: '0123' },
    ]);
    expect(userErrors({ phoneNumber: '01234567' }).map(({ message }) => message)).toEqual([
      expect.stringContaining('must be a phone number as in E.164'),
    ]);
    expect(userErrors({ phoneNumber: '+1234567890123456' })).toMatchObject([
      { message: 'Too long: may not be more than 16 characters', type: 'FieldValueTooLong' },
      { type: 'FieldValueInvalid' },
    ]);
    expect(userErrors({ email: 'jane@אa.com' })).toMatchObject([
      { message: 'Invalid value: "jane@אa.com": the domain of the address is none that DNS can know' },
    ]);
    expect(validateSpec(Tenant, { spec: { ...tenant, country: 'hu' } })).toMatchObject([{ field: 'spec.country', value: 'hu' }]);
  });

  it('counts code points, variation selectors too, as the API server does', () => {
    expect(validateSpec(Tenant, { spec: { ...tenant, city: '𝒳'.repeat(50) } })).toEqual([]);
    expect(validateSpec(Tenant, { spec: { ...tenant, city: 'a\uFE0F'.repeat(26) } })).toMatchObject([{ type: 'FieldValueTooLong' }]);
  });

  it('counts the entries of a list in its paths', () => {
    expect(validateSpec(Holder, { spec: { refs: [{ name: 'a' }, { name: 'B' }] } })).toMatchObject([{ field: 'spec.refs[1].name' }]);
    expect(validateSpec(Holder, { spec: { refs: [{ name: 'a' }, 7] } })).toMatchObject([
      { field: 'spec.refs[1]', type: 'FieldValueTypeInvalid' },
    ]);
    expect(validateSpec(Holder, { spec: { refs: [{ name: 'a' }, { name: 'b' }, {}] } })).toMatchObject([
      { field: 'spec.refs', type: 'FieldValueTooMany', message: 'Too many: 3: must have at most 2 items' },
      { field: 'spec.refs[2].name', type: 'FieldValueRequired' },
    ]);
    expect(validateSpec(Holder, { spec: { refs: { name: 'a' } } })).toMatchObject([
      { field: 'spec.refs', message: 'Invalid value: "object": must be of type array: "object"' },
    ]);
  });

  it('names the entries of lists and maps of values that are wrong', () => {
    const secret = { name: 'token', key: 'token' };
    expect(
      triggerErrors({
        namespaces: ['shop', 'A_b', 7],
        eventTypes: ['ADDED', 'added'],
        retryPolicy: { retryOn: [404, 700] },
        headers: { static: { 'X-A': 'a\r\nb', value: 5 }, fromSecretRef: { 'X-B': secret, 'X-C': { name: 'token' }, 'X-D': 'token' } },
      }).map(({ field, type }) => [field, type]),
    ).toEqual([
      ['spec.namespaces[1]', 'FieldValueInvalid'],
      ['spec.namespaces[2]', 'FieldValueTypeInvalid'],
      ['spec.eventTypes[1]', 'FieldValueNotSupported'],
      ['spec.headers.static.X-A', 'FieldValueInvalid'],
      ['spec.headers.static.value', 'FieldValueTypeInvalid'],
      ['spec.headers.fromSecretRef.X-C.key', 'FieldValueRequired'],
      ['spec.headers.fromSecretRef.X-D', 'FieldValueTypeInvalid'],
      ['spec.retryPolicy.retryOn[1]', 'FieldValueInvalid'],
    ]);
  });

  it('bounds maps by the number of their entries', () => {
    const headers = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-${index}`, 'x']));
    expect(triggerErrors({ headers: { static: headers(32) } })).toEqual([]);
    expect(triggerErrors({ headers: { static: headers(33) } })).toEqual([
      { field: 'spec.headers.static', message: 'Too many: 33: must have at most 32 items', type: 'FieldValueTooMany' },
    ]);
    expect(triggerErrors({ headers: { static: ['x'] } })).toMatchObject([{ field: 'spec.headers.static', type: 'FieldValueTypeInvalid' }]);
  });

  it('takes the durations within their bounds, whatever they are written in', () => {
    for (const timeout of ['100ms', '0.1s', '100000us', '10m', '9m60s', '600s'])
      expect([timeout, triggerErrors({ delivery: { timeout } })]).toEqual([timeout, []]);
    for (const timeout of ['99ms', '0.099s', '10m0.001s', '1h'])
      expect(triggerErrors({ delivery: { timeout } })).toMatchObject([
        { field: 'spec.delivery.timeout', message: `Invalid value: "${timeout}": must be 100ms to 10m` },
      ]);
    for (const timeout of ['10', '-1s', '1 s', '10S', '1d', '9999999s'])
      expect(triggerErrors({ delivery: { timeout } })).toMatchObject([
        { field: 'spec.delivery.timeout', message: expect.stringContaining('must be a duration such as') },
      ]);
  });

  it('asks for nothing that has a default', () => {
    expect(triggerErrors({})).toEqual([]);
    expect(triggerErrors({ url: { service: { name: 'gateway' } }, delivery: {}, rateLimit: {} })).toMatchObject([
      { field: 'spec.rateLimit.requestsPerSecond', type: 'FieldValueRequired' },
    ]);
  });

  it('never tells a password', () => {
    for (const password of ['Sup3r-Secret', `Sup3r-Secret${'x'.repeat(300)}`, ['Sup3r-Secret'], { a: 'Sup3r-Secret' }]) {
      const errors = validateSpec(RegistrationRequest, { spec: { user, password, tenant } });
      expect(errors.map(({ field }) => field)).toContain('spec.password');
      expect(JSON.stringify(errors)).not.toContain('Sup3r');
    }
  });

  it('leaves out what the caller judges himself', () => {
    const plain = { spec: { user: { ...user, email: 'no' }, password: 'plain', tenant } };
    const fields = validateSpec(RegistrationRequest, plain, { except: ['spec.password'] }).map(({ field }) => field);
    expect(new Set(fields)).toEqual(new Set(['spec.user.email']));
  });

  it('takes nothing from a prototype, and survives texts made to keep it busy', () => {
    const inherited = Object.create({ firstName: 'Jane' }) as object;
    expect(validateSpec(User, { spec: Object.assign(inherited, { lastName: 'Doe', email: 'jane@example.com' }) })).toMatchObject([
      { field: 'spec.firstName', type: 'FieldValueRequired' },
    ]);
    for (const email of [`${'a'.repeat(100_000)}@`, `a@${'a-'.repeat(50_000)}`, `a@${'a.'.repeat(50_000)}1`, '.'.repeat(100_000)])
      expect(userErrors({ email })).not.toEqual([]);
  });
});

describe('unknownFields', () => {
  it('names every field that the schema does not have', () => {
    const plain = {
      apiVersion: 'v1',
      kind: 'RegistrationRequest',
      metadata: { anything: 1 },
      spec: { user: { ...user, age: 7 }, tenant, colour: 'red' },
      status: { conditions: [{ type: 'Complete', because: 'x' }] },
      more: {},
    };
    const trigger = {
      spec: { namespaces: ['shop'], headers: { static: { any: 'x' }, fromSecretRef: { 'X-A': { name: 'a', key: 'b', of: 'c' } } } },
    };
    expect(unknownFields(HTTPTrigger, trigger)).toEqual(['spec.headers.fromSecretRef.X-A.of']);
    expect(unknownFields(RegistrationRequest, plain)).toEqual(['spec.user.age', 'spec.colour', 'status.conditions[0].because', 'more']);
  });
});
