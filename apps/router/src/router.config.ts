import { resolve } from 'node:path';
import {
  type BackendTls,
  type ConnectionPool,
  type Endpoint,
  EndpointError,
  MAIN,
  parseEndpoint,
  parseTopologySource,
  redactEndpoint,
  type TopologySource,
  TopologySourceError,
} from '@harikube/datasources';
import {
  type BindAddress,
  bindAddress,
  type DeprecatedSetting,
  deprecationWarnings,
  type Env,
  type FlagDefinition,
  type FlagSet,
  flagUsage,
  isLoopbackHost,
  type LogFormat,
  parseFlags,
  type Settings,
} from '@harikube/platform';

/** Where the etcd API or the metrics page listens. */
export type ListenAddress =
  /** Host empty: every interface. Port 0: the system picks one. */
  { readonly type: 'tcp'; readonly host: string; readonly port: number } | { readonly type: 'unix'; readonly path: string };

export interface ListenerTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Clients must show a certificate of this authority; null: they need none. */
  readonly clientCaFile: string | null;
}

/** The admin API. At least one of `tokenFile` and `tls.clientCaFile` is there. */
export interface AdminConfig {
  readonly listen: BindAddress;
  /** Null: no token opens it. */
  readonly tokenFile: string | null;
  /** Null: plain, on this machine only. */
  readonly tls: ListenerTls | null;
}

/** How routers on one default database agree on who writes. */
export interface WriterConfig {
  /** HOST:PORT at which the others reach this one's listener; null: found out when it listens. */
  readonly advertiseAddress: string | null;
  readonly leaseMs: number;
}

export interface RouterConfig {
  readonly listen: ListenAddress;
  /** Null: plain. */
  readonly listenTls: ListenerTls | null;
  readonly defaultBackend: {
    /** Without `multi://`; may hold credentials: for opening the database only. */
    readonly dataSourceName: string;
    readonly endpoint: Endpoint;
    readonly tls: BackendTls | null;
    readonly pool: ConnectionPool;
  };
  /** Null: the default database is a file, which one router has to itself. */
  readonly writer: WriterConfig | null;
  /** No request waits longer for a database. */
  readonly backendTimeoutMs: number;
  /** Backends whose database may be taken as it is although it was restored from an older copy. */
  readonly acceptRestored: readonly string[];
  /** Null: every key lives in the default backend. */
  readonly topologySource: TopologySource | null;
  /** Where certificates and keys from the Secret of the topology are put. */
  readonly topologyTlsDirectory: string;
  /** How to reach Kubernetes for that Secret; null: the account of the pod, or the user's own file. */
  readonly kubeconfig: string | null;
  /** As given; `Topology` normalises it. */
  readonly etcdPrefix: string;
  /** Plain HTTP for /metrics, /livez and /readyz; null: off. */
  readonly metricsListen: BindAddress | null;
  /** Null: off. */
  readonly admin: AdminConfig | null;
  readonly watchProgressNotifyIntervalMs: number;
  /** What Status answers as etcd's version. */
  readonly emulatedEtcdVersion: string;
  readonly compaction: {
    /** 0: only clients compact. */
    readonly intervalMs: number;
    readonly intervalJitterPercent: number;
    readonly timeoutMs: number;
    readonly minRetain: number;
    readonly batchSize: number;
  };
  /** Statements slower than this are logged; 0: none is. */
  readonly slowSqlThresholdMs: number;
  /** Statements slower than this are logged as warnings; 0: none is. */
  readonly slowSqlWarningThresholdMs: number;
  readonly logFormat: LogFormat;
  readonly debug: boolean;
  /** Sentences to log once at the start: settings without effect. */
  readonly warnings: readonly string[];
}

const DEFAULT_LISTEN_ADDRESS = '127.0.0.1:2379';
const DEFAULT_ENDPOINT = 'sqlite://./db/state.db';
// The reference listens on every interface. Like the etcd listener, this one stays on loopback unless told otherwise.
const DEFAULT_METRICS_ADDRESS = '127.0.0.1:8080';
// Decides which features kube-apiserver uses: from 3.5.13 it asks for watch progress.
const DEFAULT_ETCD_VERSION = '3.6.11';
const DEFAULT_TLS_DIRECTORY = './db/tls';

