import 'reflect-metadata';
import { constants } from 'node:crypto';
import { createServer as createHttp1Server, type RequestListener, type Server as Http1Server } from 'node:http';
import { createServer as createHttp2Server, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { networkInterfaces } from 'node:os';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import {
  All,
  type ArgumentsHost,
  Catch,
  Controller,
  type DynamicModule,
  type ExceptionFilter,
  HttpException,
  Inject,
  Module,
  Req,
  Res,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type BindAddress, ConfigError, listenReason, type Logger, NestLogger, type TlsPair } from '@harikube/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Connections, type RawRequest, type RawResponse } from './connections.js';
import { RequestPipeline } from './request-pipeline.js';
import { failure, internalError, pathMethodNotAllowed } from './status-answer.js';

export interface HttpsServerOptions {
  readonly listen: BindAddress;
  readonly pair: TlsPair;
  /** Whose clients TLS checks, as PEM. */
  readonly authorities: readonly string[];
  readonly pipeline: Pick<RequestPipeline, 'handle'>;
  readonly connections: Connections;
  readonly logger: Logger;
}

export interface HttpsServer {
  readonly port: number;
  /** For the connections that are made from now on. */
  useTls(pair: TlsPair, authorities: readonly string[]): void;
  /** Takes no more connections. */
  stopListening(): void;
  close(): Promise<void>;
}

type Http2Listener = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

const Log = Symbol('Log');

/** Every request is one for the pipeline, whatever its path: see `rewriteUrl` below. */
@Controller()
class ApiController {
  constructor(
    @Inject(RequestPipeline) private readonly pipeline: Pick<RequestPipeline, 'handle'>,
    @Inject(Connections) private readonly connections: Connections,
    @Inject(Log) private readonly logger: Logger,
  ) {}

  @All()
  async handle(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.hijack();
    const raw: RawRequest = request.raw;
    const response: RawResponse = reply.raw;
    this.connections.begin(response);
    try {
      const answer = await this.pipeline.handle(this.connections.requestOf(raw, response, request.originalUrl));
      if (!response.destroyed) this.connections.send(raw, response, answer);
    } catch (error) {
      // Its connection broke in the middle; whatever it was, nobody can be answered on it.
      this.logger.debug('a request could not be answered', { err: error });
      response.destroy();
    }
  }
}

/** What the framework refuses before the pipeline sees it: methods that nobody uses, a content type that is none. */
@Catch()
class StatusFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const code = error instanceof HttpException ? error.getStatus() : statusCodeOf(error);
    const { status } =
      code === 404
        ? pathMethodNotAllowed()
        : code === 415
          ? failure(415, 'UnsupportedMediaType', 'the content type of the request is none')
          : internalError('the server failed');
    void reply
      .code(status.code ?? 500)
      .headers({ 'content-type': 'application/json', 'cache-control': 'no-cache, private', 'x-content-type-options': 'nosniff' })
      .send(`${JSON.stringify(status)}\n`);
  }
}

@Module({})
class ApiModule {
  static register({ pipeline, connections, logger }: Pick<HttpsServerOptions, 'pipeline' | 'connections' | 'logger'>): DynamicModule {
    return {
      module: ApiModule,
      controllers: [ApiController],
      providers: [
        { provide: RequestPipeline, useValue: pipeline },
        { provide: Connections, useValue: connections },
        { provide: Log, useValue: logger },
      ],
    };
  }
}

const MAX_STREAMS = 1000;
const MAX_HEADER_BYTES = 1024 * 1024;
/** A user is told with one header for each of his groups. */
const MAX_HEADERS = 4000;
/** In megabytes, of one connection: kube-apiserver sends the requests of all users over a few. */
const MAX_SESSION_MEMORY = 256;
/** kube-apiserver asks every half a minute. */
const IDLE_MS = 180_000;
const HEADERS_MS = 32_000;

/** Serves HTTP/2 and HTTP/1.1 over TLS. Client certificates are asked for and not demanded: who needs one is decided for each request. */
export async function startHttpsServer(options: HttpsServerOptions): Promise<HttpsServer> {
  const { listen, pipeline, connections, logger } = options;
  const adapter = new FastifyAdapter({
    // Fastify's types know servers of one version of HTTP; of any other it uses what all servers of `net` have.
    serverFactory: (handler: unknown) => tlsServer(options, handler as RequestListener & Http2Listener) as unknown as Http1Server,
    keepAliveTimeout: IDLE_MS,
    // The framework's own idea of a path is no part of this: all paths are one route.
    rewriteUrl: () => '/',
    skipMiddie: true,
    logger: false,
  });
  const app = await NestFactory.create<NestFastifyApplication>(ApiModule.register({ pipeline, connections, logger }), adapter, {
    logger: new NestLogger(logger),
    abortOnError: false,
    bodyParser: false,
    forceCloseConnections: true,
  });
  app.useGlobalFilters(new StatusFilter());
  const fastify = adapter.getInstance();
  // The body stays where it is until it is known who sends it.
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', (_request: unknown, _body: unknown, done: (error: null) => void) => done(null));
  const server: TlsServer = adapter.getHttpServer<TlsServer>();
  try {
    await app.listen(listen.port, listen.host === '' ? everyInterface() : listen.host);
  } catch (error) {
    await app.close();
    throw new ConfigError([
      `cannot serve the API on ${listen.host}:${listen.port}: ${listenReason(error)}; choose another --secure-bind-address`,
    ]);
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    useTls: (pair, authorities) => server.setSecureContext(tlsOptions(pair, authorities)),
    stopListening: () => {
      server.close();
    },
    close: () => app.close(),
  };
}

/** One TLS server in front of one for each version of HTTP: Node's own server for both keeps the sockets to itself. */
function tlsServer({ pair, authorities, connections }: HttpsServerOptions, handler: RequestListener & Http2Listener): TlsServer {
  const http1 = createHttp1Server({ maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_MS, keepAliveTimeout: IDLE_MS }, handler);
  const http2 = createHttp2Server(
    {
      settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: MAX_HEADER_BYTES },
      maxHeaderListPairs: MAX_HEADERS,
      maxSessionMemory: MAX_SESSION_MEMORY,
    },
    handler,
  );
  http2.setTimeout(IDLE_MS);
  http2.on('sessionError', () => undefined);
  const takeHttp2 = connections.follow(http2);
  const server = createTlsServer({ ...tlsOptions(pair, authorities), ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
    if (socket.alpnProtocol === 'h2') takeHttp2(socket);
    else http1.emit('connection', socket);
  });
  server.on('tlsClientError', () => undefined);
  return server;
}

function tlsOptions({ cert, key }: TlsPair, authorities: readonly string[]): object {
  return {
    cert,
    key,
    ca: [...authorities],
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    // A resumed session has the certificate of its client, and not the chain.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Of both kinds of addresses where there are both. */
function everyInterface(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.some(({ family }) => family === 'IPv6') ? '::' : '0.0.0.0';
}

function statusCodeOf(error: unknown): number {
  return typeof error === 'object' && error !== null && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : 500;
}
