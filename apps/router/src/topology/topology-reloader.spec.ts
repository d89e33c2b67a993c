import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Topology, type TopologyMove, topologyVersion } from '@harikube/datasources';
import { createLogger, Registry } from '@harikube/platform';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TlsFolder } from './tls-folder.js';
import { TopologyMetrics } from './topology-metrics.js';
import { TopologyReloader, type TopologyReloaderOptions, type TopologyTarget } from './topology-reloader.js';
import type { TopologyReading } from './topology-watcher.js';

const KEY = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n';

/** A store whose answer a spec decides. */
class FakeTarget implements TopologyTarget {
  topology = new Topology([]);
  version = 'at-start';
  applied: string[][] = [];
  moves: TopologyMove[] = [];
  problems: string[] = [];
  failure: Error | null = null;
  /** Set: an application waits for it. */
  gate: Promise<void> | null = null;

  async apply(topology: Topology, version = ''): ReturnType<TopologyTarget['apply']> {
    await this.gate;
    this.applied.push([...topology.registeredNames()]);
    if (this.failure !== null) throw this.failure;
    const { moves, problems } = this;
    if (moves.length + problems.length > 0) return { applied: false, plan: { changes: [], moves, problems } };
    const isSame = String(topology.registeredNames()) === String(this.topology.registeredNames());
    this.topology = topology;
    this.version = version;
    return { applied: true, plan: { changes: isSame ? [] : [{ kind: 'add', backend: 'x', detail: '' }], moves, problems } };
  }
}

function rule(name: string): string {
  return `backends:\n- name: ${name}\n  endpoint: sqlite://${name}.db\n  customresource: {group: shop.example.com, kind: ${name}}\n`;
}

function read(...texts: readonly string[]): TopologyReading {
  return { type: 'read', documents: texts.map((text, index) => ({ name: texts.length === 1 ? '' : `${index}.yaml`, text })) };
}

function versionOf(reading: TopologyReading): string {
  return reading.type === 'read' ? topologyVersion(reading.documents) : '';
}

const unreadable = (reason: string): TopologyReading => ({ type: 'unreadable', reason });

let target: FakeTarget;
let registry: Registry;
let lines: { level: string; msg: string; reason?: string; version?: string }[];
let time: number;
let running: TopologyReloader | null;

function reloader(options: Partial<TopologyReloaderOptions> = {}): TopologyReloader {
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as (typeof lines)[number]) };
  running = new TopologyReloader({
    target,
    sourceName: '/etc/topology.yaml',
    parse: { directory: '/data' },
    tlsFolder: null,
    metrics: new TopologyMetrics(registry),
    logger: createLogger({ format: 'json', debug: true, destination }),
    sourceVersion: null,
    now: () => new Date(time),
    retryMs: 3_600_000,
    ...options,
  });
  return running;
}

async function take(loop: TopologyReloader, ...readings: readonly TopologyReading[]): Promise<void> {
  for (const reading of readings) loop.take(reading);
  await loop.settled();
}

async function metric(name: string): Promise<string[]> {
  return (await registry.metrics()).split('\n').filter((line) => line.startsWith(`harikube_topology_${name}`));
}

const errors = (): string[] => lines.filter(({ level }) => level === 'error').map(({ msg }) => msg);
const registered = (): string[] => lines.map(({ msg }) => msg).filter((msg) => msg.startsWith('Backends registered'));

beforeEach(() => {
  target = new FakeTarget();
  registry = new Registry();
  lines = [];
  time = Date.parse('2026-01-01T00:00:00Z');
  running = null;
});

afterEach(() => running?.close());

