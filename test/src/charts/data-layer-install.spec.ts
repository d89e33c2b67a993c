import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TOPOLOGY_CONFIGS } from '@harikube/crds';
import { KubeClient } from '@harikube/kube';
import { loadAuthority, loadCertificate } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { type PostgresServer, startPostgres } from '@harikube/testing';
import { eventually } from '../e2e/eventually.js';
import { TcpProxy } from '../e2e/tcp-proxy.js';
import { CertManagerStandIn } from './cert-manager-stand-in.js';
import { DATA_LAYER, DEFINITIONS, Helm } from './data-layer-cluster.js';
import { failuresDuring } from './failures-during.js';
import { type EtcdAccess, InstalledDataLayer, shownSerial } from './installed-data-layer.js';
import { type Flow, type NetworkPolicy, partyOf, type Party, policiesOf, wrongFlows } from './network-policy.js';
import { ChartCluster } from './node-stand-in/chart-cluster.js';

/** How often each source of certificates is upgraded to itself; CHART_UPGRADES=2 before a release. */
const UPGRADES = Number(readEnv()['CHART_UPGRADES'] ?? '1');
const MINUTES = 60_000;
const ETCD = 2379;
const WEBHOOK = 9443;
const METRICS = 8080;

/** Of what stands by without a part in what is tested. */
const ONE_EACH = { operator: { replicaCount: 1 }, serverlessKubeWatchTrigger: { replicaCount: 1 } };

let stage: ChartCluster;
let helm: Helm;
let client: KubeClient;

beforeAll(async () => {
  stage = await ChartCluster.start({ name: 'data-layer', store: 'etcd' });
  const { cluster } = stage;
  helm = await Helm.find({ kubeconfig: cluster.kubeconfigFile, home: cluster.folder });
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'harikube-test' });
  await helm.succeed(['install', 'harikube-crds', DEFINITIONS, '--wait']);
}, 2 * MINUTES);

afterAll(async () => {
  await client?.close();
  await stage?.stop();
}, MINUTES);

/** Asks the webhook for a change that nobody makes. */
async function dryRun(namespace: string): Promise<void> {
  const annotations = { 'example.com/asked': String(performance.now()) };
  await client.patch(TOPOLOGY_CONFIGS, 'users', namespace, { metadata: { annotations } }, { type: 'merge', dryRun: true });
}

/** The webhook is asked, and refuses what has no database. */
async function expectJudged(namespace: string): Promise<void> {
  const [backend] = (await client.get(TOPOLOGY_CONFIGS, 'users', namespace)).spec.backends;
  const patch = { spec: { backends: [{ ...backend, endpoint: 'redis://users' }] } };
  await dryRun(namespace);
  await expect(client.patch(TOPOLOGY_CONFIGS, 'users', namespace, patch, { type: 'merge', dryRun: true })).rejects.toThrow(
    'validate.topologyconfigs.harikube.info',
  );
}

/**
 * Replaces certificates while requests flow, of which none fails; the routers and the operator show others afterwards, and none of their Pods was
 * replaced or restarted.
 */
async function expectRotated(release: InstalledDataLayer, etcd: EtcdAccess, replace: () => Promise<void>): Promise<void> {
  const [routers, operators] = [await release.pods('router'), await release.pods('topology-operator')];
  const places = [
    ...routers.map(({ status }) => [status.podIP, ETCD] as const),
    ...operators.map(({ status }) => [status.podIP, WEBHOOK] as const),
  ];
  const shown = (): Promise<string[]> => Promise.all(places.map(([host, port]) => shownSerial(host, port)));
  const before = await shown();
  const running = await release.running();
  const failures = await failuresDuring(
    {
      'a put': () => etcd.put('/registry/example.com/users/shop/john', '{}'),
      'a question to the webhook': () => dryRun(release.namespace),
    },
    async () => {
      await replace();
      await eventually(shown, (all) => all.every((serial) => !before.includes(serial)), 90);
    },
  );
  expect(failures).toEqual([]);
  expect(await release.running()).toEqual(running);
}

