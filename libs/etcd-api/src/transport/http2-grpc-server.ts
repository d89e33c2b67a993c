import type { Socket } from 'node:net';
import { createServer as createSecureServer, type Server as SecureServer, type TLSSocket } from 'node:tls';
import { encodeHeaders, type HeaderPair } from '@harikube/http2';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import { Deadlines } from './deadlines.js';
import type { CallObserver, MethodName, Route, RouteTable } from './grpc-server.js';
import { answerPage, hasPage, type HttpPages } from './http-pages.js';
import { Http1Connection } from './http1-connection.js';
import { Http2Connection, type ConnectionEnvironment } from './http2/connection.js';
import { DEFAULT_LIMITS, type Http2Limits } from './http2/limits.js';
import type { RequestHeaders } from './http2/request-headers.js';
import { ServerLoad } from './http2/server-load.js';
import type { Http2Stream } from './http2/stream.js';
import { Http2Call, refuse, type CallEnvironment } from './http2-call.js';
import { formatAddress, parseListenAddress, type ListenAddress } from './listen-address.js';
import { SocketListener, type SocketTaker } from './socket-listener.js';

/** PEM texts. With `ca`, every client must show a certificate that it signed. */
export interface TlsMaterial {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  readonly ca?: string | Buffer | undefined;
}

export interface GrpcServerOptions {
  /** See `parseListenAddress`; or a listener, which the server takes over from whoever was in charge of it. */
  readonly addresses: readonly string[] | SocketListener;
  readonly tls?: TlsMaterial | undefined;
  readonly routes: RouteTable;
  /** What clients get that speak no gRPC, over HTTP/1 or HTTP/2; default: nothing. */
  readonly pages?: HttpPages | undefined;
  readonly toGrpcError: (error: unknown) => GrpcError;
  readonly observer?: CallObserver | undefined;
  /** Bytes that may wait for one stream's client (default 1 MiB). */
  readonly streamBufferBytes?: number | undefined;
  /** What connections may hold and cost, where it is not the default. */
  readonly limits?: Partial<Http2Limits> | undefined;
}

type RouteEntry = { readonly route: Route; readonly method: MethodName };

/** gRPC over HTTP/2: plain (prior knowledge), TLS with ALPN, and unix sockets; and a few pages for clients that speak plain HTTP. */
export class Http2GrpcServer implements SocketTaker {
  private readonly entries = new Map<string, RouteEntry>();
  private readonly services = new Set<string>();
  private readonly listener: SocketListener;
  /** Listens nowhere: it is given the connections of addresses with TLS. */
  private secureServer: SecureServer | null = null;
  private readonly connections = new Set<Http2Connection>();
  /** Of all connections, those in a TLS handshake too. */
  private readonly sockets = new Set<Socket>();
  private readonly environment: CallEnvironment;
  private readonly connectionEnvironment: ConnectionEnvironment;
  /** What calls are answered with that come after the server began to close. */
  private closingError: GrpcError | null = null;
  private readonly pages: HttpPages;

