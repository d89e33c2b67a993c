import { isDeepStrictEqual } from 'node:util';
import { currentTraceparent, traced } from '@harikube/platform';
import { Counter, type Registry } from 'prom-client';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { type Clock, systemClock } from './clock.js';
import { parseExact, stringifyExact } from './exact-json.js';
import { type Access, type Credentials, loadAccess } from './kubeconfig.js';
import { apiVersionOf, type KubeList, type KubeObject, type Resource, type WatchEvent } from './kube-object.js';
import { ConnectionError, StatusError } from './status-error.js';
import { TimeLimit } from './time-limit.js';
import { watchFrames } from './watch-frames.js';

export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** Whole numbers beyond ±(2^53-1), which a number does not hold exactly, come as bigints. */
  readonly exactIntegers?: boolean;
}

export interface WriteOptions extends RequestOptions {
  readonly fieldManager?: string;
  readonly fieldValidation?: 'Strict' | 'Warn' | 'Ignore';
  readonly dryRun?: boolean;
}

export interface UpdateOptions extends WriteOptions {
  readonly subresource?: string;
}

export interface PatchOptions extends WriteOptions {
  readonly type: 'merge' | 'json' | 'strategic';
  readonly subresource?: string;
}

export interface ApplyOptions extends RequestOptions {
  readonly fieldManager: string;
  /** Takes fields over from other managers. */
  readonly force?: boolean;
  readonly subresource?: string;
  readonly dryRun?: boolean;
}

export interface DeleteOptions extends RequestOptions {
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly dryRun?: boolean;
}

export interface SelectOptions extends RequestOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan';
}

export interface ListOptions extends SelectOptions {
  readonly limit?: number;
  readonly continue?: string;
}

export interface WatchOptions extends SelectOptions {
  readonly allowBookmarks?: boolean;
  readonly timeoutSeconds?: number;
  readonly sendInitialEvents?: boolean;
  /** A watch in which nothing comes for so long is given up with a `ConnectionError`. Absent: 150 s with bookmarks, 10 min without. */
  readonly idleLimitMs?: number;
  /** Called when the server has accepted the watch. */
  readonly onOpen?: () => void;
}

export interface RawOptions extends RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
}

export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface KubeClientOptions {
  /** A file, or several as in KUBECONFIG. Absent: the account of the pod when there is one, else ~/.kube/config. */
  readonly kubeconfig?: string;
  /** Absent: the current one. */
  readonly context?: string;
  readonly userAgent: string;
  /** Gets rest_client_requests_total{code,method,host}. */
  readonly registry?: Registry;
  readonly clock?: Clock;
  /** How long a request may take in all. 30 s unless told. */
  readonly deadlineMs?: number;
  /** Called with each warning that comes with an answer: from the server itself, or from a webhook. */
  readonly onWarning?: (text: string) => void;
}

const DEADLINE_MS = 30_000;
/** Of connections for requests; more requests than that wait for each other. Watches have their own, one each. */
const MAX_CONNECTIONS = 64;
const CONNECT_TIMEOUT_MS = 10_000;
/** Below the 90 s and more after which servers and proxies close a connection that nobody uses. */
const KEEP_ALIVE_MS = 30_000;
/** Of one request that the server is too busy for. */
const MAX_RETRIES = 5;
/** Bookmarks come about each minute. */
const IDLE_LIMIT_MS = 150_000;
const IDLE_LIMIT_WITHOUT_BOOKMARKS_MS = 600_000;

interface Call {
  readonly method: Dispatcher.HttpMethod;
  /** Encoded, below the server's address. */
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Agents {
  readonly tls: Credentials['tls'];
  readonly requests: Dispatcher;
  readonly watches: Dispatcher;
}

/**
 * The Kubernetes API over HTTP/1.1.
 *
 * An answer other than 2xx is a `StatusError`, no answer a `ConnectionError`; a signal that aborts rejects with its reason. Each request has a
 * deadline. A write is sent once; only when the server says that it is too busy, and when to come again (429 with Retry-After), was nothing done,
 * and the request is repeated within its deadline.
 *
 * A write with a signal is sent only after the timers that are due have run: in a process that was stopped for a while, whatever timer would have
 * aborted the signal meanwhile (a lease that is lost by now) has done so before anything is written.
 */
export class KubeClient {
  readonly #access: Access;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #userAgent: string;
  readonly #requests: Counter<'code' | 'method' | 'host'> | null;
  readonly #onWarning: (text: string) => void;
  #agents: Agents | null = null;

