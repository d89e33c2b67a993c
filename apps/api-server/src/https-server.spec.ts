import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { StatusError } from '@harikube/kube';
import { selfSigned } from '@harikube/platform/self-signed';
import { Connections } from './connections.js';
import type { ApiAnswer, ApiRequest } from './exchange.js';
import { type HttpsServer, startHttpsServer } from './https-server.js';
import { DATA, FrameClient, GOAWAY, HEADERS, PING, WINDOW_UPDATE } from './spec/frame-client.js';
import { KeptLog } from './spec/kept-log.js';

const { cert, key } = selfSigned('localhost');
const pair = { cert: Buffer.from(cert), key: Buffer.from(key) };

let handle: (request: ApiRequest) => Promise<ApiAnswer>;
let connections: Connections;
let server: HttpsServer;
const sessions: ClientHttp2Session[] = [];

const ok = (body: unknown = {}): ApiAnswer => ({ code: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

beforeEach(async () => {
  connections = new Connections();
  handle = async () => ok();
  server = await start();
});

afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await connections.destroy(0);
  await server.close();
});

function start(): Promise<HttpsServer> {
  const pipeline = { handle: (request: ApiRequest) => handle(request) };
  return startHttpsServer({ listen: { host: '127.0.0.1', port: 0 }, pair, authorities: [], pipeline, connections, logger: new KeptLog() });
}

function session(): ClientHttp2Session {
  const opened = connectHttp2(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false });
  opened.on('error', () => undefined);
  sessions.push(opened);
  return opened;
}

async function answerOf(stream: ClientHttp2Stream): Promise<{ code: number; text: string }> {
  const [headers] = (await once(stream, 'response')) as [Record<string, number>];
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return { code: headers[':status'] ?? 0, text: Buffer.concat(parts).toString() };
}

interface Http1Answer {
  readonly code: number;
  readonly connection: string | undefined;
  readonly text: string;
}

function http1(
  options: { method?: string; path?: string; headers?: Record<string, string | string[]> },
  body: string | Buffer = '',
): Promise<Http1Answer> {
  return new Promise((resolve, reject) => {
    const call = httpsRequest({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false, agent: false, ...options }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('end', () =>
        resolve({ code: response.statusCode ?? 0, connection: response.headers.connection, text: Buffer.concat(parts).toString() }),
      );
    });
    // The server may close its side before everything was sent.
    call.on('error', reject);
    call.end(body);
  });
}

