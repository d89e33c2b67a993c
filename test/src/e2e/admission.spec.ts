import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { admissionWebhookManifests } from '@harikube/admission-webhook';
import {
  API_VERSION,
  claimName,
  clusterRolesFile,
  crdFiles,
  PASSWORD_ANNOTATION,
  REGISTRATION_FINALIZER,
  REGISTRATION_REQUESTS,
  type RegistrationRequest,
  TENANT_FINALIZER,
  TENANT_LABEL,
} from '@harikube/crds';
import { KubeClient, StatusError } from '@harikube/kube';
import {
  Binaries,
  type Certificates,
  ControlPlane,
  freePort,
  loadCertificate,
  loadCertificates,
  PlainEtcd,
  silent,
  writeKubeconfig,
} from '@harikube/local-cluster';
import { type Env, readEnv } from '@harikube/platform';
import { EtcdClient } from '@harikube/testing';
import { AdmissionProcess } from './admission-process.js';

const MINUTES = 60_000;
const PLATFORM = 'harikube-system';
const CANARY = 'Plain-Canary-1';
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const PHC = /\$argon2id\$v=19\$m=65536,t=1,p=2\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}/;
const PARALLEL = 2;
const FLOOD = 200;

let folder: string;
let env: Env;
let kubectlProgram: string;
let controlPlane: ControlPlane;
let certificates: Certificates;
let etcdUrl: string;
let client: KubeClient;
let webhook: AdmissionProcess;
let webhookFlags: string[];
let webhookPort: number;
let adminPort: number;
const stops: (() => Promise<unknown> | void)[] = [];

interface Answer {
  readonly code: number;
  readonly text: string;
}

/** What kubectl says, whether it succeeds or not. */
function kubectl(args: readonly string[], input?: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = execFile(kubectlProgram, [...args], { env, timeout: 30_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
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

async function refuse(args: readonly string[], input?: object): Promise<string> {
  const { code, text } = await kubectl(args, input);
  if (code === 0) throw new Error(`kubectl ${args.join(' ')} was not refused: ${text}`);
  return text;
}

/** How the API refuses it. */
async function refusal(answer: Promise<unknown>): Promise<StatusError> {
  try {
    await answer;
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

const create = ['create', '-f', '-'];
const apply = ['apply', '-f', '-'];
const serverSide = ['apply', '--server-side', '-f', '-'];
const shown = ['-o', 'json', '--show-managed-fields'];
const tenantSpec = { companyName: 'Acme', country: 'HU', city: 'Budapest', address: 'Fő u. 1', postalCode: '1011' };
const userSpec = (email: string): object => ({ firstName: 'Jane', lastName: 'Doe', email });

function object(kind: string, metadata: object, spec: object): object {
  return { apiVersion: API_VERSION, kind, metadata, spec };
}

/** Each with an address of its own. */
function registration(name: string, password = CANARY, metadata: object = { name }): RegistrationRequest {
  const spec = { user: userSpec(`${name}@example.com`), password, tenant: tenantSpec };
  return object('RegistrationRequest', metadata, spec) as RegistrationRequest;
}

const merge = (resource: string, name: string, patch: object, ...more: string[]): string[] => [
  'patch',
  resource,
  name,
  '--type=merge',
  '-p',
  JSON.stringify(patch),
  ...more,
];

const page = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text();

function count(metrics: string, name: string): number {
  const line = metrics.split('\n').find((text) => text.startsWith(name));
  if (line === undefined) throw new Error(`there is no metric ${name}`);
  return Number(line.split(' ').at(-1));
}

/** The certificate that a new connection is shown. */
function servedSerial(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: webhookPort, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.end();
    });
    socket.on('error', reject);
  });
}

/** Everything that is kept or said anywhere: each place with its text. */
async function everywhere(): Promise<Map<string, string>> {
  const places = new Map<string, string>();
  const etcd = new EtcdClient(etcdUrl);
  try {
    const { kvs } = await etcd.list('/registry/');
    places.set('etcd', kvs.map(({ value }) => Buffer.from(value).toString('latin1')).join('\n'));
  } finally {
    etcd.close();
  }
  for (const kind of ['registrationrequests', 'tenants', 'users', 'events', 'events.events.k8s.io'])
    places.set(kind, await succeed(['get', kind, '-A', ...shown]));
  places.set('metrics of the webhook', await page('/metrics'));
  places.set('metrics of kube-apiserver', await succeed(['get', '--raw', '/metrics']));
  const logs = await readdir(join(folder, 'logs'));
  for (const name of logs) places.set(name, readFileSync(join(folder, 'logs', name), 'latin1'));
  return places;
}

function startWebhook(): Promise<AdmissionProcess> {
  return AdmissionProcess.start(webhookFlags, join(folder, 'logs', 'admission-webhook.log'));
}

/** A webhook that runs after ours and changes every object, so that kube-apiserver asks ours again. */
async function startLabeller(): Promise<void> {
  const pair = { cert: readFileSync(join(folder, 'webhook', 'tls.crt')), key: readFileSync(join(folder, 'webhook', 'tls.key')) };
  const server: Server = createServer(pair, (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { request: asked } = JSON.parse(body) as { request: { uid: string } };
      const patch = Buffer.from(JSON.stringify([{ op: 'add', path: '/metadata/labels', value: { late: 'yes' } }])).toString('base64');
      const answer = { uid: asked.uid, allowed: true, patchType: 'JSONPatch', patch };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  stops.unshift(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  await succeed(create, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'labeller' },
    webhooks: [
      {
        name: 'labeller.example.com',
        clientConfig: {
          url: `https://127.0.0.1:${port}/`,
          caBundle: Buffer.from(certificates.authority.certificate).toString('base64'),
        },
        rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['CREATE'], resources: ['registrationrequests'] }],
        objectSelector: { matchLabels: { again: 'yes' } },
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
      },
    ],
  });
}

