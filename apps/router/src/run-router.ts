import 'reflect-metadata';
import { setFlagsFromString } from 'node:v8';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { MAIN, topologySourceName } from '@harikube/datasources';
import { EtcdServer, EtcdTransport } from '@harikube/etcd-api';
import type { BackendStatus } from '@harikube/keyspace';
import {
  closeOnSignal,
  createLogger,
  type Env,
  type HealthCheck,
  type HealthChecks,
  type Logger,
  NestLogger,
  type ShutdownStep,
} from '@harikube/platform';
import { ListenError, listenUrl } from './listener.js';
import { parseRouterConfig, type RouterConfig, routerUsage } from './router.config.js';
import { parseOptions, RouterModule, RunningParts } from './router.module.js';
import { watcherFor } from './topology/watcher-for.js';

/** The process ends by then after a signal, whatever is still open. */
const SHUTDOWN_DEADLINE_MS = 10_000;

/** `harikube router`: runs until SIGTERM or SIGINT. Throws errors whose message is for whoever started it. */
export async function runRouter(argv: readonly string[], env: Env): Promise<void> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`harikube router: one etcd endpoint over many databases\n\n${routerUsage()}\n`);
    return;
  }
  // Caches fill the heap slowly: V8's default would let it double before it looks for garbage in them.
  setFlagsFromString('--heap-growing-percent=70');
  const config = parseRouterConfig(argv, env);
  const logger = createLogger({ format: config.logFormat, debug: config.debug });
  for (const warning of config.warnings) logger.warn(warning);
  const steps: ShutdownStep[] = [];
  closeOnSignal({ logger, steps: () => steps, deadlineMs: SHUTDOWN_DEADLINE_MS });
  try {
    await start(config, logger, steps);
  } catch (error) {
    // A start that fails half way leaves nothing that listens and no thread that keeps the process alive.
    for (const step of [...steps]) await step.close();
    throw error;
  }
}

async function start(config: RouterConfig, logger: Logger, steps: ShutdownStep[]): Promise<void> {
  const started = performance.now();
  const app = await NestFactory.createMicroservice<{ inject: unknown[] } & MicroserviceOptions>(
    RouterModule.register(config, logger, steps),
    {
      inject: [EtcdServer],
      useFactory: (server: EtcdServer): MicroserviceOptions => ({ strategy: new EtcdTransport(server) }),
      logger: new NestLogger(logger),
      abortOnError: false,
    } as never,
  );
  steps.unshift({ name: 'etcd server', close: () => app.close() });
  const parts = app.get(RunningParts);
  const { manager, compactor, server, metrics } = parts;
  try {
    await app.listen();
  } catch (error) {
    throw new ListenError(listenUrl(config), error);
  }
  compactor?.start();
  logger.info(`Backends registered: [${manager.topology.registeredNames().join(' ')}]`);
  logger.info('serving the etcd API', { addresses: server.addresses, startupMs: Math.round(performance.now() - started) });
  void server.warmUp();
  if (config.metricsListen !== null) {
    const { startAdminServer } = await import('@harikube/platform/http-admin');
    const admin = await startAdminServer({ ...config.metricsListen, registry: metrics.registry, checks: healthChecks(parts), logger });
    steps.unshift({ name: 'metrics', close: () => admin.close() });
    logger.info('serving metrics and health', { port: admin.port });
  }
  await followTopology(config, parts, logger, steps);
  await serveAdminApi(config, parts, logger, steps);
}

async function followTopology(config: RouterConfig, { reloader }: RunningParts, logger: Logger, steps: ShutdownStep[]): Promise<void> {
  const { topologySource: source, kubeconfig } = config;
  if (source === null) return;
  const watcher = await watcherFor(source, { kubeconfig, logger });
  steps.unshift({ name: 'topology source', close: () => watcher.close() });
  watcher.start((reading) => reloader.take(reading));
}

async function serveAdminApi(
  config: RouterConfig,
  { manager, reloader }: RunningParts,
  logger: Logger,
  steps: ShutdownStep[],
): Promise<void> {
  if (config.admin === null) return;
  const [{ startAdminApi }, { TopologyAdmin }] = await Promise.all([import('./admin/admin-api.js'), import('./admin/topology-admin.js')]);
  const sourceName = config.topologySource === null ? null : topologySourceName(config.topologySource);
  const admin = new TopologyAdmin({ manager, reloader, sourceName, parse: parseOptions(config), logger });
  const api = await startAdminApi({ config: config.admin, admin, logger });
  steps.unshift({ name: 'admin API', close: () => api.close() });
  logger.info('serving the admin API', { port: api.port });
}

/**
 * Each backend is listed; only the default one decides about readiness, since nothing works without it. What is wrong with the source of the
 * topology is listed, too, and takes no request away: what is in force stays.
 */
function healthChecks({ manager, reloader }: RunningParts): HealthChecks {
  const { keyspace } = manager;
  const check = ({ name }: BackendStatus): HealthCheck => ({
    name: `backend-${name}`,
    isCritical: name === MAIN,
    check: () => {
      const status = keyspace.backendStatus().find((candidate) => candidate.name === name);
      if (status?.problem !== '') throw new Error(status?.problem ?? 'it is not registered');
    },
  });
  const topology: HealthCheck = {
    name: 'topology',
    isCritical: false,
    check: () => {
      if (reloader.failure !== null) throw new Error(reloader.failure.message.replaceAll('\n', '; '));
    },
  };
  return { live: () => [], ready: () => [...keyspace.backendStatus().map(check), topology] };
}
