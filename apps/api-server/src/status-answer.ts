/** The answers of a Kubernetes API server that are not a success, in its words. */
import { AGGREGATED_GROUP } from '@harikube/crds';
import { type StatusCause, type StatusDetails, StatusError } from '@harikube/kube';

/** As `kubectl` names it. */
export const KIND = 'Registration';
export const PLURAL = 'registrations';
const QUALIFIED_KIND = `${KIND}.${AGGREGATED_GROUP}`;
export const QUALIFIED_RESOURCE = `${PLURAL}.${AGGREGATED_GROUP}`;

export function failure(code: number, reason: string, message: string, details?: StatusDetails): StatusError {
  return new StatusError(
    {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code,
    },
    { code },
  );
}

export function badRequest(message: string): StatusError {
  return failure(400, 'BadRequest', message);
}

export function unauthorized(): StatusError {
  return failure(401, 'Unauthorized', 'Unauthorized');
}

/** `what` is what is forbidden: a resource, a path. */
export function forbidden(message: string, details?: StatusDetails): StatusError {
  return failure(403, 'Forbidden', message, details ?? {});
}

export function pathNotFound(): StatusError {
  return failure(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function methodNotAllowed(verb: string): StatusError {
  return failure(405, 'MethodNotAllowed', `${verb} is not supported on resources of kind "${QUALIFIED_RESOURCE}"`, {
    group: AGGREGATED_GROUP,
    kind: PLURAL,
  });
}

/** Of a path that is no resource. */
export function pathMethodNotAllowed(): StatusError {
  return failure(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
}

export function notAcceptable(accepted: readonly string[]): StatusError {
  return failure(406, 'NotAcceptable', `only the following media types are accepted: ${accepted.join(', ')}`);
}

export function alreadyExists(name: string, why = '', causes?: StatusCause[]): StatusError {
  return failure(
    409,
    'AlreadyExists',
    `${QUALIFIED_RESOURCE} "${name}" already exists${why === '' ? '' : `: ${why}`}`,
    ofRegistration(PLURAL, name, causes),
  );
}

export function conflict(name: string, why: string, causes?: StatusCause[]): StatusError {
  const message = `Operation cannot be fulfilled on ${QUALIFIED_RESOURCE} "${name}": ${why}`;
  return failure(409, 'Conflict', message, ofRegistration(PLURAL, name, causes));
}

export function tooLarge(limitBytes: number): StatusError {
  return failure(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limitBytes}`);
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`;
  return failure(415, 'UnsupportedMediaType', message);
}

/** A field of what was sent, and what is wrong with it in Kubernetes' words. */
export interface Fault {
  readonly field: string;
  readonly reason: string;
  readonly message: string;
}

export function invalid(name: string, faults: readonly Fault[], qualifiedKind = QUALIFIED_KIND): StatusError {
  const texts = faults.map(({ field, message }) => `${field}: ${message}`);
  const said = texts.length === 1 ? texts.join('') : `[${texts.join(', ')}]`;
  const [kind = KIND, ...group] = qualifiedKind.split('.');
  return failure(422, 'Invalid', `${qualifiedKind} "${name}" is invalid: ${said}`, {
    name,
    group: group.join('.'),
    kind,
    causes: faults.map(({ field, reason, message }) => ({ reason, message, field })),
  });
}

export function tooManyRequests(): StatusError {
  return failure(429, 'TooManyRequests', 'Too many requests, please try again later.', { retryAfterSeconds: 1 });
}

/** The original is the cause and stays here. */
export function internalError(message: string, cause?: unknown): StatusError {
  const error = failure(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });
  if (cause !== undefined) error.cause = cause;
  return error;
}

/** With `retryAfterSeconds` the clients of Kubernetes repeat the request by themselves. */
export function unavailable(message: string, retryAfterSeconds?: number, cause?: unknown): StatusError {
  const error = failure(503, 'ServiceUnavailable', message, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
  if (cause !== undefined) error.cause = cause;
  return error;
}

export function timedOut(message: string, details?: StatusDetails): StatusError {
  return failure(504, 'Timeout', message, details ?? {});
}

export function requestTimedOut(): StatusError {
  return timedOut('request did not complete within the allotted timeout');
}

export function ofRegistration(kind: string, name: string, causes?: StatusCause[]): StatusDetails {
  return { name, group: AGGREGATED_GROUP, kind, ...(causes === undefined ? {} : { causes }) };
}