const DEFAULT_WRITER_LEASE_MS = 5000;
const LEAST_WRITER_LEASE_MS = 1000;
const DEFAULT_BACKEND_TIMEOUT_MS = 5000;
const LEAST_BACKEND_TIMEOUT_MS = 100;

const FLAGS: readonly FlagDefinition[] = [
  {
    name: 'listen-address',
    help: 'where to serve etcd: HOST:PORT, tcp://, http:// or https://HOST:PORT, unix://PATH',
    shownDefault: DEFAULT_LISTEN_ADDRESS,
  },
  {
    name: 'advertise-address',
    help: 'HOST:PORT at which the other routers on the same default database reach --listen-address, to forward connections',
    shownDefault: "the listener's own host, or the first address of this machine when it listens on all",
  },
  {
    name: 'writer-lease-duration',
    help: 'after this time without a sign of the router that writes another one on the same default database takes over',
    shownDefault: '5s',
  },
  { name: 'endpoint', isSecret: true, help: 'the default database, "multi://" may stand in front', shownDefault: DEFAULT_ENDPOINT },
  {
    name: 'topology-config',
    env: ['TOPOLOGY_CONFIG'],
    isSecret: true,
    help: 'the topology, followed while it changes: file://PATH, an http(s) URL, or secret://NAMESPACE/NAME',
  },
  {
    name: 'topology-config-tls-dir',
    env: ['TOPOLOGY_CONFIG_TLS_DIR'],
    help: 'folder for certificates and keys that come with a secret:// topology',
    shownDefault: DEFAULT_TLS_DIRECTORY,
  },
  {
    name: 'kubeconfig',
    env: ['KUBECONFIG'],
    help: 'how to reach Kubernetes for a secret:// topology',
    shownDefault: "the pod's account, or ~/.kube/config",
  },
  { name: 'etcd-prefix', help: "kube-apiserver's --etcd-prefix", shownDefault: '/registry' },
  { name: 'server-cert-file', help: 'certificate of the listener' },
  { name: 'server-key-file', help: 'key of the listener' },
  { name: 'server-ca-file', aliases: ['trusted-ca-file'], help: 'authority of client certificates, which are then demanded' },
  { name: 'insecure-listen', isSwitch: true, help: 'allow a listener beyond this machine without client certificates' },
  { name: 'ca-file', help: 'authority of the default database' },
  { name: 'cert-file', help: 'client certificate for the default database' },
  { name: 'key-file', help: 'client key for the default database' },
  { name: 'skip-verify', isSwitch: true, help: "do not verify the default database's certificate" },
  { name: 'backend-timeout', help: 'how long a request waits for a database', shownDefault: '5s' },
  {
    name: 'accept-restored',
    help: 'names of backends, comma separated, the default one aside: take their databases as they are, although they were restored from older copies; leave it out again afterwards',
  },
  {
    name: 'metrics-bind-address',
    help: 'where to serve metrics and health as plain HTTP: HOST:PORT, :PORT for every interface, 0 = off',
    shownDefault: DEFAULT_METRICS_ADDRESS,
  },
  {
    name: 'admin-bind-address',
    help: 'where to serve the admin API (topology in force, plan, explain): HOST:PORT, :PORT for every interface, 0 = off',
    shownDefault: '0',
  },
  { name: 'admin-token-file', help: 'file with the bearer token that opens the admin API; read again for each request' },
  { name: 'admin-ca-file', help: 'authority of the client certificates that open the admin API' },
  { name: 'admin-cert-file', help: 'certificate of the admin API; without it the API is plain HTTP, on loopback only' },
  { name: 'admin-key-file', help: 'key of the admin API' },
  { name: 'metrics-ignore-tls-config', isSwitch: true, help: 'accepted: metrics are always plain HTTP' },
  { name: 'metrics-enable-profiling', isSwitch: true, help: 'not there; false is accepted' },
  { name: 'watch-progress-notify-interval', help: 'how often idle watches are told the revision', shownDefault: '5s' },
  { name: 'emulated-etcd-version', help: 'the etcd version that Status answers', shownDefault: DEFAULT_ETCD_VERSION },
  { name: 'compact-interval', help: "the router's own compaction; 0 = off, kube-apiserver compacts", shownDefault: '0s' },
  { name: 'compact-interval-jitter', help: 'percentage by which the interval varies', shownDefault: '0' },
  { name: 'compact-timeout', help: 'how long one step of a compaction may take', shownDefault: '5s' },
  { name: 'compact-min-retain', help: "revisions that the router's own compaction leaves", shownDefault: '1000' },
  { name: 'compact-batch-size', help: 'rows removed at a time', shownDefault: '1000' },
  { name: 'datastore-max-idle-connections', help: 'idle connections to the default database; 0 = its default, below 0 = none' },
  { name: 'datastore-max-open-connections', help: 'connections to the default database; 0 or less = its default' },
  { name: 'datastore-connection-max-lifetime', help: 'how long a connection may live; 0 = forever' },
  {
    name: 'datastore-connection-max-idle-lifetime',
    aliases: ['datastore-connection-max-idle-time'],
    help: 'how long a connection may be idle; 0 = forever',
  },
  { name: 'slow-sql-threshold', help: 'log statements slower than this; 0 = none', shownDefault: '1s' },
  { name: 'slow-sql-warning-threshold', help: 'warn of statements slower than this; 0 = none', shownDefault: '5s' },
  { name: 'poll-batch-size', help: 'accepted without effect' },
  { name: 'log-format', help: 'plain or json', shownDefault: 'plain' },
  { name: 'debug', isSwitch: true, help: 'log more' },
];

