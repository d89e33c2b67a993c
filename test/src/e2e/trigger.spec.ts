import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { API_VERSION } from '@harikube/crds';
import { type KubeObject, SECRETS, SERVICES } from '@harikube/kube';
import { loadCertificate } from '@harikube/local-cluster';
import { EventReceiver, type ReceivedRequest } from './event-receiver.js';
import type { SpecPart, TriggerCase } from './trigger-case.js';
import { PLATFORM, secretOf, sourceRole, TriggerStage } from './trigger-stage.js';

const CREDENTIALS = { password: 'pass word', token: 'token-1\n', apiKey: 'from-secret', signing: 'topsecret', previous: 'oldsecret' };
/** Whose triggers a program serves that is allowed more. */
const FREE = 'free';

let stage: TriggerStage;
/** Asks for client certificates. */
let tlsReceiver: EventReceiver;
const keyIn = (name: string) => (key: string) => ({ name, key });
const credential = keyIn('credentials');
const certificate = keyIn('certificates');

beforeAll(async () => {
  stage = await TriggerStage.start({ name: 'trigger' });
  const { cluster, client } = stage;
  const folder = join(cluster.folder, 'receivers');
  const { authority } = cluster.certificates;
  const server = await loadCertificate(folder, cluster.certificates, { file: 'server', commonName: 'receiver', use: 'server' });
  const own = await loadCertificate(folder, cluster.certificates, { file: 'client', commonName: 'trigger-client', use: 'client' });
  tlsReceiver = await EventReceiver.start({ cert: server.certificate, key: server.key, ca: authority.certificate });
  cluster.beforeStop(() => tlsReceiver.close());
  await stage.namespace(FREE);
  await stage.namespace('elsewhere');
  await stage.apply(sourceRole('', 'secrets'), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'plain', namespace: PLATFORM },
    spec: { type: 'ExternalName', externalName: '127.0.0.1', ports: [{ port: stage.receiver.port }] },
  });
  await client.create(SECRETS, secretOf('credentials', CREDENTIALS));
  await client.create(SECRETS, secretOf('certificates', { ca: authority.certificate, cert: own.certificate, key: own.key }));
  await client.create(SERVICES, {
    metadata: { name: 'two-ports', namespace: 'elsewhere' },
    spec: {
      type: 'ExternalName',
      externalName: 'localhost',
      ports: [
        { name: 'plain', port: stage.receiver.port },
        { name: 'secure', port: tlsReceiver.port },
      ],
    },
  } as KubeObject);
  const allowed = '--allowed-targets=127.0.0.0/8,::1';
  stage.launch(allowed, `--trigger-namespace=${PLATFORM}`);
  stage.launch(allowed, `--trigger-namespace=${FREE}`, '--allow-insecure-tls', '--allow-templated-hosts', '--allow-secret-data');
}, 900_000);

afterEach(() => stage.clear());
afterAll(() => stage?.stop());

const hmac = (hash: string, key: string, ...parts: readonly string[]): string =>
  createHmac(hash, key).update(parts.join('.')).digest('hex');
const header = ({ headers }: ReceivedRequest, name: string): string => String(headers[name]);
/** `t` and all `v1` of a signature. */
function timestamped(signature: string): { readonly seconds: string; readonly values: readonly string[] } {
  const [seconds = '', ...values] = signature.split(',');
  return { seconds: seconds.replace('t=', ''), values: values.map((value) => value.replace('v1=', '')) };
}

interface RequestRow {
  readonly title: string;
  readonly spec: (of: TriggerCase) => SpecPart;
  /** What is to be seen of the request. */
  readonly check: (request: ReceivedRequest, of: TriggerCase) => void;
}

