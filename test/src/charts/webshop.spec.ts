import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  AGGREGATED_API_VERSION,
  API_VERSION,
  REGISTRATION_REQUESTS,
  type RegistrationRequest,
  TENANT_LABEL,
  TENANTS,
  USERS,
} from '@harikube/crds';
import {
  apiVersionOf,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  KubeClient,
  type KubeObject,
  type PolicyRule,
  type Resource,
  ROLE_BINDINGS,
  ROLES,
  SECRETS,
} from '@harikube/kube';
import { silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { registrationControllerManifests } from '@harikube/registration-controller';
import { userControllerManifests } from '@harikube/user-controller';
import { parseAllDocuments } from 'yaml';
import { expectMailed } from '../e2e/caught-mails.js';
import { eventually } from '../e2e/eventually.js';
import { until } from '../e2e/until.js';
import { expectWhole, removeTenants } from '../e2e/whole-registrations.js';
import { runProgram } from '../run-program.js';
import { CertManagerStandIn } from './cert-manager-stand-in.js';
import { CHARTS } from './chart-files.js';
import { findChartTools } from './chart-tools.js';
import { failuresDuring } from './failures-during.js';
import { type InstalledPod, shownSerial } from './installed-data-layer.js';
import { type Flow, type NetworkPolicy, partyOf, type Party, policiesOf, wrongFlows } from './network-policy.js';
import { rightsAskedWithin } from './right-probes.js';
import { WebshopRepairs } from './webshop-repairs.js';
import { MailCatcherProcess } from './webshop-mail-catcher.js';
import { ChartCluster } from './node-stand-in/chart-cluster.js';
import { type AuditEvent, isUseOf, type Right, rightsOf, rightsOfRules, titleOf } from './webshop-rights.js';

/** A program of ours has its handlers by then. */
const STARTING_MS = 5000;
const MINUTES = 60_000;
const NAMESPACE = 'webshop';
const AUDIT = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules: [{ level: 'Metadata' }] };
const PROGRAMS = ['admission-webhook', 'api-server', 'email-function', 'registration-controller', 'tenant-controller', 'user-controller'];
/** What the tenant-controller binds in the namespaces of tenants. */
const BOUND: readonly Right[] = Object.entries({
  'registration-controller': registrationControllerManifests({ namespace: NAMESPACE }),
  'user-controller': userControllerManifests({ namespace: NAMESPACE }),
}).flatMap(([program, manifests]) => rightsOfRules(tenantRulesOf(manifests), `system:serviceaccount:${NAMESPACE}:${program}`));
const API_SERVER = 7443;
const WEBHOOK = 9443;
const API_SERVICE = 'v1.api.product.webshop.harikube.info';
const WAIT = ['--wait', '--timeout', '170s'];
const REGISTRATIONS = `/apis/${AGGREGATED_API_VERSION}/registrations`;
const EXAMPLE = fileURLToPath(new URL('../../../examples/registration.yaml', import.meta.url));

interface Deployment extends KubeObject {
  spec: { replicas: number };
}

const DEPLOYMENTS: Resource<Deployment> = { group: 'apps', version: 'v1', kind: 'Deployment', plural: 'deployments', namespaced: true };

/** Rights that kube-apiserver asks for within a request that its log shows under another verb. */
const ASKED_WITHIN: readonly string[] = [
  'tenant-controller: update tenants/finalizers.product.webshop.harikube.info',
  'tenant-controller: bind clusterroles.rbac.authorization.k8s.io',
  // Of one who gives an object another owner.
  'tenant-controller: delete clusterroles.rbac.authorization.k8s.io',
  'tenant-controller: get tenants.product.webshop.harikube.info',
  ...['get', 'list', 'watch'].flatMap((verb) =>
    ['addons', 'products'].map((plural) => `tenant-controller: ${verb} ${plural}.product.webshop.harikube.info`),
  ),
  'user-controller: bind clusterroles.rbac.authorization.k8s.io',
  'user-controller: get users.product.webshop.harikube.info',
  'user-controller: update users.product.webshop.harikube.info',
];

let helm: string;
let stage: ChartCluster;
let client: KubeClient;
let catcher: MailCatcherProcess;
let certManager: CertManagerStandIn | undefined;
let auditLog: string;
let flags: string[];
/** Of the release, read while it is there. */
let rights: Right[] = [];
/** While nothing is installed: in milliseconds since 1970. */
const absence = { from: 0, to: 0 };

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

