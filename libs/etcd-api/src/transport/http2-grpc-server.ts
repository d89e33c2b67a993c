import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import { connect, type Socket } from 'node:net';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import type { CallObserver, MethodName, Route, RouteTable } from './grpc-server.js';
import { Http2Call, refuse, type CallEnvironment } from './http2-call.js';
import { formatAddress, parseListenAddress, type ListenAddress } from './listen-address.js';

/** PEM texts. With `ca`, every client must show a certificate that it signed. */
export interface TlsMaterial {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  readonly ca?: string | Buffer | undefined;
}

export interface GrpcServerOptions {
  /** See `parseListenAddress`. */
  readonly addresses: readonly string[];
  readonly tls?: TlsMaterial | undefined;
  readonly routes: RouteTable;
  readonly toGrpcError: (error: unknown) => GrpcError;
  readonly observer?: CallObserver | undefined;
  /** Bytes that may wait for one stream's client (default 1 MiB). */
  readonly streamBufferBytes?: number | undefined;
}

const STREAM_WINDOW = 1024 * 1024;
const SESSION_WINDOW = 8 * 1024 * 1024;
const KEEP_ALIVE_MS = 30_000;

const SESSION_OPTIONS: ServerOptions & { streamResetBurst: number; streamResetRate: number } = {
  settings: { initialWindowSize: STREAM_WINDOW },
  // Megabytes. What a session holds is bounded by its streams; Node's own bound of 10 MB resets every further stream
  // with ENHANCE_YOUR_CALM while one large list is under way.
  maxSessionMemory: 1_000_000,
  // A client that gives up many calls at once (an API server whose own clients went away) is no attack.
  streamResetBurst: 100_000,
  streamResetRate: 10_000,
  maxSessionRejectedStreams: 10_000,
};

type AnyServer = Http2Server | Http2SecureServer;
type RouteEntry = { readonly route: Route; readonly method: MethodName };

/** gRPC over `node:http2`: plain (prior knowledge), TLS with ALPN, and unix sockets. */
export class Http2GrpcServer {
  private readonly entries = new Map<string, RouteEntry>();
  private readonly services = new Set<string>();
  private readonly servers: AnyServer[] = [];
  private readonly sessions = new Set<ServerHttp2Session>();
  private readonly sockets = new Set<Socket>();
  private readonly environment: CallEnvironment;
  /** What calls are answered with that come after the server began to close. */
  private closingError: GrpcError | null = null;

  constructor(private readonly options: GrpcServerOptions) {
    for (const [path, route] of Object.entries(options.routes)) {
      const { service, method } = splitPath(path);
      this.services.add(service);
      this.entries.set(path, { route, method: { service, method, type: route.kind === 'unary' ? 'unary' : route.type } });
    }
    this.environment = {
      toGrpcError: options.toGrpcError,
      observer: options.observer,
      streamBufferBytes: options.streamBufferBytes ?? 1024 * 1024,
      openStreams: new Set(),
    };
  }

  /** Opens every listener, or none; resolves with the addresses as a client writes them (port 0 replaced by the real one). */
  async listen(): Promise<readonly string[]> {
    try {
      const bound: string[] = [];
      for (const text of this.options.addresses) bound.push(await this.bind(text));
      return bound;
    } catch (error) {
      await this.close(0);
      throw error;
    }
  }

  /** Uses other certificates for the connections to come. */
  setTls(tls: TlsMaterial): void {
    for (const server of this.servers) if ('setSecureContext' in server) server.setSecureContext(secureOptions(tls));
  }

