import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TOPOLOGY_CONFIGS, TopologyConfig, validateSpec } from '@harikube/crds';
import { KubeClient } from '@harikube/kube';
import type { Answer } from './answer.js';
import { eventually } from './eventually.js';
import type { Kubectl } from './kubectl.js';
import { refusalCauses } from './refusal-causes.js';
import { RunningCluster } from './running-cluster.js';

const MINUTES = 60_000;
const NAMESPACE = 'default';

/** As HariKube's documentation has it, character by character. */
const DEMO = `apiVersion: harikube.info/v1
kind: TopologyConfig
metadata:
  name: topologyconfig-tenant
  namespace: harikube
spec:
  targetSecret: harikube/topology-config
  backends:
  - name: tenant
    endpoint: sqlite:///db/tenant.db?_journal=WAL&cache=shared
    customresource:
      group: product.webshop.harikube.info/v1
      kind: tenants
`;

let cluster: RunningCluster;
let kubectl: Kubectl;
let client: KubeClient;

const times = <T>(count: number, value: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => value(index));
const rule = { customresource: { group: 'stable.example.com', kind: 'shirts' } };
const plain = { name: 'shirts', endpoint: 'sqlite:///db/shirts.db' };
const one = (backend: object): object => ({ backends: [{ ...plain, ...rule, ...backend }] });
const matcher = (value: object): object => ({ backends: [{ ...plain, ...value }] });

/** Every field. */
const FULL = {
  targetSecret: 'shop/topology',
  backends: [
    {
      name: 'shirts',
      endpoint: 'mysql://user:pw@tcp(db:3306)/shirts',
      regexp: { prefix: '^/registry/', key: '^/registry/stable\\.example\\.com/shirts/' },
      backendTLS: { caFile: 'secret://shop/tls/ca.crt', certFile: '/tls/tls.crt', keyFile: 'secret://shop/tls/tls.key', skipVerify: true },
      connectionPool: { maxIdle: 0, maxOpen: 90, maxLifeTime: '1h30m', maxIdleLifeTime: '0s' },
      compactInterval: '5m',
      compactIntervalJitter: 1000,
      compactTimeout: '500ms',
      compactMinRetain: 10,
      compactBatchSize: 10000,
      disableStorageLevelFiltering: true,
    },
    { name: 'pods', endpoint: 'secret://shop/databases/pods.dsn', prefix: { prefix: 'pods' } },
    { name: 'one', endpoint: 'sqlite://one.db', namespace: { namespace: 'one', kinds: ['pods', 'users.product.example.com'] } },
    { name: 'group', endpoint: 'https://etcd:2379', customresource: { group: 'stable.example.com', kind: '' } },
  ],
};

const ACCEPTED: readonly (readonly [what: string, spec: object])[] = [
  ['every field', FULL],
  ['no target', one({})],
  ['128 backends', { backends: times(128, (index) => ({ name: `b-${index}`, endpoint: `sqlite://${index}.db`, ...rule })) }],
  ['a group with an alpha version', matcher({ customresource: { group: 'stable.example.com/v1alpha2' } })],
  ['a prefix of keys', matcher({ prefix: { prefix: '/registry/Żółw' } })],
  ['a prefix of a kind of a group', matcher({ prefix: { prefix: 'stable.example.com/shirts/' } })],
  ['a namespace without kinds', matcher({ namespace: { namespace: 'one', kinds: [] } })],
  ['an expression of the key alone', matcher({ regexp: { key: '(?i)shirts' } })],
  ['a path with a blank', one({ endpoint: 'sqlite:///my db/ä.db' })],
  ['no certificates', one({ endpoint: 'postgres://db/shirts', backendTLS: {} })],
];

const AT = 'spec.backends[0]';
const EXACTLY_ONE = 'exactly one of customresource, namespace, prefix and regexp is to be set';

