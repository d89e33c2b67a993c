import { cpSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { admissionWebhookManifests } from '@harikube/admission-webhook';
import {
  API_VERSION,
  claimName,
  PASSWORD_ANNOTATION,
  REGISTRATION_FINALIZER,
  REGISTRATION_REQUESTS,
  type RegistrationRequest,
  TENANT_FINALIZER,
  TENANT_LABEL,
} from '@harikube/crds';
import { KubeClient, StatusError } from '@harikube/kube';
import { freePort, loadCertificate } from '@harikube/local-cluster';
import { EtcdClient } from '@harikube/testing';
import type { Answer } from './answer.js';
import { eventually } from './eventually.js';
import type { Kubectl } from './kubectl.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster } from './running-cluster.js';

const MINUTES = 60_000;
const PLATFORM = 'harikube-system';
const CANARY = 'Plain-Canary-1';
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
const PHC = /\$argon2id\$v=19\$m=65536,t=1,p=2\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}/;
const PARALLEL = 2;
const FLOOD = 200;

let cluster: RunningCluster;
let kubectl: Kubectl;
let client: KubeClient;
let webhook: ProgramProcess;
let webhookFlags: string[];
let webhookPort: number;
let adminPort: number;

const isRefused = ({ code }: Answer): boolean => code !== 0;

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

const trigger = (name: string, spec: object): object => ({
  apiVersion: 'triggers.harikube.info/v1',
  kind: 'HTTPTrigger',
  metadata: { name },
  spec: { resource: { apiVersion: 'v1', kind: 'ConfigMap' }, url: { static: 'https://sink.example.com' }, ...spec },
});

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
  const etcd = new EtcdClient(cluster.storeUrl);
  try {
    const { kvs } = await etcd.list('/registry/');
    places.set('etcd', kvs.map(({ value }) => Buffer.from(value).toString('latin1')).join('\n'));
  } finally {
    etcd.close();
  }
  for (const kind of ['registrationrequests', 'tenants', 'users', 'events', 'events.events.k8s.io'])
    places.set(kind, await kubectl.succeed(['get', kind, '-A', ...shown]));
  places.set('metrics of the webhook', await page('/metrics'));
  places.set('metrics of kube-apiserver', await kubectl.succeed(['get', '--raw', '/metrics']));
  const logs = await readdir(join(cluster.folder, 'logs'));
  for (const name of logs) places.set(name, readFileSync(join(cluster.folder, 'logs', name), 'latin1'));
  return places;
}

function startWebhook(): Promise<ProgramProcess> {
  return ProgramProcess.start({
    command: 'admission-webhook',
    args: webhookFlags,
    logFile: join(cluster.folder, 'logs', 'admission-webhook.log'),
  });
}

/** A webhook that runs after ours and changes every object, so that kube-apiserver asks ours again. */
async function startLabeller(): Promise<void> {
  const pair = {
    cert: readFileSync(join(cluster.folder, 'webhook', 'tls.crt')),
    key: readFileSync(join(cluster.folder, 'webhook', 'tls.key')),
  };
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
  cluster.beforeStop(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  await kubectl.succeed(create, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'labeller' },
    webhooks: [
      {
        name: 'labeller.example.com',
        clientConfig: {
          url: `https://127.0.0.1:${port}/`,
          caBundle: Buffer.from(cluster.certificates.authority.certificate).toString('base64'),
        },
        rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['CREATE'], resources: ['registrationrequests'] }],
        objectSelector: { matchLabels: { again: 'yes' } },
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
      },
    ],
  });
}

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'admission', store: 'etcd', controllerManager: false });
  kubectl = cluster.kubectl;
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'admission-spec' });
  cluster.beforeStop(() => client.close());
  await cluster.installCrds();
  await kubectl.succeed(['create', 'namespace', PLATFORM]);

  const { folder, certificates } = cluster;
  await loadCertificate(join(folder, 'webhook'), certificates, { file: 'tls', commonName: 'admission-webhook', use: 'server' });
  webhookPort = await freePort();
  adminPort = await freePort();
  webhookFlags = [
    `--kubeconfig=${await cluster.accountKubeconfig(PLATFORM, 'admission-webhook')}`,
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
  await kubectl.succeed(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: manifests });
  webhook = await startWebhook();
  cluster.beforeStop(() => webhook.stop());
  // kube-apiserver takes up what is configured a little later.
  await eventually(() => kubectl.run([...create, '--dry-run=server', '-o', 'name'], registration('first', 'weak')), isRefused);
}, 3 * MINUTES);

