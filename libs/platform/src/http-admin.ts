import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Registry } from 'prom-client';
import { type HealthChecks, HealthModule } from './health.module.js';
import { listenReason } from './listen-reason.js';
import { type Logger, NestLogger } from './logger.js';

export interface AdminServerOptions {
  readonly host: string;
  /** 0: the system picks one. */
  readonly port: number;
  readonly registry: Registry;
  readonly checks: HealthChecks;
  readonly logger: Logger;
}

export interface AdminServer {
  readonly port: number;
  /** Ends open connections, too: a scrape is not worth waiting for. */
  close(): Promise<void>;
}

/** The page cannot be served where it was told to be. */
export class AdminListenError extends Error {
  override readonly name = 'AdminListenError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
}

/** Serves /metrics, /livez and /readyz as plain HTTP. An empty host means every interface. */
export async function startAdminServer({ host, port, registry, checks, logger }: AdminServerOptions): Promise<AdminServer> {
  const app = await NestFactory.create<NestExpressApplication>(HealthModule.register(registry, checks), {
    logger: new NestLogger(logger),
    abortOnError: false,
    bodyParser: false,
    forceCloseConnections: true,
  });
  app.disable('x-powered-by');
  try {
    await (host === '' ? app.listen(port) : app.listen(port, host));
  } catch (error) {
    await app.close();
    throw new AdminListenError(
      `cannot serve metrics and health on ${host}:${port}: ${listenReason(error)}; choose another address, or 0 for none`,
      {
        cause: error,
      },
    );
  }
  const address: unknown = app.getHttpServer().address();
  return { port: isPortHolder(address) ? address.port : port, close: () => app.close() };
}

function isPortHolder(address: unknown): address is { port: number } {
  return address !== null && typeof address === 'object' && 'port' in address && typeof address.port === 'number';
}