const ADMIN_FILES = ['admin-token-file', 'admin-ca-file', 'admin-cert-file', 'admin-key-file'] as const;

const T4 = 't4 and S3 storage is not built in; use --endpoint=sqlite://PATH';

const FLAG_SET: FlagSet = {
  flags: FLAGS,
  envPrefix: 'KINE_',
  refused: [
    ...['peer-bind-address', 'peer-advertise-address'],
    ...['bucket', 'folder', 'endpoint', 'region', 'access-key', 'secret-key', 'session-token', 'profile', 'ca-bundle'].map(
      (name) => `s3-${name}`,
    ),
  ].map((name) => ({ name, reason: T4 })),
};

const DEPRECATED: readonly DeprecatedSetting[] = [
  { name: 'LICENSE_KEY_FILE', replacement: 'no licence is needed, every feature is there' },
  { name: 'REVISION_MAPPER*', replacement: 'all databases share one revision clock, there is nothing to map' },
  { name: 'LIST_MAX_ITEMS', replacement: 'lists are never cut; large ones are streamed in bounded memory' },
  { name: 'ENABLE_TELEMETRY_PUSH', replacement: 'nothing is ever sent; read the metrics page (--metrics-bind-address)' },
  { name: 'CUSTOM_RESOURCE_DEFINITION_METADATA_FILE', replacement: 'what is known of kinds is kept beside the data' },
  { name: 'GARBAGE_COLLECTION_*', replacement: 'kube-controller-manager collects garbage' },
  { name: 'KINE_SCHEMA_MIGRATION', replacement: 'migrations run by themselves, under a lock' },
];

/** The flags, one a line. */
export function routerUsage(): string {
  return flagUsage(FLAG_SET);
}

