import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AGGREGATED_API_VERSION, REGISTRATION_REQUESTS, TENANT_LABEL, TENANTS, USERS } from '@harikube/crds';
import {
  apiVersionOf,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  KubeClient,
  type KubeObject,
  NAMESPACES,
  type PolicyRule,
  type Resource,
  ROLE_BINDINGS,
  ROLES,
  SECRETS,
  SERVICE_ACCOUNTS,
} from '@harikube/kube';
import { KUBERNETES_VERSION, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { registrationControllerManifests } from '@harikube/registration-controller';
import { userControllerManifests } from '@harikube/user-controller';
import { parseAllDocuments } from 'yaml';
import { answerOf } from '../e2e/answer.js';
import { expectMailed } from '../e2e/caught-mails.js';
import { eventually } from '../e2e/eventually.js';
import { until } from '../e2e/until.js';
import { expectWhole, removeTenants } from '../e2e/whole-registrations.js';
import { runProgram } from '../run-program.js';
import { CHARTS } from './chart-files.js';
import { findChartTools } from './chart-tools.js';
import { foreignDefinitions, renderedObjects, valuesFiles, writeSchemas } from './data-layer-cluster.js';
import { type Flow, type NetworkPolicy, partyOf, type Party, policiesOf, type RunningPod, wrongFlows } from './network-policy.js';
import { rightsAskedWithin } from './right-probes.js';
import { MailCatcherProcess } from './webshop-mail-catcher.js';
import { ChartCluster } from './node-stand-in/chart-cluster.js';
import { type AuditEvent, isUseOf, type Right, rightsOf, rightsOfRules, titleOf } from './webshop-rights.js';

const MINUTES = 60_000;
const NAMESPACE = 'webshop';
const AUDIT = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules: [{ level: 'Metadata' }] };
const PROGRAMS = ['admission-webhook', 'api-server', 'email-function', 'registration-controller', 'tenant-controller', 'user-controller'];
/** The roles that the tenant-controller binds in the namespaces of tenants. */
const IN_TENANTS: Readonly<Record<string, readonly PolicyRule[]>> = {
  'registration-controller': tenantRulesOf(registrationControllerManifests({ namespace: NAMESPACE })),
  'user-controller': tenantRulesOf(userControllerManifests({ namespace: NAMESPACE })),
};
const API_SERVER = 7443;
const WEBHOOK = 9443;
const REGISTRATIONS = `/apis/${AGGREGATED_API_VERSION}/registrations`;
const EXAMPLE = fileURLToPath(new URL('../../../examples/registration.yaml', import.meta.url));

/** Rights that kube-apiserver asks for within a request that its log shows under another verb. */
const ASKED_WITHIN: readonly string[] = [
  'tenant-controller: update tenants/finalizers.product.webshop.harikube.info',
  'tenant-controller: bind clusterroles.rbac.authorization.k8s.io',
  'tenant-controller: get tenants.product.webshop.harikube.info',
  ...['get', 'list', 'watch'].flatMap((verb) =>
    ['addons', 'products'].map((plural) => `tenant-controller: ${verb} ${plural}.product.webshop.harikube.info`),
  ),
  'user-controller: bind clusterroles.rbac.authorization.k8s.io',
  'user-controller: get users.product.webshop.harikube.info',
  'user-controller: update users.product.webshop.harikube.info',
];

/** Rights for what does not happen while nothing goes wrong; the tests of the controllers make it happen. */
const FOR_REPAIRS: Readonly<Record<string, readonly string[]>> = {
  'a registration that fails half way is undone': [
    'registration-controller: delete emailclaims.product.webshop.harikube.info',
    'registration-controller: delete tenants.product.webshop.harikube.info',
  ],
  'what was made before a crash is found again': [
    'registration-controller: get emails.product.webshop.harikube.info',
    'registration-controller: get secrets',
    'registration-controller: get users.product.webshop.harikube.info',
  ],
  'what belongs to an object that was deleted is made anew': [
    'registration-controller: delete secrets',
    'tenant-controller: delete clusterrolebindings.rbac.authorization.k8s.io',
    'tenant-controller: delete clusterroles.rbac.authorization.k8s.io',
    'tenant-controller: delete rolebindings.rbac.authorization.k8s.io',
    'user-controller: delete rolebindings.rbac.authorization.k8s.io',
    'user-controller: delete roles.rbac.authorization.k8s.io',
    'user-controller: delete secrets',
    'user-controller: delete serviceaccounts',
  ],
  'a password that somebody changes moves into the Secret': [
    'user-controller: create secrets',
    'user-controller: patch users.product.webshop.harikube.info',
  ],
  'an event that comes again is counted': [
    'registration-controller: patch events.events.k8s.io',
    'tenant-controller: patch events.events.k8s.io',
    'user-controller: patch events.events.k8s.io',
  ],
  'an API that is not available yet is waited for': ['webshop-hook: watch apiservices.apiregistration.k8s.io'],
};

