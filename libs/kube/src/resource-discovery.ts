import { abortReason, type Clock, systemClock } from './clock.js';
import type { KubeClient } from './kube-client.js';
import type { KubeObject, Resource } from './kube-object.js';
import { StatusError } from './status-error.js';

/** The API server has no such kind, or one that cannot be watched. It may have one later: a CustomResourceDefinition may come. */
export class NoSuchKindError extends Error {
  override readonly name = 'NoSuchKindError';
}

export interface ResourceDiscoveryOptions {
  readonly clock?: Clock;
}

const KNOWN_MS = 600_000;
const UNKNOWN_MS = 2000;

const API_VERSION = /^(?:([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)\/)?([a-z](?:[a-z0-9-]*[a-z0-9])?)$/;

/** One entry of Kubernetes' APIResourceList. */
interface ApiResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

interface Answer {
  readonly found: Resource<KubeObject> | NoSuchKindError;
  /** On the monotonic clock. */
  readonly expires: number;
}

/** Finds the resource of a kind by asking the API server, which alone knows its plural and scope. */
export class ResourceDiscovery {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #answers = new Map<string, Answer>();
  /** By apiVersion: what is being asked, for everybody who waits for it. */
  readonly #asked = new Map<string, Promise<readonly ApiResource[] | null>>();

  constructor(client: KubeClient, { clock = systemClock }: ResourceDiscoveryOptions = {}) {
    this.#client = client;
    this.#clock = clock;
  }

  /**
   * Rejects with a `NoSuchKindError`, with the client's errors when the API server cannot be asked, or with the reason of the signal. A kind that
   * is found is known for 10 minutes, one that is not is asked for again after 2 seconds at the earliest.
   */
  async resolve(apiVersion: string, kind: string, signal?: AbortSignal): Promise<Resource<KubeObject>> {
    signal?.throwIfAborted();
    const key = `${apiVersion} ${kind}`;
    const known = this.#answers.get(key);
    if (known !== undefined && this.#clock.monotonic() < known.expires) return resourceIn(known);
    const resources = await untilAborted(this.#resources(apiVersion), signal);
    const found = resourceOf(apiVersion, kind, resources);
    const now = this.#clock.monotonic();
    const answer = { found, expires: now + (found instanceof NoSuchKindError ? UNKNOWN_MS : KNOWN_MS) };
    for (const [other, { expires }] of this.#answers) if (expires <= now) this.#answers.delete(other);
    this.#answers.set(key, answer);
    return resourceIn(answer);
  }

  /** The next `resolve` of this kind asks the API server. For who has seen that what was found is not there any more. */
  forget(apiVersion: string, kind: string): void {
    this.#answers.delete(`${apiVersion} ${kind}`);
    this.#asked.delete(apiVersion);
  }

  #resources(apiVersion: string): Promise<readonly ApiResource[] | null> {
    let asked = this.#asked.get(apiVersion);
    if (asked === undefined) {
      asked = this.#ask(apiVersion).finally(() => {
        if (this.#asked.get(apiVersion) === asked) this.#asked.delete(apiVersion);
      });
      this.#asked.set(apiVersion, asked);
    }
    return asked;
  }

  /** null: there is no such group and version. */
  async #ask(apiVersion: string): Promise<readonly ApiResource[] | null> {
    const [, group, version] = API_VERSION.exec(apiVersion) ?? [];
    if (version === undefined) return null;
    try {
      const answer = await this.#client.raw('GET', group === undefined ? `/api/${version}` : `/apis/${group}/${version}`);
      return resourcesIn(answer);
    } catch (error) {
      if (error instanceof StatusError && error.isNotFound) return null;
      throw error;
    }
  }
}

function resourceOf(apiVersion: string, kind: string, resources: readonly ApiResource[] | null): Resource<KubeObject> | NoSuchKindError {
  const [, group = '', version = ''] = API_VERSION.exec(apiVersion) ?? [];
  if (version === '')
    return new NoSuchKindError(`"${apiVersion}" is no apiVersion: it is a version as in v1, or a group and a version as in apps/v1`);
  if (resources === null) return new NoSuchKindError(`the API server does not serve ${apiVersion}, which the kind ${kind} is to be of`);
  const whole = resources.filter(({ name }) => !name.includes('/'));
  const ofKind = whole.filter((resource) => resource.kind === kind);
  const found = ofKind.find(({ verbs }) => verbs.includes('list') && verbs.includes('watch'));
  if (found !== undefined) return { group, version, kind, plural: found.name, namespaced: found.namespaced };
  if (ofKind.length > 0) return new NoSuchKindError(`objects of the kind ${kind} of ${apiVersion} cannot be watched`);
  const meant = whole.find((resource) => [resource.kind.toLowerCase(), resource.name].includes(kind.toLowerCase()));
  const hint = meant === undefined ? '' : `; it has ${meant.kind}`;
  return new NoSuchKindError(`the API server knows no kind ${kind} of ${apiVersion}${hint}`);
}

function resourceIn({ found }: Answer): Resource<KubeObject> {
  if (found instanceof NoSuchKindError) throw new NoSuchKindError(found.message);
  return found;
}

function resourcesIn(answer: unknown): ApiResource[] {
  const resources = typeof answer === 'object' && answer !== null && 'resources' in answer ? answer.resources : null;
  return Array.isArray(resources) ? resources.filter(isApiResource) : [];
}

function isApiResource(value: unknown): value is ApiResource {
  if (typeof value !== 'object' || value === null) return false;
  const { name, kind, namespaced, verbs } = value as Partial<Record<keyof ApiResource, unknown>>;
  return typeof name === 'string' && typeof kind === 'string' && typeof namespaced === 'boolean' && Array.isArray(verbs);
}

/** What others wait for too goes on. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(abortReason(signal));
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