/** Asks until kube-apiserver has taken up what was configured. */
async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await holds())) if (performance.now() > deadline) throw new Error('it did not come to be in time');
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-admission-'));
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
  etcdUrl = etcd.url;
  controlPlane = new ControlPlane({
    dataDir: folder,
    programs: { 'kube-apiserver': binaries['kube-apiserver'].path, 'kube-controller-manager': binaries['kube-controller-manager'].path },
    port: 0,
    etcdServers: [etcd.url],
    env: own,
    controllerManager: false,
  });
  stops.unshift(() => controlPlane.stop());
  await controlPlane.start();
  env = { ...own, KUBECONFIG: controlPlane.kubeconfigFile };
  client = KubeClient.fromConfig({ kubeconfig: controlPlane.kubeconfigFile, userAgent: 'admission-spec' });
  stops.unshift(() => client.close());
  await succeed(['apply', '--server-side', ...[...crdFiles(), clusterRolesFile()].flatMap((file) => ['-f', file])]);
  await succeed(['wait', 'crd', '--all', '--for=condition=Established', '--timeout=30s']);
  await succeed(['create', 'namespace', PLATFORM]);

  certificates = await loadCertificates(join(folder, 'pki'));
  await loadCertificate(join(folder, 'webhook'), certificates, { file: 'tls', commonName: 'admission-webhook', use: 'server' });
  const account = `system:serviceaccount:${PLATFORM}:admission-webhook`;
  const pair = await loadCertificate(join(folder, 'accounts'), certificates, {
    file: 'admission-webhook',
    commonName: account,
    organizations: ['system:serviceaccounts', `system:serviceaccounts:${PLATFORM}`, 'system:authenticated'],
    use: 'client',
  });
  const kubeconfig = join(folder, 'admission-webhook.kubeconfig');
  writeKubeconfig(kubeconfig, { server: controlPlane.url, authority: certificates.authority, user: account, client: pair });
  webhookPort = await freePort();
  adminPort = await freePort();
  webhookFlags = [
    `--kubeconfig=${kubeconfig}`,
    `--namespace=${PLATFORM}`,
    `--webhook-bind-address=127.0.0.1:${webhookPort}`,
    `--webhook-cert-path=${join(folder, 'webhook')}`,
    `--health-probe-bind-address=127.0.0.1:${adminPort}`,
    `--metrics-bind-address=127.0.0.1:${adminPort}`,
    `--max-concurrent-hashes=${PARALLEL}`,
    // As much memory as by default, and less time: two hundred of them are made.
    '--argon2-iterations=1',
    '--log-format=json',
    '--debug',
  ];
  const caBundle = certificates.authority.certificate;
  const manifests = admissionWebhookManifests({ namespace: PLATFORM, caBundle, url: `https://127.0.0.1:${webhookPort}` });
  await succeed(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: manifests });
  webhook = await startWebhook();
  stops.unshift(() => webhook.stop());
  await eventually(async () => (await kubectl([...create, '--dry-run=server', '-o', 'name'], registration('first', 'weak'))).code !== 0);
}, 3 * MINUTES);