const REQUESTS: readonly RequestRow[] = [
  {
    title: 'goes to url.static, whose query stays as it is',
    spec: (of) => ({ url: { static: `${of.url}/a?b=c%20d&e` } }),
    check: ({ path, method }, of) => expect([method, path]).toEqual(['POST', `/${of.name}/a?b=c%20d&e`]),
  },
  {
    title: 'goes where url.template says of the object',
    spec: (of) => ({ url: { template: `${of.url}/{{ .metadata.namespace }}?subject={{ .spec.subject | urlquery }}` } }),
    check: ({ path }, of) => expect(path).toBe(`/${of.name}/default?subject=Hello+World`),
  },
  {
    title: 'goes to the only port of url.service, at the path of uri.static',
    spec: (of) => ({ url: { service: { name: 'plain', uri: { static: `/${of.name}/fixed?x=1` } } } }),
    check: ({ path, headers }, of) => {
      expect(path).toBe(`/${of.name}/fixed?x=1`);
      expect(headers['host']).toBe(`127.0.0.1:${stage.receiver.port}`);
    },
  },
  {
    title: 'goes to the port of portName of a Service of another namespace, at the path of uri.template',
    spec: (of) => ({
      url: {
        service: { name: 'two-ports', namespace: 'elsewhere', portName: 'plain', uri: { template: `/${of.name}/{{ .metadata.name }}` } },
      },
    }),
    check: ({ path, headers }, of) => {
      expect(path).toBe(`/${of.name}/${of.name}-one`);
      expect(headers['host']).toBe(`localhost:${stage.receiver.port}`);
    },
  },
  ...(['PUT', 'PATCH'] as const).map((method): RequestRow => ({
    title: `is a ${method} with the body when the method is ${method}`,
    spec: () => ({ method }),
    check: (request, of) => {
      expect(request.method).toBe(method);
      expect(JSON.parse(request.body)).toMatchObject({ metadata: { name: `${of.name}-one` } });
    },
  })),
  {
    title: 'has no body when the method is GET',
    spec: () => ({ method: 'GET' }),
    check: (request) => {
      expect([request.method, request.body]).toEqual(['GET', '']);
      expect(request.headers['content-type']).toBeUndefined();
    },
  },
  {
    title: 'has no body when the trigger has none',
    spec: () => ({ body: undefined }),
    check: (request) => {
      expect([request.method, request.body]).toEqual(['POST', '']);
      expect(request.headers['content-type']).toBeUndefined();
    },
  },
  {
    title: 'has the media type and the body that the trigger makes of the object',
    spec: () => ({ body: { contentType: 'text/plain; charset=utf-8', template: 'to {{ .spec.toAddress | upper }} ✓' } }),
    check: ({ headers, body }) => expect([headers['content-type'], body]).toEqual(['text/plain; charset=utf-8', 'to ONE@EXAMPLE.COM ✓']),
  },
  {
    title: 'has the object without managedFields as its body for {{ toJson . }}',
    spec: () => ({}),
    check: ({ headers, body }) => {
      expect(headers['content-type']).toBe('application/json');
      const object = JSON.parse(body) as { metadata: object; spec: object };
      expect(object).toMatchObject({ apiVersion: API_VERSION, kind: 'Email', spec: { toAddress: 'one@example.com' } });
      expect(object.metadata).not.toHaveProperty('managedFields');
    },
  },
  {
    title: 'has headers.static, over them headers.template, over them headers.fromSecretRef, whatever the case of the names',
    spec: () => ({
      headers: {
        static: { 'X-One': 'static', 'X-Two': 'static', 'X-Three': 'static' },
        template: { 'x-two': '{{ .spec.toAddress }}', 'X-THREE': 'template' },
        fromSecretRef: { 'x-Three': credential('apiKey') },
      },
    }),
    check: ({ headers }) =>
      expect([headers['x-one'], headers['x-two'], headers['x-three']]).toEqual(['static', 'one@example.com', 'from-secret']),
  },
  {
    title: 'has the user and the password of auth.basicAuth',
    spec: () => ({ auth: { basicAuth: { user: 'Jane', secretKeyRef: credential('password') } } }),
    check: ({ headers }) => expect(headers['authorization']).toBe(`Basic ${Buffer.from('Jane:pass word').toString('base64')}`),
  },
  {
    title: 'has the token of auth.bearer, without the line break at its end',
    spec: () => ({ auth: { bearer: { secretKeyRef: credential('token') } } }),
    check: ({ headers }) => expect(headers['authorization']).toBe('Bearer token-1'),
  },
  ...(['SHA256', 'SHA512'] as const).flatMap((hashType): RequestRow[] => [
    {
      title: `is signed by the HMAC-${hashType} of its body for scheme Body`,
      spec: () => ({
        body: {
          template: '{{ toJson .spec }}',
          signature: { header: 'X-Hub', keySecretRef: credential('signing'), hmac: { hashType } },
        },
      }),
      check: (request) => expect(header(request, 'x-hub')).toBe(hmac(hashType, CREDENTIALS.signing, request.body)),
    },
    {
      title: `is signed with time and id by both keys for scheme Timestamped with ${hashType}`,
      spec: () => ({
        body: {
          template: '{{ toJson .spec }}',
          signature: {
            keySecretRef: credential('signing'),
            previousKeySecretRef: credential('previous'),
            hmac: { hashType },
            scheme: 'Timestamped',
          },
        },
      }),
      check: (request) => {
        const { seconds, values } = timestamped(header(request, 'x-signature'));
        expect(Math.abs(Date.now() / 1000 - Number(seconds))).toBeLessThan(60);
        const signed = [seconds, header(request, 'ce-id'), request.body];
        expect(values).toEqual([hmac(hashType, CREDENTIALS.signing, ...signed), hmac(hashType, CREDENTIALS.previous, ...signed)]);
      },
    },
  ]),
  {
    title: 'says who sends it, and which attempt it is',
    spec: () => ({}),
    check: ({ headers }) => {
      expect(headers['user-agent']).toMatch(/^harikube-watch-trigger\/\d/);
      expect(headers['x-delivery-attempt']).toBe('1');
    },
  },
];