  private constructor(
    access: Access,
    { clock = systemClock, deadlineMs = DEADLINE_MS, userAgent, registry, onWarning = () => undefined }: KubeClientOptions,
  ) {
    this.#access = access;
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    this.#userAgent = userAgent;
    this.#requests = registry === undefined ? null : requestCounter(registry);
    this.#onWarning = onWarning;
  }

  /** Reads the kubeconfig; throws `ConfigError` with a sentence when it cannot be used. Connects to nothing. */
  static fromConfig(options: KubeClientOptions): KubeClient {
    return new KubeClient(loadAccess(options), options);
  }

  /** Where the API server answers. */
  get server(): URL {
    return this.#access.server;
  }

  /** The namespace of the kubeconfig's context, for objects that name none. */
  get namespace(): string {
    return this.#access.namespace;
  }

  async get<T extends KubeObject>(resource: Resource<T>, name: string, namespace?: string, options?: RequestOptions): Promise<T> {
    const answer = await this.#send({ method: 'GET', path: objectPath(resource, name, namespace) }, options);
    return typed(resource, answer as T);
  }

  /** One page; without `limit` everything. */
  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    const query: Query = {
      ...selectQuery(options),
      limit: options.limit === undefined ? undefined : String(options.limit),
      continue: options.continue,
    };
    const answer = await this.#send({ method: 'GET', path: resourcePath(resource, options.namespace), query }, options);
    const { metadata = {}, items } = answer as Partial<KubeList<T>>;
    // A Go server may say null for no items.
    return { metadata, items: (items ?? []).map((item) => typed(resource, item)) };
  }

