import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  API_VERSION,
  claimName,
  clusterRolesFile,
  crdFiles,
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
import { Binaries, ControlPlane, PlainEtcd, silent } from '@harikube/local-cluster';
import { type Env, readEnv } from '@harikube/platform';

const MINUTES = 60_000;
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const CANARY = 'Plain-Canary-1';

let folder: string;
let env: Env;
let kubectlProgram: string;
const stops: (() => Promise<void>)[] = [];

interface Answer {
  readonly code: number;
  readonly text: string;
}

/** What kubectl says, whether it succeeds or not. */
function kubectl(args: readonly string[], input?: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = execFile(kubectlProgram, [...args], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(new Error(`kubectl ${args.join(' ')}: ${error.message}`));
      else resolve({ code: Number(error?.code ?? 0), text: (stdout + stderr).trim() });
    });
    child.stdin?.end(input === undefined ? '' : JSON.stringify(input));
  });
}

async function succeed(args: readonly string[], input?: object): Promise<string> {
  const { code, text } = await kubectl(args, input);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${text}`);
  return text;
}

/** Asks again until it succeeds. */
async function eventually(args: readonly string[]): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const { code, text } = await kubectl(args);
    if (code === 0) return;
    if (performance.now() > deadline) throw new Error(`kubectl ${args.join(' ')} still ends with ${code}: ${text}`);
  }
}

async function refuse(args: readonly string[], input?: object): Promise<string> {
  const { code, text } = await kubectl(args, input);
  if (code === 0) throw new Error(`kubectl ${args.join(' ')} was not refused: ${text}`);
  return text;
}

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
  folder = await mkdtemp(join(tmpdir(), 'harikube-crds-'));
  const own = readEnv();
  const binaries = await new Binaries({ env: own, progress: silent }).find([
    'kube-apiserver',
    'kube-controller-manager',
    'kubectl',
    'etcd',
  ]);
  kubectlProgram = binaries.kubectl.path;
  const etcd = new PlainEtcd({ dataDir: folder, program: binaries.etcd.path, env: own });
  stops.unshift(() => etcd.stop());
  await etcd.start();
  const controlPlane = new ControlPlane({
    dataDir: folder,
    programs: { 'kube-apiserver': binaries['kube-apiserver'].path, 'kube-controller-manager': binaries['kube-controller-manager'].path },
    port: 0,
    etcdServers: [etcd.url],
    env: own,
  });
  stops.unshift(() => controlPlane.stop());
  await controlPlane.start();
  env = { ...own, KUBECONFIG: controlPlane.kubeconfigFile };
  const files = [...crdFiles(), clusterRolesFile()].flatMap((file) => ['-f', file]);
  await succeed(['apply', '--server-side', ...files]);
  await succeed(['wait', 'crd', '--all', '--for=condition=Established', '--timeout=30s']);
}, 3 * MINUTES);

afterAll(async () => {
  for (const stop of stops) await stop();
  await rm(folder, { recursive: true, force: true });
}, MINUTES);

describe('the CustomResourceDefinitions on a real kube-apiserver', () => {
  it('are structural, and known by their names, short names and category', async () => {
    const conditions = await succeed(['get', 'crd', '-o', 'jsonpath={.items[*].status.conditions[?(@.status=="True")].type}']);
    expect(new Set(conditions.split(' '))).toEqual(new Set(['NamesAccepted', 'Established']));
    const known = await succeed(['api-resources', '--categories=webshop', '-o', 'name']);
    expect(known.split('\n').sort()).toEqual(KINDS.map(({ plural, group }) => `${plural}.${group}`).sort());
    for (const short of ['regreq', 'tnt', 'usr', 'eml', 'emltpl', 'emlclm']) await succeed(['get', short]);
    const explained = await succeed(['explain', 'users.spec.phoneNumber']);
    expect(explained).toContain('Phone number as in E.164');
  });

  it('keep a registration that holds a hash, and neither keep nor repeat a plain password', async () => {
    await succeed(create, registration('good', HASH));
    for (const password of [CANARY, CANARY.repeat(30), 'x']) {
      const said = await refuse(create, registration('plain', password));
      expect(said).toContain('spec.password');
      expect(said).not.toContain(CANARY);
    }
    expect(await refuse(merge('registrationrequest', 'good', { spec: { password: CANARY } }))).not.toContain(CANARY);
    expect(await refuse(merge('registrationrequest', 'good', { spec: { user: { firstName: 'Eve' } } }))).toContain(
      'a registration cannot be changed',
    );
  });

  it('let a registration be Complete with its results, and not Failed besides', async () => {
    const status = (value: object): string[] => merge('registrationrequest', 'good', { status: value }, '--subresource=status');
    expect(await refuse(status({ conditions: [condition('Complete', 'True')] }))).toContain('names its tenant, namespace and user');
    const results = { tenant: 'u-1', namespace: 'u-1', user: 'u-1' };
    expect(await refuse(status({ ...results, conditions: [condition('Complete', 'True'), condition('Failed', 'True')] }))).toContain(
      'either Complete or Failed',
    );
    await succeed(status({ ...results, conditions: [condition('Complete', 'True'), condition('Claimed', 'True')] }));
    expect((await succeed(['get', 'regreq', 'good', '--no-headers'])).split(/\s+/).slice(0, 4)).toEqual([
      'good',
      'Jane@example.com',
      'Acme',
      'True',
    ]);
  });

  it('name the field that is missing, wrong or unknown', async () => {
    const said = await refuse(create, object('Tenant', 'bad', { country: 'hu', city: '', address: 'x' }));
    expect(said).toContain('spec.country: Invalid value: "hu"');
    expect(said).toContain('spec.city');
    expect(said).toContain('spec.postalCode: Required value');
    expect(await refuse(create, object('Tenant', 'a.b', tenantSpec))).toContain('the name of a Tenant is the name of its namespace');
    expect(await refuse(create, object('User', 'bad', { ...userSpec, age: 7 }))).toContain('unknown field "spec.age"');
    for (const email of ['jane', 'jane@host', 'a b@example.com', 'Jane <jane@example.com>', '.a@example.com', 'a@-b.com'])
      expect(await refuse(create, object('User', 'bad', { ...userSpec, email }))).toContain('spec.email');
    expect(await refuse(create, object('User', 'bad', { ...userSpec, phoneNumber: '+1234567890123456' }))).toContain('spec.phoneNumber');
    expect(await refuse(create, object('Email', 'bad', { ...mail, subject: 'Hi\r\nBcc: all@example.com' }))).toContain('spec.subject');
    await refuse(create, object('EmailClaim', 'bad', { requestName: 'r', requestUid: 'u' }));
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
      const { text } = await kubectl(['create', '--dry-run=server', '-f', '-'], object(kind.name, name, spec));
      const refused = text.match(/(?<![\w.])spec(?:\.\w+|\[\d+\])*(?=: (?:Invalid|Required|Too|Unsupported))/g) ?? [];
      const ours = validateSpec(kind, { spec }).map(({ field }) => field);
      expect([text, [...new Set(ours)].sort()]).toEqual([text, [...new Set(refused)].sort()]);
    }
  });

  it('take addresses of every script', async () => {
    const emails = ['jane+tag.x@example.com', 'jane@münchen.example', 'жанна@почта.рф', 'jane@xn--80a1acny.xn--p1ai'];
    for (const email of emails) await succeed(['create', '--dry-run=server', '-f', '-'], object('User', 'script', { ...userSpec, email }));
  });

  it('keep the address of a user but for its case, and find a user by it', async () => {
    await succeed(create, object('User', 'jane', userSpec));
    expect(await refuse(merge('user', 'jane', { spec: { email: 'other@example.com' } }))).toContain('claimed by the registration');
    await succeed(merge('user', 'jane', { spec: { email: 'jane@example.com', lastName: 'Doe' } }));
    const found = (field: string): Promise<string> => succeed(['get', 'users', '--field-selector', field, '-o', 'name']);
    expect(await found('spec.email=jane@example.com,spec.lastName=Doe')).toContain('/jane');
    expect(await found('spec.email=other@example.com')).toBe('');
    expect(await refuse(['get', 'users', '--field-selector', 'spec.phoneNumber=1'])).toContain('field label not supported');
  });

  it('keep a mail that was sent as it was sent', async () => {
    await succeed(create, object('Email', 'welcome', mail));
    const status = (value: object): string[] => merge('email', 'welcome', { status: value }, '--subresource=status');
    expect(await refuse(status({ errorMessage: 'no server' }))).toContain('errorMessage and errorTimestamp are set together');
    await succeed(status({ errorMessage: 'no server', errorTimestamp: '2026-01-02T03:04:05Z' }));
    await succeed(merge('email', 'welcome', { spec: { subject: 'Welcome back' } }));
    await succeed(status({ sentTimestamp: '2026-01-02T03:04:06Z', errorMessage: null, errorTimestamp: null }));
    expect(await refuse(merge('email', 'welcome', { spec: { subject: 'Other' } }))).toContain('a mail that was sent cannot be changed');
    expect(await refuse(status({ sentTimestamp: null }))).toContain('a mail that was sent stays sent');
  });

  it('hold one claim for an address, which passes from one request to another as a whole', async () => {
    const name = claimName('Jane@Example.com');
    await succeed(create, object('EmailClaim', name, { requestName: 'r', requestUid: 'u' }));
    expect(await refuse(create, object('EmailClaim', claimName('jane@example.com'), { requestName: 's', requestUid: 'v' }))).toContain(
      'AlreadyExists',
    );
    expect(await refuse(merge('emailclaim', name, { spec: { requestName: 's' } }))).toContain('changes together with requestUid');
    await succeed(merge('emailclaim', name, { spec: { requestName: 's', requestUid: 'v' } }));
  });

  it('give readers everything but registrations, and tell a viewer of the cluster neither users nor mails', async () => {
    await succeed(['create', 'clusterrolebinding', 'viewer', '--clusterrole=view', '--user=viewer']);
    await succeed(['create', 'clusterrolebinding', 'users', '--clusterrole=webshop-user-viewer', '--user=reader']);
    await succeed(create, object('EmailTemplate', 'welcome', { ...templateSpec, body: 'Dear {{ .spec.firstName }}' }));
    // The controller adds up the role, and the authorizer follows.
    await eventually(['get', 'tenants,emailtemplates', '--as=viewer']);
    await eventually(['get', 'users', '--as=reader']);
    for (const hidden of ['registrationrequests', 'users', 'emails', 'emailclaims'])
      expect(await refuse(['get', hidden, '--as=viewer'])).toContain('Forbidden');
    expect(await succeed(['get', 'users', '--as=reader', '-o', 'name'])).toContain('/jane');
    expect(await refuse(['delete', 'user', 'jane', '--as=reader'])).toContain('Forbidden');
  });
});
