/**
 * What a registration needs next, from what is there and nothing else. A RegistrationRequest becomes, in this order: a claim of the e-mail address,
 * a Tenant, a User with its password in that Tenant's namespace, a mail. Then the claim passes to the Tenant, and the request says Complete and goes.
 *
 * What cannot succeed is undone the other way round. That it is being given up is written into the condition Complete before anything is removed
 * (`Complete=False` with one of the reasons of Failed): a controller that starts in the middle goes on removing and does not begin again.
 */
import {
  type Condition,
  type EmailClaim,
  FAILED_REASONS,
  type FailedReason,
  READY,
  REGISTRATION_ANNOTATION,
  REGISTRATION_CONDITIONS,
  REGISTRATION_FINALIZER,
  type RegistrationRequest,
  type Tenant,
  type User,
} from '@harikube/crds';

/** What is there. */
export interface RegistrationView {
  readonly request: RegistrationRequest;
  /**
   * What was read from the API or written in this run, the rest being from caches. What a cache does not show may exist, and what it shows may be
   * gone: nothing is begun for a request that is not fresh, and nothing is given up unless all is: request, claim and Tenant.
   */
  readonly fresh: 'nothing' | 'request' | 'all';
  /** The claim of the address, whoever has it. */
  readonly claim: EmailClaim | null;
  /** What is known of the other registration that has the claim; null: not asked. */
  readonly holder: Holder | null;
  /** The Tenant whose name is the uid of the request, whoever made it. */
  readonly tenant: Tenant | null;
  readonly user: User | null;
  /** What became of the mail in this run; null: not tried. */
  readonly email: EmailOutcome | null;
  /** What was found wrong in this run and cannot become right. */
  readonly refusal: Failure | null;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly failedTtlMs: number;
}

/** Another registration with the same address: it lives, it or its Tenant is going away, or nothing of it is left. */
export type Holder = 'living' | 'leaving' | 'gone';

export type EmailOutcome =
  | { readonly isCreated: true }
  | { readonly isCreated: false; readonly reason: 'TemplateNotFound' | 'TemplateInvalid'; readonly message: string };

export interface Failure {
  readonly reason: FailedReason;
  readonly message: string;
}

export type Step =
  /** Nothing to do and nothing to say. */
  | { readonly do: 'nothing' }
  /** Something else has to happen first; a watch tells of it. */
  | { readonly do: 'wait' }
  /** Failed: it is kept a while for people to see. */
  | { readonly do: 'keep'; readonly milliseconds: number }
  | { readonly do: 'read' }
  | { readonly do: 'ask-holder' }
  | { readonly do: 'add-finalizer' }
  | { readonly do: 'claim' }
  | { readonly do: 'take-over-claim' }
  | { readonly do: 'create-tenant' }
  | { readonly do: 'create-user' }
  | { readonly do: 'create-email' }
  | { readonly do: 'hand-over-claim' }
  | { readonly do: 'complete' }
  | ({ readonly do: 'give-up' } & Failure)
  | { readonly do: 'delete-tenant' }
  | { readonly do: 'free-claim' }
  | ({ readonly do: 'fail' } & Failure)
  | { readonly do: 'remove-finalizer' }
  | { readonly do: 'delete-request' };

const { claimed, tenantReady, userReady, emailCreated, complete, failed } = REGISTRATION_CONDITIONS;

