/** Every way to write a wrong TopologyConfig that its webhook can know by itself, each with what it says. */
import { ABANDON_DATA_ANNOTATION, DEPLOY_ORDER_ANNOTATION, TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { apiVersionOf } from '@harikube/kube';

export interface WrongConfig {
  readonly what: string;
  readonly config: TopologyConfig;
  /** Those that are there already. */
  readonly others: readonly TopologyConfig[];
  /** Every cause: its field and its message without `Invalid value: `. */
  readonly causes: readonly (readonly [field: string, message: string])[];
  /** Of what the API server knows by the schema, and says before the webhook is asked: a part of it. */
  readonly bySchema: readonly string[];
}

export const WRONG_NAMESPACE = 'default';

const SHIRTS = { name: 'shirts', endpoint: 'sqlite:///db/shirts.db' };
const KIND = { customresource: { group: 'stable.example.com', kind: 'shirts' } };
const GROUP = { customresource: { group: 'stable.example.com' } };
const PODS = { name: 'pods', endpoint: 'sqlite:///db/pods.db', prefix: { prefix: 'pods' } };

export function topologyConfig(name: string, backends: readonly object[], annotations?: Readonly<Record<string, string>>): TopologyConfig {
  return {
    apiVersion: apiVersionOf(TOPOLOGY_CONFIGS),
    kind: TOPOLOGY_CONFIGS.kind,
    metadata: { name, namespace: WRONG_NAMESPACE, ...(annotations === undefined ? {} : { annotations }) },
    spec: { targetSecret: 'harikube/topology-config', backends },
  } as TopologyConfig;
}

const wrong = (
  what: string,
  backends: readonly object[],
  causes: WrongConfig['causes'],
  more: {
    readonly others?: readonly TopologyConfig[];
    readonly annotations?: Readonly<Record<string, string>>;
    readonly bySchema?: readonly string[];
  } = {},
): WrongConfig => ({
  what,
  config: topologyConfig('wrong', backends, more.annotations),
  others: more.others ?? [],
  bySchema: more.bySchema ?? [],
  causes,
});

const AT = 'spec.backends[0]';
const endpoint = (text: string): object[] => [{ ...SHIRTS, ...KIND, endpoint: text }];
const wrongEndpoint = (what: string, text: string, ...messages: string[]): WrongConfig =>
  wrong(
    what,
    endpoint(text),
    messages.map((message) => [`${AT}.endpoint`, message]),
  );
const matcher = (value: object): object[] => [{ ...SHIRTS, ...value }];

const EXACTLY_ONE = 'exactly one of customresource, namespace, prefix and regexp is to be set';

export const WRONG_CONFIGS: readonly WrongConfig[] = [
  wrong('no matcher', [SHIRTS], [[AT, 'no matcher: give exactly one of customresource, namespace, prefix, regexp']], {
    bySchema: [EXACTLY_ONE],
  }),
  wrong(
    'two matchers',
    matcher({ ...KIND, prefix: { prefix: 'pods' } }),
    [[`${AT}.prefix`, '2 matchers (customresource, prefix): give exactly one']],
    { bySchema: [EXACTLY_ONE] },
  ),
  wrong(
    'the name of the default backend',
    matcher({ ...KIND, name: 'main' }),
    [[`${AT}.name`, 'the name "main" is reserved for the default backend; choose another']],
    { bySchema: [`${AT}.name`, "'main' is the name of the default backend; choose another"] },
  ),
  wrong(
    'a name twice',
    [
      { ...SHIRTS, ...KIND },
      { ...PODS, name: 'shirts' },
    ],
    [['spec.backends[1].name', 'the name "shirts" is used twice: also by spec.backends[0] "shirts"; choose another name']],
    { bySchema: ['spec.backends', 'two backends have the same name'] },
  ),
  wrong(
    'a database twice',
    [
      { ...SHIRTS, ...KIND },
      { ...PODS, endpoint: SHIRTS.endpoint },
    ],
    [
      [
        'spec.backends[1].endpoint',
        'endpoint "sqlite:///db/shirts.db" is the same database as that of spec.backends[0] "shirts"; give each backend a database of its own',
      ],
    ],
    { bySchema: ['spec.backends', 'two backends have the same endpoint'] },
  ),
  wrong(
    'an expression that does not compile',
    matcher({ regexp: { key: 'a(b' } }),
    [[`${AT}.regexp.key`, 'invalid expression "a(b": missing closing ): `a(b` (the syntax is RE2)']],
    { bySchema: [`${AT}.regexp.key`, 'missing closing )'] },
  ),
  wrong('an expression of nothing', matcher({ regexp: {} }), [[`${AT}.regexp`, '"key" is missing']], {
    bySchema: [`${AT}.regexp`, 'at least one of prefix and key is to be set'],
  }),
  wrong(
    'TLS for a file',
    matcher({ ...KIND, backendTLS: { skipVerify: true } }),
    [[`${AT}.backendTLS`, 'backendTLS has no meaning for a sqlite endpoint; leave it out']],
    { bySchema: [`${AT}.backendTLS`, 'backendTLS has no meaning for a sqlite endpoint; leave it out'] },
  ),
  wrong(
    'a reference that is none',
    endpoint('secret://shop/databases'),
    [
      [
        `${AT}.endpoint`,
        'endpoint "secret://shop/databases": unknown scheme "secret"; use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
      ],
    ],
    { bySchema: [`${AT}.endpoint`, 'a reference is written secret://NAMESPACE/NAME/KEY'] },
  ),
  wrongEndpoint(
    'a scheme that nobody knows',
    'redis://db/0',
    'endpoint "redis://db/0": unknown scheme "redis"; use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
  ),
  wrongEndpoint(
    'a scheme with a slip',
    'sqlit://db/shirts.db',
    'endpoint "sqlit://db/shirts.db": unknown scheme "sqlit" (did you mean "sqlite"?); use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
  ),
  wrongEndpoint(
    'a database that is not served, without its password',
    'nats://shop:Canary-1@db/shirts',
    'endpoint "nats://shop:***@db/shirts": scheme "nats" is recognised but not supported; use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
  ),
  wrongEndpoint(
    'what stands before the default database only',
    'multi://sqlite:///db/shirts.db',
    'endpoint "multi://sqlite:///db/shirts.db": multi:// belongs to the default database (--endpoint) only; leave it out',
  ),
  wrongEndpoint('a database without a file', 'sqlite://', 'endpoint "sqlite://" names no file; write sqlite://PATH'),
  wrongEndpoint(
    'a database in memory',
    'sqlite://:memory:',
    'endpoint "sqlite://:memory:": ":memory:" is not a file\'s path; every database is a file',
  ),
  wrongEndpoint('a folder', 'sqlite:///db/', 'endpoint "sqlite:///db/": "/db/" is not a file\'s path'),
  wrongEndpoint(
    'parameters that nobody knows, each of them',
    'sqlite:///db/x.db?_jornal=WAL&mode=rw',
    'endpoint "sqlite:///db/x.db?_jornal=WAL&mode=rw": unknown parameter "_jornal" (did you mean "_journal"?); there are _journal, cache, _synchronous, _busy_timeout, _txlock',
    'endpoint "sqlite:///db/x.db?_jornal=WAL&mode=rw": unknown parameter "mode"; there are _journal, cache, _synchronous, _busy_timeout, _txlock',
  ),
  wrongEndpoint(
    'a journal that is not served',
    'sqlite:///db/x.db?_journal=DELETE',
    'endpoint "sqlite:///db/x.db?_journal=DELETE": parameter _journal=DELETE is not supported; the journal is always WAL',
  ),
  wrongEndpoint(
    'writes that are not synchronous',
    'sqlite:///db/x.db?_synchronous=OFF',
    'endpoint "sqlite:///db/x.db?_synchronous=OFF": parameter _synchronous=OFF is not supported; use FULL (an acknowledged write survives a power cut) or NORMAL (the last ones may be lost)',
  ),
  wrong('a built-in group', matcher({ customresource: { group: 'apps', kind: 'deployments' } }), [
    [
      `${AT}.customresource.group`,
      'this rule can never match: kinds of the built-in group "apps" are stored without their group; use prefix: {prefix: deployments}',
    ],
  ]),
  wrong('a built-in group before a plural', matcher({ prefix: { prefix: 'apps/deployments' } }), [
    [
      `${AT}.prefix.prefix`,
      'this rule can never match: kinds of the built-in group "apps" are stored without their group; use prefix: {prefix: deployments}',
    ],
  ]),
  wrong('a kind that lives in no namespace', matcher({ namespace: { namespace: 'one', kinds: ['pods', 'nodes'] } }), [
    [`${AT}.namespace.kinds[1]`, 'kind "nodes" can never match: its objects live in no namespace'],
  ]),
  wrong('expressions that exclude each other', matcher({ regexp: { prefix: '^/registry/a', key: '^/registry/b' } }), [
    [`${AT}.regexp`, 'this rule can never match: "prefix" and "key" begin with different texts'],
  ]),
  wrong(
    'a rule behind one that takes everything of it',
    [
      { ...PODS, name: 'group', endpoint: 'sqlite:///db/group.db', prefix: undefined, ...GROUP },
      { ...SHIRTS, ...KIND },
    ],
    [
      [
        'spec.backends[1].customresource',
        'this rule can never match: spec.backends[0] "group" comes first and takes every key of it; put it before that one, or leave it out',
      ],
    ],
  ),
  wrong(
    'a rule twice, once with a version that is ignored',
    [
      { ...SHIRTS, ...KIND },
      { name: 'again', endpoint: 'sqlite:///db/again.db', customresource: { group: 'stable.example.com/v1', kind: 'shirts' } },
    ],
    [
      [
        'spec.backends[1].customresource',
        'this rule takes the same keys as spec.backends[0] "shirts": they differ in nothing, or in what is ignored; leave one of them out',
      ],
    ],
  ),
  wrong(
    'a database twice, with other options',
    [
      { ...SHIRTS, ...KIND },
      { ...PODS, endpoint: 'sqlite:///db/../db/shirts.db?_synchronous=NORMAL' },
    ],
    [
      [
        'spec.backends[1].endpoint',
        'endpoint "sqlite:///db/../db/shirts.db?_synchronous=NORMAL" is the same database as that of spec.backends[0] "shirts"; give each backend a database of its own',
      ],
    ],
  ),
  wrong(
    'several mistakes at once',
    [{ ...SHIRTS, endpoint: 'redis://x', prefix: { prefix: 'apps/deployments' } }],
    [
      [
        `${AT}.endpoint`,
        'endpoint "redis://x": unknown scheme "redis"; use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd',
      ],
      [
        `${AT}.prefix.prefix`,
        'this rule can never match: kinds of the built-in group "apps" are stored without their group; use prefix: {prefix: deployments}',
      ],
    ],
  ),
  wrong(
    'a name that another object has',
    [{ ...PODS, name: 'shirts' }],
    [
      [
        `${AT}.name`,
        'the name "shirts" is used twice: also by spec.backends[0] "shirts" of TopologyConfig default/other; choose another name',
      ],
    ],
    { others: [topologyConfig('other', [{ ...SHIRTS, ...KIND }])] },
  ),
  wrong(
    'a database that another object has',
    [{ ...PODS, endpoint: 'sqlite:///db/shirts.db?cache=shared' }],
    [
      [
        `${AT}.endpoint`,
        'endpoint "sqlite:///db/shirts.db?cache=shared" is the same database as that of spec.backends[0] "shirts" of TopologyConfig default/other; give each backend a database of its own',
      ],
    ],
    { others: [topologyConfig('other', [{ ...SHIRTS, ...KIND }])] },
  ),
  wrong(
    'a database that another object finds in the same Secret',
    [{ ...PODS, endpoint: 'secret://shop/databases/dsn' }],
    [
      [
        `${AT}.endpoint`,
        'endpoint "secret://shop/databases/dsn" is the same database as that of spec.backends[0] "shirts" of TopologyConfig default/other; give each backend a database of its own',
      ],
    ],
    { others: [topologyConfig('other', [{ ...SHIRTS, ...KIND, endpoint: 'secret://shop/databases/dsn' }])] },
  ),
  wrong(
    'a rule behind one of another object that takes everything of it',
    [{ ...SHIRTS, ...KIND }],
    [
      [
        `${AT}.customresource`,
        'this rule can never match: spec.backends[0] "group" of TopologyConfig default/other comes first and takes every key of it; put it before that one, or leave it out',
      ],
    ],
    { others: [topologyConfig('other', [{ name: 'group', endpoint: 'sqlite:///db/group.db', ...GROUP }])] },
  ),
  wrong(
    'a rule that is put before one of another object and takes everything of it',
    [{ name: 'group', endpoint: 'sqlite:///db/group.db', ...GROUP }],
    [
      [
        `${AT}.customresource`,
        'this rule takes every key of spec.backends[0].customresource of TopologyConfig default/other, which comes later and could never match; narrow it, or put it behind that one',
      ],
    ],
    { others: [topologyConfig('other', [{ ...SHIRTS, ...KIND }])], annotations: { [DEPLOY_ORDER_ANNOTATION]: '1' } },
  ),
  wrong(
    'everything of another object, before it',
    [{ ...SHIRTS, ...KIND }],
    [
      [`${AT}.name`, 'the name is used twice: also by spec.backends[0].name of TopologyConfig default/other; choose another name'],
      [
        `${AT}.endpoint`,
        'the endpoint is the same database as spec.backends[0].endpoint of TopologyConfig default/other; give each backend a database of its own',
      ],
      [
        `${AT}.customresource`,
        'this rule takes the same keys as spec.backends[0].customresource of TopologyConfig default/other; leave one of them out',
      ],
    ],
    { others: [topologyConfig('other', [{ ...SHIRTS, ...KIND }])], annotations: { [DEPLOY_ORDER_ANNOTATION]: '1' } },
  ),
  ...['first', '-1', '1.5', '1000000000', ''].map((order) =>
    wrong(
      `the place ${JSON.stringify(order)}`,
      [PODS],
      [
        [
          `metadata.annotations[${DEPLOY_ORDER_ANNOTATION}]`,
          `the annotation ${DEPLOY_ORDER_ANNOTATION}=${order} is not usable; write a whole number from 0 to 999999999`,
        ],
      ],
      { annotations: { [DEPLOY_ORDER_ANNOTATION]: order } },
    ),
  ),
  wrong(
    'data to be given up that is no backend',
    [PODS],
    [[`metadata.annotations[${ABANDON_DATA_ANNOTATION}]`, '"users" is no backend of this TopologyConfig; its backends are pods']],
    { annotations: { [ABANDON_DATA_ANNOTATION]: 'users=7' } },
  ),
  wrong(
    'data to be given up in words',
    [PODS],
    [
      [
        `metadata.annotations[${ABANDON_DATA_ANNOTATION}]`,
        `the annotation ${ABANDON_DATA_ANNOTATION}=pods=all is not usable; write BACKEND=KEYS, such as users=12, and commas between several`,
      ],
    ],
    { annotations: { [ABANDON_DATA_ANNOTATION]: 'pods=all' } },
  ),
];
