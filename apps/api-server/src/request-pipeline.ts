/** What every request goes through, in the order of a Kubernetes API server: who is it, is there room, may he, and then what he asks for. */
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { AGGREGATED_GROUP, VERSION } from '@harikube/crds';
import { type Clock, StatusError, systemClock } from '@harikube/kube';
import { type HealthChecks, type Logger, type Registry, traced } from '@harikube/platform';
import { stringify } from 'yaml';
import { type ApiDocument, isKnown } from './api-document.js';
import type { Authenticated, Authenticator } from './authentication.js';
import type { Authorizer } from './authorization.js';
import { decodeBody, MAX_BODY_BYTES } from './body-decoder.js';
import { createOptions } from './create-options.js';
import { AGGREGATED_DISCOVERY, AGGREGATED_DISCOVERY_TYPE, GROUP_LIST, GROUP_OBJECT, RESOURCE_LIST } from './discovery.js';
import { CONTENT_SECURITY_POLICY, DocsPage } from './docs-page.js';
import type { ApiAnswer, ApiRequest } from './exchange.js';
import type { FairLimit } from './fair-limit.js';
import { acceptClauses, acceptedType, type Format, isPretty, JSON_TYPE, negotiate, YAML_TYPE } from './negotiation.js';
import { GROUP_PATH, OPEN_API_INDEX, OPEN_API_V2, OPEN_API_V3 } from './open-api.js';
import { readRegistration, type Registration } from './registration.js';
import type { RegistrationHandler } from './registration-handler.js';
import { PathError, type RequestInfo, requestInfo } from './request-info.js';
import { MAX_REQUEST_MS, REQUEST_DEADLINE_MS, requestTimeout, waitOf } from './request-timeout.js';
import { healthAnswer } from './server-health.js';
import type { RequestLabels, ServerMetrics } from './server-metrics.js';
import {
  badRequest,
  forbidden,
  internalError,
  methodNotAllowed,
  pathMethodNotAllowed,
  pathNotFound,
  PLURAL,
  requestTimedOut,
  unauthorized,
} from './status-answer.js';
import { partialMetadataOf, tableOf } from './table.js';
import { MASTERS } from './user-info.js';
import { VERSION_OBJECT } from './version.js';

