/**
 * The function as OpenFaaS sees it: what of-watchdog does around a function is done here by the function itself. `/_/health` and `/_/ready` answer the
 * probes, a lock file is there while requests are welcome, every other path is the function.
 */
import { rm, writeFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isNativeError } from 'node:util/types';
import type { Clock } from '@harikube/kube';
import { type BindAddress, listenReason, type Logger, traced } from '@harikube/platform';
import type { FunctionAnswer } from './email-handler.js';
import type { FunctionMetrics } from './function-metrics.js';

export interface WatchdogSettings {
  readonly listen: BindAddress;
  /** How long a request may take to arrive; 0: as long as it likes. */
  readonly readTimeoutMs: number;
  /** How long after its arrival an answer may take; also how long requests may take to end at the end. 0: as long as it likes. */
  readonly writeTimeoutMs: number;
  /** How long requests are still answered at the end, until nobody sends any. */
  readonly healthcheckIntervalMs: number;
  /** 0: as many as come. */
  readonly maxInFlight: number;
  /** Null: none is written. */
  readonly lockFile: string | null;
}

export interface FunctionServerOptions {
  readonly settings: WatchdogSettings;
  readonly invoke: (body: Uint8Array) => Promise<FunctionAnswer>;
  readonly metrics: FunctionMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface FunctionServer {
  readonly port: number;
  readonly isAccepting: boolean;
  /** Unready at once; what comes until then is answered. */
  close(): Promise<void>;
}

/** The function cannot be served as it was told to be. */
class FunctionStartError extends Error {
  override readonly name = 'FunctionStartError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
}

const MAX_BODY_BYTES = 1024 * 1024;
/** Longer than the gateway and the trigger keep an idle connection: they never send into one that is being closed here. */
const KEEP_ALIVE_MS = 120_000;
const LONGEST_MS = 2 ** 31 - 1;

/** Port 0: the system picks one. */
export async function startFunctionServer(options: FunctionServerOptions): Promise<FunctionServer> {
  const { settings, clock, logger } = options;
  const { host, port } = settings.listen;
  const watchdog = new Watchdog(options);
  const server = createServer({ requestTimeout: settings.readTimeoutMs, headersTimeout: settings.readTimeoutMs }, (request, response) => {
    void watchdog.serve(request, response);
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host === '' ? undefined : host, resolve);
    });
  } catch (error) {
    throw new FunctionStartError(`cannot serve the function on ${host}:${port}: ${listenReason(error)}; choose another address`, {
      cause: error,
    });
  }
  const closeServer = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeIdleConnections();
    await watchdog.drained(settings.writeTimeoutMs === 0 ? LONGEST_MS : settings.writeTimeoutMs);
    server.closeAllConnections();
    await closed;
  };
  try {
    await watchdog.accept();
  } catch (error) {
    await closeServer();
    const reason = isNativeError(error) ? error.message : String(error);
    throw new FunctionStartError(`the lock file cannot be written: ${reason}; name another one, or set suppress_lock=true`, {
      cause: error,
    });
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    get isAccepting() {
      return watchdog.isAccepting;
    },
    close: async () => {
      await watchdog.refuse();
      logger.info('no longer ready, ending soon', { healthcheckIntervalMs: settings.healthcheckIntervalMs });
      if (settings.healthcheckIntervalMs > 0) await clock.sleep(settings.healthcheckIntervalMs);
      await closeServer();
    },
  };
}

class Watchdog {
  readonly #options: FunctionServerOptions;
  #isAccepting = false;
  #isEnding = false;
  #inFlight = 0;
  readonly #drained: (() => void)[] = [];

  constructor(options: FunctionServerOptions) {
    this.#options = options;
  }

  get isAccepting(): boolean {
    return this.#isAccepting;
  }

  async accept(): Promise<void> {
    const { lockFile } = this.#options.settings;
    if (lockFile !== null) await writeFile(lockFile, '', { mode: 0o660 });
    this.#isAccepting = true;
  }

  async refuse(): Promise<void> {
    const { lockFile } = this.#options.settings;
    this.#isAccepting = false;
    this.#isEnding = true;
    if (lockFile !== null) await rm(lockFile, { force: true });
  }

