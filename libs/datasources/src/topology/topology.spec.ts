import { parseTopology } from './parse-topology.js';
import { describe, expect, it } from '@jest/globals';
import type { KeyRange } from '@harikube/keyspace';
import type { Matcher } from './key-rule.js';
import { Topology, type TopologyRule, UnknownSubjectError } from './topology.js';

function rule(name: string, matcher: Matcher): TopologyRule {
  const dataSourceName = `sqlite:///data/${name}.db`;
  return {
    name,
    matcher,
    dataSourceName,
    endpoint: { scheme: 'sqlite', path: `/data/${name}.db`, synchronous: 'full', busyTimeoutMs: 0 },
    tls: null,
    pool: {},
    compaction: {},
    disableStorageLevelFiltering: false,
    line: 0,
  };
}

function topology(matchers: Readonly<Record<string, Matcher>>, etcdPrefix?: string): Topology {
  const rules = Object.entries(matchers).map(([name, matcher]) => rule(name, matcher));
  return new Topology(rules, { defaultDataSourceName: 'sqlite:///data/main.db', ...(etcdPrefix === undefined ? {} : { etcdPrefix }) });
}

function range(start: string, end: string | null): KeyRange {
  return { start: Buffer.from(start, 'latin1'), end: end === null ? null : Buffer.from(end, 'latin1'), single: false };
}

function below(prefix: string): KeyRange {
  return range(prefix, prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1));
}

const group = 'product.webshop.harikube.info';
const everything = range('\0', null);

const customResources = topology({
  user: { type: 'customresource', group, kind: 'users' },
  shop: { type: 'customresource', group: 'stable.example.com' },
});

const kinds = topology({
  pods: { type: 'prefix', prefix: 'pods' },
  services: { type: 'prefix', prefix: 'services/specs' },
  endpoints: { type: 'prefix', prefix: 'services/endpoints' },
  nodes: { type: 'prefix', prefix: 'minions' },
});

const namespaces = topology({
  system: { type: 'namespace', namespace: 'kube-system', kinds: [] },
  team: { type: 'namespace', namespace: 'team', kinds: ['pods', 'services', `users.${group}`] },
});

const absolute = topology({ tests: { type: 'prefix', prefix: '/pods/' }, names: { type: 'prefix', prefix: '/registry/secrets/a/x-' } });

const expressions = topology({
  shard: { type: 'regexp', prefix: '^/registry/configmaps/', key: '/cm-[0-4]' },
  odd: { type: 'regexp', key: '[13579]$' },
});

