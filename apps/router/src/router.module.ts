import { randomUUID } from 'node:crypto';
import { type DynamicModule, Module } from '@nestjs/common';
import { MAIN, type ParseTopologyOptions, TopologyManager, topologySourceName } from '@harikube/datasources';
import { EtcdServer } from '@harikube/etcd-api';
import { Compactor, Keyspace } from '@harikube/keyspace';
import { type Logger, type ShutdownStep, watchCertificate } from '@harikube/platform';
import { listenUrl } from './listener.js';
import type { ListenerTlsFiles } from './listener-tls-files.js';
import { RouterMetrics } from './router-metrics.js';
import type { RouterConfig } from './router.config.js';
import { type OpenedStore, openStore, type OpenStoreOptions } from './topology/open-store.js';
import { TlsFolder } from './topology/tls-folder.js';
import { TopologyMetrics } from './topology/topology-metrics.js';
import { TopologyReloader } from './topology/topology-reloader.js';
import type { WriterRole } from './writer-role.js';

/** Memory for the heads of keys, shared by all backends. */
const CACHE_BYTES = 16 * 1024 * 1024;
/** Memory for recent events, shared by all backends. */
const EVENT_BYTES = 16 * 1024 * 1024;
/** How long calls under way may hold up the router that takes over. */
const HAND_OVER_GRACE_MS = 500;

/** Of a database that nobody else can have open. */
const SOLE_WRITER: OpenStoreOptions['manager']['writer'] = { identity: { holder: randomUUID(), address: '', leaseMs: 10_000 } };

const Config = Symbol('Config');
const Log = Symbol('Log');
const Role = Symbol('Role');
const Steps = Symbol('Steps');
const Store = Symbol('Store');
const Tls = Symbol('Tls');

export interface RouterModuleOptions {
  readonly config: RouterConfig;
  readonly logger: Logger;
  /** What is opened is put in front of them, so that a start that fails half way can close it, too. */
  readonly steps: ShutdownStep[];
  readonly metrics: RouterMetrics;
  /** Null: the default database is a file, and no other router waits for it. */
  readonly role: WriterRole | null;
  /** What the etcd API is served with; null: without TLS. */
  readonly tls: ListenerTlsFiles | null;
}

