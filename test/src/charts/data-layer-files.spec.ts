import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KUBERNETES_VERSION } from '@harikube/local-cluster';
import { topologyOperatorManifests } from '@harikube/topology-operator';
import { watchTriggerManifests } from '@harikube/watch-trigger';
import { routerMemory } from '../router-memory.js';
import { chartFiles, chartNames, unexplainedValues } from './chart-files.js';
import { DATA_LAYER, DEFINITIONS, Helm, type RenderedObject, renderedObjects, valuesFiles } from './data-layer-cluster.js';

let home: string;
let helm: Helm;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'harikube-charts-'));
  helm = await Helm.find({ home });
});

afterAll(() => rm(home, { recursive: true, force: true }));

describe('charts', () => {
  it('have the schemas, tables and definitions that are generated (node test/dist/charts/generate.js)', async () => {
    for (const chart of await chartNames())
      for (const [path, text] of await chartFiles(chart)) expect([path, await readFile(path, 'utf8')]).toEqual([path, text]);
  });

  it('explain each value', async () => {
    for (const chart of await chartNames()) expect([chart, await unexplainedValues(chart)]).toEqual([chart, []]);
  });
});

describe.each([DATA_LAYER, DEFINITIONS])('chart %s', (chart) => {
  it('passes the strict lint with each values file', async () => {
    for (const file of await valuesFiles(chart))
      expect(await helm.succeed(['lint', '--strict', '--kube-version', KUBERNETES_VERSION, chart, '--values', file])).toContain(
        '0 chart(s) failed',
      );
  });

  const rendered = new Map<string, string>();

  beforeAll(async () => {
    for (const file of await valuesFiles(chart)) rendered.set(file, await helm.template(chart, { values: file }));
  }, 60_000);

  it('renders the same twice, and no object twice', async () => {
    for (const [file, text] of rendered) {
      if (basename(file) === 'helm-certificates-values.yaml') continue;
      expect(await helm.template(chart, { values: file })).toBe(text);
      const names = renderedObjects(text).map(({ kind, metadata: { namespace = '', name } }) => `${kind} ${namespace}/${name}`);
      expect(names).toEqual([...new Set(names)]);
    }
  });

  it('labels every object, and gives what is in a namespace its own', async () => {
    for (const text of rendered.values()) {
      for (const { kind, metadata } of renderedObjects(text)) {
        if (metadata.name === 'extra') continue;
        const { labels = {} } = metadata;
        for (const label of ['name', 'instance', 'version', 'component', 'part-of', 'managed-by'])
          expect([kind, metadata.name, labels[`app.kubernetes.io/${label}`]]).toEqual([kind, metadata.name, expect.stringMatching(/./)]);
        const isClusterScoped = /^(Cluster|Validating|CustomResourceDefinition)/.test(kind);
        expect([kind, metadata.name, metadata.namespace === undefined]).toEqual([kind, metadata.name, isClusterScoped]);
      }
    }
  });
});