describe('Topology.route', () => {
  it.each([
    // Every shape of a kind's keys goes the same way.
    [customResources, `/registry/${group}/users`, 'user'],
    [customResources, `/registry/${group}/users/`, 'user'],
    [customResources, `/registry/${group}/users/ns/`, 'user'],
    [customResources, `/registry/${group}/users/ns/x`, 'user'],
    [customResources, `/registry/${group}/users/ns/x\0`, 'user'],
    [customResources, `/registry/${group}/usersx/ns/x`, 'main'],
    [customResources, `/registry/${group}/users0`, 'main'],
    [customResources, `/registry/${group}/tenants/x`, 'main'],
    [customResources, `/registry/${group}/`, 'main'],
    [customResources, `/registry/${group}`, 'main'],
    [customResources, '/registry/stable.example.com/shirts/ns/x', 'shop'],
    [customResources, '/registry/stable.example.com', 'shop'],
    [customResources, '/registry/stable.example.com.evil/shirts/ns/x', 'main'],
    [customResources, '/registry/users/ns/x', 'main'],
    [customResources, `/other/${group}/users/ns/x`, 'main'],
    [customResources, `/registry/apiextensions.k8s.io/customresourcedefinitions/users.${group}`, 'main'],
    [kinds, '/registry/pods', 'pods'],
    [kinds, '/registry/pods/', 'pods'],
    [kinds, '/registry/pods/ns/', 'pods'],
    [kinds, '/registry/pods/ns/x', 'pods'],
    [kinds, '/registry/pods/ns/x\0', 'pods'],
    [kinds, '/registry/podtemplates/ns/x', 'main'],
    [kinds, '/registry/podskey', 'main'],
    [kinds, '/registry/services/specs', 'services'],
    [kinds, '/registry/services/specs/ns/x', 'services'],
    [kinds, '/registry/services/endpoints/ns/x', 'endpoints'],
    [kinds, '/registry/services/', 'main'],
    [kinds, '/registry/minions/n1', 'nodes'],
    [kinds, '/registry/nodes/n1', 'main'],
    [namespaces, '/registry/pods/kube-system/x', 'system'],
    [namespaces, '/registry/pods/kube-system/', 'system'],
    [namespaces, '/registry/pods/kube-system', 'main'],
    [namespaces, '/registry/pods/kube-systemx/x', 'main'],
    [namespaces, '/registry/services/specs/kube-system/x', 'system'],
    [namespaces, `/registry/${group}/users/kube-system/x`, 'system'],
    // Neither the Namespace itself nor a cluster-scoped object of the same name.
    [namespaces, '/registry/namespaces/kube-system', 'main'],
    [namespaces, '/registry/namespaces/kube-system/x', 'main'],
    [namespaces, '/registry/clusterroles/kube-system', 'main'],
    [namespaces, `/registry/${group}/tenants/kube-system`, 'main'],
    [namespaces, '/registry/minions/kube-system/x', 'main'],
    [namespaces, '/registry/apiextensions.k8s.io/customresourcedefinitions/kube-system/x', 'main'],
    [namespaces, '/registry/pods/team/x', 'team'],
    [namespaces, '/registry/services/specs/team/x', 'team'],
    [namespaces, '/registry/services/endpoints/team/x', 'main'],
    [namespaces, `/registry/${group}/users/team/x`, 'team'],
    [namespaces, '/registry/configmaps/team/x', 'main'],
    [absolute, '/pods', 'tests'],
    [absolute, '/pods/', 'tests'],
    [absolute, '/pods/ns/x', 'tests'],
    [absolute, '/podskey', 'main'],
    [absolute, '/registry/pods/ns/x', 'main'],
    [absolute, '/registry/secrets/a/x-1', 'names'],
    [absolute, '/registry/secrets/a/y-1', 'main'],
    [absolute, 'increaseRV', 'main'],
    [expressions, '/registry/configmaps/ns/cm-3', 'shard'],
    [expressions, '/registry/configmaps/ns/cm-6', 'main'],
    [expressions, '/registry/secrets/ns/cm-2', 'main'],
    [expressions, '/registry/secrets/ns/cm-3', 'odd'],
    [expressions, 'key7', 'odd'],
  ])('%# places %2$s', (rules, key, backend) => {
    expect(rules.route(Buffer.from(key))).toBe(backend);
    // The second answer comes from what is remembered of the resource.
    expect(rules.route(Buffer.from(key))).toBe(backend);
  });

  it('takes the first rule that matches', () => {
    const system: Matcher = { type: 'namespace', namespace: 'kube-system', kinds: [] };
    const pods: Matcher = { type: 'prefix', prefix: 'pods' };
    const key = Buffer.from('/registry/pods/kube-system/x');
    expect(topology({ system, pods }).route(key)).toBe('system');
    expect(topology({ pods, system }).route(key)).toBe('pods');
  });

  it('keeps the fixed keys in main whatever the rules say', () => {
    const all = topology({ all: { type: 'prefix', prefix: '/' }, odd: { type: 'regexp', key: '.*' } });
    expect(all.route(Buffer.from('/registry/health'))).toBe('main');
    expect(all.route(Buffer.from('compact_rev_key'))).toBe('main');
    expect(all.route(Buffer.from('/registry/healthy'))).toBe('all');
    expect(all.route(Buffer.from('compact_rev_keys'))).toBe('odd');
  });

  it.each([
    ['/custom/', '/custom/pods/ns/x', 'pods'],
    ['custom', '/custom/pods/ns/x', 'pods'],
    ['/custom', '/registry/pods/ns/x', 'main'],
    ['/a/b', '/a/b/pods', 'pods'],
    ['/', '/pods/ns/x', 'pods'],
  ])('reads resources below the etcd prefix %s', (etcdPrefix, key, backend) => {
    expect(topology({ pods: { type: 'prefix', prefix: 'pods' } }, etcdPrefix).route(Buffer.from(key))).toBe(backend);
  });

  it('places keys that are not UTF-8', () => {
    expect(kinds.route(Buffer.from('/registry/pods/\xff\xfe', 'latin1'))).toBe('pods');
    expect(expressions.route(Buffer.from('\xff\xfe7', 'latin1'))).toBe('odd');
  });

  it('answers the same after more resources than it remembers', () => {
    for (let index = 0; index < 20_000; index++) {
      kinds.route(Buffer.from(`/registry/kind${index}/x`));
    }
    expect(kinds.route(Buffer.from('/registry/pods/ns/x'))).toBe('pods');
  });
});

