import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TENANTS } from '@harikube/crds';
import { createLogger, Registry, TlsFiles } from '@harikube/platform';
import { type Pem, selfSigned } from '@harikube/platform/self-signed';
import { type Admission, AdmissionHandler } from './admission-handler.js';
import { AdmissionMetrics } from './admission-metrics.js';
import { ALLOWED, type Verdict } from './admission-review.js';
import { type AdmissionServer, startAdmissionServer } from './admission-server.js';
import { reviewBody } from './spec/review.js';

const PATH = '/mutate-product-webshop-harikube-info-v1-tenant?timeout=10s';
let log: string;
const logger = createLogger({ format: 'plain', debug: false, destination: { write: (text) => (log += text) } });

let folder: string;
let tls: TlsFiles;
let server: AdmissionServer;
let agent: Agent;
let judge: () => Promise<Verdict> | Verdict;

function write({ cert, key }: Pem): void {
  writeFileSync(join(folder, 'tls.crt'), cert);
  writeFileSync(join(folder, 'tls.key'), key);
}

interface Reply {
  readonly status: number;
  readonly text: string;
  readonly local: number | undefined;
}

function post(path: string, body: string | Buffer, options: { readonly method?: string; readonly type?: string } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port: server.port,
        path,
        method: options.method ?? 'POST',
        headers: { 'content-type': options.type ?? 'application/json', 'content-length': Buffer.byteLength(body) },
        agent,
      },
      (response) => {
        const local = response.socket.localPort;
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text, local }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

function servedName(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.end();
    });
    socket.on('error', reject);
  });
}

const tenant = (metadata: object = {}): string => reviewBody({ kind: 'Tenant', object: { metadata } });

beforeEach(async () => {
  log = '';
  folder = mkdtempSync(join(tmpdir(), 'harikube-admission-'));
  write(selfSigned('one'));
  tls = TlsFiles.load({ folder, logger });
  judge = () => ALLOWED;
  const admission: Admission = { mutate: () => judge(), validate: () => ALLOWED };
  const handler = new AdmissionHandler({ admissions: [[TENANTS, admission]], metrics: new AdmissionMetrics(new Registry()), logger });
  server = await startAdmissionServer({ listen: { host: '127.0.0.1', port: 0 }, tls, handler, logger });
  agent = new Agent({ keepAlive: true, rejectUnauthorized: false, maxSockets: 1 });
});

afterEach(async () => {
  agent.destroy();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('startAdmissionServer', () => {
  it('answers with HTTP 200 whatever it says, on one connection', async () => {
    const one = await post(PATH, tenant());
    const other = await post(PATH, 'no JSON');
    expect([one.status, JSON.parse(one.text)]).toEqual([200, expect.objectContaining({ response: { uid: 'uid-1', allowed: true } })]);
    expect([other.status, JSON.parse(other.text)]).toEqual([200, expect.objectContaining({ kind: 'AdmissionReview' })]);
    expect(other.local).toBe(one.local);
  });

  it('has nothing else to say', async () => {
    expect((await post('/mutate-other', tenant())).status).toBe(404);
    expect((await post('/', tenant())).status).toBe(404);
    expect((await post(PATH, '', { method: 'GET' })).status).toBe(404);
  });

  it('reads a body of 7 MiB, and refuses one above 8 MiB without waiting for all of it', async () => {
    const long = await post(PATH, tenant({ annotations: { long: 'x'.repeat(7 * 1024 * 1024) } }));
    expect(JSON.parse(long.text)).toMatchObject({ response: { allowed: true } });
    const tooLong = await post(PATH, 'x'.repeat(9 * 1024 * 1024)).catch((error: unknown) => error);
    // It may still be writing when the connection ends.
    if (!(tooLong instanceof Error)) expect(tooLong).toMatchObject({ status: 200, text: expect.stringContaining('"code":413') });
    expect((await post(PATH, tenant())).status).toBe(200);
  });

  it('stays alive when judging fails', async () => {
    judge = () => {
      throw new Error('broken');
    };
    expect((await post(PATH, tenant())).text).toContain('"code":500');
    judge = () => ALLOWED;
    expect((await post(PATH, tenant())).text).toContain('"allowed":true');
  });

  it('takes a client that leaves in the middle for what it is', async () => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const head = `POST ${PATH} HTTP/1.1\r\nhost: webhook\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{`;
    await new Promise((resolve) => socket.write(head, resolve));
    socket.destroy();
    await once(socket, 'close');
    expect((await post(PATH, tenant())).text).toContain('"allowed":true');
    expect(log).not.toContain('ERROR');
  });

  it('shows a replaced certificate to the next connection and goes on with the open ones', async () => {
    const before = await post(PATH, tenant());
    expect(await servedName()).toBe('one');
    write(selfSigned('two'));
    tls.check();
    expect(await servedName()).toBe('two');
    expect((await post(PATH, tenant())).local).toBe(before.local);
    writeFileSync(join(folder, 'tls.key'), 'broken');
    tls.check();
    expect(await servedName()).toBe('two');
  });

  it('answers what was asked before it ends', async () => {
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    const begun = Promise.withResolvers<void>();
    judge = () => {
      begun.resolve();
      return promise;
    };
    const reply = post(PATH, tenant());
    await begun.promise;
    const closed = server.close();
    expect(server.isListening).toBe(false);
    resolve(ALLOWED);
    expect((await reply).text).toContain('"allowed":true');
    await closed;
    await expect(post(PATH, tenant())).rejects.toThrow();
  });

  it('does not wait for connections on which nothing is asked', async () => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.resume();
    const ended = once(socket, 'close');
    await server.close();
    await ended;
  });

  it('says in a sentence why it cannot listen', async () => {
    const handler = new AdmissionHandler({ admissions: [], metrics: new AdmissionMetrics(new Registry()), logger });
    const second = startAdmissionServer({ listen: { host: '127.0.0.1', port: server.port }, tls, handler, logger });
    await expect(second).rejects.toThrow(
      `cannot serve the admission webhook on 127.0.0.1:${server.port}: the port is in use; choose another address`,
    );
  });
});
