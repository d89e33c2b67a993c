import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ConfigError } from './flags.js';
import { RouterAdminClient, type RouterAdminClientOptions, RouterAdminError } from './router-admin-client.js';
import { selfSigned } from './spec/self-signed.js';

interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly authorization: string | undefined;
  readonly body: string;
}

const STATE = { version: 'abc', source: null, sourceVersion: null, inForceSince: '2026-01-01T00:00:00Z', document: '', backends: [] };

let folder: string;
let tokenFile: string;
let server: Server | null;
let seen: Seen[];

function respond(status: number, body: unknown): (request: IncomingMessage, response: ServerResponse) => void {
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
}

function recorded(listener: RequestListener): RequestListener {
  return (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method, url, headers } = request;
      seen.push({ method, url, authorization: headers.authorization, body: Buffer.concat(chunks).toString() });
      listener(request, response);
    });
  };
}

async function listening(started: Server): Promise<number> {
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  const address = started.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

async function client(listener: RequestListener, options: Partial<RouterAdminClientOptions> = {}): Promise<RouterAdminClient> {
  const port = await listening(createServer(recorded(listener)));
  return new RouterAdminClient({ url: `http://127.0.0.1:${port}`, tokenFile, ...options });
}

async function failure(call: Promise<unknown>): Promise<RouterAdminError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof RouterAdminError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-admin-'));
  tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'first\n');
  server = null;
  seen = [];
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  const running = server;
  if (running === null) return;
  running.closeAllConnections();
  await new Promise((resolve) => running.close(resolve));
});

describe('RouterAdminClient', () => {
  it('asks for what is in force, with the token that its file holds at that moment', async () => {
    const admin = await client(respond(200, STATE));
    expect(await admin.topology()).toEqual(STATE);
    writeFileSync(tokenFile, 'second');
    await admin.topology();
    expect(seen.map(({ method, url, authorization }) => [method, url, authorization])).toEqual([
      ['GET', '/v1/topology', 'Bearer first'],
      ['GET', '/v1/topology', 'Bearer second'],
    ]);
  });

  it('sends documents, subjects and confirmations', async () => {
    const answer = { changes: [], moves: [], problems: [], check: [], placements: [], backend: 'user', keys: 7 };
    const admin = await client(respond(200, answer));
    await admin.plan([{ name: 'a.yaml', text: 'backends: []' }]);
    await admin.explain('/registry/pods/ä b');
    expect(await admin.abandon({ backend: 'user', confirm: 7 })).toMatchObject({ backend: 'user', keys: 7 });
    expect(seen.map(({ method, url, body }) => [method, url, body])).toEqual([
      ['POST', '/v1/topology/plan', '{"documents":[{"name":"a.yaml","text":"backends: []"}]}'],
      ['GET', '/v1/topology/explain?subject=%2Fregistry%2Fpods%2F%C3%A4%20b', ''],
      ['POST', '/v1/topology/abandon', '{"backend":"user","confirm":7}'],
    ]);
  });

  it('shows its certificate to a router that trusts it, and trusts the authority of its file alone', async () => {
    const [own, caller] = [selfSigned('localhost'), selfSigned('operator')];
    let shown = '';
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      shown = String((request.socket as TLSSocket).getPeerCertificate().subject.CN);
      respond(200, STATE)(request, response);
    };
    const port = await listening(createHttpsServer({ ...own, ca: caller.cert, requestCert: true }, listener));
    const files = { ca: own.cert, cert: caller.cert, key: caller.key };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const [caFile, certFile, keyFile] = ['ca', 'cert', 'key'].map((name) => join(folder, name));
    const url = `https://localhost:${port}`;
    expect(await new RouterAdminClient({ url, caFile, certFile, keyFile }).topology()).toEqual(STATE);
    expect(shown).toBe('operator');
    const stranger = new RouterAdminClient({ url, tokenFile });
    expect((await failure(stranger.topology())).message).toBe(
      `the router's admin API at ${url} cannot be reached: its certificate is not trusted; give the file of its certificate authority`,
    );
  });

  it("passes on the router's own sentence when it refuses", async () => {
    const error = await failure((await client(respond(409, { message: 'backend "user" holds 8 keys' }))).topology());
    expect([error.message, error.status, error.isUnavailable, error.exitCode]).toEqual(['backend "user" holds 8 keys', 409, false, 1]);
  });

  it('says that somebody else answers', async () => {
    const page = await client(respond(404, '<html>'));
    expect((await failure(page.topology())).message).toBe(
      `${page.address}/v1/topology answered 404, not as a router's admin API does; check the address`,
    );
    await new Promise((resolve) => server?.close(resolve));
    const other = await client(respond(200, { hello: 'world' }));
    expect((await failure(other.topology())).message).toBe(
      `${other.address} does not answer as a router's admin API does; check the address`,
    );
  });

  it('gives up after its time', async () => {
    const admin = await client(() => undefined, { timeoutMs: 50 });
    const error = await failure(admin.topology());
    expect(error.message).toBe(`the router's admin API at ${admin.address} cannot be reached: no answer within 0.05 seconds`);
    expect([error.status, error.isUnavailable]).toEqual([null, true]);
  });

  it('gives up an answer that stops half way', async () => {
    const admin = await client((_, response) => {
      response.write('{"version"');
      setImmediate(() => response.destroy());
    });
    expect((await failure(admin.topology())).message).toContain('cannot be reached: aborted');
  });

  it('ends with the reason of a signal', async () => {
    const stop = new AbortController();
    const reason = new Error('shutting down');
    const admin = await client(() => stop.abort(reason));
    await expect(admin.topology(stop.signal)).rejects.toBe(reason);
    await expect(admin.topology(stop.signal)).rejects.toBe(reason);
  });

  it('says that nothing listens', async () => {
    const admin = await client(respond(200, STATE));
    const { address } = admin;
    await new Promise((resolve) => server?.close(resolve));
    server = null;
    expect((await failure(admin.topology())).message).toBe(`the router's admin API at ${address} cannot be reached: nothing listens there`);
  });

  it('names the file that it cannot read', async () => {
    rmSync(tokenFile);
    const error = await failure((await client(respond(200, STATE))).topology());
    expect(error.message).toBe(`the token for the admin API cannot be read from ${tokenFile}: there is no such file`);
    expect(seen).toEqual([]);
  });

  it.each([
    [{ url: 'router:2381' }, '"router:2381" is not the address of an admin API; write https://HOST:PORT'],
    [{ url: 'https://me:secret@router:1' }, 'the address of the admin API at router:1 carries credentials; put the token into a file'],
    [{ url: 'http://router:1' }, 'http://router:1 would carry the token without encryption beyond this machine; write https://'],
    [
      { url: 'http://[::1]:1', caFile: 'ca' },
      'http://[::1]:1 is plain although a certificate is given; write https://, or leave the certificate out',
    ],
    [
      { url: 'https://router:1', certFile: 'cert' },
      'a client certificate and its key belong together; give both files for https://router:1, or none',
    ],
    [
      { url: 'https://router:1', tokenFile: undefined },
      'the admin API at https://router:1 asks who is calling; give a token file, or a client certificate and its key',
    ],
  ])('refuses settings that cannot be used: %j', (options: { url: string }, reason) => {
    const make = (): unknown => new RouterAdminClient({ tokenFile, ...options });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(reason);
  });
});
