import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BackendReport,
  type Topology,
  type TopologyPlan,
  topologyVersion,
  UnknownBackendError,
  parseTopology,
} from '@harikube/datasources';
import { createLogger, RouterAdminClient, RouterAdminError, type RouterAdminClientOptions } from '@harikube/platform';
import { type Pem, selfSigned } from '@harikube/platform/self-signed';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type AdminApi, startAdminApi } from './admin-api.js';
import { TopologyAdmin, type TopologyAdminOptions } from './topology-admin.js';
import type { AdminConfig } from '../router.config.js';

const TEXT = `backends:
- name: user
  endpoint: sqlite:///data/user.db?password=secret
  customresource: {group: shop.example.com, kind: users}
`;
const PLAIN = TEXT.replace('?password=secret', '');

/** A manager and a loop whose answers a spec decides. */
class FakeStore {
  topology = parseTopology(PLAIN, 'topology.yaml');
  version = 'v1';
  sourceVersion: string | null = 'v2';
  inForceSince = new Date('2026-01-01T00:00:00Z');
  failure: TopologyAdminOptions['reloader']['failure'] = null;
  reports: BackendReport[] = [
    { name: 'user', endpoint: 'sqlite:///data/user.db', isReady: true, problem: '', keys: 8, bytes: 100 },
    { name: 'main', endpoint: 'sqlite:///data/main.db', isReady: true, problem: '', keys: 1, bytes: 10 },
  ];
  answer: TopologyPlan = { changes: [], moves: [], problems: [] };
  failing: Error | null = null;
  planned: Topology[] = [];
  abandoned: string[] = [];
  retries = 0;

  async plan(topology: Topology): Promise<TopologyPlan> {
    this.planned.push(topology);
    if (this.failing !== null) throw this.failing;
    return this.answer;
  }

  async abandon(backend: string): Promise<number> {
    if (!this.reports.some(({ name }) => name === backend)) throw new UnknownBackendError(`there is no backend "${backend}"`);
    this.abandoned.push(backend);
    return 8;
  }

  async backends(): Promise<BackendReport[]> {
    return this.reports;
  }

  retry(): void {
    this.retries++;
  }
}

let folder: string;
let store: FakeStore;
let api: AdminApi | null;
let log: string;
const logger = createLogger({ format: 'plain', debug: false, destination: { write: (text) => (log += text) } });

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

async function serve(config: Partial<AdminConfig>): Promise<AdminApi> {
  const admin = new TopologyAdmin({
    manager: store,
    reloader: store,
    sourceName: '/etc/topology.yaml',
    parse: { directory: '/data' },
    logger,
  });
  const listen = { host: '127.0.0.1', port: 0 };
  api = await startAdminApi({ config: { listen, tokenFile: null, tls: null, ...config }, admin, logger });
  return api;
}

/** Serves it plain, to a token. */
async function served(): Promise<{ readonly client: RouterAdminClient; readonly url: string; readonly tokenFile: string }> {
  const tokenFile = file('token', 'open sesame\n');
  const { port } = await serve({ tokenFile });
  const url = `http://127.0.0.1:${port}`;
  return { url, tokenFile, client: new RouterAdminClient({ url, tokenFile }) };
}

async function refusal(call: Promise<unknown>): Promise<[number | null, string]> {
  try {
    await call;
  } catch (error) {
    if (error instanceof RouterAdminError) return [error.status, error.message];
    throw error;
  }
  throw new Error('it was not refused');
}

function tlsFiles(name: string, { cert, key }: Pem): { readonly certFile: string; readonly keyFile: string } {
  return { certFile: file(`${name}.crt`, cert), keyFile: file(`${name}.key`, key) };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-admin-'));
  store = new FakeStore();
  api = null;
  log = '';
});

afterEach(async () => {
  await api?.close();
  rmSync(folder, { recursive: true });
});

