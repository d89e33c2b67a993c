import { type DynamicModule, Module } from '@nestjs/common';
import { loadTopology, MAIN, parseTopology, Topology, TopologyManager } from '@harikube/datasources';
import { EtcdServer } from '@harikube/etcd-api';
import { Compactor, Keyspace } from '@harikube/keyspace';
import type { Logger, ShutdownStep } from '@harikube/platform';
import { listenUrl, readTls } from './listener.js';
import { RouterMetrics } from './router-metrics.js';
import type { RouterConfig } from './router.config.js';

/** Memory for the heads of keys, shared by all backends. */
const CACHE_BYTES = 16 * 1024 * 1024;
/** Memory for recent events, shared by all backends. */
const EVENT_BYTES = 16 * 1024 * 1024;

const Config = Symbol('Config');
const Log = Symbol('Log');
const Steps = Symbol('Steps');

/** The data layer: databases, the keyspace over them, and the etcd API in front of it. */
@Module({})
export class RouterModule {
  /** What is opened is put in front of `steps`, so that a start that fails half way can close it, too. */
  static register(config: RouterConfig, logger: Logger, steps: ShutdownStep[]): DynamicModule {
    return {
      module: RouterModule,
      providers: [
        { provide: Config, useValue: config },
        { provide: Log, useValue: logger },
        RouterMetrics,
        { provide: Topology, inject: [Config], useFactory: openTopology },
        { provide: Steps, useValue: steps },
        { provide: TopologyManager, inject: [Config, Topology, RouterMetrics, Log, Steps], useFactory: openManager },
        { provide: Keyspace, inject: [TopologyManager], useFactory: ({ keyspace }: TopologyManager) => keyspace },
        { provide: EtcdServer, inject: [Config, Keyspace, RouterMetrics, Log], useFactory: makeServer },
        { provide: Compactor, inject: [Config, Topology, Keyspace, Log, Steps], useFactory: makeCompactor },
        {
          provide: RunningParts,
          inject: [Keyspace, Compactor, EtcdServer, Topology, RouterMetrics],
          useFactory: (...parts: ConstructorParameters<typeof RunningParts>) => new RunningParts(...parts),
        },
      ],
      exports: [RunningParts, EtcdServer],
    };
  }
}

/** What the process keeps in its hands. */
export class RunningParts {
  constructor(
    readonly keyspace: Keyspace,
    readonly compactor: Compactor | null,
    readonly server: EtcdServer,
    readonly topology: Topology,
    readonly metrics: RouterMetrics,
  ) {}
}

function openTopology({ topologySource, etcdPrefix, defaultBackend }: RouterConfig): Promise<Topology> | Topology {
  const options = { etcdPrefix, defaultDataSourceName: defaultBackend.dataSourceName };
  return topologySource === null ? parseTopology('backends: []', 'no topology', options) : loadTopology(topologySource, options);
}

async function openManager(
  config: RouterConfig,
  topology: Topology,
  metrics: RouterMetrics,
  logger: Logger,
  steps: ShutdownStep[],
): Promise<TopologyManager> {
  const { defaultBackend, compaction, watchProgressNotifyIntervalMs, slowSqlThresholdMs, slowSqlWarningThresholdMs, etcdPrefix } = config;
  for (const { name, setting } of topology.withoutEffect())
    logger.warn('setting of a backend has no effect on a SQLite file', { backend: name, setting });
  const manager = await TopologyManager.open({
    endpoint: defaultBackend.endpoint,
    startFrom: { topology },
    topologyOptions: { etcdPrefix, defaultDataSourceName: defaultBackend.dataSourceName },
    compactBatchSize: compaction.batchSize,
    keyspace: {
      cacheBytes: CACHE_BYTES,
      eventBytes: EVENT_BYTES,
      progressIntervalMs: watchProgressNotifyIntervalMs,
      log: logger,
      observer: {
        committed: (backend, seconds, rows) => {
          metrics.committed(backend, seconds, rows);
          const milliseconds = seconds * 1000;
          if (slowSqlWarningThresholdMs > 0 && milliseconds > slowSqlWarningThresholdMs)
            logger.warn('slow commit', { backend, seconds, rows });
          else if (slowSqlThresholdMs > 0 && milliseconds > slowSqlThresholdMs) logger.info('slow commit', { backend, seconds, rows });
        },
        commitFailed: (backend, seconds) => metrics.commitFailed(backend, seconds),
        compacted: (backend, isDone) => metrics.compacted(backend, isDone),
      },
    },
  });
  steps.unshift({ name: 'databases', close: () => manager.close() });
  metrics.watch(manager.keyspace);
  return manager;
}

async function makeServer(config: RouterConfig, keyspace: Keyspace, metrics: RouterMetrics, logger: Logger): Promise<EtcdServer> {
  return new EtcdServer(keyspace, {
    addresses: [listenUrl(config)],
    tls: config.listenTls === null ? undefined : await readTls(config.listenTls),
    emulatedVersion: config.emulatedEtcdVersion,
    observer: metrics,
    onInternalError: (err) => logger.error('a request failed inside the router', { err }),
  });
}

function makeCompactor(
  { compaction }: RouterConfig,
  topology: Topology,
  keyspace: Keyspace,
  logger: Logger,
  steps: ShutdownStep[],
): Compactor | null {
  if (compaction.intervalMs === 0) return null;
  // Revisions are the whole store's: of all settings the one that leaves most holds.
  const minRetain = Math.max(compaction.minRetain, ...topology.rules.map((rule) => rule.compaction.minRetain ?? 0));
  const compactor = new Compactor(keyspace, {
    intervalMs: compaction.intervalMs,
    jitterPercent: compaction.intervalJitterPercent,
    minRetain: BigInt(minRetain),
    random: Math.random,
    onError: (err) => logger.warn('compaction round failed; the next one takes it up again', { err, backend: MAIN }),
  });
  steps.unshift({ name: 'compactor', close: () => compactor.close() });
  return compactor;
}