  /** Resolves when no request is under way, or after so long. */
  async drained(limitMs: number): Promise<void> {
    if (this.#inFlight === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drained.push(resolve);
    const cancel = this.#options.clock.setTimeout(resolve, limitMs);
    await promise;
    cancel();
  }

  /** Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { metrics, clock } = this.#options;
    const path = (request.url ?? '').split('?')[0];
    // A client that goes is told nothing more; what it asked for goes on.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    if (path === '/_/health' || path === '/_/ready') {
      await this.#probe(path, request, response);
      return;
    }
    const method = request.method ?? '';
    const begin = clock.monotonic();
    const closed = new Promise((resolve) => response.once('close', resolve));
    metrics.inFlight.inc();
    this.#inFlight++;
    let code = 500;
    try {
      const answer = await traced({ name: 'send-email', kind: 'server', parent: traceparentIn(request) }, async (span) => {
        const made = await this.#answer(request, response);
        span.set({ 'http.request.method': KNOWN_METHODS.has(method) ? method : '_OTHER', 'http.response.status_code': made.code });
        if (made.code >= 500) span.fail(String(made.code));
        return made;
      });
      code = answer.code;
      this.#send(request, response, answer, (clock.monotonic() - begin) / 1000);
      // A connection that is ended before that takes the answer with it.
      await closed;
    } finally {
      const labels = { code: String(code), method: KNOWN_METHODS.has(method) ? method : 'other' };
      metrics.inFlight.dec();
      metrics.requests.inc(labels);
      metrics.duration.observe(labels, (clock.monotonic() - begin) / 1000);
      this.#inFlight--;
      if (this.#inFlight === 0) for (const resolve of this.#drained.splice(0)) resolve();
    }
  }

  async #probe(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const end = (code: number, text = ''): void => void response.writeHead(code, { 'content-type': 'text/plain' }).end(text);
    if (request.method !== 'GET') {
      response.setHeader('allow', 'GET');
      end(405);
    } else if (!this.#isAccepting || !(await this.#hasLock())) end(503);
    else if (path === '/_/ready' && this.#isFull(0)) end(429);
    else end(200, 'OK');
  }

  async #hasLock(): Promise<boolean> {
    const { lockFile } = this.#options.settings;
    if (lockFile === null) return true;
    try {
      await stat(lockFile);
      return true;
    } catch {
      // Whoever took it away wants no more requests to come.
      return false;
    }
  }

  /** Whether one more would be too many, of which `own` is counted already. */
  #isFull(own: number): boolean {
    const { maxInFlight } = this.#options.settings;
    return maxInFlight > 0 && this.#inFlight - own >= maxInFlight;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<FunctionAnswer> {
    const { settings, clock, logger, invoke } = this.#options;
    if (this.#isFull(1)) {
      return { code: 429, body: { message: `more than ${settings.maxInFlight} requests at once` }, retryAfterSeconds: 1 };
    }
    if (request.method !== 'POST') {
      response.setHeader('allow', 'POST');
      return { code: 405, body: { message: 'POST an Email' } };
    }
    const encoding = request.headers['content-encoding'] ?? 'identity';
    if (encoding !== 'identity') return { code: 415, body: { message: `the body is encoded as ${encoding}; send it as it is` } };
    const body = await readBody(request);
    if (body === 'too-large') return { code: 413, body: { message: `the body is longer than ${MAX_BODY_BYTES} bytes` } };
    if (body === 'cut') return { code: 400, body: { message: 'the body ended before it was whole' } };
    const cancel = settings.writeTimeoutMs === 0 ? undefined : clock.setTimeout(() => request.socket.destroy(), settings.writeTimeoutMs);
    try {
      return await invoke(body);
    } catch (error) {
      // The message of an error may quote the mail; where it was thrown does not.
      logger.error('the function failed', { error: isNativeError(error) ? error.name : typeof error, at: placeOf(error) });
      return { code: 500, body: { message: 'the function failed; its log says where' } };
    } finally {
      cancel?.();
    }
  }

  #send(request: IncomingMessage, response: ServerResponse, { code, body, retryAfterSeconds }: FunctionAnswer, seconds: number): void {
    const text = `${JSON.stringify(body)}\n`;
    if (retryAfterSeconds !== undefined) response.setHeader('retry-after', String(retryAfterSeconds));
    // What is left of a body that was not read whole would be taken for the next request.
    if (this.#isEnding || !request.complete) response.setHeader('connection', 'close');
    response.writeHead(code, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      'x-duration-seconds': seconds.toFixed(6),
    });
    response.end(text);
  }
}

const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Undefined where it is not there, or there twice. */
function traceparentIn({ headers }: IncomingMessage): string | undefined {
  const { traceparent } = headers;
  return typeof traceparent === 'string' ? traceparent : undefined;
}

async function readBody(request: IncomingMessage): Promise<Buffer | 'too-large' | 'cut'> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return 'too-large';
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // Left with an exception, the loop would end the connection, and the answer with it.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      if (!Buffer.isBuffer(chunk)) continue;
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) return 'too-large';
      chunks.push(chunk);
    }
  } catch {
    return 'cut';
  }
  return Buffer.concat(chunks);
}

/** The lines of the stack that name places. */
function placeOf(error: unknown): string[] {
  const stack = isNativeError(error) ? (error.stack ?? '') : '';
  return stack
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^at .*:\d+:\d+\)?$/.test(line))
    .slice(0, 8);
}