describe('the admin API', () => {
  it('tells what is in force, where it comes from, and what is wrong', async () => {
    const { client } = await served();
    store.topology = parseTopology(TEXT.replace('sqlite:///data/user.db?password=secret', 'sqlite:///data/user.db'), 'topology.yaml');
    const state = {
      version: 'v1',
      source: '/etc/topology.yaml',
      sourceVersion: 'v2',
      inForceSince: '2026-01-01T00:00:00.000Z',
      document:
        'backends:\n  - name: user\n    endpoint: sqlite:///data/user.db\n    customresource:\n      group: shop.example.com\n      kind: users\n',
      backends: store.reports,
    };
    expect(await client.topology()).toEqual(state);
    store.failure = { time: '2026-01-02T00:00:00Z', message: 'no', version: 'v2', moves: [] };
    expect(await client.topology()).toEqual({ ...state, error: store.failure });
  });

  it('plans the topology that documents make together, certificates left out', async () => {
    const { client } = await served();
    const move = { from: 'main', to: 'user', keys: 3, bytes: 9, example: '/registry/shop.example.com/users/a' };
    store.answer = { changes: [{ kind: 'add', backend: 'user', detail: 'd' }], moves: [move], problems: ['p'] };
    const documents = [
      { name: '2.yaml', text: PLAIN },
      { name: '1.yaml', text: 'backends: []' },
      { name: 'ca.crt', text: '-----BEGIN CERTIFICATE-----\n' },
    ];
    expect(await client.plan(documents)).toEqual({ version: topologyVersion(documents), check: [], ...store.answer });
    expect(store.planned[0]?.registeredNames()).toEqual(['user', 'main']);
  });

  it('names document and line of what is wrong with a text, and plans nothing', async () => {
    const { client, url } = await served();
    const { check, changes } = await client.plan([{ name: '1.yaml', text: 'backends:\n- name: user\n' }]);
    expect(check.map(({ file: name, line, message }) => [name, line, message])).toEqual([
      ['1.yaml', 2, 'no matcher: give exactly one of customresource, namespace, prefix, regexp'],
      ['1.yaml', 2, '"endpoint" is missing'],
    ]);
    expect(changes).toEqual([]);
    const response = await fetch(`${url}/v1/topology/plan`, {
      method: 'POST',
      headers: { authorization: 'Bearer open sesame', 'content-type': 'application/yaml' },
      body: `${PLAIN}---\nbackends: 1\n`,
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ check: [{ file: 'document 2', line: 6 }] });
    expect(store.planned).toEqual([]);
  });

  it('explains where a key lives', async () => {
    const { client } = await served();
    const explanation = await client.explain('/registry/shop.example.com/users/ns/a');
    expect(explanation.placements.map(({ backend, endpoint }) => [backend, endpoint])).toEqual([['user', 'sqlite:///data/user.db']]);
    expect(await refusal(client.explain('No Kind'))).toEqual([400, expect.stringContaining('"No Kind" is neither a key nor a resource')]);
    expect(await refusal(client.explain(''))).toEqual([400, expect.stringContaining('"subject" is missing')]);
  });

  it('gives up what is in a backend only for who knows how many keys that are', async () => {
    const { client } = await served();
    expect(await refusal(client.abandon({ backend: 'user', confirm: 7 }))).toEqual([
      409,
      'backend "user" holds 8 keys, and 7 was confirmed; confirm 8 to give them up',
    ]);
    expect(store.abandoned).toEqual([]);
    expect(await client.abandon({ backend: 'user', confirm: 8 })).toEqual({ backend: 'user', keys: 8 });
    expect([store.abandoned, store.retries]).toEqual([['user'], 1]);
    expect(log).toContain('the keys of a backend are given up; its rule may go backend=user keys=8');
    expect(await refusal(client.abandon({ backend: 'none', confirm: 0 }))).toEqual([400, 'there is no backend "none"']);
  });

  it('gives up a lost database for who says that its keys cannot be counted', async () => {
    const { client } = await served();
    store.reports = store.reports.map((report) => ({ ...report, keys: null }));
    expect(await refusal(client.abandon({ backend: 'user', confirm: 8 }))).toEqual([
      409,
      'backend "user" cannot be asked how many keys it holds, and 8 was confirmed; confirm null to give up whatever they are',
    ]);
    expect(await client.abandon({ backend: 'user', confirm: null })).toEqual({ backend: 'user', keys: 8 });
  });

  it('says nothing of an error that nobody expected but in the log', async () => {
    const { client } = await served();
    store.failing = new Error('password=secret');
    expect(await refusal(client.plan([{ name: '', text: PLAIN }]))).toEqual([500, 'the router could not answer; its log says why']);
    expect(log).toContain('a request to the admin API failed');
  });

  it('asks for its token, which may be replaced at any time', async () => {
    const { url, tokenFile, client } = await served();
    const wrong = new RouterAdminClient({ url, tokenFile: file('wrong', 'open sesam') });
    expect(await refusal(wrong.topology())).toEqual([401, 'the bearer token is not the one of the admin API']);
    const anonymous = await fetch(`${url}/v1/topology`);
    expect([anonymous.status, anonymous.headers.get('www-authenticate'), await anonymous.json()]).toEqual([
      401,
      'Bearer',
      { message: 'the admin API asks who is calling; show the bearer token' },
    ]);
    writeFileSync(tokenFile, 'open sesam');
    expect((await wrong.topology()).version).toBe('v1');
    rmSync(tokenFile);
    expect(await refusal(wrong.topology())).toEqual([503, 'the token of the admin API cannot be read at this time']);
    expect(await refusal(wrong.topology())).toEqual([503, 'the token of the admin API cannot be read at this time']);
    expect(log.split('\n').filter((line) => line.includes(' ERROR '))).toHaveLength(1);
    writeFileSync(tokenFile, 'other');
    expect((await client.topology()).version).toBe('v1');
  });

  it('takes no body of more than 1 MiB, and none of somebody who shows no token', async () => {
    const { client, url } = await served();
    const text = '#'.repeat(1024 * 1024);
    expect(await refusal(client.plan([{ name: '', text }]))).toEqual([413, 'the body is longer than 1048576 bytes']);
    const response = await fetch(`${url}/v1/topology/plan`, { method: 'POST', body: text.slice(1) });
    expect(response.status).toBe(401);
    expect((await client.topology()).version).toBe('v1');
  });

  it('answers in JSON where there is nothing', async () => {
    const { url } = await served();
    const response = await fetch(`${url}/v2`, { headers: { authorization: 'Bearer open sesame' } });
    expect([response.status, await response.json()]).toEqual([404, { message: 'Cannot GET /v2' }]);
    expect(response.headers.has('x-powered-by')).toBe(false);
  });

  it('does not start without its token, nor on an address that is taken', async () => {
    await expect(serve({ tokenFile: join(folder, 'absent') })).rejects.toThrow(
      `--admin-token-file=${join(folder, 'absent')} cannot be read: there is no such file`,
    );
    await expect(serve({ tokenFile: file('empty', '\n') })).rejects.toThrow('is empty; write a long random text into it');
    const taken = createServer();
    const port = await new Promise<number>((resolve) =>
      taken.listen(0, '127.0.0.1', () => {
        const address = taken.address();
        resolve(address !== null && typeof address === 'object' ? address.port : 0);
      }),
    );
    try {
      await expect(serve({ listen: { host: '127.0.0.1', port }, tokenFile: file('token', 't') })).rejects.toThrow(
        `cannot serve the admin API on 127.0.0.1:${port}: the port is in use; choose another --admin-bind-address, or 0 for none`,
      );
    } finally {
      await new Promise((resolve) => taken.close(resolve));
    }
  });

  describe('with client certificates', () => {
    const own = selfSigned('localhost');
    const caller = selfSigned('operator');
    let options: RouterAdminClientOptions;

    async function secured(tokenFile: string | null): Promise<AdminApi> {
      const tls = { ...tlsFiles('server', own), clientCaFile: file('callers.crt', caller.cert) };
      const running = await serve({ tokenFile, tls });
      options = { url: `https://localhost:${running.port}`, caFile: tls.certFile, ...tlsFiles('caller', caller) };
      return running;
    }

    it('lets in who has one of the authority, and says why others stay out', async () => {
      await secured(null);
      expect((await new RouterAdminClient(options).topology()).version).toBe('v1');
      const stranger = new RouterAdminClient({ ...options, ...tlsFiles('stranger', selfSigned('operator')) });
      expect(await refusal(stranger.topology())).toEqual([
        403,
        'the client certificate is not of the authority that opens the admin API, or not valid at this time',
      ]);
      const token = new RouterAdminClient({
        url: options.url,
        ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
        tokenFile: file('token', 't'),
      });
      expect(await refusal(token.topology())).toEqual([401, 'the admin API asks who is calling; show a client certificate']);
    });

    it('lets in who shows the token instead', async () => {
      const tokenFile = file('token', 'open sesame');
      await secured(tokenFile);
      const { url, caFile = '' } = options;
      expect((await new RouterAdminClient({ url, caFile, tokenFile }).topology()).version).toBe('v1');
      expect((await new RouterAdminClient(options).topology()).version).toBe('v1');
    });

    it('takes up certificates that are replaced, its own and those of the authority', async () => {
      const running = await secured(null);
      const [ownLater, callerLater] = [selfSigned('localhost'), selfSigned('operator')];
      tlsFiles('server', ownLater);
      tlsFiles('caller', callerLater);
      file('callers.crt', callerLater.cert);
      running.checkTls();
      expect((await new RouterAdminClient(options).topology()).version).toBe('v1');
      tlsFiles('caller', caller);
      expect((await refusal(new RouterAdminClient(options).topology()))[0]).toBe(403);
      rmSync(join(folder, 'callers.crt'));
      running.checkTls();
      running.checkTls();
      tlsFiles('caller', callerLater);
      expect((await new RouterAdminClient(options).topology()).version).toBe('v1');
      expect(log.split('\n').filter((line) => line.includes('the authority of the admin API cannot be used'))).toHaveLength(1);
    });

    it('takes no certificate that is not valid any more', async () => {
      const expired = selfSigned('operator', new Date('2020-06-01T00:00:00Z'));
      const tls = { ...tlsFiles('server', own), clientCaFile: file('callers.crt', expired.cert) };
      const { port } = await serve({ tls });
      const status = await new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port, path: '/v1/topology', rejectUnauthorized: false, agent: false, ...expired }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end();
      });
      expect(status).toBe(403);
    });
  });
});
