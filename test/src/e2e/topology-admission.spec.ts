import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PLATFORM_NAMESPACE, TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { ifFound, KubeClient, type KubeObject, leaseNameOf, SECRETS, StatusError } from '@harikube/kube';
import { topologyConfig, WRONG_CONFIGS } from '@harikube/topology-operator/wrong-configs';
import { eventually } from './eventually.js';
import { FAKE_ROUTER_TOKEN, FakeRouter } from './fake-router.js';
import type { Kubectl } from './kubectl.js';
import { RunningCluster } from './running-cluster.js';
import { DRY_RUN, WebhookOperator } from './webhook-operator.js';

const SECONDS = 1000;
const MINUTES = 60 * SECONDS;
const HOME = 'harikube';
const CANARY = 'Canary-1';
const CREATE = ['create', '-f', '-'];
const APPLY = ['apply', '-f', '-'];
const SHIRTS = { name: 'shirts', endpoint: 'sqlite:///db/shirts.db', customresource: { group: 'stable.example.com', kind: 'shirts' } };
const PODS = { name: 'pods', endpoint: 'sqlite:///db/pods.db', prefix: { prefix: 'pods' } };

interface Secret extends KubeObject {
  data?: Record<string, string>;
}

let cluster: RunningCluster;
let kubectl: Kubectl;
let client: KubeClient;
let router: FakeRouter;
let operator: WebhookOperator;

const one = (text: string): string => text.replace(/\s+/g, ' ');
const get = (name: string): Promise<TopologyConfig | null> => ifFound(client.get(TOPOLOGY_CONFIGS, name, 'default'));
const annotate = (name: string, value: string): string[] => [
  'annotate',
  '--overwrite',
  'topologyconfig',
  name,
  `harikube.info/abandon-data=${value}`,
];

/** The words in which the API refuses an object, as kubectl shows them. */
async function refusal(config: TopologyConfig): Promise<string> {
  try {
    await client.create(TOPOLOGY_CONFIGS, config, { dryRun: true, fieldValidation: 'Strict' });
  } catch (error) {
    if (error instanceof StatusError) return error.message;
    throw error;
  }
  throw new Error(`${config.metadata.name} was not refused`);
}

/** What the operator has merged. */
async function merged(): Promise<{ readonly name: string; readonly text: string }[] | null> {
  const secret = await ifFound(client.get<Secret>(SECRETS, 'topology-config', HOME));
  if (secret === null) return null;
  return Object.entries(secret.data ?? {}).map(([name, value]) => ({ name, text: Buffer.from(value, 'base64').toString() }));
}

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'topology-admission', store: 'etcd', controllerManager: false });
  ({ kubectl } = cluster);
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'topology-admission-spec' });
  cluster.beforeStop(() => client.close());
  await cluster.installCrds();
  for (const namespace of [PLATFORM_NAMESPACE, HOME, 'databases']) await kubectl.succeed(['create', 'namespace', namespace]);
  // Somebody else leads: whoever stands by serves the webhook as well.
  await kubectl.succeed(CREATE, {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: leaseNameOf('topology-operator'), namespace: PLATFORM_NAMESPACE },
    spec: { holderIdentity: 'somebody', leaseDurationSeconds: 3600, renewTime: '2026-01-01T00:00:00.000000Z' },
  });
  router = await FakeRouter.start(`secret://${HOME}/topology-config`, merged);
  cluster.beforeStop(() => router.close());
  await writeFile(join(cluster.folder, 'router-token'), FAKE_ROUTER_TOKEN, { mode: 0o600 });
  operator = await WebhookOperator.start({
    cluster,
    routerUrl: router.url,
    tokenFile: join(cluster.folder, 'router-token'),
    references: ['databases/shirts'],
    flags: ['--leader-elect'],
  });
}, 3 * MINUTES);

afterAll(async () => {
  await cluster?.stop();
});

