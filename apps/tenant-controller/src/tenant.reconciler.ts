import { EMAILS, GROUP, READY, type Tenant, TENANT_FINALIZER, TENANTS, type User, USERS, VERSION } from '@harikube/crds';
import {
  type Clock,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  ifFound,
  type Informer,
  type KubeClient,
  type KubeObject,
  NAMESPACES,
  type Resource,
  ROLE_BINDINGS,
  StatusError,
} from '@harikube/kube';
import {
  type EventRecorder,
  isPart,
  type Key,
  type ReconcileContext,
  type Reconciler,
  type Result,
  setCondition,
} from '@harikube/reconcilers';
import { type Binding, type ClusterRole, isOwnedBy, type Namespace, namespaceOf, rightsOf } from './tenant-children.js';
import { type NamespaceView, nextStep, type Ready, readyOf, type TenantStep, type TenantView } from './tenant-step.js';

const FIELD_MANAGER = 'harikube-tenant-controller';
/** More steps than any Tenant takes in one run: beyond it, two of them undo each other. */
const MAX_STEPS = 20;

export interface TenantCaches {
  readonly tenants: Informer<Tenant>;
  readonly namespaces: Informer<Namespace>;
  /** Has the index `namespace`. */
  readonly users: Informer<User>;
  readonly roleBindings: Informer<Binding>;
  readonly clusterRoles: Informer<ClusterRole>;
  readonly clusterRoleBindings: Informer<Binding>;
}

export interface TenantReconcilerOptions {
  readonly client: KubeClient;
  readonly caches: TenantCaches;
  readonly events: EventRecorder;
  readonly clock: Clock;
  /** The namespace of the platform. */
  readonly namespace: string;
}

/** A thing that belongs to a Tenant, where it is found, and how it is now. */
interface Child {
  readonly resource: Resource<KubeObject>;
  readonly wanted: KubeObject;
  readonly cached: KubeObject | undefined;
}

interface State {
  readonly tenant: Tenant;
  readonly namespace: Namespace | null;
  readonly isFresh: boolean;
  /** Rights that were applied in this run; the caches show them later. */
  readonly hasRights: boolean;
}

type Outcome = State | null;

export class TenantReconciler implements Reconciler {
  readonly #client: KubeClient;
  readonly #caches: TenantCaches;
  readonly #options: TenantReconcilerOptions;

  constructor(options: TenantReconcilerOptions) {
    this.#client = options.client;
    this.#caches = options.caches;
    this.#options = options;
  }

  async reconcile({ name }: Key, { signal }: ReconcileContext): Promise<Result> {
    const tenant = this.#caches.tenants.get(name);
    if (tenant === undefined) return {};
    let state: State = { tenant, namespace: this.#caches.namespaces.get(name) ?? null, isFresh: false, hasRights: false };
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      try {
        const outcome = await this.#take(nextStep(this.#viewOf(state)), state, signal);
        if (outcome === null) return {};
        state = outcome;
      } catch (error) {
        if (isRoleUnseen(error)) return { requeueAfterMs: 0 };
        throw error;
      }
    }
    throw new Error(`the Tenant ${name} took ${MAX_STEPS} steps without coming to a rest`);
  }

