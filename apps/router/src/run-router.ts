import 'reflect-metadata';
import { setFlagsFromString } from 'node:v8';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { topologySourceName } from '@harikube/datasources';
import { StoppedError } from '@harikube/keyspace';
import { EtcdServer, EtcdTransport } from '@harikube/etcd-api';
import { closeOnSignal, createLogger, type Env, type Logger, NestLogger, type ShutdownStep } from '@harikube/platform';
import { ListenError, listenUrl } from './listener.js';
import { ListenerTlsFiles } from './listener-tls-files.js';
import { RouterHealth } from './router-health.js';
import { RouterMetrics } from './router-metrics.js';
import { parseRouterConfig, type RouterConfig, routerUsage } from './router.config.js';
import { parseOptions, RouterModule, type RouterModuleOptions, RunningParts } from './router.module.js';
import { watcherFor } from './topology/watcher-for.js';
import { DEPOSED_EXIT_CODE, WriterRole } from './writer-role.js';

/** Whoever waited for the start has what it asked for by then; a router that ends sooner has spared itself the work. */
const WARM_UP_AFTER_MS = 3000;

/** The process ends by then after a signal, whatever is still open. */
const SHUTDOWN_DEADLINE_MS = 10_000;

const EXIT_CODES = `It ends with 0 after SIGTERM or SIGINT, with 2 when its settings cannot be used, with ${DEPOSED_EXIT_CODE} when another router has taken over while it
was stopped or cut off from the default database (started again, it stands by), and with 1 when anything else is in its way.`;

/** `harikube router`: runs until SIGTERM or SIGINT. Throws errors whose message is for whoever started it. */
export async function runRouter(argv: readonly string[], env: Env): Promise<void> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`harikube router: one etcd endpoint over many databases\n\n${routerUsage()}\n\n${EXIT_CODES}\n`);
    return;
  }
  const config = parseRouterConfig(argv, env);
  const logger = createLogger({ format: config.logFormat, debug: config.debug });
  for (const warning of config.warnings) logger.warn(warning);
  const steps: ShutdownStep[] = [];
  closeOnSignal({ logger, steps: () => steps, deadlineMs: SHUTDOWN_DEADLINE_MS });
  const role = config.writer === null ? null : new WriterRole(config, config.writer, logger);
  try {
    // A standby serves with them only when its turn has come; what is wrong with them is said now.
    const tls =
      config.listenTls === null ? null : new ListenerTlsFiles(config.listenTls, { what: 'the etcd API', flags: '--server', logger });
    await start({ config, logger, steps, role, tls, metrics: new RouterMetrics() });
  } catch (error) {
    // Whoever ended a standby closes what it has opened.
    if (role?.isStopping === true && error instanceof StoppedError) return;
    // A start that fails half way leaves nothing that listens and no thread that keeps the process alive.
    for (const step of [...steps]) await step.close();
    throw error;
  }
}

async function start(options: RouterModuleOptions): Promise<void> {
  const { config, logger, steps, role, metrics } = options;
  const started = performance.now();
  const health = new RouterHealth(role);
  if (role !== null) {
    steps.unshift({ name: 'standby', close: () => role.stop() });
    await role.listen();
    metrics.watchWriter(() => role.reading);
    await serveMetrics(config, metrics, health, logger, steps);
  }
  const app = await NestFactory.createMicroservice<{ inject: unknown[] } & MicroserviceOptions>(RouterModule.register(options), {
    inject: [EtcdServer],
    useFactory: (server: EtcdServer): MicroserviceOptions => ({ strategy: new EtcdTransport(server) }),
    logger: new NestLogger(logger),
    abortOnError: false,
  } as never);
  steps.unshift({ name: 'etcd server', close: () => app.close() });
  const parts = app.get(RunningParts);
  const { manager, compactor, server } = parts;
  const { keyspace } = manager;
  void keyspace.deposed.then((reason) => endDeposed(reason, logger));
  try {
    await app.listen();
  } catch (error) {
    throw new ListenError(listenUrl(config), error);
  }
  role?.serve(() => keyspace.writer);
  health.watch(parts);
  compactor?.start();
  logger.info(`Backends registered: [${manager.topology.registeredNames().join(' ')}]`);
  logger.info('serving the etcd API', { addresses: server.addresses, startupMs: Math.round(performance.now() - started) });
  setTimeout(() => void server.warmUp(), WARM_UP_AFTER_MS).unref();
  if (role === null) {
    metrics.watchWriter(() => ({ isActive: keyspace.writer.isHeld, epoch: keyspace.writer.epoch, takeovers: 0, forwarded: 0 }));
    await serveMetrics(config, metrics, health, logger, steps);
  }
  await followTopology(config, parts, logger, steps);
  await serveAdminApi(config, parts, metrics, logger, steps);
  tuneEngine();
}

/**
 * The last thing of a start: what Node brings of its own modules compiled fits only an engine whose flags are the usual ones. What is loaded later has them compiled again: a
 * thread of a database that starts with its first list takes 40 ms of processor time more.
 */
function tuneEngine(): void {
  // Caches fill the heap slowly: V8's default would let it double before it looks for garbage in them.
  setFlagsFromString('--heap-growing-percent=70');
  // What each request goes through is optimized after 1000 calls instead of 3000: a router that has just started comes up to speed sooner.
  setFlagsFromString('--invocation-count-for-turbofan=1000');
}

/**
 * The process ends at once: its connections with it, and whatever it had under way without an answer. What another router has written meanwhile
 * this one does not know; only a new start does.
 */
function endDeposed(reason: Error, logger: Logger): void {
  logger.error('another router has taken over: this one ends, so that it is started again as a standby', {
    reason: reason.message,
    exitCode: DEPOSED_EXIT_CODE,
  });
  process.exit(DEPOSED_EXIT_CODE);
}

async function serveMetrics(
  config: RouterConfig,
  { registry }: RouterMetrics,
  checks: RouterHealth,
  logger: Logger,
  steps: ShutdownStep[],
): Promise<void> {
  if (config.metricsListen === null) return;
  const { startAdminServer } = await import('@harikube/platform/http-admin');
  const admin = await startAdminServer({ ...config.metricsListen, registry, checks, logger });
  steps.unshift({ name: 'metrics', close: () => admin.close() });
  logger.info('serving metrics and health', { port: admin.port });
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
  { registry }: RouterMetrics,
  logger: Logger,
  steps: ShutdownStep[],
): Promise<void> {
  if (config.admin === null) return;
  const [{ startAdminApi }, { TopologyAdmin }] = await Promise.all([import('./admin/admin-api.js'), import('./admin/topology-admin.js')]);
  const sourceName = config.topologySource === null ? null : topologySourceName(config.topologySource);
  const admin = new TopologyAdmin({ manager, reloader, sourceName, parse: parseOptions(config), logger });
  const api = await startAdminApi({ config: config.admin, admin, logger, registry });
  steps.unshift({ name: 'admin API', close: () => api.close() });
  logger.info('serving the admin API', { port: api.port });
}
