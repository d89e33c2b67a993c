import { once } from 'node:events';
import { get, request as http1Request, type IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { UnavailableError } from '@harikube/keyspace';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EtcdServer } from '../etcd-server.js';
import { MemoryStore } from '../spec/memory-store.js';

let store: MemoryStore;
let server: EtcdServer;
let url: string;

beforeEach(async () => {
  store = new MemoryStore();
  server = new EtcdServer(store, { addresses: ['127.0.0.1:0'] });
  await server.start();
  url = server.addresses[0] ?? '';
});

afterEach(() => server.close());

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

async function overHttp1(path: string, method = 'GET'): Promise<Page> {
  const sent = http1Request(`${url}${path}`, { method, agent: false });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const body = (await response.toArray()).join('');
  return { status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body };
}

async function overHttp2(path: string, method = 'GET'): Promise<Page> {
  const session = connectHttp2(url);
  const stream = session.request({ ':path': path, ':method': method });
  const [headers] = (await once(stream, 'response')) as [Record<string, string | number>];
  const body = (await stream.toArray()).join('');
  session.destroy();
  return { status: Number(headers[':status']), type: String(headers['content-type']), body };
}

describe.each([
  ['HTTP/1.1', overHttp1],
  ['HTTP/2', overHttp2],
])('over %s', (_name, ask) => {
  it('the server tells that it is healthy', async () => {
    expect(await ask('/health')).toMatchObject({ status: 200, body: '{"health":"true","reason":""}' });
    expect(await ask('/health?serializable=true')).toMatchObject({ status: 200 });
  });

  it('the server tells why it is not', async () => {
    store.rangeAnswer = () => Promise.reject(new UnavailableError('main', 'the disk is gone'));
    const { status, body } = await ask('/health');
    expect([status, JSON.parse(body)]).toEqual([
      503,
      { health: 'false', reason: 'RANGE ERROR:etcdserver: backend "main" is unavailable: the disk is gone' },
    ]);
    server.health.setServing(false);
    expect(JSON.parse((await ask('/health')).body)).toEqual({ health: 'false', reason: 'RAFT NO LEADER' });
  });

  it('the server tells its version', async () => {
    expect(await ask('/version')).toEqual({
      status: 200,
      type: 'application/json',
      body: '{"etcdserver":"3.6.8","etcdcluster":"3.6.0","storage":"3.6.0"}',
    });
  });

  it('another method than GET is refused', async () => {
    expect(await ask('/health', 'POST')).toMatchObject({ status: 405, body: 'Method Not Allowed\n' });
  });
});

describe('over HTTP/1.1', () => {
  it('there is nothing else', async () => {
    expect(await overHttp1('/v3/kv/range', 'POST')).toMatchObject({ status: 404, body: '404 page not found\n' });
    expect(await overHttp1('/toString')).toMatchObject({ status: 404 });
  });

  it('a request may come in pieces', async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    for (const piece of ['GET ', '/health HT', 'TP/1.1\r\nHost: x\r\n', '\r\n'])
      await new Promise((resolve) => socket.write(piece, resolve));
    const answer = (await socket.toArray()).join('');
    expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(answer).toMatch(/\r\nconnection: close\r\n\r\n{"health":"true","reason":""}$/);
  });

  it.each([
    ['without end', `GET /health HTTP/1.1\r\nx: ${'x'.repeat(9000)}`],
    ['of no version', 'GET /health\r\n\r\n'],
  ])('a head %s is refused', async (_name, bytes) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(bytes);
    expect((await socket.toArray()).join('')).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
  });

  it('many at once leave nothing open', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const [response] = (await once(get(`${url}/version`, { agent: false }), 'response')) as [IncomingMessage];
        await response.toArray();
        return response.statusCode;
      }),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});
