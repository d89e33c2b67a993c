import 'reflect-metadata';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { Controller, type DynamicModule, Inject, Module, Param, Post, Query, Req, Res } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { type BindAddress, listenReason, type Logger, NestLogger, type TlsFiles } from '@harikube/platform';
import { AdmissionHandler, BodyTooLargeError } from './admission-handler.js';
import { BadReviewError } from './admission-review.js';

export interface AdmissionServerOptions {
  readonly listen: BindAddress;
  readonly tls: TlsFiles;
  readonly handler: AdmissionHandler;
  readonly logger: Logger;
}

export interface AdmissionServer {
  readonly port: number;
  readonly isListening: boolean;
  /** Answers what was asked already. */
  close(): Promise<void>;
}

/** The webhook cannot be served where it was told to be. */
class AdmissionListenError extends Error {
  override readonly name = 'AdmissionListenError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
}

/** An object is at most 3 MiB, an update shows two of them, and JSON within JSON is longer. */
const MOST_BODY_BYTES = 8 * 1024 * 1024;
/** Longer than kube-apiserver keeps an idle connection, which is 90 s: it never sends into one that is being closed here. */
const KEEP_ALIVE_MS = 120_000;
/** A question comes whole within it. */
const REQUEST_MS = 30_000;
/** As long as kube-apiserver waits for an answer at most. */
const CLOSE_MS = 30_000;
/** How long a question that is on its way at the end may still take to arrive. */
const LINGER_MS = 1000;

@Controller()
class AdmissionController {
  constructor(@Inject(AdmissionHandler) private readonly handler: AdmissionHandler) {}

  @Post(':webhook')
  async review(
    @Param('webhook') webhook: string,
    @Query('timeout') timeout: unknown,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const answer = await this.handler.answer({
      webhook,
      contentType: request.headers['content-type'],
      timeout: typeof timeout === 'string' ? timeout : undefined,
      body: () => readBody(request),
      gone: gone.signal,
      traceparent: headerOf(request, 'traceparent'),
    });
    const text = JSON.stringify(answer ?? { message: 'there is no such webhook' });
    response.statusCode = answer === null ? 404 : 200;
    response.setHeader('content-type', 'application/json');
    response.setHeader('content-length', Buffer.byteLength(text));
    // What is left of a body that was not read whole would be taken for the next question.
    if (!request.complete) response.setHeader('connection', 'close');
    response.end(text);
  }
}

@Module({})
class AdmissionModule {
  static register(handler: AdmissionHandler): DynamicModule {
    return { module: AdmissionModule, controllers: [AdmissionController], providers: [{ provide: AdmissionHandler, useValue: handler }] };
  }
}

/** Serves the webhook, with the certificate that is in force at each new connection. Port 0: the system picks one. */
export async function startAdmissionServer({ listen, tls, handler, logger }: AdmissionServerOptions): Promise<AdmissionServer> {
  const { host, port } = listen;
  const app = await NestFactory.create<NestExpressApplication<Server>>(AdmissionModule.register(handler), {
    logger: new NestLogger(logger),
    abortOnError: false,
    bodyParser: false,
    httpsOptions: { ...tls.pair },
  });
  app.disable('x-powered-by');
  const server: Server = app.getHttpServer();
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.requestTimeout = REQUEST_MS;
  const answering = new Set<ServerResponse>();
  server.on('request', (_request, response) => {
    answering.add(response);
    response.once('close', () => answering.delete(response));
  });
  const stopFollowing = tls.onChange((pair) => server.setSecureContext({ ...pair }));
  try {
    await (host === '' ? app.listen(port) : app.listen(port, host));
  } catch (error) {
    stopFollowing();
    await app.close();
    throw new AdmissionListenError(
      `cannot serve the admission webhook on ${host}:${port}: ${listenReason(error)}; choose another address`,
      {
        cause: error,
      },
    );
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    get isListening() {
      return server.listening;
    },
    close: async () => {
      stopFollowing();
      // A connection that is in use ends soon after its answer.
      server.keepAliveTimeout = 1;
      server.close();
      // Resolves when the last connection is gone, as a second close of a server does.
      const closed = app.close();
      const overdue = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
      await Promise.all([...answering].map((response) => once(response, 'close')));
      // kube-apiserver opens connections ahead; one on which nothing was asked so far is not idle to Node, which waits for the question.
      const linger = setTimeout(() => server.closeAllConnections(), LINGER_MS);
      await closed;
      clearTimeout(linger);
      clearTimeout(overdue);
    },
  };
}

/** Undefined where it is not there, or there twice. */
function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // Left with an exception, the loop would end the connection, and the answer with it.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      if (!Buffer.isBuffer(chunk)) continue;
      bytes += chunk.length;
      if (bytes > MOST_BODY_BYTES) throw new BodyTooLargeError(`the body is longer than ${MOST_BODY_BYTES} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof BodyTooLargeError) throw error;
    throw new BadReviewError('the body ended before it was whole');
  }
  return Buffer.concat(chunks).toString('utf8');
}
