import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { freePort } from '@harikube/local-cluster';
import { EtcdClient, EtcdError, type PostgresServer, startPostgres } from '@harikube/testing';
import { StandbyRouter, type StandbyRouterOptions } from './standby-router.js';
import { type StandbyVerdict, StandbyWorkload } from './standby-workload.js';
import { TcpProxy } from './tcp-proxy.js';

const LEASE_MS = 2000;
/** What a takeover may take beyond that, and one at SIGTERM in all. */
const TAKEOVER_MS = 1000;
const flagsOf = (leaseMs: number): string[] => [
  ...['--writer-lease-duration', `${leaseMs}ms`, '--watch-progress-notify-interval', '500ms', '--backend-timeout', '3s'],
];
const FLAGS = flagsOf(LEASE_MS);
const PREFIX = '/registry/registers/';
/** What the workload does not know of. */
const ASIDE = '/registry/aside/';
/** What a router that was deposed ends with. */
const DEPOSED = 3;

let server: PostgresServer;
let endpoint: string;
let stops: (() => Promise<unknown> | void)[];

beforeAll(async () => {
  server = await startPostgres();
});

afterAll(() => server.stop());

beforeEach(async () => {
  stops = [];
  endpoint = await server.createDatabase();
});

afterEach(async () => {
  for (const stop of stops.toReversed()) await stop();
});

/** A router of its own, ended with the test. */
async function start(port: number, options: Partial<StandbyRouterOptions> = {}): Promise<StandbyRouter> {
  const router = await StandbyRouter.start({ endpoint, port, flags: FLAGS, ...options });
  stops.push(() => router.kill());
  return router;
}

/** The first is active, the second stands by. */
async function startTwo(options: Partial<StandbyRouterOptions> = {}): Promise<[StandbyRouter, StandbyRouter]> {
  const first = await start(await freePort(), options);
  await first.serving();
  return [first, await start(await freePort(), { flags: options.flags ?? FLAGS })];
}

async function begin(routers: readonly StandbyRouter[]): Promise<StandbyWorkload> {
  return StandbyWorkload.begin({ urls: routers.map(({ url }) => url), prefix: PREFIX, seed: 7, writers: 6, silenceMs: 1500 });
}

function expectWell(verdict: StandbyVerdict): void {
  expect(verdict.findings).toEqual([]);
  expect([verdict.acknowledged > 30, verdict.reads > 30]).toEqual([true, true]);
}

function client(router: StandbyRouter): EtcdClient {
  const made = new EtcdClient(router.url);
  stops.push(() => made.close());
  return made;
}

/** Every request is refused: nothing comes of it, and nothing is told. */
async function refusals(requests: readonly Promise<unknown>[]): Promise<unknown[]> {
  const outcomes = await Promise.allSettled(requests);
  return outcomes.map((outcome): unknown => (outcome.status === 'rejected' ? outcome.reason : outcome.value));
}

