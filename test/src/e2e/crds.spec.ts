import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  API_VERSION,
  claimName,
  type CustomObject,
  Email,
  EmailClaim,
  EmailTemplate,
  KINDS,
  RegistrationRequest,
  type SchemaClass,
  Tenant,
  User,
  validateSpec,
} from '@harikube/crds';
import type { Answer } from './answer.js';
import { eventually } from './eventually.js';
import type { Kubectl } from './kubectl.js';
import { RunningCluster } from './running-cluster.js';

const MINUTES = 60_000;
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const CANARY = 'Plain-Canary-1';

let cluster: RunningCluster;
let kubectl: Kubectl;

const merge = (resource: string, name: string, patch: object, ...more: string[]): string[] => [
  'patch',
  resource,
  name,
  ...more,
  '--type=merge',
  '-p',
  JSON.stringify(patch),
];

const create = ['create', '-f', '-'];
const userSpec = { firstName: 'Jane', lastName: "O'Neil-Bérces", email: 'Jane@example.com', phoneNumber: '+123456789012345' };
const tenantSpec = { companyName: 'Acme', country: 'HU', city: 'Budapest', address: 'Fő u. 1\n2nd floor', postalCode: '1011' };
const mail = { toAddress: 'jane@example.com', fromAddress: 'shop@example.com', fromName: 'Webshop', subject: 'Welcome' };
const templateSpec = { displayName: 'Welcome', fromName: 'Webshop', fromAddress: 'shop@example.com', subject: 'Welcome' };

function object(kind: string, name: string, spec: object): object {
  return { apiVersion: API_VERSION, kind, metadata: { name }, spec };
}

const registration = (name: string, password: string): object =>
  object('RegistrationRequest', name, { password, user: userSpec, tenant: tenantSpec });

const condition = (type: string, status: string): object => ({
  type,
  status,
  reason: 'Said',
  message: '',
  lastTransitionTime: '2026-01-02T03:04:05Z',
});

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'crds', store: 'etcd' });
  kubectl = cluster.kubectl;
  await cluster.installCrds();
}, 3 * MINUTES);

afterAll(async () => {
  await cluster?.stop();
});

