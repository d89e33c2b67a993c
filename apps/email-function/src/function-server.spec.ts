import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { FakeClock } from '@harikube/kube/fake-clock';
import { createLogger, Registry } from '@harikube/platform';
import type { FunctionAnswer } from './email-handler.js';
import { FunctionMetrics } from './function-metrics.js';
import { type FunctionServer, startFunctionServer, type WatchdogSettings } from './function-server.js';

const ANSWER: FunctionAnswer = { code: 200, body: { message: 'sent' } };
let folder: string;
let lockFile: string;
let clock: FakeClock;
let registry: Registry;
let log: string;
let server: FunctionServer | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-function-'));
  lockFile = join(folder, '.lock');
  clock = new FakeClock();
  registry = new Registry();
  log = '';
  server = null;
});

afterEach(async () => {
  await server?.close();
  rmSync(folder, { recursive: true });
});

type Invoke = (body: Uint8Array) => Promise<FunctionAnswer>;

async function start(invoke: Invoke = async () => ANSWER, more: Partial<WatchdogSettings> = {}): Promise<FunctionServer> {
  const settings: WatchdogSettings = {
    listen: { host: '127.0.0.1', port: 0 },
    readTimeoutMs: 30_000,
    writeTimeoutMs: 30_000,
    healthcheckIntervalMs: 0,
    maxInFlight: 0,
    lockFile,
    ...more,
  };
  const logger = createLogger({ format: 'json', debug: false, destination: { write: (text) => (log += text) } });
  server = await startFunctionServer({ settings, invoke, metrics: new FunctionMetrics(registry), clock, logger });
  return server;
}

/** A function that is at work until it is told to end. */
function held(): { readonly invoke: Invoke; readonly arrived: Promise<void>; readonly release: () => void } {
  const arrived = Promise.withResolvers<void>();
  const done = Promise.withResolvers<FunctionAnswer>();
  const invoke: Invoke = () => {
    arrived.resolve();
    return done.promise;
  };
  return { invoke, arrived: arrived.promise, release: () => done.resolve(ANSWER) };
}

interface Reply {
  readonly code: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

function ask(
  path: string,
  { method = 'POST', body = '{}', headers = {} }: { method?: string; body?: string; headers?: object } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: server?.port, path, method, headers: { ...headers }, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ code: response.statusCode ?? 0, text, headers: response.headers }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(method === 'POST' ? body : undefined);
  });
}

const probe = async (path: string): Promise<number> => (await ask(path, { method: 'GET' })).code;