describe('chart harikube', () => {
  it.each([
    ['middleware.replica=2', 'replica'],
    ['midleware.replicas=2', 'midleware'],
    ['tls.mode=selfsigned', 'mode'],
    ['operator.webhook.failurePolicy=Maybe', 'failurePolicy'],
    ['middleware.replicas=two', 'replicas'],
    ['topology.targetSecret.nam=x', 'nam'],
    ['tls.certManager.duration=90days', 'duration'],
    ['tls.certManager.issuerRef.kind=ClusterIssuer', 'issuerRef'],
    ['tls.helm.validityDays=0', 'validityDays'],
    ['middleware.endPoint.url=redis://users', 'middleware.endPoint.url: "redis://users" is no database'],
    [
      'topologyConfigs[0].name=a,topologyConfigs[0].backends[0].endpoint=users.db',
      'topologyConfigs[0].backends[0].endpoint: "users.db" is no database',
    ],
  ])('refuses the value %s', async (value, field) => {
    expect(await helm.refuse(['template', DATA_LAYER, '--kube-version', KUBERNETES_VERSION, '--set', value])).toContain(field);
  });

  it.each([
    ['middleware.endPoint.url', 'middleware.endPoint.url=postgres://user:Canary@host/db'],
    [
      'topology.backends[0].endpoint',
      'topology.source=config,topology.backends[0].name=a,topology.backends[0].endpoint=mysql://user:Canary@tcp(host:3306)/db',
    ],
    [
      'topologyConfigs[0].backends[0].endpoint',
      'topologyConfigs[0].name=a,topologyConfigs[0].backends[0].endpoint=postgres://user:Canary@host/db',
    ],
    ['middleware.endPoint.url', 'middleware.endPoint.url=user:Canary@host/db'],
  ])('refuses a password in %s without repeating it', async (key, values) => {
    const said = await helm.refuse(['template', DATA_LAYER, '--kube-version', KUBERNETES_VERSION, '--set', values]);
    expect(said).toContain(`${key}: `);
    expect(said).toMatch(/existingSecret|is no database: write/);
    expect(said).not.toContain('Canary');
  });

  it('lets two releases live in two namespaces, of which one alone has what serves the whole cluster', async () => {
    const names = async (namespace: string, ...more: string[]): Promise<string[]> =>
      renderedObjects(await helm.template(DATA_LAYER, { namespace, more })).map(
        ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
      );
    const first = await names('one');
    const roles = ['topology-operator', 'watch-trigger'].flatMap((program) => [
      `ClusterRole /harikube-${program}`,
      `ClusterRoleBinding /harikube-${program}`,
    ]);
    expect((await names('two')).filter((name) => first.includes(name)).toSorted()).toEqual(roles.toSorted());
    const second = await names('two', '--set', 'operator.create=false', '--set', 'serverlessKubeWatchTrigger.triggerNamespace=two');
    expect(second.filter((name) => first.includes(name))).toEqual([]);
  });

  it('runs a router in the memory in which the launcher runs one', async () => {
    interface Workload {
      readonly template: { readonly spec: { readonly containers: readonly Container[] } };
    }
    interface Container {
      readonly name: string;
      readonly env?: readonly { readonly name: string; readonly value?: string }[];
    }
    const router = renderedObjects(await helm.template(DATA_LAYER, {}))
      .flatMap(({ spec }) => (spec as Partial<Workload> | undefined)?.template?.spec.containers ?? [])
      .find(({ name }) => name === 'router');
    const env = new Map(router?.env?.map(({ name, value = '' }) => [name, value]));
    const { NODE_OPTIONS = '', ...rest } = await routerMemory();
    expect(Object.fromEntries(env)).toMatchObject(rest);
    // With the limit of its heap behind it.
    expect(env.get('NODE_OPTIONS')?.split(' ')).toEqual([...NODE_OPTIONS.split(' '), expect.stringMatching(/^--max-old-space-size=/)]);
  });

  it('gives each account the rules that its program names, and nothing else', async () => {
    const rendered = renderedObjects(await helm.template(DATA_LAYER, {}));
    const rulesOf = (manifests: readonly RenderedObject[], kind: string, name: string): unknown =>
      manifests.find((each) => each.kind === kind && each.metadata.name === name)?.['rules'];
    const operator = topologyOperatorManifests({ namespace: 'harikube', targets: ['harikube/topology-config'] }) as RenderedObject[];
    const trigger = watchTriggerManifests({ namespace: 'harikube' }) as RenderedObject[];
    for (const [own, kind, name, chartName = name] of [
      [operator, 'ClusterRole', 'harikube-topology-operator'],
      [operator, 'Role', 'harikube-topology-operator'],
      [operator, 'Role', 'harikube-topology-operator-secrets', 'harikube-harikube-topology-secrets'],
      [trigger, 'ClusterRole', 'harikube-watch-trigger'],
      [trigger, 'Role', 'harikube-watch-trigger'],
      [trigger, 'ClusterRole', 'harikube-watch-trigger-secrets', 'harikube-harikube-watch-trigger-secrets'],
      [trigger, 'ClusterRole', 'harikube-watch-trigger-emails', 'harikube-harikube-watch-trigger-watched'],
    ] as const) {
      const expected = rulesOf(own, kind, name);
      expect(expected).toBeDefined();
      expect([chartName, kind, rulesOf(rendered, kind, chartName)]).toEqual([chartName, kind, expected]);
    }
  });

  it('gives one router a volume with SQLite, and several none with a server', async () => {
    const workload = async (file: string): Promise<unknown[]> =>
      renderedObjects(await helm.template(DATA_LAYER, { values: join(DATA_LAYER, 'ci', file) }))
        .filter(({ metadata }) => metadata.name === 'harikube-router')
        .filter(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment')
        .map(({ kind, spec }) => [kind, (spec as { replicas: number }).replicas]);
    expect(await workload('sqlite-values.yaml')).toEqual([['StatefulSet', 1]]);
    expect(await workload('mix-values.yaml')).toEqual([['StatefulSet', 1]]);
    expect(await workload('postgres-standby-values.yaml')).toEqual([['Deployment', 2]]);
    expect(await workload('etcd-values.yaml')).toEqual([['Deployment', 3]]);
  });

  it('writes one authority into its certificates and the webhook in mode helm', async () => {
    const objects = renderedObjects(await helm.template(DATA_LAYER, { values: join(DATA_LAYER, 'ci', 'helm-certificates-values.yaml') }));
    const [webhook] = objects.filter(({ kind }) => kind === 'ValidatingWebhookConfiguration');
    const [secret] = objects.filter(({ kind, metadata }) => kind === 'Secret' && metadata.name === 'harikube-webhook');
    const authority = (secret?.['data'] as Record<string, string> | undefined)?.['ca.crt'];
    expect(authority).toMatch(/./);
    expect(webhook?.['webhooks']).toMatchObject([{ clientConfig: { caBundle: authority } }]);
  });
});
