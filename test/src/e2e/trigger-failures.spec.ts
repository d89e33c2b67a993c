import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { HTTPTriggerStatus } from '@harikube/crds';
import { CONFIG_MAPS, type KubeObject, ROLE_BINDINGS, SECRETS, SERVICES } from '@harikube/kube';
import { EventReceiver, type ReceivedRequest } from './event-receiver.js';
import type { EmailPart, SpecPart, TriggerCase } from './trigger-case.js';
import { PLATFORM, secretOf, sourceRole, TriggerStage } from './trigger-stage.js';

type Counters = Partial<NonNullable<HTTPTriggerStatus['counters']>>;
/** Answers one attempt; null never does. */
type Answer = ((response: ServerResponse, request: ReceivedRequest) => void) | null;

/** Whose triggers are served by a program that is allowed less. */
const STRICT = 'strict';
/** Where nobody lets the program read Secrets. */
const CLOSED = 'closed';

let stage: TriggerStage;
/** Takes dead letters. */
let letters: EventReceiver;
/** Answers of each case, by the name of its trigger, attempt by attempt; the last one holds on. */
const answers = new Map<string, readonly Answer[]>();

const code =
  (status: number, headers: Record<string, string> = {}, body = ''): Answer =>
  (response) =>
    void response.writeHead(status, headers).end(body);
const ok = code(200);
const cut: Answer = (response) => void response.destroy();
const half: Answer = (response) => void response.writeHead(200, { 'content-length': '10' }).write('half');

function respond(request: ReceivedRequest, response: ServerResponse): void {
  const [, name = ''] = request.path.split(/[/?]/);
  const attempt = stage.receiver.requests.filter(({ path }) => path.split(/[/?]/)[1] === name).length;
  const all = answers.get(name) ?? [ok];
  const answer = all[Math.min(attempt, all.length) - 1];
  if (answer !== null) answer?.(response, request);
}

const header = ({ headers }: ReceivedRequest, name: string): string | undefined => headers[name]?.toString();
const attempts = (of: TriggerCase): unknown[] => of.requests.map((request) => header(request, 'x-delivery-attempt'));
const lettersOf = (of: TriggerCase): ReceivedRequest[] => letters.requests.filter(({ path }) => path === `/${of.name}`);

/** It stands for 127.0.0.1. */
function serviceOf(name: string, ports: readonly object[]): KubeObject {
  const spec = { type: 'ExternalName', externalName: '127.0.0.1', ports };
  return { metadata: { name, namespace: PLATFORM }, spec } as KubeObject;
}

async function letterOf(of: TriggerCase): Promise<ReceivedRequest> {
  await letters.until(() => lettersOf(of).length > 0);
  const [first] = lettersOf(of);
  if (first === undefined) throw new Error('there is no dead letter');
  return first;
}

beforeAll(async () => {
  stage = await TriggerStage.start({ name: 'trigger-failures' });
  stage.receiver.respond = respond;
  letters = await EventReceiver.start();
  stage.cluster.beforeStop(() => letters.close());
  for (const namespace of [STRICT, CLOSED, 'elsewhere']) await stage.namespace(namespace);
  await stage.client.create(SECRETS, secretOf('present', { token: 'token', text: 'no certificate' }));
  await stage.client.create(SERVICES, serviceOf('plain', [{ port: stage.receiver.port }]));
  stage.launch('--allowed-targets=127.0.0.0/8', `--field-selectors=metadata.namespace!=${STRICT}`);
  stage.launch(`--allowed-targets=127.0.0.1:${letters.port}`, `--trigger-namespace=${STRICT}`, '--same-namespace-only');
}, 900_000);

afterAll(() => stage?.stop());

/** Begins all rows at once, since each waits more than it works. Each is a test. */
function itAtOnce<Row extends { readonly title: string }>(rows: readonly Row[], run: (row: Row) => Promise<void>): void {
  const outcomes = new Map<string, Promise<void>>();
  beforeAll(() => {
    for (const row of rows) {
      const outcome = run(row);
      outcome.catch(() => undefined); // Its test says so.
      outcomes.set(row.title, outcome);
    }
    expect(outcomes.size).toBe(rows.length);
  });
  afterAll(() => stage.clear());
  it.each(rows)('$title', async ({ title }) => await outcomes.get(title));
}