/** What is refused, and a part of what is said of it. */
const REFUSED: readonly (readonly [what: string, spec: object, field: string, message: string])[] = [
  ['no backends', { backends: [] }, 'spec.backends', 'should have at least 1 items'],
  ['backends that are not there', {}, 'spec.backends', 'Required value'],
  [
    '129 backends',
    { backends: times(129, (index) => ({ name: `b-${index}`, endpoint: `sqlite://${index}.db`, ...rule })) },
    'spec.backends',
    'Too many: 129',
  ],
  ['no matcher', matcher({}), AT, EXACTLY_ONE],
  ['two matchers', one({ prefix: { prefix: 'pods' } }), AT, EXACTLY_ONE],
  ['a namespace besides another matcher', one({ namespace: { namespace: 'one' } }), AT, EXACTLY_ONE],
  ['a target without a namespace', { ...one({}), targetSecret: 'topology-config' }, 'spec.targetSecret', 'should match'],
  ['a target in capitals', { ...one({}), targetSecret: 'a/B' }, 'spec.targetSecret', 'should match'],
  ['a name in capitals', one({ name: 'Shirts' }), `${AT}.name`, 'should match'],
  ['a long name', one({ name: 'x'.repeat(64) }), `${AT}.name`, 'Too long'],
  ['the name of the default backend', one({ name: 'main' }), `${AT}.name`, "'main' is the name of the default backend"],
  ['no endpoint', one({ endpoint: undefined }), `${AT}.endpoint`, 'Required value'],
  ['an endpoint without a scheme', one({ endpoint: '/db/shirts.db' }), `${AT}.endpoint`, 'must begin with a scheme'],
  [
    'a reference without a key',
    one({ endpoint: 'secret://shop/databases' }),
    `${AT}.endpoint`,
    'a reference is written secret://NAMESPACE/NAME/KEY',
  ],
  ['an empty expression', matcher({ regexp: {} }), `${AT}.regexp`, 'at least one of prefix and key is to be set'],
  ['an expression with an error', matcher({ regexp: { key: 'a(b' } }), `${AT}.regexp.key`, 'missing closing )'],
  ['a prefix with an error', matcher({ regexp: { prefix: '*' } }), `${AT}.regexp.prefix`, 'must be an expression in the syntax of RE2'],
  ['a kind in capitals', matcher({ prefix: { prefix: 'Pods' } }), `${AT}.prefix.prefix`, 'should match'],
  ['no group', matcher({ customresource: { kind: 'shirts' } }), `${AT}.customresource.group`, 'Required value'],
  ['a group and what is no version', matcher({ customresource: { group: 'a.b/x' } }), `${AT}.customresource.group`, 'should match'],
  ['a singular in capitals', matcher({ customresource: { group: 'a.b', kind: 'Shirt' } }), `${AT}.customresource.kind`, 'should match'],
  ['a namespace with a dot', matcher({ namespace: { namespace: 'a.b' } }), `${AT}.namespace.namespace`, 'should match'],
  ['a kind twice', matcher({ namespace: { namespace: 'one', kinds: ['pods', 'pods'] } }), `${AT}.namespace.kinds[1]`, 'Duplicate value'],
  [
    'a certificate without its key',
    one({ endpoint: 'postgres://db/x', backendTLS: { certFile: 'a' } }),
    `${AT}.backendTLS`,
    'certFile and keyFile are set together',
  ],
  ['a certificate for a file', one({ backendTLS: { skipVerify: false } }), `${AT}.backendTLS`, 'has no meaning for a sqlite endpoint'],
  [
    'a reference to nothing',
    one({ endpoint: 'postgres://db/x', backendTLS: { caFile: 'secret://ca' } }),
    `${AT}.backendTLS.caFile`,
    'a reference is written',
  ],
  ['a pool below nothing', one({ connectionPool: { maxOpen: -1 } }), `${AT}.connectionPool.maxOpen`, 'greater than or equal to 0'],
  ['a time without a unit', one({ connectionPool: { maxLifeTime: '50' } }), `${AT}.connectionPool.maxLifeTime`, 'should match'],
  ['an interval below nothing', one({ compactInterval: '-5m' }), `${AT}.compactInterval`, 'should match'],
  ['a jitter above 1000', one({ compactIntervalJitter: 1001 }), `${AT}.compactIntervalJitter`, 'less than or equal to 1000'],
  ['fewer than 10 revisions', one({ compactMinRetain: 9 }), `${AT}.compactMinRetain`, 'greater than or equal to 10'],
  ['batches above 10000', one({ compactBatchSize: 10001 }), `${AT}.compactBatchSize`, 'less than or equal to 10000'],
  ['a switch that is a text', one({ disableStorageLevelFiltering: 'no' }), `${AT}.disableStorageLevelFiltering`, 'must be of type boolean'],
  [
    'two backends of one name',
    {
      backends: [
        { ...plain, ...rule },
        { ...plain, endpoint: 'sqlite://other.db', prefix: { prefix: 'pods' } },
      ],
    },
    'spec.backends',
    'two backends have the same name',
  ],
  [
    'two backends of one endpoint',
    {
      backends: [
        { ...plain, ...rule },
        { ...plain, name: 'other', prefix: { prefix: 'pods' } },
      ],
    },
    'spec.backends',
    'two backends have the same endpoint',
  ],
];

const config = (name: string, spec: object): TopologyConfig =>
  ({ apiVersion: 'harikube.info/v1', kind: 'TopologyConfig', metadata: { name, namespace: NAMESPACE }, spec }) as TopologyConfig;

/** What the API server says to an object; empty: it takes it. */
function causesOf(object: TopologyConfig): Promise<string[]> {
  return refusalCauses(client.create(TOPOLOGY_CONFIGS, object, { dryRun: true, fieldValidation: 'Strict' }));
}

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'topology-schema', store: 'etcd' });
  kubectl = cluster.kubectl;
  client = KubeClient.fromConfig({ userAgent: 'topology-schema', kubeconfig: cluster.kubeconfigFile });
  cluster.beforeStop(() => client.close());
  await cluster.installCrds();
  await kubectl.succeed(['create', 'namespace', 'harikube']);
}, 3 * MINUTES);