describe('the function’s server', () => {
  it('hands the body of a POST on any path to the function, and says how long it took', async () => {
    const bodies: string[] = [];
    await start(async (body) => {
      bodies.push(Buffer.from(body).toString());
      clock.stop(1250);
      return { code: 422, body: { message: 'no', to: 'jane@shop.example' } };
    });
    const { code, text, headers } = await ask('/function/email?a=b', { body: '{"a":"ö"}' });
    expect([code, JSON.parse(text)]).toEqual([422, { message: 'no', to: 'jane@shop.example' }]);
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'x-duration-seconds': '1.250000' });
    await ask('/');
    expect(bodies).toEqual(['{"a":"ö"}', '{}']);
  });

  it('says when to come again', async () => {
    await start(async () => ({ code: 503, body: { message: 'later' }, retryAfterSeconds: 5 }));
    expect((await ask('/')).headers['retry-after']).toBe('5');
  });

  it('takes nothing but POST', async () => {
    await start();
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const { code, headers } = await ask('/', { method });
      expect([code, headers['allow']]).toEqual([405, 'POST']);
    }
  });

  it('takes a body of up to one mebibyte, as it is', async () => {
    await start();
    const body = ' '.repeat(1024 * 1024);
    expect((await ask('/', { body })).code).toBe(200);
    expect((await ask('/', { body: `${body} ` })).code).toBe(413);
    expect((await ask('/', { body: `${body} `, headers: { 'transfer-encoding': 'chunked' } })).code).toBe(413);
    expect((await ask('/', { headers: { 'content-encoding': 'gzip' } })).code).toBe(415);
  });

  it('is alive and ready while its lock file is there', async () => {
    await start();
    expect([await probe('/_/health'), await probe('/_/ready'), existsSync(lockFile)]).toEqual([200, 200, true]);
    expect((await ask('/_/health')).code).toBe(405);
    rmSync(lockFile);
    expect([await probe('/_/health'), await probe('/_/ready')]).toEqual([503, 503]);
  });

  it('does without the lock file when told', async () => {
    await start(undefined, { lockFile: null });
    expect([await probe('/_/health'), existsSync(lockFile)]).toEqual([200, false]);
  });

  it('does not start without the lock file that it is to write, or on a port that is in use', async () => {
    await expect(start(undefined, { lockFile: join(folder, 'absent', '.lock') })).rejects.toThrow(
      /lock file cannot be written.*suppress_lock/,
    );
    const { port } = await start();
    await expect(start(undefined, { listen: { host: '127.0.0.1', port } })).rejects.toThrow('the port is in use');
  });

  it('answers 429 beyond its limit, and says so when it is asked whether it is ready', async () => {
    const { invoke, arrived, release } = held();
    await start(invoke, { maxInFlight: 1 });
    const first = ask('/');
    await arrived;
    const { code, headers } = await ask('/');
    expect([code, headers['retry-after'], await probe('/_/ready'), await probe('/_/health')]).toEqual([429, '1', 429, 200]);
    release();
    expect((await first).code).toBe(200);
  });

  it('ends the connection of an answer that takes too long', async () => {
    const { invoke, arrived, release } = held();
    await start(invoke, { writeTimeoutMs: 10_000 });
    const answer = ask('/');
    await arrived;
    await clock.advance(10_000);
    await expect(answer).rejects.toThrow(/socket hang up|ECONNRESET/);
    release();
  });

  it('lets the function end its work when the caller goes', async () => {
    const { invoke, arrived, release } = held();
    await start(invoke);
    const socket = connect(server?.port ?? 0, '127.0.0.1');
    socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}');
    await arrived;
    socket.destroy();
    await once(socket, 'close');
    release();
    expect((await ask('/')).code).toBe(200);
  });

  it('takes a body that ends too soon for none', async () => {
    const calls: number[] = [];
    await start(async () => {
      calls.push(1);
      return ANSWER;
    });
    const socket = connect(server?.port ?? 0, '127.0.0.1');
    socket.resume();
    socket.end('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{}');
    await once(socket, 'close');
    await ask('/');
    expect(calls).toEqual([1]);
  });

  it('ends in order: unready at once, answers until nobody sends any more, then what is under way', async () => {
    const { invoke, arrived, release } = held();
    const late = Promise.withResolvers<void>();
    const running = await start(
      (body) => {
        if (Buffer.from(body).toString() === 'late') late.resolve();
        return invoke(body);
      },
      { healthcheckIntervalMs: 5000 },
    );
    const first = ask('/');
    await arrived;
    const closed = running.close();
    await clock.timerIn(5000);
    expect([await probe('/_/ready'), await probe('/_/health'), existsSync(lockFile)]).toEqual([503, 503, false]);
    const second = ask('/', { body: 'late' });
    await late.promise;
    await clock.advance(5000);
    release();
    expect([(await first).code, (await second).code]).toEqual([200, 200]);
    await closed;
    server = null;
    await expect(ask('/')).rejects.toThrow();
  });

  it('waits at its end no longer than an answer may take', async () => {
    const { invoke, arrived, release } = held();
    const running = await start(invoke, { writeTimeoutMs: 7000 });
    const lost = ask('/').catch((error: unknown) => error);
    await arrived;
    await clock.advance(1000);
    const closed = running.close();
    await clock.timerIn(7000);
    await clock.advance(7000);
    await closed;
    expect(String(await lost)).toMatch(/hang up|ECONNRESET/);
    release();
    server = null;
  });

  it('answers 500 when the function fails, and shows nothing of the mail', async () => {
    await start(() => Promise.reject(new TypeError('cannot read jane@shop.example')));
    const { code, text } = await ask('/');
    expect(code).toBe(500);
    expect(text + log).not.toContain('jane@');
    expect(log).toMatch(/"error":"TypeError","at":\["at /);
  });

  it('counts and times requests by code and method', async () => {
    await start();
    await ask('/');
    await ask('/', { method: 'GET' });
    await ask('/', { method: 'PROPFIND' });
    await probe('/_/health');
    const text = await registry.metrics();
    expect(text).toContain('http_requests_total{code="200",method="POST"} 1');
    expect(text).toContain('http_requests_total{code="405",method="GET"} 1');
    expect(text).toContain('http_requests_total{code="405",method="other"} 1');
    expect(text).toContain('http_request_duration_seconds_count{code="200",method="POST"} 1');
    expect(text).toContain('http_requests_in_flight 0');
  });
});