interface AnswerRow {
  readonly title: string;
  readonly answers: readonly Answer[];
  readonly spec?: SpecPart;
  /** So many attempts are made, and none more. */
  readonly attempts: number;
  readonly counters: Counters;
  /** Of the last attempt that failed. */
  readonly error?: { readonly reason: string; readonly code?: number; readonly message?: unknown };
}

const quick = { initialDelay: '10ms', maxDelay: '20ms' };

const ANSWERS: readonly AnswerRow[] = [
  { title: 'is delivered by any answer of 2xx', answers: [code(204)], attempts: 1, counters: { delivered: 1, failed: 0 } },
  {
    title: 'is refused by a redirect, which is not followed',
    answers: [code(302, { location: '/followed' }), ok],
    attempts: 1,
    counters: { delivered: 0, failed: 1, dropped: 1, retried: 0 },
    error: { reason: 'HTTP302', code: 302, message: expect.stringContaining('redirects are not followed') },
  },
  {
    title: 'is refused by 400, whose answer is shown',
    answers: [code(400, {}, 'subject is missing'), ok],
    attempts: 1,
    counters: { dropped: 1, retried: 0 },
    error: { reason: 'HTTP400', code: 400, message: 'the receiver answered 400: subject is missing' },
  },
  {
    title: 'is refused by 404',
    answers: [code(404), ok],
    attempts: 1,
    counters: { dropped: 1, retried: 0 },
    error: { reason: 'HTTP404', code: 404 },
  },
  {
    title: 'is tried again after 404 when retryOn has it',
    answers: [code(404), ok],
    spec: { retryPolicy: { ...quick, retryOn: [404] } },
    attempts: 2,
    counters: { delivered: 1, retried: 1, failed: 1, dropped: 0 },
    error: { reason: 'HTTP404', code: 404 },
  },
  ...[408, 409, 425, 429, 500, 503].map((status) => ({
    title: `is tried again after ${status}`,
    answers: [code(status), ok],
    attempts: 2,
    counters: { delivered: 1, retried: 1, failed: 1 },
    error: { reason: `HTTP${status}`, code: status },
  })),
  {
    title: 'is tried again after an answer that never came, when the time is up',
    answers: [null, ok],
    spec: { delivery: { timeout: '1s', retries: 2 } },
    attempts: 2,
    counters: { delivered: 1, retried: 1 },
    error: { reason: 'Timeout', message: 'no complete answer within 1s' },
  },
  {
    title: 'is tried again after half an answer, when the time is up',
    answers: [half, ok],
    spec: { delivery: { timeout: '1s', retries: 2 } },
    attempts: 2,
    counters: { delivered: 1, retried: 1 },
    error: { reason: 'Timeout' },
  },
  {
    title: 'is tried again after a connection that was cut',
    answers: [cut, ok],
    attempts: 2,
    counters: { delivered: 1, retried: 1 },
    error: { reason: 'ConnectionFailed' },
  },
  {
    title: 'is given up after 1 + delivery.retries attempts with policy Drop',
    answers: [code(409)],
    spec: { delivery: { retries: 3 }, deadLetter: { policy: 'Drop' } },
    attempts: 4,
    counters: { delivered: 0, retried: 3, failed: 4, dropped: 1 },
    error: { reason: 'HTTP409' },
  },
  ...(['Exponential', 'Linear'] as const).map((backoff) => ({
    title: `is tried up to maxDelay apart with backoff ${backoff}`,
    answers: [...Array.from({ length: 30 }, () => code(409)), ok],
    // Without the bound one of them would take days, and the other one minutes.
    spec: { delivery: { retries: 30 }, retryPolicy: { backoff, initialDelay: '10ms', maxDelay: '20ms' } },
    attempts: 31,
    counters: { delivered: 1, retried: 30 },
    error: { reason: 'HTTP409' },
  })),
];

