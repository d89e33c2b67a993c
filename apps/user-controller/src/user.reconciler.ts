import { PASSWORD_ANNOTATION, READY, TENANT_LABEL, type User, USERS, type UserStatus } from '@harikube/crds';
import {
  type Clock,
  ifFound,
  type Informer,
  type KubeClient,
  type KubeObject,
  type Resource,
  ROLE_BINDINGS,
  ROLES,
  SECRETS,
  SERVICE_ACCOUNTS,
  StatusError,
} from '@harikube/kube';
import {
  applyChild,
  type Child,
  childOf,
  type EventRecorder,
  isDrifted,
  isPart,
  type Key,
  type ReconcileContext,
  type Reconciler,
  replaceChild,
  type Result,
  rolesFirst,
  setCondition,
  takeSteps,
} from '@harikube/reconcilers';
import {
  childrenOf,
  hashIn,
  kinshipOf,
  passwordSecret,
  type Role,
  type RoleBinding,
  type Secret,
  type ServiceAccount,
} from './user-children.js';
import { nextStep, type Ready, type UserStep, type UserView } from './user-step.js';

const FIELD_MANAGER = 'harikube-user-controller';

export interface UserCaches {
  readonly users: Informer<User>;
  readonly namespaces: Informer<KubeObject>;
  readonly accounts: Informer<ServiceAccount>;
  readonly roles: Informer<Role>;
  readonly roleBindings: Informer<RoleBinding>;
}

export interface UserReconcilerOptions {
  readonly client: KubeClient;
  readonly caches: UserCaches;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

interface State {
  readonly user: User;
  /** Undefined: not read yet. */
  readonly secret: Secret | null | undefined;
  /** Account and rights were brought about in this run; the caches show them later. */
  readonly hasChildren: boolean;
  readonly conflicts: readonly string[];
}

type Outcome = State | null;

export class UserReconciler implements Reconciler {
  readonly #client: KubeClient;
  readonly #caches: UserCaches;
  readonly #options: UserReconcilerOptions;

  constructor(options: UserReconcilerOptions) {
    this.#client = options.client;
    this.#caches = options.caches;
    this.#options = options;
  }

  async reconcile({ name, namespace }: Key, { signal }: ReconcileContext): Promise<Result> {
    const user = this.#caches.users.get(name, namespace);
    if (user === undefined) return {};
    const start: State = { user, secret: undefined, hasChildren: false, conflicts: [] };
    return takeSteps(`User ${name}`, start, (state) => this.#take(nextStep(this.#viewOf(state)), state, signal));
  }

  #viewOf({ user, secret, hasChildren, conflicts }: State): UserView {
    const namespace = this.#caches.namespaces.get(String(user.metadata.namespace));
    const tenant = namespace === undefined ? null : tenantOf(namespace);
    return {
      user,
      namespace: namespace === undefined ? null : { isTerminating: namespace.metadata.deletionTimestamp !== undefined, tenant },
      missingChildren: hasChildren || tenant === null ? 0 : this.#children(user, tenant).filter((child) => isMissing(child, user)).length,
      conflicts,
      secret: secret === undefined || secret === null ? secret : { kinship: kinshipOf(secret, user), hash: hashIn(secret) },
    };
  }