  constructor(private readonly options: GrpcServerOptions) {
    this.pages = options.pages ?? {};
    const { addresses } = options;
    const onError = (error: Error): unknown => options.toGrpcError(error);
    this.listener = addresses instanceof SocketListener ? addresses : new SocketListener(addresses, onError);
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
      deadlines: new Deadlines(),
    };
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.connectionEnvironment = {
      limits,
      server: new ServerLoad(limits),
      deadlines: this.environment.deadlines,
      onRequest: (stream, headers) => this.accept(stream, headers),
      onClosed: (connection) => this.connections.delete(connection),
      onEnded: (reason) => options.observer?.connectionEnded?.(reason),
      onInternalError: (error) => options.toGrpcError(error),
    };
  }

  /** Listens on every address, or on none; resolves with the addresses as a client writes them (port 0 replaced by the real one). */
  async listen(): Promise<readonly string[]> {
    const { listener } = this;
    try {
      for (const text of listener.given) this.prepare(text);
      await listener.open();
    } catch (error) {
      await this.close(0);
      throw error;
    }
    listener.handTo(this);
    return listener.addresses.map((address) => {
      const isNamed = address.kind === 'unix' || address.host !== '';
      return formatAddress(isNamed ? address : { ...address, host: 'localhost' }, this.isSecure(address));
    });
  }

  take(socket: Socket, address: ListenAddress): void {
    if (this.closingError !== null) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    if (this.isSecure(address)) this.secureServer?.emit('connection', socket);
    else this.connect(socket);
  }

  /** Uses other certificates for the connections to come. */
  setTls(tls: TlsMaterial): void {
    this.secureServer?.setSecureContext(secureOptions(tls));
  }

  /**
   * Stops accepting, ends the open streams with `reason`, lets unary calls finish, says GOAWAY; after `graceMs` whatever is left is
   * cut. Always resolves.
   */
  async close(graceMs: number, reason: unknown = new GrpcError(GrpcCode.Unavailable, 'the server is stopping')): Promise<void> {
    this.closingError = this.options.toGrpcError(reason);
    const closed = this.listener.close();
    for (const call of this.environment.openStreams) call.fail(this.closingError);
    for (const connection of this.connections) connection.leave();
    const deadline = setTimeout(() => {
      for (const connection of this.connections) connection.destroy();
      for (const socket of this.sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(deadline);
  }

  private isSecure(address: ListenAddress): boolean {
    return address.tls ?? this.options.tls !== undefined;
  }

  private prepare(text: string): void {
    if (!this.isSecure(parseListenAddress(text)) || this.secureServer !== null) return;
    const { tls } = this.options;
    if (tls === undefined) throw new Error(`listen address "${text}" needs a certificate and a key, and none are set`);
    const options = {
      ...secureOptions(tls),
      requestCert: tls.ca !== undefined,
      rejectUnauthorized: tls.ca !== undefined,
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: this.connectionEnvironment.limits.prefaceMs,
    };
    this.secureServer = createSecureServer(options, (socket: TLSSocket) => {
      // A client that names no protocol at all means HTTP/1 (RFC 9113 section 3.2).
      if (socket.alpnProtocol === 'h2') this.connect(socket);
      else this.connectHttp1(socket, null);
    });
  }

  private connect(socket: Socket): void {
    if (this.closingError !== null) {
      socket.destroy();
      return;
    }
    const environment = { ...this.connectionEnvironment, onOtherProtocol: (first: Buffer) => this.connectHttp1(socket, first) };
    const connection = new Http2Connection(socket, environment, socket.remoteAddress);
    this.connections.add(connection);
    connection.start();
  }

  private connectHttp1(socket: Socket, first: Buffer | null): void {
    const { deadlines, limits } = this.connectionEnvironment;
    new Http1Connection(socket, { pages: this.pages, deadlines, lifetimeMs: limits.prefaceMs }).start(first);
  }

  private accept(stream: Http2Stream, headers: RequestHeaders): void {
    const entry = this.entries.get(headers.path);
    if (entry === undefined || headers.method !== 'POST' || headers.contentType !== 'application/grpc') {
      if (this.refused(stream, headers, entry)) return;
    }
    if (this.closingError !== null) {
      refuse(stream, this.closingError);
      return;
    }
    if (entry === undefined) return;
    new Http2Call(stream, entry.route, entry.method, this.environment, headers.grpcEncoding).start(headers.grpcTimeout);
  }

  private refused(stream: Http2Stream, headers: RequestHeaders, entry: RouteEntry | undefined): boolean {
    const { method, path, contentType } = headers;
    if (entry === undefined && hasPage(this.pages, path)) void this.sendPage(stream, method, path);
    else if (!/^application\/grpc($|[+;])/.test(contentType)) {
      refuse(stream, new GrpcError(GrpcCode.Internal, `invalid gRPC request content-type "${contentType}"`), '415');
    } else if (method !== 'POST') {
      refuse(stream, new GrpcError(GrpcCode.Internal, `received a HEADERS frame with :method "${method}" which should be POST`), '405');
    } else if (entry === undefined) refuse(stream, this.unknownPath(path));
    else return false;
    return true;
  }

  private async sendPage(stream: Http2Stream, method: string, path: string): Promise<void> {
    const { status, contentType, body, headers } = await answerPage(this.pages, method, path);
    const bytes = Buffer.from(body);
    const fields: readonly HeaderPair[] = [
      [':status', String(status)],
      ['content-type', contentType],
      ['content-length', String(bytes.length)],
      ...headers,
    ];
    stream.answer(encodeHeaders(fields), bytes);
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
