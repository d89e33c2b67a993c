import { type Condition, FAILED_REASONS, REGISTRATION_CONDITIONS, type RegistrationRequest } from '@harikube/crds';
import { type StatusCause, type StatusError } from '@harikube/kube';
import {
  alreadyExists,
  conflict,
  failure,
  internalError,
  invalid,
  ofRegistration,
  PLURAL,
  QUALIFIED_RESOURCE,
  timedOut,
} from './status-answer.js';

const { claimed, tenantReady, userReady, emailCreated, complete, failed } = REGISTRATION_CONDITIONS;
const STEPS = [claimed, tenantReady, userReady, emailCreated];

export function isFailed(request: RegistrationRequest): boolean {
  return conditionOf(request, failed)?.status === 'True';
}

export function isComplete(request: RegistrationRequest): boolean {
  return conditionOf(request, complete)?.status === 'True';
}

/** The Status for a request that has failed; `isKept`: it is still there, and in the way of another one of its name. */
export function failureStatus(request: RegistrationRequest, isKept: boolean): StatusError {
  const name = request.metadata.name ?? '';
  const { reason = '', message = '' } = conditionOf(request, failed) ?? {};
  const way = isKept
    ? `; the failed request stays for a while and keeps its name: to try again at once, use another name or run "kubectl delete registrationrequest ${name}"`
    : '';
  const why = `the registration has failed: ${message}${way}`;
  const cause = (field: string, type: string): StatusCause[] => [{ reason: type, message, field }];
  switch (reason) {
    case FAILED_REASONS.emailTaken:
      return alreadyExists(name, why, cause('spec.user.email', 'FieldValueDuplicate'));
    case FAILED_REASONS.invalidSpec:
      return invalid(name, [{ field: 'spec', reason: 'FieldValueInvalid', message: `Invalid value: ${message}${way}` }]);
    case FAILED_REASONS.namespaceConflict:
      return conflict(name, why, cause('metadata.name', 'FieldValueDuplicate'));
    case FAILED_REASONS.cancelled:
      return conflict(name, why);
    default:
      return internalError(`${QUALIFIED_RESOURCE} "${name}": ${why}`);
  }
}

/** The Status for a request that is gone and was neither complete nor failed. */
export function removedStatus(name: string): StatusError {
  return conflict(name, 'the registration was deleted before it was complete; what was made for it is removed, and it can be repeated');
}

/** The Status for a request whose end nobody has seen. */
export function lostStatus(name: string): StatusError {
  return internalError(
    `${QUALIFIED_RESOURCE} "${name}" is gone and its result was not seen, because the watch was interrupted; repeat it: if the e-mail address is taken then, it had succeeded`,
  );
}

/** The Status for a request that is still under way: what it waits for, and what to do. */
export function pendingStatus(name: string, request: RegistrationRequest | null, waitedSeconds: number): StatusError {
  const pending = STEPS.map((type) => ({ type, condition: request === null ? undefined : conditionOf(request, type) })).filter(
    ({ condition }) => condition?.status !== 'True',
  );
  const isStarted = pending.some(({ condition }) => condition !== undefined);
  const removal = request === null ? undefined : conditionOf(request, complete);
  const isGivenUp = removal?.status === 'False' && Object.values(FAILED_REASONS).some((reason) => reason === removal.reason);
  const what = isGivenUp
    ? `it has failed (${removal.message}), and what was made is being removed`
    : !isStarted
      ? 'nothing has begun with it: is the registration-controller running?'
      : pending.length === 0
        ? 'everything is there but the last word'
        : `pending: ${pending.map(({ type, condition }) => (condition === undefined ? type : `${type} (${condition.message})`)).join(', ')}`;
  const message = `${QUALIFIED_RESOURCE} "${name}" is not complete after ${waitedSeconds}s: ${what}. It goes on: repeat the request to wait for it, or look at it with "kubectl get registrationrequest ${name}"`;
  const causes = pending.map(({ type, condition }) => ({
    reason: condition?.reason ?? 'Pending',
    message: condition?.message ?? 'not begun',
    field: `status.conditions[${type}]`,
  }));
  return timedOut(message, ofRegistration(PLURAL, name, causes));
}

/** The Status for a name that another registration has at this moment. */
export function nameTakenStatus(name: string): StatusError {
  return alreadyExists(name, 'another registration of this name is under way; use another name');
}

/** The Status for a request that is being deleted while somebody asks for it anew. */
export function goingStatus(name: string): StatusError {
  const error = failure(
    409,
    'Conflict',
    `${QUALIFIED_RESOURCE} "${name}" is being deleted; repeat the request when it is gone`,
    ofRegistration(PLURAL, name),
  );
  return error;
}

function conditionOf({ status }: RegistrationRequest, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}