/** Reads the router's settings. Throws `ConfigError` with every setting that cannot be used. */
export function parseRouterConfig(argv: readonly string[], env: Env): RouterConfig {
  const settings = parseFlags(FLAG_SET, argv, env);
  const address = listenAddress(settings);
  const tls = listenerTls(settings);
  refuseUnprotected(settings, address, tls);
  const defaultBackend = readDefaultBackend(settings);
  const source = topologySource(settings);
  const config: Omit<RouterConfig, 'defaultBackend'> = {
    listen: address.listen,
    listenTls: tls,
    writer: writerConfig(settings, defaultBackend),
    backendTimeoutMs: settings.duration('backend-timeout', DEFAULT_BACKEND_TIMEOUT_MS, LEAST_BACKEND_TIMEOUT_MS),
    acceptRestored: acceptedRestores(settings),
    topologySource: source,
    topologyTlsDirectory: resolve(settings.text('topology-config-tls-dir') ?? DEFAULT_TLS_DIRECTORY),
    kubeconfig: settings.text('kubeconfig'),
    etcdPrefix: settings.text('etcd-prefix') ?? '/registry',
    metricsListen: metricsAddress(settings),
    admin: adminConfig(settings),
    watchProgressNotifyIntervalMs: settings.duration('watch-progress-notify-interval', 5000, 100),
    emulatedEtcdVersion: etcdVersion(settings),
    compaction: {
      intervalMs: settings.duration('compact-interval', 0),
      intervalJitterPercent: settings.integer('compact-interval-jitter', 0, { least: 0, most: 100 }),
      timeoutMs: settings.duration('compact-timeout', 5000, 1),
      minRetain: settings.integer('compact-min-retain', 1000, { least: 0, most: Number.MAX_SAFE_INTEGER }),
      batchSize: settings.integer('compact-batch-size', 1000, { least: 1, most: 1_000_000 }),
    },
    slowSqlThresholdMs: settings.duration('slow-sql-threshold', 1000),
    slowSqlWarningThresholdMs: settings.duration('slow-sql-warning-threshold', 5000),
    logFormat: settings.oneOf('log-format', ['plain', 'json']),
    debug: settings.boolean('debug'),
    warnings: warnings(settings, defaultBackend, source, env),
  };
  settings.finish();
  if (defaultBackend === null) {
    throw new Error('a default backend that cannot be used was not refused');
  }
  return { ...config, defaultBackend };
}

interface GivenAddress {
  readonly listen: ListenAddress;
  readonly scheme: string;
  /** As given. */
  readonly text: string;
}

function listenAddress(settings: Settings): GivenAddress {
  const text = settings.text('listen-address') ?? DEFAULT_LISTEN_ADDRESS;
  const [, scheme = '', rest = ''] = /^(?:([a-z0-9+.-]+):\/\/)?(.*)$/is.exec(text) ?? [];
  const refused: GivenAddress = { listen: { type: 'tcp', host: '127.0.0.1', port: 0 }, scheme: '', text };
  if (scheme === 'unix' || scheme === 'unixs') {
    if (rest === '') {
      settings.refuse(`${settings.source('listen-address')}=${text} names no socket; write unix://PATH`);
      return refused;
    }
    return { listen: { type: 'unix', path: rest }, scheme, text };
  }
  const hostAndPort = splitHostPort(rest.replace(/\/$/, ''));
  if (!['', 'tcp', 'http', 'https'].includes(scheme) || hostAndPort === undefined) {
    settings.refuse(
      `${settings.source('listen-address')}=${text} is not an address; write HOST:PORT, tcp://, http:// or https://HOST:PORT, or unix://PATH`,
    );
    return refused;
  }
  return { listen: { type: 'tcp', ...hostAndPort }, scheme, text };
}

function splitHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]*)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3] ?? Number.NaN);
  return port <= 65_535 ? { host: match?.[1] ?? match?.[2] ?? '', port } : undefined;
}

function listenerTls(settings: Settings): ListenerTls | null {
  const certFile = settings.text('server-cert-file');
  const keyFile = settings.text('server-key-file');
  const clientCaFile = settings.text('server-ca-file');
  if (certFile !== null && keyFile !== null) {
    return { certFile, keyFile, clientCaFile };
  }
  if (certFile !== null || keyFile !== null) {
    const [given, missing] = certFile === null ? ['server-key-file', 'server-cert-file'] : ['server-cert-file', 'server-key-file'];
    settings.refuse(`${settings.source(given)}=${certFile ?? keyFile ?? ''} is given without --${missing}; give both or none`);
  } else if (clientCaFile !== null) {
    settings.refuse(
      `${settings.source('server-ca-file')}=${clientCaFile} demands client certificates, but the listener has none itself; give --server-cert-file and --server-key-file too`,
    );
  }
  return null;
}