export function nextStep(view: RegistrationView): Step {
  const { request } = view;
  const isGoing = isDeleting(request);
  const hasFinalizer = request.metadata.finalizers?.includes(REGISTRATION_FINALIZER) === true;
  const failedCondition = conditionOf(request.status, failed);
  const isFailed = failedCondition?.status === 'True';
  if (isFailed || conditionOf(request.status, complete)?.status === 'True') {
    if (hasFinalizer) return { do: 'remove-finalizer' };
    if (isGoing) return { do: 'nothing' };
    if (!isFailed) return { do: 'delete-request' };
    const left = Date.parse(failedCondition.lastTransitionTime) + view.failedTtlMs - view.now;
    return left > 0 ? { do: 'keep', milliseconds: left } : { do: 'delete-request' };
  }
  if (isGoing) {
    if (!hasFinalizer) return { do: 'nothing' };
    return view.fresh === 'all' ? (nextUndo(view) ?? { do: 'remove-finalizer' }) : { do: 'read' };
  }
  const failure = givenUp(request) ?? view.refusal ?? foundFailure(view);
  if (failure !== null) return nextOfFailure(view, failure);
  if (!hasFinalizer) return { do: 'add-finalizer' };
  return nextOfClaim(view) ?? nextOfTenant(view) ?? nextOfUser(view) ?? nextOfEnd(view);
}

function nextOfClaim({ request, claim, holder, fresh }: RegistrationView): Step | null {
  if (claim === null) return fresh === 'nothing' ? { do: 'read' } : { do: 'claim' };
  if (claim.spec.requestUid === request.metadata.uid) return null;
  if (holder === null) return { do: 'ask-holder' };
  return holder === 'gone' ? { do: 'take-over-claim' } : { do: 'wait' };
}

function nextOfTenant({ tenant, fresh }: RegistrationView): Step | null {
  if (tenant === null) return fresh === 'nothing' ? { do: 'read' } : { do: 'create-tenant' };
  return conditionOf(tenant.status, READY)?.status === 'True' ? null : { do: 'wait' };
}

function nextOfUser({ user }: RegistrationView): Step | null {
  if (user === null) return { do: 'create-user' };
  return !isDeleting(user) && conditionOf(user.status, READY)?.status === 'True' ? null : { do: 'wait' };
}

function nextOfEnd({ email, claim, tenant }: RegistrationView): Step {
  if (email === null) return { do: 'create-email' };
  // Last of all, so that a claim never depends on a Tenant alone while its registration is still under way.
  const isHandedOver = claim?.metadata.ownerReferences?.some(({ uid }) => uid === tenant?.metadata.uid) === true;
  return isHandedOver ? { do: 'complete' } : { do: 'hand-over-claim' };
}

function nextOfFailure(view: RegistrationView, failure: Failure): Step {
  if (view.fresh !== 'all') return { do: 'read' };
  const undo = nextUndo(view);
  if (undo === null) return { do: 'fail', ...failure };
  return givenUp(view.request) === null ? { do: 'give-up', ...failure } : undo;
}

/** Tenant first: as long as anything of it is left, nobody else gets the address. */
function nextUndo({ request, tenant, claim }: RegistrationView): Step | null {
  if (tenant !== null && isOfRequest(tenant, request)) return isDeleting(tenant) ? { do: 'wait' } : { do: 'delete-tenant' };
  return claim?.spec.requestUid === request.metadata.uid ? { do: 'free-claim' } : null;
}

/** Whether it was made for this request: it says so. */
function isOfRequest(object: Tenant | User, request: RegistrationRequest): boolean {
  return object.metadata.annotations?.[REGISTRATION_ANNOTATION] === request.metadata.name;
}

/** What the request itself says it was given up for. */
export function givenUp(request: RegistrationRequest): Failure | null {
  const condition = conditionOf(request.status, complete);
  if (condition?.status !== 'False') return null;
  const reason = Object.values(FAILED_REASONS).find((candidate) => candidate === condition.reason);
  return reason === undefined ? null : { reason, message: condition.message };
}