describe('an event', () => {
  itAtOnce(ANSWERS, async ({ answers: given, spec, attempts: wanted, counters, error }) => {
    const of = stage.case();
    answers.set(of.name, given);
    await of.email('one');
    await of.create(spec);
    const status = await of.status(
      ({ counters: { delivered = 0, dropped = 0 } = {}, pending }) => delivered + dropped === 1 && pending === 0,
    );
    expect(status.counters).toMatchObject({ received: 1, ...counters });
    expect(attempts(of)).toEqual(Array.from({ length: wanted }, (_, index) => String(index + 1)));
    expect(new Set(of.requests.map((request) => header(request, 'ce-id'))).size).toBe(1);
    if (error === undefined) expect(status.lastError).toBeUndefined();
    else expect(status.lastError).toMatchObject(error);
    // A success takes the columns of the error back.
    if (counters.dropped === 1) expect(status.errorReason).toBe(error?.reason);
    else expect([status.errorTime, status.errorReason, status.errorResourceVersion]).toEqual([undefined, undefined, undefined]);
    if (counters.dropped === 1) expect(await of.event('Dropped')).toContain(error?.reason);
  });
});

describe('an event that fails', () => {
  afterEach(() => stage.clear());

  it('is not tried any more when maxAge is over', async () => {
    const of = stage.case();
    answers.set(of.name, [code(409)]);
    await of.email('one');
    const retryPolicy = { initialDelay: '100ms', maxDelay: '100ms', maxAge: '1s' };
    await of.create({ delivery: { retries: 100 }, retryPolicy, deadLetter: { policy: 'Drop' } });
    await of.status(({ counters }) => counters?.dropped === 1);
    const times = of.requests.map(({ at }) => at);
    expect(Number(times.at(-1)) - Number(times[0])).toBeGreaterThan(800);
    // A hundred would take 5 s.
    expect(times.length).toBeLessThan(100);
  });

  it('is not tried before the time of Retry-After', async () => {
    const of = stage.case();
    answers.set(of.name, [code(429, { 'retry-after': '1' }), ok]);
    await of.email('one');
    await of.create();
    const [first, second] = await of.arrived(2);
    expect(Number(second?.at) - Number(first?.at)).toBeGreaterThan(950);
  });

  it('is tried after maxRetryAfter when Retry-After asks for more', async () => {
    const of = stage.case();
    answers.set(of.name, [code(503, { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() }), ok]);
    await of.email('one');
    await of.create({ retryPolicy: { ...quick, maxRetryAfter: '300ms' } });
    const [first, second] = await of.arrived(2);
    expect(Number(second?.at) - Number(first?.at)).toBeGreaterThan(280);
  });

  it('that is tried on and on holds up the later ones of its object and the cursor, and no other object', async () => {
    const of = stage.case();
    let isHealed = false;
    const answer: Answer = (response, request) => {
      const isBad = header(request, 'ce-name')?.endsWith('-a') === true && !isHealed;
      response.writeHead(isBad ? 409 : 200).end();
    };
    answers.set(of.name, [answer]);
    await of.create({ sendInitialEvents: false });
    await of.hasBegun();
    const blocked = await of.email('a');
    const later = await of.changeEmail('a', { metadata: { labels: { round: 'two' } } });
    await of.email('b');
    expect(await of.condition('Delivering', 'False', 'HTTP409')).toContain('events are blocked that cannot be delivered');
    await of.status(({ counters, pending }) => counters?.delivered === 1 && pending === 2);
    const { cursor } = await of.status(({ counters }) => Number(counters?.failed) > 5);
    expect(BigInt(cursor?.resourceVersion ?? '')).toBeLessThan(BigInt(blocked.metadata.resourceVersion ?? ''));
    expect(new Set(of.told)).toEqual(new Set(['ADDED a', 'ADDED b']));
    isHealed = true;
    await of.status(({ counters, pending, cursor: at }) => {
      const isPast = BigInt(at?.resourceVersion ?? 0) >= BigInt(later.metadata.resourceVersion ?? 0);
      return counters?.delivered === 3 && pending === 0 && isPast;
    });
    expect(of.told.slice(-2)).toEqual(['ADDED a', 'MODIFIED a']);
    await of.condition('Delivering', 'True', 'Delivering');
  });

  it.each([
    ['that was tried often enough', 503, 3],
    ['that is refused', 400, 1],
  ])('%s suspends the trigger with policy Suspend, until its spec changes: then it is the next one', async (_, status, tries) => {
    const of = stage.case();
    const control = stage.case();
    answers.set(of.name, [...Array.from({ length: tries }, () => code(status)), ok]);
    await of.email('one');
    await of.create({ deadLetter: { policy: 'Suspend' } });
    await control.create({ labelSelectors: [of.selector] });
    expect(await of.condition('Suspended', 'True', `HTTP${status}`)).toContain(`default/${of.name}-one`);
    expect(await of.event('Suspended')).toContain('the trigger goes on from there when its spec is changed');
    await of.email('two');
    await control.arrived(2);
    expect(of.requests).toHaveLength(tries);
    await of.change({ url: { static: `${of.url}/again` } });
    await of.arrived(tries + 2);
    expect(of.told).toEqual([...Array.from({ length: tries }, () => 'ADDED one'), 'ADDED one', 'ADDED two']);
    expect(of.requests.slice(tries).map(({ path }) => path)).toEqual([`/${of.name}/again`, `/${of.name}/again`]);
    await of.condition('Suspended', 'False', 'Active');
  });
});