/** Whoever reaches the listener may read and write everything: beyond this machine that takes client certificates or a word. */
function refuseUnprotected(settings: Settings, { listen, scheme, text }: GivenAddress, tls: ListenerTls | null): void {
  const setting = `${settings.source('listen-address')}=${text}`;
  const isTlsGiven = settings.has('server-cert-file') || settings.has('server-key-file');
  if ((scheme === 'https' || scheme === 'unixs') && !isTlsGiven) {
    settings.refuse(`${setting} needs a certificate; give --server-cert-file and --server-key-file`);
    return;
  }
  if (scheme === 'http' && isTlsGiven) {
    settings.refuse(`${setting} is plain although --server-cert-file is given; write https://, or leave the certificate out`);
    return;
  }
  const isInsecureAllowed = settings.boolean('insecure-listen');
  if (listen.type === 'unix' || isLoopbackHost(listen.host) || isInsecureAllowed) {
    return;
  }
  if (!isTlsGiven) {
    settings.refuse(
      `${setting} would serve everything without encryption beyond this machine; give --server-cert-file, --server-key-file and --server-ca-file, or allow it by --insecure-listen`,
    );
  } else if (tls !== null && tls.clientCaFile === null) {
    settings.refuse(
      `${setting} would serve everything to anybody beyond this machine; demand client certificates by --server-ca-file, or allow it by --insecure-listen`,
    );
  }
}

function adminConfig(settings: Settings): AdminConfig | null {
  const listen = bindAddress(settings, 'admin-bind-address', '0');
  const tokenFile = settings.text('admin-token-file');
  const clientCaFile = settings.text('admin-ca-file');
  const certFile = settings.text('admin-cert-file');
  const keyFile = settings.text('admin-key-file');
  const setting = settings.source('admin-bind-address');
  if (listen === null) {
    const given = ADMIN_FILES.filter((name) => settings.has(name)).map((name) => settings.source(name));
    if (given.length > 0 && !settings.has('admin-bind-address')) {
      settings.refuse(`${given.join(', ')}: no admin API is served; give --admin-bind-address=HOST:PORT, or leave the rest out`);
    }
    return null;
  }
  const shown = `${setting}=${settings.text('admin-bind-address') ?? ''}`;
  if (!settings.has('admin-token-file') && !settings.has('admin-ca-file')) {
    settings.refuse(`${shown} would be open to everybody; give --admin-token-file, or --admin-ca-file for client certificates`);
  }
  if (settings.has('admin-cert-file') !== settings.has('admin-key-file')) {
    settings.refuse('--admin-cert-file and --admin-key-file belong together; give both or none');
  } else if (settings.has('admin-ca-file') && !settings.has('admin-cert-file')) {
    settings.refuse(
      `${settings.source('admin-ca-file')} asks for client certificates, which takes TLS; give --admin-cert-file and --admin-key-file`,
    );
  } else if (!settings.has('admin-cert-file') && !isLoopbackHost(listen.host)) {
    settings.refuse(`${shown} would be plain beyond this machine; give --admin-cert-file and --admin-key-file, or listen on 127.0.0.1`);
  }
  return { listen, tokenFile, tls: certFile === null || keyFile === null ? null : { certFile, keyFile, clientCaFile } };
}

function readDefaultBackend(settings: Settings): RouterConfig['defaultBackend'] | null {
  const dataSourceName = (settings.text('endpoint') ?? DEFAULT_ENDPOINT).replace(/^multi:\/\//, '');
  const pool = {
    maxIdle: settings.integer('datastore-max-idle-connections', 0, { least: -1_000_000, most: 1_000_000 }),
    maxOpen: settings.integer('datastore-max-open-connections', 0, { least: -1_000_000, most: 1_000_000 }),
    maxLifeTimeMs: settings.duration('datastore-connection-max-lifetime', 0, Number.NEGATIVE_INFINITY),
    maxIdleLifeTimeMs: settings.duration('datastore-connection-max-idle-lifetime', 0, Number.NEGATIVE_INFINITY),
  };
  const tls: BackendTls = {
    caFile: settings.text('ca-file'),
    certFile: settings.text('cert-file'),
    keyFile: settings.text('key-file'),
    skipVerify: settings.boolean('skip-verify'),
  };
  const tlsGiven = ['ca-file', 'cert-file', 'key-file'].filter((name) => settings.has(name)).concat(tls.skipVerify ? ['skip-verify'] : []);
  try {
    const endpoint = parseEndpoint(dataSourceName);
    if (endpoint.scheme === 'sqlite' && tlsGiven.length > 0) {
      settings.refuse(
        `${tlsGiven.map((name) => settings.source(name)).join(', ')} cannot be used with --endpoint=${redactEndpoint(dataSourceName)}, which is a file; leave ${tlsGiven.length === 1 ? 'it' : 'them'} out`,
      );
    }
    return { dataSourceName, endpoint, tls: tlsGiven.length > 0 ? tls : null, pool };
  } catch (error) {
    if (!(error instanceof EndpointError)) {
      throw error;
    }
    for (const reason of error.reasons) {
      settings.refuse(`${settings.source('endpoint')} is not usable: ${reason}`);
    }
    return null;
  }
}

function writerConfig(settings: Settings, backend: RouterConfig['defaultBackend'] | null): WriterConfig | null {
  const text = settings.text('advertise-address');
  const leaseMs = settings.duration('writer-lease-duration', DEFAULT_WRITER_LEASE_MS, LEAST_WRITER_LEASE_MS);
  if (text !== null) {
    const given = splitHostPort(text);
    if (given === undefined || given.port === 0 || ['', '0.0.0.0', '::'].includes(given.host)) {
      settings.refuse(
        `${settings.source('advertise-address')}=${text} is no address that others can connect to; write HOST:PORT, an IPv6 host in brackets`,
      );
    }
  }
  return backend === null || backend.endpoint.scheme === 'sqlite' ? null : { advertiseAddress: text, leaseMs };
}

function acceptedRestores(settings: Settings): readonly string[] {
  const text = settings.text('accept-restored');
  if (text === null) return [];
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) {
    settings.refuse(
      `${settings.source('accept-restored')}=${text} holds an empty name; write the names of backends, such as tenants,users`,
    );
  }
  if (names.includes(MAIN)) {
    settings.refuse(
      `${settings.source('accept-restored')}=${text} names the default database, without whose record no revision can be trusted; restore the copies that belong together`,
    );
  }
  return [...new Set(names)];
}

