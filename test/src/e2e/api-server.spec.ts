import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { admissionWebhookManifests } from '@harikube/admission-webhook';
import { apiServerHostName, apiServerManifests } from '@harikube/api-server';
import { AGGREGATED_API_VERSION, AGGREGATED_GROUP, API_VERSION } from '@harikube/crds';
import { KubeClient, StatusError } from '@harikube/kube';
import { type Certificates, freePort, type KeyPair, loadCertificate, loadCertificates } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import type { CollectedSpan } from '../observability/otlp-spans.js';
import { TraceCollector } from '../observability/trace-collector.js';
import { launchBrowser } from './browser.js';
import { eventually } from './eventually.js';
import { FakeRegistrationController } from './fake-registration-controller.js';
import { type HttpsAnswer, httpsCall } from './https-call.js';
import type { Kubectl } from './kubectl.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster } from './running-cluster.js';
import { SharedAddress } from './shared-address.js';

const MINUTES = 60_000;
const PLATFORM = 'harikube-system';
const GROUP_PATH = `/apis/${AGGREGATED_GROUP}/v1`;
const REGISTRATIONS = `${GROUP_PATH}/registrations`;
const API_SERVICE = `v1.${AGGREGATED_GROUP}`;
const PASSWORD = 'Plain-Canary-1';
const SHUTDOWN_DELAY_SECONDS = 1;
/** The `traceparent` of a client that traces. */
const CALLER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

let own: string;
let collector: TraceCollector;
let folder: string;
let cluster: RunningCluster;
let kubectl: Kubectl;
let certificates: Certificates;
let client: KubeClient;
let controller: FakeRegistrationController;
let ports: [number, number];
let flagsOf: (port: number) => string[];
let server: ProgramProcess;

async function refuse(args: readonly string[], input?: string | object): Promise<string> {
  const said = await kubectl.refuse(args, input);
  expect(said).not.toContain(PASSWORD);
  return said;
}

const create = ['create', '-f', '-'];
const raw = (path: string): string[] => ['create', '--raw', path, '-f', '-'];

/** Each with an address of its own. */
function registration(name: string, email = `${name}@example.com`, more: object = {}): { metadata: object; spec: object } {
  return {
    ...{ apiVersion: AGGREGATED_API_VERSION, kind: 'Registration' },
    metadata: { name },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email, ...more },
      password: PASSWORD,
      tenant: { companyName: 'Acme', country: 'HU', city: 'Budapest', address: 'Fő u. 1', postalCode: '1011' },
    },
  };
}

const isAvailable = (): Promise<string> =>
  kubectl.read([
    'get',
    'apiservice',
    API_SERVICE,
    '-o',
    'jsonpath={.status.conditions[?(@.type=="Available")].status} {.status.conditions[?(@.type=="Available")].reason}',
  ]);

/** Straight to the server, as somebody of the authority of users, or with what is given instead. */
async function direct(path: string, options: Partial<Parameters<typeof httpsCall>[0]> = {}): Promise<HttpsAnswer> {
  return httpsCall({ port: ports[0], path, ca: certificates.authority.certificate, ...options });
}

function tlsOf({ certificate, key }: KeyPair): { cert: string; key: string } {
  return { cert: certificate, key };
}

async function clientCertificate(
  commonName: string,
  authority = certificates.authority,
  use: 'client' | 'server' = 'client',
): Promise<KeyPair> {
  return loadCertificate(
    join(folder, 'clients'),
    { authority },
    { file: `${commonName.replaceAll(':', '-')}-${use}-${certificateCount++}`, commonName, use },
  );
}

let certificateCount = 0;

const traces = (): Env => ({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_BSP_SCHEDULE_DELAY: '200' });

function startServer(port: number, log = 'server.log'): Promise<ProgramProcess> {
  return ProgramProcess.start({ command: 'api-server', args: flagsOf(port), logFile: join(folder, log), env: traces() });
}

