import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { HTTP_TRIGGERS, HTTPTrigger, validateSpec } from '@harikube/crds';
import { KubeClient, NoSuchKindError, ResourceDiscovery, StatusError } from '@harikube/kube';
import type { Answer } from './answer.js';
import { eventually } from './eventually.js';
import type { Kubectl } from './kubectl.js';
import { refusalCauses } from './refusal-causes.js';
import { RunningCluster } from './running-cluster.js';

const MINUTES = 60_000;
const NAMESPACE = 'default';

let cluster: RunningCluster;
let kubectl: Kubectl;
let client: KubeClient;

const secretKeyRef = { name: 'sink', key: 'token' };
const required = { resource: { apiVersion: 'v1', kind: 'ConfigMap' }, url: { static: 'http://sink.example.com' } };
const signature = { keySecretRef: secretKeyRef, hmac: { hashType: 'SHA256' } };
const uri = (value: object): object => ({ url: { service: { name: 'gateway', uri: value } } });
const auth = (value: object): object => ({ auth: value });
const tls = (value: object): object => auth({ tls: value });
const body = (value: object): object => ({ body: { template: 'x', ...value } });
const signed = (value: object): object => body({ signature: { ...signature, ...value } });
const headers = (count: number, value: unknown = 'x'): object =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-${index}`, value]));
const times = <T>(count: number, value: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => value(index));

/** Every field, in the order of the schema. */
const FULL = {
  resource: { apiVersion: 'product.webshop.harikube.info/v1', kind: 'Email' },
  namespaces: ['default', 'shop'],
  labelSelectors: ['tier in (web,api)', '!old'],
  fieldSelectors: ['metadata.name=welcome'],
  eventTypes: ['ADDED', 'DELETED'],
  eventFilter: 'eq .spec.subject "Welcome"',
  concurrency: 100,
  sendInitialEvents: true,
  suspend: true,
  url: {
    service: {
      name: 'gateway',
      namespace: 'openfaas',
      portName: 'http',
      scheme: 'https',
      uri: { static: '/function/email?a=%20' },
    },
  },
  method: 'PUT',
  auth: {
    basicAuth: { user: 'Jané Doe', secretKeyRef },
    tls: { caRef: secretKeyRef, certRef: secretKeyRef, keyRef: secretKeyRef, insecureSkipVerify: true },
  },
  headers: {
    static: { 'X-From': 'webshop\tä' },
    template: { 'X-Name': '{{ .metadata.name }}' },
    fromSecretRef: { 'X-Token': secretKeyRef },
  },
  body: {
    contentType: 'application/json; charset=utf-8',
    template: '{{ toJson . }}',
    signature: {
      header: 'X-Hub-Signature',
      keySecretRef: secretKeyRef,
      previousKeySecretRef: { name: 'sink', key: 'old' },
      hmac: { hashType: 'SHA512' },
      scheme: 'Timestamped',
    },
  },
  delivery: { timeout: '1m30s', retries: 100 },
  retryPolicy: { backoff: 'Linear', initialDelay: '500ms', maxDelay: '10m', maxRetryAfter: '1h', maxAge: '24h', retryOn: [404, 422] },
  deadLetter: { policy: 'Suspend', url: 'https://dead.example.com/letters' },
  rateLimit: { requestsPerSecond: 10000, burst: 10000 },
};

const trigger = (name: string, spec: object): HTTPTrigger =>
  ({
    apiVersion: 'triggers.harikube.info/v1',
    kind: 'HTTPTrigger',
    metadata: { name, namespace: NAMESPACE },
    spec: { ...required, ...spec },
  }) as HTTPTrigger;

/** What the API server says to a spec; empty: it takes it. */
function causesOf(spec: object): Promise<string[]> {
  return refusalCauses(client.create(HTTP_TRIGGERS, trigger('tried', spec), { dryRun: true, fieldValidation: 'Strict' }));
}

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'trigger-schema', store: 'etcd' });
  kubectl = cluster.kubectl;
  client = KubeClient.fromConfig({ userAgent: 'trigger-schema', kubeconfig: cluster.kubeconfigFile });
  cluster.beforeStop(() => client.close());
  await cluster.installCrds();
}, 3 * MINUTES);

afterAll(async () => {
  await cluster?.stop();
});

const saysOf = (field: string, message: string): unknown =>
  expect.stringMatching(new RegExp(`^${literally(field)}: .*${literally(message)}`, 's'));
const literally = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
const shown = (spec: object): string => JSON.stringify(spec, (_, value: unknown) => (value === undefined ? 'absent' : value)).slice(0, 100);

/** What a trigger has that says nothing. */
const DEFAULTS = {
  eventTypes: ['ADDED', 'MODIFIED', 'DELETED'],
  concurrency: 1,
  sendInitialEvents: false,
  suspend: false,
  method: 'POST',
  delivery: { timeout: '10s', retries: 1 },
};

const ACCEPTED: readonly (readonly [what: string, spec: object])[] = [
  ['every field', FULL],
  ['the fewest fields', {}],
  ['a kind of a group', { resource: { apiVersion: 'apps/v1beta1', kind: 'Deployment' } }],
  ['64 namespaces', { namespaces: times(64, (index) => `ns-${index}`) }],
  ['no namespaces, selectors and event types', { namespaces: [], labelSelectors: [], fieldSelectors: [], eventTypes: [] }],
  ['32 long selectors', { labelSelectors: times(32, () => 'a'.repeat(1024)), fieldSelectors: times(32, () => 'a'.repeat(1024)) }],
  ['a filter of 4096 characters', { eventFilter: '𝒳'.repeat(4096) }],
  ['a template of a URL', { url: { template: 'https://sink.example.com/{{ .metadata.name }}' } }],
  ['a Service alone', { url: { service: { name: 'gateway' } } }],
  ['a template of a path', uri({ template: '/{{ .metadata.name }}' })],
  ['a URL of 2048 characters', { url: { static: `https://${'a'.repeat(2040)}` } }],
  ...['GET', 'POST', 'PATCH'].map((method) => [`the method ${method}`, { method }] as const),
  ['a token', auth({ bearer: { secretKeyRef } })],
  ['a token and certificates', auth({ bearer: { secretKeyRef }, tls: { caRef: secretKeyRef } })],
  ['no authentication', auth({})],
  ['32 headers in each map', { headers: { static: headers(32), template: headers(32), fromSecretRef: headers(32, secretKeyRef) } }],
  ['a header name of 128 characters', { headers: { static: { ['x'.repeat(128)]: '' } } }],
  ['an empty header', { headers: { static: { 'X-A': '' }, template: { 'X-B': '' } } }],
  ['a body of 65536 characters', body({ template: '𝒳'.repeat(65536) })],
  ...['100ms', '0.1s', '10m', '9m60s'].map((timeout) => [`a timeout of ${timeout}`, { delivery: { timeout } }] as const),
  ['one repetition', { delivery: { retries: 1 } }],
  ['a first delay that is the last', { retryPolicy: { initialDelay: '60s', maxDelay: '1m' } }],
  ['no waiting for the receiver', { retryPolicy: { maxRetryAfter: '0s' } }],
  ['an age of a year', { retryPolicy: { maxAge: '8760h' } }],
  ['32 codes', { retryPolicy: { retryOn: times(32, (index) => 400 + index) } }],
  ...['Block', 'Drop'].map((policy) => [`the policy ${policy}`, { deadLetter: { policy } }] as const),
  ['one request per second', { rateLimit: { requestsPerSecond: 1, burst: 1 } }],
  ['the limit of 10000', { rateLimit: { requestsPerSecond: 10000 } }],
];