describe('the request of a trigger', () => {
  it.each(REQUESTS)('$title', async ({ spec, check }) => {
    const of = stage.case();
    await of.email('one');
    await of.create(spec(of));
    check(await of.request(), of);
  });

  it('has the attributes of a CloudEvent, by which ADDED, MODIFIED, DELETED and what was there before are told apart', async () => {
    const of = stage.case();
    const before = await of.email('before');
    await of.create();
    await of.arrived(1);
    const added = await of.email('one');
    const modified = await of.changeEmail('one', { metadata: { labels: { round: 'two' } } });
    await of.deleteEmail('one');
    const attributes = (await of.arrived(4)).map(({ headers }) =>
      Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('ce-'))),
    );
    const common = (name: string): object => ({
      'ce-id': expect.stringMatching(/^[0-9a-f]{64}$/),
      'ce-specversion': '1.0',
      'ce-source': `/apis/triggers.harikube.info/v1/namespaces/${PLATFORM}/httptriggers/${of.name}`,
      'ce-subject': `/apis/${API_VERSION}/namespaces/default/emails/${of.name}-${name}`,
      'ce-time': expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      'ce-kind': 'Email',
      'ce-apiversion': API_VERSION,
      'ce-name': `${of.name}-${name}`,
      'ce-namespace': 'default',
    });
    expect(attributes).toEqual([
      {
        ...common('before'),
        'ce-type': 'info.harikube.object.added',
        'ce-resourceversion': before.metadata.resourceVersion,
        'ce-initial': 'true',
      },
      { ...common('one'), 'ce-type': 'info.harikube.object.added', 'ce-resourceversion': added.metadata.resourceVersion },
      { ...common('one'), 'ce-type': 'info.harikube.object.modified', 'ce-resourceversion': modified.metadata.resourceVersion },
      {
        ...common('one'),
        'ce-type': 'info.harikube.object.deleted',
        'ce-resourceversion': expect.stringMatching(/^\d+$/),
        'ce-stillexists': 'false',
      },
    ]);
    expect(new Set(attributes.map((one) => one['ce-id'])).size).toBe(4);
  });

  it('has the value that a Secret has at the moment, without a restart', async () => {
    const of = stage.case();
    await stage.client.create(SECRETS, secretOf('rotated', { token: 'first' }));
    await of.email('one');
    await of.create({ auth: { bearer: { secretKeyRef: { name: 'rotated', key: 'token' } } } });
    expect((await of.request()).headers['authorization']).toBe('Bearer first');
    const { data } = secretOf('rotated', { token: 'second' });
    await stage.client.patch(SECRETS, 'rotated', PLATFORM, { data }, { type: 'merge' });
    let last = await of.request();
    // The watch of the program tells it of the Secret a moment later.
    for (let round = 1; last.headers['authorization'] === 'Bearer first' && round < 200; round++) {
      await of.changeEmail('one', { metadata: { labels: { round: String(round) } } });
      last = (await of.arrived(round + 1)).at(-1) ?? last;
    }
    expect(last.headers['authorization']).toBe('Bearer second');
  });

  it('has the keys of a Secret that is watched, and its values only where a flag allows that', async () => {
    const watched = { resource: { apiVersion: 'v1', kind: 'Secret' }, headers: { template: { 'x-data': '{{ toJson .data }}' } } };
    const cases = [stage.case(), stage.case(FREE)] as const;
    for (const of of cases) {
      const secret = secretOf(`watched-${of.name}`, { password: 'hunter2' }, 'elsewhere');
      await stage.client.create(SECRETS, { ...secret, metadata: { ...secret.metadata, labels: { case: of.name } } });
      await of.create(watched);
    }
    const [closed, free] = await Promise.all(cases.map((of) => of.request()));
    expect(closed?.headers['x-data']).toBe('{"password":"REDACTED"}');
    expect(closed?.body).not.toContain(Buffer.from('hunter2').toString('base64'));
    expect(free?.headers['x-data']).toBe(`{"password":"${Buffer.from('hunter2').toString('base64')}"}`);
  });

  it('goes to a host that a template makes of the object where a flag allows that', async () => {
    const of = stage.case(FREE);
    await of.email('one', { spec: { subject: stage.receiver.url } });
    await of.create({ url: { template: `{{ .spec.subject }}/${of.name}` } });
    expect((await of.request()).path).toBe(`/${of.name}`);
  });
});