describe('the HTTPS server', () => {
  it('hands over path and headers as they came, over both versions', async () => {
    handle = async ({ method, target, headers, peer }) => ok({ method, target, groups: headers.all('x-remote-group'), peer });
    const seen = { method: 'GET', target: '/a%2Fb?c=d', groups: ['a, b', 'c'], peer: null };
    const groups = { 'x-remote-group': ['a, b', 'c'] };
    expect(JSON.parse((await http1({ path: seen.target, headers: groups })).text)).toEqual(seen);
    expect(JSON.parse((await answerOf(session().request({ ':path': seen.target, ...groups }))).text)).toEqual(seen);
  });

  it('leaves the body where it is until somebody wants it, and reads no more than that', async () => {
    handle = async (request) => {
      if (request.target === '/unread') return ok();
      try {
        return ok({ length: (await request.readBody(1000)).length });
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        return { code: error.code, headers: {}, body: error.message };
      }
    };
    const send = (path: string, bytes: number): Promise<{ code: number; text: string }> => {
      const stream = session().request({ ':path': path, ':method': 'POST' });
      // A reset after the answer is no error.
      stream.on('error', () => undefined);
      stream.end(Buffer.alloc(bytes));
      return answerOf(stream);
    };
    expect((await send('/read', 1000)).text).toBe('{"length":1000}');
    expect(await send('/read', 2_000_000)).toEqual({ code: 413, text: 'Request entity too large: limit is 1000' });
    expect((await send('/unread', 2_000_000)).code).toBe(200);
    expect(await http1({ method: 'POST', path: '/read', headers: { 'content-length': '2000' } }, Buffer.alloc(2000))).toMatchObject({
      code: 413,
      connection: 'close',
    });
  });

  it('answers with a Status what the framework refuses', async () => {
    expect(JSON.parse((await http1({ method: 'POST', headers: { 'content-type': 'garbage' } }, '{}')).text)).toMatchObject({
      kind: 'Status',
      code: 415,
    });
    expect(JSON.parse((await http1({ method: 'PURGE' })).text)).toMatchObject({ kind: 'Status', code: 405 });
  });

  it('ends connections after what is under way is answered, and says so before', async () => {
    const isHere = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    handle = async ({ target }) => {
      if (target === '/slow') {
        isHere.resolve();
        await go.promise;
      }
      return ok({ target });
    };
    const client = session();
    const slow = answerOf(client.request({ ':path': '/slow' }));
    await isHere.promise;
    const announced = once(client, 'goaway');
    server.stopListening();
    connections.end();
    expect((await announced).slice(0, 2)).toEqual([0, 2 ** 31 - 1]);
    const refused = new Promise((resolve) => {
      const socket = connectTcp(server.port, '127.0.0.1', () => resolve(null));
      socket.on('error', ({ message }) => resolve(message));
    });
    expect(await refused).toContain('ECONNREFUSED');
    const closed = once(client, 'close');
    let isIdle = false;
    const idle = connections.idle().then(() => (isIdle = true));
    expect([connections.active, isIdle]).toEqual([1, false]);
    go.resolve();
    expect(await slow).toEqual({ code: 200, text: '{"target":"/slow"}' });
    await Promise.all([idle, closed, connections.destroy(4000)]);
    expect(connections.isUsed).toBe(false);
  });

  it('answers what a client sends that reads late that its connection ends', async () => {
    connections = new Connections(1);
    await server.close();
    server = await start();
    const client = await FrameClient.connect(server.port);
    client.request(1);
    await client.until(({ type, stream }) => type === HEADERS && stream === 1);
    connections.end();
    await client.until(({ type, payload }) => type === GOAWAY && payload.readUInt32BE(0) === 2 ** 31 - 1);
    const ping = await client.until(({ type, flags }) => type === PING && flags === 0);
    // It has not answered: for all the server knows it has read nothing yet.
    client.request(3);
    await client.until(({ type, stream }) => type === HEADERS && stream === 3);
    client.request(5);
    client.send(PING, 1, 0, ping.payload);
    await client.until(({ type, stream }) => type === HEADERS && stream === 5);
    await client.until(({ type, payload }) => type === GOAWAY && payload.readUInt32BE(0) === 5);
    client.close();
  });

  it('says between two frames of an answer that the connection ends, and sends it whole', async () => {
    const bytes = 4_000_000;
    handle = async () => ({ code: 200, headers: {}, body: 'x'.repeat(bytes) });
    const client = await FrameClient.connect(server.port);
    const window = Buffer.from([0x3f, 0, 0, 0]);
    client.send(WINDOW_UPDATE, 0, 0, window);
    client.request(1);
    client.send(WINDOW_UPDATE, 0, 1, window);
    let received = (await client.until(({ type }) => type === DATA)).payload.length;
    connections.end();
    let announcements = 0;
    await client.until(({ type, flags, payload }) => {
      if (type === DATA) received += payload.length;
      if (type === GOAWAY) announcements++;
      return type === DATA && flags === 1;
    });
    expect([received, announcements]).toEqual([bytes, 1]);
    client.close();
  });

  it('renews connections when other authorities hold: the ones that are there end, and new ones are taken', async () => {
    const client = session();
    expect((await answerOf(client.request({ ':path': '/' }))).code).toBe(200);
    const closed = once(client, 'close');
    server.useTls(pair, []);
    connections.renew();
    await closed;
    expect((await answerOf(session().request({ ':path': '/' }))).code).toBe(200);
  });

  it('lets an unknown caller have one answer on a connection', async () => {
    handle = async () => ({ code: 401, headers: {}, body: '', endsConnection: true });
    expect((await http1({})).connection).toBe('close');
    const client = session();
    const closed = once(client, 'close');
    expect((await answerOf(client.request({ ':path': '/' }))).code).toBe(401);
    await closed;
  });

  it('tells who works on a request that its client is gone', async () => {
    const isHere = Promise.withResolvers<AbortSignal>();
    handle = ({ signal }) => {
      isHere.resolve(signal);
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve(ok()), { once: true }));
    };
    const client = session();
    client.request({ ':path': '/' }).on('error', () => undefined);
    const signal = await isHere.promise;
    client.destroy();
    if (!signal.aborted) await once(signal, 'abort');
    await connections.idle();
    expect(connections.active).toBe(0);
  });
});
