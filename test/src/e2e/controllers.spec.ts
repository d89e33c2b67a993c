import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  API_VERSION,
  claimName,
  crdFiles,
  EMAIL_CLAIMS,
  EMAIL_TEMPLATES,
  EMAILS,
  GROUP,
  PASSWORD_ANNOTATION,
  REGISTRATION_EMAIL_TEMPLATE,
  REGISTRATION_REQUESTS,
  type RegistrationRequest,
  type Tenant,
  TENANT_LABEL,
  TENANTS,
  type User,
  USERS,
} from '@harikube/crds';
import {
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  CONFIG_MAPS,
  KubeClient,
  type KubeObject,
  LEASES,
  NAMESPACES,
  type Resource,
  ROLE_BINDINGS,
  ROLES,
  SECRETS,
  SERVICE_ACCOUNTS,
} from '@harikube/kube';
import { registrationControllerManifests } from '@harikube/registration-controller';
import { tenantControllerManifests } from '@harikube/tenant-controller';
import { userControllerManifests } from '@harikube/user-controller';
import { eventually } from './eventually.js';
import type { Kubectl } from './kubectl.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster } from './running-cluster.js';
import { expectWhole, isReady, ownerUid, removeTenants } from './whole-registrations.js';
import { until } from './until.js';

const SECONDS = 1000;
const PLATFORM = 'harikube-system';
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo';

let cluster: RunningCluster;
let kubectl: Kubectl;
let client: KubeClient;
/** Of each controller by its name. */
let flags: Readonly<Record<string, readonly string[]>>;
let controllers: ProgramProcess;

/** They may not have begun when it returns, and nothing is synced then. */
function startControllers(...more: string[]): ProgramProcess {
  const all = Object.fromEntries(Object.entries(flags).map(([name, own]) => [name, [...own, ...more]]));
  // One may still read its own when the next is started.
  const file = join(cluster.folder, `controllers-${randomUUID()}.json`);
  writeFileSync(file, JSON.stringify(all));
  return ProgramProcess.launch({ command: 'services', args: [file], logFile: join(cluster.folder, 'controllers.log') });
}

/** The states that requests went through, from a watch. */
class RequestWatch {
  readonly last = new Map<string, RegistrationRequest>();
  readonly gone = new Set<string>();
  /** How many it has told. */
  changes = 0;
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();
  #done: Promise<void> = Promise.resolve();

  static async start(): Promise<RequestWatch> {
    const watch = new RequestWatch();
    const { metadata } = await client.list(REGISTRATION_REQUESTS, {});
    watch.#done = watch.#run(metadata.resourceVersion ?? '');
    return watch;
  }