describe('Topology.backendsFor', () => {
  it.each<[string, Topology, KeyRange, string[]]>([
    ['one kind', customResources, below(`/registry/${group}/users/`), ['user']],
    ['one namespace of a kind', customResources, below(`/registry/${group}/users/ns/`), ['user']],
    ['a page of a kind', customResources, range(`/registry/${group}/users/ns/x\0`, `/registry/${group}/users0`), ['user']],
    ['a group of which one kind is routed', customResources, below(`/registry/${group}/`), ['user', 'main']],
    ['a routed group', customResources, below('/registry/stable.example.com/'), ['shop']],
    ['an unrouted kind', customResources, below('/registry/pods/'), ['main']],
    ['everything', customResources, everything, ['user', 'shop', 'main']],
    ['the etcd prefix', customResources, below('/registry/'), ['user', 'shop', 'main']],
    ['keys after the last rule', customResources, range('/registry/z', null), ['main']],
    ['services', kinds, below('/registry/services/specs/'), ['services']],
    ['services of both kinds', kinds, below('/registry/services/'), ['services', 'endpoints', 'main']],
    ['pods in two namespaces', namespaces, below('/registry/pods/'), ['system', 'team', 'main']],
    ['pods of a routed namespace', namespaces, below('/registry/pods/kube-system/'), ['system']],
    ['pods of the other routed namespace', namespaces, below('/registry/pods/team/'), ['team']],
    ['pods of an unrouted namespace', namespaces, below('/registry/pods/default/'), ['main']],
    ['pods after the last routed namespace', namespaces, range('/registry/pods/u', '/registry/pods0'), ['main']],
    ['pods after the first routed namespace', namespaces, range('/registry/pods/l', '/registry/pods0'), ['team', 'main']],
    ['a kind that only one namespace rule takes', namespaces, below('/registry/configmaps/'), ['system', 'main']],
    ['Namespaces', namespaces, below('/registry/namespaces/'), ['main']],
    ['nodes', namespaces, below('/registry/minions/'), ['main']],
    ['definitions of custom resources', namespaces, below('/registry/apiextensions.k8s.io/customresourcedefinitions/'), ['main']],
    ['several kinds', namespaces, range('/registry/a', '/registry/b'), ['system', 'main']],
    ['outside the etcd prefix', namespaces, below('/pods/'), ['main']],
    ['an absolute prefix', absolute, below('/pods/'), ['tests']],
    ['an absolute prefix and its neighbours', absolute, range('/pods', '/podz'), ['tests', 'main']],
    ['the front of an expression', expressions, below('/registry/configmaps/'), ['shard', 'odd', 'main']],
    ['outside the front of an expression', expressions, below('/registry/secrets/'), ['odd', 'main']],
    ['nothing', customResources, range('b', 'a'), ['main']],
  ])('asks no more than it must for %s', (_, rules, keys, backends) => {
    expect(rules.backendsFor(keys)).toEqual(backends);
  });

  it('asks one backend for a single key', () => {
    const key = (text: string): KeyRange => ({ start: Buffer.from(text), end: Buffer.from(`${text}\0`), single: true });
    expect(namespaces.backendsFor(key('/registry/pods'))).toEqual(['main']);
    expect(namespaces.backendsFor(key('/registry/pods/team/x'))).toEqual(['team']);
    expect(kinds.backendsFor(key('/registry/pods'))).toEqual(['pods']);
  });

  it('asks main for a range that holds a fixed key', () => {
    const all = topology({ all: { type: 'prefix', prefix: '/' } });
    expect(all.backendsFor(below('/registry/'))).toEqual(['all', 'main']);
    expect(all.backendsFor(below('/registry/pods/'))).toEqual(['all']);
  });

  it('never leaves out the backend of a key of the range', () => {
    const random = generator(20261122);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
    const segments = [
      'pods',
      'pod',
      'podsx',
      'services',
      'specs',
      'endpoints',
      'minions',
      'namespaces',
      'a.example.com',
      'b.example.com',
      'users',
      'kube-system',
      'team',
      'x',
      '',
      '0',
      'x\0',
      'health',
    ];
    const matcher = (): Matcher => {
      switch (Math.floor(random() * 6)) {
        case 0:
          return { type: 'customresource', group: pick(['a.example.com', 'b.example.com']) };
        case 1:
          return { type: 'customresource', group: pick(['a.example.com', 'b.example.com']), kind: pick(['users', 'pods']) };
        case 2:
          return {
            type: 'namespace',
            namespace: pick(['kube-system', 'team', 'x', 'specs']),
            kinds: pick([[], [], ['pods'], ['pods', 'services', 'users.a.example.com']]),
          };
        case 3:
          return {
            type: 'prefix',
            prefix: pick(['pods', 'services/specs', 'minions', 'pods/team', 'a.example.com', 'a.example.com/users']),
          };
        case 4:
          return {
            type: 'prefix',
            prefix: pick(['/', '/pods/', '/pods', '/registry/', '/registry/p', '/registry/pods/', '/registry/pods/te', '/registryx']),
          };
        default:
          return pick<Matcher>([
            { type: 'regexp', key: 'team' },
            { type: 'regexp', prefix: '^/registry/pods/', key: 'x' },
            { type: 'regexp', prefix: '^/registry/pods' },
            { type: 'regexp', key: '^/registry/(pods|services)/' },
            { type: 'regexp', key: '^/registry/pods/|x$' },
            { type: 'regexp', prefix: '^/pods/', key: '^/registry/' },
            { type: 'regexp', key: '.*' },
          ]);
      }
    };
    const key = (): string =>
      pick(['/registry', '/registry', '/registry', '', '/registryx', 'x']) +
      Array.from({ length: 1 + Math.floor(random() * 4) }, () => `/${pick(segments)}`).join('');
    const bound = (): string => pick([key(), `${key()}/`, `${key()}0`, `${key()}\0`, 'compact_rev_key', '/registry/health', '\0', '\xff']);
    const missed: unknown[] = [];
    let checked = 0;
    let narrowed = 0;
    for (let round = 0; round < 300; round++) {
      const rules = topology(
        Object.fromEntries(Array.from({ length: 1 + Math.floor(random() * 5) }, (_, index) => [`db${index}`, matcher()])),
      );
      const keys = [...Array.from({ length: 60 }, key), 'compact_rev_key', '/registry/health'];
      for (let attempt = 0; attempt < 40; attempt++) {
        const start = bound();
        const asked = range(
          start,
          random() < 0.1 ? null : random() < 0.5 && start !== '\xff' ? (below(`${start}/`).end?.toString('latin1') ?? null) : bound(),
        );
        const backends = rules.backendsFor(asked);
        narrowed += backends.length < rules.rules.length + 1 ? 1 : 0;
        for (const inside of keys) {
          const bytes = Buffer.from(inside, 'latin1');
          if (bytes.compare(asked.start) >= 0 && (asked.end === null || bytes.compare(asked.end) < 0)) {
            checked++;
            if (!backends.includes(rules.route(bytes))) {
              missed.push({ inside, asked, backends, home: rules.route(bytes), rules: rules.toJSON() });
            }
          }
        }
      }
    }
    expect(missed).toEqual([]);
    expect(checked).toBeGreaterThan(100_000);
    expect(narrowed).toBeGreaterThan(1000);
  });
});