/** Fields that are refused, and a part of what is said of them. */
const REFUSED: readonly (readonly [spec: object, ...causes: (readonly [field: string, message: string])[]])[] = [
  [{ resource: undefined }, ['spec.resource', 'Required value']],
  [{ resource: {} }, ['spec.resource.apiVersion', 'Required value'], ['spec.resource.kind', 'Required value']],
  [
    { resource: { apiVersion: 'a/b/c', kind: 'A b' } },
    ['spec.resource.apiVersion', 'should match'],
    ['spec.resource.kind', 'should match'],
  ],
  [{ resource: { apiVersion: 'v1', kind: 'K'.repeat(64) } }, ['spec.resource.kind', 'Too long']],
  [{ namespaces: times(65, (index) => `ns-${index}`) }, ['spec.namespaces', 'Too many: 65: must have at most 64 items']],
  [
    { namespaces: ['A_b', '', 'n'.repeat(64), 7] },
    ['spec.namespaces[0]', 'should match'],
    ['spec.namespaces[1]', 'at least 1 chars'],
    ['spec.namespaces[2]', 'Too long'],
    ['spec.namespaces[3]', 'must be of type string'],
  ],
  [{ labelSelectors: times(33, () => 'a') }, ['spec.labelSelectors', 'Too many']],
  [
    { labelSelectors: ['', 'a'.repeat(1025), 'a\nb'] },
    ['spec.labelSelectors[0]', 'at least 1 chars'],
    ['spec.labelSelectors[1]', 'Too long'],
    ['spec.labelSelectors[2]', 'should match'],
  ],
  [{ fieldSelectors: times(33, () => 'a=b') }, ['spec.fieldSelectors', 'Too many']],
  [
    { fieldSelectors: ['', 'a'.repeat(1025), 'a\nb'] },
    ['spec.fieldSelectors[0]', 'at least 1 chars'],
    ['spec.fieldSelectors[1]', 'Too long'],
    ['spec.fieldSelectors[2]', 'should match'],
  ],
  [
    { eventTypes: ['ADDED', 'added', 'BOOKMARK'] },
    ['spec.eventTypes[1]', 'supported values: "ADDED", "MODIFIED", "DELETED"'],
    ['spec.eventTypes[2]', 'supported values'],
  ],
  [{ eventFilter: '' }, ['spec.eventFilter', 'at least 1 chars']],
  [{ eventFilter: 'x'.repeat(4097) }, ['spec.eventFilter', 'Too long']],
  [{ concurrency: 0 }, ['spec.concurrency', 'greater than or equal to 1']],
  [{ concurrency: 101 }, ['spec.concurrency', 'less than or equal to 100']],
  [{ concurrency: 1.5 }, ['spec.concurrency', 'must be of type int64']],
  [
    { sendInitialEvents: 'yes', suspend: 1 },
    ['spec.sendInitialEvents', 'must be of type boolean'],
    ['spec.suspend', 'must be of type boolean'],
  ],
  [{ url: undefined }, ['spec.url', 'Required value']],
  [{ url: { static: 'http://' } }, ['spec.url.static', 'at least 8 chars']],
  [{ url: { static: 'ftp://sink.example.com' } }, ['spec.url.static', 'should match']],
  [{ url: { static: 'http://sink.example.com/a b' } }, ['spec.url.static', 'should match']],
  [
    { url: { static: 'http://sink.example.com/{{ .metadata.name }}' } },
    ['spec.url.static', 'should match'],
    ['spec.url.static', 'is taken as it is: put a template, with {{ }}, into url.template'],
  ],
  [{ url: { static: `https://${'a'.repeat(2041)}` } }, ['spec.url.static', 'Too long']],
  [{ url: { template: 'x'.repeat(4097) } }, ['spec.url.template', 'Too long']],
  [{ url: { template: '' } }, ['spec.url.template', 'at least 1 chars']],
  [
    { url: { service: { namespace: 'A', portName: 'a_b', scheme: 'ftp' } } },
    ['spec.url.service.name', 'Required value'],
    ['spec.url.service.namespace', 'should match'],
    ['spec.url.service.portName', 'should match'],
    ['spec.url.service.scheme', 'supported values: "http", "https"'],
  ],
  [
    { url: { service: { name: 'a.b', namespace: 'n'.repeat(64), portName: 'p'.repeat(64) } } },
    ['spec.url.service.name', 'should match'],
    ['spec.url.service.namespace', 'Too long'],
    ['spec.url.service.portName', 'Too long'],
  ],
  [uri({ static: 'function/email' }), ['spec.url.service.uri.static', 'should match']],
  [uri({ static: `/${'a'.repeat(2048)}` }), ['spec.url.service.uri.static', 'Too long']],
  [uri({ template: 'x'.repeat(4097) }), ['spec.url.service.uri.template', 'Too long']],
  [{ method: 'DELETE' }, ['spec.method', 'supported values: "GET", "POST", "PUT", "PATCH"']],
  [auth({ basicAuth: {} }), ['spec.auth.basicAuth.user', 'Required value'], ['spec.auth.basicAuth.secretKeyRef', 'Required value']],
  [auth({ basicAuth: { user: 'a:b', secretKeyRef } }), ['spec.auth.basicAuth.user', 'should match']],
  [auth({ basicAuth: { user: 'a'.repeat(257), secretKeyRef } }), ['spec.auth.basicAuth.user', 'Too long']],
  [
    auth({ bearer: { secretKeyRef: { name: 'A_b', key: 'a/b' } } }),
    ['spec.auth.bearer.secretKeyRef.name', 'should match'],
    ['spec.auth.bearer.secretKeyRef.key', 'should match'],
  ],
  [
    auth({ bearer: { secretKeyRef: { name: 'a'.repeat(254), key: 'a'.repeat(254) } } }),
    ['spec.auth.bearer.secretKeyRef.name', 'Too long'],
    ['spec.auth.bearer.secretKeyRef.key', 'Too long'],
  ],
  [tls({ caRef: { name: 'a' } }), ['spec.auth.tls.caRef.key', 'Required value']],
  [tls({ insecureSkipVerify: 'true' }), ['spec.auth.tls.insecureSkipVerify', 'must be of type boolean']],
  [
    { headers: { static: headers(33), template: headers(33), fromSecretRef: headers(33, secretKeyRef) } },
    ['spec.headers.static', 'Too many: 33'],
    ['spec.headers.template', 'Too many: 33'],
    ['spec.headers.fromSecretRef', 'Too many: 33'],
  ],
  [{ headers: { static: { 'X-A': 'a\r\nb' } } }, ['spec.headers.static.X-A', 'should match']],
  [
    { headers: { static: { 'X-A': 'x'.repeat(4097), 'X-B': 5 }, template: { 'X-C': 'x'.repeat(4097) } } },
    ['spec.headers.static.X-A', 'Too long'],
    ['spec.headers.static.X-B', 'must be of type string'],
    ['spec.headers.template.X-C', 'Too long'],
  ],
  [
    { headers: { fromSecretRef: { 'X-A': { key: 'a' }, 'X-B': 'a' } } },
    ['spec.headers.fromSecretRef.X-A.name', 'Required value'],
    ['spec.headers.fromSecretRef.X-B', 'must be of type object'],
  ],
  [body({ template: undefined }), ['spec.body.template', 'Required value']],
  [body({ template: 'x'.repeat(65537) }), ['spec.body.template', 'Too long']],
  [body({ contentType: 'json' }), ['spec.body.contentType', 'should match']],
  [body({ contentType: 'a/b\r\nX: y' }), ['spec.body.contentType', 'should match']],
  [body({ signature: {} }), ['spec.body.signature.keySecretRef', 'Required value'], ['spec.body.signature.hmac', 'Required value']],
  [signed({ header: 'X Signature' }), ['spec.body.signature.header', 'should match']],
  [signed({ header: 'x'.repeat(129) }), ['spec.body.signature.header', 'Too long']],
  [signed({ hmac: { hashType: 'MD5' } }), ['spec.body.signature.hmac.hashType', 'supported values: "SHA256", "SHA512"']],
  [signed({ hmac: {} }), ['spec.body.signature.hmac.hashType', 'Required value']],
  [signed({ scheme: 'Other' }), ['spec.body.signature.scheme', 'supported values: "Body", "Timestamped"']],
  [signed({ previousKeySecretRef: { name: 'a' } }), ['spec.body.signature.previousKeySecretRef.key', 'Required value']],
  [{ delivery: { retries: 0 } }, ['spec.delivery.retries', 'greater than or equal to 1']],
  [{ delivery: { retries: 101 } }, ['spec.delivery.retries', 'less than or equal to 100']],
  [{ delivery: { timeout: '99ms' } }, ['spec.delivery.timeout', 'must be 100ms to 10m']],
  [{ delivery: { timeout: '10m1ns' } }, ['spec.delivery.timeout', 'must be 100ms to 10m']],
  [{ delivery: { timeout: 10 } }, ['spec.delivery.timeout', 'must be of type string']],
  [{ retryPolicy: { backoff: 'Random' } }, ['spec.retryPolicy.backoff', 'supported values: "Exponential", "Linear"']],
  [{ retryPolicy: { initialDelay: '1ms' } }, ['spec.retryPolicy.initialDelay', 'must be 10ms to 1h']],
  [{ retryPolicy: { maxDelay: '25h' } }, ['spec.retryPolicy.maxDelay', 'must be 10ms to 24h']],
  [{ retryPolicy: { maxRetryAfter: '25h' } }, ['spec.retryPolicy.maxRetryAfter', 'must be 0s to 24h']],
  [{ retryPolicy: { maxAge: '999ms' } }, ['spec.retryPolicy.maxAge', 'must be 1s to 8760h']],
  [
    { retryPolicy: { retryOn: [399, 600, '404'] } },
    ['spec.retryPolicy.retryOn[0]', 'greater than or equal to 400'],
    ['spec.retryPolicy.retryOn[1]', 'less than or equal to 599'],
    ['spec.retryPolicy.retryOn[2]', 'must be of type integer'],
  ],
  [{ retryPolicy: { retryOn: times(33, (index) => 400 + index) } }, ['spec.retryPolicy.retryOn', 'Too many']],
  [{ deadLetter: { policy: 'Retry' } }, ['spec.deadLetter.policy', 'supported values: "Block", "Drop", "Suspend"']],
  [{ deadLetter: { url: 'dead.example.com' } }, ['spec.deadLetter.url', 'should match']],
  [{ deadLetter: { url: `http://${'a'.repeat(2042)}` } }, ['spec.deadLetter.url', 'Too long']],
  [{ rateLimit: {} }, ['spec.rateLimit.requestsPerSecond', 'Required value']],
  [
    { rateLimit: { requestsPerSecond: 0, burst: 0 } },
    ['spec.rateLimit.requestsPerSecond', 'greater than or equal to 1'],
    ['spec.rateLimit.burst', 'greater than or equal to 1'],
  ],
  [
    { rateLimit: { requestsPerSecond: 10001, burst: 10001 } },
    ['spec.rateLimit.requestsPerSecond', 'less than or equal to 10000'],
    ['spec.rateLimit.burst', 'less than or equal to 10000'],
  ],
];

