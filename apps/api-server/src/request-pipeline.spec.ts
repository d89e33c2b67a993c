import { describe, expect, it } from '@jest/globals';
import { Registry } from '@harikube/platform';
import { gunzipSync } from 'node:zlib';
import type { Authenticated } from './authentication.js';
import { type ApiAnswer, RequestHeaders } from './exchange.js';
import { FairLimit } from './fair-limit.js';
import { registrationOf } from './registration.js';
import type { RegistrationCall } from './registration-handler.js';
import { RequestPipeline, type RequestPipelineOptions, warningHeaders } from './request-pipeline.js';
import { ServerMetrics } from './server-metrics.js';
import { condition, PASSWORD, sampleSpec, storedRequest } from './spec/sample-requests.js';
import { KeptLog } from './spec/kept-log.js';
import { forbidden, tooLarge, unavailable } from './status-answer.js';

const GROUP = 'api.product.webshop.harikube.info';
const ROOT = `/apis/${GROUP}/v1`;
const PATH = `${ROOT}/registrations`;
const jane: Authenticated = { by: 'front-proxy', user: { name: 'jane', uid: '', groups: ['system:authenticated'], extra: {} } };
const body = JSON.stringify({
  apiVersion: `${GROUP}/v1`,
  kind: 'Registration',
  metadata: { name: 'x' },
  spec: sampleSpec('x@example.com'),
});

