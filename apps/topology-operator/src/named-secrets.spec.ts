import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeClient, systemClock } from '@harikube/kube';
import { createLogger } from '@harikube/platform';
import { NamedSecrets } from './named-secrets.js';

const TARGET = { namespace: 'harikube', name: 'topology-config' };
const DB = { namespace: 'shop', name: 'db' };

/** Lists and watches of single Secrets, as the spec says. */
let server: Server;
let folder: string;
let client: KubeClient;
let secrets: NamedSecrets;
let forbidden: Set<string>;
let asked: string[];
let watches: Map<string, ServerResponse>;
let told: string[];
let hear: () => void;

const secretOf = (key: string, resourceVersion: string): object => {
  const [namespace, name] = key.split('/');
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name, uid: key, resourceVersion }, data: { dsn: 'eA==' } };
};

function answer(url: URL, response: ServerResponse): void {
  const namespace = url.pathname.split('/')[4];
  const key = `${namespace}/${url.searchParams.get('fieldSelector')?.replace('metadata.name=', '')}`;
  asked.push(key);
  if (forbidden.has(key)) {
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({
        kind: 'Status',
        apiVersion: 'v1',
        status: 'Failure',
        message: `${key} is forbidden`,
        reason: 'Forbidden',
        code: 403,
      }),
    );
  } else if (url.searchParams.get('watch') === 'true' && url.searchParams.get('sendInitialEvents') !== 'true') {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    watches.set(key, response);
  } else if (url.searchParams.get('sendInitialEvents') === 'true') {
    response
      .writeHead(422, { 'content-type': 'application/json' })
      .end(JSON.stringify({ kind: 'Status', status: 'Failure', code: 422, reason: 'Invalid' }));
  } else {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ kind: 'SecretList', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items: [] }));
  }
}

/** Resolves when it holds; it is looked at whenever something is told. */
async function when(holds: () => boolean): Promise<void> {
  while (!holds()) {
    const heard = new Promise<void>((resolve) => (hear = resolve));
    await Promise.race([heard, new Promise((resolve) => setImmediate(resolve))]);
  }
}

beforeEach(async () => {
  forbidden = new Set();
  asked = [];
  watches = new Map();
  told = [];
  hear = () => undefined;
  server = createServer((request, response) => answer(new URL(request.url ?? '', 'http://server'), response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  folder = await mkdtemp(join(tmpdir(), 'harikube-named-secrets-'));
  const kubeconfig = join(folder, 'kubeconfig');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const named = { name: 'one', cluster: { server: url } };
  const context = { name: 'one', context: { cluster: 'one', user: 'one' } };
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [named],
      users: [{ name: 'one', user: {} }],
      contexts: [context],
      'current-context': 'one',
    }),
  );
  client = KubeClient.fromConfig({ kubeconfig, userAgent: 'spec' });
  const logger = createLogger({ format: 'json', debug: false, destination: { write: () => undefined } });
  secrets = new NamedSecrets({ client, clock: systemClock, logger });
  secrets.addHandler({
    onAdd: ({ metadata }) => {
      told.push(`${metadata.namespace}/${metadata.name}`);
      hear();
    },
  });
});

afterEach(async () => {
  await secrets.close();
  await client.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

describe('NamedSecrets', () => {
  it('knows that there is none, and tells the target when one comes', async () => {
    secrets.follow(TARGET, [DB]);
    expect(secrets.get(DB)).toMatchObject({ isKnown: false, isMissing: false });
    await when(() => secrets.get(DB).isKnown && watches.has('shop/db'));
    expect(secrets.get(DB)).toMatchObject({ value: undefined, isMissing: true, problem: 'the Secret shop/db does not exist' });
    told.length = 0;
    watches.get('shop/db')?.write(`${JSON.stringify({ type: 'ADDED', object: secretOf('shop/db', '2') })}\n`);
    await when(() => told.length > 0);
    expect(told).toEqual(['harikube/topology-config']);
    expect(secrets.get(DB)).toMatchObject({ isMissing: false, problem: null, value: { data: { dsn: 'eA==' } } });
  });

  it('asks for the one name alone, and once, whoever needs it', async () => {
    const other = { namespace: 'other', name: 'topology' };
    secrets.follow(TARGET, [DB]);
    secrets.follow(other, [DB]);
    await when(() => watches.has('shop/db'));
    expect(secrets.size).toBe(1);
    expect(new Set(asked)).toEqual(new Set(['shop/db']));
    expect(new Set(told)).toEqual(new Set(['harikube/topology-config', 'other/topology']));
  });

  it('says which right is missing', async () => {
    forbidden.add('shop/db');
    secrets.follow(TARGET, [DB]);
    await when(() => secrets.get(DB).isKnown);
    expect(secrets.get(DB).isMissing).toBe(false);
    expect(secrets.get(DB).problem).toBe(
      'the Secret shop/db cannot be read: shop/db is forbidden; give the account of the operator a Role there that allows get, list and watch of this name',
    );
  });

  it('follows no longer than somebody needs it', async () => {
    const closed = Promise.withResolvers<void>();
    secrets.follow(TARGET, [TARGET, DB]);
    await when(() => watches.has('shop/db'));
    watches.get('shop/db')?.on('close', () => closed.resolve());
    secrets.follow(TARGET, [TARGET]);
    await closed.promise;
    expect(secrets.size).toBe(1);
    expect(secrets.get(DB).isKnown).toBe(false);
    secrets.follow(TARGET, []);
    expect(secrets.size).toBe(0);
  });
});
