import {
  EMAIL_CLAIMS,
  EMAILS,
  type EmailClaim,
  type EmailTemplate,
  FAILED_REASONS,
  REGISTRATION_FINALIZER,
  REGISTRATION_REQUESTS,
  REQUESTED_BY_ANNOTATION,
  type RegistrationRequest,
  type RegistrationRequestStatus,
  type Tenant,
  TENANTS,
  type User,
  USERS,
  validateSpec,
  RegistrationRequest as RegistrationRequestClass,
} from '@harikube/crds';
import { type Clock, createdOrFound, ifFound, type Informer, type KubeClient, SECRETS, StatusError } from '@harikube/kube';
import { type EventRecorder, type Key, type ReconcileContext, type Reconciler, type Result, setCondition } from '@harikube/reconcilers';
import {
  claimNameOf,
  claimOf,
  emailOf,
  ownerReference,
  passwordSecretOf,
  registeredName,
  type Secret,
  tenantOf,
  userOf,
} from './registration-children.js';
import {
  completionOf,
  conditionOf,
  type Failure,
  failureOf,
  givingUpOf,
  type Holder,
  isDeleting,
  givenUp,
  nextStep,
  progressOf,
  type RegistrationView,
  type Saying,
  type Step,
} from './registration-step.js';
import { welcomeEmail } from './welcome-email.js';

export interface RegistrationCaches {
  readonly requests: Informer<RegistrationRequest>;
  readonly claims: Informer<EmailClaim>;
  readonly tenants: Informer<Tenant>;
  readonly users: Informer<User>;
  readonly templates: Informer<EmailTemplate>;
}

export interface RegistrationReconcilerOptions {
  readonly client: KubeClient;
  readonly caches: RegistrationCaches;
  readonly events: EventRecorder;
  readonly clock: Clock;
  /** Where the template of the mail is. */
  readonly namespace: string;
  readonly emailTemplate: string;
  readonly failedTtlMs: number;
}

/** As long as somebody may wait for the answer. */
const TOLD_TTL_MS = 60_000;
/** More steps than any registration takes in one run: beyond it, two of them undo each other. */
const MAX_STEPS = 40;
/** The only wait without a watch of its own: a namespace that began to end after its Tenant said that it is ready. */
const NAMESPACE_ENDING_MS = 1000;

/** What a step leads to: what is there after it, or the end of this run. */
type Outcome = { readonly view: RegistrationView } | { readonly end: Result };

export class RegistrationReconciler implements Reconciler {
  readonly #client: KubeClient;
  readonly #caches: RegistrationCaches;
  readonly #options: RegistrationReconcilerOptions;

  constructor(options: RegistrationReconcilerOptions) {
    this.#client = options.client;
    this.#caches = options.caches;
    this.#options = options;
  }