async function deployedPods(component: string): Promise<InstalledPod[]> {
  const selector = `app.kubernetes.io/instance=webshop,app.kubernetes.io/component=${component}`;
  const text = await stage.cluster.kubectl.read(['get', 'pods', '-n', NAMESPACE, '-l', selector, '-o', 'json']);
  return (JSON.parse(text) as { items: InstalledPod[] }).items;
}

/** What runs: equal means that no Pod was replaced and no container restarted. */
async function running(): Promise<string[]> {
  const pods = await Promise.all(PROGRAMS.map((program) => deployedPods(program)));
  return pods.flat().map(({ metadata, status }) => `${metadata.uid} ${status.containerStatuses[0]?.restartCount}`);
}

/**
 * Replaces certificates while requests flow, of which none fails; the API server and the webhook show others afterwards, in the Pods that they
 * were in.
 */
async function expectRotated(replace: () => Promise<unknown>): Promise<void> {
  const shown = async (): Promise<string[]> => {
    const places = { 'api-server': API_SERVER, 'admission-webhook': WEBHOOK };
    const serials = Object.entries(places).map(async ([component, port]) =>
      Promise.all((await deployedPods(component)).map(({ status }) => shownSerial(status.podIP, port))),
    );
    return (await Promise.all(serials)).flat();
  };
  const [before, pods] = [await shown(), await running()];
  const failures = await failuresDuring(
    {
      'a question to the API server': () => client.raw('GET', `/apis/${AGGREGATED_API_VERSION}`),
      'a question to the webhook': () => client.create(REGISTRATION_REQUESTS, registrationOf('never'), { dryRun: true }),
    },
    async () => {
      await replace();
      await eventually(shown, (all) => all.every((serial) => !before.includes(serial)), 90);
    },
  );
  expect(failures).toEqual([]);
  expect(await running()).toEqual(pods);
}

/** Registers one by kubectl, as examples/registration.yaml has it unless another is given; resolves when all is there and the mail has come. */
async function expectRegistered(name: string, registration?: object): Promise<void> {
  const source = registration === undefined ? EXAMPLE : '-';
  const args = ['create', '--raw', `${REGISTRATIONS}/${name}`, '-f', source];
  const answer = JSON.parse(await stage.cluster.kubectl.read(args, registration)) as {
    readonly spec: { readonly user: { readonly email: string } };
    readonly status: { readonly tenant: string };
  };
  await until(client, REGISTRATION_REQUESTS, (requests) => requests.size === 0);
  await expectWhole(client, [answer.status.tenant]);
  expect(await expectMailed(client, stage.cluster.folder, [answer.spec.user.email])).toBe(0);
}

async function isUsed(title: string): Promise<boolean> {
  const events = await auditEvents();
  return [...rights, ...BOUND].some((right) => titleOf(right) === title && events.some((event) => isUseOf(event, right)));
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

async function auditEvents(): Promise<AuditEvent[]> {
  const lines = (await readFile(auditLog, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as AuditEvent);
}

function registrationOf(name: string, email = `${name}@example.com`): RegistrationRequest {
  return {
    apiVersion: API_VERSION,
    kind: 'RegistrationRequest',
    metadata: { name },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email },
      password: 'Canary-Passw0rd',
      tenant: { country: 'HU', city: 'Budapest', address: 'Main street 1', postalCode: '1011' },
    },
  };
}

function aggregated(request: RegistrationRequest): object {
  return { ...request, apiVersion: AGGREGATED_API_VERSION, kind: 'Registration' };
}

async function scaleRegistrationController(replicas: number): Promise<void> {
  const { kubectl } = stage.cluster;
  await kubectl.succeed(['scale', 'deployment', 'webshop-registration-controller', '-n', NAMESPACE, `--replicas=${replicas}`]);
  await eventually(
    () => deployedPods('registration-controller'),
    (pods) => pods.length === replicas,
  );
}

/** Needs root: on a laptop it is not there for anybody else. */
function describeOnNode(describeIt: () => void): void {
  if (ChartCluster.isPossible || readEnv()['CI'] === 'true') describe('the chart webshop on a node', describeIt);
  else process.stderr.write('the chart webshop is not installed: the stand-in of a node needs Linux and root\n');
}