export interface RequestPipelineOptions {
  readonly authenticator: Pick<Authenticator, 'authenticate'>;
  readonly authorizer: Pick<Authorizer, 'authorize'>;
  readonly registrations: Pick<RegistrationHandler, 'create'>;
  /** Of requests that are worked on. */
  readonly seats: FairLimit;
  readonly checks: HealthChecks;
  readonly metrics: ServerMetrics;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** A request on its way, with what has been found out about it. */
interface Call {
  readonly request: ApiRequest;
  readonly info: RequestInfo;
  readonly auditId: string;
  readonly who: Authenticated;
  readonly signal: AbortSignal;
  /** W3C's, of the span of the request; undefined: none. */
  readonly traceparent: string | undefined;
  /** Gives the seat back. */
  readonly leave: () => void;
  /** For the log: the name of what was asked for, which may be in the body only. */
  objectName: string;
}

type Answer = Partial<ApiAnswer> & Pick<ApiAnswer, 'body'>;

const gzipped = promisify(gzip);
/** For metrics and the log only: there is nobody left to read an answer. */
const CLIENT_GONE = 499;
const GZIP_FROM_BYTES = 128 * 1024;
const HEALTH_PAGE = /^\/(livez|readyz|healthz)(?:\/([^/]+))?$/;
/** Far enough in the future for a document whose address has its hash. */
const YEAR_SECONDS = 365 * 24 * 60 * 60;
const IMPERSONATION = 'impersonate-';

export class RequestPipeline {
  readonly #options: Required<RequestPipelineOptions>;
  /** By the path of the page. */
  readonly #docs: ReadonlyMap<string, DocsPage> = new Map([
    ['/docs', new DocsPage('../')],
    [`${GROUP_PATH}/docs`, new DocsPage('../../../../')],
  ]);
  readonly #compressed = new Map<string, Buffer>();

  constructor({ clock = systemClock, ...options }: RequestPipelineOptions) {
    this.#options = { ...options, clock };
  }

  /** Never rejects: what goes wrong is an answer, too. */
  async handle(request: ApiRequest): Promise<ApiAnswer> {
    const { clock, metrics } = this.#options;
    const start = clock.monotonic();
    const auditId = auditIdOf(request.headers.get('audit-id'));
    const trace: Trace = { info: null, user: '', by: null, objectName: '', error: null };
    let answer: Answer;
    try {
      answer = await this.#answer(request, auditId, trace);
    } catch (error) {
      trace.error = error instanceof PathError ? badRequest(error.message) : error;
      answer = this.#refusal(request, trace);
    }
    const seconds = (clock.monotonic() - start) / 1000;
    const code = request.signal.aborted ? CLIENT_GONE : (answer.code ?? 200);
    const labels = labelsOf(request.method, trace.info);
    metrics.requests.inc({ ...labels, code: String(code) });
    metrics.durations.observe({ ...labels }, seconds);
    this.#log(request, { auditId, code, seconds }, trace);
    const headers = { 'audit-id': auditId, ...answer.headers };
    // Who is unknown does not get to open and reset streams without end.
    return await this.#finished(request, { ...answer, headers, endsConnection: code === 401 || trace.by === 'anonymous' });
  }

  async #answer(request: ApiRequest, auditId: string, trace: Trace): Promise<Answer> {
    const info = requestInfo(request.method, request.target);
    trace.info = info;
    const health = HEALTH_PAGE.exec(info.path);
    if (health !== null) return await this.#health(request, info, health[1] ?? '', health[2] ?? '');
    if (!isCreate(info)) return await this.#judged(request, { info, auditId, traceparent: undefined }, trace);
    const options = { name: `create ${PLURAL}`, kind: 'server', parent: request.headers.get('traceparent') } as const;
    const attributes = { 'http.request.method': request.method, 'http.route': `${GROUP_PATH}/${PLURAL}`, 'harikube.audit.id': auditId };
    return await traced({ ...options, attributes }, async (span) => {
      try {
        const answer = await this.#judged(request, { info, auditId, traceparent: span.traceparent }, trace);
        span.set({ 'http.response.status_code': answer.code ?? 200 });
        return answer;
      } catch (error) {
        span.set({ 'http.response.status_code': error instanceof StatusError ? error.code : 500 });
        throw error;
      }
    });
  }

  async #judged(
    request: ApiRequest,
    { info, auditId, traceparent }: Pick<Call, 'info' | 'auditId' | 'traceparent'>,
    trace: Trace,
  ): Promise<Answer> {
    const { authenticator, authorizer, seats, metrics } = this.#options;
    const isWait = isCreate(info);
    const deadline = AbortSignal.timeout(isWait ? MAX_REQUEST_MS : requestTimeout(info.query, REQUEST_DEADLINE_MS));
    // A registration has a limit of its own, after which it says how far it is.
    const signal = isWait ? request.signal : AbortSignal.any([request.signal, deadline]);
    try {
      const who = await authenticator.authenticate({ headers: request.headers, peer: request.peer, signal });
      metrics.authentications.inc({ method: who?.by ?? 'none' });
      if (who === null) throw unauthorized();
      trace.user = who.user.name;
      trace.by = who.by;
      if (request.headers.startingWith(IMPERSONATION).length > 0)
        throw forbidden('impersonation is not served here: send the request to kube-apiserver');
      const leave = who.user.groups.includes(MASTERS) ? () => undefined : await seats.enter(who.user.name, signal);
      try {
        metrics.inFlight.set({ request_kind: 'mutating' }, seats.size);
        await authorizer.authorize(who.user, info, signal);
        const call: Call = { request, info, auditId, who, signal, traceparent, leave, objectName: info.resource?.name ?? '' };
        try {
          return await this.#route(call);
        } finally {
          trace.objectName = call.objectName;
        }
      } finally {
        leave();
        metrics.inFlight.set({ request_kind: 'mutating' }, seats.size);
      }
    } catch (error) {
      if (deadline.aborted && !request.signal.aborted && !(error instanceof StatusError)) throw requestTimedOut();
      throw error;
    }
  }

  async #route(call: Call): Promise<Answer> {
    const { path, resource } = call.info;
    if (
      resource !== null &&
      resource.resource === PLURAL &&
      isGroup(resource) &&
      resource.namespace === '' &&
      resource.subresource === ''
    ) {
      if (call.request.method !== 'POST') throw methodNotAllowed(call.info.verb);
      return await this.#create(call);
    }
    const read = this.#reader(call);
    if (read === null) throw pathNotFound();
    const { method } = call.request;
    if (method !== 'GET' && method !== 'HEAD') throw pathMethodNotAllowed();
    return path === '/metrics' ? await this.#metricsPage() : read();
  }

  /** Null: nothing is there. */
  #reader(call: Call): (() => Answer) | null {
    const { path } = call.info;
    const plain = (document: ApiDocument) => () => documentAnswer(call, document);
    switch (path) {
      case '/':
        return () => objectAnswer(call, { paths: PATHS });
      case '/apis':
        return () => groupList(call);
      case `/apis/${AGGREGATED_GROUP}`:
        return plain(GROUP_OBJECT);
      case GROUP_PATH:
        return plain(RESOURCE_LIST);
      case '/openapi/v2':
        return () => openApiAnswer(call, OPEN_API_V2);
      case '/openapi/v3':
        return () => openApiAnswer(call, OPEN_API_INDEX);
      case `/openapi/v3${GROUP_PATH}`:
        return () => openApiGroup(call);
      case '/version':
        return () => objectAnswer(call, VERSION_OBJECT);
      case '/metrics':
        return () => ({ body: '' });
    }
    for (const [page, docs] of this.#docs) {
      const name = path === page ? '' : path.startsWith(`${page}/`) ? path.slice(page.length + 1) || null : null;
      const asset = name === null ? null : docs.asset(name);
      if (asset === null) continue;
      const headers = {
        'content-type': asset.contentType,
        'content-security-policy': CONTENT_SECURITY_POLICY,
        'referrer-policy': 'no-referrer',
        'cache-control': 'private, no-cache',
        etag: `"${asset.hash}"`,
      };
      return () =>
        isKnown({ text: '', hash: asset.hash }, call.request.headers.get('if-none-match'))
          ? { code: 304, headers, body: '' }
          : { headers, body: asset.body };
    }
    return null;
  }

  async #metricsPage(): Promise<Answer> {
    const { registry } = this.#options;
    return { headers: { 'content-type': registry.contentType }, body: await registry.metrics() };
  }

  async #create(call: Call): Promise<Answer> {
    const { request, info, who, auditId, traceparent, leave } = call;
    const { headers } = request;
    const format = negotiate(headers.get('accept'), ['object', 'table', 'metadata']);
    const options = createOptions(info.query, headers.get('user-agent'));
    const waitMs = waitOf(requestTimeout(info.query, MAX_REQUEST_MS));
    const reading = AbortSignal.any([request.signal, AbortSignal.timeout(REQUEST_DEADLINE_MS)]);
    const body = decodeBody(await within(request.readBody(MAX_BODY_BYTES), reading), headers.get('content-type'));
    const asked = readRegistration(body, info.resource?.name ?? '', options);
    call.objectName = asked.name === '' ? asked.generateName : asked.name;
    const waiting = { verb: 'POST', group: AGGREGATED_GROUP, resource: PLURAL };
    let isWaiting = false;
    try {
      const registration = await this.#options.registrations.create({
        asked,
        options,
        user: who.user,
        auditId,
        traceparent,
        waitMs,
        signal: request.signal,
        onWaiting: () => {
          isWaiting = true;
          this.#options.metrics.longRunning.inc(waiting);
          leave();
        },
      });
      call.objectName = registration.metadata.name ?? call.objectName;
      const warnings = warningHeaders(asked.warnings);
      const answer = written(shaped(registration, format, info.query), format.mediaType, call);
      return { ...answer, code: 201, headers: { ...answer.headers, ...(warnings.length === 0 ? {} : { warning: warnings }) } };
    } finally {
      if (isWaiting) this.#options.metrics.longRunning.dec(waiting);
    }
  }

  async #health({ method, signal }: ApiRequest, { query }: RequestInfo, page: string, single: string): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') throw pathMethodNotAllowed();
    const { checks } = this.#options;
    const answer = await healthAnswer(page, single, page === 'livez' ? checks.live() : checks.ready(), query, signal);
    if (answer === null) throw pathNotFound();
    return { code: answer.code, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: answer.text };
  }

  #refusal(request: ApiRequest, trace: Trace): Answer {
    const error = trace.error instanceof StatusError ? trace.error : internalError('the server failed', trace.error);
    const { status, code } = error;
    const retryAfter = status.details?.retryAfterSeconds;
    const yaml = acceptClauses(request.headers.get('accept')).find(
      ({ type }) => type === JSON_TYPE || type === YAML_TYPE || type === '*/*',
    );
    const answer = written(status, yaml?.type === YAML_TYPE ? YAML_TYPE : JSON_TYPE, { request, info: trace.info });
    return {
      ...answer,
      code,
      headers: { ...answer.headers, ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }) },
    };
  }

  async #finished(request: ApiRequest, answer: Answer): Promise<ApiAnswer> {
    const headers: Record<string, string | readonly string[]> = {
      'cache-control': 'no-cache, private',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
    };
    let { body } = answer;
    if (Buffer.byteLength(body) > GZIP_FROM_BYTES) {
      headers['vary'] = headers['vary'] === undefined ? 'Accept-Encoding' : `${String(headers['vary'])}, Accept-Encoding`;
      if (/\bgzip\b/.test(request.headers.get('accept-encoding') ?? '')) {
        const { etag } = headers;
        const kept = typeof etag === 'string' ? this.#compressed.get(etag) : undefined;
        body = kept ?? (await gzipped(body));
        if (typeof etag === 'string') this.#compressed.set(etag, body);
        headers['content-encoding'] = 'gzip';
      }
    }
    const code = answer.code ?? 200;
    if (code !== 304) headers['content-length'] = String(Buffer.byteLength(body));
    return { code, headers, body: request.method === 'HEAD' ? '' : body, endsConnection: answer.endsConnection ?? false };
  }

  #log(
    { method, target, sourceAddress }: ApiRequest,
    { auditId, code, seconds }: { auditId: string; code: number; seconds: number },
    trace: Trace,
  ): void {
    const { logger } = this.#options;
    const { info, user, objectName, error } = trace;
    const fields = {
      auditId,
      user,
      sourceAddress,
      verb: info?.verb ?? method.toLowerCase(),
      path: info?.path ?? target.split('?')[0]?.slice(0, 200) ?? '',
      ...(objectName === '' ? {} : { name: objectName.slice(0, 253) }),
      code,
      ...(error instanceof StatusError ? { reason: error.reason } : {}),
      milliseconds: Math.round(seconds * 1000),
    };
    const cause = error instanceof StatusError ? error.cause : error;
    if (code >= 500 && cause !== undefined && cause !== null) logger.error('request failed', { ...fields, err: cause });
    else if (info !== null && isCreate(info)) logger.info('registration answered', fields);
    else logger.debug('request answered', fields);
  }
}