function topologySource(settings: Settings): TopologySource | null {
  const text = settings.text('topology-config');
  if (text === null) {
    return null;
  }
  try {
    return parseTopologySource(text);
  } catch (error) {
    if (!(error instanceof TopologySourceError)) {
      throw error;
    }
    settings.refuse(`${settings.source('topology-config')} is not usable: ${error.message}`);
    return null;
  }
}

function metricsAddress(settings: Settings): BindAddress | null {
  if (settings.boolean('metrics-enable-profiling')) {
    settings.refuse(
      `${settings.source('metrics-enable-profiling')} is not supported: profiles are taken with Node's own --inspect or --cpu-prof; leave it out`,
    );
  }
  settings.boolean('metrics-ignore-tls-config');
  return bindAddress(settings, 'metrics-bind-address', DEFAULT_METRICS_ADDRESS);
}

function etcdVersion(settings: Settings): string {
  const version = settings.text('emulated-etcd-version') ?? DEFAULT_ETCD_VERSION;
  if (!/^\d+\.\d+\.\d+$/.test(version)) {
    settings.refuse(`${settings.source('emulated-etcd-version')}=${version} is not a version; write one such as ${DEFAULT_ETCD_VERSION}`);
  }
  return version;
}

function warnings(settings: Settings, backend: RouterConfig['defaultBackend'] | null, source: TopologySource | null, env: Env): string[] {
  const found = deprecationWarnings(DEPRECATED, env);
  if (settings.has('topology-config-tls-dir') && source?.type !== 'secret') {
    found.push(
      `${settings.source('topology-config-tls-dir')} has no effect: only a secret:// topology brings certificates; name their files in the topology (backendTLS)`,
    );
  }
  if (backend?.endpoint.scheme === 'sqlite') {
    const datastore = ['max-idle-connections', 'max-open-connections', 'connection-max-lifetime', 'connection-max-idle-lifetime'];
    for (const name of datastore.map((part) => `datastore-${part}`).filter((flag) => settings.has(flag))) {
      found.push(`${settings.source(name)} has no effect: a SQLite file has a fixed set of connections`);
    }
    for (const name of ['advertise-address', 'writer-lease-duration'].filter((flag) => settings.has(flag))) {
      found.push(`${settings.source(name)} has no effect: one router has a SQLite file to itself, and no other stands by`);
    }
  }
  if (settings.has('compact-timeout')) {
    found.push(`${settings.source('compact-timeout')} has no effect: a step of a compaction is bounded by --compact-batch-size`);
  }
  if (settings.has('poll-batch-size')) {
    found.push(`${settings.source('poll-batch-size')} has no effect: nothing is polled, watches are fed by the writes themselves`);
  }
  return found;
}