  /**
   * Stops accepting, ends the open streams with `reason`, lets unary calls finish, says GOAWAY; after `graceMs` whatever is left is
   * cut. Always resolves.
   */
  async close(graceMs: number, reason: unknown = new GrpcError(GrpcCode.Unavailable, 'the server is stopping')): Promise<void> {
    this.closingError = this.options.toGrpcError(reason);
    const closed = this.servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const call of this.environment.openStreams) call.fail(this.closingError);
    for (const session of this.sessions) session.close();
    const deadline = setTimeout(() => {
      for (const session of this.sessions) session.destroy();
      for (const socket of this.sockets) socket.destroy();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(deadline);
  }

  private async bind(text: string): Promise<string> {
    const address = parseListenAddress(text);
    const tls = address.tls ?? this.options.tls !== undefined;
    const server = tls ? this.secureServer(text) : createServer(SESSION_OPTIONS);
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => this.accept(stream, headers));
    server.on('session', (session: ServerHttp2Session) => this.track(session));
    server.on('connection', (socket: Socket) => {
      socket.setNoDelay(true);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    await (address.kind === 'unix' ? listenOnSocketFile(server, address.path) : listenOnPort(server, address));
    // A connection that could not be accepted costs nobody else theirs.
    server.on('error', (error: Error) => this.options.toGrpcError(error));
    this.servers.push(server);
    const actual = server.address();
    if (address.kind === 'tcp' && actual !== null && typeof actual === 'object') {
      return formatAddress({ ...address, host: address.host === '' ? 'localhost' : address.host, port: actual.port }, tls);
    }
    return formatAddress(address, tls);
  }

  private secureServer(text: string): Http2SecureServer {
    const { tls } = this.options;
    if (tls === undefined) throw new Error(`listen address "${text}" needs a certificate and a key, and none are set`);
    return createSecureServer({
      ...SESSION_OPTIONS,
      ...secureOptions(tls),
      requestCert: tls.ca !== undefined,
      rejectUnauthorized: tls.ca !== undefined,
      allowHTTP1: false,
      ALPNProtocols: ['h2'],
    });
  }

  private track(session: ServerHttp2Session): void {
    if (this.closingError !== null) {
      session.destroy();
      return;
    }
    this.sessions.add(session);
    session.setLocalWindowSize(SESSION_WINDOW);
    session.once('close', () => this.sessions.delete(session));
    // A broken connection ends its streams, and those tell their calls.
    session.on('error', () => {});
  }

  private accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[':path'] ?? '';
    const entry = this.entries.get(path);
    if (entry === undefined || headers[':method'] !== 'POST' || headers['content-type'] !== 'application/grpc') {
      if (this.refused(stream, headers, entry)) return;
    }
    if (this.closingError !== null) {
      refuse(stream, this.closingError);
      return;
    }
    if (entry !== undefined) new Http2Call(stream, headers, entry.route, entry.method, this.environment).start();
  }

  private refused(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, entry: RouteEntry | undefined): boolean {
    const method = headers[':method'] ?? '';
    const path = headers[':path'] ?? '';
    const contentType = headers['content-type'] ?? '';
    if (!/^application\/grpc($|[+;])/.test(contentType)) {
      refuse(stream, new GrpcError(GrpcCode.Internal, `invalid gRPC request content-type "${contentType}"`), 415);
    } else if (method !== 'POST') {
      refuse(stream, new GrpcError(GrpcCode.Internal, `received a HEADERS frame with :method "${method}" which should be POST`), 405);
    } else if (entry === undefined) refuse(stream, this.unknownPath(path));
    else return false;
    return true;
  }

  private unknownPath(path: string): GrpcError {
    const slash = path.lastIndexOf('/');
    if (!path.startsWith('/') || slash <= 0) return new GrpcError(GrpcCode.Unimplemented, `malformed method name: "${path}"`);
    const service = path.slice(1, slash);
    const method = path.slice(slash + 1);
    if (this.services.has(service)) return new GrpcError(GrpcCode.Unimplemented, `unknown method ${method} for service ${service}`);
    return new GrpcError(GrpcCode.Unimplemented, `unknown service ${service}`);
  }
}

function splitPath(path: string): { readonly service: string; readonly method: string } {
  const [empty, service, method, ...more] = path.split('/');
  if (empty !== '' || !service || !method || more.length > 0) throw new Error(`invalid route "${path}": expected /package.Service/Method`);
  return { service, method };
}

function secureOptions(tls: TlsMaterial) {
  return { cert: tls.cert, key: tls.key, ca: tls.ca, minVersion: 'TLSv1.2' as const };
}

function listenOnPort(server: AnyServer, address: ListenAddress & { kind: 'tcp' }): Promise<void> {
  return listening(server, () => server.listen({ port: address.port, ...(address.host === '' ? {} : { host: address.host }) }));
}

/** Listens on a socket file that only its owner may use. A file that nobody listens on any more is removed first. */
async function listenOnSocketFile(server: AnyServer, path: string): Promise<void> {
  await removeStaleSocket(path);
  await listening(server, () => {
    // The file comes into being inside listen(): the mask closes the moment until chmod.
    const mask = process.umask(0o177);
    try {
      server.listen({ path });
    } finally {
      process.umask(mask);
    }
  });
  chmodSync(path, 0o600);
}

function listening(server: AnyServer, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    listen();
  });
}

async function removeStaleSocket(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`cannot listen on "${path}": a file that is no socket stands there`);
  if (await answers(path)) throw new Error(`cannot listen on "${path}": another process listens there`);
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}
