/** Damages what the controllers of a running webshop keep, in each way that they have a right to mend, and waits until they have. */
import { randomUUID } from 'node:crypto';
import {
  API_VERSION,
  claimName,
  EMAIL_CLAIMS,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  PASSWORD_ANNOTATION,
  READY,
  REGISTRATION_ANNOTATION,
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
  createdOrFound,
  type KubeClient,
  type KubeObject,
  NAMESPACES,
  type Resource,
  ROLE_BINDINGS,
  ROLES,
  SECRETS,
  SERVICE_ACCOUNTS,
} from '@harikube/kube';
import { eventually } from '../e2e/eventually.js';
import { until } from '../e2e/until.js';
import { isReady } from '../e2e/whole-registrations.js';

const COMPONENT_LABEL = 'app.kubernetes.io/component';
/** Keeps what is deleted, so that the garbage collector is no quicker than a controller. */
const KEPT = 'example.com/kept';
/** Name of the request whose address is taken while it waits. */
const CLASHING = 'clashing';
const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';

interface Owned extends KubeObject {
  metadata: KubeObject['metadata'] & { ownerReferences?: { uid: string; controller?: boolean }[] };
}

interface Binding extends KubeObject {
  roleRef: { apiGroup: string; kind: string; name: string };
  subjects: object[];
}

type Place = readonly [resource: Resource<KubeObject>, name: string, namespace: string | undefined];

export interface WebshopRepairsOptions {
  readonly client: KubeClient;
  /** Resolves to whether an account has used a right, both in the words of `titleOf`. */
  readonly isUsed: (title: string) => Promise<boolean>;
  readonly registrationOf: (name: string) => RegistrationRequest;
  /** Makes an object by the account of the registration-controller: admission lets nobody else say what belongs to which registration. */
  readonly createAsController: (object: object) => Promise<unknown>;
  /** How many registration-controllers there are to be; resolves when it is so. */
  readonly scale: (replicas: number) => Promise<void>;
}

export class WebshopRepairs {
  readonly #client: KubeClient;
  readonly #options: WebshopRepairsOptions;

  constructor(options: WebshopRepairsOptions) {
    this.#client = options.client;
    this.#options = options;
  }