  #children(user: User, tenant: string): Child[] {
    const { account, ownRole, bindings } = childrenOf(user, tenant);
    return [
      childOf(SERVICE_ACCOUNTS, this.#caches.accounts, account),
      childOf(ROLES, this.#caches.roles, ownRole),
      ...bindings.map((binding) => childOf(ROLE_BINDINGS, this.#caches.roleBindings, binding)),
    ];
  }

  #take(step: UserStep, state: State, signal: AbortSignal): Promise<Outcome> | Outcome {
    switch (step.do) {
      case 'nothing':
        return null;
      case 'say':
        return this.#say(state, step.ready, step.hasPassword, signal);
      case 'apply-children':
        return this.#applyChildren(state, signal);
      case 'read-secret':
        return this.#readSecret(state, signal);
      case 'create-secret':
        return this.#createSecret(state, step.hash, signal);
      case 'replace-secret':
        return this.#removeSecret(state, signal);
      case 'apply-secret':
        return this.#applySecret(state, step.hash, signal);
      case 'remove-annotation':
        return this.#removeAnnotation(state, step.hash, signal);
    }
  }

  async #applyChildren(state: State, signal: AbortSignal): Promise<Outcome> {
    const drifted = this.#children(state.user, this.#tenantOf(state.user)).filter((child) => isMissing(child, state.user));
    const first = rolesFirst(drifted);
    const conflicts = (await Promise.all(first.map((child) => this.#ensure(child, state.user, signal)))).filter(
      (conflict) => conflict !== null,
    );
    if (first.length < drifted.length && conflicts.length === 0) return null;
    return { ...state, hasChildren: true, conflicts };
  }

  /** The name of what is in the way; null: it is as wanted. */
  async #ensure({ resource, wanted, cached }: Child, user: User, signal: AbortSignal): Promise<string | null> {
    const { name = '', namespace } = wanted.metadata;
    let current = cached;
    if (current === undefined) {
      // By a create and not by an apply, which would take over what somebody else made.
      const created = await this.#created(resource, wanted, signal);
      if (created) return null;
      current = await this.#client.get(resource, name, namespace, { signal });
    }
    const options = { client: this.#client, fieldManager: FIELD_MANAGER, signal };
    const kinship = kinshipOf(current, user);
    if (kinship === 'predecessor') await replaceChild({ resource, wanted }, current, options);
    else if (kinship !== 'own') return `${resource.kind} ${name}`;
    else if (!isPart(current, wanted)) await applyChild({ resource, wanted }, current, options);
    return null;
  }

  async #readSecret(state: State, signal: AbortSignal): Promise<Outcome> {
    const { name = '', namespace } = state.user.metadata;
    return { ...state, secret: await ifFound(this.#client.get<Secret>(SECRETS, name, namespace, { signal })) };
  }

  async #createSecret(state: State, hash: string, signal: AbortSignal): Promise<Outcome> {
    const wanted = passwordSecret(state.user, this.#tenantOf(state.user), hash);
    await this.#created(SECRETS, wanted, signal);
    return this.#readSecret(state, signal);
  }

  async #removeSecret(state: State, signal: AbortSignal): Promise<Outcome> {
    const { name = '', namespace, uid } = state.secret?.metadata ?? {};
    await ifFound(this.#client.delete(SECRETS, name, namespace, { preconditions: { uid }, signal }));
    return this.#readSecret(state, signal);
  }

  /** Only as it was read: a Secret that changed meanwhile is looked at again. Always the whole of it, since what an apply leaves out is removed. */
  async #applySecret(state: State, hash: string, signal: AbortSignal): Promise<Outcome> {
    const wanted = passwordSecret(state.user, this.#tenantOf(state.user), hash);
    const { uid, resourceVersion } = state.secret?.metadata ?? {};
    const object = { ...wanted, metadata: { ...wanted.metadata, uid, resourceVersion } };
    const secret = await this.#client.apply<Secret>(SECRETS, object, { fieldManager: FIELD_MANAGER, force: true, signal });
    return { ...state, secret };
  }

  /** Only with the value that the Secret holds: a later password stays until it is in the Secret too. */
  async #removeAnnotation(state: State, hash: string, signal: AbortSignal): Promise<Outcome> {
    const { name = '', namespace } = state.user.metadata;
    const path = `/metadata/annotations/${PASSWORD_ANNOTATION.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const patch = [
      { op: 'test', path: '/metadata/uid', value: state.user.metadata.uid },
      { op: 'test', path, value: hash },
      { op: 'remove', path },
    ];
    try {
      const user = await this.#client.patch(USERS, name, namespace, patch, { type: 'json', signal });
      return { ...state, user };
    } catch (error) {
      // Gone, or with another password by now: its event comes, or has come already.
      if (error instanceof StatusError && (error.isNotFound || error.isInvalid)) return null;
      throw error;
    }
  }

  /** Ends the run. Nothing is written when the User says so already. */
  async #say({ user }: State, ready: Ready, hasPassword: boolean, signal: AbortSignal): Promise<null> {
    const { name = '', namespace, uid, resourceVersion, generation } = user.metadata;
    const { status: before = {} } = user;
    const now = new Date(this.#options.clock.now());
    const conditions = setCondition(before.conditions ?? [], { type: READY, ...ready, observedGeneration: generation }, now);
    const isReady = ready.status === 'True';
    const wanted: UserStatus = { conditions, phase: before.phase ?? 'Pending', ...(isReady ? { lastGeneration: generation } : {}) };
    const passwordRef = hasPassword ? { name } : null;
    if (isPart(before, wanted) && (before.passwordRef?.name ?? null) === (passwordRef?.name ?? null)) return null;
    const patch = { metadata: { uid, resourceVersion }, status: { ...wanted, passwordRef } };
    await ifFound(this.#client.patch(USERS, name, namespace, patch, { type: 'merge', subresource: 'status', signal }));
    if (before.conditions?.find(({ type }) => type === READY)?.reason !== ready.reason) this.#tell(user, ready);
    return null;
  }

  #tell(user: User, { status, reason, message }: Ready): void {
    const { events } = this.#options;
    if (status === 'True') events.normal(user, reason, 'Reconcile', message);
    else events.warning(user, reason, 'Reconcile', message);
  }

  #tenantOf(user: User): string {
    const namespace = this.#caches.namespaces.get(String(user.metadata.namespace));
    const tenant = namespace === undefined ? null : tenantOf(namespace);
    if (tenant === null) throw new Error('the namespace stopped belonging to a Tenant meanwhile');
    return tenant;
  }

  /** Whether it was made; false: something of the name exists. */
  async #created(resource: Resource<KubeObject>, wanted: KubeObject, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#client.create(resource, wanted, { fieldManager: FIELD_MANAGER, signal });
      return true;
    } catch (error) {
      if (error instanceof StatusError && error.isAlreadyExists) return false;
      throw error;
    }
  }
}

/** The Tenant of a namespace: the one that owns it, of the same name. */
function tenantOf({ metadata }: KubeObject): string | null {
  const isOwned = metadata.ownerReferences?.some(
    ({ kind, name, controller }) => kind === 'Tenant' && name === metadata.name && controller === true,
  );
  return isOwned === true ? (metadata.labels?.[TENANT_LABEL] ?? null) : null;
}

/** Missing, of somebody else, or without something that is wanted. */
function isMissing(child: Child, user: User): boolean {
  return isDrifted(child) || child.cached === undefined || kinshipOf(child.cached, user) !== 'own';
}