describe('a dead letter', () => {
  afterEach(() => stage.clear());

  const deadLetter = (of: TriggerCase): SpecPart => ({ deadLetter: { url: `${letters.url}/${of.name}` } });

  it.each([
    ['refused', 400, 1],
    ['tried often enough', 409, 3],
  ])('says of an event that was %s why, and shows nothing of what is secret', async (_, status, tries) => {
    const of = stage.case();
    answers.set(of.name, [code(status, {}, 'no, and your token was "token"')]);
    await of.email('one');
    const present = { name: 'present', key: 'token' };
    await of.create({
      ...deadLetter(of),
      url: { static: `${of.url}/in?secret=1` },
      headers: { static: { 'x-kept': 'static', cookie: 'a=b' }, fromSecretRef: { 'x-api-key': present } },
      auth: { bearer: { secretKeyRef: present } },
      body: { template: '{{ .spec.toAddress }}', signature: { keySecretRef: present, hmac: { hashType: 'SHA256' } } },
    });
    const letter = await letterOf(of);
    const [request] = of.requests;
    expect(of.requests).toHaveLength(tries);
    expect([letter.method, letter.body, header(letter, 'x-kept')]).toEqual(['POST', 'one@example.com', 'static']);
    for (const name of ['ce-id', 'ce-type', 'ce-subject', 'ce-time']) expect(letter.headers[name]).toBe(request?.headers[name]);
    expect(letter.headers).toMatchObject({
      'ce-errorreason': `HTTP${status}`,
      'ce-errorcode': String(status),
      'ce-errordest': `${of.url}/in`,
      'ce-errormessage': expect.stringContaining('no,%20and%20your%20'),
    });
    for (const name of ['authorization', 'cookie', 'x-api-key', 'x-signature']) {
      expect(request?.headers[name]).toBeDefined();
      expect(letter.headers[name]).toBeUndefined();
    }
    expect(letter.headers['ce-errormessage']).not.toMatch(/%22token%22/);
    const { counters, lastError } = await of.status((all) => all.counters?.deadLettered === 1);
    expect(counters).toMatchObject({ delivered: 0, dropped: 0, deadLettered: 1, failed: tries });
    expect(lastError?.message).not.toContain('"token"');
    expect(await of.event('DeadLettered')).toContain(`HTTP${status}`);
  });

  it('has the object as its body when the template of the body is what failed', async () => {
    const of = stage.case();
    await of.email('one');
    await of.create({ ...deadLetter(of), body: { contentType: 'text/plain', template: '{{ .metadata.labels.color }}' } });
    const letter = await letterOf(of);
    expect(JSON.parse(letter.body)).toMatchObject({ kind: 'Email', spec: { toAddress: 'one@example.com' } });
    expect(letter.headers).toMatchObject({ 'content-type': 'application/json', 'ce-errorreason': 'TemplateFailed' });
    expect(of.requests).toEqual([]);
  });

  it('is tried until it is there', async () => {
    const of = stage.case();
    answers.set(of.name, [code(400)]);
    letters.respond = (_, response) => void response.writeHead(lettersOf(of).length < 5 ? 400 : 200).end();
    await of.email('one');
    await of.create(deadLetter(of));
    const { counters } = await of.status((status) => status.counters?.deadLettered === 1);
    letters.respond = (_, response) => void response.end();
    expect(lettersOf(of)).toHaveLength(5);
    expect(counters).toMatchObject({ dropped: 0, delivered: 0 });
  });
});