describe('a request over TLS', () => {
  const told = async (of: TriggerCase): Promise<ReceivedRequest | undefined> => {
    const find = (): ReceivedRequest | undefined => tlsReceiver.requests.find(({ path }) => path === `/${of.name}`);
    await tlsReceiver.until(() => find() !== undefined);
    return find();
  };

  it('goes to a server whose authority is that of auth.tls.caRef, and shows the certificate of certRef and keyRef', async () => {
    const of = stage.case();
    await of.email('one');
    const tls = { caRef: certificate('ca'), certRef: certificate('cert'), keyRef: certificate('key') };
    await of.create({ url: { static: `${tlsReceiver.url}/${of.name}` }, auth: { tls } });
    expect((await told(of))?.clientName).toBe('trigger-client');
  });

  it('goes to a Service with scheme https, by its name, and shows no certificate where there is none', async () => {
    const of = stage.case();
    await of.email('one');
    const service = { name: 'two-ports', namespace: 'elsewhere', portName: 'secure', scheme: 'https', uri: { static: `/${of.name}` } };
    await of.create({ url: { service }, auth: { tls: { caRef: certificate('ca') } } });
    const request = await told(of);
    expect(request?.headers['host']).toBe(`localhost:${tlsReceiver.port}`);
    expect(request?.clientName).toBeNull();
  });

  it('is not made to a server of an unknown authority; it is when the authority is named', async () => {
    const of = stage.case();
    await of.email('one');
    await of.create({ url: { static: `${tlsReceiver.url}/${of.name}` } });
    const { lastError } = await of.status((status) => status.lastError !== undefined);
    expect(lastError?.reason).toBe('TlsFailed');
    expect(tlsReceiver.requests.map(({ path }) => path)).not.toContain(`/${of.name}`);
    await of.change({ auth: { tls: { caRef: certificate('ca') } } });
    expect(await told(of)).toBeDefined();
  });

  it('leaves the certificate of the server unchecked where trigger and flag say so, and is not made without the flag', async () => {
    const closed = stage.case();
    const free = stage.case(FREE);
    for (const of of [closed, free]) {
      await of.email('one');
      await of.create({ url: { static: `${tlsReceiver.url}/${of.name}` }, auth: { tls: { insecureSkipVerify: true } } });
    }
    expect(await told(free)).toBeDefined();
    expect(await closed.condition('Delivering', 'False', 'InsecureNotAllowed')).toBe('auth.tls.insecureSkipVerify is not allowed here');
    expect(tlsReceiver.requests.map(({ path }) => path)).not.toContain(`/${closed.name}`);
  });
});

interface SelectionRow {
  readonly title: string;
  readonly spec: (of: TriggerCase) => SpecPart;
  readonly act: (of: TriggerCase) => Promise<unknown>;
  /** Everything that is told; the last one comes last. */
  readonly told: readonly string[];
}

const label = (labels: Readonly<Record<string, string | null>>): object => ({ metadata: { labels } });
/** Everything that can happen to an object. */
async function live(of: TriggerCase, name: string): Promise<void> {
  await of.email(name);
  await of.changeEmail(name, label({ round: 'two' }));
  await of.deleteEmail(name);
}