describe('the CustomResourceDefinitions on a real kube-apiserver', () => {
  it('are structural, and known by their names, short names and category', async () => {
    const conditions = await kubectl.succeed(['get', 'crd', '-o', 'jsonpath={.items[*].status.conditions[?(@.status=="True")].type}']);
    expect(new Set(conditions.split(' '))).toEqual(new Set(['NamesAccepted', 'Established']));
    const known = (category: string): Promise<string> => kubectl.succeed(['api-resources', `--categories=${category}`, '-o', 'name']);
    const all: string[] = [];
    for (const category of ['webshop', 'triggers', 'topology']) all.push(...(await known(category)).split('\n'));
    expect(all.sort()).toEqual(KINDS.map(({ plural, group }) => `${plural}.${group}`).sort());
    for (const short of ['regreq', 'tnt', 'usr', 'eml', 'emltpl', 'emlclm', 'httptrg', 'topo']) await kubectl.succeed(['get', short]);
    const explained = await kubectl.succeed(['explain', 'users.spec.phoneNumber']);
    expect(explained).toContain('Phone number as in E.164');
  });

  it('keep a registration that holds a hash, and neither keep nor repeat a plain password', async () => {
    await kubectl.succeed(create, registration('good', HASH));
    for (const password of [CANARY, CANARY.repeat(30), 'x']) {
      const said = await kubectl.refuse(create, registration('plain', password));
      expect(said).toContain('spec.password');
      expect(said).not.toContain(CANARY);
    }
    expect(await kubectl.refuse(merge('registrationrequest', 'good', { spec: { password: CANARY } }))).not.toContain(CANARY);
    expect(await kubectl.refuse(merge('registrationrequest', 'good', { spec: { user: { firstName: 'Eve' } } }))).toContain(
      'a registration cannot be changed',
    );
  });

  it('let a registration be Complete with its results, and not Failed besides', async () => {
    const status = (value: object): string[] => merge('registrationrequest', 'good', { status: value }, '--subresource=status');
    expect(await kubectl.refuse(status({ conditions: [condition('Complete', 'True')] }))).toContain('names its tenant, namespace and user');
    const results = { tenant: 'u-1', namespace: 'u-1', user: 'u-1' };
    expect(
      await kubectl.refuse(status({ ...results, conditions: [condition('Complete', 'True'), condition('Failed', 'True')] })),
    ).toContain('either Complete or Failed');
    await kubectl.succeed(status({ ...results, conditions: [condition('Complete', 'True'), condition('Claimed', 'True')] }));
    expect((await kubectl.succeed(['get', 'regreq', 'good', '--no-headers'])).split(/\s+/).slice(0, 4)).toEqual([
      'good',
      'Jane@example.com',
      'Acme',
      'True',
    ]);
  });

  it('name the field that is missing, wrong or unknown', async () => {
    const said = await kubectl.refuse(create, object('Tenant', 'bad', { country: 'hu', city: '', address: 'x' }));
    expect(said).toContain('spec.country: Invalid value: "hu"');
    expect(said).toContain('spec.city');
    expect(said).toContain('spec.postalCode: Required value');
    expect(await kubectl.refuse(create, object('Tenant', 'a.b', tenantSpec))).toContain(
      'the name of a Tenant is the name of its namespace',
    );
    expect(await kubectl.refuse(create, object('User', 'bad', { ...userSpec, age: 7 }))).toContain('unknown field "spec.age"');
    for (const email of ['jane', 'jane@host', 'a b@example.com', 'Jane <jane@example.com>', '.a@example.com', 'a@-b.com'])
      expect(await kubectl.refuse(create, object('User', 'bad', { ...userSpec, email }))).toContain('spec.email');
    expect(await kubectl.refuse(create, object('User', 'bad', { ...userSpec, phoneNumber: '+1234567890123456' }))).toContain(
      'spec.phoneNumber',
    );
    expect(await kubectl.refuse(create, object('Email', 'bad', { ...mail, subject: 'Hi\r\nBcc: all@example.com' }))).toContain(
      'spec.subject',
    );
    await kubectl.refuse(create, object('EmailClaim', 'bad', { requestName: 'r', requestUid: 'u' }));
  });

  it('refuse the fields that validateSpec refuses, and no others', async () => {
    const long = 'x'.repeat(300);
    const cases: [SchemaClass<CustomObject>, object][] = [
      [User, {}],
      [User, { ...userSpec, firstName: '', lastName: '1st', phoneNumber: '12' }],
      [User, { ...userSpec, firstName: 5, lastName: null, email: ['jane@example.com'] }],
      [User, { ...userSpec, firstName: `J${'a\u0301'.repeat(62)}`, lastName: `D${'\u{10400}'.repeat(124)}` }],
      [User, { ...userSpec, firstName: `J${'a\u0301'.repeat(63)}`, email: `${'a'.repeat(250)}@example.com` }],
      [Tenant, { ...tenantSpec, city: '❤\uFE0F'.repeat(26) }],
      [Tenant, { ...tenantSpec, companyName: '', country: 'HUNG', postalCode: long, taxNumber: 'a\tb' }],
      [Email, { ...mail, fromName: 'a\nb', subject: long.repeat(4), body: true }],
      [EmailTemplate, { ...templateSpec, displayName: '' }],
      [EmailClaim, { requestName: 'A_b', requestUid: '' }],
      [RegistrationRequest, { user: { ...userSpec, email: 'x' }, password: HASH, tenant: [] }],
      [RegistrationRequest, { user: 'x', password: [CANARY], tenant: { ...tenantSpec, city: 7 } }],
    ];
    for (const [kind, spec] of cases) {
      const name = kind.name === 'EmailClaim' ? claimName('x@example.com') : 'same';
      const { out, err } = await kubectl.run(['create', '--dry-run=server', '-f', '-'], object(kind.name, name, spec));
      const text = (out + err).trim();
      const refused = text.match(/(?<![\w.])spec(?:\.\w+|\[\d+\])*(?=: (?:Invalid|Required|Too|Unsupported))/g) ?? [];
      const ours = validateSpec(kind, { spec }).map(({ field }) => field);
      expect([text, [...new Set(ours)].sort()]).toEqual([text, [...new Set(refused)].sort()]);
    }
  });

  it('take addresses of every script', async () => {
    const emails = ['jane+tag.x@example.com', 'jane@münchen.example', 'жанна@почта.рф', 'jane@xn--80a1acny.xn--p1ai'];
    for (const email of emails)
      await kubectl.succeed(['create', '--dry-run=server', '-f', '-'], object('User', 'script', { ...userSpec, email }));
  });

  it('keep the address of a user but for its case, and find a user by it', async () => {
    await kubectl.succeed(create, object('User', 'jane', userSpec));
    expect(await kubectl.refuse(merge('user', 'jane', { spec: { email: 'other@example.com' } }))).toContain('claimed by the registration');
    await kubectl.succeed(merge('user', 'jane', { spec: { email: 'jane@example.com', lastName: 'Doe' } }));
    const found = (field: string): Promise<string> => kubectl.succeed(['get', 'users', '--field-selector', field, '-o', 'name']);
    expect(await found('spec.email=jane@example.com,spec.lastName=Doe')).toContain('/jane');
    expect(await found('spec.email=other@example.com')).toBe('');
    expect(await kubectl.refuse(['get', 'users', '--field-selector', 'spec.phoneNumber=1'])).toContain('field label not supported');
  });

  it('keep a mail that was sent as it was sent', async () => {
    await kubectl.succeed(create, object('Email', 'welcome', mail));
    const status = (value: object): string[] => merge('email', 'welcome', { status: value }, '--subresource=status');
    expect(await kubectl.refuse(status({ errorMessage: 'no server' }))).toContain('an errorMessage has an errorTimestamp');
    await kubectl.succeed(status({ errorMessage: 'no server', errorTimestamp: '2026-01-02T03:04:05Z' }));
    await kubectl.succeed(merge('email', 'welcome', { spec: { subject: 'Welcome back' } }));
    // As the reference's function tells a success.
    await kubectl.succeed(status({ sentTimestamp: '2026-01-02T03:04:06Z', errorMessage: '', lastGeneration: 1 }));
    expect(await kubectl.refuse(merge('email', 'welcome', { spec: { subject: 'Other' } }))).toContain(
      'a mail that was sent cannot be changed',
    );
    expect(await kubectl.refuse(status({ sentTimestamp: null }))).toContain('a mail that was sent stays sent');
  });

  it('hold one claim for an address, which passes from one request to another as a whole', async () => {
    const name = claimName('Jane@Example.com');
    await kubectl.succeed(create, object('EmailClaim', name, { requestName: 'r', requestUid: 'u' }));
    expect(
      await kubectl.refuse(create, object('EmailClaim', claimName('jane@example.com'), { requestName: 's', requestUid: 'v' })),
    ).toContain('AlreadyExists');
    expect(await kubectl.refuse(merge('emailclaim', name, { spec: { requestName: 's' } }))).toContain('changes together with requestUid');
    await kubectl.succeed(merge('emailclaim', name, { spec: { requestName: 's', requestUid: 'v' } }));
  });

  it('give readers everything but registrations, and tell a viewer of the cluster neither users nor mails', async () => {
    await kubectl.succeed(['create', 'clusterrolebinding', 'viewer', '--clusterrole=view', '--user=viewer']);
    await kubectl.succeed(['create', 'clusterrolebinding', 'users', '--clusterrole=webshop-user-viewer', '--user=reader']);
    await kubectl.succeed(create, object('EmailTemplate', 'welcome', { ...templateSpec, body: 'Dear {{ .spec.firstName }}' }));
    // The controller adds up the role, and the authorizer follows.
    const succeeds = ({ code }: Answer): boolean => code === 0;
    await eventually(() => kubectl.run(['get', 'tenants,emailtemplates', '--as=viewer']), succeeds);
    await eventually(() => kubectl.run(['get', 'users', '--as=reader']), succeeds);
    for (const hidden of ['registrationrequests', 'users', 'emails', 'emailclaims'])
      expect(await kubectl.refuse(['get', hidden, '--as=viewer'])).toContain('Forbidden');
    expect(await kubectl.succeed(['get', 'users', '--as=reader', '-o', 'name'])).toContain('/jane');
    expect(await kubectl.refuse(['delete', 'user', 'jane', '--as=reader'])).toContain('Forbidden');
  });
});
