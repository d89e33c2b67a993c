import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, type Logger } from '@harikube/platform';
import type { ObjectMeta } from '../kube-object.js';

/** An HTTP server that plays kube-apiserver: a spec takes each request and says what comes back. */
export class ApiServerDouble {
  readonly #server: Server;
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();
  readonly #arrived: Exchange[] = [];
  readonly #taken: ((exchange: Exchange) => void)[] = [];
  /** Answers by itself what it returns true for. */
  respond: (exchange: Exchange) => boolean = () => false;

  private constructor(server: Server, folder: string) {
    this.#server = server;
    this.#folder = folder;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => this.#arrive(new Exchange(request, response, Buffer.concat(parts).toString())));
      request.on('error', () => undefined);
    });
  }

  static async start(port = 0): Promise<ApiServerDouble> {
    const server = createServer();
    const folder = await mkdtemp(join(tmpdir(), 'harikube-kube-'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    return new ApiServerDouble(server, folder);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many connections there are. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** A file in a folder of its own, which is removed with the server. */
  async file(name: string, text: string): Promise<string> {
    const file = join(this.#folder, name);
    await writeFile(file, text, { mode: 0o700 });
    return file;
  }

  kubeconfig(user: object = {}, cluster: object = {}): Promise<string> {
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'spec',
      contexts: [{ name: 'spec', context: { cluster: 'spec', user: 'spec' } }],
      clusters: [{ name: 'spec', cluster: { server: `http://127.0.0.1:${this.port}`, ...cluster } }],
      users: [{ name: 'spec', user }],
    };
    return this.file('kubeconfig', JSON.stringify(config));
  }

  /** The next request that nobody has taken. */
  next(): Promise<Exchange> {
    const exchange = this.#arrived.shift();
    return exchange === undefined ? new Promise((resolve) => this.#taken.push(resolve)) : Promise.resolve(exchange);
  }

  /** How many requests wait to be taken. */
  get waiting(): number {
    return this.#arrived.length;
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true });
  }

  /** Serves no longer, as while it restarts; the folder stays. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #arrive(exchange: Exchange): void {
    if (this.respond(exchange)) return;
    const take = this.#taken.shift();
    if (take === undefined) this.#arrived.push(exchange);
    else take(exchange);
  }
}

/** A request, and the answer to it. */
export class Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
  readonly #response: ServerResponse;
  /** Resolves when the connection, or the answer, has ended. */
  readonly closed: Promise<void>;

  constructor(request: IncomingMessage, response: ServerResponse, body: string) {
    const url = new URL(request.url ?? '', 'http://spec');
    this.method = request.method ?? '';
    this.path = url.pathname;
    this.query = Object.fromEntries(url.searchParams);
    this.headers = request.headers;
    this.body = body === '' ? null : JSON.parse(body);
    this.#response = response;
    this.closed = new Promise((resolve) => response.once('close', resolve));
  }

  answer(code: number, body: object | string = {}, headers: Readonly<Record<string, string>> = {}): void {
    const type = typeof body === 'string' ? 'text/plain' : 'application/json';
    this.#response.writeHead(code, { 'content-type': type, ...headers });
    this.#response.end(typeof body === 'string' ? body : JSON.stringify(body));
  }

  fail(code: number, reason: string, message = reason, more: object = {}): void {
    this.answer(code, failure(code, reason, message, more));
  }

  /** Accepts a watch. */
  open(): this {
    this.#response.writeHead(200, { 'content-type': 'application/json' });
    this.#response.flushHeaders();
    return this;
  }

  send(type: string, object: object): this {
    return this.write(`${JSON.stringify({ type, object })}\n`);
  }

  bookmark(resourceVersion: string, annotations?: Record<string, string>): this {
    return this.send('BOOKMARK', { kind: 'ConfigMap', apiVersion: 'v1', metadata: { resourceVersion, annotations } });
  }

  /** The sign that the initial events are complete. */
  initialEnd(resourceVersion: string): this {
    return this.bookmark(resourceVersion, { 'k8s.io/initial-events-end': 'true' });
  }

  write(bytes: string | Uint8Array): this {
    this.#response.write(bytes);
    return this;
  }

  end(): void {
    this.#response.end();
  }

  /** Breaks the connection. */
  cut(): void {
    this.#response.destroy();
  }
}

export function failure(code: number, reason: string, message = reason, more: object = {}): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message, ...more };
}

export function configMap(name: string, resourceVersion: string, metadata: ObjectMeta = {}): { metadata: ObjectMeta } {
  return { metadata: { name, namespace: 'default', uid: `uid-of-${name}`, resourceVersion, ...metadata } };
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A logger whose lines a spec reads. */
export function recordingLogger(): { readonly logger: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const destination = { write: (text: string): void => void lines.push(JSON.parse(text) as LogLine) };
  return { logger: createLogger({ format: 'json', debug: true, destination }), lines };
}