  async #run(resourceVersion: string): Promise<void> {
    const { signal } = this.#stop;
    try {
      for await (const { type, object } of client.watch(REGISTRATION_REQUESTS, { resourceVersion, signal })) {
        if (type === 'BOOKMARK' || type === 'ERROR') continue;
        const request = object as RegistrationRequest;
        const name = String(request.metadata.name);
        this.last.set(name, request);
        this.changes++;
        if (type === 'DELETED') this.gone.add(name);
        for (const wake of this.#waiting) wake();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Resolves when it holds; says how far the requests are when it takes too long. */
  async until(holds: () => boolean, seconds = 180): Promise<void> {
    const signal = AbortSignal.timeout(seconds * SECONDS);
    while (!holds()) {
      if (signal.aborted)
        throw new Error(
          `requests did not come to an end: ${JSON.stringify([...this.last.keys()].map((name) => `${name}: ${this.stateOf(name)}`))}`,
        );
      const next = Promise.withResolvers<void>();
      this.#waiting.add(next.resolve);
      signal.addEventListener('abort', () => next.resolve(), { once: true });
      await next.promise;
      this.#waiting.delete(next.resolve);
    }
  }

  /** `Complete`, the reason of a failure, or what is false or unknown. */
  stateOf(name: string): string {
    const conditions = this.last.get(name)?.status?.conditions ?? [];
    const failed = conditions.find(({ type }) => type === 'Failed');
    if (failed?.status === 'True') return failed.reason;
    if (conditions.some(({ type, status }) => type === 'Complete' && status === 'True')) return 'Complete';
    return conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`).join(', ');
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

function requestOf(name: string, email = `${name}@example.com`): RegistrationRequest {
  return {
    apiVersion: API_VERSION,
    kind: 'RegistrationRequest',
    metadata: { name },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email },
      password: HASH,
      tenant: { country: 'HU', city: 'Budapest', address: 'Main street 1', postalCode: '1011' },
    },
  };
}

async function register(name: string, email?: string): Promise<string> {
  const { metadata } = await client.create(REGISTRATION_REQUESTS, requestOf(name, email));
  return String(metadata.uid);
}

/** The versions of everything that the controllers made. */
async function versions(): Promise<Map<string, string | undefined>> {
  const inNamespaces = [USERS, SECRETS, EMAILS, SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS];
  const resources = [TENANTS, EMAIL_CLAIMS, NAMESPACES, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ...inNamespaces] as Resource<KubeObject>[];
  const found = new Map<string, string | undefined>();
  for (const resource of resources) {
    for (const { metadata } of (await client.list(resource, { labelSelector: TENANT_LABEL })).items) {
      found.set(`${resource.plural} ${metadata.namespace} ${metadata.name}`, metadata.resourceVersion);
    }
  }
  return found;
}

/** Whether RBAC lets a user do it; resources are those of the shop, except secrets. */
async function isAllowed(
  user: string,
  groups: readonly string[],
  attributes: { readonly verb: string; readonly resource: string },
): Promise<boolean> {
  const group = attributes.resource === 'secrets' ? '' : GROUP;
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user, groups, resourceAttributes: { group, ...attributes } },
  };
  const { status } = (await client.raw('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', undefined, review)) as {
    readonly status: { readonly allowed: boolean };
  };
  return status.allowed;
}

interface Lease extends KubeObject {
  readonly spec?: { readonly holderIdentity?: string };
}

/** How long a process lives that is killed then, wherever it is. */
function lifetime(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Flags with which a controller has the rights of its own account and no others. */
async function ownAccount(name: string): Promise<string[]> {
  const token = await kubectl.read(['create', 'token', name, '-n', PLATFORM, '--duration=1h']);
  const config = JSON.parse(await kubectl.read(['config', 'view', '--raw', '-o', 'json'])) as { users: { name: string; user: object }[] };
  for (const user of config.users) user.user = { token };
  const file = join(cluster.folder, `${name}.kubeconfig`);
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return [`--kubeconfig=${file}`, `--namespace=${PLATFORM}`, '--health-probe-bind-address=0', '--log-format=json'];
}

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'controllers', store: 'router' });
  kubectl = cluster.kubectl;
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'controllers-spec' });
  await kubectl.succeed(['create', 'namespace', PLATFORM]);
  await kubectl.succeed(['apply', '--server-side', ...crdFiles().flatMap((file) => ['-f', file])]);
  await kubectl.established(crdFiles().flatMap((file) => ['-f', file]));
  await client.create(EMAIL_TEMPLATES, {
    apiVersion: API_VERSION,
    kind: 'EmailTemplate',
    metadata: { name: REGISTRATION_EMAIL_TEMPLATE, namespace: PLATFORM },
    spec: {
      displayName: 'Welcome',
      fromName: 'Shop',
      fromAddress: 'shop@example.com',
      subject: 'Welcome',
      body: 'Hello {{ .spec.firstName }}, you are {{ .metadata.name }}. {{ hasKey .metadata "annotations" }}',
    },
  });
  const manifests = [registrationControllerManifests, tenantControllerManifests, userControllerManifests];
  const items = manifests.flatMap((make) => make({ namespace: PLATFORM }));
  await kubectl.succeed(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items });
  flags = {
    'registration-controller': [...(await ownAccount('registration-controller')), '--failed-ttl=3s'],
    'tenant-controller': await ownAccount('tenant-controller'),
    'user-controller': await ownAccount('user-controller'),
  };
  controllers = startControllers();
  cluster.beforeStop(() => controllers.kill());
});

afterAll(async () => {
  await cluster?.stop();
});

describe('the controllers', () => {
  it('make Tenant, namespace, User, rights, Secret and mail of a request', async () => {
    const requests = await RequestWatch.start();
    const uid = await register('jane');
    await requests.until(() => requests.gone.has('jane'));
    await requests.close();
    const status = requests.last.get('jane')?.status;
    expect(status).toMatchObject({ tenant: uid, namespace: uid, user: uid });
    const conditions = Object.fromEntries((status?.conditions ?? []).map((condition) => [condition.type, condition.status]));
    expect(conditions).toEqual({
      Claimed: 'True',
      TenantReady: 'True',
      UserReady: 'True',
      EmailCreated: 'True',
      Complete: 'True',
      Failed: 'False',
    });
    await expectWhole(client, [uid]);

    const user = await client.get(USERS, uid, uid);
    expect(user.status).toMatchObject({ passwordRef: { name: uid }, lastGeneration: 1, phase: 'Pending' });
    expect(user.metadata.annotations?.[PASSWORD_ANNOTATION]).toBeUndefined();
    const secret = (await client.get(SECRETS, uid, uid)) as KubeObject & { readonly data: Record<string, string> };
    expect(Object.entries(secret.data)).toEqual([['hash', Buffer.from(HASH).toString('base64')]]);
    const email = await client.get(EMAILS, `${uid}-welcome`, uid);
    expect(email.spec).toEqual({
      toAddress: 'jane@example.com',
      fromAddress: 'shop@example.com',
      fromName: 'Shop',
      subject: 'Welcome',
      body: `Hello Jane, you are ${uid}. false`,
    });
    const { status: tenantStatus } = await client.get(TENANTS, uid);
    expect(tenantStatus).toMatchObject({ lastGeneration: 1, namespace: uid });
    expect(tenantStatus?.conditions).toMatchObject([{ type: 'Ready', status: 'True', observedGeneration: 1 }]);
    expect((await client.get(EMAIL_CLAIMS, claimName('jane@example.com'))).spec).toEqual({ requestName: 'jane', requestUid: uid });

    const can = (verb: string, resource: string, place: { readonly name?: string; readonly namespace?: string }): Promise<boolean> =>
      isAllowed(`system:serviceaccount:${uid}:${uid}`, ['system:serviceaccounts', `system:serviceaccounts:${uid}`], {
        verb,
        resource,
        ...place,
      });
    expect(await can('patch', 'users', { name: uid, namespace: uid })).toBe(true);
    expect(await can('create', 'orders', { namespace: uid })).toBe(true);
    expect(await can('get', 'secrets', { namespace: uid })).toBe(false);
    expect(await can('list', 'users', { namespace: uid })).toBe(false);
    expect(await can('get', 'tenants', { name: uid })).toBe(true);
    expect(await can('list', 'tenants', {})).toBe(false);
  });

  it('tell people what they do: in events that kubectl describes, and in a condition that it waits for', async () => {
    const { items } = await client.list(TENANTS, {});
    const name = String(items[0]?.metadata.name);
    await kubectl.succeed(['wait', '--for=condition=Ready', `tenant/${name}`, '--timeout=120s']);
    await kubectl.succeed(['wait', '--for=condition=Ready', `user/${name}`, '-n', name, '--timeout=120s']);
    const described = (kind: string, ...more: string[]): Promise<string> => kubectl.read(['describe', kind, name, ...more]);
    await eventually(
      () => described('tenant'),
      (said) => /Normal +NamespaceActive +\S+ +harikube\.info\/tenant-controller +the namespace is active/.test(said),
    );
    await eventually(
      () => described('user', '-n', name),
      (said) => /Normal +AccountReady +\S+ +harikube\.info\/user-controller/.test(said),
    );
  });

  it('register fifty at once, and write nothing when there is nothing to do', async () => {
    const requests = await RequestWatch.start();
    const names = Array.from({ length: 50 }, (_, index) => `many-${index}`);
    const uids = await Promise.all(names.map((name) => register(name)));
    await requests.until(() => names.every((name) => requests.gone.has(name)));
    expect(new Set(names.map((name) => requests.stateOf(name)))).toEqual(new Set(['Complete']));
    const first = String(
      (await client.list(TENANTS, {})).items.find(({ metadata }) => !uids.includes(String(metadata.name)))?.metadata.name,
    );
    await expectWhole(client, [first, ...uids]);

    const before = await versions();
    await controllers.kill();
    controllers = startControllers();
    await register('after-restart');
    await requests.until(() => requests.gone.has('after-restart'));
    const after = await versions();
    expect([...before].filter(([name, version]) => after.get(name) !== version)).toEqual([]);
    await requests.close();
  });

  it('give one address to exactly one of twenty requests, and remove the others after their time', async () => {
    const requests = await RequestWatch.start();
    const names = Array.from({ length: 20 }, (_, index) => `twin-${index}`);
    await Promise.all(names.map((name, index) => register(name, index % 2 === 0 ? 'Twin@Example.com' : `twin@example.COM`)));
    await requests.until(() => names.every((name) => ['Complete', 'EmailTaken'].includes(requests.stateOf(name))));
    expect(names.filter((name) => requests.stateOf(name) === 'Complete').length).toBe(1);
    await requests.until(() => names.every((name) => requests.gone.has(name)));
    await requests.close();
    const claim = await client.get(EMAIL_CLAIMS, claimName('twin@example.com'));
    const tenant = await client.get(TENANTS, claim.spec.requestUid);
    expect(ownerUid(claim)).toBe(tenant.metadata.uid);
  });

  it('never adopt a namespace that somebody else made', async () => {
    await kubectl.succeed(['create', 'namespace', 'legacy']);
    await kubectl.succeed(['create', 'configmap', 'precious', '-n', 'legacy']);
    const legacy: Tenant = {
      apiVersion: API_VERSION,
      kind: 'Tenant',
      metadata: { name: 'legacy' },
      spec: requestOf('x').spec.tenant,
    };
    await client.create(TENANTS, legacy);
    const reasonOf = (tenants: ReadonlyMap<string, Tenant>): string | undefined => tenants.get('legacy')?.status?.conditions?.[0]?.reason;
    await until(client, TENANTS, (tenants) => reasonOf(tenants) === 'NamespaceConflict');
    await kubectl.succeed(['delete', 'tenant', 'legacy', '--timeout=120s']);
    const { metadata } = await client.get(NAMESPACES, 'legacy');
    expect(metadata).not.toHaveProperty('deletionTimestamp');
    expect(metadata).not.toHaveProperty('ownerReferences');
    await client.get(CONFIG_MAPS, 'precious', 'legacy');

    // A Tenant that waits for the name has it as soon as it is free, and has its namespace again when somebody deletes it.
    await client.create(TENANTS, legacy);
    await until(client, TENANTS, (tenants) => reasonOf(tenants) === 'NamespaceConflict');
    await kubectl.succeed(['delete', 'namespace', 'legacy', '--timeout=120s']);
    await until(client, TENANTS, (tenants) => isReady(tenants.get('legacy')));
    const made = await client.get(NAMESPACES, 'legacy');
    await kubectl.succeed(['delete', 'namespace', 'legacy', '--wait=false']);
    await until(client, NAMESPACES, (namespaces) => {
      const current = namespaces.get('legacy')?.metadata;
      return current !== undefined && current.uid !== made.metadata.uid;
    });
    await until(client, TENANTS, (tenants) => isReady(tenants.get('legacy')));
    await kubectl.succeed(['delete', 'tenant', 'legacy', '--timeout=120s']);
    await until(client, NAMESPACES, (namespaces) => !namespaces.has('legacy'));
  });

  it('move a password from the annotation into the Secret, also a later one', async () => {
    const { items } = await client.list(TENANTS, {});
    const namespace = String(items[0]?.metadata.name);
    const user: User = {
      apiVersion: API_VERSION,
      kind: 'User',
      metadata: { name: 'second', namespace, annotations: { [PASSWORD_ANNOTATION]: HASH } },
      spec: { firstName: 'John', lastName: 'Doe', email: 'john@example.com' },
    };
    await client.create(USERS, user);
    const settled = (users: ReadonlyMap<string, User>): boolean => {
      const current = users.get(`${namespace}/second`);
      return isReady(current) && current?.metadata.annotations?.[PASSWORD_ANNOTATION] === undefined;
    };
    await until(client, USERS, settled, { namespace });
    const hash = async (): Promise<string> => {
      const { data } = (await client.get(SECRETS, 'second', namespace)) as KubeObject & { readonly data: Record<string, string> };
      return Buffer.from(data['hash'] ?? '', 'base64').toString();
    };
    expect(await hash()).toBe(HASH);
    const other = HASH.replace('aGFz', 'b3Ro');
    await client.patch(USERS, 'second', namespace, { metadata: { annotations: { [PASSWORD_ANNOTATION]: other } } }, { type: 'merge' });
    await until(client, USERS, settled, { namespace });
    expect(await hash()).toBe(other);
    await kubectl.succeed(['delete', 'user', 'second', '-n', namespace]);
    for (const resource of [SECRETS, SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS] as Resource<KubeObject>[]) {
      await until(client, resource, (objects) => ![...objects.keys()].some((key) => key.includes('/second')), { namespace });
    }
  });

  it('leave nothing half made while they are killed, and remove what is half made of a request that is deleted', async () => {
    await removeTenants(client);
    await controllers.kill();
    const requests = await RequestWatch.start();
    // This one finds its namespace taken.
    const blocked = await register('blocked');
    await kubectl.succeed(['create', 'namespace', blocked]);
    const names = Array.from({ length: 16 }, (_, index) => `killed-${index}`);
    const uids = await Promise.all(names.map((name) => register(name)));
    const deleted = new Set(names.slice(0, 4));
    const areGone = (): boolean => names.every((name) => requests.gone.has(name));
    for (let kills = 0; !areGone(); kills++) {
      controllers = startControllers();
      // Each life ends in the middle of something else, and gets something done, however slow the machine is.
      const enough = requests.changes + 5 + ((kills * 5) % 7);
      await requests.until(() => areGone() || requests.changes >= enough);
      await lifetime((kills * 137) % 300);
      const victim = [...deleted][kills];
      if (victim !== undefined) await kubectl.succeed(['delete', 'registrationrequest', victim, '--wait=false', '--ignore-not-found']);
      await controllers.kill();
    }
    controllers = startControllers();
    await requests.until(() => requests.stateOf('blocked') === 'NamespaceConflict');
    await requests.until(() => requests.gone.has('blocked'));
    await requests.close();
    const whole = uids.filter((_, index) => requests.stateOf(names[index] ?? '') === 'Complete');
    for (const name of names) if (!deleted.has(name)) expect([name, requests.stateOf(name)]).toEqual([name, 'Complete']);
    await expectWhole(client, whole);
    const { metadata } = await client.get(NAMESPACES, blocked);
    expect(metadata).not.toHaveProperty('deletionTimestamp');
  });

  it('remove everything of all Tenants', async () => {
    expect((await client.list(TENANTS, {})).items.length).toBeGreaterThan(10);
    await removeTenants(client);
  });

  it('stand by while others hold their leases, and take over as soon as those end', async () => {
    await controllers.kill();
    const holders = async (): Promise<string[]> => {
      const { items } = await client.list<Lease>(LEASES, { namespace: PLATFORM });
      return items.map(({ spec }) => spec?.holderIdentity ?? '');
    };
    const requests = await RequestWatch.start();
    controllers = startControllers('--leader-elect');
    await register('led');
    await requests.until(() => requests.gone.has('led'));
    const first = await holders();
    expect(new Set(first).size).toBe(3);
    const standby = startControllers('--leader-elect');
    expect(await controllers.stop()).toBe(0);
    controllers = standby;
    await register('taken-over');
    await requests.until(() => requests.gone.has('taken-over'));
    await requests.close();
    expect((await holders()).filter((holder) => first.includes(holder))).toEqual([]);
    expect(requests.stateOf('taken-over')).toBe('Complete');
  });
});