/** For what is said about a request when it is over. */
interface Trace {
  info: RequestInfo | null;
  user: string;
  by: Authenticated['by'] | null;
  objectName: string;
  error: unknown;
}

const PATHS = [
  '/',
  '/apis',
  `/apis/${AGGREGATED_GROUP}`,
  GROUP_PATH,
  '/docs',
  '/healthz',
  '/livez',
  '/metrics',
  '/openapi/v2',
  '/openapi/v3',
  `/openapi/v3${GROUP_PATH}`,
  '/readyz',
  '/version',
];

function isGroup({ group, version }: { readonly group: string; readonly version: string }): boolean {
  return group === AGGREGATED_GROUP && version === VERSION;
}

function isCreate({ resource, verb }: RequestInfo): boolean {
  return verb === 'create' && resource?.resource === PLURAL && isGroup(resource);
}

function auditIdOf(given: string | undefined): string {
  return given !== undefined && /^[\x21-\x7e]{1,128}$/.test(given) ? given : randomUUID();
}

/** Nothing that a caller makes up becomes a label. */
function labelsOf(method: string, info: RequestInfo | null): RequestLabels {
  const verb = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'OTHER';
  const resource = info?.resource;
  const isOurs = resource !== undefined && resource !== null && isGroup(resource) && [PLURAL, 'docs'].includes(resource.resource);
  return {
    verb,
    group: isOurs ? AGGREGATED_GROUP : '',
    version: isOurs ? VERSION : '',
    resource: isOurs ? resource.resource : '',
    subresource: '',
    scope: !isOurs ? '' : resource.name === '' ? 'cluster' : 'resource',
  };
}