  async reconcile({ name }: Key, { signal }: ReconcileContext): Promise<Result> {
    const request = this.#caches.requests.get(name);
    if (request === undefined) return {};
    let view = this.#viewOf(request);
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const outcome = await this.#take(nextStep(view), view, signal);
      if ('end' in outcome) return outcome.end;
      view = outcome.view;
    }
    throw new Error(`the registration ${name} took ${MAX_STEPS} steps without coming to a rest`);
  }

  #viewOf(request: RegistrationRequest): RegistrationView {
    const name = registeredName(request);
    const claim = this.#caches.claims.get(claimNameOf(request)) ?? null;
    return {
      request,
      fresh: 'nothing',
      claim,
      holder: null,
      tenant: this.#caches.tenants.get(name) ?? null,
      user: this.#caches.users.get(name, name) ?? null,
      email: null,
      refusal: claim === null ? specFailure(request) : null,
      now: this.#options.clock.now(),
      failedTtlMs: ttlOf(request, this.#options.failedTtlMs),
    };
  }

  #take(step: Step, view: RegistrationView, signal: AbortSignal): Promise<Outcome> | Outcome {
    switch (step.do) {
      case 'nothing':
        return { end: {} };
      case 'keep':
        return { end: { requeueAfterMs: step.milliseconds } };
      case 'wait':
        return this.#wait(view, signal);
      case 'read':
        return this.#read(view, signal);
      case 'ask-holder':
        return this.#askHolder(view, signal);
      case 'add-finalizer':
        return this.#setFinalizers(view, [...(view.request.metadata.finalizers ?? []), REGISTRATION_FINALIZER], signal);
      case 'remove-finalizer':
        return this.#setFinalizers(view, view.request.metadata.finalizers?.filter((name) => name !== REGISTRATION_FINALIZER) ?? [], signal);
      case 'claim':
        return this.#claim(view, signal);
      case 'take-over-claim':
        return this.#changeClaim(view, claimOf(view.request), signal);
      case 'create-tenant':
        return this.#createTenant(view, signal);
      case 'create-user':
        return this.#createUser(view, signal);
      case 'create-email':
        return this.#createEmail(view, signal);
      case 'hand-over-claim':
        return this.#changeClaim(view, { metadata: { ownerReferences: [ownerReference(needed(view.tenant))] } }, signal);
      case 'complete':
        return this.#complete(view, signal);
      case 'give-up':
        return this.#say(view, givingUpOf(view, step), signal);
      case 'fail':
        return this.#fail(view, step, signal);
      case 'delete-tenant':
        return this.#deleteTenant(view, signal);
      case 'free-claim':
        return this.#freeClaim(view, signal);
      case 'delete-request':
        return this.#deleteRequest(view, signal);
    }
  }

  async #wait(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    await this.#say(view, progressOf(view), signal);
    return { end: {} };
  }

  async #read(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const { request } = view;
    const [current, claim, tenant] = await Promise.all([
      ifFound(this.#client.get(REGISTRATION_REQUESTS, String(request.metadata.name), undefined, { signal })),
      ifFound(this.#client.get(EMAIL_CLAIMS, claimNameOf(request), undefined, { signal })),
      ifFound(this.#client.get(TENANTS, registeredName(request), undefined, { signal })),
    ]);
    // Gone, or another one of the same name: its own event comes.
    if (current === null || current.metadata.uid !== request.metadata.uid) return { end: {} };
    const isSameClaim = claim !== null && claim.metadata.resourceVersion === view.claim?.metadata.resourceVersion;
    return { view: { ...view, request: current, claim, tenant, holder: isSameClaim ? view.holder : null, fresh: 'all' } };
  }

  /** The request first: the Tenant is there before its request goes, so that one of them is always seen of a registration that lives. */
  async #askHolder(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const { requestName, requestUid } = needed(view.claim).spec;
    const request = await ifFound(this.#client.get(REGISTRATION_REQUESTS, requestName, undefined, { signal }));
    if (request !== null && request.metadata.uid === requestUid) {
      const isFailed = conditionOf(request.status, 'Failed')?.status === 'True';
      const isComplete = conditionOf(request.status, 'Complete')?.status === 'True';
      if (!isFailed && !isComplete) {
        const holder: Holder = isDeleting(request) || givenUp(request) !== null ? 'leaving' : 'living';
        return { view: { ...view, holder } };
      }
    }
    const tenant = await ifFound(this.#client.get(TENANTS, requestUid, undefined, { signal }));
    return { view: { ...view, holder: tenant === null ? 'gone' : isDeleting(tenant) ? 'leaving' : 'living' } };
  }

  async #setFinalizers(view: RegistrationView, finalizers: string[], signal: AbortSignal): Promise<Outcome> {
    const { name = '', uid, resourceVersion } = view.request.metadata;
    const patch = { metadata: { uid, resourceVersion, finalizers } };
    const request = await ifFound(this.#client.patch(REGISTRATION_REQUESTS, name, undefined, patch, { type: 'merge', signal }));
    return request === null ? { end: {} } : { view: { ...view, request, fresh: view.fresh === 'all' ? 'all' : 'request' } };
  }

  async #claim(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const wanted = claimOf(view.request);
    const claim = await createdOrFound(this.#client.create(EMAIL_CLAIMS, wanted, { signal }), () =>
      this.#client.get(EMAIL_CLAIMS, claimNameOf(view.request), undefined, { signal }),
    );
    return { view: { ...view, claim, holder: null } };
  }

  /** Only as it was seen: whoever changed it meanwhile is asked about again. */
  async #changeClaim(
    view: RegistrationView,
    change: { readonly metadata: object; readonly spec?: object },
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { name = '', uid, resourceVersion } = needed(view.claim).metadata;
    const patch = { ...change, metadata: { ...change.metadata, uid, resourceVersion } };
    try {
      const claim = await this.#client.patch(EMAIL_CLAIMS, name, undefined, patch, { type: 'merge', signal });
      return { view: { ...view, claim, holder: null } };
    } catch (error) {
      if (error instanceof StatusError && (error.isConflict || error.isNotFound)) return this.#read(view, signal);
      throw error;
    }
  }

  async #createTenant(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const { request } = view;
    try {
      const tenant = await createdOrFound(this.#client.create(TENANTS, tenantOf(request), { signal }), () =>
        this.#client.get(TENANTS, registeredName(request), undefined, { signal }),
      );
      return { view: { ...view, tenant } };
    } catch (error) {
      return refused(view, error);
    }
  }

  async #createUser(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const name = registeredName(view.request);
    try {
      const conflict = await this.#ensureSecret(view.request, signal);
      if (conflict !== null) return { view: { ...view, refusal: conflict } };
      const user = await createdOrFound(this.#client.create(USERS, userOf(view.request, needed(view.tenant)), { signal }), () =>
        this.#client.get(USERS, name, name, { signal }),
      );
      return { view: { ...view, user } };
    } catch (error) {
      if (error instanceof StatusError && (error.isNotFound || error.isNamespaceTerminating)) {
        await this.#say(view, progressOf(view), signal);
        return { end: { requeueAfterMs: NAMESPACE_ENDING_MS } };
      }
      return refused(view, error);
    }
  }

  /** What is wrong with a Secret of the name; null: it is there and is the one of this registration. */
  async #ensureSecret(request: RegistrationRequest, signal: AbortSignal): Promise<Failure | null> {
    const name = registeredName(request);
    const wanted = passwordSecretOf(request);
    const create = (): Promise<Secret> => this.#client.create<Secret>(SECRETS, wanted, { signal });
    const get = (): Promise<Secret> => this.#client.get<Secret>(SECRETS, name, name, { signal });
    const secret = await createdOrFound(create(), get);
    const labels = Object.entries(wanted.metadata.labels ?? {});
    if (labels.some(([label, value]) => secret.metadata.labels?.[label] !== value)) {
      return { reason: FAILED_REASONS.namespaceConflict, message: `the Secret ${name} exists and was not made for this registration` };
    }
    const owner = secret.metadata.ownerReferences?.find(({ controller }) => controller === true);
    if (owner === undefined) return null;
    const user = await ifFound(this.#client.get(USERS, name, name, { signal }));
    if (user !== null && user.metadata.uid === owner.uid) return null;
    // Of a User that was deleted meanwhile: it would be collected, and the password with it.
    const { uid } = secret.metadata;
    await ifFound(this.#client.delete(SECRETS, name, name, { preconditions: { uid }, signal }));
    await createdOrFound(create(), get);
    return null;
  }

  async #createEmail(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const { namespace, emailTemplate } = this.#options;
    const { request } = view;
    const user = needed(view.user);
    const template = this.#caches.templates.get(emailTemplate, namespace);
    if (template === undefined) {
      const message = `there is no EmailTemplate ${emailTemplate} in the namespace ${namespace}; the registration goes on without a mail`;
      return this.#withoutEmail(view, 'TemplateNotFound', message);
    }
    let wanted;
    try {
      wanted = emailOf(request, user, welcomeEmail(template, user));
    } catch (error) {
      return this.#withoutEmail(view, 'TemplateInvalid', `the EmailTemplate ${emailTemplate} cannot be used: ${textOf(error)}`);
    }
    try {
      const { name = '', namespace: home } = wanted.metadata;
      const email = await createdOrFound(this.#client.create(EMAILS, wanted, { signal }), () =>
        this.#client.get(EMAILS, name, home, { signal }),
      );
      if (!email.metadata.ownerReferences?.some(({ uid }) => uid === user.metadata.uid)) {
        throw new Error(`the Email ${name} belongs to a User that is gone; it has to be collected first`);
      }
      return { view: { ...view, email: { isCreated: true } } };
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return this.#withoutEmail(
        view,
        'TemplateInvalid',
        `the EmailTemplate ${emailTemplate} makes a mail that is refused: ${textOf(error)}`,
      );
    }
  }

  #withoutEmail(view: RegistrationView, reason: 'TemplateNotFound' | 'TemplateInvalid', message: string): Outcome {
    this.#options.events.warning(view.request, reason, 'CreateEmail', message);
    return { view: { ...view, email: { isCreated: false, reason, message } } };
  }

  async #complete(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const name = registeredName(view.request);
    const outcome = await this.#say(view, completionOf(view), signal, { tenant: name, namespace: name, user: name });
    this.#options.events.normal(view.request, 'Registered', 'Register', `Tenant ${name} and User ${name} are there`);
    return outcome;
  }

  async #fail(view: RegistrationView, failure: Failure, signal: AbortSignal): Promise<Outcome> {
    const outcome = await this.#say(view, failureOf(view, failure), signal);
    this.#options.events.warning(view.request, failure.reason, 'Register', failure.message);
    return outcome;
  }

  async #deleteTenant(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const { name = '', uid } = needed(view.tenant).metadata;
    await ifFound(this.#client.delete(TENANTS, name, undefined, { preconditions: { uid }, signal }));
    return this.#read(view, signal);
  }

  async #freeClaim(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const { name = '', uid, resourceVersion } = needed(view.claim).metadata;
    await ifFound(this.#client.delete(EMAIL_CLAIMS, name, undefined, { preconditions: { uid, resourceVersion }, signal }));
    return this.#read(view, signal);
  }

  async #deleteRequest(view: RegistrationView, signal: AbortSignal): Promise<Outcome> {
    const { name = '', uid } = view.request.metadata;
    try {
      await ifFound(this.#client.delete(REGISTRATION_REQUESTS, name, undefined, { preconditions: { uid }, signal }));
    } catch (error) {
      // Another one of the name by now.
      if (!(error instanceof StatusError && error.isConflict)) throw error;
    }
    return { end: {} };
  }

  /** Writes what is not said yet; nothing is written when it says so already. */
  async #say(
    view: RegistrationView,
    sayings: readonly Saying[],
    signal: AbortSignal,
    made: Omit<RegistrationRequestStatus, 'conditions'> = {},
  ): Promise<Outcome> {
    const { request } = view;
    const { name = '', uid, resourceVersion, generation: observedGeneration } = request.metadata;
    const before = request.status?.conditions ?? [];
    const now = new Date(this.#options.clock.now());
    let conditions = before;
    for (const saying of sayings) conditions = setCondition(conditions, { ...saying, observedGeneration }, now);
    if (conditions === before && Object.keys(made).length === 0) return { view };
    const patch = { metadata: { uid, resourceVersion }, status: { ...made, conditions } };
    const options = { type: 'merge', subresource: 'status', signal } as const;
    const written = await ifFound(this.#client.patch(REGISTRATION_REQUESTS, name, undefined, patch, options));
    return written === null ? { end: {} } : { view: { ...view, request: written, fresh: view.fresh === 'all' ? 'all' : 'request' } };
  }
}

/** Who asked by the aggregated API was told, and so was everybody who joined: nothing is left for people to see, and the name is free again. */
function ttlOf(request: RegistrationRequest, failedTtlMs: number): number {
  return request.metadata.annotations?.[REQUESTED_BY_ANNOTATION] === undefined ? failedTtlMs : Math.min(failedTtlMs, TOLD_TTL_MS);
}

/** What validation finds wrong with a request that the API server let through. */
function specFailure(request: RegistrationRequest): Failure | null {
  const errors = validateSpec(RegistrationRequestClass, request);
  if (errors.length === 0) return null;
  return { reason: FAILED_REASONS.invalidSpec, message: errors.map(({ field, message }) => `${field}: ${message}`).join('; ') };
}

function refused(view: RegistrationView, error: unknown): Outcome {
  if (!isRefusal(error)) throw error;
  return { view: { ...view, refusal: { reason: FAILED_REASONS.invalidSpec, message: textOf(error) } } };
}

/** The API server will say the same next time, whoever asks: what is forbidden to this account is no fault of the registration. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  const { causes = [] } = error.status.details ?? {};
  const isOfAccount = causes.length > 0 && causes.every(({ reason }) => reason === 'FieldValueForbidden');
  return (error.isInvalid && !isOfAccount) || error.code === 400;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function needed<T>(value: T | null): T {
  if (value === null) throw new Error('a step was chosen without what it needs');
  return value;
}