interface ObjectRow {
  readonly title: string;
  readonly spec: (of: TriggerCase) => SpecPart;
  readonly bad: EmailPart;
  readonly good: (of: TriggerCase) => EmailPart;
  readonly reason: string;
  readonly message: string;
}

const textHeader: SpecPart = { headers: { template: { 'x-text': '{{ .spec.body }}' } } };
const short = (): EmailPart => ({ spec: { body: 'short' } });
const atPath = (of: TriggerCase): EmailPart => ({ spec: { subject: `/${of.name}` } });

const OBJECTS: readonly ObjectRow[] = [
  {
    title: 'has no key that the body needs',
    spec: () => ({ body: { template: '{{ .metadata.labels.color }}' } }),
    bad: {},
    good: () => ({ labels: { color: 'red' } }),
    reason: 'TemplateFailed',
    message: 'map has no entry for key "color"',
  },
  {
    title: 'makes a body of more than 4 MiB',
    spec: () => ({
      body: { template: '{{ range (list 1 2 3 4 5 6 7 8 9 10) }}{{ range (list 1 2 3) }}{{ $.spec.body }}{{ end }}{{ end }}' },
    }),
    bad: { spec: { body: 'x'.repeat(200_000) } },
    good: short,
    reason: 'TemplateFailed',
    message: '4194304 bytes',
  },
  {
    title: 'makes a header of more than 8 KiB',
    spec: () => textHeader,
    bad: { spec: { body: 'x'.repeat(9000) } },
    good: short,
    reason: 'TemplateFailed',
    message: '8192 bytes',
  },
  {
    title: 'makes a header with a line break, which would be another header',
    spec: () => textHeader,
    bad: { spec: { body: 'one\r\nx-evil: two' } },
    good: short,
    reason: 'HeaderInvalid',
    message: 'the value of the header x-text has line breaks',
  },
  {
    title: 'makes a URL of another place of the host',
    spec: (of) => ({ url: { template: `${of.url}/{{ .spec.body }}` } }),
    bad: { spec: { body: '../../admin' } },
    good: short,
    reason: 'UrlInvalid',
    message: 'has the segment . or .. in its path',
  },
  {
    title: 'makes a URL with a blank',
    spec: (of) => ({ url: { template: `${of.url}/{{ .spec.body }}` } }),
    bad: { spec: { body: 'one two' } },
    good: short,
    reason: 'UrlInvalid',
    message: 'has blanks or control characters in it',
  },
  {
    title: 'makes a URL of another host',
    spec: () => ({ url: { template: `${stage.receiver.url}{{ .spec.subject }}` } }),
    bad: { spec: { subject: '@evil.example/' } },
    good: atPath,
    reason: 'UrlInvalid',
    message: 'has credentials in it',
  },
  {
    title: 'makes another host of the path of a Service',
    spec: () => ({ url: { service: { name: 'plain', uri: { template: '{{ .spec.subject }}' } } } }),
    bad: { spec: { subject: '//evil.example/' } },
    good: atPath,
    reason: 'UrlInvalid',
    message: 'is an absolute URL',
  },
];

describe('an object is given up, and the next one goes, when it', () => {
  itAtOnce(OBJECTS, async ({ spec, bad, good, reason, message }) => {
    const of = stage.case();
    await of.email('bad', bad);
    await of.email('good', good(of));
    await of.create({ ...spec(of), deadLetter: { policy: 'Drop' } });
    const { counters, lastError } = await of.status((status) => status.counters?.delivered === 1);
    expect(of.told).toEqual(['ADDED good']);
    expect(counters).toMatchObject({ received: 2, failed: 1, dropped: 1, retried: 0 });
    expect(lastError).toMatchObject({ reason, message: expect.stringContaining(message) });
  });
});

