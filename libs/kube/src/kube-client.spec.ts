import { rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { KubeClient, type KubeClientOptions } from './kube-client.js';
import type { KubeObject, WatchEvent } from './kube-object.js';
import { CONFIG_MAPS, LEASES, NAMESPACES } from './resources.js';
import { ApiServerDouble, configMap, type Exchange, failure } from './spec/api-server-double.js';
import { FakeClock } from './spec/fake-clock.js';
import { ConnectionError, StatusError } from './status-error.js';

let server: ApiServerDouble;
let clock: FakeClock;
const clients: KubeClient[] = [];

async function connect(user: object = {}, more: Partial<KubeClientOptions> = {}): Promise<KubeClient> {
  const kubeconfig = more.kubeconfig ?? (await server.kubeconfig(user));
  const client = KubeClient.fromConfig({ userAgent: 'spec/1', clock, ...more, kubeconfig });
  clients.push(client);
  return client;
}

beforeEach(async () => {
  server = await ApiServerDouble.start();
  clock = new FakeClock();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await server.close();
});

/** What a call sends, and what it resolves with when the server answers this. */
async function exchanged<R>(call: Promise<R>, answer: object = configMap('a', '1'), code = 200): Promise<{ sent: Exchange; result: R }> {
  const sent = await server.next();
  sent.answer(code, answer);
  return { sent, result: await call };
}

describe('KubeClient', () => {
  it('says where the API server answers', async () => {
    expect((await connect()).server.origin).toBe(`http://127.0.0.1:${server.port}`);
  });

  it('gets an object by its encoded place, and says what it is', async () => {
    const client = await connect();
    const { sent, result } = await exchanged(client.get(CONFIG_MAPS, 'a%2F/b:c', 'de fault'));
    expect([sent.method, sent.path]).toEqual(['GET', '/api/v1/namespaces/de%20fault/configmaps/a%252F%2Fb%3Ac']);
    expect(sent.headers).toMatchObject({ 'user-agent': 'spec/1', accept: 'application/json' });
    expect(result).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } });
    const lease = await exchanged(client.get(LEASES, 'l', 'x'));
    expect(lease.sent.path).toBe('/apis/coordination.k8s.io/v1/namespaces/x/leases/l');
    expect((await exchanged(client.get(NAMESPACES, 'x'))).sent.path).toBe('/api/v1/namespaces/x');
  });

  it('refuses names that would be another request', async () => {
    const client = await connect();
    for (const name of ['', '.', '..']) await expect(client.delete(CONFIG_MAPS, name, 'default')).rejects.toThrow(`"${name}" is no name`);
    await expect(client.delete(CONFIG_MAPS, 'a', '')).rejects.toThrow('"" is no namespace');
    await expect(client.get(CONFIG_MAPS, 'a')).rejects.toThrow('an object of configmaps needs a namespace');
    await expect(client.create(CONFIG_MAPS, { metadata: { name: 'a' } })).rejects.toThrow('an object of configmaps needs a namespace');
  });

  it('lists a page', async () => {
    const client = await connect();
    const options = { labelSelector: 'a in (b,c)', fieldSelector: 'metadata.name=x', limit: 2, continue: 'more', resourceVersion: '7' };
    const page = { metadata: { resourceVersion: '9', continue: 'next', remainingItemCount: 4 }, items: [configMap('a', '1')] };
    const { sent, result } = await exchanged(client.list(CONFIG_MAPS, options), page);
    expect(sent.path).toBe('/api/v1/configmaps');
    expect(sent.query).toEqual({ ...options, limit: '2' });
    expect(result.metadata).toEqual(page.metadata);
    expect(result.items[0]).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
    expect((await exchanged(client.list(CONFIG_MAPS, { namespace: 'n' }), { metadata: {}, items: null })).result.items).toEqual([]);
  });

  it('writes with the method, type and options of each verb', async () => {
    const client = await connect();
    const object: KubeObject = { metadata: { name: 'a', namespace: 'default' } };
    const whole = { apiVersion: 'v1', kind: 'ConfigMap', ...object };
    const create = await exchanged(client.create(CONFIG_MAPS, object, { fieldManager: 'm', fieldValidation: 'Strict', dryRun: true }));
    expect(create.sent).toMatchObject({
      method: 'POST',
      path: '/api/v1/namespaces/default/configmaps',
      query: { fieldManager: 'm', fieldValidation: 'Strict', dryRun: 'All' },
      body: whole,
    });
    expect(create.sent.headers['content-type']).toBe('application/json');
    expect(object).not.toHaveProperty('kind');
    const update = await exchanged(client.update(CONFIG_MAPS, object, { subresource: 'status' }));
    expect(update.sent).toMatchObject({ method: 'PUT', path: '/api/v1/namespaces/default/configmaps/a/status', body: whole });
    for (const type of ['merge', 'json', 'strategic'] as const) {
      const { sent } = await exchanged(client.patch(CONFIG_MAPS, 'a', 'default', { data: {} }, { type, fieldManager: 'm' }));
      expect([sent.method, sent.headers['content-type'], sent.query, sent.body]).toEqual([
        'PATCH',
        `application/${type === 'strategic' ? 'strategic-merge' : type === 'json' ? 'json' : 'merge'}-patch+json`,
        { fieldManager: 'm' },
        { data: {} },
      ]);
    }
    const apply = await exchanged(client.apply(CONFIG_MAPS, object, { fieldManager: 'm', force: true }));
    expect(apply.sent).toMatchObject({ method: 'PATCH', query: { fieldManager: 'm', force: 'true' }, body: whole });
    expect(apply.sent.headers['content-type']).toBe('application/apply-patch+yaml');
    const options = { preconditions: { uid: 'u', resourceVersion: '3' }, propagationPolicy: 'Foreground', dryRun: true } as const;
    const deleted = await exchanged(client.delete(CONFIG_MAPS, 'a', 'default', options), { kind: 'Status', status: 'Success' });
    expect(deleted.sent).toMatchObject({
      method: 'DELETE',
      body: { kind: 'DeleteOptions', apiVersion: 'v1', ...options, dryRun: ['All'] },
    });
    expect(deleted.result).toBeUndefined();
  });

  it('keeps every digit of whole numbers for who asks for it, and writes them', async () => {
    const client = await connect();
    const text = '{"metadata":{"name":"a"},"count":9007199254740993}';
    const json = { 'content-type': 'application/json' };
    const answered = async <R>(call: Promise<R>, body: string): Promise<R> => {
      (await server.next()).answer(200, body, json);
      return call;
    };
    const exact = { exactIntegers: true };
    expect(await answered(client.get(CONFIG_MAPS, 'a', 'default', exact), text)).toMatchObject({ count: 9007199254740993n });
    expect(await answered(client.get(CONFIG_MAPS, 'a', 'default'), text)).toMatchObject({ count: 9007199254740992 });
    expect((await answered(client.list(CONFIG_MAPS, exact), `{"items":[${text}]}`)).items).toMatchObject([{ count: 9007199254740993n }]);
    const watch = client.watch(CONFIG_MAPS, exact);
    const event = watch.next();
    (await server.next()).open().write(`{"type":"ADDED","object":${text}}\n`);
    expect((await event).value).toMatchObject({ object: { count: 9007199254740993n } });
    await watch.return();
    const object = { metadata: { name: 'a', namespace: 'default' }, count: 2n ** 53n };
    const { sent } = await exchanged(client.update(CONFIG_MAPS, object));
    expect(sent.body).toMatchObject({ count: 9007199254740992 });
  });

  it('asks anything below the path of the server', async () => {
    const kubeconfig = await server.kubeconfig({}, { server: `http://127.0.0.1:${server.port}/k8s/clusters/c-1/` });
    const client = await connect({}, { kubeconfig });
    const { sent, result } = await exchanged(
      client.raw('GET', '/version', { a: ['1', '2'], b: undefined, c: 'x y' }, undefined, { headers: { 'x-own': '1' } }),
      { major: '1' },
    );
    expect([sent.path, sent.headers['x-own'], result]).toEqual(['/k8s/clusters/c-1/version', '1', { major: '1' }]);
    const text = client.raw('GET', '/readyz');
    (await server.next()).answer(200, 'ok');
    expect(await text).toBe('ok');
  });

  it('tells of each warning that comes with an answer', async () => {
    const told: string[] = [];
    const client = await connect({}, { onWarning: (text) => void told.push(text) });
    const call = client.get(CONFIG_MAPS, 'a', 'default');
    (await server.next()).answer(200, configMap('a', '1'), { warning: '299 - "say \\"a\\", \\\\ not b", 299 kube "another"' });
    await call;
    const refused = client.get(CONFIG_MAPS, 'b', 'default');
    (await server.next()).answer(403, failure(403, 'Forbidden'), { warning: '299 - "with a refusal, too"' });
    await expect(refused).rejects.toThrow(StatusError);
    expect(told).toEqual(['say "a", \\ not b', 'another', 'with a refusal, too']);
  });

  it('throws a StatusError for every answer that is no success', async () => {
    const client = await connect();
    const gone = client.get(CONFIG_MAPS, 'a', 'default');
    (await server.next()).fail(404, 'NotFound', 'configmaps "a" not found');
    await expect(gone).rejects.toMatchObject({ name: 'StatusError', isNotFound: true, message: 'configmaps "a" not found' });
    const moved = client.get(CONFIG_MAPS, 'a', 'default');
    (await server.next()).answer(302, 'elsewhere', { location: 'http://127.0.0.1:1/' });
    await expect(moved).rejects.toMatchObject({ code: 302 });
  });

  it('throws a ConnectionError with its cause when nothing answers, and what comes is no answer', async () => {
    const client = await connect();
    const cut = client.create(NAMESPACES, { metadata: { name: 'a' } });
    (await server.next()).cut();
    await expect(cut).rejects.toThrow(ConnectionError);
    await expect(cut).rejects.toHaveProperty('cause');
    // A write is not repeated: what came of it is not known.
    expect(server.waiting).toBe(0);
    const half = client.get(NAMESPACES, 'a');
    (await server.next()).answer(200, '{"metadata":', { 'content-type': 'application/json' });
    await expect(half).rejects.toThrow('the answer to GET /api/v1/namespaces/a is not JSON');
    await server.stop();
    await expect(client.get(NAMESPACES, 'a')).rejects.toMatchObject({ name: 'ConnectionError', cause: { code: 'ECONNREFUSED' } });
    server = await ApiServerDouble.start();
  });

  it('gives up after its deadline, also while the body comes', async () => {
    const client = await connect();
    const silent = client.get(NAMESPACES, 'a');
    const first = await server.next();
    await clock.advance(29_999);
    const answered = await Promise.race([silent, turn('no answer yet')]);
    expect(answered).toBe('no answer yet');
    const ended = expect(silent).rejects.toThrow(new ConnectionError('GET /api/v1/namespaces/a had no answer within 30000 ms'));
    await clock.advance(1);
    await ended;
    await first.closed;
    const slow = client.get(NAMESPACES, 'a');
    (await server.next()).open().write('{');
    const late = expect(slow).rejects.toThrow('had no answer within 30000 ms');
    await clock.advance(30_000);
    await late;
    expect(clock.timers).toEqual([]);
  });

  it('ends with the reason of the signal', async () => {
    const client = await connect();
    const stop = new AbortController();
    const call = client.get(NAMESPACES, 'a', undefined, { signal: stop.signal });
    const sent = await server.next();
    stop.abort(new RangeError('enough'));
    await expect(call).rejects.toThrow(new RangeError('enough'));
    await sent.closed;
    await expect(client.get(NAMESPACES, 'a', undefined, { signal: stop.signal })).rejects.toThrow(new RangeError('enough'));
    await expect(client.get(NAMESPACES, 'a', undefined, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('sends no write whose signal a timer aborts that was due before', async () => {
    const client = await connect();
    const stop = new AbortController();
    // As in a process that was stopped: the timer is due, and something else runs first.
    setTimeout(() => stop.abort(new RangeError('the lease is lost')), 1);
    const until = performance.now() + 5;
    while (performance.now() < until);
    const write = client.create(NAMESPACES, { metadata: { name: 'a' } }, { signal: stop.signal });
    await expect(write).rejects.toThrow('the lease is lost');
    expect(server.connections).toBe(0);
  });

  it('comes again when the server is too busy and says when, also with a write, a bounded number of times', async () => {
    const registry = new Registry();
    const client = await connect({}, { registry });
    const create = client.create(NAMESPACES, { metadata: { name: 'a' } });
    (await server.next()).answer(429, failure(429, 'TooManyRequests'), { 'retry-after': '2' });
    await clock.timerIn(2000);
    await clock.advance(2000);
    (await server.next()).answer(201, { metadata: { name: 'a' } });
    expect(await create).toMatchObject({ metadata: { name: 'a' } });

    const refused = client.get(NAMESPACES, 'a');
    const ended = expect(refused).rejects.toMatchObject({ isTooManyRequests: true, retryAfterSeconds: 1 });
    for (let attempts = 0; attempts < 5; attempts++) {
      (await server.next()).answer(429, failure(429, 'TooManyRequests'), { 'retry-after': '1' });
      await clock.timerIn(1000);
      await clock.advance(1000);
    }
    (await server.next()).answer(429, failure(429, 'TooManyRequests'), { 'retry-after': '1' });
    await ended;
    const host = `127.0.0.1:${server.port}`;
    expect((await registry.getSingleMetric('rest_client_requests_total')?.get())?.values).toEqual([
      { value: 1, labels: { code: '429', method: 'POST', host } },
      { value: 1, labels: { code: '201', method: 'POST', host } },
      { value: 6, labels: { code: '429', method: 'GET', host } },
    ]);
  });

  it('does not wait longer than its deadline, nor when no time is named, nor with another code', async () => {
    const client = await connect();
    for (const [code, headers] of [
      [429, { 'retry-after': '30' }],
      [429, {}],
      [503, { 'retry-after': '1' }],
    ] as const) {
      const call = client.get(NAMESPACES, 'a');
      (await server.next()).answer(code, failure(code, 'Busy'), headers);
      await expect(call).rejects.toMatchObject({ code });
    }
  });

  it('shares the metrics of a registry with other clients, and counts what had no answer', async () => {
    const registry = new Registry();
    const one = await connect({}, { registry });
    const other = await connect({}, { registry });
    await exchanged(one.get(NAMESPACES, 'a'));
    await exchanged(other.get(NAMESPACES, 'a'));
    const cut = one.get(NAMESPACES, 'a');
    (await server.next()).cut();
    await expect(cut).rejects.toThrow(ConnectionError);
    expect((await registry.getSingleMetric('rest_client_requests_total')?.get())?.values).toMatchObject([
      { value: 2, labels: { code: '200', method: 'GET' } },
      { value: 1, labels: { code: '<error>', method: 'GET' } },
    ]);
  });

  it('uses a connection again', async () => {
    const client = await connect();
    for (let requests = 0; requests < 10; requests++) await exchanged(client.get(NAMESPACES, 'a'));
    // A second one, when a request follows an answer so closely that its connection is not free yet.
    expect(server.connections).toBeLessThanOrEqual(2);
  });
});

describe('the credentials of KubeClient', () => {
  const authorization = async (client: KubeClient): Promise<string | undefined> =>
    (await exchanged(client.get(NAMESPACES, 'a'))).sent.headers.authorization;

  it('are a token, a name and a password, or nothing', async () => {
    expect(await authorization(await connect({ token: 'secret' }))).toBe('Bearer secret');
    expect(await authorization(await connect({ username: 'me', password: 'p:w' }))).toBe(
      `Basic ${Buffer.from('me:p:w').toString('base64')}`,
    );
    expect(await authorization(await connect())).toBeUndefined();
  });

  it('are a token from a file beside the kubeconfig', async () => {
    await server.file('token', 'from-file\n');
    expect(await authorization(await connect({ tokenFile: 'token', token: 'stale' }))).toBe('Bearer from-file');
  });

  it('come from a plugin, which is started once for many requests and again when they have expired', async () => {
    const count = await server.file('count', '');
    const script = `
      require('node:fs').appendFileSync(${JSON.stringify(count)}, 'x');
      const token = 'plugin-' + require('node:fs').readFileSync(${JSON.stringify(count)}, 'utf8').length;
      const expirationTimestamp = token === 'plugin-1' ? '2020-01-01T00:00:00Z' : '2120-01-01T00:00:00Z';
      console.log(JSON.stringify({ kind: 'ExecCredential', status: { token, expirationTimestamp } }));`;
    const client = await connect({
      exec: { apiVersion: 'client.authentication.k8s.io/v1', command: process.execPath, args: ['-e', script] },
    });
    const calls = [client.get(NAMESPACES, 'a'), client.get(NAMESPACES, 'b')];
    for (const call of calls) {
      const sent = await server.next();
      expect(sent.headers.authorization).toBe('Bearer plugin-1');
      sent.answer(200, { metadata: {} });
      void call;
    }
    await Promise.all(calls);
    expect(await authorization(client)).toBe('Bearer plugin-2');
    expect(await authorization(client)).toBe('Bearer plugin-2');
  });

  it('that cannot be had fail the request', async () => {
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', 'console.error("no ticket"); process.exit(3)'],
    };
    const client = await connect({ exec });
    await expect(client.get(NAMESPACES, 'a')).rejects.toThrow(/^GET \/api\/v1\/namespaces\/a had no answer: no ticket/);
  });
});

describe('KubeClient.fromConfig', () => {
  const open = (kubeconfig: string, context?: string): KubeClient => KubeClient.fromConfig({ kubeconfig, context, userAgent: 'spec' });

  it('says in a sentence why a kubeconfig cannot be used', async () => {
    expect(() => open('/nowhere/config')).toThrow('the kubeconfig /nowhere/config cannot be used: ENOENT');
    const file = await server.kubeconfig();
    expect(() => open(file, 'other')).toThrow(`the kubeconfig ${file} has no context other`);
    await writeFile(file, 'clusters: [');
    expect(() => open(file)).toThrow(`the kubeconfig ${file} cannot be used: `);
    await writeFile(file, 'apiVersion: v1\nkind: Config\n');
    expect(() => open(file)).toThrow(`the kubeconfig ${file} has no current context`);
    const socks = await server.kubeconfig({}, { 'proxy-url': 'socks5://127.0.0.1:1' });
    expect(() => open(socks)).toThrow('has the proxy-url socks5://127.0.0.1:1; only http and https proxies are supported');
  });

  it("knows the namespace of the context, and Kubernetes' own default where it names none", async () => {
    expect((await connect()).namespace).toBe('default');
    const config = {
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u', namespace: 'harikube' } }],
      clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
      users: [{ name: 'u', user: {} }],
    };
    const kubeconfig = await server.file('with-namespace', JSON.stringify(config));
    expect((await connect({}, { kubeconfig })).namespace).toBe('harikube');
  });

  it('takes several files, of which some may be missing', async () => {
    const first = await server.kubeconfig();
    const moved = first.replace(/kubeconfig$/, 'first');
    await rename(first, moved);
    const client = await connect({}, { kubeconfig: `${moved}:/nowhere/config` });
    expect((await exchanged(client.get(NAMESPACES, 'a'))).sent.path).toBe('/api/v1/namespaces/a');
  });

  it('reaches the server through an HTTP proxy', async () => {
    const asked = Promise.withResolvers<string>();
    const proxy = createServer((socket) => socket.once('data', (data: Buffer) => (asked.resolve(data.toString()), socket.destroy())));
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = proxy.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const kubeconfig = await server.kubeconfig({}, { server: 'https://kubernetes.invalid:6443', 'proxy-url': `http://127.0.0.1:${port}` });
    const client = await connect({}, { kubeconfig });
    await expect(client.get(NAMESPACES, 'a')).rejects.toThrow(ConnectionError);
    expect(await asked.promise).toMatch(/^CONNECT kubernetes\.invalid:6443 /);
    await new Promise((resolve) => proxy.close(resolve));
  });
});

describe('KubeClient.watch', () => {
  const start = (client: KubeClient, more: object = {}): AsyncGenerator<WatchEvent<KubeObject>, void, undefined> =>
    client.watch(CONFIG_MAPS, { namespace: 'default', resourceVersion: '5', ...more });

  it('asks for what it is told, yields events and ends when the server ends it', async () => {
    const client = await connect();
    const watch = start(client, {
      allowBookmarks: true,
      timeoutSeconds: 300,
      sendInitialEvents: true,
      resourceVersionMatch: 'NotOlderThan',
    });
    const first = watch.next();
    const sent = await server.next();
    expect(sent.path).toBe('/api/v1/namespaces/default/configmaps');
    expect(sent.query).toEqual({
      watch: 'true',
      allowWatchBookmarks: 'true',
      timeoutSeconds: '300',
      sendInitialEvents: 'true',
      resourceVersion: '5',
      resourceVersionMatch: 'NotOlderThan',
    });
    sent.open().send('ADDED', configMap('a', '6'));
    expect((await first).value).toEqual({ type: 'ADDED', object: { apiVersion: 'v1', kind: 'ConfigMap', ...configMap('a', '6') } });
    sent.send('ERROR', failure(410, 'Expired'));
    expect((await watch.next()).value).toMatchObject({ type: 'ERROR', object: { code: 410 } });
    sent.end();
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    expect(clock.timers).toEqual([]);
  });

  it('throws what is no success, and what was cut', async () => {
    const client = await connect();
    const refused = start(client).next();
    (await server.next()).fail(410, 'Expired');
    await expect(refused).rejects.toThrow(StatusError);
    const cut = start(client).next();
    (await server.next()).open().cut();
    await expect(cut).rejects.toMatchObject({ name: 'ConnectionError', message: expect.stringMatching(/was cut: /) });
    const half = start(client).next();
    (await server.next()).open().write('{"type":"ADD').end();
    await expect(half).rejects.toThrow('the watch ended in the middle of an event');
  });

  it('is ended by its signal, and by leaving the loop', async () => {
    const client = await connect();
    const stop = new AbortController();
    const next = start(client, { signal: stop.signal }).next();
    const sent = await server.next();
    sent.open();
    stop.abort();
    await expect(next).rejects.toMatchObject({ name: 'AbortError' });
    await sent.closed;
    const left = start(client);
    const event = left.next();
    const other = await server.next();
    other.open().send('ADDED', configMap('a', '6'));
    await event;
    await left.return();
    await other.closed;
    expect(clock.timers).toEqual([]);
  });

  it('gives up a stream that is silent for too long, and not one whose reader is slow', async () => {
    const client = await connect();
    const watch = start(client, { allowBookmarks: true });
    const first = watch.next();
    const sent = await server.next();
    sent.open().bookmark('6');
    await first;
    await clock.advance(1_000_000);
    const second = watch.next();
    await clock.timerIn(150_000);
    await clock.advance(149_999);
    sent.bookmark('7');
    expect((await second).value).toMatchObject({ object: { metadata: { resourceVersion: '7' } } });
    const third = watch.next();
    await clock.timerIn(150_000);
    const ended = expect(third).rejects.toThrow('was silent for 150000 ms');
    await clock.advance(150_000);
    await ended;
    await sent.closed;
  });

  it('is not kept waiting by requests, however many there are', async () => {
    const client = await connect();
    const gets = Array.from({ length: 100 }, () => client.get(NAMESPACES, 'a'));
    const waiting = await Promise.all(Array.from({ length: 64 }, () => server.next()));
    const watch = start(client).next();
    const sent = await server.next();
    expect(sent.query['watch']).toBe('true');
    sent.open().send('ADDED', configMap('a', '6'));
    await watch;
    server.respond = (exchange) => {
      exchange.answer(200, { metadata: {} });
      return true;
    };
    for (const exchange of waiting) exchange.answer(200, { metadata: {} });
    await Promise.all(gets);
    sent.end();
  });
});