describeOnNode(() => {
  beforeAll(async () => {
    ({ helm } = await findChartTools({ env: readEnv(), progress: silent }));
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
      ...['--namespace', NAMESPACE],
      ...['--set', `emailFunction.smtp.host=${stage.network.address}`, '--set', `emailFunction.smtp.port=${catcher.port}`],
      ...['--set', 'emailFunction.smtp.tlsMode=none', '--set', 'networkPolicy.create=true'],
      ...['registration', 'tenant', 'user'].flatMap((name) => ['--set', `${name}Controller.replicas=1`]),
    ];
    await runHelm('install', 'harikube-crds', join(CHARTS, 'harikube-crds'));
    await runHelm(
      ...['install', 'harikube', join(CHARTS, 'harikube'), '--namespace', NAMESPACE, '--wait', '--timeout', '170s'],
      ...['--set', 'middleware.create=false', '--set', 'operator.create=false', '--set', 'serverlessKubeWatchTrigger.replicaCount=1'],
    );
    await runHelm('install', 'webshop', join(CHARTS, 'webshop'), ...flags, ...WAIT);
    rights = rightsOf(await manifestsOf('webshop'));
  }, 10 * MINUTES);

  afterAll(async () => {
    await certManager?.stop();
    await client.close();
    await catcher.stop();
    await stage.stop();
  }, MINUTES);

  it('registers a user by kubectl, who is welcomed by a mail', () => expectRegistered('john'), 2 * MINUTES);

  it(
    'is upgraded without a difference, with certificates that are made anew while requests flow, of which none fails, and passes its own test',
    async () => {
      const manifest = await runHelm('get', 'manifest', 'webshop', '-n', NAMESPACE);
      await expectRotated(async () => {
        await client.patch(SECRETS, 'webshop-authority', NAMESPACE, { data: { 'ca.crt': null } }, { type: 'merge' });
        for (const name of ['api-server', 'admission-webhook']) await client.delete(SECRETS, `webshop-${name}-tls`, NAMESPACE);
        await runHelm('upgrade', 'webshop', join(CHARTS, 'webshop'), ...flags, ...WAIT);
      });
      expect(await runHelm('get', 'manifest', 'webshop', '-n', NAMESPACE)).toBe(manifest);
      await runHelm('test', 'webshop', '-n', NAMESPACE, '--timeout', '170s');
    },
    10 * MINUTES,
  );

  it(
    'waits at an upgrade for an API that nobody serves',
    async () => {
      const { kubectl } = stage.cluster;
      const scale = (replicas: number): Promise<unknown> =>
        client.patch(DEPLOYMENTS, 'webshop-api-server', NAMESPACE, { spec: { replicas } }, { type: 'merge' });
      await scale(0);
      await kubectl.succeed(['wait', 'apiservice', API_SERVICE, '--for=condition=Available=False', '--timeout=85s']);
      const upgrade = runHelm('upgrade', 'webshop', join(CHARTS, 'webshop'), ...flags, '--timeout', '170s');
      // Helm has as many again as the values say, before the hook.
      await until(client, DEPLOYMENTS, (all) => all.get(`${NAMESPACE}/webshop-api-server`)?.spec.replicas !== 0, { namespace: NAMESPACE });
      await scale(0);
      await eventually(() => isUsed('webshop-hook: watch apiservices.apiregistration.k8s.io'), Boolean, 90);
      await scale(2);
      await upgrade;
      await kubectl.succeed(['wait', 'apiservice', API_SERVICE, '--for=condition=Available', '--timeout=5s']);
    },
    10 * MINUTES,
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
      const [role] = (await client.list(CLUSTER_ROLES, { labelSelector: TENANT_LABEL })).items;
      const ownerReferences = (role?.metadata.ownerReferences ?? []).map(({ apiVersion, kind, name: owner }) => ({
        apiVersion,
        kind,
        name: owner,
        uid: randomUUID(),
      }));
      expect(ownerReferences).toHaveLength(1);
      const otherOwner = {
        apiVersion: apiVersionOf(CLUSTER_ROLES),
        kind: CLUSTER_ROLES.kind,
        metadata: { name: role?.metadata.name, ownerReferences },
      };
      for (const [account, objects] of Object.entries(made)) {
        const own = rights.filter((right) => right.account.endsWith(`:${account}`));
        const titles = ASKED_WITHIN.filter((title) => title.startsWith(`${account}: `));
        proven.push(
          ...(await rightsAskedWithin({
            kubectl,
            namespace: NAMESPACE,
            rights: own,
            titles,
            objects,
            changes: account === 'tenant-controller' ? [otherOwner] : [],
          })),
        );
      }
      expect(proven).toEqual(ASKED_WITHIN);
    },
    2 * MINUTES,
  );

  it(
    'mends what others take away or leave behind, refuses an address that is taken, and takes everything away with its Tenant',
    async () => {
      const as = `--as=system:serviceaccount:${NAMESPACE}:registration-controller`;
      const createAsController = (object: object): Promise<unknown> => stage.cluster.kubectl.succeed(['create', as, '-f', '-'], object);
      const repairs = new WebshopRepairs({ client, isUsed, registrationOf, createAsController, scale: scaleRegistrationController });
      const [tenant] = (await client.list(TENANTS, {})).items;
      const [user] = (await client.list(USERS, {})).items;
      if (tenant === undefined || user === undefined) throw new Error('nobody is registered');
      const again = aggregated(registrationOf('again', user.spec.email));
      expect(await stage.cluster.kubectl.refuse(['create', '-f', '-'], again)).toMatch(/e-mail address/);
      await repairs.ofLabels(String(tenant.metadata.name));
      await repairs.ofPredecessor(user);
      await repairs.ofTenant(tenant);
      await repairs.ofCrash(tenant);
      await removeTenants(client);
    },
    10 * MINUTES,
  );

  it(
    'goes without a rest, after which namespaces can be made and deleted, and each of its programs has ended in time',
    async () => {
      absence.from = Date.now();
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
      // Only who is told while it starts has no handler yet, and ends by the signal itself.
      const isWell = ({ isKilled, exitCode, ageMilliseconds }: (typeof stage.node.endings)[number]): boolean =>
        !isKilled && (exitCode === 0 || (exitCode === 143 && ageMilliseconds < STARTING_MS));
      expect(stage.node.endings.filter((ending) => !isWell(ending))).toEqual([]);
      expect(new Set(stage.node.endings.map(({ container }) => container))).toEqual(new Set(PROGRAMS));
    },
    10 * MINUTES,
  );

  it(
    'is installed with certificates of cert-manager, registers a user, and takes up what is renewed, its authority too, while requests flow',
    async () => {
      const { folder, kubeconfigFile: kubeconfig, kubectl } = stage.cluster;
      certManager = await CertManagerStandIn.start({ kubeconfig, kubectl, folder: join(folder, 'cert-manager') });
      absence.to = Date.now();
      await runHelm('install', 'webshop', join(CHARTS, 'webshop'), ...flags, '--set', 'tls.mode=certManager', ...WAIT);
      await expectRegistered('jack', aggregated(registrationOf('jack')));
      await expectRotated(async () => {
        for (const name of ['authority', 'api-server-tls', 'admission-webhook-tls']) await certManager?.renew(NAMESPACE, `webshop-${name}`);
      });
      await removeTenants(client);
    },
    10 * MINUTES,
  );

  it('has used each of its rights, and asked for nothing that it has no right to', async () => {
    const events = await auditEvents();
    const accounts = new Set(rights.map(({ account }) => account));
    // A controller that ends lets go of its lease and says how often its last Events came; at an uninstall its roles may be gone by then.
    const isFarewell = ({ objectRef, stageTimestamp }: AuditEvent): boolean => {
      const at = Date.parse(stageTimestamp);
      return ['leases', 'events'].includes(objectRef?.resource ?? '') && at > absence.from && at < absence.to;
    };
    // Kubernetes answers 403 to whoever makes an object in a namespace that is going: that takes no right.
    const isOfGoing = ({ responseStatus }: AuditEvent): boolean =>
      responseStatus?.message?.includes('because it is being terminated') ?? false;
    const refused = events
      .filter((event) => accounts.has(event.user.username) && event.responseStatus?.code === 403 && !isFarewell(event) && !isOfGoing(event))
      .map(({ user, verb, requestURI }) => `${user.username} ${verb} ${requestURI}`);
    const unused = [...rights, ...BOUND].filter((right) => !events.some((event) => isUseOf(event, right))).map(titleOf);
    const known = new Set(ASKED_WITHIN);
    const needless = [...new Set(unused)].filter((title) => !known.has(title)).toSorted();
    expect({ needless, refused }).toEqual({ needless: [], refused: [] });
  });
});