interface ProblemRow {
  readonly title: string;
  readonly spec: (of: TriggerCase) => SpecPart;
  readonly namespace?: string;
  /** Before the trigger is there; an Email when it is absent. */
  readonly prepare?: (of: TriggerCase) => Promise<unknown>;
  readonly condition?: 'Delivering' | 'Watching';
  readonly reason: string;
  readonly message: string;
  readonly cure: (of: TriggerCase) => Promise<unknown>;
}

const bearerOf = ({ name }: TriggerCase, key = 'token'): SpecPart => ({ auth: { bearer: { secretKeyRef: { name, key } } } });
const emailAnd = (more: (of: TriggerCase) => Promise<unknown>) => async (of: TriggerCase) => {
  await of.email('one');
  await more(of);
};
const putSecret =
  (values: Readonly<Record<string, string>>) =>
  async ({ name, namespace }: TriggerCase): Promise<void> =>
    void (await stage.client.create(SECRETS, secretOf(name, values, namespace)));
const changeSecret =
  (values: Readonly<Record<string, string>>) =>
  async ({ name, namespace }: TriggerCase): Promise<void> => {
    const { data } = secretOf(name, values);
    await stage.client.patch(SECRETS, name, namespace, { data }, { type: 'merge' });
  };
const changeSpec = (part: (of: TriggerCase) => SpecPart) => (of: TriggerCase) => of.change(part(of));
const toService = ({ name }: TriggerCase, portName?: string): SpecPart => ({
  url: { service: { name, portName, uri: { static: `/${name}` } } },
});
const portsOf = (...names: readonly string[]): readonly object[] =>
  names.map((name, index) => ({ name, port: index === 0 ? stage.receiver.port : 1 }));
const toStatic = (of: TriggerCase): SpecPart => ({ url: { static: of.url, template: null } });