describe('Topology.explain', () => {
  it('names the rule and the database of a key', () => {
    const explanation = customResources.explain(`/registry/${group}/users/ns/x`);
    expect(explanation).toEqual({
      subject: `/registry/${group}/users/ns/x`,
      kind: 'key',
      path: `/registry/${group}/users/ns/x`,
      placements: [
        {
          backend: 'user',
          ruleIndex: 0,
          line: null,
          matcher: `customresource group=${group} kind=users`,
          endpoint: 'sqlite:///data/user.db',
        },
      ],
      resourcePlacements: [expect.objectContaining({ backend: 'user' })],
    });
  });

  it.each([
    [customResources, `users.${group}`, `/registry/${group}/users/`, ['user']],
    [customResources, `users.v1.${group}`, `/registry/${group}/users/`, ['user']],
    [customResources, 'pods', '/registry/pods/', ['main']],
    [customResources, 'deployments.apps', '/registry/deployments/', ['main']],
    [customResources, 'ingresses.networking.k8s.io', '/registry/ingress/', ['main']],
    [
      customResources,
      'customresourcedefinitions.apiextensions.k8s.io',
      '/registry/apiextensions.k8s.io/customresourcedefinitions/',
      ['main'],
    ],
    [kinds, 'services', '/registry/services/specs/', ['services']],
    [kinds, 'nodes', '/registry/minions/', ['nodes']],
    [namespaces, 'pods', '/registry/pods/', ['system', 'team', 'main']],
    [namespaces, '/registry/pods', '/registry/pods/', ['system', 'team', 'main']],
    [namespaces, '/registry/pods/', '/registry/pods/', ['system', 'team', 'main']],
    [namespaces, '/registry/pods/team/', '/registry/pods/team/', ['team']],
  ])('%# names every database of %2$s', (rules, subject, path, backends) => {
    const explanation = rules.explain(subject);
    expect(explanation).toMatchObject({ kind: 'range', path });
    expect(explanation.placements.map(({ backend }) => backend)).toEqual(backends);
  });

  it('says that a key of main matches no rule, and where the rest of its kind lives', () => {
    const explanation = namespaces.explain('/registry/pods/default/x');
    expect(explanation.placements).toEqual([
      { backend: 'main', ruleIndex: null, line: null, matcher: 'no rule matches: the default', endpoint: 'sqlite:///data/main.db' },
    ]);
    expect(explanation.resourcePlacements.map(({ backend }) => backend)).toEqual(['system', 'team', 'main']);
  });

  it.each(['Users', 'users/x', '', 'a b', 'users.'])('refuses %j', (subject) => {
    expect(() => customResources.explain(subject)).toThrow(new UnknownSubjectError(subject));
  });

  it('says that a fixed key follows no rule', () => {
    expect(customResources.explain('/registry/health').placements[0]).toMatchObject({
      backend: 'main',
      matcher: expect.stringContaining('fixed'),
    });
    expect(customResources.explain('compact_rev_key').placements[0]).toMatchObject({
      backend: 'main',
      matcher: expect.stringContaining('fixed'),
    });
  });
});