async function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const late = Promise.withResolvers<never>();
  const onAbort = (): void => late.reject(requestTimedOut());
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function shaped(registration: Registration, { shape }: Format, query: URLSearchParams): object {
  switch (shape) {
    case 'object':
      return registration;
    case 'table':
      return tableOf(registration, query.get('includeObject'));
    case 'metadata':
      return partialMetadataOf(registration);
  }
}

function written(
  value: object,
  mediaType: Format['mediaType'],
  { request, info }: { request: ApiRequest; info: RequestInfo | null },
): Answer {
  const headers = { 'content-type': mediaType };
  if (mediaType === YAML_TYPE) return { headers, body: stringify(value, { aliasDuplicateObjects: false }) };
  const indent = isPretty(info?.query ?? new URLSearchParams(), request.headers.get('user-agent')) ? 2 : undefined;
  return { headers, body: `${JSON.stringify(value, null, indent)}\n` };
}

function objectAnswer(call: Call, value: object): Answer {
  return written(value, negotiate(call.request.headers.get('accept'), ['object']).mediaType, call);
}

function documentAnswer(call: Call, document: ApiDocument): Answer {
  return objectAnswer(call, JSON.parse(document.text) as object);
}

/** The form in which everything is in one answer for those who ask for it, and the plain list for the others. */
function groupList(call: Call): Answer {
  const { headers } = call.request;
  const isAggregated = (parameters: ReadonlyMap<string, string>): boolean =>
    parameters.get('g') === 'apidiscovery.k8s.io' && parameters.get('v') === 'v2' && parameters.get('as') === 'APIGroupDiscoveryList';
  const first = acceptClauses(headers.get('accept')).find(
    ({ type, parameters }) =>
      (type === JSON_TYPE || type === YAML_TYPE || type === '*/*') &&
      (!parameters.has('as') || (type === JSON_TYPE && isAggregated(parameters))),
  );
  const vary = { vary: 'Accept' };
  if (first === undefined || !isAggregated(first.parameters)) {
    const answer = documentAnswer(call, GROUP_LIST);
    return { ...answer, headers: { ...answer.headers, ...vary } };
  }
  return conditional(call, AGGREGATED_DISCOVERY, { 'content-type': AGGREGATED_DISCOVERY_TYPE, 'cache-control': 'public', ...vary });
}

