import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { adoptLines } from './adopt.js';
import { etcdOf, progressLines } from './adopt-etcd-access.js';
import { leaveLines } from './leave.js';
import { LAUNCHER } from './repository.js';

const harikube = (...args: string[]) =>
  spawnSync(process.execPath, [LAUNCHER, ...args], { env: { PATH: dirname(process.execPath) }, encoding: 'utf8' });

describe('harikube adopt and leave', () => {
  it.each([
    [['adopt'], `harikube: required option '--endpoint <url>' not specified; see "harikube help"\n`, 2],
    [['adopt', '--endpoint', 'http://a', '--dry-rum'], `harikube: unknown option '--dry-rum' (Did you mean --dry-run?)\n`, 2],
    [['leave', '--endpoint', 'http://a', '--yess'], `harikube: unknown option '--yess' (Did you mean --yes?)\n`, 2],
    [
      ['adopt', '--endpoint', 'sqlite://x.db'],
      'harikube: --endpoint "sqlite://x.db" is not an etcd; write http://HOST:PORT or https://HOST:PORT\n',
      1,
    ],
    [
      ['leave', '--endpoint', 'https://root:secret@a?max-txn=1'],
      'harikube: endpoint "https://root:***@a?max-txn=1": unknown parameter "max-txn"; there are max-txn-ops, max-request-bytes\n',
      1,
    ],
    [
      ['adopt', '--endpoint', 'https://a', '--cert-file', 'x'],
      'harikube: --cert-file and --key-file belong together; give both or none\n',
      1,
    ],
  ])('refuse %j', (args, stderr, status) => {
    expect(harikube(...args)).toMatchObject({ status, stdout: '', stderr });
  });

  it('say what they do', () => {
    expect(harikube('adopt', '--help').stdout).toMatch(
      /stop\s+its kube-apiservers first[^]*--dry-run[^]*It may be cut short and called again/,
    );
    expect(harikube('leave', '--help').stdout).toMatch(/--yes[^]*raised above every one that the router handed out/);
    expect(harikube('help').stdout).toMatch(/^ {2}adopt [^]*^ {2}leave /m);
  });
});

const ADOPTION = {
  location: 'http://a:2379',
  isAdopted: false,
  foreignRevisions: 0n,
  keys: 10_257,
  bytes: 34_000_000,
  leases: 12,
  leasedKeys: 1,
  tooLarge: [],
  revision: 15_321n,
};

describe('adoptLines', () => {
  it('tells in a dry run what would change, and what cannot', () => {
    const tooLarge = [
      { key: '/registry/secrets/a/b', bytes: 1_572_000, isLeased: false },
      { key: '/registry/events/a/b', bytes: 1_572_001, isLeased: true },
    ];
    expect(adoptLines({ ...ADOPTION, tooLarge, foreignRevisions: 3n }, true)).toEqual([
      'http://a:2379 holds 10257 keys (32.4 MiB) at revision 15321',
      '  every key keeps its value, revisions and version; its metadata is written beside it, under harikube.io/',
      "  12 leases become the router's, with their ids and times; 1 key with a lease put again without it",
      '  what somebody else wrote below the router in 3 revisions becomes its newest writes',
      '  /registry/secrets/a/b has 1572000 bytes: its next value has to be smaller',
      '  /registry/events/a/b has 1572001 bytes: it has a lease and cannot be put again, so the etcd cannot be adopted',
      'nothing was changed; leave --dry-run out to adopt it',
    ]);
  });

  it('tells what was done, or that there was nothing to do', () => {
    expect(adoptLines(ADOPTION, false)).toEqual([
      "http://a:2379 is adopted: 10257 keys (32.4 MiB), 12 leases; the router's clock starts above revision 15321",
      'next: harikube router --endpoint=http://a:2379, and kube-apiserver with the router in --etcd-servers',
    ]);
    expect(adoptLines({ ...ADOPTION, isAdopted: true }, false)).toEqual([
      "http://a:2379 is the router's already: 10257 keys (32.4 MiB); there is nothing to do",
    ]);
  });
});

describe('leaveLines', () => {
  const plan = { location: 'http://a:2379', keys: 3, leases: 1, revision: 900n, missingRevisions: 0 };

  it('tells how many revisions are to come, and the way without them', () => {
    expect(leaveLines({ ...plan, missingRevisions: 500 })).toEqual([
      'http://a:2379 holds 3 keys and 1 lease',
      '  its revision is raised by 500 to 900, the last that the router handed out: one txn for each number',
      '  offline it is done at once: etcdctl snapshot save FILE, then etcdutl snapshot restore FILE --bump-revision 500 --mark-compacted',
      '  every key is written once more, so that no resourceVersion steps back; leases become those of etcd again',
      '  what stands under harikube.io/ is removed',
    ]);
    expect(leaveLines(plan)).toContain('  its revision is above 900 already, the last that the router handed out');
  });
});

describe('progressLines', () => {
  it('tells about each phase now and then, and at its end', () => {
    const lines: string[] = [];
    const tell = progressLines((line) => lines.push(line));
    for (let done = 0; done <= 100; done += 4) tell({ phase: 'keys', done, total: 100 });
    tell({ phase: 'revisions', done: 7, total: 7 });
    tell({ phase: 'leases', done: 0, total: 0 });
    expect(lines).toEqual([
      ...[0, 12, 24, 36, 48, 60, 72, 84, 96, 100].map((done) => `  ${done} of 100 keys done`),
      '  7 of 7 revisions raised',
    ]);
  });
});

describe('etcdOf', () => {
  it('takes the spelling of the router, and the files of TLS', () => {
    expect(etcdOf({ endpoint: 'multi://https://a:1', caFile: 'ca', skipVerify: false })).toMatchObject({
      endpoint: { scheme: 'https', addresses: [{ host: 'a', port: 1 }] },
      settings: { tls: { caFile: 'ca', certFile: null, keyFile: null, skipVerify: false } },
    });
  });
});