describe('the webhook of TopologyConfigs on a real kube-apiserver', () => {
  describe('while another instance leads', () => {
    it.each(WRONG_CONFIGS.map((wrong) => [wrong.what, wrong] as const))(
      'refuses %s',
      async (_, { config, others, causes, bySchema }) => {
        for (const other of others) await client.create(TOPOLOGY_CONFIGS, other);
        try {
          const words = one(await refusal(config));
          const shown = bySchema.length > 0 ? bySchema : causes.map(([field, message]) => `${field}: Invalid value: ${message}`);
          for (const text of shown) expect(words).toContain(one(text));
        } finally {
          for (const { metadata } of others) await client.delete(TOPOLOGY_CONFIGS, metadata.name ?? '', 'default');
        }
      },
      MINUTES,
    );

    it('refuses the second of two objects of one file that do not go together', async () => {
      const items = [topologyConfig('one', [SHIRTS]), topologyConfig('two', [{ ...PODS, name: 'shirts' }])];
      const words = await kubectl.refuse(CREATE, { apiVersion: 'v1', kind: 'List', items });
      expect(words).toContain('topologyconfig.harikube.info/one created');
      expect(words).toContain('spec.backends[0].name: Invalid value: the name "shirts" is used twice');
      expect(words).toContain('of TopologyConfig default/one');
      await kubectl.succeed(['delete', 'topologyconfig', 'one']);
    });

    it('shows with --dry-run=server what would change, and stores nothing', async () => {
      const words = await kubectl.succeed(DRY_RUN, topologyConfig('dry', [SHIRTS]));
      expect(words).toContain('Warning: would add "shirts"');
      expect(await get('dry')).toBeNull();
    });

    it('refuses rules that would hide keys, with their number', async () => {
      router.captured.set('shirts', 7);
      try {
        expect(await kubectl.refuse(DRY_RUN, topologyConfig('moves', [PODS, SHIRTS]))).toContain(
          'spec.backends[1]: Invalid value: 7 keys (70 bytes) in "main", such as /registry/main, would have to be in "shirts", and would not be found any more: narrow the rule, or delete these objects first',
        );
      } finally {
        router.captured.clear();
      }
    });

    it('refuses a database that the router cannot open', async () => {
      router.problems.set('shirts', 'backend "shirts" cannot be opened: EACCES: permission denied');
      try {
        expect(await kubectl.refuse(DRY_RUN, topologyConfig('locked', [SHIRTS]))).toContain(
          'spec.backends[0].endpoint: Invalid value: backend "shirts" cannot be opened: EACCES: permission denied',
        );
      } finally {
        router.problems.clear();
      }
    });

    it('warns when the router cannot be asked, and does not refuse', async () => {
      router.isAway = true;
      try {
        expect(await kubectl.succeed(DRY_RUN, topologyConfig('away', [SHIRTS]))).toContain(
          'Warning: whether the rules can be taken up is not known: the router is away',
        );
      } finally {
        router.isAway = false;
      }
    });

    it('warns of a target that the operator may not write', async () => {
      const config = topologyConfig('elsewhere', [SHIRTS]);
      const elsewhere = { ...config, spec: { ...config.spec, targetSecret: 'shop/topology' } };
      expect(await kubectl.succeed(DRY_RUN, elsewhere)).toContain(
        'Warning: whether the rules can be taken up is not known: the operator may not read the Secret shop/topology; give the account of the operator a Role there',
      );
    });

    it('follows references to the Secrets that it may read, and says nothing of what they hold', async () => {
      const referring = (place: string): TopologyConfig => topologyConfig('refers', [{ ...SHIRTS, endpoint: `secret://${place}` }]);
      expect(await kubectl.succeed(DRY_RUN, referring('databases/shirts/dsn'))).toContain(
        'Warning: the rules wait for secret://databases/shirts/dsn: the Secret databases/shirts does not exist',
      );
      expect(await kubectl.succeed(DRY_RUN, referring('databases/other/dsn'))).toContain(
        'Warning: the rules wait for secret://databases/other/dsn: the operator may not read the Secret databases/other; give the account of the operator a Role there',
      );
      const secret = (value: string): object => ({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'shirts', namespace: 'databases' },
        stringData: { dsn: value },
      });
      await kubectl.succeed(APPLY, secret(CANARY));
      const words = await kubectl.refuse(DRY_RUN, referring('databases/shirts/dsn'));
      expect(words).toContain(
        'what secret://databases/shirts/dsn holds is no database that the router can use; look at the value of that key',
      );
      expect(words).not.toContain(CANARY);
      await kubectl.succeed(APPLY, secret(`sqlite:///db/${CANARY}.db`));
      expect(await kubectl.succeed(DRY_RUN, referring('databases/shirts/dsn'))).not.toContain(CANARY);
    });

    it('lets labels of an object change whose rules cannot be used', async () => {
      await kubectl.succeed(['delete', 'validatingwebhookconfiguration', 'harikube-topology-operator']);
      const bad = topologyConfig('old', [{ ...SHIRTS, endpoint: 'redis://db' }]);
      await eventually(
        () => kubectl.run(CREATE, bad),
        ({ code }) => code === 0,
      );
      await operator.connect();
      await kubectl.succeed(['label', 'topologyconfig', 'old', 'a=b']);
      expect(await kubectl.refuse(APPLY, topologyConfig('old', [{ ...SHIRTS, endpoint: 'redis://other' }]))).toContain(
        'unknown scheme "redis"',
      );
      expect(await kubectl.succeed(APPLY, topologyConfig('old', [{ ...SHIRTS, endpoint: 'redis://db' }, PODS]))).toContain(
        'Warning: spec.backends[0].endpoint: endpoint "redis://db": unknown scheme "redis"',
      );
      await kubectl.succeed(['delete', 'topologyconfig', 'old']);
    });

    it('refuses TopologyConfigs and nothing else when nobody answers', async () => {
      await operator.kill();
      expect(await kubectl.refuse(DRY_RUN, topologyConfig('unjudged', [SHIRTS]))).toContain(
        'failed calling webhook "validate.topologyconfigs.harikube.info"',
      );
      await kubectl.succeed(['create', 'configmap', 'unjudged']);
      await operator.restart();
      await kubectl.succeed(DRY_RUN, topologyConfig('judged', [SHIRTS]));
    });
  });

  describe('while it leads', () => {
    const both = topologyConfig('held', [SHIRTS, PODS]);

    beforeAll(async () => {
      await kubectl.succeed(['delete', 'lease', leaseNameOf('topology-operator'), '-n', PLATFORM_NAMESPACE]);
      await kubectl.succeed(CREATE, both);
      await kubectl.succeed(['wait', 'topologyconfig', 'held', '--for=condition=Active', '--timeout=120s']);
      router.keys.set('shirts', 3);
    }, 2 * MINUTES);

    it('refuses to let a rule go whose database holds keys, and says how', async () => {
      expect(await kubectl.refuse(APPLY, topologyConfig('held', [PODS]))).toContain(
        'spec.backends: Invalid value: 3 keys (30 bytes) in "shirts", such as /registry/shirts, would have to be in "main", and would not be found any more: keep the rule, delete these objects first, or give them up by the annotation harikube.info/abandon-data: shirts=3',
      );
    });

    it('lets other rules change', async () => {
      await kubectl.succeed(APPLY, topologyConfig('held', [SHIRTS, { ...PODS, compactInterval: '10m' }]));
      await kubectl.succeed(['wait', 'topologyconfig', 'held', '--for=condition=Active', '--timeout=120s']);
    });

    it('warns of a deletion that is held, and gives data up by its number alone', async () => {
      expect(await kubectl.succeed(['delete', 'topologyconfig', 'held', '--wait=false'])).toContain(
        'Warning: "shirts" holds 3 keys: this TopologyConfig stays until they are gone, or until harikube.info/abandon-data: shirts=3 gives them up',
      );
      await eventually(
        () => get('held'),
        (config) => config?.status?.deployStatus === 'Held',
      );
      const field = 'metadata.annotations[harikube.info/abandon-data]: Invalid value:';
      expect(await kubectl.refuse(annotate('held', 'shirts'))).toContain(`${field} "shirts" holds 3 keys, to give them up write shirts=3`);
      expect(await kubectl.refuse(annotate('held', 'shirts=2'))).toContain(
        `${field} "shirts" holds 3 keys, not 2; to give them up write shirts=3`,
      );
      expect(await kubectl.refuse(annotate('held', 'main=1'))).toContain(`${field} "main" is no backend of this TopologyConfig`);
      expect(router.abandoned).toEqual([]);
      expect(await kubectl.succeed(annotate('held', 'shirts=3'))).toContain(
        'Warning: "shirts" holds 3 keys, given up as soon as the operator sees this',
      );
      await eventually(
        () => get('held'),
        (config) => config === null,
      );
      expect(router.abandoned).toEqual([{ backend: 'shirts', confirm: 3 }]);
    });

    it('has written nothing down of what it was shown', async () => {
      const log = await readFile(operator.logFile, 'utf8');
      expect(log).toContain('"serving the admission webhook"');
      expect(log).not.toContain('Canary');
    });
  });
});
