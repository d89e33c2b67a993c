import { EMAILS, READY, type Tenant, TENANT_FINALIZER, TENANTS, type User, USERS } from '@harikube/crds';
import {
  type Clock,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  ifFound,
  type Informer,
  type KubeClient,
  NAMESPACES,
  ROLE_BINDINGS,
  StatusError,
} from '@harikube/kube';
import {
  applyChild,
  type Child,
  childOf,
  type EventRecorder,
  isDrifted,
  type Key,
  type ReconcileContext,
  type Reconciler,
  type Result,
  rolesFirst,
  setCondition,
  takeSteps,
} from '@harikube/reconcilers';
import { type Binding, type ClusterRole, isOwnedBy, type Namespace, namespaceOf, rightsOf } from './tenant-children.js';
import { type NamespaceView, nextStep, type Ready, readyOf, type TenantStep, type TenantView } from './tenant-step.js';

const FIELD_MANAGER = 'harikube-tenant-controller';

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
    const start: State = { tenant, namespace: this.#caches.namespaces.get(name) ?? null, isFresh: false, hasRights: false };
    return takeSteps(`Tenant ${name}`, start, (state) => this.#take(nextStep(this.#viewOf(state)), state, signal));
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
    return [
      ...roleBindings.map((wanted) => childOf(ROLE_BINDINGS, this.#caches.roleBindings, wanted)),
      childOf(CLUSTER_ROLES, this.#caches.clusterRoles, clusterRole),
      childOf(CLUSTER_ROLE_BINDINGS, this.#caches.clusterRoleBindings, clusterRoleBinding),
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

  /** Their names have a colon, which are ours alone, so that an apply takes nothing from anybody. */
  async #applyRights(state: State, signal: AbortSignal): Promise<Outcome> {
    const drifted = this.#rights(state.tenant).filter(isDrifted);
    const first = rolesFirst(drifted);
    const options = { client: this.#client, fieldManager: FIELD_MANAGER, signal };
    await Promise.all(first.map((child) => applyChild(child, child.cached, options)));
    return first.length < drifted.length ? null : { ...state, hasRights: true };
  }

  /** Mails before the users whose they are. */
  async #deleteUsers(state: State, signal: AbortSignal): Promise<Outcome> {
    const namespace = String(state.tenant.metadata.name);
    await this.#client.deleteCollection(EMAILS, namespace, { signal });
    await this.#client.deleteCollection(USERS, namespace, { signal });
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