  /** The labels by which the controllers know their own again. */
  async ofLabels(tenant: string): Promise<void> {
    const selector = `${TENANT_LABEL}=${tenant}`;
    const places = await this.#placesOf(selector, NAMESPACES, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS);
    await this.#patchAll(places, { metadata: { labels: { [TENANT_LABEL]: null, [COMPONENT_LABEL]: null } } });
    for (const resource of [
      NAMESPACES,
      CLUSTER_ROLES,
      CLUSTER_ROLE_BINDINGS,
      ROLE_BINDINGS,
      ROLES,
      SERVICE_ACCOUNTS,
    ] as readonly Resource<KubeObject>[]) {
      const wanted = places.filter(([of]) => of === resource).length;
      await until(this.#client, resource, (all) => all.size === wanted, { labelSelector: selector });
    }
  }

  /** What a user of the same name has left that was deleted; and the password, which comes anew. */
  async ofPredecessor(user: User): Promise<void> {
    const { name = '', namespace, uid } = user.metadata;
    const ownerReferences = [{ apiVersion: user.apiVersion, kind: 'User', name, uid: randomUUID(), controller: true }];
    const isOwn = (child: KubeObject | undefined): boolean => child?.metadata.ownerReferences?.[0]?.uid === uid;
    // One after the other: what is bound comes before what binds it.
    const account: readonly (readonly [Resource<KubeObject>, string, string])[] = [
      [SERVICE_ACCOUNTS, name, 'serviceaccounts'],
      [ROLES, name, 'roles.rbac.authorization.k8s.io'],
      [ROLE_BINDINGS, name, 'rolebindings.rbac.authorization.k8s.io'],
    ];
    for (const [resource, child, title] of account) {
      const place: Place = [resource, child, namespace];
      await this.#patchAll([place], { metadata: { ownerReferences, finalizers: [KEPT] } });
      await this.#used(`user-controller: delete ${title}`);
      await this.#patchAll([place], { metadata: { finalizers: [] } });
      await until(this.#client, resource, (all) => isOwn(all.get(`${namespace}/${child}`)), { namespace });
    }
    const password: Place[] = [[SECRETS, name, namespace]];
    // A Secret is looked at when all else is there.
    await this.#patchAll(password, { metadata: { ownerReferences, finalizers: [KEPT] } });
    await this.#touch(user);
    await this.#used('user-controller: delete secrets');
    await this.#patchAll(password, { metadata: { finalizers: [] } });
    await until(this.#client, USERS, (all) => !isReady(all.get(`${namespace}/${name}`)), { namespace });
    await this.#client.patch(USERS, name, namespace, { metadata: { annotations: { [PASSWORD_ANNOTATION]: HASH } } }, { type: 'merge' });
    await until(this.#client, USERS, (all) => isReady(all.get(`${namespace}/${name}`)), { namespace });
  }

  /** What a tenant's bindings refer to, whose its role is, and what it says of itself. */
  async ofTenant({ metadata: { name = '' }, status }: Tenant): Promise<void> {
    const selector = `${TENANT_LABEL}=${name},${COMPONENT_LABEL}!=user`;
    for (const resource of [CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS] as Resource<Binding>[]) {
      for (const binding of (await this.#client.list(resource, { labelSelector: selector })).items) {
        await this.#recreate(resource, { ...binding, roleRef: { ...binding.roleRef, kind: 'ClusterRole', name: 'view' } });
        const isMended = (all: ReadonlyMap<string, Binding>): boolean =>
          [...all.values()].some(
            ({ metadata, roleRef }) => metadata.name === binding.metadata.name && roleRef.name === binding.roleRef.name,
          );
        await until(this.#client, resource, isMended, { labelSelector: selector });
      }
    }
    await this.#patchAll(await this.#placesOf(selector, CLUSTER_ROLES), { metadata: { ownerReferences: null } });
    await until(
      this.#client,
      CLUSTER_ROLES as Resource<Owned>,
      (all) => [...all.values()].every(({ metadata }) => metadata.ownerReferences?.length === 1),
      {
        labelSelector: selector,
      },
    );
    const conditions = (status?.conditions ?? []).map((each) =>
      each.type === READY ? { ...each, status: 'False', reason: 'Disturbed' } : each,
    );
    await this.#client.patch(TENANTS, name, undefined, { status: { conditions } }, { type: 'merge', subresource: 'status' });
    await this.#used('tenant-controller: patch events.events.k8s.io');
  }

  /** Registrations of which a controller that was killed has made a part, and which are cancelled afterwards. */
  async ofCrash(holder: Tenant): Promise<void> {
    await this.#options.scale(0);
    await this.#begetClash(holder);
    const [mailed, robbed] = [await this.#begin('mailed'), await this.#begin('robbed')];
    const email = { toAddress: 'nobody@example.com', fromAddress: 'shop@example.com', fromName: 'Shop', subject: 'Hello', body: '' };
    await this.#options.createAsController({
      apiVersion: API_VERSION,
      kind: 'Email',
      metadata: { ...mailed, name: `${mailed.name}-welcome` },
      spec: email,
    });
    const owner = { apiVersion: API_VERSION, kind: 'User', name: robbed.name, uid: randomUUID(), controller: true };
    await this.#options.createAsController({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { ...robbed, ownerReferences: [owner], finalizers: [KEPT] },
    });
    await this.#options.scale(1);
    for (const right of [
      'get secrets',
      'get users.product.webshop.harikube.info',
      'delete secrets',
      'get emails.product.webshop.harikube.info',
    ])
      await this.#used(`registration-controller: ${right}`);
    await this.#failAgain();
    for (const name of ['mailed', 'robbed']) await this.#client.delete(REGISTRATION_REQUESTS, name);
    await this.#used('registration-controller: delete tenants.product.webshop.harikube.info');
    await this.#client.patch(SECRETS, robbed.name, robbed.namespace, { metadata: { finalizers: [] } }, { type: 'merge' });
    await until(this.#client, REGISTRATION_REQUESTS, (all) => all.size === 0);
    await this.#used('registration-controller: delete emailclaims.product.webshop.harikube.info');
  }

  /** A request whose address another registration got after it was asked for. */
  async #begetClash({ metadata: { name = '' } }: Tenant): Promise<void> {
    const request = this.#options.registrationOf(CLASHING);
    await this.#client.create(REGISTRATION_REQUESTS, request);
    await this.#client.create(EMAIL_CLAIMS, {
      apiVersion: API_VERSION,
      kind: 'EmailClaim',
      metadata: { name: claimName(request.spec.user.email) },
      spec: { requestName: 'first', requestUid: name },
    });
  }

  /** A registration that failed, and fails again since it does not say so any more. */
  async #failAgain(): Promise<void> {
    const isFailed = (request: RegistrationRequest | undefined): boolean =>
      request?.status?.conditions?.some(({ type, status }) => type === 'Failed' && status === 'True') === true;
    await until(this.#client, REGISTRATION_REQUESTS, (all) => isFailed(all.get(CLASHING)));
    const options = { type: 'merge', subresource: 'status' } as const;
    await this.#client.patch(REGISTRATION_REQUESTS, CLASHING, undefined, { status: { conditions: [] } }, options);
    await this.#used('registration-controller: patch events.events.k8s.io');
    await this.#client.delete(REGISTRATION_REQUESTS, CLASHING);
    await this.#client.delete(EMAIL_CLAIMS, claimName(this.#options.registrationOf(CLASHING).spec.user.email));
  }

  /** A request and its Tenant; what all that is made for it has in its metadata. */
  async #begin(
    name: string,
  ): Promise<{ name: string; namespace: string; labels: Record<string, string>; annotations: Record<string, string> }> {
    const { metadata, spec } = await this.#client.create(REGISTRATION_REQUESTS, this.#options.registrationOf(name));
    const uid = String(metadata.uid);
    const made = {
      name: uid,
      labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [TENANT_LABEL]: uid },
      annotations: { [REGISTRATION_ANNOTATION]: name },
    };
    await this.#options.createAsController({
      apiVersion: API_VERSION,
      kind: 'Tenant',
      metadata: made,
      spec: { ...spec.tenant, companyName: name },
    });
    await until(this.#client, TENANTS, (all) => isReady(all.get(uid)));
    return { ...made, namespace: uid };
  }

  async #touch({ metadata: { name = '', namespace } }: User): Promise<void> {
    const annotations = { 'example.com/touched': randomUUID() };
    await this.#client.patch(USERS, name, namespace, { metadata: { annotations } }, { type: 'merge' });
  }

  /** With other contents, before its controller has it back: whoever is second tries again. */
  async #recreate(resource: Resource<Binding>, { metadata, roleRef, subjects }: Binding): Promise<void> {
    const { name = '', namespace, labels, ownerReferences } = metadata;
    const wanted = { metadata: { name, namespace, labels, ownerReferences }, roleRef, subjects };
    await eventually(
      async () => {
        await this.#client.delete(resource, name, namespace).catch(() => undefined);
        const found = await createdOrFound(this.#client.create(resource, wanted), () => this.#client.get(resource, name, namespace)).catch(
          () => null,
        );
        return found?.roleRef.name;
      },
      (name) => name === roleRef.name,
    );
  }

  async #placesOf(labelSelector: string, ...resources: readonly Resource<KubeObject>[]): Promise<Place[]> {
    const places: Place[] = [];
    for (const resource of resources) {
      const { items } = await this.#client.list(resource, { labelSelector });
      places.push(...items.map(({ metadata }): Place => [resource, String(metadata.name), metadata.namespace]));
    }
    return places;
  }

  async #patchAll(places: readonly Place[], patch: object): Promise<void> {
    for (const [resource, name, namespace] of places) await this.#client.patch(resource, name, namespace, patch, { type: 'merge' });
  }

  async #used(title: string): Promise<void> {
    await eventually(
      () => this.#options.isUsed(title),
      (isUsed) => isUsed,
      60,
    );
  }
}