/** What is there and makes it impossible. */
function foundFailure({ request, claim, holder, tenant, user }: RegistrationView): Failure | null {
  if (claim !== null && claim.spec.requestUid !== request.metadata.uid && holder === 'living') {
    return { reason: FAILED_REASONS.emailTaken, message: 'the e-mail address belongs to another registration' };
  }
  if (tenant !== null) {
    const name = String(tenant.metadata.name);
    if (!isOfRequest(tenant, request)) {
      return { reason: FAILED_REASONS.namespaceConflict, message: `the Tenant ${name} exists and was not made for this registration` };
    }
    if (isDeleting(tenant)) {
      return { reason: FAILED_REASONS.cancelled, message: `the Tenant ${name} was deleted before the registration was complete` };
    }
    const ready = conditionOf(tenant.status, READY);
    if (ready?.status === 'False' && ready.reason === FAILED_REASONS.namespaceConflict) {
      return { reason: FAILED_REASONS.namespaceConflict, message: ready.message };
    }
  }
  if (user !== null && !isOfRequest(user, request)) {
    const message = `the User ${String(user.metadata.name)} exists and was not made for this registration`;
    return { reason: FAILED_REASONS.namespaceConflict, message };
  }
  return null;
}

/** A condition without its time. */
export type Saying = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** How far it is, in the words of its conditions. All of them are there from the first time on. */
export function progressOf(view: RegistrationView): Saying[] {
  const { request, claim, tenant, user, email } = view;
  const isOurs = claim?.spec.requestUid === request.metadata.uid;
  const failure = givenUp(request);
  return [
    isOurs
      ? say(claimed, 'True', 'AddressClaimed', 'the e-mail address belongs to this registration')
      : claim === null
        ? say(claimed, 'Unknown', 'Pending', 'the e-mail address is not claimed yet')
        : say(claimed, 'False', 'AddressInUse', 'the e-mail address belongs to another registration'),
    ofOther(tenantReady, tenant, 'the Tenant'),
    ofOther(userReady, user, 'the User'),
    email === null
      ? (conditionOf(request.status, emailCreated) ?? say(emailCreated, 'Unknown', 'Pending', 'the mail comes when the User is ready'))
      : email.isCreated
        ? say(emailCreated, 'True', 'Created', 'the mail is there to be sent')
        : say(emailCreated, 'False', email.reason, email.message),
    isDeleting(request)
      ? say(complete, 'False', FAILED_REASONS.cancelled, 'the request was deleted before it was complete; what was made is being removed')
      : failure !== null
        ? say(complete, 'False', failure.reason, failure.message)
        : say(complete, 'False', 'InProgress', 'it is under way'),
    say(failed, 'False', 'InProgress', failure === null ? 'nothing is wrong' : 'what was made is being removed'),
  ];
}

/** What a complete registration says. */
export function completionOf(view: RegistrationView): Saying[] {
  return [
    ...progressOf(view).slice(0, -2),
    say(complete, 'True', 'Registered', 'the Tenant and the User are there'),
    say(failed, 'False', 'Registered', 'nothing is wrong'),
  ];
}

/** What a failed registration says. */
export function failureOf(view: RegistrationView, { reason, message }: Failure): Saying[] {
  return [...progressOf(view).slice(0, -2), say(complete, 'False', reason, message), say(failed, 'True', reason, message)];
}

/** What a registration says that is being given up. */
export function givingUpOf(view: RegistrationView, { reason, message }: Failure): Saying[] {
  return [
    ...progressOf(view).slice(0, -2),
    say(complete, 'False', reason, message),
    say(failed, 'False', 'InProgress', 'what was made is being removed'),
  ];
}

function ofOther(type: string, object: Tenant | User | null, called: string): Saying {
  if (object === null) return say(type, 'Unknown', 'Pending', `${called} is not made yet`);
  if (isDeleting(object)) return say(type, 'False', 'Terminating', `${called} is being deleted`);
  const ready = conditionOf(object.status, READY);
  return ready === null
    ? say(type, 'Unknown', 'Pending', `${called} is made and not ready yet`)
    : say(type, ready.status, ready.reason, ready.message);
}

function say(type: string, status: Condition['status'], reason: string, message: string): Saying {
  return { type, status, reason, message };
}

export function conditionOf(status: { readonly conditions?: readonly Condition[] } | undefined, type: string): Condition | null {
  return status?.conditions?.find((condition) => condition.type === type) ?? null;
}

export function isDeleting(object: { readonly metadata: { readonly deletionTimestamp?: string } }): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}