let helm: string;
let kubeconform: string;
let stage: ChartCluster;
let client: KubeClient;
let catcher: MailCatcherProcess;
let auditLog: string;
let flags: string[];
/** Of the release, read while it is there. */
let rights: Right[] = [];
let uninstalledAt = 0;

async function runHelm(...args: string[]): Promise<string> {
  const { folder, kubeconfigFile } = stage.cluster;
  return await runProgram(helm, args, { env: { ...readEnv(), KUBECONFIG: kubeconfigFile, HOME: folder } });
}

async function manifestsOf(release: string): Promise<object[]> {
  const texts = [await runHelm('get', 'manifest', release, '-n', NAMESPACE), await runHelm('get', 'hooks', release, '-n', NAMESPACE)];
  return texts
    .flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as object | null))
    .filter((each) => each !== null);
}

function tenantRulesOf(manifests: readonly object[]): readonly PolicyRule[] {
  const roles = manifests as readonly { readonly metadata: { readonly name: string }; readonly rules?: readonly PolicyRule[] }[];
  return roles.find(({ metadata }) => metadata.name.endsWith('-tenant'))?.rules ?? [];
}

/** What the controllers keep for a tenant, which they would miss. */
async function childrenOf(tenant: string): Promise<[Resource<KubeObject>, string, string | undefined][]> {
  const found: [Resource<KubeObject>, string, string | undefined][] = [];
  for (const resource of [NAMESPACES, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS]) {
    const { items } = await client.list(resource, { labelSelector: `${TENANT_LABEL}=${tenant}` });
    found.push(
      ...items.map(({ metadata }): [Resource<KubeObject>, string, string | undefined] => [
        resource,
        String(metadata.name),
        metadata.namespace,
      ]),
    );
  }
  return found;
}

async function deployedPods(component: string): Promise<RunningPod[]> {
  const selector = `app.kubernetes.io/instance=webshop,app.kubernetes.io/component=${component}`;
  const text = await stage.cluster.kubectl.read(['get', 'pods', '-n', NAMESPACE, '-l', selector, '-o', 'json']);
  return (JSON.parse(text) as { items: RunningPod[] }).items;
}

/** What accounts make for others, in new objects: with `kind` and version as `kubectl create` takes them. */
async function copiesOf(resources: readonly Resource<KubeObject>[], labelSelector: string): Promise<object[]> {
  const copies: object[] = [];
  for (const resource of resources) {
    for (const { metadata, ...rest } of (await client.list(resource, { labelSelector })).items) {
      const { name = '', namespace, ownerReferences } = metadata;
      copies.push({
        ...rest,
        apiVersion: apiVersionOf(resource),
        kind: resource.kind,
        metadata: { name: `${name}:copy`, namespace, ownerReferences },
      });
    }
  }
  return copies;
}

async function secretOf(name: string): Promise<Readonly<Record<string, string>>> {
  const { data = {} } = (await client.get(SECRETS, name, NAMESPACE)) as { readonly data?: Readonly<Record<string, string>> };
  return data;
}

async function auditEvents(): Promise<AuditEvent[]> {
  const lines = (await readFile(auditLog, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as AuditEvent);
}

function registration(name: string, email = `${name}@example.com`): object {
  return {
    apiVersion: AGGREGATED_API_VERSION,
    kind: 'Registration',
    metadata: { name },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email },
      password: 'Canary-Passw0rd',
      tenant: { country: 'HU', city: 'Budapest', address: 'Main street 1', postalCode: '1011' },
    },
  };
}

