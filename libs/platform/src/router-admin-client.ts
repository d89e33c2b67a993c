import { readFile } from 'node:fs/promises';
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { isNativeError } from 'node:util/types';
import { ConfigError } from './flags.js';
import { isLoopbackHost } from './loopback.js';
import type {
  RouterAbandonRequest,
  RouterAbandonResult,
  RouterExplanation,
  RouterTopologyDocument,
  RouterTopologyPlan,
  RouterTopologyState,
} from './router-admin-types.js';

export interface RouterAdminClientOptions {
  /** `https://router.harikube:2381`; `http://` on this machine only. */
  readonly url: string;
  /** The files are read for each request, so that they may be replaced. */
  readonly tokenFile?: string;
  /** Whom to trust; absent: the certificate authorities that Node knows. */
  readonly caFile?: string;
  /** With `keyFile`: shown to a router that asks for client certificates. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** How long a request may take in all. 10 s unless told; a plan has six times as long, since keys are counted. */
  readonly timeoutMs?: number;
}

/** The router's admin API did not do what it was asked for: one sentence. */
export class RouterAdminError extends Error {
  override readonly name = 'RouterAdminError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
  constructor(
    message: string,
    /** Of HTTP; null: there was no answer. */
    readonly status: number | null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** The router was not there, or could not serve: another attempt may succeed. */
  get isUnavailable(): boolean {
    return this.status === null || this.status >= 500;
  }
}

const TIMEOUT_MS = 10_000;
const PLAN_FACTOR = 6;
/** Far above a topology with a report of each backend. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: object;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Speaks to the admin API of a router. Each call is one request; its errors are `RouterAdminError`, or the reason of the signal that aborts it. */
export class RouterAdminClient {
  readonly #options: RouterAdminClientOptions;
  readonly #url: URL;
  readonly #timeoutMs: number;

  /** Connects to nothing, and reads no file. Throws `ConfigError`. */
  constructor(options: RouterAdminClientOptions) {
    this.#options = options;
    this.#url = adminUrl(options);
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  /** Where the router answers, for messages. */
  get address(): string {
    return this.#url.origin;
  }

  /** What is in force, where it comes from, and the state of each backend. */
  async topology(signal?: AbortSignal): Promise<RouterTopologyState> {
    const answer = await this.#json({ method: 'GET', path: '/v1/topology', timeoutMs: this.#timeoutMs, signal });
    return this.#shaped<RouterTopologyState>(answer, ['version', 'document', 'backends']);
  }

  /** What would come of a topology. It may take as long as the keys in question take to count; nothing is changed. */
  async plan(documents: readonly RouterTopologyDocument[], signal?: AbortSignal): Promise<RouterTopologyPlan> {
    const timeoutMs = PLAN_FACTOR * this.#timeoutMs;
    const answer = await this.#json({ method: 'POST', path: '/v1/topology/plan', body: { documents }, timeoutMs, signal });
    return this.#shaped<RouterTopologyPlan>(answer, ['changes', 'moves', 'problems', 'check']);
  }

  /** Where a key or a resource lives by the rules in force. */
  async explain(subject: string, signal?: AbortSignal): Promise<RouterExplanation> {
    const path = `/v1/topology/explain?subject=${encodeURIComponent(subject)}`;
    const answer = await this.#json({ method: 'GET', path, timeoutMs: this.#timeoutMs, signal });
    return this.#shaped<RouterExplanation>(answer, ['placements']);
  }

  /** Gives up what is in a backend. Refused with 409 when the number of its keys is not the one that is confirmed; the message says how many they are. */
  async abandon(request: RouterAbandonRequest, signal?: AbortSignal): Promise<RouterAbandonResult> {
    const timeoutMs = PLAN_FACTOR * this.#timeoutMs;
    const answer = await this.#json({ method: 'POST', path: '/v1/topology/abandon', body: request, timeoutMs, signal });
    return this.#shaped<RouterAbandonResult>(answer, ['backend', 'keys']);
  }

  async #json(call: Call): Promise<unknown> {
    const { status, text } = await this.#send(call);
    const json = parsed(text);
    if (status === 200 && json !== undefined) return json;
    const message = json !== null && typeof json === 'object' && 'message' in json ? String(json.message) : '';
    if (status !== 200 && message !== '') throw new RouterAdminError(message, status);
    throw new RouterAdminError(
      `${this.address}${call.path} answered ${status}, not as a router's admin API does; check the address`,
      status,
    );
  }

