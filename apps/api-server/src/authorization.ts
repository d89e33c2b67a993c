import { type Clock, type KubeClient, type KubeObject, type Resource, SUBJECT_ACCESS_REVIEWS, systemClock } from '@harikube/kube';
import { ExpiringCache } from './expiring-cache.js';
import type { RequestInfo } from './request-info.js';
import { withRetries } from './review-call.js';
import { forbidden, internalError } from './status-answer.js';
import { MASTERS, type UserInfo } from './user-info.js';

interface SubjectAccessReviewSpec {
  readonly user: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  readonly resourceAttributes?: {
    readonly group: string;
    readonly version: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly verb: string;
  };
  readonly nonResourceAttributes?: { readonly path: string; readonly verb: string };
}

interface SubjectAccessReview extends KubeObject {
  readonly spec: SubjectAccessReviewSpec;
  readonly status?: { readonly allowed?: boolean; readonly denied?: boolean; readonly reason?: string };
}

const RESOURCE: Resource<SubjectAccessReview> = { ...SUBJECT_ACCESS_REVIEWS, object: undefined };
const MAX_KNOWN = 8192;
/** A question that is longer is asked each time. */
const MAX_KEY_LENGTH = 10_000;
const DEADLINE_MS = 10_000;

export interface AuthorizerOptions {
  readonly client: Pick<KubeClient, 'create'>;
  /** How long a yes, and a no, hold. */
  readonly allowedMs: number;
  readonly deniedMs: number;
  readonly clock?: Clock;
}

/**
 * Asks kube-apiserver whether a user may do something. What it has sent here itself it has allowed already; but this server can be reached
 * without it.
 */
export class Authorizer {
  readonly #options: Required<AuthorizerOptions>;
  readonly #known: ExpiringCache<boolean>;

  constructor({ clock = systemClock, ...options }: AuthorizerOptions) {
    this.#options = { ...options, clock };
    this.#known = new ExpiringCache(MAX_KNOWN, clock);
  }

  /** Throws a `StatusError`: 403 when it is not allowed, 500 when nobody can say. */
  async authorize(user: UserInfo, info: RequestInfo, signal: AbortSignal): Promise<void> {
    if (user.groups.includes(MASTERS)) return;
    const spec = reviewOf(user, info);
    const key = JSON.stringify(spec);
    const isAllowed = this.#known.get(key) ?? (await this.#ask(spec, key, signal));
    if (!isAllowed) throw refusal(user, info);
  }

  async #ask(spec: SubjectAccessReviewSpec, key: string, signal: AbortSignal): Promise<boolean> {
    const { client, clock, allowedMs, deniedMs } = this.#options;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
    let answer: SubjectAccessReview;
    try {
      answer = await withRetries(() => client.create(RESOURCE, { metadata: {}, spec }, { signal: limit }), clock, limit);
    } catch (error) {
      throw internalError('it cannot be found out whether this is allowed', error);
    }
    const isAllowed = answer.status?.allowed === true && answer.status.denied !== true;
    if (key.length <= MAX_KEY_LENGTH) this.#known.set(key, isAllowed, isAllowed ? allowedMs : deniedMs);
    return isAllowed;
  }
}

/** The question, in a form that is equal for equal questions. */
function reviewOf({ name, uid, groups, extra }: UserInfo, { path, verb, resource }: RequestInfo): SubjectAccessReviewSpec {
  const extras = Object.entries(extra).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    user: name,
    ...(uid === '' ? {} : { uid }),
    groups,
    ...(extras.length === 0 ? {} : { extra: Object.fromEntries(extras) }),
    ...(resource === null
      ? { nonResourceAttributes: { path, verb } }
      : {
          resourceAttributes: {
            group: resource.group,
            version: resource.version,
            resource: resource.resource,
            ...(resource.subresource === '' ? {} : { subresource: resource.subresource }),
            ...(resource.namespace === '' ? {} : { namespace: resource.namespace }),
            ...(resource.name === '' ? {} : { name: resource.name }),
            verb,
          },
        }),
  };
}

/** In kube-apiserver's words. */
function refusal({ name: user }: UserInfo, { path, verb, resource }: RequestInfo): Error {
  if (resource === null) return forbidden(escaped(`forbidden: User "${user}" cannot ${verb} path "${path}"`));
  const { group, name, namespace } = resource;
  const qualified = `${resource.resource}.${group}`;
  const called = resource.subresource === '' ? resource.resource : `${resource.resource}/${resource.subresource}`;
  const scope = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const what = name === '' ? qualified : `${qualified} "${name}"`;
  const message = `${what} is forbidden: User "${user}" cannot ${verb} resource "${called}" in API group "${group}" ${scope}`;
  return forbidden(escaped(message), { ...(name === '' ? {} : { name }), group, kind: resource.resource });
}

/** A browser that takes the answer for a page finds no page in it. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