/** Needs root: on a laptop it is not there for anybody else. */
function describeOnNode(describeIt: () => void): void {
  if (ChartCluster.isPossible || readEnv()['CI'] === 'true') describe('the chart webshop on a node', describeIt);
  else process.stderr.write('the chart webshop is not installed: the stand-in of a node needs Linux and root\n');
}

describeOnNode(() => {
  beforeAll(async () => {
    ({ helm, kubeconform } = await findChartTools({ env: readEnv(), progress: silent }));
    stage = await ChartCluster.start({
      name: 'webshop',
      store: 'etcd',
      auditPolicy: AUDIT,
      extraApiServerArgs: ['--enable-admission-plugins=OwnerReferencesPermissionEnforcement'],
    });
    auditLog = stage.auditLog;
    client = KubeClient.fromConfig({ kubeconfig: stage.cluster.kubeconfigFile, userAgent: 'harikube-test' });
    catcher = await MailCatcherProcess.start(stage.cluster.folder, stage.network.address);
    const { kubectl } = stage.cluster;
    await kubectl.succeed(['create', 'namespace', NAMESPACE]);
    await kubectl.succeed(['label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted']);
    flags = [
      ...['--namespace', NAMESPACE, '--wait', '--timeout', '170s'],
      ...['--set', `emailFunction.smtp.host=${stage.network.address}`, '--set', `emailFunction.smtp.port=${catcher.port}`],
      ...['--set', 'emailFunction.smtp.tlsMode=none', '--set', 'networkPolicy.create=true'],
      ...['registration', 'tenant', 'user'].flatMap((name) => ['--set', `${name}Controller.replicas=1`]),
    ];
    await runHelm('install', 'harikube-crds', join(CHARTS, 'harikube-crds'));
    await runHelm(
      ...['install', 'harikube', join(CHARTS, 'harikube'), '--namespace', NAMESPACE, '--wait', '--timeout', '170s'],
      ...['--set', 'middleware.create=false', '--set', 'operator.create=false', '--set', 'serverlessKubeWatchTrigger.replicaCount=1'],
    );
    await runHelm('install', 'webshop', join(CHARTS, 'webshop'), ...flags);
    rights = rightsOf(await manifestsOf('webshop'));
  }, 10 * MINUTES);

  afterAll(async () => {
    await client.close();
    await catcher.stop();
    await stage.stop();
  }, MINUTES);

  it(
    'registers a user by kubectl, who is welcomed by a mail',
    async () => {
      const answer = JSON.parse(await stage.cluster.kubectl.read(['create', '--raw', `${REGISTRATIONS}/john`, '-f', EXAMPLE])) as {
        readonly spec: { readonly user: { readonly email: string } };
        readonly status: { readonly tenant: string };
      };
      await until(client, REGISTRATION_REQUESTS, (requests) => requests.size === 0);
      await expectWhole(client, [answer.status.tenant]);
      expect(await expectMailed(client, stage.cluster.folder, [answer.spec.user.email])).toBe(0);
    },
    2 * MINUTES,
  );

  it('lets its Pods be reached by those who need them, and by nobody else', async () => {
    const { kubectl } = stage.cluster;
    const policies = (
      JSON.parse(await kubectl.read(['get', 'networkpolicies', '-n', NAMESPACE, '-o', 'json'])) as { items: NetworkPolicy[] }
    ).items;
    const pod = async (component: string): Promise<Party> => {
      const [first] = await deployedPods(component);
      if (first === undefined) throw new Error(`no Pod is a ${component}`);
      const party = partyOf(first);
      expect(policiesOf(policies, party).map(({ metadata }) => metadata.name)).toEqual([`webshop-${component}`]);
      return party;
    };
    expect(policies).toHaveLength(PROGRAMS.length);
    const kubeApiServer: Party = { address: stage.network.address };
    const elsewhere = (namespaceLabels: Readonly<Record<string, string>>): Party => ({
      address: '192.0.2.1',
      pod: { namespace: 'other', namespaceLabels, labels: {}, ports: {} },
    });
    const needed: Flow[] = [
      ['kube-apiserver to the API server', kubeApiServer, await pod('api-server'), API_SERVER],
      ['kube-apiserver to the webhook', kubeApiServer, await pod('admission-webhook'), WEBHOOK],
      ['a trigger to the function', elsewhere({}), await pod('email-function'), 8080],
    ];
    const needless: Flow[] = [];
    for (const program of PROGRAMS) {
      needed.push([`Prometheus to ${program}`, elsewhere({ metrics: 'enabled' }), await pod(program), 8082]);
      needless.push([`a stranger to the metrics of ${program}`, elsewhere({}), await pod(program), 8082]);
    }
    expect(wrongFlows(policies, needed, needless)).toEqual([]);
  });

  it(
    'has no right to give that it does not need to give',
    async () => {
      const { kubectl } = stage.cluster;
      const made = {
        'tenant-controller': await copiesOf(
          [CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS],
          `${TENANT_LABEL},app.kubernetes.io/component=tenant`,
        ),
        'user-controller': await copiesOf([ROLES, ROLE_BINDINGS], `${TENANT_LABEL},app.kubernetes.io/component=user`),
      };
      const proven: string[] = [];
      for (const [account, objects] of Object.entries(made)) {
        const own = rights.filter((right) => right.account.endsWith(`:${account}`));
        const titles = ASKED_WITHIN.filter((title) => title.startsWith(`${account}: `));
        proven.push(...(await rightsAskedWithin({ kubectl, namespace: NAMESPACE, rights: own, titles, objects })));
      }
      expect(proven).toEqual(ASKED_WITHIN);
    },
    2 * MINUTES,
  );

  it(
    'mends what others take away from a tenant, refuses an address that is taken, and takes everything away with its Tenant',
    async () => {
      const [tenant] = (await client.list(TENANTS, {})).items;
      const name = String(tenant?.metadata.name);
      // Without the second, the objects leave the caches of the controllers.
      const labels = { [TENANT_LABEL]: null, 'app.kubernetes.io/component': null };
      for (const [resource, object, namespace] of await childrenOf(name)) {
        await client.patch(resource, object, namespace, { metadata: { labels } }, { type: 'merge' });
      }
      const [firstUser] = (await client.list(USERS, {})).items;
      expect(await stage.cluster.kubectl.refuse(['create', '-f', '-'], registration('again', firstUser?.spec.email))).toMatch(
        /e-mail address/,
      );
      for (const resource of [NAMESPACES, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, SERVICE_ACCOUNTS, ROLES])
        await until(client, resource, (all) => all.size > 0, { labelSelector: `${TENANT_LABEL}=${name}` });
      await removeTenants(client);
    },
    2 * MINUTES,
  );

  it(
    'is upgraded without a difference, with certificates that are made anew when they cannot be used, and passes its own test',
    async () => {
      const before = await runHelm('get', 'manifest', 'webshop', '-n', NAMESPACE);
      const wrong = await secretOf('webshop-api-server-tls');
      // For another name: it is made anew.
      await client.patch(SECRETS, 'webshop-admission-webhook-tls', NAMESPACE, { data: wrong }, { type: 'merge' });
      await runHelm('upgrade', 'webshop', join(CHARTS, 'webshop'), ...flags);
      expect(await runHelm('get', 'manifest', 'webshop', '-n', NAMESPACE)).toBe(before);
      expect(await secretOf('webshop-admission-webhook-tls')).not.toEqual(wrong);
      await runHelm('test', 'webshop', '-n', NAMESPACE, '--timeout', '60s');
      const [, , , ...deployments] = (
        await stage.cluster.kubectl.read(['get', 'deployments', '-n', NAMESPACE, '-o', 'jsonpath={.items[*].metadata.generation}'])
      ).split(' ');
      expect(new Set(deployments)).toEqual(new Set(['1']));
    },
    3 * MINUTES,
  );

  it(
    'is of the schemas of kube-apiserver and accepted by it, with each file of values',
    async () => {
      const { folder, kubectl } = stage.cluster;
      const foreign = join(folder, 'foreign');
      const schemasFolder = join(folder, 'schemas');
      for (const each of [foreign, schemasFolder]) await mkdir(each);
      await kubectl.succeed(['create', '-f', (await foreignDefinitions(foreign)).join(',')]);
      await kubectl.succeed(['wait', 'crd', '--all', '--for=condition=Established', '--timeout=60s']);
      const chart = join(CHARTS, 'webshop');
      const common = ['-n', NAMESPACE, '--kube-version', KUBERNETES_VERSION, '--api-versions', 'monitoring.coreos.com/v1', '--skip-tests'];
      const rendered: string[] = [];
      for (const values of await valuesFiles(chart)) {
        const bundle = values.includes('existing') ? ['--set-file', `tls.existing.caBundle=${join(folder, 'pki', 'ca.crt')}`] : [];
        rendered.push(await runHelm('template', 'other', chart, ...common, '-f', values, ...bundle));
      }
      const all = rendered.join('\n---\n');
      const kinds = new Set(renderedObjects(all).map(({ kind }) => kind));
      expect([...kinds]).toEqual(expect.arrayContaining(['Certificate', 'PodMonitor', 'NetworkPolicy']));
      const schemas = await writeSchemas(await kubectl.read(['get', '--raw', '/openapi/v2']), kinds, schemasFolder);
      const judged = await answerOf(kubeconform, ['-strict', '-summary', '-schema-location', schemas], { env: readEnv(), input: all });
      expect(judged.out + judged.err).toMatch(/Invalid: 0, Errors: 0, Skipped: 0/);
      for (const text of rendered) await kubectl.succeed(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], text);
    },
    2 * MINUTES,
  );

  it(
    'goes without a rest, after which namespaces can be made and deleted, and each of its programs has ended in time',
    async () => {
      uninstalledAt = Date.now();
      await runHelm('uninstall', 'webshop', '-n', NAMESPACE, '--wait', '--timeout', '100s');
      const { kubectl } = stage.cluster;
      await eventually(
        async () => await kubectl.read(['get', 'pods', '-n', NAMESPACE, '-l', 'app.kubernetes.io/instance=webshop', '-o', 'name']),
        (pods) => pods === '',
        90,
      );
      const kinds = 'deployments,jobs,services,secrets,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets';
      expect(await kubectl.read(['get', kinds, '-n', NAMESPACE, '-l', 'app.kubernetes.io/instance=webshop', '-o', 'name'])).toBe('');
      const everywhere = 'apiservices,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations';
      expect(await kubectl.read(['get', everywhere, '-l', 'app.kubernetes.io/instance=webshop', '-o', 'name'])).toBe('');
      await kubectl.succeed(['create', 'namespace', 'afterwards']);
      await kubectl.succeed(['delete', 'namespace', 'afterwards', '--timeout=30s']);
      expect(stage.node.endings.filter(({ isKilled, exitCode }) => isKilled || exitCode !== 0)).toEqual([]);
      expect(new Set(stage.node.endings.map(({ container }) => container))).toEqual(new Set(PROGRAMS));
    },
    3 * MINUTES,
  );

  it('has used each of its rights, and asked for nothing that it has no right to', async () => {
    const events = await auditEvents();
    const accounts = new Set(rights.map(({ account }) => account));
    // A controller that ends lets go of its lease; at an uninstall its roles may be gone by then.
    const isFarewell = ({ objectRef, stageTimestamp }: AuditEvent): boolean =>
      objectRef?.resource === 'leases' && Date.parse(stageTimestamp) > uninstalledAt;
    const refused = events
      .filter((event) => accounts.has(event.user.username) && event.responseStatus?.code === 403 && !isFarewell(event))
      .map(({ user, verb, requestURI }) => `${user.username} ${verb} ${requestURI}`);
    const bound = Object.entries(IN_TENANTS).flatMap(([program, rules]) =>
      rightsOfRules(rules, `system:serviceaccount:${NAMESPACE}:${program}`),
    );
    const unused = [...rights, ...bound].filter((right) => !events.some((event) => isUseOf(event, right))).map(titleOf);
    const known = new Set([...ASKED_WITHIN, ...Object.values(FOR_REPAIRS).flat()]);
    const needless = [...new Set(unused)].filter((title) => !known.has(title)).toSorted();
    expect({ needless, refused }).toEqual({ needless: [], refused: [] });
  });
});
