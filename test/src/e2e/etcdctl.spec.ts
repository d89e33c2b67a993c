import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Binaries, PlainEtcd, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { RouterProcess } from '../fault/router-process.js';
import { type Answer, answerOf } from './answer.js';

const SERVERS = ['etcd', 'router'] as const;
type Server = (typeof SERVERS)[number];

/** A command that goes on until it is ended, line by line. */
class Running {
  readonly lines: string[] = [];
  readonly ended: Promise<number | null>;
  readonly #waiting: (() => void)[] = [];
  #rest = '';

  constructor(private readonly child: ChildProcessWithoutNullStreams) {
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString()).split('\n');
      this.#rest = lines.pop() ?? '';
      this.lines.push(...lines);
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    this.ended = new Promise((resolve) => child.once('close', resolve));
  }

  async until(count: number): Promise<readonly string[]> {
    while (this.lines.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.lines;
  }

  write(text: string): void {
    this.child.stdin.write(text);
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGINT');
    return this.ended;
  }
}

/** ETCDCTL_CHECK_PERF=1 adds `etcdctl check perf`, whose load of etcdctl's own takes a minute. */
describe('etcdctl', () => {
  let folder: string;
  let etcdctl: string;
  let etcd: PlainEtcd;
  let router: RouterProcess;

  beforeAll(async () => {
    const env = readEnv();
    const binaries = await new Binaries({ env, progress: silent }).find(['etcd', 'etcdctl']);
    etcdctl = binaries.etcdctl.path;
    folder = await mkdtemp(join(tmpdir(), 'harikube-etcdctl-'));
    etcd = new PlainEtcd({ dataDir: folder, program: binaries.etcd.path, env, extraArgs: ['--unsafe-no-fsync', '--log-level=error'] });
    await etcd.start();
    router = await RouterProcess.start({ database: join(folder, 'main.db') });
  });

  afterAll(async () => {
    await router.stop();
    await etcd.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const argsFor = (server: Server, args: readonly string[]): string[] => [
    '--endpoints',
    server === 'etcd' ? etcd.url : router.address,
    ...args,
  ];

  function start(server: Server, args: readonly string[]): ChildProcessWithoutNullStreams {
    return spawn(etcdctl, argsFor(server, args));
  }

  async function ctl(server: Server, args: readonly string[], input = ''): Promise<Answer> {
    const answer = await answerOf(etcdctl, argsFor(server, args), { env: readEnv(), input });
    return { ...answer, err: withoutTimes(answer.err) };
  }

  /** The same command of both, which have to do the same; what they do. */
  async function both(args: readonly string[], input = ''): Promise<Answer> {
    const [one, other] = [await ctl('etcd', args, input), await ctl('router', args, input)];
    expect({ args, ...withoutIdentity(other) }).toEqual({ args, ...withoutIdentity(one) });
    return other;
  }

  async function outputOf(args: readonly string[], input = ''): Promise<string> {
    const { code, out, err } = await both(args, input);
    expect([args, code, err]).toEqual([args, 0, '']);
    return out;
  }

  it('puts and gets, with every flag', async () => {
    expect(await outputOf(['put', '/k/a', 'one'])).toBe('OK\n');
    await outputOf(['put', '/k/b', 'two']);
    await outputOf(['put', '/k/b', 'three', '--prev-kv']);
    await outputOf(['put', '/k/c'], 'from standard input');
    await outputOf(['put', '/k/c', '--ignore-value', '--lease=0']);
    await outputOf(['put', '/k/d', '--', '-dashed-']);
    expect(await outputOf(['get', '/k/', '--prefix'])).toBe('/k/a\none\n/k/b\nthree\n/k/c\nfrom standard input\n/k/d\n-dashed-\n');
    for (const flags of [
      ['/k/', '--prefix', '--limit=2'],
      ['/k/', '--prefix', '--keys-only'],
      ['/k/', '--prefix', '--count-only', '--write-out=fields'],
      ['/k/', '--prefix', '--print-value-only'],
      ['/k/', '--prefix', '--order=DESCEND', '--sort-by=KEY'],
      ['/k/', '--prefix', '--sort-by=VERSION'],
      ['/k/', '--prefix', '--order=DESCEND', '--sort-by=VALUE', '--limit=3'],
      ['/k/', '--prefix', '--order=ASCEND', '--sort-by=CREATE'],
      ['/k/', '--prefix', '--order=DESCEND', '--sort-by=MODIFY'],
      ['/k/', '--prefix', '--min-mod-rev=3', '--max-mod-rev=5'],
      ['/k/', '--prefix', '--min-create-rev=3', '--max-create-rev=3'],
      ['/k/b', '/k/d'],
      ['/k/b', '--from-key'],
      ['/k/b', '--rev=3'],
      ['/k/', '--prefix', '--consistency=s', '--hex'],
      ['/k/', '--prefix', '--write-out=json'],
      ['/none'],
    ]) {
      await outputOf(['get', ...flags]);
    }
  });

  it('refuses what etcd refuses, in its words', async () => {
    for (const args of [
      ['get', '/k/a', '--rev=100000'],
      ['get', ''],
      ['put', '/none', '--ignore-value'],
      ['put', '/k/a', 'x', '--lease=7b'],
      ['lease', 'revoke', '7b'],
      ['compaction', '100000'],
      ['get', '/k/', '--prefix', '--order=UP'],
    ]) {
      const { code, err } = await both(args);
      expect([args, code === 0, err !== '']).toEqual([args, false, true]);
    }
  });

  it('deletes', async () => {
    for (const key of ['/d/a', '/d/b', '/d/c', '/d/d']) await outputOf(['put', key, 'x']);
    expect(await outputOf(['del', '/d/a', '--prev-kv'])).toBe('1\n/d/a\nx\n');
    expect(await outputOf(['del', '/d/b', '/d/d', '--range'])).toBe('2\n');
    expect(await outputOf(['del', '/d/', '--prefix'])).toBe('1\n');
    expect(await outputOf(['del', '/d/', '--prefix'])).toBe('0\n');
  });

  it('does transactions', async () => {
    await outputOf(['put', '/t/a', 'one']);
    expect(
      await outputOf(['txn'], 'value("/t/a") = "one"\nmod("/t/b") = "0"\n\nput /t/b two\nget /t/ --prefix\ndel /t/a\n\nget /t/a\n\n'),
    ).toBe('SUCCESS\n\nOK\n\n/t/a\none\n/t/b\ntwo\n\n1\n');
    expect(await outputOf(['txn', '--write-out=json'], 'create("/t/a") > "0"\n\nput /t/a x\n\nget /t/b\nput /t/c three\n\n')).toContain(
      'responses',
    );
    const duplicate = await both(['txn'], '\nput /t/a 1\nput /t/a 2\n\n\n');
    expect(duplicate.err).toContain('etcdserver: duplicate key given in txn request');
  });

  it('keeps leases', async () => {
    for (const server of SERVERS) {
      const granted = await ctl(server, ['lease', 'grant', '500']);
      const [, id = ''] = /^lease ([0-9a-f]+) granted with TTL\(500s\)\n$/.exec(granted.out) ?? [];
      expect([server, id]).toEqual([server, expect.stringMatching(/^[0-9a-f]+$/)]);
      expect((await ctl(server, ['put', '/lease/a', 'x', `--lease=${id}`])).out).toBe('OK\n');
      expect((await ctl(server, ['lease', 'timetolive', id, '--keys'])).out).toMatch(
        new RegExp(`^lease ${id} granted with TTL\\(500s\\), remaining\\((49\\d|500)s\\), attached keys\\(\\[/lease/a\\]\\)\n$`),
      );
      expect((await ctl(server, ['lease', 'list'])).out).toBe(`found 1 leases\n${id}\n`);
      expect((await ctl(server, ['lease', 'keep-alive', '--once', id])).out).toBe(`lease ${id} keepalived with TTL(500)\n`);
      expect((await ctl(server, ['lease', 'revoke', id])).out).toBe(`lease ${id} revoked\n`);
      expect((await ctl(server, ['lease', 'timetolive', id])).out).toBe(`lease ${id} already expired\n`);
      expect((await ctl(server, ['get', '/lease/a'])).out).toBe('');
    }
  });

  it('watches, from the past and on', async () => {
    await outputOf(['put', '/w/a', 'one']);
    await outputOf(['put', '/w/a', 'two']);
    const json = JSON.parse(await outputOf(['get', '/w/a', '--write-out=json'])) as { kvs: [{ create_revision: number }] };
    const from = json.kvs[0].create_revision;
    const told: string[][] = [];
    for (const server of SERVERS) {
      const watch = new Running(start(server, ['watch', '/w/', '--prefix', '--prev-kv', `--rev=${from}`]));
      await watch.until(8);
      await ctl(server, ['del', '/w/a']);
      told.push([...(await watch.until(13))]);
      await watch.stop();
    }
    expect(told[1]).toEqual(told[0]);
    // Of a creation there is nothing before it, and of a deletion nothing after.
    expect(told[1]).toEqual(['PUT', '/w/a', 'one', 'PUT', '/w/a', 'one', '/w/a', 'two', 'DELETE', '/w/a', 'two', '/w/a', '']);
  });

  it('watches interactively, and tells the progress', async () => {
    for (const server of SERVERS) {
      const watch = new Running(start(server, ['watch', '-i']));
      watch.write('watch /i/\n');
      watch.write('progress\n');
      const [line] = await watch.until(1);
      expect([server, line]).toEqual([server, expect.stringMatching(/^progress notify: \d+$/)]);
      await watch.stop();
    }
  });

  it.each(SERVERS)('locks one after the other (%s)', async (server) => {
    const first = new Running(start(server, ['lock', 'mutex']));
    await first.until(1);
    const second = new Running(start(server, ['lock', 'mutex']));
    // Both stand in line, and one of them waits.
    while ((await ctl(server, ['get', 'mutex/', '--prefix', '--keys-only'])).out.match(/mutex\/[0-9a-f]+/g)?.length !== 2);
    expect(second.lines).toEqual([]);
    expect(await first.stop()).toBe(0);
    expect((await second.until(1))[0]).toMatch(/^mutex\/[0-9a-f]+$/);
    await second.stop();
    expect((await ctl(server, ['lock', 'command', 'echo', 'inside'])).out).toBe('inside\n');
  });

  it.each(SERVERS)('elects one after the other (%s)', async (server) => {
    const first = new Running(start(server, ['elect', 'election', 'one']));
    expect((await first.until(2))[1]).toBe('one');
    const observer = new Running(start(server, ['elect', '-l', 'election']));
    expect((await observer.until(2))[1]).toBe('one');
    const second = new Running(start(server, ['elect', 'election', 'two']));
    await first.stop();
    expect((await second.until(2))[1]).toBe('two');
    expect((await observer.until(4))[3]).toBe('two');
    await observer.stop();
    await second.stop();
  });

  it.each(SERVERS)('tells how the endpoint and its members are (%s)', async (server) => {
    const health = await ctl(server, ['endpoint', 'health', '--write-out=json']);
    expect([health.code, JSON.parse(health.out)]).toMatchObject([0, [{ health: true }]]);
    const status = await ctl(server, ['endpoint', 'status', '--write-out=json']);
    expect(JSON.parse(status.out)).toMatchObject([{ Status: { version: expect.stringMatching(/^3\.6\./), storageVersion: '3.6.0' } }]);
    expect((await ctl(server, ['endpoint', 'status', '--cluster', '--write-out=table'])).out).toMatch(/\| +3\.6\.\d+ \| +3\.6\.0 \|/);
    const hash = await ctl(server, ['endpoint', 'hashkv', '--write-out=json']);
    expect(JSON.parse(hash.out)).toMatchObject([{ HashKV: { hash: expect.any(Number), hash_revision: expect.any(Number) } }]);
    const members = JSON.parse((await ctl(server, ['member', 'list', '--write-out=json'])).out) as { members: { clientURLs: string[] }[] };
    expect(members.members.map(({ clientURLs }) => clientURLs)).toEqual([[server === 'etcd' ? etcd.url : router.address]]);
    expect((await ctl(server, ['alarm', 'list'])).out).toBe('');
    expect((await ctl(server, ['alarm', 'disarm'])).code).toBe(0);
  });

  it('compacts and defragments', async () => {
    await outputOf(['put', '/c/a', 'one']);
    const revision = (JSON.parse(await outputOf(['put', '/c/a', 'two', '--write-out=json'])) as { header: { revision: number } }).header
      .revision;
    expect(await outputOf(['compaction', '--physical', String(revision)])).toBe(`compacted revision ${revision}\n`);
    expect((await both(['compaction', String(revision)])).err).toContain('etcdserver: mvcc: required revision has been compacted');
    expect((await both(['get', '/c/a', `--rev=${revision - 1}`])).err).toContain('etcdserver: mvcc: required revision has been compacted');
    const defragmented = await ctl('router', ['defrag']);
    expect(defragmented).toMatchObject({ code: 0, out: expect.stringMatching(/^Finished defragmenting etcd member\[.*\]/) });
  });

  if (readEnv()['ETCDCTL_CHECK_PERF'] !== undefined)
    it('measures the performance, and leaves nothing behind', async () => {
      // What it thinks of the figures depends on who else uses the machine.
      const { out } = await ctl('router', ['check', 'perf', '--load=s']);
      expect(out).toMatch(/(PASS: Throughput is|FAIL: Throughput too low:) \d+ writes\/s\n/);
      const left = await ctl('router', ['get', '/etcdctl-check-perf/', '--prefix', '--count-only', '--write-out=fields']);
      expect(left.out).toContain('"Count" : 0');
    });

  it.each([
    [['member', 'add', 'x', '--peer-urls=http://127.0.0.1:1'], 'MemberAdd is not supported'],
    [['member', 'remove', '1'], 'MemberRemove is not supported'],
    [['move-leader', '1'], 'MoveLeader is not supported'],
    [['downgrade', 'validate', '3.5'], 'Downgrade is not supported'],
    [['snapshot', 'save', '/dev/null'], 'Snapshot is not supported'],
    [['user', 'add', 'x:y'], 'authentication is not enabled'],
    [['auth', 'enable'], 'authentication is not enabled'],
  ])('is refused by name: %j', async (args, text) => {
    const { code, err } = await ctl('router', args);
    expect(code).not.toBe(0);
    expect(err).toContain(text);
  });
});

/** Lines of the client's own log have the time in front. */
function withoutTimes(text: string): string {
  return text.replaceAll(/"ts":"[^"]*"/g, '"ts":""').replaceAll(/"target":"[^"]*"/g, '"target":""');
}

function withoutIdentity({ code, out, err }: Answer): Answer {
  const bare = out
    .replaceAll(/"(cluster_id|member_id|raft_term)":\d+/g, '"$1":0')
    .replaceAll(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : 0');
  return { code, out: bare, err };
}