/** What only the API server refuses: relations of fields, and lists that are sets. */
const BROKEN_RULES: readonly (readonly [spec: object, field: string, message: string])[] = [
  [{ url: { static: 'http://{{.spec.host}}/' } }, 'spec.url.static', 'put a template, with {{ }}, into url.template'],
  [{ url: {} }, 'spec.url', 'exactly one of static, template and service is to be set'],
  [{ url: { static: 'http://a.example.com', template: 'x' } }, 'spec.url', 'exactly one of static, template and service is to be set'],
  [{ url: { static: 'http://a.example.com', service: { name: 'a' } } }, 'spec.url', 'exactly one of static, template and service'],
  [
    { url: { static: 'http://a.example.com', template: 'x', service: { name: 'a' } } },
    'spec.url',
    'exactly one of static, template and service',
  ],
  [uri({}), 'spec.url.service.uri', 'exactly one of static and template is to be set'],
  [uri({ static: '/', template: '/' }), 'spec.url.service.uri', 'exactly one of static and template is to be set'],
  [
    auth({ basicAuth: { user: 'a', secretKeyRef }, bearer: { secretKeyRef } }),
    'spec.auth',
    'at most one of basicAuth and bearer is to be set',
  ],
  [tls({ certRef: secretKeyRef }), 'spec.auth.tls', 'certRef and keyRef are set together'],
  [tls({ keyRef: secretKeyRef }), 'spec.auth.tls', 'certRef and keyRef are set together'],
  [{ headers: { static: { '': 'x' } } }, 'spec.headers.static', 'the name of a header has 1 to 128 characters'],
  [{ headers: { template: { ['x'.repeat(129)]: 'x' } } }, 'spec.headers.template', 'the name of a header has 1 to 128 characters'],
  [{ headers: { fromSecretRef: { '': secretKeyRef } } }, 'spec.headers.fromSecretRef', 'the name of a header has 1 to 128 characters'],
  [{ retryPolicy: { initialDelay: '31s' } }, 'spec.retryPolicy', 'initialDelay is at most maxDelay'],
  [{ namespaces: ['a', 'a'] }, 'spec.namespaces[1]', 'Duplicate value: "a"'],
  [{ eventTypes: ['ADDED', 'ADDED'] }, 'spec.eventTypes[1]', 'Duplicate value: "ADDED"'],
  [{ retryPolicy: { retryOn: [404, 404] } }, 'spec.retryPolicy.retryOn[1]', 'Duplicate value: 404'],
];

