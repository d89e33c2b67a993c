/** AdmissionReview of admission.k8s.io/v1: what kube-apiserver asks, and the answers to it. */
import { isObject, type JsonObject, textAt, valueAt } from './json-object.js';
import type { PatchOperation } from './json-patch.js';

const API_VERSION = 'admission.k8s.io/v1';
const KIND = 'AdmissionReview';

/** The parts of a request that are judged. `userInfo` is read for the name alone. */
export interface AdmissionRequest {
  readonly uid: string;
  /** Of the object as it is shown here, whatever the client sent. */
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly subresource: string;
  /** Empty for an object without a name so far. */
  readonly name: string;
  readonly namespace: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly username: string;
  /** Nothing is stored whatever the answer is. */
  readonly isDryRun: boolean;
  readonly object: JsonObject | null;
  readonly oldObject: JsonObject | null;
}

/** A cause in a Status, with the field that it is about. */
export interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

/** Why a request is refused, as Kubernetes tells it. */
export interface Denial {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly causes?: readonly Cause[];
    readonly retryAfterSeconds?: number;
  };
}

/** What becomes of a request. */
export interface Verdict {
  /** Null: it may pass. */
  readonly denial: Denial | null;
  readonly patch?: readonly PatchOperation[];
  /** For people, each of at most 120 characters, without a value of an object. */
  readonly warnings?: readonly string[];
}

export const ALLOWED: Verdict = { denial: null };

export function denied(denial: Denial): Verdict {
  return { denial };
}

/** Every cause at once, as the API server itself refuses an object. */
export function invalid({ kind, name }: AdmissionRequest, causes: readonly Cause[]): Verdict {
  const texts = causes.map(({ field, message }) => `${field}: ${message}`);
  const list = texts.length === 1 ? texts.join() : `[${texts.join(', ')}]`;
  return denied({
    code: 422,
    reason: 'Invalid',
    message: `${kind.kind}.${kind.group} "${name}" is invalid: ${list}`,
    details: { ...(name === '' ? {} : { name }), group: kind.group, kind: kind.kind, causes },
  });
}

/** A question that cannot be judged. */
export class BadReviewError extends Error {
  override readonly name = 'BadReviewError';
  constructor(
    message: string,
    /** Of the request, for the answer. */
    readonly uid: string = '',
  ) {
    super(message);
  }
}

/** Reads the body of a question; throws `BadReviewError`, in whose message nothing of the body is. */
export function parseReview(body: string): AdmissionRequest {
  if (body === '') throw new BadReviewError('the body is empty; an AdmissionReview is wanted');
  const review = parsed(body);
  if (review === null) throw new BadReviewError('the body is no JSON object');
  const uid = textAt(review, ['request', 'uid']) ?? '';
  if (review['kind'] !== KIND || review['apiVersion'] !== API_VERSION)
    throw new BadReviewError(`the body is no ${KIND} of ${API_VERSION}`, uid);
  const request = review['request'];
  if (!isObject(request)) throw new BadReviewError(`the ${KIND} has no request`);
  if (uid === '') throw new BadReviewError('the request has no uid');
  const operation = request['operation'];
  if (operation !== 'CREATE' && operation !== 'UPDATE' && operation !== 'DELETE' && operation !== 'CONNECT')
    throw new BadReviewError('the request has no operation that is known', uid);
  const read: AdmissionRequest = {
    uid,
    kind: {
      group: textAt(request, ['kind', 'group']) ?? '',
      version: textAt(request, ['kind', 'version']) ?? '',
      kind: textAt(request, ['kind', 'kind']) ?? '',
    },
    subresource: textAt(request, ['subResource']) ?? '',
    name: textAt(request, ['name']) ?? '',
    namespace: textAt(request, ['namespace']) ?? '',
    operation,
    username: textAt(request, ['userInfo', 'username']) ?? '',
    isDryRun: valueAt(request, ['dryRun']) === true,
    object: objectAt(request, 'object', uid),
    oldObject: objectAt(request, 'oldObject', uid),
  };
  if ((operation === 'CREATE' || operation === 'UPDATE') && read.object === null)
    throw new BadReviewError(`the request to ${operation} has no object`, uid);
  if (operation === 'UPDATE' && read.oldObject === null) throw new BadReviewError('the request to UPDATE has no oldObject', uid);
  return read;
}

function objectAt(request: JsonObject, name: string, uid: string): JsonObject | null {
  const value = valueAt(request, [name]);
  if (value === undefined || value === null) return null;
  if (!isObject(value)) throw new BadReviewError(`the ${name} of the request is no object`, uid);
  return value;
}

function parsed(body: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(body);
    return isObject(value) ? value : null;
  } catch {
    // The reader's error quotes the text, which may be a password.
    return null;
  }
}

/** The body of an answer. A validating webhook has no patch, and one without changes leaves it out. */
export function reviewOf(uid: string, { denial, patch = [], warnings = [] }: Verdict): object {
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    response: {
      uid,
      allowed: denial === null,
      ...(denial === null ? {} : { status: { metadata: {}, status: 'Failure', ...denial } }),
      ...(denial === null && patch.length > 0
        ? { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }
        : {}),
      ...(warnings.length > 0 ? { warnings } : {}),
    },
  };
}

/** A question without an answer of its own, such as one that cannot be read. */
export function failed(code: number, reason: string, message: string): Verdict {
  return denied({ code, reason, message });
}