describe('TopologyReloader', () => {
  it('puts in force what the source says, and says so', async () => {
    const loop = reloader();
    expect([target.version, loop.sourceVersion, loop.failure]).toEqual(['at-start', null, null]);
    time += 60_000;
    const reading = read(rule('users'));
    await take(loop, reading);
    expect(target.topology.registeredNames()).toEqual(['users', 'main']);
    expect([target.version, loop.sourceVersion]).toEqual([versionOf(reading), versionOf(reading)]);
    expect(loop.inForceSince.toISOString()).toBe('2026-01-01T00:01:00.000Z');
    expect(registered()).toEqual(['Backends registered: [users main]']);
    expect(await metric('version_info')).toEqual([`harikube_topology_version_info{version="${versionOf(reading)}"} 1`]);
    expect(await metric('last_reload')).toEqual([`harikube_topology_last_reload_success_timestamp_seconds ${time / 1000}`]);
  });

  it('takes the documents together, in the order of their names', async () => {
    const loop = reloader();
    await take(loop, read(rule('users'), rule('emails')));
    expect(target.topology.registeredNames()).toEqual(['users', 'emails', 'main']);
  });

  it('takes what is said again once, and another text of the same topology without a word', async () => {
    const loop = reloader();
    await take(loop, read(rule('users')));
    await take(loop, read(rule('users')));
    expect(target.applied).toHaveLength(1);
    const commented = read(`# users\n${rule('users')}`);
    time += 60_000;
    await take(loop, commented);
    expect(target.version).toBe(versionOf(commented));
    expect(loop.inForceSince.getTime()).toBe(time - 60_000);
    expect(registered()).toHaveLength(1);
  });

  it('applies the first reading although its version is the one at the start', async () => {
    const reading = read(rule('users'));
    target.version = versionOf(reading);
    await take(reloader(), reading, reading);
    expect(target.applied).toHaveLength(1);
  });

  it('refuses a wrong text as a whole, in the log once, and keeps what is in force', async () => {
    const loop = reloader();
    const [good, bad] = [read(rule('users')), read(`${rule('users')}- name: broken\n`)];
    await take(loop, good);
    await take(loop, bad);
    await take(loop, bad);
    expect(target.topology.registeredNames()).toEqual(['users', 'main']);
    expect([target.version, loop.sourceVersion]).toEqual([versionOf(good), versionOf(bad)]);
    expect(loop.failure).toMatchObject({ version: versionOf(bad), time: '2026-01-01T00:00:00.000Z', moves: [] });
    expect(loop.failure?.message).toContain('/etc/topology.yaml:5:3: backends[1]: no matcher');
    expect(errors()).toEqual(['the topology is refused, the one in force stays']);
    expect(await metric('reloads_total{result="refused"}')).toEqual(['harikube_topology_reloads_total{result="refused"} 1']);
    await take(loop, good);
    expect(loop.failure).toBeNull();
    expect(lines.at(-1)?.msg).toBe('the topology that the source holds is in force');
  });

  it('names the document that is wrong', async () => {
    const loop = reloader();
    await take(loop, read(rule('users'), 'backends: 1'));
    expect(loop.failure?.message).toBe('1.yaml:1:11: backends: must be a list, is the number 1');
  });

  it('holds back what keys stand in the way of, tells their number, and tries again when it is told to', async () => {
    const loop = reloader();
    target.moves = [{ from: 'main', to: 'users', keys: 3, bytes: 120, example: '/registry/shop.example.com/users/ns/a' }];
    await take(loop, read(rule('users')));
    expect(loop.failure).toMatchObject({
      message: '3 keys (120 bytes) in backend "main" belong to "users" by these rules, for example /registry/shop.example.com/users/ns/a',
      moves: target.moves,
    });
    expect(await metric('held_back')).toEqual(['harikube_topology_held_back_keys 3']);
    target.moves = target.moves.map((move) => ({ ...move, keys: 1 }));
    time += 60_000;
    loop.retry();
    await loop.settled();
    expect(loop.failure?.message).toMatch(/^1 key \(120 bytes\) in backend "main" belongs to "users"/);
    expect(errors()).toEqual(['the topology is held back by keys that would have to move, the one in force stays; it is tried again']);
    target.moves = [];
    loop.retry();
    await loop.settled();
    expect([loop.failure, target.topology.registeredNames()]).toEqual([null, ['users', 'main']]);
    expect(await metric('held_back')).toEqual(['harikube_topology_held_back_keys 0']);
    loop.retry();
    await loop.settled();
    expect(target.applied).toHaveLength(3);
  });

  it('tries again by itself', async () => {
    const loop = reloader({ retryMs: 10 });
    target.problems = ['the database of "users" cannot be opened: disk I/O error'];
    await take(loop, read(rule('users')));
    expect(loop.failure?.message).toBe('the database of "users" cannot be opened: disk I/O error');
    const tried = new Promise<void>((resolve) => {
      const apply = target.apply.bind(target);
      target.apply = async (topology, version) => {
        target.problems = [];
        return apply(topology, version).finally(resolve);
      };
    });
    await tried;
    await loop.settled();
    expect([loop.failure, target.topology.registeredNames()]).toEqual([null, ['users', 'main']]);
  });

  it('tries another text at once', async () => {
    const loop = reloader();
    target.problems = ['it cannot be opened'];
    await take(loop, read(rule('users')));
    target.problems = [];
    await take(loop, read(rule('orders')));
    expect([loop.failure, target.topology.registeredNames()]).toEqual([null, ['orders', 'main']]);
  });

  it('takes an error of the store for a setback, and goes on', async () => {
    const loop = reloader();
    target.failure = new Error('disk is full');
    await take(loop, read(rule('users')));
    expect(loop.failure?.message).toBe('disk is full');
    target.failure = null;
    loop.retry();
    await loop.settled();
    expect(loop.failure).toBeNull();
  });

  it('keeps what is in force when the source cannot be read, and never applies an empty topology for it', async () => {
    const loop = reloader();
    const reading = read(rule('users'));
    await take(loop, reading);
    await take(loop, unreadable('there is no such file'));
    time += 60_000;
    await take(loop, unreadable('there is no such file'));
    expect(target.applied).toHaveLength(1);
    expect(loop.failure).toEqual({ time: '2026-01-01T00:00:00.000Z', message: 'there is no such file', version: null, moves: [] });
    expect(errors()).toEqual(['the topology cannot be read, the one in force stays']);
    await take(loop, reading);
    expect([loop.failure, target.version]).toEqual([null, versionOf(reading)]);
  });

  it('of what comes while it applies takes the last', async () => {
    const loop = reloader();
    const gate = Promise.withResolvers<void>();
    target.gate = gate.promise;
    for (const name of ['users', 'emails', 'orders', 'tenants']) loop.take(read(rule(name)));
    gate.resolve();
    await loop.settled();
    expect(target.applied).toEqual([
      ['users', 'main'],
      ['tenants', 'main'],
    ]);
  });

  it('takes nothing after its close, which waits for what is under way', async () => {
    const loop = reloader();
    const gate = Promise.withResolvers<void>();
    target.gate = gate.promise;
    loop.take(read(rule('users')));
    loop.take(read(rule('emails')));
    const closed = loop.close();
    gate.resolve();
    await closed;
    loop.take(read(rule('orders')));
    await loop.settled();
    expect(target.applied).toEqual([['users', 'main']]);
  });

  describe('with certificates in the source', () => {
    let folder: string;
    let tlsFolder: TlsFolder;
    const reading = (...material: readonly (readonly [string, string])[]): TopologyReading => ({
      type: 'read',
      documents: [{ name: '1.yaml', text: rule('users') }, ...material.map(([name, text]) => ({ name, text }))],
    });

    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'harikube-tls-'));
      tlsFolder = new TlsFolder(join(folder, 'tls'));
    });

    afterEach(() => rmSync(folder, { recursive: true }));

    it('writes them for this user alone before the topology comes into force, and replaces and removes them', async () => {
      const loop = reloader({ tlsFolder });
      const before: string[] = [];
      const apply = target.apply.bind(target);
      target.apply = (topology, version) => {
        before.push(...readdirSync(tlsFolder.path));
        return apply(topology, version);
      };
      await take(loop, reading(['user.key', KEY], ['ca.crt', KEY.replaceAll('PRIVATE KEY', 'CERTIFICATE')]));
      expect(before.toSorted()).toEqual(['ca.crt', 'user.key']);
      expect(statSync(tlsFolder.path).mode & 0o777).toBe(0o700);
      expect(statSync(join(tlsFolder.path, 'user.key')).mode & 0o777).toBe(0o600);
      expect(target.topology.registeredNames()).toEqual(['users', 'main']);
      const replaced = reading(['user.key', KEY.replace('AAAA', 'BBBB')]);
      await take(loop, replaced);
      expect(readdirSync(tlsFolder.path)).toEqual(['user.key']);
      expect(readFileSync(join(tlsFolder.path, 'user.key'), 'utf8')).toContain('BBBB');
      expect(target.version).toBe(versionOf(replaced));
    });

    it('keeps the old ones while the topology that leaves them out is not in force', async () => {
      const loop = reloader({ tlsFolder });
      await take(loop, reading(['user.key', KEY]));
      target.problems = ['no'];
      await take(loop, reading());
      expect(readdirSync(tlsFolder.path)).toEqual(['user.key']);
    });

    it('writes nothing outside of its folder', async () => {
      const loop = reloader({ tlsFolder });
      await take(loop, reading(['../user.key', KEY]));
      expect(loop.failure?.message).toBe('"../user.key" is not the name of a file');
      expect(readdirSync(folder)).toEqual(['tls']);
      expect(JSON.stringify(lines)).not.toContain('AAAA');
    });
  });
});
