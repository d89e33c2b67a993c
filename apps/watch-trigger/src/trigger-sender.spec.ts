import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { HTTPTrigger } from '@harikube/crds';
import { SECRETS, systemClock, TRACEPARENT_ANNOTATION } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { AddressPolicy } from './address-policy.js';
import { AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, OTHER_AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from './spec/certificates.js';
import { FakeReferences } from './spec/fake-references.js';
import { sampleEvent, sampleOrder, sampleTrigger } from './spec/sample-trigger.js';
import { TargetServer } from './spec/target-server.js';
import { type Attempt, type SenderOptions, type TriggerPolicy, TriggerSender } from './trigger-sender.js';

type Spec = HTTPTrigger['spec'];

let target: TargetServer;
let clock: FakeClock;
let references: FakeReferences;
const senders: TriggerSender[] = [];
const servers: { close(): Promise<void> }[] = [];
const signal = new AbortController().signal;

const POLICY: TriggerPolicy = {
  allowsInsecureTls: false,
  allowsTemplatedHosts: false,
  allowsSecretData: false,
  allowsOtherNamespaces: true,
};

function senderOf(spec: Partial<Spec> = {}, options: Partial<SenderOptions> = {}): TriggerSender {
  const trigger = sampleTrigger({ url: { static: `http://127.0.0.1:${target.port}/hook` }, ...spec });
  const addresses = new AddressPolicy({ allowedTargets: ['127.0.0.0/8'] });
  const sender = new TriggerSender(trigger, { references, addresses, policy: POLICY, clock, userAgent: 'spec/1', ...options });
  senders.push(sender);
  return sender;
}

function sent(spec: Partial<Spec> = {}, options: Partial<SenderOptions> = {}): Promise<Attempt> {
  return senderOf(spec, options).send(sampleEvent(), 1, signal);
}

/** A server that does with each connection what a spec says. */
async function rawServer(serve: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push({
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

beforeEach(async () => {
  target = await TargetServer.start();
  clock = new FakeClock();
  references = new FakeReferences();
});

afterEach(async () => {
  await Promise.all(senders.splice(0).map((sender) => sender.close()));
  await Promise.all(servers.splice(0).map((server) => server.close()));
  await target.close();
});

describe('TriggerSender', () => {
  it('hands on the trace in which the object came to be', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const sender = senderOf();
    const order = sampleOrder();
    const annotations = { [TRACEPARENT_ANNOTATION]: traceparent };
    const object = { ...order, metadata: { ...order.metadata, annotations, creationTimestamp: '2026-01-02T03:04:05Z' } };
    await sender.send(sampleEvent({ object }), 1, signal);
    expect(target.last.headers).toMatchObject({ traceparent, 'ce-traceparent': traceparent });
    await sender.send(sampleEvent(), 1, signal);
    expect(target.last.headers).not.toHaveProperty('traceparent');
  });

  it('sends an event as one request, and calls an answer of 2xx delivered', async () => {
    const sender = senderOf({ body: { contentType: 'application/json', template: '{"name":"{{ .metadata.name }}"}' } });
    expect(await sender.send(sampleEvent(), 2, signal)).toEqual({ outcome: 'delivered', code: 204 });
    const { method, url, headers, body } = target.last;
    expect([method, url, body]).toEqual(['POST', '/hook', '{"name":"o-1"}']);
    expect(headers).toMatchObject({
      host: `127.0.0.1:${target.port}`,
      'content-type': 'application/json',
      'content-length': '14',
      'user-agent': 'spec/1',
      'ce-id': 'c0ffee',
      'x-delivery-attempt': '2',
    });
    expect(sender.problems()).toEqual([]);
  });

  it.each([200, 201, 202, 204, 299])('calls %d delivered', async (code) => {
    target.answers(code);
    expect(await sent()).toEqual({ outcome: 'delivered', code });
  });

  it.each([408, 409, 425, 429, 500, 501, 502, 503, 504, 599])('calls %d temporary', async (code) => {
    target.answers(code, {}, 'busy');
    expect(await sent()).toEqual({
      outcome: 'temporary',
      reason: `HTTP${code}`,
      code,
      message: `the receiver answered ${code}: busy`,
      response: 'busy',
    });
  });

  it.each([400, 401, 403, 404, 405, 410, 413, 422, 451])('calls %d refused', async (code) => {
    target.answers(code, { 'retry-after': '7' }, 'no');
    expect(await sent()).toEqual({
      outcome: 'refused',
      reason: `HTTP${code}`,
      code,
      message: `the receiver answered ${code}: no`,
      response: 'no',
    });
  });

  it('calls further codes temporary that the trigger names', async () => {
    target.answers(404);
    const retryPolicy = { backoff: 'Exponential', initialDelay: '1s', maxDelay: '30s', maxRetryAfter: '5m', retryOn: [404] } as const;
    expect(await sent({ retryPolicy: { ...retryPolicy, retryOn: [404] } })).toMatchObject({ outcome: 'temporary', reason: 'HTTP404' });
    target.answers(403);
    expect(await sent({ retryPolicy: { ...retryPolicy, retryOn: [404] } })).toMatchObject({ outcome: 'refused', reason: 'HTTP403' });
  });

  it.each([301, 302, 303, 307, 308])('follows no redirect: %d is refused', async (code) => {
    target.answers(code, { location: `http://127.0.0.1:${target.port}/elsewhere` });
    expect(await sent()).toMatchObject({
      outcome: 'refused',
      reason: `HTTP${code}`,
      message: `the receiver answered ${code}; redirects are not followed`,
    });
    expect(target.received.map(({ url }) => url)).toEqual(['/hook']);
  });

  it.each([
    ['120', 120_000],
    ['0', 0],
    ['Fri, 02 Jan 2026 03:04:35 GMT', 29_322],
    ['Thu, 01 Jan 2026 00:00:00 GMT', 0],
    ['soon', undefined],
    ['-5', undefined],
    ['1.5', undefined],
  ])('takes a Retry-After of %j as a wait of %s ms', async (value, retryAfterMs) => {
    target.answers(503, { 'retry-after': value });
    expect(await sent()).toMatchObject({ outcome: 'temporary' });
    const attempt = await sent();
    expect('retryAfterMs' in attempt ? attempt.retryAfterMs : undefined).toBe(retryAfterMs);
  });

  it('shows the first kilobyte of an answer, on one line', async () => {
    target.answers(500, {}, `first\r\n\u0000second ${'ö'.repeat(3000)}`);
    const attempt = await sent();
    const response = attempt.outcome === 'temporary' ? (attempt.response ?? '') : '';
    expect(response.startsWith('first second ö')).toBe(true);
    expect(Buffer.byteLength(response)).toBeLessThanOrEqual(1024);
    expect(response.endsWith('ö')).toBe(true);
  });

  it('uses a connection again, also after a long answer, and not after one that does not end', async () => {
    const sender = senderOf();
    target.answers(200, {}, 'x'.repeat(40_000));
    for (let count = 0; count < 3; count++) expect(await sender.send(sampleEvent(), 1, signal)).toMatchObject({ outcome: 'delivered' });
    expect(new Set(target.received.map(({ socket }) => socket)).size).toBe(1);
    target.answers(200, {}, 'x'.repeat(400_000));
    expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'delivered', code: 200 });
    target.answers(200);
    expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'delivered', code: 200 });
    expect(new Set(target.received.map(({ socket }) => socket)).size).toBe(2);
  });

  it('resolves a name again after a thousand requests on a connection', async () => {
    let resolved = 0;
    const resolve = async (): Promise<string[]> => {
      resolved++;
      return ['127.0.0.1'];
    };
    const addresses = new AddressPolicy({ allowedTargets: ['127.0.0.1'], resolve });
    const sender = senderOf({ url: { static: `http://busy.example.com:${target.port}/` } }, { addresses });
    for (let count = 0; count < 1002; count++)
      expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'delivered', code: 204 });
    expect([resolved, target.received.length]).toEqual([2, 1002]);
  });

  it('opens no more connections than events may be sent at once', async () => {
    const sender = senderOf({ concurrency: 2 });
    const held: (() => void)[] = [];
    target.answer = ({ response }) => held.push(() => response.writeHead(204).end());
    const attempts = [1, 2, 3].map(() => sender.send(sampleEvent(), 1, signal));
    await target.arrived(2);
    expect(target.connections).toBe(2);
    target.answers(204);
    for (const answer of held) answer();
    expect(await Promise.all(attempts)).toEqual(attempts.map(() => ({ outcome: 'delivered', code: 204 })));
    expect(target.connections).toBe(2);
  });

  it.each<[string, (socket: Socket) => void]>([
    ['closes', (socket) => socket.on('data', () => socket.end())],
    ['resets', (socket) => socket.on('data', () => socket.resetAndDestroy())],
    ['answers in another protocol', (socket) => socket.on('data', () => socket.end('220 mail.example.com ESMTP\r\n'))],
    ['answers half', (socket) => socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf'))],
    [
      'answers half in chunks',
      (socket) => socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n')),
    ],
  ])('calls it temporary when the receiver %s', async (_what, serve) => {
    expect(await sent({ url: { static: await rawServer(serve) } })).toMatchObject({ outcome: 'temporary', reason: 'ConnectionFailed' });
  });

  it('judges an answer that is no success by its code though its body is cut', async () => {
    const url = await rawServer((socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad\r\ncontent-length: 10\r\n\r\nhalf')));
    expect(await sent({ url: { static: url } })).toEqual({
      outcome: 'refused',
      reason: 'HTTP400',
      code: 400,
      message: 'the receiver answered 400',
    });
  });

  it('calls it temporary when nobody listens, and when the name is not known', async () => {
    const gone = await TargetServer.start();
    const { port } = gone;
    await gone.close();
    expect(await sent({ url: { static: `http://127.0.0.1:${port}/` } })).toMatchObject({
      outcome: 'temporary',
      reason: 'ConnectionFailed',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    const addresses = new AddressPolicy({ resolve: () => Promise.reject(new Error('getaddrinfo ENOTFOUND gone.example.com')) });
    expect(await sent({ url: { static: 'http://gone.example.com/' } }, { addresses })).toEqual({
      outcome: 'temporary',
      reason: 'ConnectionFailed',
      message: 'gone.example.com: getaddrinfo ENOTFOUND gone.example.com',
    });
  });

  it('gives up when no answer comes in time', async () => {
    target.answer = () => undefined;
    const attempt = sent({ delivery: { timeout: '2s', retries: 1 } });
    await target.arrived(1);
    const closed = once(target.last.socket, 'close');
    await clock.advance(2000);
    expect(await attempt).toEqual({ outcome: 'temporary', reason: 'Timeout', message: 'no complete answer within 2s' });
    await closed;
  });

  it('gives up when an answer does not end in time', async () => {
    target.answer = ({ response }) => response.writeHead(200, { 'content-length': '10' }).write('slow');
    const attempt = await sent({ delivery: { timeout: '300ms', retries: 1 } }, { clock: systemClock });
    expect(attempt).toEqual({ outcome: 'temporary', reason: 'Timeout', message: 'no complete answer within 300ms' });
  });

  it('gives up when a name is not resolved in time', async () => {
    const addresses = new AddressPolicy({ resolve: () => new Promise(() => undefined) });
    const attempt = sent({ url: { static: 'http://slow.example.com/' } }, { addresses });
    await clock.timerIn(10_000);
    await clock.advance(10_000);
    expect(await attempt).toMatchObject({ outcome: 'temporary', reason: 'Timeout' });
    expect(clock.timers).toEqual([]);
  });

  it('ends with the reason of the signal, at once and without a request when it is there before', async () => {
    target.answer = () => undefined;
    const stop = new AbortController();
    const attempt = senderOf().send(sampleEvent(), 1, stop.signal);
    await target.arrived(1);
    const reason = new Error('the trigger is deleted');
    stop.abort(reason);
    await expect(attempt).rejects.toBe(reason);
    await expect(senderOf().send(sampleEvent(), 1, stop.signal)).rejects.toBe(reason);
    expect(target.received).toHaveLength(1);
    expect(clock.timers).toEqual([]);
  });

  it('refuses an address that triggers must not reach, without a connection', async () => {
    expect(await sent({}, { addresses: new AddressPolicy() })).toEqual({
      outcome: 'refused',
      reason: 'AddressNotAllowed',
      message: '127.0.0.1 is a loopback address, which triggers must not reach',
    });
    const addresses = new AddressPolicy({ resolve: async () => ['10.0.0.1', '169.254.169.254'] });
    expect(await sent({ url: { static: 'http://rebind.example.com/' } }, { addresses })).toMatchObject({ reason: 'AddressNotAllowed' });
    expect(target.connections).toBe(0);
  });

  it('sends to the port and path of a Service', async () => {
    references.setService('gateway', { type: 'ExternalName', externalName: '127.0.0.1', ports: [{ port: target.port }] }, 'faas');
    const url = { service: { name: 'gateway', namespace: 'faas', scheme: 'http', uri: { static: '/function/mail' } } } as const;
    const sender = senderOf({ url });
    expect(await sender.send(sampleEvent(), 1, signal)).toMatchObject({ outcome: 'delivered' });
    expect(target.last.url).toBe('/function/mail');
    references.delete('Service', 'gateway', 'faas');
    const problem = { reason: 'ServiceNotReady', message: 'the Service faas/gateway does not exist' };
    expect(sender.problems()).toEqual([problem]);
    expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'temporary', ...problem });
  });

  it("takes a Service without a namespace for one of the trigger's", async () => {
    references.setService('gateway', { type: 'ExternalName', externalName: '127.0.0.1', ports: [{ port: target.port }] });
    expect(await sent({ url: { service: { name: 'gateway', scheme: 'http' } } })).toMatchObject({ outcome: 'delivered' });
  });

  it('asks no Service of another namespace where that is not allowed', async () => {
    references.setService('gateway', { type: 'ExternalName', externalName: '127.0.0.1', ports: [{ port: target.port }] }, 'faas');
    const policy = { ...POLICY, allowsOtherNamespaces: false };
    const url = { service: { name: 'gateway', namespace: 'faas', scheme: 'http' } } as const;
    expect(await sent({ url }, { policy })).toEqual({
      outcome: 'temporary',
      reason: 'NamespaceNotAllowed',
      message: "url.service is of the namespace faas; here only the trigger's own is allowed",
    });
    expect(target.received).toEqual([]);
  });

  it('is told of Secrets that come and go, and says so once for each change', async () => {
    const secretKeyRef = { name: 'token', key: 'value' };
    const sender = senderOf({ auth: { bearer: { secretKeyRef } } });
    const told: string[][] = [];
    sender.onProblemsChange(() => told.push(sender.problems().map(({ message }) => message)));
    expect(sender.problems()).toEqual([{ reason: 'SecretNotReady', message: 'the Secret shop/token does not exist' }]);
    expect(await sender.send(sampleEvent(), 1, signal)).toMatchObject({ outcome: 'temporary', reason: 'SecretNotReady' });
    references.setSecret('token', { other: 'x' });
    references.setSecret('token', { other: 'y' });
    references.setSecret('token', { value: 'one\nline' });
    references.setSecret('token', { value: 'sesame' });
    references.delete('Secret', 'token');
    expect(told).toEqual([
      ['the Secret shop/token has no key "value"'],
      [
        'the key "value" of the Secret token is no value of a header: the value of the header authorization has line breaks or other control characters in it',
      ],
      [],
      ['the Secret shop/token does not exist'],
    ]);
    expect(target.received).toEqual([]);
  });

  it('waits for its Secrets to be read, and not longer than for an answer', async () => {
    const known = Promise.withResolvers<void>();
    references.known = known.promise;
    const spec: Partial<Spec> = { auth: { bearer: { secretKeyRef: { name: 'token', key: 'value' } } } };
    const late = sent(spec);
    await clock.advance(10_000);
    expect(await late).toMatchObject({ outcome: 'temporary', reason: 'ReferencesNotReady' });
    const attempt = sent(spec);
    references.setSecret('token', { value: 'sesame' });
    known.resolve();
    expect(await attempt).toMatchObject({ outcome: 'delivered' });
    expect(target.received.map(({ headers }) => headers.authorization)).toEqual(['Bearer sesame']);
  });

  it('uses another value of a Secret for the next request', async () => {
    references.setSecret('token', { value: 'one' });
    const sender = senderOf({ auth: { bearer: { secretKeyRef: { name: 'token', key: 'value' } } } });
    await sender.send(sampleEvent(), 1, signal);
    references.setSecret('token', { value: 'two' });
    await sender.send(sampleEvent(), 1, signal);
    expect(target.received.map(({ headers }) => headers.authorization)).toEqual(['Bearer one', 'Bearer two']);
  });

  it('watches what the trigger names, and nothing after its end', async () => {
    const secretKeyRef = { name: 'token', key: 'value' };
    const sender = senderOf({
      url: { service: { name: 'gateway', namespace: 'faas', scheme: 'http' } },
      auth: { bearer: { secretKeyRef }, tls: { caRef: { name: 'ca', key: 'ca.crt' }, insecureSkipVerify: false } },
      headers: { fromSecretRef: { 'x-api-key': secretKeyRef } },
      body: {
        contentType: 'text/plain',
        template: 'x',
        signature: { header: 'X-Signature', keySecretRef: { name: 'key', key: 'k' }, hmac: { hashType: 'SHA256' }, scheme: 'Body' },
      },
    });
    expect(references.asked.sort()).toEqual(['Secret shop/ca', 'Secret shop/key', 'Secret shop/token', 'Service faas/gateway']);
    await sender.close();
    expect(references.asked).toEqual([]);
  });

  it('shows none of its secrets in what it says of an answer', async () => {
    references.setSecret('s', { token: 'sesame-open', password: 'passw0rd', header: 'api-key-1', key: 'signing-key' });
    const ref = (key: string): { name: string; key: string } => ({ name: 's', key });
    target.answer = ({ headers, response }) => response.writeHead(400).end(`${JSON.stringify(headers)} sesame-open passw0rd signing-key`);
    const signature = { header: 'X-Signature', keySecretRef: ref('key'), hmac: { hashType: 'SHA256' }, scheme: 'Body' } as const;
    const common: Partial<Spec> = {
      headers: { fromSecretRef: { 'X-Api-Key': ref('header') } },
      body: { contentType: 'text/plain', template: 'x', signature },
    };
    for (const auth of [{ bearer: { secretKeyRef: ref('token') } }, { basicAuth: { user: 'ann', secretKeyRef: ref('password') } }]) {
      const attempt = JSON.stringify(await sent({ ...common, auth }));
      const { authorization = '', 'x-signature': signed } = target.last.headers;
      const mine = 'bearer' in auth ? ['sesame-open'] : ['passw0rd'];
      for (const secret of [...mine, 'api-key-1', 'signing-key', authorization.split(' ')[1] ?? '', String(signed)]) {
        expect(secret.length).toBeGreaterThan(3);
        expect(attempt).not.toContain(secret);
      }
      expect(attempt).toContain('[redacted]');
    }
  });

  it('shows no part of a secret at the end of what it shows', async () => {
    const secret = 'k'.repeat(40);
    references.setSecret('s', { token: secret });
    target.answers(400, {}, `${'-'.repeat(1000)}${secret}${secret}`);
    const attempt = await sent({ auth: { bearer: { secretKeyRef: { name: 's', key: 'token' } } } });
    expect(JSON.stringify(attempt)).not.toContain('kk');
  });

  it('shows no part of a secret that is longer than what is read of an answer', async () => {
    const key = 'k'.repeat(200_000);
    references.setSecret('s', { key });
    target.answers(400, {}, key);
    const signature = {
      header: 'X-Signature',
      keySecretRef: { name: 's', key: 'key' },
      hmac: { hashType: 'SHA256' },
      scheme: 'Body',
    } as const;
    const attempt = await sent({ body: { contentType: 'text/plain', template: 'x', signature } });
    expect(attempt).toEqual({ outcome: 'refused', reason: 'HTTP400', code: 400, message: 'the receiver answered 400' });
  });

  it('sends nothing while the trigger itself is wrong, and loses nothing for it', async () => {
    const sender = senderOf({
      eventFilter: 'eq .a "b',
      body: { contentType: 'text/plain', template: '{{ .x' },
      headers: { static: { 'bad name': 'x', Host: 'x', 'CE-Id': 'x' }, template: { 'X-A': '{{ nosuch }}' } },
      deadLetter: { policy: 'Block', url: 'ftp://example.com' },
    });
    expect(
      sender
        .problems()
        .map(({ reason }) => reason)
        .sort(),
    ).toEqual(['HeaderInvalid', 'HeaderInvalid', 'HeaderInvalid', 'TemplateInvalid', 'TemplateInvalid', 'TemplateInvalid', 'UrlInvalid']);
    expect(await sender.send(sampleEvent(), 1, signal)).toMatchObject({ outcome: 'temporary', reason: 'TemplateInvalid' });
    expect(target.received).toEqual([]);
  });

  it('refuses an event whose object a template fails on', async () => {
    const attempt = await sent({ body: { contentType: 'text/plain', template: '{{ index .spec.items 7 }}' } });
    expect(attempt).toEqual({
      outcome: 'refused',
      reason: 'TemplateFailed',
      message: expect.stringContaining('template: body.template:1:'),
    });
    expect(target.received).toEqual([]);
  });

  it('judges and sends a Secret without its values', async () => {
    const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'shop' }, data: { a: 'aGlkZGVu' } };
    const event = sampleEvent({ resource: SECRETS, object });
    const spec: Partial<Spec> = { eventFilter: 'eq .data.a "aGlkZGVu"', body: { contentType: 'text/plain', template: '{{ .data.a }}' } };
    const sender = senderOf(spec);
    expect(sender.matches(event)).toBe('no');
    await sender.send(event, 1, signal);
    expect(target.last.body).toBe('REDACTED');
    const open = senderOf(spec, { policy: { ...POLICY, allowsSecretData: true } });
    expect(open.matches(event)).toBe('yes');
    await open.send(event, 1, signal);
    expect(target.last.body).toBe('aGlkZGVu');
  });

  it('says which events it is about', () => {
    const sender = senderOf({ eventTypes: ['ADDED'], eventFilter: 'gt .spec.total 2' });
    expect(sender.matches(sampleEvent())).toBe('yes');
    expect(sender.matches(sampleEvent({ type: 'DELETED' }))).toBe('no');
    expect(sender.matches(sampleEvent({ object: sampleOrder({ total: 2 }) }))).toBe('no');
    expect(sender.matches(sampleEvent({ object: sampleOrder({ total: 'many' }) }))).toMatchObject({ reason: 'TemplateFailed' });
  });
});