  async #send(call: Call): Promise<Answer> {
    call.signal?.throwIfAborted();
    const options = await this.#requestOptions(call);
    const timeout = AbortSignal.timeout(call.timeoutMs);
    const signal = call.signal === undefined ? timeout : AbortSignal.any([call.signal, timeout]);
    const url = new URL(call.path, this.#url);
    try {
      // Of the programs that this file is part of, most never call a router: these modules cost each of them some megabytes.
      const { request } = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
      return await exchange(request(url, { ...options, signal }), call.body);
    } catch (error) {
      call.signal?.throwIfAborted();
      const reason = timeout.aborted ? `no answer within ${call.timeoutMs / 1000} seconds` : reasonOf(error);
      throw new RouterAdminError(`the router's admin API at ${this.address} cannot be reached: ${reason}`, null, { cause: error });
    }
  }

  async #requestOptions({ method, body }: Call): Promise<RequestOptions & { ca?: Buffer; cert?: Buffer; key?: Buffer }> {
    const { tokenFile, caFile, certFile, keyFile } = this.#options;
    const token = tokenFile === undefined ? undefined : (await readSetting('token', tokenFile)).toString().trim();
    return {
      method,
      agent: false,
      headers: {
        accept: 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(caFile === undefined ? {} : { ca: await readSetting('certificate authority', caFile) }),
      ...(certFile === undefined ? {} : { cert: await readSetting('client certificate', certFile) }),
      ...(keyFile === undefined ? {} : { key: await readSetting('client key', keyFile) }),
    };
  }

  /** Another server that answers 200 is told from a router. */
  #shaped<T>(json: unknown, fields: readonly (keyof T & string)[]): T {
    if (json !== null && typeof json === 'object' && fields.every((field) => field in json)) return json as T;
    throw new RouterAdminError(`${this.address} does not answer as a router's admin API does; check the address`, 200);
  }
}

function adminUrl({ url: text, tokenFile, caFile, certFile, keyFile }: RouterAdminClientOptions): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ConfigError([`"${text}" is not the address of an admin API; write https://HOST:PORT`]);
  }
  if (url.username !== '' || url.password !== '') {
    throw new ConfigError([`the address of the admin API at ${url.host} carries credentials; put the token into a file`]);
  }
  const { hostname } = url;
  if (url.protocol === 'http:' && !isLoopbackHost(hostname.replace(/^\[|\]$/g, ''))) {
    throw new ConfigError([`${url.origin} would carry the token without encryption beyond this machine; write https://`]);
  }
  const isTlsGiven = [caFile, certFile, keyFile].some((file) => file !== undefined);
  if (url.protocol === 'http:' && isTlsGiven) {
    throw new ConfigError([`${url.origin} is plain although a certificate is given; write https://, or leave the certificate out`]);
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new ConfigError([`a client certificate and its key belong together; give both files for ${url.origin}, or none`]);
  }
  if (tokenFile === undefined && certFile === undefined) {
    throw new ConfigError([`the admin API at ${url.origin} asks who is calling; give a token file, or a client certificate and its key`]);
  }
  return url;
}

async function readSetting(what: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new RouterAdminError(`the ${what} for the admin API cannot be read from ${file}: ${reasonOf(error)}`, null, { cause: error });
  }
}

async function exchange(request: ClientRequest, body: object | undefined): Promise<Answer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (!isNativeError(error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there';
    case 'ENOTFOUND':
      return 'there is no such host';
    case 'ENOENT':
      return 'there is no such file';
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return 'its certificate is not trusted; give the file of its certificate authority';
    default:
      // An error of several addresses has no message of its own.
      return error.message === '' ? String(code) : error.message;
  }
}