afterAll(async () => {
  await cluster?.stop();
});

describe('the schema of TopologyConfig on a real kube-apiserver', () => {
  it("takes the reference's demo as it is written, and shows it as Pending", async () => {
    await kubectl.succeed(['create', '-f', '-'], DEMO);
    const [head = '', row = ''] = (await kubectl.read(['get', 'topo', '-n', 'harikube'])).split('\n');
    expect(head.split(/\s+/)).toEqual(['NAME', 'DEPLOYSTATUS', 'TARGETSECRET', 'ACTIVE', 'AGE']);
    expect(row.split(/\s+/).slice(0, 3)).toEqual(['topologyconfig-tenant', 'Pending', 'harikube/topology-config']);
    const stored = await client.get(TOPOLOGY_CONFIGS, 'topologyconfig-tenant', 'harikube');
    expect(stored.spec.backends).toEqual([
      {
        name: 'tenant',
        endpoint: 'sqlite:///db/tenant.db?_journal=WAL&cache=shared',
        customresource: { group: 'product.webshop.harikube.info/v1', kind: 'tenants' },
      },
    ]);
  });

  it.each(ACCEPTED)('takes %s', async (_, spec) => {
    expect(await causesOf(config('tried', spec))).toEqual([]);
    expect(validateSpec(TopologyConfig, { spec })).toEqual([]);
  });

  it.each(REFUSED)('refuses %s', async (_, spec, field, message) => {
    const causes = await causesOf(config('tried', spec));
    expect(causes.join('\n')).toContain(`${field}: `);
    expect(causes.join('\n')).toContain(message);
    // Rules in CEL are the API server's alone.
    const ours = validateSpec(TopologyConfig, { spec }).map((error) => error.field);
    expect([field, undefined]).toContain(ours[0]);
  });

  it('repeats no endpoint, which may hold a password', async () => {
    for (const endpoint of ['no-scheme:Canary-1@db', `mysql://Canary-1${'x'.repeat(1024)}`, 'secret://Canary-1'])
      expect((await causesOf(config('tried', one({ endpoint })))).join('\n')).not.toContain('Canary-1');
    const backends = [{ ...plain, endpoint: 'mysql://u:Canary-1@db' }];
    expect((await causesOf(config('tried', { backends }))).join('\n')).not.toContain('Canary-1');
  });

  it('keeps the target, finds an object by it, and bounds the name', async () => {
    await client.create(TOPOLOGY_CONFIGS, config('kept', { ...one({}), targetSecret: 'shop/topology' }));
    const patch = JSON.stringify({ spec: { targetSecret: 'shop/other' } });
    expect(await kubectl.refuse(['patch', 'topo', 'kept', '--type=merge', '-p', patch])).toContain('the target cannot be changed');
    const found = await kubectl.read(['get', 'topo', '-A', '--field-selector=spec.targetSecret=shop/topology', '-o', 'name']);
    expect(found).toBe('topologyconfig.harikube.info/kept');
    expect(await kubectl.refuse(['create', '--dry-run=server', '-f', '-'], config('x'.repeat(231), one({})))).toContain('at most 230');
  });

  it('is for its own roles alone: neither view nor edit of the cluster holds them', async () => {
    for (const level of ['admin', 'editor', 'viewer'])
      await kubectl.succeed(['create', 'clusterrolebinding', level, `--clusterrole=topologyconfig-${level}`, `--user=${level}`]);
    for (const role of ['view', 'edit'])
      await kubectl.succeed(['create', 'clusterrolebinding', `of-${role}`, `--clusterrole=${role}`, `--user=of-${role}`]);
    const succeeds = ({ code }: Answer): boolean => code === 0;
    for (const level of ['admin', 'editor', 'viewer'])
      await eventually(() => kubectl.run(['get', 'topo', '-A', `--as=${level}`]), succeeds);
    await eventually(() => kubectl.run(['get', 'pods', '--as=of-edit']), succeeds);
    for (const role of ['of-view', 'of-edit']) expect(await kubectl.refuse(['get', 'topo', `--as=${role}`])).toContain('Forbidden');
    const patch = ['patch', 'topo', 'kept', '--type=merge', '-p', '{"metadata":{"labels":{"a":"b"}}}'];
    expect(await kubectl.refuse([...patch, '--as=viewer'])).toContain('Forbidden');
    await kubectl.succeed([...patch, '--as=editor']);
    const status = ['patch', 'topo', 'kept', '--subresource=status', '--type=merge', '-p', '{"status":{"deployOrder":3}}'];
    expect(await kubectl.refuse([...status, '--as=editor'])).toContain('Forbidden');
    await kubectl.succeed([...status, '--as=admin']);
  });
});
