import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type BackendPlace, parseTopology, parseTopologyDocuments, type ParseTopologyOptions } from './parse-topology.js';
import { TopologyError, type TopologyProblem } from './topology-error.js';
import type { TopologyDocument } from './topology-version.js';

/** The problems of a text, as `line:column path: message`. */
function problems(text: string, options?: ParseTopologyOptions): string[] {
  try {
    parseTopology(text, 'topology.yaml', { directory: '/data', ...options });
  } catch (error) {
    if (error instanceof TopologyError) {
      return error.problems.map(({ line, column, path, message }: TopologyProblem) => `${line}:${column} ${path}: ${message}`);
    }
    throw error;
  }
  return [];
}

/** A document of one backend whose lines after name and endpoint are given. */
function backend(...lines: string[]): string {
  return ['backends:', '- name: shirts', '  endpoint: sqlite://shirts.db', ...lines.map((line) => `  ${line}`)].join('\n');
}

const pods = 'prefix: {prefix: pods}';

describe('parseTopology', () => {
  it('reads the reference documentation with every matcher and every tuning block', () => {
    const topology = parseTopology(
      `
backends:
- name: tenant
  endpoint: sqlite:///db/tenant.db?_journal=WAL&cache=shared
  customresource:
    group: product.webshop.harikube.info/v1
    kind: tenants
- name: system
  endpoint: sqlite://./db/system.db?synchronous=NORMAL&_busy_timeout=5000
  namespace:
    namespace: kube-system
    kinds: [services, pods]
  connectionPool: {maxIdle: 2, maxOpen: 5, maxLifeTime: 5m0s, maxIdleLifeTime: 1h}
  compactInterval: 5m0s
  compactIntervalJitter: 10
  compactTimeout: 5s
  compactMinRetain: 1000
  compactBatchSize: 500
  disableStorageLevelFiltering: true
- name: other
  endpoint: sqlite://other.db
  namespace: {namespace: other, kinds: []}
- name: leases
  endpoint: sqlite://leases.db
  prefix: {prefix: leases/}
- name: odd
  endpoint: sqlite://odd.db
  regexp: {prefix: '^/registry/', key: '[13579]$'}
`,
      'topology.yaml',
      { directory: '/data' },
    );
    expect(topology.registeredNames()).toEqual(['tenant', 'system', 'other', 'leases', 'odd', 'main']);
    expect(topology.rules.map(({ matcher }) => matcher)).toEqual([
      { type: 'customresource', group: 'product.webshop.harikube.info', kind: 'tenants' },
      { type: 'namespace', namespace: 'kube-system', kinds: ['pods', 'services'] },
      { type: 'namespace', namespace: 'other', kinds: [] },
      { type: 'prefix', prefix: 'leases' },
      { type: 'regexp', prefix: '^/registry/', key: '[13579]$' },
    ]);
    expect(topology.rules[0]).toEqual({
      name: 'tenant',
      matcher: { type: 'customresource', group: 'product.webshop.harikube.info', kind: 'tenants' },
      dataSourceName: 'sqlite:///db/tenant.db?_journal=WAL&cache=shared',
      endpoint: { scheme: 'sqlite', path: '/db/tenant.db', synchronous: 'full', busyTimeoutMs: 30_000 },
      tls: null,
      pool: {},
      compaction: {},
      disableStorageLevelFiltering: false,
      line: 3,
    });
    expect(topology.rules[1]).toMatchObject({
      endpoint: { path: '/data/db/system.db', synchronous: 'normal', busyTimeoutMs: 5000 },
      pool: { maxIdle: 2, maxOpen: 5, maxLifeTimeMs: 300_000, maxIdleLifeTimeMs: 3_600_000 },
      compaction: { intervalMs: 300_000, intervalJitterPercent: 10, timeoutMs: 5000, minRetain: 1000, batchSize: 500 },
      disableStorageLevelFiltering: true,
      line: 8,
    });
  });

  it('finds the files of TLS in the folder that is told, and then beside the topology', () => {
    const text = `backends: [{name: a, endpoint: "https://db", prefix: {prefix: pods}, backendTLS: {caFile: ca.crt, certFile: /c.crt, keyFile: k/k.key}}]`;
    const tlsOf = (options: ParseTopologyOptions): unknown => parseTopology(text, 'topology.yaml', options).rules[0]?.tls;
    expect(tlsOf({ tlsDirectory: '/tls', directory: '/data' })).toEqual({
      caFile: '/tls/ca.crt',
      certFile: '/c.crt',
      keyFile: '/tls/k/k.key',
      skipVerify: false,
    });
    expect(tlsOf({ directory: '/data' })).toMatchObject({ caFile: '/data/ca.crt' });
  });

  it('reads a topology without rules', () => {
    expect(parseTopology('backends: []', 'topology.yaml').registeredNames()).toEqual(['main']);
  });

  it('reports every problem at once, in the order of the document', () => {
    expect(
      problems(`
backends:
- name: Tenant
  endpoint: nats://shop:s3cret@db/tenant
  prefix: {prefix: pods}
  compactInterval: soon
- name: main
  endpoint: sqlite://main.db
- endpoint: sqlite://x.db
  customresource: {group: example.com, king: users}
  namespace: {namespace: x}
`),
    ).toEqual([
      '3:9 backends[0].name: invalid name "Tenant": use lower-case letters, digits and "-", at most 63',
      '4:13 backends[0].endpoint: endpoint "nats://shop:***@db/tenant": scheme "nats" is recognised but not supported; use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
      '6:20 backends[0].compactInterval: must be a duration such as 5m0s, 1h or 100ms, is the text "soon"',
      '7:3 backends[1]: no matcher: give exactly one of customresource, namespace, prefix, regexp',
      '7:9 backends[1].name: the name "main" is reserved for the default backend; choose another',
      '9:3 backends[2]: "name" is missing',
      '10:40 backends[2].customresource: unknown key "king" (did you mean "kind"?)',
      '11:14 backends[2].namespace: 2 matchers (customresource, namespace): give exactly one',
    ]);
  });

  it('puts file, line, column and path into the message', () => {
    expect(() => parseTopology(backend('prefix: {prefix: ""}', 'color: red'), 'shop.yaml')).toThrow(
      new TopologyError([
        {
          file: 'shop.yaml',
          line: 4,
          column: 20,
          path: 'backends[0].prefix.prefix',
          message: 'must not be empty; leave it out or give a value',
        },
        { file: 'shop.yaml', line: 5, column: 3, path: 'backends[0]', message: 'unknown key "color"' },
      ]),
    );
    expect(new TopologyError([{ file: 'shop.yaml', line: 4, column: 20, path: 'a.b', message: 'm' }]).message).toBe(
      'shop.yaml:4:20: a.b: m',
    );
  });

  it.each([
    ['', '1:1 : the topology is empty; write "backends: []" for one without rules'],
    ['# nothing', '1:1 : the topology is empty; write "backends: []" for one without rules'],
    ['{}', '1:1 : "backends" is missing'],
    ['backend: []', '1:1 : unknown key "backend" (did you mean "backends"?)'],
    ['backends: {}', '1:11 backends: must be a list, is a mapping'],
    ['backends:', '1:1 backends: "backends" has no value'],
    ['- a', '1:1 : must be a mapping with backends, is a list'],
    ['backends: [a]', '1:12 backends[0]: must be a mapping with name, endpoint,'],
    ['backends: []\n---\nbackends: []', '2:1 : a second document begins here; a topology is one'],
    ['backends: [', '1:12 : Flow sequence in block collection'],
    [backend(pods, pods), '5:3 : Map keys must be unique'],
    [backend(pods, 'pods: true'), '5:3 backends[0]: unknown key "pods"'],
    [backend('name: shirts', pods), '4:3 : Map keys must be unique'],
    [backend('prefix: pods'), '4:11 backends[0].prefix: must be a mapping with prefix, is the text "pods"'],
    [backend('prefix: {prefix: 5}'), '4:20 backends[0].prefix.prefix: must be a text, is the number 5; put it in quotes'],
    [backend('prefix: {}'), '4:11 backends[0].prefix: "prefix" is missing'],
    [backend('prefix: {prefix: Pods}'), '4:20 backends[0].prefix.prefix: invalid prefix "Pods"'],
    [backend('prefix: {prefix: pods//x}'), 'invalid prefix "pods//x"'],
    [
      backend('prefix: {prefix: apps/deployments}'),
      'can never match: kinds of the built-in group "apps" are stored without their group; use prefix: {prefix: deployments}',
    ],
    [backend('customresource: {kind: users}'), '4:19 backends[0].customresource: "group" is missing'],
    [
      backend('customresource: {group: apps, kind: deployments}'),
      'kinds of the built-in group "apps" are stored without their group; use prefix: {prefix: deployments}',
    ],
    [backend('customresource: {group: networking.k8s.io}'), 'kinds of the built-in group "networking.k8s.io"'],
    [backend('customresource: {group: Example.com}'), 'invalid group "Example.com"'],
    [backend('customresource: {group: example.com/users}'), 'what follows "/" must be a version such as v1'],
    [backend('customresource: {group: example.com, kind: User}'), 'invalid kind "User": use the plural in lower case'],
    [backend('customresource: {group: example.com, kind: ""}'), 'backends[0].customresource.kind: must not be empty'],
    [backend('namespace: {kinds: [pods]}'), '4:14 backends[0].namespace: "namespace" is missing'],
    [backend('namespace: {namespace: a.b}'), 'invalid namespace "a.b"'],
    [backend('namespace: {namespace: a, kinds: pods}'), 'backends[0].namespace.kinds: must be a list, is the text "pods"'],
    [backend('namespace: {namespace: a, kinds: [pods, Pod]}'), 'backends[0].namespace.kinds[1]: invalid kind "Pod"'],
    [backend('namespace: {namespace: a, kinds: [nodes]}'), 'kind "nodes" can never match'],
    [backend('namespace: {namespace: a, kinds: [pods, pods]}'), 'kind "pods" is listed twice'],
    [backend('regexp: {}'), 'backends[0].regexp: "key" is missing'],
    [backend('regexp: {key: "("}'), '4:17 backends[0].regexp.key: invalid expression "(": missing closing )'],
    [backend('regexp: {key: "(?=a)"}'), 'invalid expression "(?=a)": invalid or unsupported Perl syntax'],
    [backend("regexp: {prefix: '^/a/', key: '^/b/'}"), 'this rule can never match: "prefix" and "key" begin with different texts'],
    [backend(pods, 'compactMinRetain: -1'), '5:21 backends[0].compactMinRetain: -1 is out of range'],
    [backend(pods, 'compactBatchSize: 0'), 'backends[0].compactBatchSize: 0 is out of range: 1 to 1000000'],
    [backend(pods, 'compactIntervalJitter: 1.5'), 'must be a whole number, is the number 1.5'],
    [backend(pods, 'compactTimeout: 5'), 'must be a duration such as 5m0s, 1h or 100ms, is the number 5'],
    [backend(pods, 'compactTimeout: -5s'), 'a duration must not be negative, is the text "-5s"'],
    [backend(pods, 'disableStorageLevelFiltering: "yes"'), 'must be true or false, is the text "yes"'],
    [backend(pods, 'connectionPool: {maxopen: 5}'), 'unknown key "maxopen" (did you mean "maxOpen"?)'],
    [backend(pods, 'connectionPool: {maxOpen: many}'), 'must be a whole number, is the text "many"'],
    [backend(pods, 'backendTLS: {caFile: ca.pem}'), 'backendTLS has no meaning for a sqlite endpoint'],
    [backend(pods, 'backendTLS: {certFile: a}'), 'certFile and keyFile belong together'],
  ])('%# refuses %j', (text, expected) => {
    expect(problems(text).join('\n')).toContain(expected);
  });

  it.each([
    ['redis://h', 'unknown scheme "redis"'],
    ['sqlit://h', 'unknown scheme "sqlit" (did you mean "sqlite"?)'],
    ['shirts.db', 'has no scheme; use sqlite://, postgres://'],
    ['t4://u:pw@h', 'endpoint "t4://u:***@h": scheme "t4" is recognised but not supported'],
    ['https://u:pw@h/registry', 'endpoint "https://u:***@h/registry" has a path'],
    ['mysql://u:p@w@tcp(h:3306)/', 'endpoint "mysql://u:***@tcp(h:3306)/" names no database'],
    ['postgres://u:p@h/db?sslmod=off', 'unknown parameter "sslmod" (did you mean "sslmode"?)'],
    ['multi://sqlite://a.db', 'multi:// belongs to the default database (--endpoint) only'],
    ['sqlite://', 'names no file'],
    ['sqlite://:memory:', 'is not a file'],
    ['sqlite://a.db?_journal=DELETE', 'parameter _journal=DELETE is not supported; the journal is always WAL'],
    ['sqlite://a.db?synchronous=OFF', 'parameter synchronous=OFF is not supported; use FULL'],
    ['sqlite://a.db?_jornal=WAL', 'unknown parameter "_jornal" (did you mean "_journal"?)'],
  ])('refuses the endpoint %s', (endpoint, expected) => {
    const text = `backends:\n- name: shirts\n  endpoint: "${endpoint}"\n  ${pods}`;
    const found = problems(text);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain('3:13 backends[0].endpoint: ');
    expect(found[0]).toContain(expected);
  });

  const two = (first: string, second: string): string =>
    ['backends:', '- name: a', '  endpoint: sqlite://a.db', `  ${first}`, '- name: b', '  endpoint: sqlite://b.db', `  ${second}`].join(
      '\n',
    );

  it.each([
    ['prefix: {prefix: pods}', 'prefix: {prefix: pods/}'],
    ['prefix: {prefix: pods}', 'prefix: {prefix: /registry/pods/}'],
    ['prefix: {prefix: nodes}', 'prefix: {prefix: minions}'],
    ['prefix: {prefix: services}', 'prefix: {prefix: services/specs}'],
    ['customresource: {group: example.com}', 'customresource: {group: example.com/v1}'],
    ['customresource: {group: example.com/v1, kind: users}', 'customresource: {group: example.com/v2, kind: users}'],
    ['customresource: {group: example.com}', 'prefix: {prefix: example.com}'],
    ['namespace: {namespace: x}', 'namespace: {namespace: x, kinds: []}'],
    ['namespace: {namespace: x, kinds: [pods, services]}', 'namespace: {namespace: x, kinds: [services, pods]}'],
    ["regexp: {key: 'x$'}", "regexp: {key: 'x$'}"],
    ["regexp: {key: '.*'}", "regexp: {prefix: '^'}"],
  ])('refuses two rules that differ only in what is ignored: %s and %s', (first, second) => {
    expect(problems(two(first, second)).join('\n')).toContain(
      'this rule takes the same keys as backends[0] "a" (line 2): they differ in nothing, or in what is ignored',
    );
  });

  it.each([
    ['customresource: {group: example.com}', 'customresource: {group: example.com, kind: users}'],
    ['prefix: {prefix: pods}', 'namespace: {namespace: x, kinds: [pods]}'],
    ['prefix: {prefix: /registry/}', 'namespace: {namespace: x}'],
    ['prefix: {prefix: /registry/p}', 'prefix: {prefix: pods}'],
    ['namespace: {namespace: x}', 'namespace: {namespace: x, kinds: [pods]}'],
    ['namespace: {namespace: x}', 'prefix: {prefix: /registry/pods/x/}'],
    ["regexp: {key: '.*'}", 'prefix: {prefix: pods}'],
    ["regexp: {key: '^/registry/pods/.*'}", 'namespace: {namespace: x, kinds: [pods]}'],
    ['prefix: {prefix: /registry/}', "regexp: {key: '^/registry/pods/x'}"],
  ])('refuses a rule that can never match: %s before %s', (first, second) => {
    expect(problems(two(first, second)).join('\n')).toContain(
      'can never match: backends[0] "a" (line 2) comes first and takes every key of it',
    );
  });

  it.each([
    ['customresource: {group: example.com, kind: users}', 'customresource: {group: example.com}'],
    ['namespace: {namespace: x, kinds: [pods]}', 'prefix: {prefix: pods}'],
    ['namespace: {namespace: x}', 'prefix: {prefix: namespaces}'],
    ['namespace: {namespace: x}', 'namespace: {namespace: y}'],
    ['prefix: {prefix: pods}', 'prefix: {prefix: podtemplates}'],
    ['prefix: {prefix: services}', 'prefix: {prefix: endpoints}'],
    ["regexp: {key: '[0-4]$'}", "regexp: {key: '[5-9]$'}"],
    ["regexp: {key: '^/registry/pods/|x'}", 'prefix: {prefix: pods}'],
    ["regexp: {key: '^/registry/podss*/'}", 'prefix: {prefix: pods}'],
    ["regexp: {key: '^$'}", 'prefix: {prefix: pods}'],
  ])('lets %s stand before %s', (first, second) => {
    expect(problems(two(first, second))).toEqual([]);
  });

  it('refuses a name used twice', () => {
    expect(problems(two(pods, 'prefix: {prefix: secrets}').replace('name: b', 'name: a'))).toEqual([
      '5:9 backends[1].name: the name "a" is used twice: also by backends[0] "a" (line 2)',
    ]);
  });

  it('refuses two endpoints that are the same file', () => {
    const text = two(pods, 'prefix: {prefix: secrets}').replace('sqlite://b.db', 'sqlite:///data/x/../a.db?synchronous=NORMAL');
    expect(problems(text)).toEqual([
      '6:13 backends[1].endpoint: endpoint "sqlite:///data/x/../a.db?synchronous=NORMAL" is the same database as that of backends[0] "a" (line 2)',
    ]);
  });

  it('refuses an endpoint that is the default database', () => {
    expect(problems(backend(pods), { defaultDataSourceName: 'multi://sqlite://./shirts.db' })).toEqual([
      '3:13 backends[0].endpoint: endpoint "sqlite://shirts.db" is the same database as that of the default backend, "multi://sqlite://./shirts.db"',
    ]);
  });

  it('sees through links to the same file', () => {
    const directory = mkdtempSync(join(tmpdir(), 'topology-'));
    try {
      mkdirSync(join(directory, 'db'));
      symlinkSync(join(directory, 'db'), join(directory, 'link'));
      const text = two(pods, 'prefix: {prefix: secrets}')
        .replace('sqlite://a.db', 'sqlite://db/x.db')
        .replace('sqlite://b.db', 'sqlite://link/x.db');
      expect(problems(text, { directory })).toEqual([expect.stringContaining('is the same database as that of backends[0] "a"')]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('places keys below the etcd prefix that it is given', () => {
    const topology = parseTopology(backend(pods), 'topology.yaml', { etcdPrefix: '/custom' });
    expect(topology.route(Buffer.from('/custom/pods/ns/x'))).toBe('shirts');
    expect(topology.route(Buffer.from('/registry/pods/ns/x'))).toBe('main');
  });
});

describe('parseTopologyDocuments', () => {
  const rule = (name: string, kind = name): string =>
    `backends:\n- name: ${name}\n  endpoint: sqlite://${name}.db\n  customresource: {group: shop.example.com, kind: ${kind}}\n`;
  const problemsOf = (documents: readonly TopologyDocument[], options?: ParseTopologyOptions): readonly TopologyProblem[] => {
    try {
      parseTopologyDocuments(documents, { directory: '/data', ...options });
    } catch (error) {
      if (error instanceof TopologyError) return error.problems;
      throw error;
    }
    return [];
  };
  const lines = (documents: readonly TopologyDocument[], options?: ParseTopologyOptions): string[] => {
    const problems = problemsOf(documents, options);
    return problems.length === 0 ? [] : new TopologyError(problems).message.split('\n');
  };

  it('takes the rules in the order of the names, whatever order the documents come in', () => {
    const documents = [
      { name: '10-orders.yaml', text: rule('orders') },
      { name: '02-users.yaml', text: `${rule('users')}- name: rest\n  endpoint: sqlite://rest.db\n  prefix: {prefix: pods}\n` },
      { name: '01-none.yaml', text: 'backends: []\n' },
    ];
    const topology = parseTopologyDocuments(documents, { directory: '/data' });
    expect(topology.registeredNames()).toEqual(['users', 'rest', 'orders', 'main']);
    expect(topology.rules.map(({ line }) => line)).toEqual([2, 5, 2]);
  });

  it('is a topology without rules when there is no document', () => {
    expect(parseTopologyDocuments([]).registeredNames()).toEqual(['main']);
  });

  it('reports the problems of every document by its name', () => {
    expect(
      lines([
        { name: '2-b.yaml', text: 'backends: 1\n' },
        { name: '1-a.yaml', text: '' },
        { name: '3-c.yaml', text: rule('main') },
      ]),
    ).toEqual([
      '1-a.yaml:1:1: the topology is empty; write "backends: []" for one without rules',
      '2-b.yaml:1:11: backends: must be a list, is the number 1',
      '3-c.yaml:2:9: backends[0].name: the name "main" is reserved for the default backend; choose another',
    ]);
  });

  it('reports what documents do to each other in the later one, and names the other', () => {
    const same = `${rule('users')}- name: other\n  endpoint: sqlite://main.db\n  prefix: {prefix: pods}\n`;
    expect(
      lines(
        [
          { name: '2-b.yaml', text: same },
          { name: '1-a.yaml', text: `# users\n${rule('users')}` },
        ],
        { defaultDataSourceName: 'multi://sqlite://main.db' },
      ),
    ).toEqual([
      '2-b.yaml:2:9: backends[0].name: the name "users" is used twice: also by backends[0] "users" (1-a.yaml, line 3)',
      '2-b.yaml:3:13: backends[0].endpoint: endpoint "sqlite://users.db" is the same database as that of backends[0] "users" (1-a.yaml, line 3)',
      '2-b.yaml:4:19: backends[0].customresource: this rule takes the same keys as backends[0] "users" (1-a.yaml, line 3): they differ in nothing, or in what is ignored',
      '2-b.yaml:6:13: backends[1].endpoint: endpoint "sqlite://main.db" is the same database as that of the default backend, "multi://sqlite://main.db"',
    ]);
  });

  it('names another backend as it is told to, and says where it is', () => {
    const documents = [
      { name: 'one', text: rule('users') },
      { name: 'two', text: `${rule('orders', 'users')}- name: orders\n  endpoint: sqlite://o.db\n  prefix: {prefix: pods}\n` },
    ];
    const nameBackend = ({ file, path, name, isSameDocument }: BackendPlace): string => `<${file} ${path} ${name} ${isSameDocument}>`;
    expect(problemsOf(documents, { nameBackend }).map(({ path, message, other }) => [path, message, other])).toEqual([
      [
        'backends[0].customresource',
        'this rule takes the same keys as <one backends[0] users false>: they differ in nothing, or in what is ignored',
        { file: 'one', path: 'backends[0]' },
      ],
      ['backends[1].name', 'the name "orders" is used twice: also by <two backends[0] orders true>', { file: 'two', path: 'backends[0]' }],
    ]);
  });
});