function openApiAnswer(call: Call, document: ApiDocument): Answer {
  acceptedType(call.request.headers.get('accept'), [JSON_TYPE]);
  return conditional(call, document, { 'content-type': JSON_TYPE, vary: 'Accept' });
}

/** With the hash in the address the document may be kept for ever; with another hash than its own it is somewhere else. */
function openApiGroup(call: Call): Answer {
  const hash = call.info.query.get('hash') ?? '';
  const answer = openApiAnswer(call, OPEN_API_V3);
  if (hash === '') return answer;
  if (hash !== OPEN_API_V3.hash) return { code: 301, headers: { location: `/openapi/v3${GROUP_PATH}?hash=${OPEN_API_V3.hash}` }, body: '' };
  const expires = new Date(Date.now() + YEAR_SECONDS * 1000).toUTCString();
  return { ...answer, headers: { ...answer.headers, 'cache-control': 'public, immutable', expires } };
}

function conditional({ request }: Call, document: ApiDocument, headers: Record<string, string>): Answer {
  const all = { ...headers, etag: `"${document.hash}"` };
  if (isKnown(document, request.headers.get('if-none-match'))) return { code: 304, headers: all, body: '' };
  return { headers: all, body: document.text };
}

const MAX_WARNING_RUNES = 256;
const MAX_WARNINGS_RUNES = 4096;

/** Each once; shortened when they are too long in all. */
export function warningHeaders(warnings: readonly string[]): string[] {
  const texts = [...new Set(warnings)].map((text) => text.replace(/[\u0000-\u001f\u007f]+/g, ' '));
  const isLong = texts.reduce((sum, text) => sum + text.length, 0) > MAX_WARNINGS_RUNES;
  const kept: string[] = [];
  let total = 0;
  for (const text of texts) {
    const shown = isLong ? [...text].slice(0, MAX_WARNING_RUNES).join('') : text;
    total += shown.length;
    if (total > MAX_WARNINGS_RUNES) break;
    // A header has no letters beyond Latin-1, and Node refuses them.
    kept.push(`299 - "${shown.replace(/["\\]/g, '\\$&').replace(/[^\x20-\x7e]/g, '?')}"`);
  }
  return kept;
}