  /**
   * Ends when the server ends it. ERROR events are yielded; an answer other than 2xx, a cut, half an event and silence are thrown, and so is the
   * reason of the signal. To leave the loop ends the watch.
   */
  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { allowBookmarks = false, timeoutSeconds, sendInitialEvents } = options;
    const idleLimitMs = options.idleLimitMs ?? (allowBookmarks ? IDLE_LIMIT_MS : IDLE_LIMIT_WITHOUT_BOOKMARKS_MS);
    const query: Query = {
      ...selectQuery(options),
      watch: 'true',
      allowWatchBookmarks: allowBookmarks ? 'true' : undefined,
      timeoutSeconds: timeoutSeconds === undefined ? undefined : String(timeoutSeconds),
      sendInitialEvents: sendInitialEvents === undefined ? undefined : String(sendInitialEvents),
    };
    const call: Call = { method: 'GET', path: resourcePath(resource, options.namespace), query };
    const limit = new TimeLimit(this.#clock, options.signal);
    let body: Dispatcher.ResponseData['body'] | null = null;
    try {
      limit.restart(this.#deadlineMs, () => this.#lateness(call));
      const answer = await this.#dispatch(call, 'watches', limit);
      body = answer.body;
      // To destroy it is to abort it, which it calls an error.
      body.on('error', () => undefined);
      if (!isSuccess(answer.statusCode)) throw StatusError.ofAnswer(answer.statusCode, await body.text(), retryAfterOf(answer));
      options.onOpen?.();
      const silence = (): Error => new ConnectionError(`${describe(call)} was silent for ${idleLimitMs} ms`);
      for await (const event of watchFrames<T>(heard(body, limit, idleLimitMs, silence), parserFor(options))) {
        if (event.type === 'ADDED' || event.type === 'MODIFIED' || event.type === 'DELETED') typed(resource, event.object as T);
        yield event;
      }
    } catch (error) {
      throw limit.errorOf(error, `${describe(call)} was cut`);
    } finally {
      limit.close();
      body?.destroy();
    }
  }

  /** Into the namespace of its metadata. */
  async create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const path = resourcePath(resource, namespaceFor(resource, object.metadata.namespace));
    const call: Call = { method: 'POST', path, query: writeQuery(options), body: withType(resource, object) };
    return typed(resource, (await this.#send(call, options)) as T);
  }

  /** Replaces the whole object; with a resourceVersion only if it is still the one that was read. */
  async update<T extends KubeObject>(resource: Resource<T>, object: T, options: UpdateOptions = {}): Promise<T> {
    const { name = '', namespace } = object.metadata;
    const path = objectPath(resource, name, namespace, options.subresource);
    const call: Call = { method: 'PUT', path, query: writeQuery(options), body: withType(resource, object) };
    return typed(resource, (await this.#send(call, options)) as T);
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    namespace: string | undefined,
    patch: object,
    options: PatchOptions,
  ): Promise<T> {
    const path = objectPath(resource, name, namespace, options.subresource);
    const headers = { 'content-type': PATCH_TYPES[options.type] };
    return typed(resource, (await this.#send({ method: 'PATCH', path, query: writeQuery(options), body: patch, headers }, options)) as T);
  }

  /** Server-side apply: creates the object, or sets the fields that are given and removes those that this manager no longer gives. */
  async apply<T extends KubeObject>(resource: Resource<T>, object: T, options: ApplyOptions): Promise<T> {
    const { name = '', namespace } = object.metadata;
    const path = objectPath(resource, name, namespace, options.subresource);
    const query: Query = { ...writeQuery(options), force: options.force === true ? 'true' : undefined };
    // JSON is YAML.
    const headers = { 'content-type': 'application/apply-patch+yaml' };
    const call: Call = { method: 'PATCH', path, query, body: withType(resource, object), headers };
    return typed(resource, (await this.#send(call, options)) as T);
  }

  /** Resolves when it is deleted, or marked as such when it has finalizers. */
  async delete<T extends KubeObject>(resource: Resource<T>, name: string, namespace?: string, options: DeleteOptions = {}): Promise<void> {
    const { preconditions, propagationPolicy, dryRun } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions,
      propagationPolicy,
      dryRun: dryRun === true ? ['All'] : undefined,
    };
    await this.#send({ method: 'DELETE', path: objectPath(resource, name, namespace), body }, options);
  }

  /** Deletes every object of the resource in a namespace, or marks it as deleted. */
  async deleteCollection<T extends KubeObject>(resource: Resource<T>, namespace: string, options?: RequestOptions): Promise<void> {
    await this.#send({ method: 'DELETE', path: resourcePath(resource, namespace) }, options);
  }

  /** `path` is encoded by the caller. The answer is parsed when it is JSON; other answers are their text, and no body is undefined. */
  raw(method: string, path: string, query?: Query, body?: unknown, options: RawOptions = {}): Promise<unknown> {
    return this.#send({ method: method, path, query, body, headers: options.headers }, options);
  }

  /** Waits for requests, and ends watches. */
  async close(): Promise<void> {
    const agents = this.#agents;
    await Promise.all([agents?.requests.close(), agents?.watches.destroy()]);
  }

  /** Part of the trace under way, where there is one. */
  #send(call: Call, options: RequestOptions = {}): Promise<unknown> {
    const attributes = { 'http.request.method': call.method, 'server.address': this.server.hostname };
    return traced({ name: `${call.method} ${kindIn(call.path)}`, kind: 'client', isPart: true, attributes }, async (span) => {
      try {
        return await this.#sendPatiently(call, options);
      } catch (error) {
        if (error instanceof StatusError) span.set({ 'http.response.status_code': error.code });
        throw error;
      }
    });
  }

  async #sendPatiently(call: Call, options: RequestOptions): Promise<unknown> {
    const { signal } = options;
    const end = this.#clock.monotonic() + this.#deadlineMs;
    for (let retries = 0; ; retries++) {
      const { code, text, isJson, retryAfter } = await this.#sendOnce(call, end - this.#clock.monotonic(), signal);
      if (isSuccess(code)) return bodyOf(call, text, isJson ? parserFor(options) : String);
      const error = StatusError.ofAnswer(code, text, retryAfter);
      const waitMs = 1000 * Math.max(1, error.retryAfterSeconds ?? 0);
      const isWorthwhile = retries < MAX_RETRIES && this.#clock.monotonic() + waitMs < end;
      if (!error.isTooManyRequests || retryAfter === undefined || !isWorthwhile) throw error;
      await this.#clock.sleep(waitMs, signal);
    }
  }

  async #sendOnce(call: Call, limitMs: number, signal: AbortSignal | undefined): Promise<Answer> {
    const limit = new TimeLimit(this.#clock, signal);
    try {
      limit.restart(limitMs, () => this.#lateness(call));
      const answer = await this.#dispatch(call, 'requests', limit);
      const isJson = String(answer.headers['content-type']).includes('json');
      return { code: answer.statusCode, text: await answer.body.text(), isJson, retryAfter: retryAfterOf(answer) };
    } catch (error) {
      throw limit.errorOf(error, `${describe(call)} had no answer`);
    } finally {
      limit.close();
    }
  }

  async #dispatch(call: Call, kind: 'requests' | 'watches', limit: TimeLimit): Promise<Dispatcher.ResponseData> {
    const { server } = this.#access;
    const { method, query = {}, body } = call;
    const count = (code: string): void => this.#requests?.inc({ code, method, host: server.host });
    try {
      const credentials = await limit.race(this.#access.credentials());
      const agent = this.#agentsFor(credentials)[kind];
      if (method !== 'GET') await dueTimersHaveRun();
      limit.signal.throwIfAborted();
      const traceparent = kind === 'requests' ? currentTraceparent() : undefined;
      const answer = await agent.request({
        origin: server.origin,
        path: `${server.pathname.replace(/\/$/, '')}${call.path}${queryText(query)}`,
        method,
        headers: {
          ...credentials.headers,
          'user-agent': this.#userAgent,
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(traceparent === undefined ? {} : { traceparent }),
          ...call.headers,
        },
        body: body === undefined ? null : stringifyExact(body),
        signal: limit.signal,
      });
      count(String(answer.statusCode));
      for (const text of warningsOf(answer)) this.#onWarning(text);
      return answer;
    } catch (error) {
      count('<error>');
      throw error;
    }
  }

  #lateness(call: Call): Error {
    return new ConnectionError(`${describe(call)} had no answer within ${this.#deadlineMs} ms`);
  }

  /** Other ones when the client's certificate is another by now. */
  #agentsFor({ tls }: Credentials): Agents {
    if (this.#agents !== null && isDeepStrictEqual(this.#agents.tls, tls)) return this.#agents;
    // What is under way on the old connections ends on them.
    const old = this.#agents;
    if (old !== null) void Promise.all([old.requests.close(), old.watches.close()]);
    this.#agents = { tls, requests: this.#agent(tls, MAX_CONNECTIONS), watches: this.#agent(tls, null) };
    return this.#agents;
  }

  #agent(tls: Credentials['tls'], connections: number | null): Dispatcher {
    const { proxy } = this.#access;
    // Times are limited by `TimeLimit`. Many requests of one HTTP/2 connection would wait behind one lost packet, and behind one busy server of many.
    const options = { connections, allowH2: false, keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: 0, bodyTimeout: 0 };
    const connect = { timeout: CONNECT_TIMEOUT_MS, keepAlive: true, keepAliveInitialDelay: 30_000 };
    if (proxy === null) return new Agent({ ...options, connect: { ...connect, ...tls } });
    return new ProxyAgent({ ...options, uri: proxy, connect, requestTls: { ...tls } });
  }
}

interface Answer {
  readonly code: number;
  readonly text: string;
  readonly isJson: boolean;
  readonly retryAfter: string | undefined;
}

const PATCH_TYPES: Readonly<Record<PatchOptions['type'], string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};

function requestCounter(registry: Registry): Counter<'code' | 'method' | 'host'> {
  const name = 'rest_client_requests_total';
  const known = registry.getSingleMetric(name);
  if (known instanceof Counter) return known;
  return new Counter({
    name,
    help: 'Requests to the Kubernetes API, by status code, method and host',
    labelNames: ['code', 'method', 'host'],
    registers: [registry],
  });
}

/** The chunks of a body; the time in which nothing comes is limited, and not the time that the reader takes. */
async function* heard(
  body: AsyncIterable<Uint8Array>,
  limit: TimeLimit,
  idleLimitMs: number,
  silence: () => Error,
): AsyncGenerator<Uint8Array> {
  limit.restart(idleLimitMs, silence);
  for await (const chunk of body) {
    limit.pause();
    yield chunk;
    limit.restart(idleLimitMs, silence);
  }
  limit.pause();
}

/** One turn of the event loop in which due timers run is between two of these. */
function dueTimersHaveRun(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

function resourcePath({ group, version, plural, namespaced }: Resource<unknown>, namespace: string | undefined): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const place = namespaced && namespace !== undefined ? `/namespaces/${segment(namespace, 'namespace')}` : '';
  return `${root}${place}/${plural}`;
}

function objectPath(resource: Resource<unknown>, name: string, namespace: string | undefined, subresource?: string): string {
  const place = resourcePath(resource, namespaceFor(resource, namespace));
  return `${place}/${segment(name, 'name')}${subresource === undefined ? '' : `/${segment(subresource, 'subresource')}`}`;
}

/** Without its namespace a request would mean all of them, or nothing. */
function namespaceFor({ plural, namespaced }: Resource<unknown>, namespace: string | undefined): string | undefined {
  if (namespaced && namespace === undefined) throw new TypeError(`an object of ${plural} needs a namespace`);
  return namespace;
}

/** An empty one would turn an object into its collection, and dots are taken away by whoever normalises paths. */
function segment(text: string, what: string): string {
  if (text === '' || text === '.' || text === '..') throw new TypeError(`"${text}" is no ${what} of an object`);
  return encodeURIComponent(text);
}

function selectQuery({ labelSelector, fieldSelector, resourceVersion, resourceVersionMatch }: SelectOptions): Query {
  return { labelSelector, fieldSelector, resourceVersion, resourceVersionMatch };
}

function writeQuery({ fieldManager, fieldValidation, dryRun }: WriteOptions): Query {
  return { fieldManager, fieldValidation, dryRun: dryRun === true ? 'All' : undefined };
}

function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of typeof value === 'string' ? [value] : (value ?? [])) parameters.append(name, one);
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

function withType<T extends KubeObject>(resource: Resource<T>, object: T): T {
  return typed(resource, { ...object });
}

/** Objects in the lists of built-in kinds do not say what they are. */
function typed<T extends KubeObject>(resource: Resource<T>, object: T): T {
  object.apiVersion ??= apiVersionOf(resource);
  object.kind ??= resource.kind;
  return object;
}

/** The plural name, and the subresource, of what is asked for; nothing that names an object. */
function kindIn(path: string): string {
  const [, place = ''] = /^\/apis?\/(?:[^/]+\/)?v[^/]*\/(.*)$/.exec(path) ?? [];
  const parts = place.split('/');
  const [plural = '', , subresource] = parts[0] === 'namespaces' && parts.length > 2 ? parts.slice(2) : parts;
  return [plural, subresource].filter((part) => part !== undefined && part !== '').join('/');
}

function describe({ method, path }: Call): string {
  return `${method} ${path}`;
}

function isSuccess(code: number): boolean {
  return code >= 200 && code < 300;
}

function retryAfterOf({ headers }: Dispatcher.ResponseData): string | undefined {
  const value = headers['retry-after'];
  return typeof value === 'string' ? value : undefined;
}

/** RFC 7234's `Warning`, as Kubernetes sends it: `299 - "text"`, and several of them in one header or in several. */
function warningsOf({ headers }: Dispatcher.ResponseData): string[] {
  const value = headers['warning'];
  return [...String(value ?? '').matchAll(/\b299 \S+ "((?:[^"\\]|\\.)*)"/gs)].map(([, text = '']) => text.replace(/\\(.)/gs, '$1'));
}

function parserFor({ exactIntegers = false }: RequestOptions): (text: string) => unknown {
  return exactIntegers ? parseExact : (text) => JSON.parse(text) as unknown;
}

function bodyOf(call: Call, text: string, parse: (text: string) => unknown): unknown {
  if (text === '') return undefined;
  try {
    return parse(text);
  } catch (error) {
    throw new ConnectionError(`the answer to ${describe(call)} is not JSON`, { cause: error });
  }
}