describe('HTTPTrigger on a real kube-apiserver', () => {
  it.each(ACCEPTED)('takes %s', async (_, spec) => {
    expect(await causesOf(spec)).toEqual([]);
    expect(validateSpec(HTTPTrigger, trigger('tried', spec))).toEqual([]);
  });

  it.each(REFUSED.map(([spec, ...causes]) => ({ text: shown(spec), spec, causes })))(
    'refuses $text, and validateSpec does so too',
    async ({ spec, causes }) => {
      const said = await causesOf(spec);
      expect(said).toHaveLength(causes.length);
      for (const [field, message] of causes) expect(said).toContainEqual(saysOf(field, message));
      const ours = validateSpec(HTTPTrigger, trigger('tried', spec)).map(({ field }) => field);
      expect(new Set(ours)).toEqual(new Set(causes.map(([field]) => field)));
    },
  );

  it.each(BROKEN_RULES.map(([spec, field, message]) => ({ text: shown(spec), spec, field, message })))(
    'refuses $text: $message',
    async ({ spec, field, message }) => {
      expect(await causesOf(spec)).toEqual([saysOf(field, message)]);
    },
  );

  it.each(['1d', '10', '-1s', '1 s', '.5s', '1s '])('refuses the duration %j', async (timeout) => {
    expect(await causesOf({ delivery: { timeout } })).toContainEqual(saysOf('spec.delivery.timeout', 'should match'));
  });

  it('refuses a field that it does not know', async () => {
    const said = (await causesOf({ retries: 5, delivery: { lockDuration: '1s' } })).join();
    expect(said).toContain('unknown field "spec.retries"');
    expect(said).toContain('unknown field "spec.delivery.lockDuration"');
  });

  it('takes null for nothing', async () => {
    const stored = await client.create(
      HTTP_TRIGGERS,
      trigger('nulls', {
        namespaces: null,
        eventFilter: null,
        auth: { basicAuth: null },
        headers: null,
        concurrency: null,
        delivery: null,
      }),
    );
    expect(stored.spec).toEqual({ ...required, ...DEFAULTS, auth: {} });
  });

  it('stores every default', async () => {
    await client.create(HTTP_TRIGGERS, trigger('fewest', {}));
    expect((await client.get(HTTP_TRIGGERS, 'fewest', NAMESPACE)).spec).toEqual({ ...required, ...DEFAULTS });
    await client.create(
      HTTP_TRIGGERS,
      trigger('nested', {
        url: { service: { name: 'gateway' } },
        auth: { tls: {} },
        body: { template: 'x', signature },
        delivery: { retries: 3 },
        retryPolicy: {},
        deadLetter: {},
        rateLimit: { requestsPerSecond: 5 },
      }),
    );
    expect((await client.get(HTTP_TRIGGERS, 'nested', NAMESPACE)).spec).toEqual({
      ...required,
      ...DEFAULTS,
      url: { service: { name: 'gateway', scheme: 'http' } },
      auth: { tls: { insecureSkipVerify: false } },
      body: { contentType: 'application/json', template: 'x', signature: { header: 'X-Signature', scheme: 'Body', ...signature } },
      delivery: { timeout: '10s', retries: 3 },
      retryPolicy: { backoff: 'Exponential', initialDelay: '1s', maxDelay: '30s', maxRetryAfter: '5m' },
      deadLetter: { policy: 'Block' },
      rateLimit: { requestsPerSecond: 5, burst: 1 },
    });
  });

  it('keeps every field as it was written', async () => {
    await client.create(HTTP_TRIGGERS, trigger('every', FULL));
    expect((await client.get(HTTP_TRIGGERS, 'every', NAMESPACE)).spec).toEqual(FULL);
  });

  it('keeps its status apart, bounded, and shows it in columns', async () => {
    await client.create(HTTP_TRIGGERS, trigger('shown', { suspend: true }));
    const write = (status: object): Promise<HTTPTrigger> =>
      client.patch(HTTP_TRIGGERS, 'shown', NAMESPACE, { status }, { type: 'merge', subresource: 'status' });
    const time = '2026-01-02T03:04:05Z';
    const condition = (type: string, status: string): object => ({ type, status, reason: 'Said', message: '', lastTransitionTime: time });
    const counters = { received: 9, filtered: 1, delivered: 5, retried: 2, failed: 3, deadLettered: 0, dropped: 1 };
    const status = {
      errorTime: time,
      errorReason: 'HTTP400',
      errorResourceVersion: '41',
      lastGeneration: 1,
      phase: 'Error',
      observedGeneration: 1,
      cursor: { resourceVersion: '42', time },
      conditions: ['Ready', 'Watching', 'Delivering', 'GapDetected', 'Suspended'].map((type, index) =>
        condition(type, index === 0 ? 'False' : 'True'),
      ),
      counters,
      pending: 2,
      lastDeliveredTime: time,
      lastDeliveredResourceVersion: '40',
      lastError: { time, reason: 'HTTP400', message: 'the answer was 400', code: 400 },
    };
    expect((await write(status)).status).toEqual(status);
    await client.patch(HTTP_TRIGGERS, 'shown', NAMESPACE, { spec: { concurrency: 2 }, status: null }, { type: 'merge' });
    expect((await client.get(HTTP_TRIGGERS, 'shown', NAMESPACE)).status).toEqual(status);
    const table = async (...more: string[]): Promise<string[][]> =>
      (await kubectl.read(['get', 'httptrg', 'shown', ...more])).split('\n').map((row) => row.split(/\s+/));
    expect(await table()).toEqual([
      ['NAME', 'KIND', 'READY', 'ERRORTIME', 'ERRORREASON', 'ERRORRESOURCEVERSION', 'AGE'],
      ['shown', 'ConfigMap', 'False', expect.stringMatching(/^\d+[a-z]/), 'HTTP400', '41', expect.stringMatching(/^\d+[ms]/)],
    ]);
    const [names, values] = await table('-o', 'wide');
    expect(values?.[names?.indexOf('SUSPENDED') ?? -1]).toBe('True');
    for (const [field, wrong] of Object.entries({
      phase: { phase: 'Waiting' },
      pending: { pending: -1 },
      'counters.failed': { counters: { ...counters, failed: -1 } },
      'counters.dropped': { counters: { dropped: null } },
      'cursor.time': { cursor: { resourceVersion: '1', time: 'today' } },
      'cursor.resourceVersion': { cursor: { resourceVersion: '', time } },
      'lastError.code': { lastError: { code: 1000 } },
      errorReason: { errorReason: 'x'.repeat(32769) },
      conditions: { conditions: times(17, (index) => condition(`Condition${index}`, 'True')) },
    })) {
      const said = await write(wrong).catch((error: unknown) => error);
      expect([field, said instanceof StatusError ? said.status.details?.causes?.map((cause) => cause.field) : said]).toEqual([
        field,
        expect.arrayContaining([`status.${field}`]),
      ]);
    }
  });

  it('is found by the kind that it watches', async () => {
    await client.create(HTTP_TRIGGERS, trigger('pods', { resource: { apiVersion: 'v1', kind: 'Pod' } }));
    const found = (fieldSelector: string): Promise<string[]> =>
      client.list(HTTP_TRIGGERS, { fieldSelector }).then(({ items }) => items.map(({ metadata }) => metadata.name ?? ''));
    expect(await found('spec.resource.kind=Pod,spec.resource.apiVersion=v1')).toEqual(['pods']);
    expect(await found('spec.resource.kind=Pod,spec.resource.apiVersion=v2')).toEqual([]);
  });

  it('is what discovery finds', async () => {
    const discovery = new ResourceDiscovery(client);
    expect(await discovery.resolve('triggers.harikube.info/v1', 'HTTPTrigger')).toEqual(HTTP_TRIGGERS);
    const plural = discovery.resolve('triggers.harikube.info/v1', 'httptriggers');
    await expect(plural).rejects.toThrow(
      new NoSuchKindError('the API server knows no kind httptriggers of triggers.harikube.info/v1; it has HTTPTrigger'),
    );
    await expect(discovery.resolve('triggers.harikube.info/v2', 'HTTPTrigger')).rejects.toThrow('does not serve triggers.harikube.info/v2');
  });

  it('keeps every digit of whole numbers of 64 bits', async () => {
    await client.create(HTTP_TRIGGERS, trigger('exact', {}));
    const status = { pending: 2n ** 53n + 1n };
    await client.patch(HTTP_TRIGGERS, 'exact', NAMESPACE, { status }, { type: 'merge', subresource: 'status' });
    expect((await client.get(HTTP_TRIGGERS, 'exact', NAMESPACE, { exactIntegers: true })).status).toEqual(status);
  });

  it('is read by who views a namespace, and written by none but who was given that', async () => {
    for (const [name, role] of Object.entries({ reader: 'view', tenant: 'admin', writer: 'harikube-httptrigger-editor' }))
      await kubectl.succeed(['create', 'rolebinding', name, `--clusterrole=${role}`, `--user=${name}`, '-n', NAMESPACE]);
    const succeeds = ({ code }: Answer): boolean => code === 0;
    const attempt = (user: string): Promise<Answer> =>
      kubectl.run(['create', '--dry-run=server', '-f', '-', `--as=${user}`], trigger(`by-${user}`, {}));
    // The controller adds up the role, and the authorizer follows.
    for (const user of ['reader', 'tenant', 'writer']) await eventually(() => kubectl.run(['get', 'httptrg', `--as=${user}`]), succeeds);
    await eventually(() => attempt('writer'), succeeds);
    for (const user of ['reader', 'tenant']) expect((await attempt(user)).err).toContain('Forbidden');
    expect(
      await kubectl.refuse(['patch', 'httptrg', 'fewest', '--subresource=status', '--type=merge', '-p', '{}', '--as=writer']),
    ).toContain('Forbidden');
  });
});