const SELECTIONS: readonly SelectionRow[] = [
  {
    title: 'tells of all namespaces and all types of events when it names none',
    spec: () => ({ namespaces: [], eventTypes: [] }),
    act: async (of) => {
      await of.email('one', { namespace: 'elsewhere' });
      await live(of, 'two');
    },
    told: ['ADDED one', 'ADDED two', 'MODIFIED two', 'DELETED two'],
  },
  {
    title: 'tells of its namespaces only',
    spec: () => ({ namespaces: ['default', 'free'] }),
    act: async (of) => {
      await of.email('one', { namespace: 'elsewhere' });
      await of.email('two', { namespace: 'free' });
      await of.arrived(1);
      await of.email('three', { namespace: 'default' });
    },
    told: ['ADDED two', 'ADDED three'],
  },
  {
    title: 'tells of objects that match all labelSelectors',
    spec: (of) => ({ labelSelectors: [of.selector, 'tier in (web, api)'] }),
    act: async (of) => {
      await of.email('one');
      await of.email('two', { labels: { tier: 'web' } });
      await of.email('three', { labels: { tier: 'db' } });
      await of.email('four', { labels: { tier: 'api' } });
    },
    told: ['ADDED two', 'ADDED four'],
  },
  {
    title: 'tells of objects that match the fieldSelector of a name',
    spec: (of) => ({ fieldSelectors: [`metadata.name=${of.name}-two`] }),
    act: async (of) => {
      await live(of, 'one');
      await live(of, 'two');
    },
    told: ['ADDED two', 'MODIFIED two', 'DELETED two'],
  },
  {
    title: 'tells of objects that match the fieldSelector of a field that its kind lets select',
    spec: () => ({ fieldSelectors: ['spec.toAddress!=two@example.com', 'spec.toAddress!=three@example.com'] }),
    act: async (of) => {
      for (const name of ['one', 'two', 'three', 'four']) await of.email(name);
    },
    told: ['ADDED one', 'ADDED four'],
  },
  {
    title: 'tells of additions only',
    spec: () => ({ eventTypes: ['ADDED'] }),
    act: async (of) => {
      await live(of, 'one');
      await live(of, 'two');
      await of.email('end');
    },
    told: ['ADDED one', 'ADDED two', 'ADDED end'],
  },
  {
    title: 'tells of changes and deletions only',
    spec: () => ({ eventTypes: ['MODIFIED', 'DELETED'] }),
    act: async (of) => {
      await live(of, 'one');
      await live(of, 'two');
    },
    told: ['MODIFIED one', 'DELETED one', 'MODIFIED two', 'DELETED two'],
  },
  {
    title: 'tells of objects of which the eventFilter is true',
    spec: () => ({ eventFilter: 'and (eq .metadata.labels.phase "Done") (hasPrefix "end" .spec.toAddress | not)' }),
    act: async (of) => {
      for (const name of ['one', 'two']) await of.email(name, { labels: { phase: 'Open' } });
      await of.changeEmail('two', label({ phase: 'Done' }));
      await of.email('end', { labels: { phase: 'Done' } });
      await of.email('last', { labels: { phase: 'Done' } });
    },
    told: ['MODIFIED two', 'ADDED last'],
  },
  {
    title: 'tells of no object of which the eventFilter cannot be evaluated, and of the others',
    spec: () => ({ eventFilter: 'eq .metadata.labels.phase "Done"' }),
    act: async (of) => {
      await of.email('one');
      await of.email('two', { labels: { phase: 'Done' } });
    },
    told: ['ADDED two'],
  },
];