/** The data layer: databases, the keyspace over them, and the etcd API in front of it. */
@Module({})
export class RouterModule {
  static register({ config, logger, steps, metrics, role, tls }: RouterModuleOptions): DynamicModule {
    return {
      module: RouterModule,
      providers: [
        { provide: Config, useValue: config },
        { provide: Log, useValue: logger },
        { provide: RouterMetrics, useValue: metrics },
        { provide: Role, useValue: role },
        { provide: Steps, useValue: steps },
        { provide: Tls, useValue: tls },
        { provide: Store, inject: [Config, Role, RouterMetrics, Log, Steps], useFactory: openDatabases },
        { provide: TopologyManager, inject: [Store], useFactory: ({ manager }: OpenedStore) => manager },
        { provide: TopologyReloader, inject: [Config, Store, RouterMetrics, Log, Steps], useFactory: makeReloader },
        { provide: Keyspace, inject: [TopologyManager], useFactory: ({ keyspace }: TopologyManager) => keyspace },
        { provide: EtcdServer, inject: [Config, Role, Tls, Keyspace, RouterMetrics, Log, Steps], useFactory: makeServer },
        { provide: Compactor, inject: [Config, TopologyManager, Log, Steps], useFactory: makeCompactor },
        {
          provide: RunningParts,
          inject: [TopologyManager, TopologyReloader, Compactor, EtcdServer, RouterMetrics],
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
    readonly manager: TopologyManager,
    readonly reloader: TopologyReloader,
    readonly compactor: Compactor | null,
    readonly server: EtcdServer,
    readonly metrics: RouterMetrics,
  ) {}
}

/** How texts of the topology are read in this process, from whomever they come. */
export function parseOptions({ etcdPrefix, defaultBackend, topologySource, topologyTlsDirectory }: RouterConfig): ParseTopologyOptions {
  const options = { etcdPrefix, defaultDataSourceName: defaultBackend.dataSourceName };
  // With the Secret of the topology come certificates, which are files there.
  return topologySource?.type === 'secret' ? { ...options, tlsDirectory: topologyTlsDirectory } : options;
}

async function openDatabases(
  config: RouterConfig,
  role: WriterRole | null,
  metrics: RouterMetrics,
  logger: Logger,
  steps: ShutdownStep[],
): Promise<OpenedStore> {
  const { defaultBackend, compaction, watchProgressNotifyIntervalMs, slowSqlThresholdMs, slowSqlWarningThresholdMs } = config;
  const manager: Omit<OpenStoreOptions['manager'], 'writer'> = {
    main: defaultBackend,
    defaults: { compactBatchSize: compaction.batchSize, requestTimeoutMs: config.backendTimeoutMs },
    keyspace: {
      cacheBytes: CACHE_BYTES,
      eventBytes: EVENT_BYTES,
      progressIntervalMs: watchProgressNotifyIntervalMs,
      requestTimeoutMs: config.backendTimeoutMs,
      acceptRestored: new Set(config.acceptRestored),
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
  };
  const open = (writer: OpenStoreOptions['manager']['writer']): Promise<OpenedStore> =>
    openStore({ source: config.topologySource, parse: parseOptions(config), manager: { ...manager, writer } });
  const store = role === null ? await open(SOLE_WRITER) : await role.takeTurn(open, (opened) => opened.manager.close());
  steps.unshift({ name: 'databases', close: () => store.manager.close() });
  const { topology } = store.manager;
  for (const { name, setting } of topology.withoutEffect())
    logger.warn('setting of a backend has no effect on this database', { backend: name, setting });
  const files = topology.rules.filter(({ endpoint }) => endpoint.scheme === 'sqlite').map(({ name }) => name);
  if (role !== null && files.length > 0)
    logger.warn('backends are SQLite files: no router on another machine can take over', { backends: files });
  const names = topology.registeredNames();
  for (const backend of config.acceptRestored.filter((name) => !names.includes(name)))
    logger.warn('--accept-restored names a backend that is not there', { backend, backends: names });
  metrics.watch(store.manager.keyspace);
  return store;
}

function makeReloader(
  config: RouterConfig,
  { manager, sourceVersion }: OpenedStore,
  { registry }: RouterMetrics,
  logger: Logger,
  steps: ShutdownStep[],
): TopologyReloader {
  const { topologySource: source, topologyTlsDirectory } = config;
  const reloader = new TopologyReloader({
    target: manager,
    sourceName: source === null ? '' : topologySourceName(source),
    parse: parseOptions(config),
    tlsFolder: source?.type === 'secret' ? new TlsFolder(topologyTlsDirectory) : null,
    metrics: new TopologyMetrics(registry),
    logger,
    sourceVersion,
  });
  steps.unshift({ name: 'topology', close: () => reloader.close() });
  return reloader;
}

function makeServer(
  config: RouterConfig,
  role: WriterRole | null,
  tls: ListenerTlsFiles | null,
  keyspace: Keyspace,
  metrics: RouterMetrics,
  logger: Logger,
  steps: ShutdownStep[],
): EtcdServer {
  const server = new EtcdServer(keyspace, {
    addresses: role === null ? [listenUrl(config)] : role.listener,
    closeGraceMs: role === null ? undefined : HAND_OVER_GRACE_MS,
    tls: tls?.context,
    emulatedVersion: config.emulatedEtcdVersion,
    observer: metrics,
    onInternalError: (err) => logger.error('a request failed inside the router', { err }),
  });
  if (tls !== null) {
    watchCertificate(metrics.registry, 'router', () => tls.certificate);
    // Connections that are open keep theirs, as TLS has it.
    tls.start((context) => server.setTls(context));
    steps.unshift({ name: 'certificates', close: async () => tls.close() });
  }
  return server;
}

function makeCompactor({ compaction }: RouterConfig, manager: TopologyManager, logger: Logger, steps: ShutdownStep[]): Compactor | null {
  if (compaction.intervalMs === 0) return null;
  const compactor = new Compactor(manager.keyspace, {
    intervalMs: compaction.intervalMs,
    jitterPercent: compaction.intervalJitterPercent,
    // Revisions are the whole store's: of all settings the one that leaves most holds, as the rules are at that moment.
    get minRetain() {
      return BigInt(Math.max(compaction.minRetain, ...manager.topology.rules.map((rule) => rule.compaction.minRetain ?? 0)));
    },
    random: Math.random,
    onError: (err) => logger.warn('compaction round failed; the next one takes it up again', { err, backend: MAIN }),
  });
  steps.unshift({ name: 'compactor', close: () => compactor.close() });
  return compactor;
}