const PROBLEMS: readonly ProblemRow[] = [
  {
    title: 'a Secret that is missing, until it is there',
    spec: bearerOf,
    reason: 'SecretNotReady',
    message: 'does not exist',
    cure: putSecret({ token: 'token' }),
  },
  {
    title: 'a key that the Secret has not, until it has it',
    spec: ({ name }) => ({ headers: { fromSecretRef: { 'x-key': { name, key: 'token' } } } }),
    prepare: emailAnd(putSecret({ other: 'token' })),
    reason: 'SecretNotReady',
    message: 'has no key "token"',
    cure: changeSecret({ token: 'token' }),
  },
  {
    title: 'a Secret that it must not read, until somebody lets it',
    spec: bearerOf,
    namespace: CLOSED,
    prepare: emailAnd(putSecret({ token: 'token' })),
    reason: 'SecretNotReady',
    message: `bind the ClusterRole harikube-watch-trigger-secrets in the namespace ${CLOSED}`,
    cure: async () =>
      void (await stage.client.create(ROLE_BINDINGS, {
        metadata: { name: 'watch-trigger-secrets', namespace: CLOSED },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'harikube-watch-trigger-secrets' },
        subjects: [{ kind: 'ServiceAccount', name: 'watch-trigger', namespace: PLATFORM }],
      } as KubeObject)),
  },
  {
    title: 'a token with a line break in it, until it is another one',
    spec: bearerOf,
    prepare: emailAnd(putSecret({ token: 'one\ntwo' })),
    reason: 'SecretInvalid',
    message: 'is no value of a header',
    cure: changeSecret({ token: 'token' }),
  },
  {
    title: 'authorities that are no certificates, until they are not named',
    spec: () => ({ auth: { tls: { caRef: { name: 'present', key: 'text' } } } }),
    reason: 'SecretInvalid',
    message: 'has no certificate in PEM',
    cure: changeSpec(() => ({ auth: null })),
  },
  {
    title: 'a Service that is missing, until it is there',
    spec: (of) => toService(of),
    reason: 'ServiceNotReady',
    message: 'does not exist',
    cure: ({ name }) => stage.client.create(SERVICES, serviceOf(name, portsOf('http'))),
  },
  {
    title: 'a port that the Service has not, until it has it',
    spec: (of) => toService(of, 'http'),
    prepare: emailAnd(({ name }) => stage.client.create(SERVICES, serviceOf(name, portsOf('web')))),
    reason: 'ServiceNotReady',
    message: 'has no port with the name http',
    cure: ({ name }) => stage.client.patch(SERVICES, name, PLATFORM, { spec: { ports: portsOf('http') } }, { type: 'merge' }),
  },
  {
    title: 'a Service with several ports, until one is named',
    spec: (of) => toService(of),
    prepare: emailAnd(({ name }) => stage.client.create(SERVICES, serviceOf(name, portsOf('http', 'metrics')))),
    reason: 'ServiceNotReady',
    message: 'has 2 ports',
    cure: changeSpec((of) => toService(of, 'http')),
  },
  {
    title: 'a body that is no template, until it is one',
    spec: () => ({ body: { template: '{{ toJson . ' } }),
    reason: 'TemplateInvalid',
    message: 'template: body.template:1: unclosed action',
    cure: changeSpec(() => ({ body: { template: '{{ toJson . }}' } })),
  },
  {
    title: 'a body with a function that is none, until it is one',
    spec: () => ({ body: { template: '{{ env "HOME" }}' } }),
    reason: 'TemplateInvalid',
    message: 'function "env" not defined',
    cure: changeSpec(() => ({ body: { template: '{{ toJson . }}' } })),
  },
  {
    title: 'an eventFilter that is none, until it is one',
    spec: () => ({ eventFilter: 'eq .spec.subject "Hello' }),
    reason: 'TemplateInvalid',
    message: 'eventFilter',
    cure: changeSpec(() => ({ eventFilter: 'true' })),
  },
  {
    title: 'a URL that is no template, until it is one',
    spec: (of) => ({ url: { template: `${of.url}/{{ if }}` } }),
    reason: 'TemplateInvalid',
    message: 'missing value for if',
    cure: changeSpec(toStatic),
  },
  {
    title: 'a URL whose host a template makes, until it stands there',
    spec: () => ({ url: { template: 'http://{{ .spec.subject }}/' } }),
    reason: 'UrlInvalid',
    message: 'hosts by templates are not allowed here',
    cure: changeSpec(toStatic),
  },
  {
    title: 'a URL with credentials, until it has none',
    spec: (of) => ({ url: { static: of.url.replace('//', '//user:hunter2@') } }),
    reason: 'UrlInvalid',
    message: 'url.static has credentials in it: they belong into auth',
    cure: changeSpec(toStatic),
  },
  {
    title: 'a header that is not its own to set, until it is left out',
    spec: () => ({ headers: { static: { 'ce-id': 'mine' } } }),
    reason: 'HeaderInvalid',
    message: "the header ce-id is not the trigger's to set",
    cure: changeSpec(() => ({ headers: null })),
  },
  {
    title: 'a header whose name is none, until it is left out',
    spec: () => ({ headers: { template: { 'x one': 'mine' } } }),
    reason: 'HeaderInvalid',
    message: '"x one" is no name of a header',
    cure: changeSpec(() => ({ headers: null })),
  },
  {
    title: 'a field that its kind does not let select, until it is left out',
    spec: () => ({ fieldSelectors: ['spec.subject=Hello'] }),
    condition: 'Watching',
    reason: 'SelectorRefused',
    message: 'field label not supported',
    cure: changeSpec(() => ({ fieldSelectors: null })),
  },
  {
    title: 'a label selector that is none, until it is one',
    spec: () => ({ labelSelectors: ['tier in ('] }),
    condition: 'Watching',
    reason: 'SelectorRefused',
    message: 'the server refuses the selectors',
    cure: changeSpec((of) => ({ labelSelectors: [of.selector] })),
  },
  {
    title: 'a kind that nobody serves, until it is another one',
    spec: () => ({ resource: { apiVersion: 'product.webshop.harikube.info/v1', kind: 'Telegram' } }),
    condition: 'Watching',
    reason: 'ResourceNotFound',
    message: 'Telegram',
    cure: changeSpec(() => ({ resource: { kind: 'Email' } })),
  },
  {
    title: 'namespaces for a kind that is in none, until they are left out and the kind is another one',
    spec: () => ({ resource: { apiVersion: 'v1', kind: 'Namespace' }, namespaces: ['default'] }),
    condition: 'Watching',
    reason: 'NotNamespaced',
    message: 'namespaces are in no namespace',
    cure: changeSpec(() => ({ resource: { apiVersion: 'product.webshop.harikube.info/v1', kind: 'Email' }, namespaces: null })),
  },
  {
    title: 'a kind that it must not watch, until a ClusterRole lets it',
    spec: () => ({ resource: { apiVersion: 'v1', kind: 'ConfigMap' } }),
    prepare: ({ name }) => stage.client.create(CONFIG_MAPS, { metadata: { name, namespace: 'elsewhere', labels: { case: name } } }),
    condition: 'Watching',
    reason: 'Forbidden',
    message: 'add a ClusterRole with these verbs and the label triggers.harikube.info/aggregate-to-watch-trigger: "true"',
    cure: () => stage.apply(sourceRole('', 'configmaps')),
  },
  {
    title: 'the namespaces of others where a flag closes them, until it names its own',
    namespace: STRICT,
    spec: (of) => ({ url: { static: `${letters.url}/${of.name}` } }),
    prepare: (of) => of.email('one', { namespace: STRICT }),
    condition: 'Watching',
    reason: 'NamespaceNotAllowed',
    message: 'spec.namespaces has to be ["strict"]',
    cure: changeSpec(() => ({ namespaces: [STRICT] })),
  },
  {
    title: 'the Service of another namespace where a flag closes them, until it is its own receiver',
    namespace: STRICT,
    spec: () => ({ namespaces: [STRICT], url: { service: { name: 'plain', namespace: PLATFORM } } }),
    prepare: (of) => of.email('one', { namespace: STRICT }),
    reason: 'NamespaceNotAllowed',
    message: `url.service is of the namespace ${PLATFORM}`,
    cure: changeSpec((of) => ({ url: { static: `${letters.url}/${of.name}`, service: null } })),
  },
];