describe('a second router on one PostgreSQL', () => {
  it('says who is active, is ready, and serves what it forwards', async () => {
    const [first, second] = await startTwo();
    const { msg } = await second.line((line) => line.msg.startsWith('standby: '));
    expect(msg).toMatch(new RegExp(`^standby: the router at ${first.address} \\(epoch \\d+\\) is active$`));
    expect(await second.page('/readyz')).toBe('ok');
    expect(await second.page('/readyz?verbose')).toContain(`[+]writer ok: standby, active is ${first.address}\n`);
    expect(await second.page('/livez')).toBe('ok');
    const through = client(second);
    const revision = await through.put(`${PREFIX}a`, 'through the standby');
    expect((await client(first).get(`${PREFIX}a`)).kvs).toMatchObject([{ modRevision: revision }]);
    const [active, standing] = [await first.page('/metrics'), await second.page('/metrics')];
    expect([/^harikube_writer_active (\d)/m.exec(active)?.[1], /^harikube_writer_active (\d)/m.exec(standing)?.[1]]).toEqual(['1', '0']);
    expect(/^harikube_writer_epoch (\d+)/m.exec(active)?.[1]).toBe(/^harikube_writer_epoch (\d+)/m.exec(standing)?.[1]);
    expect(standing).toMatch(/^harikube_standby_connections 1$/m);
    expect(standing).toMatch(/^harikube_writer_takeovers_total 0$/m);
  });

  it('takes over within the lease and a second after kill -9, again and again', async () => {
    let [active, standby] = await startTwo();
    const workload = await begin([active, standby]);
    for (let round = 0; round < 3; round++) {
      await workload.writes();
      const killedAt = performance.now();
      await active.kill();
      await standby.line(({ msg }) => msg === 'took over');
      expect(performance.now() - killedAt).toBeLessThan(LEASE_MS + TAKEOVER_MS);
      await workload.writes();
      [active, standby] = [standby, await start(active.options.port)];
    }
    expect(await active.page('/metrics')).toMatch(/^harikube_writer_takeovers_total 1$/m);
    expectWell(await workload.end(active.url));
  });

  it('takes over from one that is stopped, which refuses everything from its first instruction on and ends', async () => {
    const [first, second] = await startTwo();
    const workload = await begin([first, second]);
    await workload.writes();
    const direct = client(first);
    const before = await direct.put(`${ASIDE}a`, 'before');
    first.pause();
    // They wait in the stopped one's sockets, and are the first that it sees when it goes on.
    const asked = refusals([
      direct.get(`${ASIDE}a`),
      direct.put(`${ASIDE}a`, 'stale'),
      direct.list(ASIDE),
      direct.attempt(`${ASIDE}a`, 'stale too', before),
    ]);
    const stoppedAt = performance.now();
    await second.line(({ msg }) => msg === 'took over');
    expect(performance.now() - stoppedAt).toBeLessThan(LEASE_MS + TAKEOVER_MS);
    await workload.writes();
    first.continue();
    const outcomes = await asked;
    expect(outcomes.map((outcome) => outcome instanceof EtcdError && outcome.code)).toEqual([14, 14, 14, 14]);
    expect(await first.ended).toBe(DEPOSED);
    expect(first.lines.map(({ msg }) => msg)).toContain(
      'another router has taken over: this one ends, so that it is started again as a standby',
    );
    expect((await client(second).get(`${ASIDE}a`)).kvs).toMatchObject([{ modRevision: before }]);
    expectWell(await workload.end(second.url));
  });

  it('takes over from one that is cut off from the database, which refuses everything and ends when it is back', async () => {
    const proxy = await TcpProxy.start(server.port);
    stops.push(() => proxy.close());
    const [first, second] = await startTwo({ endpoint: endpoint.replace(`:${server.port}/`, `:${proxy.port}/`) });
    const workload = await begin([first, second]);
    await workload.writes();
    const cutAt = performance.now();
    proxy.refuse();
    await second.line(({ msg }) => msg === 'took over');
    expect(performance.now() - cutAt).toBeLessThan(LEASE_MS + TAKEOVER_MS);
    await workload.writes();
    const direct = client(first);
    expect(await refusals([direct.get(`${ASIDE}a`), direct.put(`${ASIDE}a`, 'stale')])).toEqual([
      expect.any(EtcdError),
      expect.any(EtcdError),
    ]);
    proxy.admit();
    expect(await first.ended).toBe(DEPOSED);
    expectWell(await workload.end(second.url));
  });

  it('takes over within a second of SIGTERM', async () => {
    const leaseMs = 30_000;
    const [first, second] = await startTwo({ flags: flagsOf(leaseMs) });
    const workload = await begin([first, second]);
    await workload.writes();
    const toldAt = performance.now();
    const ended = first.stop();
    await second.line(({ msg }) => msg === 'took over');
    expect(performance.now() - toldAt).toBeLessThan(TAKEOVER_MS);
    expect(await ended).toBe(0);
    await workload.writes();
    expectWell(await workload.end(second.url));
  });

  it('starts with the topology that was in force, whatever its source said when it began to wait', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-standby-'));
    stops.push(() => rm(folder, { recursive: true }));
    const file = join(folder, 'topology.yaml');
    await writeFile(file, 'backends: []\n');
    const flags = [...FLAGS, '--topology-config', `file://${file}`];
    const first = await start(await freePort(), { flags });
    const second = await start(await freePort(), { flags });
    const users = JSON.stringify(await server.createDatabase());
    await writeFile(file, `backends:\n- {name: users, endpoint: ${users}, prefix: {prefix: users}}\n`);
    const inForce = 'Backends registered: [users main]';
    await first.line(({ msg }) => msg === inForce);
    await first.kill();
    await second.serving();
    expect(second.lines.find(({ msg }) => msg.startsWith('Backends registered'))?.msg).toBe(inForce);
  });

  it('ends at once when it is told to while it stands by', async () => {
    const [first, second] = await startTwo();
    expect(await second.stop()).toBe(0);
    expect(second.lines.some(({ level }) => level === 'error')).toBe(false);
    await client(first).put(`${PREFIX}a`, 'still served');
  });
});