describe('TriggerSender over TLS', () => {
  const CA = { name: 'tls', key: 'ca.crt' };
  const CERT = { name: 'tls', key: 'tls.crt' };
  const KEY = { name: 'tls', key: 'tls.key' };
  let secure: TargetServer;

  async function secureTarget(options: object = {}): Promise<Partial<Spec>> {
    secure = await TargetServer.start({ cert: SERVER_CERTIFICATE, key: SERVER_KEY, ca: AUTHORITY, ...options });
    servers.push(secure);
    return { url: { static: `https://127.0.0.1:${secure.port}/` } };
  }

  it('trusts the authority of the trigger without a certificate of its own', async () => {
    const spec = await secureTarget();
    references.setSecret('tls', { 'ca.crt': AUTHORITY });
    expect(await sent({ ...spec, auth: { tls: { caRef: CA, insecureSkipVerify: false } } })).toEqual({ outcome: 'delivered', code: 204 });
  });

  it('trusts no authority but that one', async () => {
    const spec = await secureTarget();
    references.setSecret('tls', { 'ca.crt': OTHER_AUTHORITY });
    expect(await sent({ ...spec, auth: { tls: { caRef: CA, insecureSkipVerify: false } } })).toMatchObject({
      outcome: 'temporary',
      reason: 'TlsFailed',
    });
    expect(await sent(spec)).toMatchObject({ outcome: 'temporary', reason: 'TlsFailed' });
    expect(secure.received).toEqual([]);
  });

  it('checks whose certificate it is, by the name in the URL', async () => {
    const spec = await secureTarget();
    references.setSecret('tls', { 'ca.crt': AUTHORITY });
    const auth = { tls: { caRef: CA, insecureSkipVerify: false } };
    const addresses = new AddressPolicy({ allowedTargets: ['127.0.0.1'], resolve: async () => ['127.0.0.1'] });
    const at = (host: string): Partial<Spec> => ({ ...spec, auth, url: { static: `https://${host}:${secure.port}/` } });
    expect(await sent(at('target.example.com'), { addresses })).toMatchObject({ outcome: 'delivered' });
    expect(await sent(at('other.example.com'), { addresses })).toMatchObject({ outcome: 'temporary', reason: 'TlsFailed' });
  });

  it('shows its certificate, and the next one when that has changed', async () => {
    const spec = await secureTarget({ requestCert: true, rejectUnauthorized: true });
    references.setSecret('tls', { 'ca.crt': AUTHORITY });
    const sender = senderOf({ ...spec, auth: { tls: { caRef: CA, certRef: CERT, keyRef: KEY, insecureSkipVerify: false } } });
    expect(await sender.send(sampleEvent(), 1, signal)).toMatchObject({ outcome: 'temporary', reason: 'SecretNotReady' });
    references.setSecret('tls', { 'ca.crt': AUTHORITY, 'tls.crt': CLIENT_CERTIFICATE, 'tls.key': CLIENT_KEY });
    expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'delivered', code: 204 });
    expect((secure.last.socket as TLSSocket).getPeerCertificate().subject.CN).toBe('watch-trigger');
    // Of the server, which is no client.
    references.setSecret('tls', { 'ca.crt': AUTHORITY, 'tls.crt': SERVER_CERTIFICATE, 'tls.key': SERVER_KEY });
    expect(await sender.send(sampleEvent(), 1, signal)).toMatchObject({ outcome: 'temporary' });
    expect(secure.received).toHaveLength(1);
  });

  it('is refused by a server that asks for a certificate when it has none', async () => {
    const spec = await secureTarget({ requestCert: true, rejectUnauthorized: true });
    references.setSecret('tls', { 'ca.crt': AUTHORITY });
    expect(await sent({ ...spec, auth: { tls: { caRef: CA, insecureSkipVerify: false } } })).toMatchObject({ outcome: 'temporary' });
    expect(secure.received).toEqual([]);
  });

  it('speaks no TLS below 1.2', async () => {
    const spec = await secureTarget({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' });
    references.setSecret('tls', { 'ca.crt': AUTHORITY });
    expect(await sent({ ...spec, auth: { tls: { caRef: CA, insecureSkipVerify: false } } })).toMatchObject({
      outcome: 'temporary',
      reason: 'TlsFailed',
    });
    const newer = await secureTarget({ maxVersion: 'TLSv1.2' });
    expect(await sent({ ...newer, auth: { tls: { caRef: CA, insecureSkipVerify: false } } })).toMatchObject({ outcome: 'delivered' });
  });

  it('takes any certificate only where that is allowed', async () => {
    const spec = await secureTarget();
    const auth = { tls: { insecureSkipVerify: true } };
    const sender = senderOf({ ...spec, auth });
    const problem = { reason: 'InsecureNotAllowed', message: 'auth.tls.insecureSkipVerify is not allowed here' };
    expect(sender.problems()).toEqual([problem]);
    expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'temporary', ...problem });
    const policy = { ...POLICY, allowsInsecureTls: true };
    expect(await sent({ ...spec, auth }, { policy })).toMatchObject({ outcome: 'delivered' });
  });

  it.each([
    ['no authority', { 'ca.crt': 'hello' }, 'the key "ca.crt" of the Secret tls has no certificate in PEM'],
    [
      'an authority that cannot be read',
      { 'ca.crt': '-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----' },
      'the key "ca.crt" of the Secret tls has a certificate in it that cannot be read',
    ],
    [
      'the key of another certificate',
      { 'ca.crt': AUTHORITY, 'tls.crt': CLIENT_CERTIFICATE, 'tls.key': SERVER_KEY },
      'certRef and keyRef do not lead to a certificate and its key in PEM',
    ],
    [
      'no key',
      { 'ca.crt': AUTHORITY, 'tls.crt': CLIENT_CERTIFICATE, 'tls.key': 'hello' },
      'certRef and keyRef do not lead to a certificate and its key in PEM',
    ],
  ])('has a problem with a Secret that holds %s', async (_what, values, message) => {
    const spec = await secureTarget();
    references.setSecret('tls', { 'tls.crt': CLIENT_CERTIFICATE, 'tls.key': CLIENT_KEY, ...values });
    const sender = senderOf({ ...spec, auth: { tls: { caRef: CA, certRef: CERT, keyRef: KEY, insecureSkipVerify: false } } });
    expect(sender.problems()).toEqual([{ reason: 'SecretInvalid', message }]);
    expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'temporary', reason: 'SecretInvalid', message });
  });
});