async function awaitConfig(name: string, namespace: string, condition: string): Promise<void> {
  await stage.cluster.kubectl.succeed(['wait', `topologyconfig/${name}`, '-n', namespace, `--for=${condition}`, '--timeout=85s']);
}

async function expectGone(release: InstalledDataLayer, secrets: readonly string[]): Promise<void> {
  const { kubectl } = stage.cluster;
  expect(await kubectl.read(['get', 'topologyconfig,validatingwebhookconfiguration', '-A', '-o', 'name'])).toBe('');
  const kinds = 'secret,serviceaccount,role,job,networkpolicy,service,deployment,statefulset';
  expect(await release.kubectl(['get', kinds, '-l', 'app.kubernetes.io/instance=harikube', '-o', 'name'])).toBe('');
  const left = (await release.kubectl(['get', 'secret', '-o', 'jsonpath={.items[*].metadata.name}'])).split(' ');
  expect(left.filter((name) => name !== '')).toEqual(secrets);
  await kubectl.succeed(['create', 'namespace', 'after']);
  await kubectl.succeed(['delete', 'namespace', 'after', release.namespace, '--timeout=85s']);
}

describe('the chart of the data layer, installed', () => {
  const VALUES = { ...ONE_EACH, topologyConfigs: [config('users', 1)] };
  let release: InstalledDataLayer;
  let etcd: EtcdAccess;

  beforeAll(async () => {
    release = await InstalledDataLayer.prepare(stage, helm, 'harikube');
  });

  it(
    'becomes ready, and applies the TopologyConfigs of its values',
    async () => {
      await release.deploy('install', VALUES);
      await awaitConfig('users', 'harikube', 'condition=Active');
    },
    10 * MINUTES,
  );

  it(
    'passes its own test',
    async () => {
      expect(await helm.succeed(['test', 'harikube', '-n', 'harikube', '--timeout', '170s'])).toContain('Phase:          Succeeded');
    },
    10 * MINUTES,
  );

  it('lets no second one into the cluster, and names the first', async () => {
    const said = await helm.refuse(['install', 'second', DATA_LAYER, '-n', 'second', '--create-namespace']);
    expect(said).toMatch(
      /ClusterRole "harikube-topology-operator".*"meta\.helm\.sh\/release-namespace" must equal "second": current value is "harikube"/,
    );
    expect(
      await stage.cluster.kubectl.read(['get', 'all,secret,sa', '-n', 'second', '-l', 'app.kubernetes.io/instance=second', '-o', 'name']),
    ).toBe('');
  });

  it('lets the certificate of its Secret, and nobody without, reach the etcd API', async () => {
    etcd = await release.etcd(await release.serviceAddress());
    await etcd.call('put', '/registry/example.com/users/shop/jane', '{}');
    expect(await etcd.call('get', '/registry/example.com/users/shop/jane', '--print-value-only')).toBe('{}');
    await expect(etcd.anonymously('get', '/registry/a', '--command-timeout=2s')).rejects.toThrow();
  }, 30_000);

  it(
    'renews its certificates at an upgrade while requests flow, of which none fails, and is the same after one that changes nothing',
    async () => {
      const manifest = await release.manifest();
      await expectRotated(release, etcd, async () => {
        // Other names: the certificates that are there do not have them.
        await release.deploy('upgrade', {
          ...VALUES,
          clusterDomain: 'example.net',
          topologyConfigs: [...VALUES.topologyConfigs, config('orders', 2)],
        });
      });
      await awaitConfig('orders', 'harikube', 'condition=Active');
      const running = await release.running();
      await release.deploy('upgrade', VALUES);
      await awaitConfig('orders', 'harikube', 'delete');
      expect(await release.manifest()).toBe(manifest);
      expect(await release.running()).toEqual(running);
      etcd.close();
    },
    10 * MINUTES,
  );

  it(
    'leaves nothing in the way of namespaces when it is uninstalled, and keeps its volume',
    async () => {
      await release.uninstall();
      expect(await release.kubectl(['get', 'pvc', '-o', 'name'])).toBe('persistentvolumeclaim/db-harikube-router-0');
      await expectGone(release, []);
    },
    10 * MINUTES,
  );
});