describe('Topology', () => {
  it('tells which settings of its rules say nothing to a SQLite file', () => {
    const rule = (name: string, settings: string) =>
      `- {name: ${name}, endpoint: "sqlite://./${name}.db", prefix: {prefix: ${name}}${settings}}\n`;
    const text = `backends:\n${rule('a', '')}${rule('b', ', compactInterval: 1m, compactBatchSize: 50, connectionPool: {maxOpen: 3}')}`;
    expect(parseTopology(text, 'topology.yaml').withoutEffect()).toEqual([
      { name: 'b', setting: 'connectionPool' },
      { name: 'b', setting: 'compactInterval' },
    ]);
  });

  it('lists the names in rule order, then main', () => {
    expect(kinds.registeredNames()).toEqual(['pods', 'services', 'endpoints', 'nodes', 'main']);
  });

  it('has a form for comparing that survives JSON', () => {
    expect(JSON.parse(JSON.stringify(absolute))).toEqual({
      etcdPrefix: '/registry',
      rules: [
        { name: 'tests', endpoint: 'sqlite:///data/tests.db', matcher: { type: 'prefix', prefix: '/pods/' } },
        { name: 'names', endpoint: 'sqlite:///data/names.db', matcher: { type: 'prefix', prefix: '/registry/secrets/a/x-' } },
      ],
    });
  });
});

/** Pseudo-random numbers in [0, 1) from a seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