describe('TriggerSender of dead letters', () => {
  const FAILURE = { reason: 'HTTP400', message: 'the receiver answered 400: no', code: 400 };
  let letters: TargetServer;

  async function deadLetterSender(spec: Partial<Spec> = {}, options: Partial<SenderOptions> = {}): Promise<TriggerSender> {
    letters = await TargetServer.start();
    servers.push(letters);
    return senderOf({ deadLetter: { policy: 'Block', url: `http://127.0.0.1:${letters.port}/dead?box=1` }, ...spec }, options);
  }

  it('sends the same body and headers by POST, with the reason', async () => {
    const sender = await deadLetterSender({
      method: 'PUT',
      url: { static: `http://127.0.0.1:${target.port}/hook?key=secret` },
      headers: { static: { 'X-A': 'a' }, template: { 'X-B': '{{ .metadata.name }}' } },
      body: { contentType: 'text/plain', template: '{{ .spec.total }}' },
    });
    expect(await sender.sendDeadLetter(sampleEvent(), FAILURE, signal)).toEqual({ outcome: 'delivered', code: 204 });
    const { method, url, headers, body } = letters.last;
    expect([method, url, body]).toEqual(['POST', '/dead?box=1', '3']);
    expect(headers).toMatchObject({
      'content-type': 'text/plain',
      'x-a': 'a',
      'x-b': 'o-1',
      'ce-id': 'c0ffee',
      'ce-errorreason': 'HTTP400',
      'ce-errorcode': '400',
      'ce-errordest': `http://127.0.0.1:${target.port}/hook`,
      'ce-errormessage': 'the%20receiver%20answered%20400:%20no',
    });
    expect(headers).not.toHaveProperty('x-delivery-attempt');
    expect(target.received).toEqual([]);
  });

  it('leaves out what proves to the target who is asking', async () => {
    references.setSecret('s', { token: 'sesame', key: 'k' });
    const sender = await deadLetterSender({
      auth: { bearer: { secretKeyRef: { name: 's', key: 'token' } } },
      headers: {
        static: { Authorization: 'Basic x', Cookie: 'a=b', 'X-Key': 'y' },
        fromSecretRef: { 'X-Key': { name: 's', key: 'token' } },
      },
      body: {
        contentType: 'text/plain',
        template: 'x',
        signature: { header: 'X-Signature', keySecretRef: { name: 's', key: 'key' }, hmac: { hashType: 'SHA256' }, scheme: 'Body' },
      },
    });
    await sender.sendDeadLetter(sampleEvent(), FAILURE, signal);
    const names = Object.keys(letters.last.headers);
    expect(names).toContain('ce-errorreason');
    for (const name of ['authorization', 'cookie', 'x-key', 'x-signature']) expect(names).not.toContain(name);
  });

  it('sends the object itself when the template of the body fails on it', async () => {
    const sender = await deadLetterSender({
      url: { template: `http://127.0.0.1:${target.port}/{{ index .spec.items 7 }}` },
      headers: { template: { 'X-A': '{{ index .spec.items 7 }}', 'X-B': 'b' } },
      body: { contentType: 'text/plain', template: '{{ index .spec.items 7 }}' },
    });
    const object = sampleOrder({ big: 9007199254740993n });
    const failure = { reason: 'TemplateFailed', message: 'template: body.template:1: no' };
    expect(await sender.sendDeadLetter(sampleEvent({ object }), failure, signal)).toMatchObject({ outcome: 'delivered' });
    expect(letters.last.body).toContain('"spec":{"big":9007199254740993}');
    expect(letters.last.headers).toMatchObject({ 'content-type': 'application/json', 'x-b': 'b', 'ce-errorreason': 'TemplateFailed' });
    for (const name of ['x-a', 'ce-errordest', 'ce-errorcode']) expect(letters.last.headers).not.toHaveProperty(name);
  });

  it('needs neither the Secrets nor the Service of the target', async () => {
    const sender = await deadLetterSender({
      url: { service: { name: 'gone', scheme: 'http' } },
      auth: {
        bearer: { secretKeyRef: { name: 'gone', key: 'token' } },
        tls: { caRef: { name: 'gone', key: 'ca' }, insecureSkipVerify: false },
      },
    });
    expect(await sender.sendDeadLetter(sampleEvent(), FAILURE, signal)).toMatchObject({ outcome: 'delivered' });
  });

  it("goes over TLS to who has a certificate of the trigger's authority, and shows none", async () => {
    letters = await TargetServer.start({
      cert: SERVER_CERTIFICATE,
      key: SERVER_KEY,
      ca: AUTHORITY,
      requestCert: true,
      rejectUnauthorized: false,
    });
    servers.push(letters);
    references.setSecret('tls', { 'ca.crt': AUTHORITY, 'tls.crt': CLIENT_CERTIFICATE, 'tls.key': CLIENT_KEY });
    const ref = (key: string): { name: string; key: string } => ({ name: 'tls', key });
    const sender = senderOf({
      deadLetter: { policy: 'Block', url: `https://127.0.0.1:${letters.port}/` },
      auth: { tls: { caRef: ref('ca.crt'), certRef: ref('tls.crt'), keyRef: ref('tls.key'), insecureSkipVerify: false } },
    });
    expect(await sender.sendDeadLetter(sampleEvent(), FAILURE, signal)).toMatchObject({ outcome: 'delivered' });
    expect((letters.last.socket as TLSSocket).getPeerCertificate()).toEqual({});
  });

  it('is judged as any other request', async () => {
    const sender = await deadLetterSender();
    letters.answers(503, { 'retry-after': '3' });
    expect(await sender.sendDeadLetter(sampleEvent(), FAILURE, signal)).toMatchObject({ outcome: 'temporary', retryAfterMs: 3000 });
    const forbidden = await deadLetterSender({}, { addresses: new AddressPolicy() });
    expect(await forbidden.sendDeadLetter(sampleEvent(), FAILURE, signal)).toMatchObject({
      outcome: 'refused',
      reason: 'AddressNotAllowed',
    });
  });
});