describe('a trigger says what is wrong with', () => {
  itAtOnce(PROBLEMS, async ({ spec, namespace, prepare, condition = 'Delivering', reason, message, cure }) => {
    const of = stage.case(namespace);
    await (prepare?.(of) ?? of.email('one'));
    await of.create(spec(of));
    expect(await of.condition(condition, 'False', reason)).toContain(message);
    await of.condition('Ready', 'False', reason);
    expect([of.requests, lettersOf(of)]).toEqual([[], []]);
    await cure(of);
    if (namespace === STRICT) await letterOf(of);
    else await of.arrived();
    const { counters } = await of.status((status) => status.counters?.delivered === 1);
    expect(counters).toMatchObject({ dropped: 0, deadLettered: 0 });
    await of.condition('Ready', 'True', 'Ready');
  });
});

describe('a target that triggers must not reach, although the flag allows another one,', () => {
  afterEach(() => stage.clear());

  const atReceiver = (host: string) => (name: string) => `http://${host}:${stage.receiver.port}/${name}`;

  it.each<[string, (name: string) => string, string]>([
    ['a loopback address', atReceiver('127.0.0.1'), 'is a loopback address'],
    ['a name that leads to one', atReceiver('localhost'), 'localhost ('],
    ['one that is written as a number', atReceiver('2130706433'), 'is a loopback address'],
    ['one that is written in IPv6', atReceiver('[::ffff:127.0.0.1]'), 'is a loopback address'],
    ['the unspecified address', atReceiver('0.0.0.0'), 'is an unspecified address'],
    ['the API server', () => `${stage.cluster.url}/api/v1/secrets`, 'which triggers must not reach'],
    ['a link-local address', () => 'http://169.254.1.1/', 'is a link-local address'],
    ['a metadata service', () => 'http://169.254.169.254/latest/meta-data', 'is a metadata service'],
  ])('is %s', async (_, url, message) => {
    const of = stage.case(STRICT);
    await of.email('one', { namespace: STRICT });
    await of.create({ namespaces: [STRICT], url: { static: url(of.name) }, deadLetter: { url: `${letters.url}/${of.name}` } });
    const { headers } = await letterOf(of);
    expect(headers['ce-errorreason']).toBe('AddressNotAllowed');
    expect(decodeURIComponent(String(headers['ce-errormessage']))).toContain(message);
    expect(of.requests).toEqual([]);
  });
});