afterAll(async () => {
  await cluster?.stop();
});

describe('the admission webhook on a real kube-apiserver', () => {
  it('stores the hash of a password, however the object is sent', async () => {
    const answers = [
      await kubectl.succeed([...create, ...shown], registration('created')),
      await kubectl.succeed([...create, '--save-config', ...shown], registration('saved')),
      await kubectl.succeed([...apply, ...shown], registration('applied')),
      await kubectl.succeed([...serverSide, ...shown], registration('serverside')),
      await kubectl.succeed([...create, ...shown], registration('generated', CANARY, { generateName: 'generated-' })),
    ];
    const dry = [
      await kubectl.succeed([...create, '--dry-run=server', ...shown], registration('dry')),
      await kubectl.succeed([...apply, '--dry-run=server', ...shown], registration('dry')),
      await kubectl.succeed([...serverSide, '--dry-run=server', ...shown], registration('dry')),
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
    await kubectl.refuse(apply, registration('applied'));
    await kubectl.refuse(['replace', '-f', '-'], registration(name));
    await kubectl.refuse(merge('registrationrequest', name, plain, '--dry-run=server'));
    await kubectl.succeed(['apply', 'set-last-applied', '--create-annotation', '-f', '-'], registration(name));
    await kubectl.succeed(['annotate', 'registrationrequest', name, 'note=x']);
    expect((await client.get(REGISTRATION_REQUESTS, name)).spec).toEqual(current.spec);
  });

  it('takes an object again that was hashed already', async () => {
    const hashed = registration('restored', HASH);
    await kubectl.succeed(apply, hashed);
    expect(await kubectl.succeed(apply, hashed)).toContain('unchanged');
    expect((await client.get(REGISTRATION_REQUESTS, 'restored')).spec.password).toBe(HASH);
    expect(await kubectl.refuse(create, registration('costly', HASH.replace('m=65536', 'm=9999999')))).toContain('m from 19456 to 131072');
  });

  it('keeps its word when it is asked again', async () => {
    await startLabeller();
    const labelled = (name: string): RegistrationRequest => registration(name, CANARY, { name, labels: { again: 'yes' } });
    const dry = async (): Promise<string> => kubectl.succeed([...create, '--dry-run=server', '-o', 'json'], labelled('again'));
    await eventually(dry, (said) => said.includes('"late": "yes"'));
    const total = 'controller_runtime_webhook_requests_total{webhook="/mutate-product-webshop-harikube-info-v1-registrationrequest"';
    const before = count(await page('/metrics'), total);
    const answer = await kubectl.succeed([...create, '-o', 'json'], labelled('again'));
    expect(answer).toMatch(PHC);
    expect(count(await page('/metrics'), total)).toBe(before + 2);
  });

  it('says what a password and the other fields lack', async () => {
    const weak = {
      ...registration('weak', 'canary'),
      spec: { user: userSpec('x'), password: 'canary', tenant: { ...tenantSpec, country: 'hu' } },
    };
    const said = await kubectl.refuse(create, weak);
    expect(said).toContain('The RegistrationRequest "weak" is invalid');
    expect(said).toContain('* spec.password: Invalid value: "string": must have 8 to 64 characters');
    expect(said).toContain('it is too short and lacks a capital letter, a digit and a special character');
    expect(said).toContain('* spec.user.email: Invalid value: "x"');
    expect(said).toContain('* spec.tenant.country: Invalid value: "hu"');
    expect(said).not.toContain('canary');
  });

  it('says early that an address is taken', async () => {
    const name = claimName('taken@example.com');
    await kubectl.succeed(create, object('EmailClaim', { name }, { requestName: 'other', requestUid: 'u-1' }));
    const taken = registration('taken');
    taken.spec.user.email = 'Taken@Example.com';
    await eventually(() => kubectl.run([...create, '--dry-run=server'], taken), isRefused);
    const { code, isConflict, status } = await refusal(client.create(REGISTRATION_REQUESTS, taken));
    expect([code, isConflict]).toEqual([409, true]);
    expect(status.details?.causes).toEqual([expect.objectContaining({ field: 'spec.user.email' })]);
    expect(JSON.stringify(status)).not.toMatch(/other|u-1|@/);
    expect(await kubectl.refuse(create, taken)).toContain('a registration with this e-mail address exists already');
  });

  it('keeps the finalizer of a Tenant while it lives, and lets it go afterwards', async () => {
    const metadata = { name: 'acme' };
    expect(await kubectl.succeed([...create, '-o', 'jsonpath={.metadata.finalizers}'], object('Tenant', metadata, tenantSpec))).toContain(
      TENANT_FINALIZER,
    );
    const without = merge('tenant', 'acme', { metadata: { finalizers: null } });
    expect(await kubectl.succeed(without)).toContain('it was put back');
    expect(await kubectl.succeed(['get', 'tenant', 'acme', '-o', 'jsonpath={.metadata.finalizers}'])).toContain(TENANT_FINALIZER);
    await kubectl.succeed(['replace', '-f', '-'], object('Tenant', metadata, { ...tenantSpec, city: 'Győr' }));
    await kubectl.succeed(['delete', 'tenant', 'acme', '--wait=false']);
    await kubectl.succeed(without);
    expect(await kubectl.refuse(['get', 'tenant', 'acme'])).toContain('NotFound');
  });

  it('deletes a registration when its finalizer is gone', async () => {
    await kubectl.succeed(['delete', 'registrationrequest', 'restored', '--wait=false']);
    await kubectl.succeed(merge('registrationrequest', 'restored', { metadata: { finalizers: null } }));
    expect(await kubectl.refuse(['get', 'registrationrequest', 'restored'])).toContain('NotFound');
  });

  it('lets only the registration-controller say which registration an object is of, whoever asks', async () => {
    const marked = object('Tenant', { name: 'marked', labels: { [TENANT_LABEL]: 'marked' } }, tenantSpec);
    expect(await kubectl.refuse(create, marked)).toContain('Forbidden: only the registration-controller sets it');
    const account = `system:serviceaccount:${PLATFORM}:registration-controller`;
    await kubectl.succeed(['create', 'clusterrolebinding', 'registration', '--clusterrole=cluster-admin', `--user=${account}`]);
    await eventually(
      () => kubectl.run(['get', 'tenants', `--as=${account}`]),
      (answer) => !isRefused(answer),
    );
    await kubectl.succeed([...create, `--as=${account}`], marked);
    const change = merge('tenant', 'marked', { metadata: { labels: { [TENANT_LABEL]: 'other' } } });
    expect(await kubectl.refuse(change)).toContain('Forbidden: it cannot be changed');
    expect(await kubectl.refuse([...change, `--as=${account}`])).toContain('Forbidden: it cannot be changed');
    await kubectl.succeed(merge('tenant', 'marked', { metadata: { labels: { team: 'a' } } }));
  });

  it('takes a hash for the password of a User, and shows it nowhere twice', async () => {
    const user = (password: string): object =>
      object('User', { name: 'jane', annotations: { [PASSWORD_ANNOTATION]: password } }, userSpec('jane@example.com'));
    const said = await kubectl.refuse(create, user(CANARY));
    expect(said).toContain('must be an argon2id hash in PHC form, never the password itself');
    expect(said).not.toContain(CANARY);
    const applied = await kubectl.succeed([...apply, '-o', 'json'], user(HASH));
    expect(applied.split(HASH)).toHaveLength(2);
    const plain = { metadata: { annotations: { [PASSWORD_ANNOTATION]: CANARY } } };
    expect(await kubectl.refuse(merge('user', 'jane', plain))).toContain('never the password itself');
    await kubectl.succeed(['apply', 'set-last-applied', '-f', '-'], user(CANARY));
  });

  it('says why nothing of a trigger can be sent, and warns of what may not be', async () => {
    const said = await kubectl.refuse(
      create,
      trigger('bad', {
        eventFilter: 'eq .spec.a "b',
        url: { static: 'https://jane:s3cret@sink.example.com' },
        headers: { static: { Host: 'x' } },
        labelSelectors: ['tier in (web'],
      }),
    );
    expect(said).toContain('* spec.url.static: Invalid value: "https://***@sink.example.com": has credentials in it');
    expect(said).toContain('* spec.headers.static.Host: Invalid value: "Host": belongs to the connection');
    expect(said).toMatch(/\* spec\.eventFilter: Invalid value: .* template: spec\.eventFilter:1: unterminated quoted string/);
    expect(said).toContain('* spec.labelSelectors[0]: Invalid value: "tier in (web": the parenthesis is not closed');
    expect(said).not.toContain('s3cret');
    const warned = await kubectl.succeed(create, trigger('warned', { url: { template: 'https://{{ .spec.host }}/' } }));
    expect(warned).toContain('Warning: spec.url.template: its scheme and host are not fixed');
    expect(await kubectl.refuse(merge('httptrigger', 'warned', { spec: { eventFilter: '}}' } }))).toContain('spec.eventFilter');
    expect(await kubectl.succeed(merge('httptrigger', 'warned', { status: { phase: 'Running' } }, '--subresource=status'))).not.toContain(
      'Warning',
    );
  });

  it('is asked while its certificate is replaced, without a failure', async () => {
    const before = await servedSerial();
    await loadCertificate(join(cluster.folder, 'next'), cluster.certificates, {
      file: 'tls',
      commonName: 'admission-webhook',
      use: 'server',
    });
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
    mkdirSync(join(cluster.folder, 'webhook'), { recursive: true });
    for (const name of ['tls.key', 'tls.crt']) {
      cpSync(join(cluster.folder, 'next', name), join(cluster.folder, 'webhook', `${name}.next`));
      renameSync(join(cluster.folder, 'webhook', `${name}.next`), join(cluster.folder, 'webhook', name));
    }
    try {
      await eventually(servedSerial, (serial) => serial !== before);
    } finally {
      isReplaced = true;
    }
    for (const asked of await Promise.all(loads)) expect(asked).toBeGreaterThan(0);
    await kubectl.succeed([...create, '--dry-run=server'], object('Tenant', { name: 'after' }, tenantSpec));
  });

  it('hashes few passwords at once when many register, and turns none of them away for good', async () => {
    const before = await webhook.peakMegabytes();
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
    expect((await webhook.peakMegabytes()) - before).toBeLessThan(PARALLEL * 64 + 256);
  });

  it('is missed when it is away: no registration is stored then, and a trigger is', async () => {
    expect(await page('/readyz?verbose')).toContain('[+]admission-webhook ok');
    expect(await webhook.stop()).toBe(0);
    const said = await kubectl.refuse(create, registration('away'));
    expect(said).toContain('Internal error occurred: failed calling webhook "mutate.registrationrequests.product.webshop.harikube.info"');
    expect(said).not.toContain(CANARY);
    expect(await kubectl.refuse(['get', 'registrationrequest', 'away'])).toContain('NotFound');
    // Who serves triggers judges them too, and nothing of them is to be kept out of the store.
    await kubectl.succeed(create, trigger('away', { eventFilter: '}}' }));
    webhook = await startWebhook();
    await kubectl.succeed(create, registration('away'));
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