afterAll(async () => {
  for (const stop of stops) await stop();
  await rm(folder, { recursive: true, force: true });
}, MINUTES);

describe('the admission webhook on a real kube-apiserver', () => {
  it('stores the hash of a password, however the object is sent', async () => {
    const answers = [
      await succeed([...create, ...shown], registration('created')),
      await succeed([...create, '--save-config', ...shown], registration('saved')),
      await succeed([...apply, ...shown], registration('applied')),
      await succeed([...serverSide, ...shown], registration('serverside')),
      await succeed([...create, ...shown], registration('generated', CANARY, { generateName: 'generated-' })),
    ];
    const dry = [
      await succeed([...create, '--dry-run=server', ...shown], registration('dry')),
      await succeed([...apply, '--dry-run=server', ...shown], registration('dry')),
      await succeed([...serverSide, '--dry-run=server', ...shown], registration('dry')),
    ];
    for (const answer of [...answers, ...dry]) {
      expect(answer).toMatch(PHC);
      expect(answer).not.toContain(CANARY);
    }
    const { items } = await client.list(REGISTRATION_REQUESTS, {});
    expect(items).toHaveLength(answers.length);
    for (const { metadata, spec } of items) {
      expect(spec.password).toMatch(PHC);
      expect(metadata.finalizers).toEqual([REGISTRATION_FINALIZER]);
    }
    const annotation = items.find(({ metadata }) => metadata.name === 'applied')?.metadata.annotations;
    expect(Object.values(annotation ?? {}).join('')).toMatch(PHC);
  });

  it('refuses a plain password of an object that is there, however it is sent', async () => {
    const name = 'created';
    const current = await client.get(REGISTRATION_REQUESTS, name);
    const plain = { spec: { password: CANARY } };
    const json = [{ op: 'replace', path: '/spec/password', value: CANARY }];
    const changed = { ...current, spec: { ...current.spec, password: CANARY } };
    for (const dryRun of [false, true]) {
      const refusals = [
        await refusal(client.update(REGISTRATION_REQUESTS, changed, { dryRun })),
        await refusal(client.patch(REGISTRATION_REQUESTS, name, undefined, plain, { type: 'merge', dryRun })),
        await refusal(client.patch(REGISTRATION_REQUESTS, name, undefined, json, { type: 'json', dryRun })),
        await refusal(client.apply(REGISTRATION_REQUESTS, registration(name), { fieldManager: 'spec', force: true, dryRun })),
      ];
      for (const { code, message, status } of refusals) {
        expect([code, message]).toEqual([422, expect.stringContaining('the password of a registration cannot be changed')]);
        expect(JSON.stringify(status)).not.toContain(CANARY);
      }
    }
    // kubectl shows the patch that it made of the file; the server's part of the message has nothing of it.
    await refuse(apply, registration('applied'));
    await refuse(['replace', '-f', '-'], registration(name));
    await refuse(merge('registrationrequest', name, plain, '--dry-run=server'));
    await succeed(['apply', 'set-last-applied', '--create-annotation', '-f', '-'], registration(name));
    await succeed(['annotate', 'registrationrequest', name, 'note=x']);
    expect((await client.get(REGISTRATION_REQUESTS, name)).spec).toEqual(current.spec);
  });

  it('takes an object again that was hashed already', async () => {
    const hashed = registration('restored', HASH);
    await succeed(apply, hashed);
    expect(await succeed(apply, hashed)).toContain('unchanged');
    expect((await client.get(REGISTRATION_REQUESTS, 'restored')).spec.password).toBe(HASH);
    expect(await refuse(create, registration('costly', HASH.replace('m=65536', 'm=9999999')))).toContain('m from 19456 to 131072');
  });

  it('keeps its word when it is asked again', async () => {
    await startLabeller();
    const labelled = (name: string): RegistrationRequest => registration(name, CANARY, { name, labels: { again: 'yes' } });
    const dry = async (): Promise<string> => succeed([...create, '--dry-run=server', '-o', 'json'], labelled('again'));
    await eventually(async () => (await dry()).includes('"late": "yes"'));
    const total = 'controller_runtime_webhook_requests_total{webhook="/mutate-product-webshop-harikube-info-v1-registrationrequest"';
    const before = count(await page('/metrics'), total);
    const answer = await succeed([...create, '-o', 'json'], labelled('again'));
    expect(answer).toMatch(PHC);
    expect(count(await page('/metrics'), total)).toBe(before + 2);
  });

  it('says what a password and the other fields lack', async () => {
    const weak = {
      ...registration('weak', 'canary'),
      spec: { user: userSpec('x'), password: 'canary', tenant: { ...tenantSpec, country: 'hu' } },
    };
    const said = await refuse(create, weak);
    expect(said).toContain('The RegistrationRequest "weak" is invalid');
    expect(said).toContain('* spec.password: Invalid value: "string": must have 8 to 64 characters');
    expect(said).toContain('it is too short and lacks a capital letter, a digit and a special character');
    expect(said).toContain('* spec.user.email: Invalid value: "x"');
    expect(said).toContain('* spec.tenant.country: Invalid value: "hu"');
    expect(said).not.toContain('canary');
  });

  it('says early that an address is taken', async () => {
    const name = claimName('taken@example.com');
    await succeed(create, object('EmailClaim', { name }, { requestName: 'other', requestUid: 'u-1' }));
    const taken = registration('taken');
    taken.spec.user.email = 'Taken@Example.com';
    await eventually(async () => (await kubectl([...create, '--dry-run=server'], taken)).code !== 0);
    const { code, isConflict, status } = await refusal(client.create(REGISTRATION_REQUESTS, taken));
    expect([code, isConflict]).toEqual([409, true]);
    expect(status.details?.causes).toEqual([expect.objectContaining({ field: 'spec.user.email' })]);
    expect(JSON.stringify(status)).not.toMatch(/other|u-1|@/);
    expect(await refuse(create, taken)).toContain('a registration with this e-mail address exists already');
  });

  it('keeps the finalizer of a Tenant while it lives, and lets it go afterwards', async () => {
    const metadata = { name: 'acme' };
    expect(await succeed([...create, '-o', 'jsonpath={.metadata.finalizers}'], object('Tenant', metadata, tenantSpec))).toContain(
      TENANT_FINALIZER,
    );
    const without = merge('tenant', 'acme', { metadata: { finalizers: null } });
    expect(await succeed(without)).toContain('it was put back');
    expect(await succeed(['get', 'tenant', 'acme', '-o', 'jsonpath={.metadata.finalizers}'])).toContain(TENANT_FINALIZER);
    await succeed(['replace', '-f', '-'], object('Tenant', metadata, { ...tenantSpec, city: 'Győr' }));
    await succeed(['delete', 'tenant', 'acme', '--wait=false']);
    await succeed(without);
    expect(await refuse(['get', 'tenant', 'acme'])).toContain('NotFound');
  });

  it('deletes a registration when its finalizer is gone', async () => {
    await succeed(['delete', 'registrationrequest', 'restored', '--wait=false']);
    await succeed(merge('registrationrequest', 'restored', { metadata: { finalizers: null } }));
    expect(await refuse(['get', 'registrationrequest', 'restored'])).toContain('NotFound');
  });

  it('lets only the registration-controller say which registration an object is of, whoever asks', async () => {
    const marked = object('Tenant', { name: 'marked', labels: { [TENANT_LABEL]: 'marked' } }, tenantSpec);
    expect(await refuse(create, marked)).toContain('Forbidden: only the registration-controller sets it');
    const account = `system:serviceaccount:${PLATFORM}:registration-controller`;
    await succeed(['create', 'clusterrolebinding', 'registration', '--clusterrole=cluster-admin', `--user=${account}`]);
    await eventually(async () => (await kubectl(['get', 'tenants', `--as=${account}`])).code === 0);
    await succeed([...create, `--as=${account}`], marked);
    const change = merge('tenant', 'marked', { metadata: { labels: { [TENANT_LABEL]: 'other' } } });
    expect(await refuse(change)).toContain('Forbidden: it cannot be changed');
    expect(await refuse([...change, `--as=${account}`])).toContain('Forbidden: it cannot be changed');
    await succeed(merge('tenant', 'marked', { metadata: { labels: { team: 'a' } } }));
  });

  it('takes a hash for the password of a User, and shows it nowhere twice', async () => {
    const user = (password: string): object =>
      object('User', { name: 'jane', annotations: { [PASSWORD_ANNOTATION]: password } }, userSpec('jane@example.com'));
    const said = await refuse(create, user(CANARY));
    expect(said).toContain('must be an argon2id hash in PHC form, never the password itself');
    expect(said).not.toContain(CANARY);
    const applied = await succeed([...apply, '-o', 'json'], user(HASH));
    expect(applied.split(HASH)).toHaveLength(2);
    const plain = { metadata: { annotations: { [PASSWORD_ANNOTATION]: CANARY } } };
    expect(await refuse(merge('user', 'jane', plain))).toContain('never the password itself');
    await succeed(['apply', 'set-last-applied', '-f', '-'], user(CANARY));
  });

  it('is asked while its certificate is replaced, without a failure', async () => {
    const before = await servedSerial();
    await loadCertificate(join(folder, 'next'), certificates, { file: 'tls', commonName: 'admission-webhook', use: 'server' });
    let isReplaced = false;
    const load = async (name: string): Promise<number> => {
      let asked = 0;
      for (; !isReplaced; asked++) {
        const tenant = object('Tenant', { name }, tenantSpec);
        await client.raw('POST', `/apis/${API_VERSION}/tenants`, { dryRun: 'All' }, tenant);
      }
      return asked;
    };
    const loads = ['rotate-a', 'rotate-b', 'rotate-c', 'rotate-d'].map(load);
    mkdirSync(join(folder, 'webhook'), { recursive: true });
    for (const name of ['tls.key', 'tls.crt']) {
      cpSync(join(folder, 'next', name), join(folder, 'webhook', `${name}.next`));
      renameSync(join(folder, 'webhook', `${name}.next`), join(folder, 'webhook', name));
    }
    try {
      await eventually(async () => (await servedSerial()) !== before);
    } finally {
      isReplaced = true;
    }
    for (const asked of await Promise.all(loads)) expect(asked).toBeGreaterThan(0);
    await succeed([...create, '--dry-run=server'], object('Tenant', { name: 'after' }, tenantSpec));
  });

  it('hashes few passwords at once when many register, and turns none of them away for good', async () => {
    const before = await webhook.peakKib();
    const seen = { running: 0, waiting: 0 };
    const register = async (name: string): Promise<RegistrationRequest> => {
      const created = await client.create(REGISTRATION_REQUESTS, registration(name));
      const metrics = await page('/metrics');
      seen.running = Math.max(seen.running, count(metrics, 'harikube_password_hashes_running'));
      seen.waiting = Math.max(seen.waiting, count(metrics, 'harikube_password_hashes_waiting'));
      return created;
    };
    const names = Array.from({ length: FLOOD }, (_, index) => `flood-${index}`);
    const created = await Promise.all(names.map(register));
    expect(new Set(created.map(({ spec }) => spec.password)).size).toBe(FLOOD);
    created.forEach(({ spec, metadata }, index) => {
      expect([metadata.name, spec.user.email]).toEqual([names[index], `${names[index]}@example.com`]);
      expect(spec.password).toMatch(PHC);
    });
    expect(seen.waiting).toBeGreaterThan(0);
    expect(seen.running).toBeLessThanOrEqual(PARALLEL);
    expect(seen.waiting).toBeLessThanOrEqual(100);
    // Two hundred hashes at once would be 12 800 MiB.
    expect((await webhook.peakKib()) - before).toBeLessThan((PARALLEL * 64 + 256) * 1024);
  });

  it('is missed when it is away, and nothing is stored then', async () => {
    expect(await page('/readyz?verbose')).toContain('[+]admission-webhook ok');
    expect(await webhook.stop()).toBe(0);
    const said = await refuse(create, registration('away'));
    expect(said).toContain('Internal error occurred: failed calling webhook "mutate.registrationrequests.product.webshop.harikube.info"');
    expect(said).not.toContain(CANARY);
    expect(await refuse(['get', 'registrationrequest', 'away'])).toContain('NotFound');
    webhook = await startWebhook();
    await succeed(create, registration('away'));
  });

  it('has left the password nowhere', async () => {
    const places = await everywhere();
    expect([...places.keys()]).toEqual(expect.arrayContaining(['etcd', 'admission-webhook.log', 'kube-apiserver.log']));
    // The search finds what is there.
    expect(places.get('etcd')).toContain('generated@example.com');
    expect(places.get('admission-webhook.log')).toContain('request denied');
    for (const [place, text] of places) expect([place, text.includes(CANARY), text.includes('canary"')]).toEqual([place, false, false]);
  });
});