beforeAll(async () => {
  own = mkdtempSync(join(tmpdir(), 'harikube-api-server-'));
  collector = await TraceCollector.start();
  const tracing = { endpoint: collector.grpcEndpoint, samplingRatePerMillion: 1_000_000 };
  const tracingFile = join(own, 'tracing.yaml');
  writeFileSync(tracingFile, JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'TracingConfiguration', ...tracing }));
  const extraApiServerArgs = [`--tracing-config-file=${tracingFile}`];
  cluster = await RunningCluster.start({ name: 'api-server', store: 'etcd', extraApiServerArgs });
  ({ folder, kubectl, certificates } = cluster);
  const { authority } = certificates;
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'api-server-spec', deadlineMs: 70_000 });
  cluster.beforeStop(() => client.close());
  await kubectl.succeed(['create', 'namespace', PLATFORM]);
  await cluster.installCrds();

  const served = async (name: string, serverNames: string[]): Promise<string> => {
    const pair = await loadCertificate(join(folder, 'pki'), certificates, {
      file: `served-${name}`,
      commonName: name,
      use: 'server',
      serverNames,
    });
    const target = join(folder, `tls-${name}`);
    mkdirSync(target);
    copyFileSync(pair.certificateFile, join(target, 'tls.crt'));
    copyFileSync(pair.keyFile, join(target, 'tls.key'));
    return target;
  };
  const webhookPort = await freePort();
  ports = [await freePort(), await freePort()];
  const address = await SharedAddress.start(ports);
  cluster.beforeStop(() => address.close());
  const items = [
    ...admissionWebhookManifests({ namespace: PLATFORM, caBundle: authority.certificate, url: `https://127.0.0.1:${webhookPort}` }),
    ...apiServerManifests({ namespace: PLATFORM, caBundle: authority.certificate, externalName: 'localhost', port: address.port }),
  ];
  await kubectl.succeed(['apply', '-f', '-'], { apiVersion: 'v1', kind: 'List', items });
  const webhookFlags = [
    `--kubeconfig=${await cluster.accountKubeconfig(PLATFORM, 'admission-webhook')}`,
    `--webhook-bind-address=127.0.0.1:${webhookPort}`,
    `--webhook-cert-path=${await served('admission-webhook', [])}`,
    '--health-probe-bind-address=0',
    ...['--argon2-memory-mib=8', '--argon2-iterations=1'],
  ];
  const kubeconfig = await cluster.accountKubeconfig(PLATFORM, 'api-server');
  const certPath = await served('api-server', [apiServerHostName(PLATFORM)]);
  flagsOf = (port) => [
    `--kubeconfig=${kubeconfig}`,
    `--secure-bind-address=127.0.0.1:${port}`,
    `--api-service-cert-path=${certPath}`,
    `--shutdown-delay-duration=${SHUTDOWN_DELAY_SECONDS}s`,
    '--health-probe-bind-address=0',
    '--log-format=json',
    '--debug',
  ];
  controller = new FakeRegistrationController(client);
  await controller.start();
  cluster.beforeStop(() => controller.stop());
  const [webhook, started] = await Promise.all([
    ProgramProcess.start({ command: 'admission-webhook', args: webhookFlags, logFile: join(folder, 'webhook.log'), env: traces() }),
    startServer(ports[0]),
  ]);
  cluster.beforeStop(() => webhook.stop());
  server = started;
  cluster.beforeStop(() => server.stop());
  await eventually(isAvailable, (said) => said.startsWith('True'));
  await kubectl.succeed(['create', 'clusterrolebinding', 'registrars', '--clusterrole=webshop-registrar', '--user=registrar']);
  await client.raw('POST', `${REGISTRATIONS}/traced`, undefined, registration('traced'), { headers: { traceparent: CALLER } });
}, 3 * MINUTES);

afterAll(async () => {
  await cluster?.stop();
  await collector?.close();
  rmSync(own, { recursive: true });
});