describe('the chart of the data layer on a PostgreSQL, of which one router stands by', () => {
  let database: PostgresServer;
  let proxy: TcpProxy;
  let certManager: CertManagerStandIn;
  let release: InstalledDataLayer;
  let values: object;
  let manifest: string;

  beforeAll(async () => {
    database = await startPostgres({ isDurable: false });
    const { address } = stage.network;
    proxy = await TcpProxy.start(database.port, address);
    release = await InstalledDataLayer.prepare(stage, helm, 'store');
    for (const name of ['database', 'users-database']) {
      const url = (await database.createDatabase()).replace(`127.0.0.1:${database.port}`, `${address}:${proxy.port}`);
      await release.kubectl(['create', 'secret', 'generic', name, `--from-literal=url=${url}?sslmode=disable`]);
    }
    values = {
      middleware: { endPoint: { existingSecret: { name: 'database', key: 'url' } } },
      ...ONE_EACH,
      serverlessKubeWatchTrigger: { create: false },
      networkPolicy: {
        create: true,
        webhookFrom: [{ ipBlock: { cidr: `${address}/32` } }],
        egress: { create: true, rules: [{ to: [{ ipBlock: { cidr: `${address}/32` } }], ports: [{ port: proxy.port, protocol: 'TCP' }] }] },
      },
      topologyConfigs: [config('users', 1, 'secret://store/users-database/url')],
    };
    const { kubeconfigFile: kubeconfig, kubectl, folder } = stage.cluster;
    certManager = await CertManagerStandIn.start({ kubeconfig, kubectl, folder: join(folder, 'cert-manager') });
  }, 2 * MINUTES);

  afterAll(async () => {
    await certManager?.stop();
    await proxy?.close();
    await database?.stop();
  }, MINUTES);

  /** The routers that may write. */
  async function active(): Promise<string[]> {
    const names: string[] = [];
    for (const { metadata, status } of await release.pods('router')) {
      const metrics = await fetch(`http://${status.podIP}:${METRICS}/metrics`).then(
        (answer) => answer.text(),
        () => '',
      );
      if (/^harikube_writer_active(\{[^}]*\})? 1$/m.test(metrics)) names.push(metadata.name);
    }
    return names;
  }

  /** Whatever the release was before, its data is there, its webhook answers, and another upgrade changes nothing. */
  async function expectServed(mode: object, clientSecret?: string): Promise<void> {
    await expectJudged('store');
    const etcd = await release.etcd(await release.serviceAddress(), clientSecret);
    expect(await etcd.call('get', '/registry/example.com/users/shop/jane', '--print-value-only')).toBe('{"kept":true}');
    etcd.close();
    manifest = await release.manifest();
    const running = await release.running();
    for (let count = 0; count < UPGRADES; count++) {
      await release.deploy('upgrade', { ...values, ...mode });
      expect(await release.manifest()).toBe(manifest);
      expect(await release.running()).toEqual(running);
    }
  }

  it(
    'becomes ready with certificates that Helm makes; both routers serve, one of them by handing on',
    async () => {
      await release.deploy('install', { ...values, tls: tlsOf('helm') });
      await awaitConfig('users', 'store', 'condition=Active');
      const routers = await release.pods('router');
      expect(routers).toHaveLength(2);
      expect(await active()).toHaveLength(1);
      for (const { metadata, status } of routers) {
        const etcd = await release.etcd(status.podIP);
        await etcd.call('put', `/registry/example.com/users/shop/${metadata.name}`, '{}');
        etcd.close();
      }
      expect((await database.query('SELECT count(*) FROM pg_database WHERE datname LIKE $$test_%$$')).rows).toEqual([{ count: '2' }]);
    },
    10 * MINUTES,
  );

  it('lets its Pods reach what they need, and nobody else', async () => {
    const policies = (JSON.parse(await release.kubectl(['get', 'networkpolicies', '-o', 'json'])) as { items: NetworkPolicy[] }).items;
    const pods = await release.pods('router', 'topology-operator');
    const of = (component: string): Party[] =>
      pods.filter(({ metadata }) => metadata.labels['app.kubernetes.io/component'] === component).map((pod) => partyOf(pod));
    const [router, standby] = of('router');
    const [operator] = of('topology-operator');
    if (router === undefined || standby === undefined || operator === undefined) throw new Error('a Pod is missing');
    for (const component of ['router', 'topology-operator'])
      for (const each of of(component))
        expect(policiesOf(policies, each).map(({ metadata }) => metadata.name)).toEqual([`harikube-${component}`]);
    expect(policies).toHaveLength(2);

    const elsewhere = (namespaceLabels: Readonly<Record<string, string>>): Party => ({
      address: '192.0.2.1',
      pod: { namespace: 'other', namespaceLabels, labels: router.pod?.labels ?? {}, ports: {} },
    });
    const apiServer = elsewhere({ 'harikube.info/middleware': 'enabled' });
    const prometheus = elsewhere({ metrics: 'enabled' });
    const stranger = elsewhere({});
    const node: Party = { address: stage.network.address };
    const test: Party = {
      address: '192.0.2.2',
      pod: {
        namespace: 'store',
        namespaceLabels: {},
        labels: { 'app.kubernetes.io/instance': 'harikube', 'app.kubernetes.io/component': 'test' },
        ports: {},
      },
    };
    const ADMIN = 2381;
    const needed: readonly Flow[] = [
      ['kube-apiserver to the router', apiServer, router, ETCD],
      ['a router to the other', standby, router, ETCD],
      ['the operator to the admin API', operator, router, ADMIN],
      ['helm test to the admin API', test, router, ADMIN],
      ['kube-apiserver to the webhook', node, operator, WEBHOOK],
      ['Prometheus to the router', prometheus, router, METRICS],
      ['Prometheus to the operator', prometheus, operator, METRICS],
      ['the router to its database', router, node, proxy.port],
      ['the router to kube-apiserver', router, { address: '203.0.113.1' }, 6443],
      ['the operator to kube-apiserver', operator, { address: '203.0.113.1' }, 443],
    ];
    const needless: readonly Flow[] = [
      ['a stranger to the router', stranger, router, ETCD],
      ['a stranger to the admin API', stranger, router, ADMIN],
      ['kube-apiserver to the admin API', apiServer, router, ADMIN],
      ['a stranger to the webhook', stranger, operator, WEBHOOK],
      ['a stranger to metrics', stranger, router, METRICS],
      ['kube-apiserver to the metrics of the operator', apiServer, operator, METRICS],
      ['the router to somewhere else', router, { address: '203.0.113.1' }, 80],
      ['the operator to the database', operator, { address: '203.0.113.1' }, proxy.port],
    ];
    expect(wrongFlows(policies, needed, needless)).toEqual([]);
  });

  it(
    'goes on when the Pod of the active router is killed, and is the same after an upgrade',
    async () => {
      const [name = ''] = await active();
      const etcd = await release.etcd(await release.serviceAddress());
      await etcd.call('put', '/registry/example.com/users/shop/jane', '{"kept":true}');
      await release.kubectl(['delete', 'pod', name, '--force', '--grace-period=0']);
      await eventually(
        () =>
          etcd.call('put', '/registry/example.com/users/shop/john', '{}', '--command-timeout=3s').catch((error: unknown) => String(error)),
        (answer) => answer === 'OK',
        60,
      );
      etcd.close();
      await release.kubectl(['wait', 'deployment/harikube-router', '--for=jsonpath={.status.readyReplicas}=2', '--timeout=85s']);
      expect(await active()).not.toContain(name);
      await expectServed({ tls: tlsOf('helm') });
    },
    10 * MINUTES,
  );

  it(
    'takes certificates out of Secrets that are there, and others when those are replaced while requests flow, of which none fails',
    async () => {
      const names = (service: string): string[] =>
        ['', '.store', '.store.svc', '.store.svc.cluster.local'].map((end) => `${service}${end}`);
      const folder = join(stage.cluster.folder, 'existing');
      const [authority, adminAuthority] = [
        await loadAuthority(folder, 'ca', 'company'),
        await loadAuthority(folder, 'admin-ca', 'company admins'),
      ];
      const leaves = [
        {
          file: 'server',
          commonName: 'router',
          use: 'server',
          serverNames: [...names('harikube-router'), ...names('harikube-router-admin')],
        },
        { file: 'client', commonName: 'kube-apiserver', use: 'client' },
        { file: 'admin', commonName: 'topology-operator', use: 'client' },
        { file: 'webhook', commonName: 'webhook', use: 'server', serverNames: names('harikube-topology-webhook') },
      ] as const;
      const issue = async (year: string): Promise<void> => {
        for (const leaf of leaves) {
          const by = leaf.file === 'admin' ? adminAuthority : authority;
          const { certificate, key } = await loadCertificate(join(folder, year), { authority: by }, leaf);
          const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name: `own-${leaf.file}` } };
          const stringData = { 'ca.crt': by.certificate, 'tls.crt': certificate, 'tls.key': key };
          await release.kubectl(['apply', '-f', '-'], { ...object, stringData });
        }
      };
      await issue('first');
      const existing = Object.fromEntries(leaves.map(({ file }) => [file, `own-${file}`]));
      const mode = { tls: tlsOf('existingSecret', { existing }) };
      await release.deploy('upgrade', { ...values, ...mode });
      expect(await release.kubectl(['get', 'secret', '-o', 'name'])).not.toContain('harikube-server');
      await expectServed(mode, 'own-client');
      const etcd = await release.etcd(await release.serviceAddress(), 'own-client');
      await expectRotated(release, etcd, () => issue('second'));
      etcd.close();
    },
    10 * MINUTES,
  );

  it(
    'takes them from cert-manager, and takes up what that renews, its authorities too, while requests flow, of which none fails',
    async () => {
      const mode = { tls: tlsOf('certManager') };
      await release.deploy('upgrade', { ...values, ...mode });
      await expectServed(mode);
      // With the certificate of the former authority, and trust in it alone.
      const etcd = await release.etcd(await release.serviceAddress());
      await expectRotated(release, etcd, async () => {
        for (const name of ['ca', 'admin-ca', 'server', 'client', 'admin', 'webhook']) await certManager.renew('store', `harikube-${name}`);
      });
      await etcd.call('get', '/registry/example.com/users/shop/jane');
      etcd.close();
      const renewed = await release.etcd(await release.serviceAddress());
      await renewed.call('del', '--prefix', '/registry/example.com/users/');
      renewed.close();
      // The operator asks the router's admin API, by its renewed certificate.
      await release.deploy('upgrade', { ...values, ...mode, topologyConfigs: [] });
      await awaitConfig('users', 'store', 'delete');
    },
    10 * MINUTES,
  );

  it(
    'leaves the Secrets that it did not make, and nothing in the way of namespaces, when it is uninstalled',
    async () => {
      await release.uninstall();
      const issued = ['admin', 'admin-ca', 'ca', 'client', 'server', 'webhook'].map((name) => `harikube-${name}`);
      const own = ['admin', 'client', 'server', 'webhook'].map((name) => `own-${name}`);
      await expectGone(release, ['database', ...issued, ...own, 'users-database']);
    },
    10 * MINUTES,
  );
});

/** For values: by the forwarded port of this machine, the router is called localhost. */
function tlsOf(mode: string, more: object = {}): object {
  return { mode, extraNames: ['localhost'], ...more };
}

/** For values: a kind of the group example.com, in a database of its own. */
function config(name: string, deployOrder: number, endpoint = `sqlite:///db/${name}.db`): object {
  return { name, deployOrder, backends: [{ name, endpoint, customresource: { group: 'example.com', kind: name } }] };
}
