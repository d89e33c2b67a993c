import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEndpoint, topologyVersion, type TopologyManager, type TopologySource } from '@harikube/datasources';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openStore, type OpenedStore } from './open-store.js';

const SECRET: TopologySource = { type: 'secret', namespace: 'harikube', name: 'topology-config' };

let folder: string;
let file: string;
let running: TopologyManager | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-store-'));
  file = join(folder, 'topology.yaml');
  running = null;
});

afterEach(async () => {
  await running?.close();
  rmSync(folder, { recursive: true });
});

function rules(...kinds: readonly string[]): string {
  const backends = kinds.map((kind) => ({
    name: kind,
    endpoint: `sqlite://${join(folder, `${kind}.db`)}`,
    customresource: { group: 'shop.example.com', kind },
  }));
  return JSON.stringify({ backends });
}

/** Opens the store, in place of what is open. */
async function open(source: TopologySource | null): Promise<OpenedStore> {
  await running?.close();
  running = null;
  const store = await openStore({
    source,
    parse: {},
    manager: {
      main: { endpoint: parseEndpoint(`sqlite://${join(folder, 'main.db')}`), tls: null, pool: {} },
      defaults: { compactBatchSize: 1000, requestTimeoutMs: 5000 },
      writer: { identity: { holder: 'test', address: '', leaseMs: 5000 } },
      keyspace: {
        cacheBytes: 1 << 20,
        eventBytes: 1 << 20,
        progressIntervalMs: 3_600_000,
        log: { info: () => undefined, warn: () => undefined },
      },
    },
  });
  running = store.manager;
  return store;
}

async function opened(text: string): Promise<OpenedStore> {
  writeFileSync(file, text);
  return open({ type: 'file', path: file });
}

async function put({ manager }: OpenedStore, kind: string): Promise<void> {
  const key = Buffer.from(`/registry/shop.example.com/${kind}/ns/a`);
  await manager.keyspace.put({
    type: 'put',
    key,
    value: Buffer.from('x'),
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  });
}

const state = ({ manager, sourceVersion }: OpenedStore): unknown => [manager.topology.registeredNames(), manager.version, sourceVersion];
const versionOf = (text: string): string => topologyVersion([{ name: '', text }]);

describe('openStore', () => {
  it('starts with what the source says', async () => {
    const text = rules('users');
    expect(state(await opened(text))).toEqual([['users', 'main'], versionOf(text), versionOf(text)]);
  });

  it('starts without rules when there is no source', async () => {
    expect(state(await open(null))).toEqual([['main'], topologyVersion([]), null]);
  });

  it('does not serve an empty store whose source cannot be read, or is wrong', async () => {
    await expect(open({ type: 'file', path: file })).rejects.toThrow('there is no such file');
    await expect(opened('backends: 1')).rejects.toThrow(`${file}:1:11: backends: must be a list`);
  });

  it('goes on with what was in force when the source cannot be read, or is wrong', async () => {
    const text = rules('users');
    await opened(text);
    rmSync(file);
    expect(state(await open({ type: 'file', path: file }))).toEqual([['users', 'main'], versionOf(text), null]);
    expect(state(await opened('backends: 1'))).toEqual([['users', 'main'], versionOf(text), null]);
  });

  it('goes on with what was in force when keys would have to move, be it nothing', async () => {
    const none = await opened(rules());
    await put(none, 'users');
    expect(state(await opened(rules('users')))).toEqual([['main'], versionOf(rules()), null]);
  });

  it('refuses to leave out what keys are in when no source is followed that may be put right', async () => {
    await put(await opened(rules('users')), 'users');
    await expect(open(null)).rejects.toThrow('backend "users" is gone from the topology');
  });

  it('starts with what was in force when the topology is in a Secret: nothing at first', async () => {
    expect((await open(SECRET)).manager.topology.registeredNames()).toEqual(['main']);
    const text = rules('users');
    await opened(text);
    expect(state(await open(SECRET))).toEqual([['users', 'main'], versionOf(text), null]);
  });
});