describe('the aggregated API server behind a real kube-apiserver', () => {
  it('is available, discovered, explained, and part of a valid OpenAPI document', async () => {
    expect(await isAvailable()).toBe('True Passed');
    expect(await kubectl.read(['api-resources', `--api-group=${AGGREGATED_GROUP}`, '--no-headers', '-o', 'wide'])).toMatch(
      new RegExp(`^registrations +${AGGREGATED_GROUP}/v1 +false +Registration +create$`),
    );
    // kube-apiserver asks for the document of its own accord.
    await eventually(
      () => kubectl.run(['explain', 'registrations.spec.tenant.country']),
      ({ out }) => out.includes('Country'),
      60,
    );
    const tree = await kubectl.read(['explain', 'registrations', '--recursive']);
    for (const field of ['generateName', 'phoneNumber', 'companyName', 'password', 'namespace', 'uid']) expect(tree).toContain(field);
    const v2 = JSON.parse(await kubectl.read(['get', '--raw', '/openapi/v2'])) as { definitions: Record<string, object> };
    expect(Object.keys(v2.definitions)).toContain('info.harikube.webshop.product.api.v1.Registration');
    // Two schemas of one name that differ would be told apart by such an ending.
    expect(Object.keys(v2.definitions).filter((name) => /_v\d+$/.test(name))).toEqual([]);
    const v3 = JSON.parse(await kubectl.read(['get', '--raw', `/openapi/v3${GROUP_PATH}`])) as { paths: object };
    expect(Object.keys(v3.paths)).toEqual([REGISTRATIONS, `${REGISTRATIONS}/{name}`]);
    const discovered = JSON.parse(await kubectl.read(['get', '--raw', GROUP_PATH])) as { resources: object[] };
    expect(discovered.resources).toEqual([
      { name: 'registrations', singularName: 'registration', namespaced: false, kind: 'Registration', verbs: ['create'] },
    ]);
  });

  it('says as kubectl auth can-i says who may register', async () => {
    const can = async (user: string, verb: string, resource: string): Promise<string> =>
      (await kubectl.run(['auth', 'can-i', verb, `${resource}.${AGGREGATED_GROUP}`, `--as=${user}`])).out.trim();
    const path = (user: string): string[] => [...raw(`${REGISTRATIONS}/role-${user}`), `--as=${user}`];
    expect([await can('registrar', 'create', 'registrations'), await can('registrar', 'delete', 'registrations')]).toEqual(['yes', 'no']);
    expect(await can('nobody', 'create', 'registrations')).toBe('no');
    await kubectl.succeed(path('registrar'), registration('role-registrar'));
    expect(await refuse(path('nobody'), registration('role-nobody'))).toContain(
      `Error from server (Forbidden): registrations.${AGGREGATED_GROUP} "role-nobody" is forbidden: User "nobody" cannot create resource "registrations" in API group "${AGGREGATED_GROUP}" at the cluster scope`,
    );
    // kubectl leaves the fields to the server, so that a registrar needs no right to read CustomResourceDefinitions.
    expect(await kubectl.read([...create, '--as=registrar'], registration('role-created'))).toBe(
      `registration.${AGGREGATED_GROUP}/role-created created`,
    );
  });

  it('creates by every way, in JSON and YAML, of both kinds, and answers with the result', async () => {
    const made = JSON.parse(await kubectl.read(raw(`${REGISTRATIONS}/raw-json`), registration('raw-json'))) as {
      kind: string;
      metadata: Record<string, unknown>;
      spec: Record<string, unknown>;
      status: Record<string, unknown>;
    };
    expect(made).toMatchObject({ kind: 'Registration', apiVersion: AGGREGATED_API_VERSION, metadata: { name: 'raw-json' } });
    expect(made.status).toMatchObject({
      request: 'raw-json',
      tenant: made.status['uid'],
      namespace: made.status['uid'],
      user: made.status['uid'],
    });
    expect(made.spec).not.toHaveProperty('password');
    expect(Object.keys(made.metadata)).toEqual(['name', 'creationTimestamp']);
    const yaml = `
apiVersion: ${API_VERSION}
kind: RegistrationRequest
metadata:
  name: raw-yaml
spec:
  user: { firstName: Jane, lastName: Doe, email: raw-yaml@example.com, phoneNumber: "+15551234567" }
  password: ${PASSWORD}
  tenant: { country: "NO", city: Oslo, address: Gata 1, postalCode: "0150" }
`;
    expect(JSON.parse(await kubectl.read(raw(`${REGISTRATIONS}/raw-yaml`), yaml))).toMatchObject({
      kind: 'Registration',
      spec: { tenant: { country: 'NO' } },
    });
    expect(await kubectl.read(create, registration('created'))).toBe(`registration.${AGGREGATED_GROUP}/created created`);
    const generated = await kubectl.read([...create, '-o', 'yaml'], {
      ...registration('x', 'generated@example.com'),
      metadata: { generateName: 'made-' },
    });
    expect(generated).toMatch(/name: made-[bcdfghjklmnpqrstvwxz2456789]{5}\n/);
    expect(generated).not.toContain(PASSWORD);
    expect(await kubectl.read([...create, '--dry-run=server'], registration('dry'))).toBe(
      `registration.${AGGREGATED_GROUP}/dry created (server dry run)`,
    );
    expect((await kubectl.run(['get', 'registrationrequest', 'dry'])).err).toContain('NotFound');
  });

  it('misses no flow, however quick it is', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `quick-${index}`);
    // Twenty hashes at a time may be too many for a busy machine: the answer is to come again then, as kubectl does.
    const register = async (name: string): Promise<unknown> => {
      for (;;) {
        try {
          return await client.raw('POST', `${REGISTRATIONS}/${name}`, {}, registration(name));
        } catch (error) {
          if (!(error instanceof StatusError && error.code === 503 && error.retryAfterSeconds === 1)) throw error;
        }
      }
    };
    const answers = await Promise.all(names.map(register));
    expect(answers.map((answer) => (answer as { metadata: { name: string } }).metadata.name)).toEqual(names);
  });

  it('says why a registration fails, and what to do', async () => {
    const said = await refuse(create, registration('taken-1'));
    expect(said).toContain('Error from server (AlreadyExists)');
    expect(said).toContain(
      `registrations.${AGGREGATED_GROUP} "taken-1" already exists: the registration has failed: the e-mail address belongs to another`,
    );
    expect(said).toContain('kubectl delete registrationrequest taken-1');
    // As long as the failed one is there, it is the answer.
    expect(await refuse(raw(`${REGISTRATIONS}/taken-1`), registration('taken-1'))).toContain('the e-mail address belongs to another');
    const weak = await refuse(create, { ...registration('weak'), spec: { ...registration('weak').spec, password: 'short' } });
    expect(weak).toContain('The Registration "weak" is invalid: spec.password: Invalid value');
    expect(weak).toContain('it is too short and lacks a capital letter, a digit and a special character');
    const wrong = await refuse(create, registration('wrong', 'no-address'));
    expect(wrong).toContain('The Registration "wrong" is invalid');
    expect(wrong).toContain('spec.user.email: Invalid value: "no-address"');
  });

  it('says what is pending when it takes too long, lets a repeat join, and tells a stranger that the name is taken', async () => {
    const path = `${REGISTRATIONS}/slow-1`;
    // On a slow machine the controller has not begun by then, and it joins what it asked for before.
    const first = await eventually(
      () => refuse(raw(`${path}?timeout=2s`), registration('slow-1')),
      (said) => said.includes('pending: TenantReady (the namespace is not there yet), UserReady, EmailCreated'),
    );
    expect(first).toContain('Error from server (Timeout)');
    expect(first).toContain('kubectl get registrationrequest slow-1');
    expect(await refuse(raw(path), registration('slow-1', 'other@example.com'))).toContain(
      'another registration of this name is under way',
    );
    const joined = [kubectl.read(raw(path), registration('slow-1')), kubectl.read(create, registration('slow-1', 'SLOW-1@Example.com'))];
    await controller.hasBegun('slow-1');
    controller.letGo('slow-1');
    const [answer = '', created] = await Promise.all(joined);
    expect(JSON.parse(answer)).toMatchObject({ metadata: { name: 'slow-1' } });
    expect(created).toContain('created');
  });

  it('is deleted by hand while somebody waits', async () => {
    const waiting = refuse(raw(`${REGISTRATIONS}/slow-2`), registration('slow-2'));
    await controller.hasBegun('slow-2');
    await kubectl.succeed(['delete', 'registrationrequest', 'slow-2']);
    expect(await waiting).toContain('the registration was deleted before it was complete');
    controller.letGo('slow-2');
  });

  it('refuses what is no registration, as kubectl shows it', async () => {
    const path = `${REGISTRATIONS}/refused`;
    const unknown = { ...registration('refused', 'refused@example.com', { age: 7 }), extra: 1 };
    expect(await refuse(raw(`${path}?fieldValidation=Strict`), unknown)).toBe(
      'Error from server (BadRequest): Registration in version "v1" cannot be handled as a Registration: strict decoding error: unknown field "spec.user.age", unknown field "extra"',
    );
    const warned = await kubectl.run(raw(`${path}?dryRun=All`), unknown);
    expect(warned.err.trim().split('\n')).toEqual(['Warning: unknown field "spec.user.age"', 'Warning: unknown field "extra"']);
    expect(await refuse(create, unknown)).toMatch(/strict decoding error: .*unknown field "spec.user.age"/);
    expect(await refuse(raw(path), { ...registration('refused'), kind: 'Tenant' })).toContain(
      '(BadRequest): the kind in the data (Tenant)',
    );
    expect(await refuse(raw(path), '{"password": "Plain-Canary-1", ')).toContain('(BadRequest): the body of the request is not JSON');
    expect(await refuse(raw(path), { ...registration('other') })).toContain('does not match the name on the URL');
    expect(await refuse(raw(path), 'a'.repeat(5_000_000))).toContain('(RequestEntityTooLarge): Request entity too large: limit is 3145728');
    expect(await refuse(raw(`${path}?dryRun=Some`), registration('refused'))).toContain('dryRun: Unsupported value: "Some"');
    expect(await refuse(['get', 'registrations'])).toContain('(MethodNotAllowed)');
    expect(await refuse(['get', '--raw', `${GROUP_PATH}/registrationsxyz`])).toContain(
      '(NotFound): the server could not find the requested resource',
    );
  });

  it('answers as a table, and as nothing but metadata', async () => {
    const post = async (accept: string, name: string): Promise<unknown> =>
      client.raw('POST', `${REGISTRATIONS}/${name}`, { dryRun: 'All' }, registration(name), { headers: { accept } });
    const table = await post('application/json;as=Table;v=v1;g=meta.k8s.io,application/json', 'table');
    expect(table).toMatchObject({ kind: 'Table', rows: [{ cells: ['table', 'table@example.com', 'Acme', '', '', expect.any(String)] }] });
    expect(await post('application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io', 'partial')).toMatchObject({
      kind: 'PartialObjectMetadata',
    });
    expect(await post('application/vnd.kubernetes.protobuf,application/json', 'json')).toMatchObject({ kind: 'Registration' });
    await expect(post('application/vnd.kubernetes.protobuf', 'proto')).rejects.toMatchObject({ code: 406, reason: 'NotAcceptable' });
  });

  it('believes the front proxy alone, and nobody whose certificate is not right', async () => {
    const { frontProxyAuthority, frontProxyClient } = certificates;
    const asAdmin = { 'x-remote-user': 'somebody', 'x-remote-group': ['system:masters'] };
    const code = async (pair: KeyPair | null): Promise<number> =>
      (await direct('/metrics', { headers: asAdmin, ...(pair === null ? {} : tlsOf(pair)) })).code;
    expect(await code(frontProxyClient)).toBe(200);
    expect(await code(null)).toBe(401);
    expect(await code(await clientCertificate('somebody-else', frontProxyAuthority))).toBe(401);
    expect(await code(await clientCertificate('front-proxy-client', frontProxyAuthority, 'server'))).toBe(401);
    expect(await code(await clientCertificate('front-proxy-client'))).toBe(403);
    const foreign = await loadCertificates(join(folder, 'foreign'));
    expect(await code(foreign.frontProxyClient)).toBe(401);
    const past = join(folder, 'past');
    mkdirSync(past);
    for (const file of ['ca.crt', 'ca.key', 'front-proxy-ca.crt', 'front-proxy-ca.key'])
      copyFileSync(join(folder, 'pki', file), join(past, file));
    const expired = await loadCertificates(past, new Date(Date.now() - 500 * 24 * 60 * MINUTES));
    expect(await code(expired.frontProxyClient)).toBe(401);
    expect(await code(expired.admin)).toBe(401);
    expect(await code(certificates.admin)).toBe(200);
    const refused = await direct(GROUP_PATH);
    expect(JSON.parse(refused.text)).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'Unauthorized',
      reason: 'Unauthorized',
      code: 401,
    });
    expect(refused.headers['connection']).toBe('close');
  });

  it('knows tokens and client certificates of its own, and impersonates nobody', async () => {
    await kubectl.succeed(['create', 'serviceaccount', 'shop', '-n', PLATFORM]);
    const token = await kubectl.read(['create', 'token', 'shop', '-n', PLATFORM]);
    const withToken = { headers: { authorization: `Bearer ${token}` } };
    expect((await direct(GROUP_PATH, withToken)).code).toBe(200);
    expect((await direct(GROUP_PATH, { headers: { authorization: 'Bearer wrong' } })).code).toBe(401);
    // A certificate that nobody knows does not keep a token from being read.
    const foreign = await loadCertificates(join(folder, 'foreign'));
    expect((await direct(GROUP_PATH, { ...withToken, ...tlsOf(foreign.admin) })).code).toBe(200);
    const denied = await direct(REGISTRATIONS, { ...withToken, method: 'POST', body: JSON.stringify(registration('denied')) });
    expect(JSON.parse(denied.text)).toMatchObject({ code: 403, details: { group: AGGREGATED_GROUP, kind: 'registrations' } });
    const registrar = tlsOf(await clientCertificate('registrar'));
    expect(
      (await direct(`${REGISTRATIONS}/direct`, { ...registrar, method: 'POST', body: JSON.stringify(registration('direct')) })).code,
    ).toBe(201);
    expect((await direct(GROUP_PATH, { ...tlsOf(certificates.admin), headers: { 'impersonate-user': 'x' } })).code).toBe(403);
    const live = await direct('/readyz?verbose');
    expect([live.code, live.text]).toEqual([200, '[+]ping ok\n[+]informer-sync ok\n[+]shutdown ok\nreadyz check passed\n']);
    for (const method of ['TRACE', 'OPTIONS', 'DELETE']) {
      const answer = await direct('/version', { ...tlsOf(certificates.admin), method });
      expect(JSON.parse(answer.text)).toMatchObject({ kind: 'Status', code: 405 });
    }
    const strange = await direct(REGISTRATIONS, { ...registrar, method: 'POST', headers: { 'content-type': 'garbage' }, body: '{}' });
    expect(JSON.parse(strange.text)).toMatchObject({ kind: 'Status', code: 415 });
    const { headers, text } = await direct('/apis', {
      ...tlsOf(certificates.admin),
      headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList', 'audit-id': 'mine' },
    });
    expect(headers).toMatchObject({
      'content-type': 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
      'audit-id': 'mine',
    });
    expect(JSON.parse(text)).toMatchObject({ kind: 'APIGroupDiscoveryList' });
  });

  it('serves many requests at a time on one connection', async () => {
    const session = connect(`https://127.0.0.1:${ports[0]}`, {
      ca: certificates.authority.certificate,
      servername: 'localhost',
      ...tlsOf(certificates.admin),
    });
    try {
      const codes = Array.from({ length: 900 }, async () => {
        const stream = session.request({ ':path': GROUP_PATH });
        stream.resume();
        const [headers] = (await once(stream, 'response')) as [Record<string, number>];
        return headers[':status'];
      });
      expect(new Set(await Promise.all(codes))).toEqual(new Set([200]));
    } finally {
      session.close();
    }
  });

  it('shows a page for people, itself and behind kubectl proxy', async () => {
    const proxy = spawn(kubectl.program, ['proxy', '--port=0'], { env: kubectl.env, stdio: ['ignore', 'pipe', 'inherit'] });
    const browser = await launchBrowser();
    try {
      const origin = `http://${await proxyAddress(proxy)}`;
      const wrong: string[] = [];
      const page = await browser.newPage();
      page.on('console', (message) => {
        if (message.type() === 'error') wrong.push(message.text());
      });
      page.on('requestfailed', (failed) => wrong.push(failed.url()));
      await page.goto(`${origin}${GROUP_PATH}/docs`);
      await page.waitForSelector('.opblock-post', { timeout: 120_000 });
      // The page breaks long paths with characters that nobody sees.
      const paths: unknown = await page.evaluate(
        `[...document.querySelectorAll('.opblock-summary-path')].map(({ textContent }) => textContent.replaceAll('\u200b', ''))`,
      );
      expect(paths).toEqual([REGISTRATIONS, `${REGISTRATIONS}/{name}`]);
      const token = await kubectl.read(['create', 'token', 'shop', '-n', PLATFORM]);
      await kubectl.succeed([
        'create',
        'clusterrolebinding',
        'shops',
        '--clusterrole=webshop-registrar',
        `--serviceaccount=${PLATFORM}:shop`,
      ]);
      const own = await browser.newPage();
      await (await own.createCDPSession()).send('Security.setIgnoreCertificateErrors', { ignore: true });
      await own.setExtraHTTPHeaders({ authorization: `Bearer ${token}` });
      await eventually(
        async () => (await own.goto(`https://127.0.0.1:${ports[0]}/docs`))?.status(),
        (status) => status === 200,
        20,
      );
      await own.waitForSelector('.opblock-post', { timeout: 120_000 });
      expect(wrong).toEqual([]);
    } finally {
      await browser.close();
      proxy.kill();
    }
  });

  it('is one of two: a restart of one refuses nothing and delays nothing', async () => {
    const second = await startServer(ports[1], 'second.log');
    cluster.beforeStop(() => second.stop());
    const isOver = new AbortController();
    const times: number[] = [];
    const load = async (worker: number): Promise<void> => {
      for (let turn = 0; !isOver.signal.aborted; turn++) {
        const start = performance.now();
        const name = `load-${worker}-${turn}`;
        const answer = await client.raw('POST', `${REGISTRATIONS}/${name}`, {}, registration(name));
        expect(answer).toMatchObject({ metadata: { name }, status: { request: name } });
        times.push(performance.now() - start);
      }
    };
    const workers = Promise.all([0, 1, 2, 3].map(load));
    const waiting = client.raw('POST', `${REGISTRATIONS}/slow-3`, {}, registration('slow-3'));
    const answers = Promise.all([waiting, workers]);
    answers.catch(() => isOver.abort());
    try {
      await controller.hasBegun('slow-3');
      const stopped = server.stop();
      // It waits on the server that is to stop, which is the only one that had connections.
      await new Promise((resolve) => setTimeout(resolve, (SHUTDOWN_DELAY_SECONDS + 2) * 1000));
      controller.letGo('slow-3');
      expect(await waiting).toMatchObject({ metadata: { name: 'slow-3' } });
      expect(await stopped).toBe(0);
      server = await startServer(ports[0]);
      await eventually(
        () => Promise.resolve(isOver.signal.aborted || times.length > 20),
        (isEnough) => isEnough,
      );
    } finally {
      isOver.abort();
    }
    await answers;
    expect(times.length).toBeGreaterThan(20);
    // A connection that nobody answers would end with the request's time.
    expect(Math.max(...times)).toBeLessThan(20_000);
    expect(await isAvailable()).toBe('True Passed');
    expect(await second.stop()).toBe(0);
  });

  it('does not keep a namespace from being deleted for longer than it is away', async () => {
    await kubectl.succeed(['create', 'namespace', 'doomed']);
    await server.stop();
    await kubectl.succeed(['delete', 'namespace', 'doomed', '--wait=false']);
    // kube-apiserver looks every 30 s, and at once when the APIService changes.
    await kubectl.succeed(['annotate', 'apiservice', API_SERVICE, 'look=again']);
    await eventually(isAvailable, (said) => said.startsWith('False'));
    const refusal = await client.raw('GET', GROUP_PATH).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(StatusError);
    expect(refusal).toMatchObject({ code: 503 });
    server = await startServer(ports[0]);
    await eventually(isAvailable, (said) => said === 'True Passed');
    await eventually(
      () => kubectl.run(['get', 'namespace', 'doomed']),
      ({ err }) => err.includes('NotFound'),
    );
  });

  it('serves with a certificate that is replaced, to who comes from then on', async () => {
    const serial = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connectTls({ host: '127.0.0.1', port: ports[0], rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.end();
        });
        socket.once('error', reject);
      });
    const before = await serial();
    const names = { serverNames: [apiServerHostName(PLATFORM)] };
    const next = await loadCertificate(join(folder, 'pki'), certificates, {
      file: 'served-next',
      commonName: 'next',
      use: 'server',
      ...names,
    });
    copyFileSync(next.certificateFile, join(folder, 'tls-api-server', 'tls.crt'));
    copyFileSync(next.keyFile, join(folder, 'tls-api-server', 'tls.key'));
    await eventually(serial, (served) => served !== before);
    expect(await kubectl.read(create, registration('renewed'))).toContain('created');
  });

  it('is in the trace of its client with the webhook, to which the trace of kube-apiserver is linked', async () => {
    const [, trace] = CALLER.split('-');
    const isOurs = ({ traceId }: CollectedSpan): boolean => traceId === trace;
    const root = `POST ${REGISTRATIONS}/{:name}`;
    const spans = await collector.until((all) => {
      const names = all.filter(isOurs).map(({ name }) => name);
      return ['admission mutate', 'admission validate', root].every((name) => names.includes(name));
    });
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    const parentOf = ({ parentSpanId = '' }: CollectedSpan): CollectedSpan | undefined => byId.get(parentSpanId);
    const only = (service: string, name: string): CollectedSpan => {
      const [found, another] = spans.filter((span) => isOurs(span) && span.service === service && span.name === name);
      expect([name, found !== undefined, another]).toEqual([name, true, undefined]);
      return found as CollectedSpan;
    };
    // Of an administrator kube-apiserver takes the trace over, and hands it on.
    expect(only('apiserver', root).parentSpanId).toBe(CALLER.split('-')[2]);
    const created = only('harikube-api-server', 'create registrations');
    expect(parentOf(created)?.service).toBe('apiserver');
    const sent = only('harikube-api-server', 'POST registrationrequests');
    for (const does of ['mutate', 'validate']) {
      const judged = only('harikube-admission-webhook', `admission ${does}`);
      expect(parentOf(judged)).toBe(created);
      // For the account of the server it begins another trace, which tells of this one.
      const [asks] = judged.links ?? [];
      expect(asks?.traceId).not.toBe(trace);
      expect(byId.get(asks?.spanId ?? '')).toMatchObject({ service: 'apiserver', traceId: asks?.traceId });
      const begun = spans.find(({ traceId, parentSpanId }) => traceId === asks?.traceId && parentSpanId === '');
      expect(begun?.links).toEqual([{ traceId: trace, spanId: sent.spanId }]);
    }
  });

  it('writes down who asked for what, and never a password', async () => {
    const { text } = await direct('/metrics', tlsOf(certificates.admin));
    expect(text).not.toContain(PASSWORD);
    expect(text).toContain(`apiserver_request_total{verb="POST",group="${AGGREGATED_GROUP}",version="v1",resource="registrations"`);
    const lines = readFileSync(join(folder, 'server.log'), 'utf8');
    expect(lines).not.toContain(PASSWORD);
    const answered = lines
      .split('\n')
      .filter((line) => line.includes('"registration answered"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(answered.find(({ name }) => name === 'role-registrar')).toMatchObject({
      user: 'registrar',
      verb: 'create',
      code: 201,
      auditId: expect.any(String),
    });
  });
});

/** Where a `kubectl proxy` says that it serves. */
async function proxyAddress(proxy: ChildProcess): Promise<string> {
  if (proxy.stdout === null) throw new Error('kubectl proxy has no output');
  for await (const line of createInterface({ input: proxy.stdout })) {
    const address = /Starting to serve on (\S+)/.exec(line)?.[1];
    if (address !== undefined) return address;
  }
  throw new Error('kubectl proxy ended');
}