  #viewOf({ tenant, namespace, isFresh, hasRights }: State): TenantView {
    const users = this.#caches.users.byIndex('namespace', String(tenant.metadata.name));
    const leaving = users.filter(({ metadata }) => metadata.deletionTimestamp !== undefined).length;
    return {
      tenant,
      namespace: namespace === null ? null : namespaceView(namespace, tenant),
      isFresh,
      users: { total: users.length, leaving },
      missingRights: hasRights ? 0 : this.#rights(tenant).filter(isDrifted).length,
    };
  }

  #rights(tenant: Tenant): Child[] {
    const { roleBindings, clusterRole, clusterRoleBinding } = rightsOf(tenant, this.#options.namespace);
    const child = (resource: Resource<KubeObject>, cache: Informer<KubeObject>, wanted: KubeObject): Child => {
      const { name = '', namespace } = wanted.metadata;
      return { resource, wanted, cached: cache.get(name, namespace) };
    };
    return [
      ...roleBindings.map((wanted) => child(ROLE_BINDINGS, this.#caches.roleBindings, wanted)),
      child(CLUSTER_ROLES, this.#caches.clusterRoles, clusterRole),
      child(CLUSTER_ROLE_BINDINGS, this.#caches.clusterRoleBindings, clusterRoleBinding),
    ];
  }

  #take(step: TenantStep, state: State, signal: AbortSignal): Promise<Outcome> | Outcome {
    switch (step.do) {
      case 'nothing':
        return null;
      case 'say':
        return this.#say(state, step.ready, signal);
      case 'read':
        return this.#read(state, signal);
      case 'add-finalizer':
        return this.#setFinalizers(state, [...(state.tenant.metadata.finalizers ?? []), TENANT_FINALIZER], signal);
      case 'remove-finalizer':
        return this.#setFinalizers(state, state.tenant.metadata.finalizers?.filter((name) => name !== TENANT_FINALIZER) ?? [], signal);
      case 'create-namespace':
        return this.#createNamespace(state, signal);
      case 'apply-namespace':
        return this.#applyNamespace(state, signal);
      case 'apply-rights':
        return this.#applyRights(state, signal);
      case 'delete-users':
        return this.#deleteUsers(state, signal);
      case 'delete-namespace':
        return this.#deleteNamespace(state, signal);
    }
  }

  async #read(state: State, signal: AbortSignal): Promise<Outcome> {
    const name = String(state.tenant.metadata.name);
    const namespace = await ifFound(this.#client.get<Namespace>(NAMESPACES, name, undefined, { signal }));
    return { ...state, namespace, isFresh: true };
  }

  async #setFinalizers(state: State, finalizers: string[], signal: AbortSignal): Promise<Outcome> {
    const { name = '', uid, resourceVersion } = state.tenant.metadata;
    const patch = { metadata: { uid, resourceVersion, finalizers } };
    const tenant = await ifFound(this.#client.patch(TENANTS, name, undefined, patch, { type: 'merge', signal }));
    return tenant === null ? null : { ...state, tenant };
  }

  /** By a create and not by an apply, which would take over a namespace that somebody else made. */
  async #createNamespace(state: State, signal: AbortSignal): Promise<Outcome> {
    try {
      const namespace = await this.#client.create<Namespace>(NAMESPACES, namespaceOf(state.tenant), {
        fieldManager: FIELD_MANAGER,
        signal,
      });
      return { ...state, namespace };
    } catch (error) {
      if (error instanceof StatusError && error.isAlreadyExists) {
        const current = await this.#read(state, signal);
        if (current !== null && current.namespace !== null) return current;
      }
      throw error;
    }
  }

  async #applyNamespace(state: State, signal: AbortSignal): Promise<Outcome> {
    const wanted = namespaceOf(state.tenant);
    // The uid makes it fail when it is another namespace by now.
    const object = { ...wanted, metadata: { ...wanted.metadata, uid: state.namespace?.metadata.uid } };
    const namespace = await this.#client.apply<Namespace>(NAMESPACES, object, { fieldManager: FIELD_MANAGER, force: true, signal });
    return { ...state, namespace };
  }

  async #applyRights(state: State, signal: AbortSignal): Promise<Outcome> {
    const drifted = this.#rights(state.tenant).filter(isDrifted);
    const isOfOwnRole = ({ resource }: Child): boolean => resource === CLUSTER_ROLE_BINDINGS;
    const first = drifted.some(({ resource }) => resource === CLUSTER_ROLES) ? drifted.filter((child) => !isOfOwnRole(child)) : drifted;
    await Promise.all(first.map((child) => this.#applyRight(child, signal)));
    // kube-apiserver refuses a binding until it has noticed the role. What tells it tells the watch of the roles, which goes on here.
    return first.length < drifted.length ? null : { ...state, hasRights: true };
  }

  /** Names with a colon in them are ours alone, so that an apply takes nothing from anybody. */
  async #applyRight({ resource, wanted }: Child, signal: AbortSignal): Promise<void> {
    await this.#client.apply(resource, wanted, { fieldManager: FIELD_MANAGER, force: true, signal });
  }

  /** Mails before the users whose they are. */
  async #deleteUsers(state: State, signal: AbortSignal): Promise<Outcome> {
    const namespace = encodeURIComponent(String(state.tenant.metadata.name));
    for (const { plural } of [EMAILS, USERS]) {
      await this.#client.raw('DELETE', `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${plural}`, undefined, undefined, { signal });
    }
    return this.#say(state, { status: 'False', reason: 'Terminating', message: 'the users are being deleted' }, signal);
  }

  async #deleteNamespace(state: State, signal: AbortSignal): Promise<Outcome> {
    const { name = '', uid } = state.namespace?.metadata ?? {};
    await ifFound(this.#client.delete(NAMESPACES, name, undefined, { preconditions: { uid }, signal }));
    return this.#read(state, signal);
  }

  /** Ends the run. Nothing is written when the Tenant says so already. */
  async #say({ tenant }: State, ready: Ready, signal: AbortSignal): Promise<null> {
    const { name = '', uid, resourceVersion, generation } = tenant.metadata;
    const before = tenant.status?.conditions ?? [];
    const now = new Date(this.#options.clock.now());
    const conditions = setCondition(before, { type: READY, ...ready, observedGeneration: generation }, now);
    const isReady = ready.status === 'True';
    const isUpToDate = !isReady || (tenant.status?.lastGeneration === generation && tenant.status?.namespace === name);
    if (conditions === before && isUpToDate) return null;
    const status = { conditions, ...(isReady ? { lastGeneration: generation, namespace: name } : {}) };
    const options = { type: 'merge', subresource: 'status', signal } as const;
    await ifFound(this.#client.patch(TENANTS, name, undefined, { metadata: { uid, resourceVersion }, status }, options));
    if (readyOf(tenant)?.reason !== ready.reason) this.#tell(tenant, ready);
    return null;
  }

  #tell(tenant: Tenant, { status, reason, message }: Ready): void {
    const { events } = this.#options;
    if (status === 'True' || reason === 'Terminating') events.normal(tenant, reason, 'Reconcile', message);
    else events.warning(tenant, reason, 'Reconcile', message);
  }
}

function namespaceView(namespace: Namespace, tenant: Tenant): NamespaceView {
  const wanted = Object.entries(namespaceOf(tenant).metadata.labels ?? {});
  const reasons = (namespace.status?.conditions ?? []).filter(({ type, status }) => type.startsWith('Namespace') && status === 'True');
  return {
    isOurs: isOwnedBy(namespace, tenant),
    isTerminating: namespace.metadata.deletionTimestamp !== undefined,
    isDrifted: wanted.some(([name, value]) => namespace.metadata.labels?.[name] !== value),
    remains: reasons.length === 0 ? null : reasons.map(({ message }) => message ?? '').join('; '),
  };
}

/** Missing, or without something that is wanted. What others added stays. */
function isDrifted({ wanted, cached }: Child): boolean {
  return cached === undefined || !isPart(cached, wanted);
}

/** A binding is refused so while kube-apiserver's authorizer has not noticed the role that it names. */
function isRoleUnseen(error: unknown): boolean {
  return error instanceof StatusError && error.isNotFound && error.status.details?.kind === 'clusterrolebindings';
}