describe('a trigger', () => {
  it.each(SELECTIONS)('$title', async ({ spec, act, told }) => {
    const of = stage.case();
    await of.create({ sendInitialEvents: false, ...spec(of) });
    await of.hasBegun();
    await act(of);
    await of.arrived(told.length);
    expect(of.told).toEqual(told);
  });

  it('says which object its eventFilter fails on, counts what it leaves out and what it tells', async () => {
    const of = stage.case();
    await of.email('a-open', { labels: { phase: 'Open' } });
    await of.email('b-none');
    await of.email('c-done', { labels: { phase: 'Done' } });
    await of.create({ eventFilter: 'eq .metadata.labels.phase "Done"' });
    const { counters, lastError, errorReason } = await of.status((status) => status.counters?.delivered === 1);
    expect(counters).toMatchObject({ received: 3, filtered: 1, dropped: 1, failed: 1 });
    expect(lastError).toMatchObject({ reason: 'TemplateFailed', message: expect.stringMatching(/eventFilter.*phase/) });
    // What came after it was delivered.
    expect(errorReason).toBeUndefined();
  });

  it('tells what leaves the selection as DELETED that still exists', async () => {
    const of = stage.case();
    await of.create({ sendInitialEvents: false });
    await of.hasBegun();
    await of.email('one');
    await of.changeEmail('one', label({ case: null }));
    // Whether it exists is asked when the event is sent.
    await of.arrived(2);
    await of.changeEmail('one', label({ case: of.name }));
    await of.deleteEmail('one');
    const requests = await of.arrived(4);
    expect(of.told).toEqual(['ADDED one', 'DELETED one', 'ADDED one', 'DELETED one']);
    expect(requests.map(({ headers }) => headers['ce-stillexists'])).toEqual([undefined, 'true', undefined, 'false']);
  });

  it('tells what is there at its start when sendInitialEvents is set, and otherwise what comes after it', async () => {
    const all = stage.case();
    const later = stage.case();
    for (const of of [all, later]) {
      await of.email('one');
      await of.email('two');
    }
    await all.create({ sendInitialEvents: true });
    await later.create({ sendInitialEvents: false });
    await later.hasBegun();
    await all.arrived(2);
    for (const of of [all, later]) await of.email('three');
    await all.arrived(3);
    await later.arrived(1);
    expect([all.told, later.told]).toEqual([['ADDED one', 'ADDED two', 'ADDED three'], ['ADDED three']]);
    expect(all.requests.map(({ headers }) => headers['ce-initial'])).toEqual(['true', 'true', undefined]);
  });

  it('tells nothing while it is suspended, and afterwards what happened meanwhile', async () => {
    const of = stage.case();
    const control = stage.case();
    await of.create({ sendInitialEvents: false });
    await of.hasBegun();
    await control.create({ sendInitialEvents: false, labelSelectors: [of.selector] });
    await control.hasBegun();
    await of.email('one');
    await of.arrived(1);
    await of.change({ suspend: true });
    await of.condition('Suspended', 'True', 'SuspendRequested');
    await live(of, 'two');
    await control.arrived(4);
    expect(of.told).toEqual(['ADDED one']);
    await of.change({ suspend: false });
    await of.arrived(4);
    expect(of.told).toEqual(['ADDED one', 'ADDED two', 'MODIFIED two', 'DELETED two']);
    await of.condition('Suspended', 'False', 'Active');
  });

  it('sends as many requests at once as concurrency says, and never two of one object', async () => {
    const of = stage.case();
    const held: { readonly name: string; readonly release: () => void }[] = [];
    let most = 0;
    let pairs = 0;
    stage.receiver.respond = (request, response) => {
      const name = header(request, 'ce-name');
      if (held.some((one) => one.name === name)) pairs++;
      held.push({ name, release: () => response.end() });
      most = Math.max(most, held.length);
    };
    try {
      await of.create({ concurrency: 3, sendInitialEvents: false });
      await of.hasBegun();
      for (const name of ['a', 'b', 'c', 'd', 'e']) {
        await of.email(name);
        await of.changeEmail(name, label({ round: 'two' }));
      }
      await stage.receiver.until(() => held.length === 3);
      for (let told = 1; told <= 10; told++) {
        await stage.receiver.until(() => held.length > 0);
        held.shift()?.release();
      }
      await of.arrived(10);
      expect([most, pairs]).toEqual([3, 0]);
    } finally {
      stage.receiver.respond = (_, response) => void response.end();
      for (const { release } of held) release();
    }
  });

  it('sends no more than rateLimit says', async () => {
    const of = stage.case();
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await of.email(name);
    await of.create({ concurrency: 10, rateLimit: { requestsPerSecond: 5, burst: 2 } });
    const times = (await of.arrived(6)).map(({ at }) => at);
    // Two at once, and four more of which each waits 200 ms.
    expect(Number(times.at(-1)) - Number(times[0])).toBeGreaterThan(700);
  });
});
