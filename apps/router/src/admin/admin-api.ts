import 'reflect-metadata';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import {
  type ArgumentsHost,
  Body,
  Catch,
  Controller,
  type DynamicModule,
  type ExceptionFilter,
  Get,
  Header,
  Headers,
  HttpCode,
  Inject,
  Module,
  Post,
  Query,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { UnknownBackendError, UnknownSubjectError } from '@harikube/datasources';
import {
  listenReason,
  type Logger,
  NestLogger,
  type Registry,
  type RouterAbandonResult,
  type RouterAdminErrorBody,
  type RouterExplanation,
  type RouterTopologyPlan,
  type RouterTopologyState,
  watchCertificate,
} from '@harikube/platform';
import { ListenerTlsFiles } from '../listener-tls-files.js';
import type { AdminConfig } from '../router.config.js';
import { AdminAccess } from './admin-access.js';
import { abandonRequest, AdminRequestError, planDocuments } from './admin-request.js';
import { TopologyAdmin } from './topology-admin.js';

export interface AdminApiOptions {
  readonly config: AdminConfig;
  readonly admin: TopologyAdmin;
  readonly logger: Logger;
  /** Gets when the certificate expires. */
  readonly registry?: Registry;
}

export interface AdminApi {
  readonly port: number;
  /** Looks at once whether the certificate or the authority of the clients was replaced. */
  checkTls(): void;
  /** Ends open connections, too. */
  close(): Promise<void>;
}

/** The admin API cannot be served where it was told to be. */
class AdminApiListenError extends Error {
  override readonly name = 'AdminApiListenError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
}

/** As large as a topology may be. */
const MOST_BODY_BYTES = 1024 * 1024;
/** A request comes whole within it. */
const REQUEST_MS = 30_000;

@Controller('v1/topology')
class TopologyController {
  constructor(@Inject(TopologyAdmin) private readonly admin: TopologyAdmin) {}

  @Get()
  @Header('cache-control', 'no-store')
  state(): Promise<RouterTopologyState> {
    return this.admin.state();
  }

  @Post('plan')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  plan(@Headers('content-type') contentType: string | undefined, @Body() body: unknown): Promise<RouterTopologyPlan> {
    return this.admin.plan(planDocuments(contentType ?? '', textOf(body)));
  }

  @Get('explain')
  @Header('cache-control', 'no-store')
  explain(@Query('subject') subject: unknown): RouterExplanation {
    if (typeof subject !== 'string' || subject === '') {
      throw new AdminRequestError(400, '"subject" is missing; ask for a key or a resource: ?subject=users.example.com');
    }
    return this.admin.explain(subject);
  }

  @Post('abandon')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  abandon(@Body() body: unknown): Promise<RouterAbandonResult> {
    return this.admin.abandon(abandonRequest(textOf(body)));
  }
}

@Module({})
class AdminModule {
  static register(admin: TopologyAdmin): DynamicModule {
    return { module: AdminModule, controllers: [TopologyController], providers: [{ provide: TopologyAdmin, useValue: admin }] };
  }
}

/** Every error is JSON with a sentence; what nobody expected is said in the log alone. */
@Catch()
class AdminErrors implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const { status, message } = this.#answerOf(error);
    const response = host.switchToHttp().getResponse<ServerResponse>();
    // What is left of a body that was not read whole would be taken for the next request.
    if (status === 413) response.setHeader('connection', 'close');
    answerError(response, status, message);
  }

  #answerOf(error: unknown): RouterAdminErrorBody & { readonly status: number } {
    if (error instanceof AdminRequestError) return error;
    if (error instanceof UnknownSubjectError || error instanceof UnknownBackendError) return { status: 400, message: error.message };
    const status = statusOf(error);
    if (status === 413) return { status, message: `the body is longer than ${MOST_BODY_BYTES} bytes` };
    if (status !== null && status < 500 && error instanceof Error) return { status, message: error.message };
    this.logger.error('a request to the admin API failed', { err: error });
    return { status: 500, message: 'the router could not answer; its log says why' };
  }
}

/** Serves the admin API. Throws `ConfigError` and `AdminApiListenError`. */
export async function startAdminApi({ config, admin, logger, registry }: AdminApiOptions): Promise<AdminApi> {
  const { host, port } = config.listen;
  const tls = config.tls === null ? null : new ListenerTlsFiles(config.tls, { what: 'the admin API', flags: '--admin', logger });
  if (tls !== null && registry !== undefined) watchCertificate(registry, 'router-admin', () => tls.certificate);
  const takesCertificates = config.tls !== null && config.tls.clientCaFile !== null;
  const access = new AdminAccess({ tokenFile: config.tokenFile, takesCertificates, logger });
  const app = await NestFactory.create<NestExpressApplication<Server>>(AdminModule.register(admin), {
    logger: new NestLogger(logger),
    abortOnError: false,
    bodyParser: false,
    forceCloseConnections: true,
    // A client without the right certificate is told so in words.
    ...(tls === null ? {} : { httpsOptions: { ...tls.context, requestCert: takesCertificates, rejectUnauthorized: false } }),
  });
  app.disable('x-powered-by');
  // Before the body: nothing is read for somebody who may not send it.
  app.use((request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => {
    access.check(request).then(
      () => next(),
      (error: unknown) => {
        if (!(error instanceof AdminRequestError)) {
          next(error);
          return;
        }
        if (error.status === 401) response.setHeader('www-authenticate', 'Bearer');
        response.setHeader('connection', 'close');
        answerError(response, error.status, error.message);
      },
    );
  });
  app.useBodyParser('text', { type: () => true, limit: MOST_BODY_BYTES });
  app.useGlobalFilters(new AdminErrors(logger));
  const server = app.getHttpServer();
  server.requestTimeout = REQUEST_MS;
  if (tls !== null) tls.start((context) => (server as HttpsServer).setSecureContext(context));
  try {
    await (host === '' ? app.listen(port) : app.listen(port, host));
  } catch (error) {
    tls?.close();
    await app.close();
    const reason = `cannot serve the admin API on ${host}:${port}: ${listenReason(error)}; choose another --admin-bind-address, or 0 for none`;
    throw new AdminApiListenError(reason, { cause: error });
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    checkTls: () => tls?.check(),
    close: async () => {
      tls?.close();
      await app.close();
    },
  };
}

function answerError(response: ServerResponse, status: number, message: string): void {
  const body: RouterAdminErrorBody = { message };
  response.statusCode = status;
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.setHeader('cache-control', 'no-store');
  response.end(JSON.stringify(body));
}

/** Of errors that speak HTTP: Nest's own, and those of the parser of bodies. */
function statusOf(error: unknown): number | null {
  if (error === null || typeof error !== 'object') return null;
  if ('getStatus' in error && typeof error.getStatus === 'function') return Number((error as { getStatus(): unknown }).getStatus());
  return 'status' in error && typeof error.status === 'number' ? error.status : null;
}

/** Without a body there is an empty object. */
function textOf(body: unknown): string {
  return typeof body === 'string' ? body : '';
}