interface Sent {
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

function setUp(options: Partial<RequestPipelineOptions> = {}) {
  const registry = new Registry();
  const logger = new KeptLog();
  const calls: RegistrationCall[] = [];
  const pipeline = new RequestPipeline({
    authenticator: { authenticate: async () => jane },
    authorizer: { authorize: async () => undefined },
    registrations: {
      create: async (call) => {
        calls.push(call);
        call.onWaiting();
        return registrationOf(storedRequest(call.asked.name, 'u-1', condition('Complete', 'True')));
      },
    },
    seats: new FairLimit({ limit: 1, perUser: 1, queue: 0, queuePerUser: 0, queueMs: 0 }),
    checks: { live: () => [], ready: () => [] },
    metrics: new ServerMetrics(registry),
    registry,
    logger,
    ...options,
  });
  const send = (method: string, target: string, sent: Sent = {}): Promise<ApiAnswer> =>
    pipeline.handle({
      method,
      target,
      headers: new RequestHeaders(Object.entries(sent.headers ?? {}).flat()),
      peer: null,
      sourceAddress: '127.0.0.1',
      signal: new AbortController().signal,
      readBody: async (limitBytes) => {
        const bytes = Buffer.from(sent.body ?? '');
        if (bytes.length > limitBytes) throw tooLarge(limitBytes);
        return bytes;
      },
    });
  return { send, calls, logger, registry };
}

const parsed = (answer: ApiAnswer): Record<string, unknown> => JSON.parse(answer.body.toString()) as Record<string, unknown>;

describe('RequestPipeline', () => {
  it('creates a registration, in the form that is asked for', async () => {
    const { send, calls } = setUp();
    const answer = await send('POST', `${PATH}/x?timeout=6s&fieldManager=m`, { body, headers: { 'audit-id': 'a-1' } });
    expect(answer).toMatchObject({
      code: 201,
      headers: { 'content-type': 'application/json', 'audit-id': 'a-1', 'cache-control': 'no-cache, private' },
    });
    expect(parsed(answer)).toMatchObject({ kind: 'Registration', metadata: { name: 'x' } });
    expect(calls[0]).toMatchObject({ waitMs: 5000, auditId: 'a-1', user: { name: 'jane' }, options: { fieldManager: 'm' } });
    const yaml = await send('POST', PATH, { body, headers: { accept: 'application/yaml' } });
    expect([yaml.headers['content-type'], yaml.body.toString().startsWith('apiVersion:')]).toEqual(['application/yaml', true]);
  });

  it('warns of fields that it does not know', async () => {
    const { send } = setUp();
    const answer = await send('POST', PATH, { body: body.replace('"spec"', '"extra":1,"spec"') });
    expect(answer.headers['warning']).toEqual(['299 - "unknown field \\"extra\\""']);
  });

  it('gives the seat back while it waits', async () => {
    let size = -1;
    const seats = new FairLimit({ limit: 1, perUser: 1, queue: 0, queuePerUser: 0, queueMs: 0 });
    const registrations = {
      create: async (call: RegistrationCall) => {
        call.onWaiting();
        size = seats.size;
        return registrationOf(storedRequest('x', 'u-1'));
      },
    };
    await setUp({ seats, registrations }).send('POST', PATH, { body });
    expect([size, seats.size]).toEqual([0, 0]);
  });

  it('answers every refusal with a Status, in JSON or YAML, and says when to come again', async () => {
    const create = async (): Promise<never> => {
      throw unavailable('stopping', 1);
    };
    const { send } = setUp({ registrations: { create } });
    const answer = await send('POST', PATH, { body });
    expect(answer).toMatchObject({ code: 503, headers: { 'retry-after': '1' } });
    expect(parsed(answer)).toEqual({
      ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: 'stopping', reason: 'ServiceUnavailable' },
      ...{ details: { retryAfterSeconds: 1 }, code: 503 },
    });
    expect((await send('POST', PATH, { body, headers: { accept: 'application/yaml' } })).body.toString()).toContain('kind: Status');
  });

  it('survives what nobody expects, and tells it to the log alone', async () => {
    const create = async (): Promise<never> => {
      throw new TypeError('cannot read properties of undefined');
    };
    const { send, logger } = setUp({ registrations: { create } });
    const answer = await send('POST', PATH, { body });
    expect(parsed(answer)).toMatchObject({ code: 500, reason: 'InternalError', message: 'Internal error occurred: the server failed' });
    expect(logger.lines.find(({ level }) => level === 'error')?.fields).toMatchObject({
      user: 'jane',
      name: 'x',
      code: 500,
      err: expect.any(TypeError),
    });
  });

  it('lets nobody in who is unknown, impersonates nobody, and does what kube-apiserver does not allow for nobody', async () => {
    const unknown = await setUp({ authenticator: { authenticate: async () => null } }).send('GET', ROOT);
    expect([unknown.code, unknown.endsConnection]).toEqual([401, true]);
    const { send } = setUp();
    expect((await send('GET', ROOT, { headers: { 'Impersonate-Extra-a': 'x' } })).code).toBe(403);
    const authorize = async (): Promise<never> => {
      throw forbidden('no');
    };
    const denied = setUp({ authorizer: { authorize } });
    expect((await denied.send('POST', PATH, { body })).code).toBe(403);
    expect((await denied.send('GET', '/metrics')).code).toBe(403);
    expect(denied.calls).toEqual([]);
  });

  it('tells of its health to everybody', async () => {
    const { send } = setUp({ authenticator: { authenticate: async () => null } });
    for (const page of ['/livez', '/readyz', '/healthz', '/readyz/ping']) expect((await send('GET', page)).body).toBe('ok');
    expect((await send('GET', '/readyz/none')).code).toBe(404);
    expect((await send('POST', '/livez')).code).toBe(405);
  });

  it('has no room for more than it can do, but for the masters', async () => {
    const seats = new FairLimit({ limit: 1, perUser: 1, queue: 0, queuePerUser: 0, queueMs: 0 });
    const leave = await seats.enter('flood', new AbortController().signal);
    const { send } = setUp({ seats });
    expect(await send('GET', ROOT)).toMatchObject({ code: 429, headers: { 'retry-after': '1' } });
    const masters = { ...jane, user: { ...jane.user, groups: ['system:masters'] } };
    expect((await setUp({ seats, authenticator: { authenticate: async () => masters } }).send('GET', ROOT)).code).toBe(200);
    leave();
    expect((await send('GET', ROOT)).code).toBe(200);
  });

  it('serves discovery in both forms, with an entity tag', async () => {
    const { send } = setUp();
    const v2 = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    const answer = await send('GET', '/apis', { headers: { accept: `${v2};profile=nopeer,${v2},application/json` } });
    expect(answer.headers).toMatchObject({
      'content-type': v2,
      vary: 'Accept',
      'cache-control': 'public',
      etag: expect.stringMatching(/^"[0-9A-F]{128}"$/),
    });
    const repeated = await send('GET', '/apis', { headers: { accept: v2, 'if-none-match': String(answer.headers['etag']) } });
    expect([repeated.code, repeated.body]).toEqual([304, '']);
    const resource = {
      resource: 'registrations',
      responseKind: { kind: 'Registration' },
      scope: 'Cluster',
      singularResource: 'registration',
      verbs: ['create'],
    };
    expect(parsed(answer)).toMatchObject({
      items: [{ metadata: { name: GROUP }, versions: [{ version: 'v1', freshness: 'Current', resources: [resource] }] }],
    });
    expect(parsed(await send('GET', '/apis'))).toMatchObject({ kind: 'APIGroupList', groups: [{ name: GROUP }] });
    const old = await send('GET', '/apis', {
      headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json' },
    });
    expect(parsed(old)).toMatchObject({ kind: 'APIGroupList' });
    expect(parsed(await send('GET', `/apis/${GROUP}`))).toMatchObject({ kind: 'APIGroup', preferredVersion: { version: 'v1' } });
    expect(parsed(await send('GET', ROOT))).toMatchObject({
      kind: 'APIResourceList',
      resources: [{ name: 'registrations', verbs: ['create'] }],
    });
  });

  it('serves OpenAPI, for ever under its hash', async () => {
    const { send } = setUp();
    const { paths } = parsed(await send('GET', '/openapi/v3')) as { paths: Record<string, { serverRelativeURL: string }> };
    const address = paths[ROOT.slice(1)]?.serverRelativeURL ?? '';
    const kept = await send('GET', address);
    expect(kept.headers).toMatchObject({ 'cache-control': 'public, immutable', expires: expect.any(String), vary: 'Accept' });
    expect((await send('GET', `/openapi/v3${ROOT}`)).headers['cache-control']).toBe('no-cache, private');
    expect(await send('GET', `/openapi/v3${ROOT}?hash=old`)).toMatchObject({ code: 301, headers: { location: address } });
    const protobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
    expect((await send('GET', '/openapi/v2', { headers: { accept: protobuf } })).code).toBe(406);
    expect((await send('GET', '/openapi/v2', { headers: { accept: `${protobuf},*/*` } })).code).toBe(200);
  });

  it('finds nothing where nothing is, and does nothing that it does not do', async () => {
    const { send } = setUp();
    const code = async (method: string, target: string): Promise<number> => (await send(method, target)).code;
    for (const target of [
      '/api',
      '/nowhere',
      `${ROOT}/registrationsxyz`,
      `${ROOT}/users/login`,
      `${PATH}/x/status`,
      `${ROOT}/namespaces/n/registrations`,
      '/apis/other/v1/registrations',
      `${PATH}/`,
      `${PATH}//x`,
      '/docs/',
      '/docs/../version',
      '/docs/package.json',
    ])
      expect([target, await code('POST', target)]).toEqual([target, 404]);
    for (const target of ['/%zz', `${PATH}/a%2Fb`, '/apis%2Fx']) expect(await code('POST', target)).toBe(400);
    for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']) expect(await code(method, `${PATH}/x`)).toBe(405);
    expect(parsed(await send('GET', PATH))).toMatchObject({
      reason: 'MethodNotAllowed',
      message: `list is not supported on resources of kind "registrations.${GROUP}"`,
      details: { group: GROUP, kind: 'registrations' },
    });
    expect(await code('DELETE', '/version')).toBe(405);
    expect(parsed(await send('GET', '/'))).toMatchObject({ paths: expect.arrayContaining(['/apis', '/version']) });
  });

  it('answers HEAD without a body, people with indentation, and large documents compressed', async () => {
    const { send } = setUp();
    const head = await send('HEAD', '/version');
    expect([head.code, head.body, Number(head.headers['content-length']) > 50]).toEqual([200, '', true]);
    expect((await send('GET', '/version', { headers: { 'user-agent': 'curl/8.0' } })).body.toString().split('\n').length).toBeGreaterThan(
      5,
    );
    const plain = await send('GET', '/docs/swagger-ui-bundle.js');
    const compressed = await send('GET', `${ROOT}/docs/swagger-ui-bundle.js`, { headers: { 'accept-encoding': 'gzip' } });
    expect(compressed.headers).toMatchObject({
      'content-encoding': 'gzip',
      vary: 'Accept-Encoding',
      'content-type': 'text/javascript; charset=utf-8',
    });
    expect(gunzipSync(Buffer.from(compressed.body)).equals(Buffer.from(plain.body))).toBe(true);
  });

  it('shows a page without scripts in it, whose documents lie below it', async () => {
    const { send } = setUp();
    const page = await send('GET', '/docs');
    expect(page.headers['content-security-policy']).toContain("script-src 'self';");
    const names = [...page.body.toString().matchAll(/(?:src|href)="([^"]+)"/g)].map(([, name = '']) => name);
    expect(names.length).toBe(4);
    for (const name of names) expect([name, (await send('GET', `${ROOT}/${name}`)).code]).toEqual([name, 200]);
    expect(page.body.toString()).not.toMatch(/<script>|\sstyle=|\son\w+=/);
    expect(parsed(await send('GET', `${ROOT}/docs/openapi.json`))).toMatchObject({ servers: [{ url: '../../../../' }] });
    const etag = String(page.headers['etag']);
    expect((await send('GET', '/docs', { headers: { 'if-none-match': etag } })).code).toBe(304);
  });

  it('refuses a long body, and keeps what was sent out of answers, log and metrics', async () => {
    const { send, logger, registry } = setUp();
    expect((await send('POST', PATH, { body: 'x'.repeat(3 * 1024 * 1024 + 1) })).code).toBe(413);
    const answers = [
      await send('POST', PATH, { body }),
      await send('POST', PATH, { body: body.slice(1) }),
      await send('POST', PATH, { body: `${body}x` }),
    ];
    const everything = [
      JSON.stringify(answers.map((answer) => answer.body.toString())),
      JSON.stringify(logger.lines),
      await registry.metrics(),
    ];
    for (const text of everything) expect(text).not.toContain(PASSWORD);
    expect(everything[2]).toContain(
      `apiserver_request_total{verb="POST",group="${GROUP}",version="v1",resource="registrations",subresource="",scope="cluster",code="201"} 1`,
    );
    expect(everything[2]).not.toMatch(/jane|"x"/);
  });

  it('makes an audit id of its own when it gets none that is one', async () => {
    const { send } = setUp();
    expect((await send('GET', '/livez')).headers['audit-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect((await send('GET', '/livez', { headers: { 'audit-id': 'a\r\nb' } })).headers['audit-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('warningHeaders', () => {
  it('says each thing once, escaped and in one line', () => {
    expect(warningHeaders(['a "b" \\ c\nd é', 'x', 'x'])).toEqual(['299 - "a \\"b\\" \\\\ c d ?"', '299 - "x"']);
  });

  it('shortens them when they are too long in all', () => {
    const headers = warningHeaders(Array.from({ length: 30 }, (_, index) => `${index}${'y'.repeat(1000)}`));
    expect(headers.length).toBe(16);
    for (const header of headers) expect(header.length).toBe(256 + 8);
  });
});
