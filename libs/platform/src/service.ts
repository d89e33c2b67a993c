import { type Env, readEnv } from './env.js';
import { type FlagDefinition, type FlagSet, flagUsage, parseFlags, type Settings } from './flags.js';
import type { HealthChecks } from './health.module.js';
import { createLogger, type Logger, type LogFormat } from './logger.js';
import { createMetrics, type Registry } from './metrics.js';
import { closeOnSignal, type ShutdownStep } from './shutdown.js';
import { startTracing } from './tracing.js';

/** An address to listen on. Host empty: every interface. Port 0: the system picks one. */
export interface BindAddress {
  readonly host: string;
  readonly port: number;
}

/** What every program of the platform is told. */
export interface ServiceSettings {
  /** Null: KUBECONFIG, the account of the pod, or the user's own file. */
  readonly kubeconfig: string | null;
  /** The namespace of the platform: leases, templates, services. */
  readonly namespace: string;
  /** Of several replicas only the one that holds the lease works. */
  readonly leaderElect: boolean;
  /** Null: off. */
  readonly metricsListen: BindAddress | null;
  /** Null: off. */
  readonly healthListen: BindAddress | null;
  readonly logFormat: LogFormat;
  readonly debug: boolean;
}

export const SERVICE_FLAGS: readonly FlagDefinition[] = [
  { name: 'kubeconfig', env: ['KUBECONFIG'], help: 'how to reach Kubernetes', shownDefault: "the pod's account, or ~/.kube/config" },
  { name: 'namespace', env: ['POD_NAMESPACE'], help: 'the namespace of the platform itself', shownDefault: 'harikube-system' },
  { name: 'leader-elect', isSwitch: true, help: 'work only while holding the lease, so that replicas stand by' },
  { name: 'metrics-bind-address', help: 'where to serve metrics: HOST:PORT, :PORT for every interface, 0 = off', shownDefault: '0' },
  { name: 'health-probe-bind-address', help: 'where to serve /livez and /readyz; 0 = off', shownDefault: ':8081' },
  { name: 'log-format', help: 'plain or json', shownDefault: 'plain' },
  { name: 'debug', isSwitch: true, help: 'log more' },
];

/** Reads the settings of `SERVICE_FLAGS`. */
export function serviceSettings(settings: Settings): ServiceSettings {
  return {
    kubeconfig: settings.text('kubeconfig'),
    namespace: settings.text('namespace') ?? 'harikube-system',
    leaderElect: settings.boolean('leader-elect'),
    metricsListen: bindAddress(settings, 'metrics-bind-address', '0'),
    healthListen: bindAddress(settings, 'health-probe-bind-address', ':8081'),
    logFormat: settings.oneOf('log-format', ['plain', 'json']),
    debug: settings.boolean('debug'),
  };
}

/** `HOST:PORT`, `:PORT`, `[::1]:PORT`; null for `0`. What is no address is refused. */
export function bindAddress(settings: Settings, name: string, absent: string): BindAddress | null {
  const text = settings.text(name) ?? absent;
  if (text === '0') return null;
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]*)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    settings.refuse(`${settings.source(name)}=${text} is not an address; write HOST:PORT or :PORT, or 0 for none`);
    return null;
  }
  return { host: match[1] ?? match[2] ?? '', port };
}

/** What a service works with beside its settings. */
export interface ServiceContext {
  readonly logger: Logger;
  /** Of the whole process: holds its own metrics already, and those of the services beside this one. */
  readonly registry: Registry;
}

export interface RunningService {
  readonly checks: HealthChecks;
  /** Settles when the service has ended; a rejection before `close` means that it cannot go on, and ends the process. */
  readonly ended?: Promise<void>;
  /** Ends its work in good order. */
  close(): Promise<void>;
}

/** A program of the platform: alone in its process, or together with others. */
export interface Service<Config extends ServiceSettings> {
  /** The command: `harikube <name>`. */
  readonly name: string;
  /** One line for the usage text. */
  readonly summary: string;
  /** Beside `SERVICE_FLAGS`. */
  readonly flags: readonly FlagDefinition[];
  /** Reads its own settings; what cannot be used is refused on `settings`. */
  configure(settings: Settings, common: ServiceSettings, env: Env): Config;
  /** Throws errors with an `exitCode` for whoever started it; leaves nothing open then. */
  start(config: Config, context: ServiceContext): Promise<RunningService>;
}

/** What `harikube` knows of a service: its settings are its own business. */
export interface ServiceProgram {
  readonly name: string;
  readonly summary: string;
  /** All that it takes: its own and `SERVICE_FLAGS`. */
  readonly flags: readonly FlagDefinition[];
  usage(): string;
  /** Throws `ConfigError` with everything that cannot be used. */
  prepare(argv: readonly string[], env: Env): PreparedService;
}

export interface PreparedService {
  readonly name: string;
  readonly common: ServiceSettings;
  start(context: ServiceContext): Promise<RunningService>;
}

export function serviceProgram<Config extends ServiceSettings>(service: Service<Config>): ServiceProgram {
  const set: FlagSet = { flags: [...service.flags, ...SERVICE_FLAGS] };
  return {
    name: service.name,
    summary: service.summary,
    flags: set.flags,
    usage: () => flagUsage(set),
    prepare: (argv, env) => {
      const settings = parseFlags(set, argv, env);
      const common = serviceSettings(settings);
      const config = service.configure(settings, common, env);
      settings.finish();
      return { name: service.name, common, start: (context) => service.start(config, context) };
    },
  };
}

/** The process ends by then after a signal, whatever is still open. */
const SHUTDOWN_DEADLINE_MS = 65_000;

/**
 * Runs services in this process until SIGTERM or SIGINT; resolves when all have started. They share one page of metrics and health and one
 * log: those of the first.
 */
export async function runServices(services: readonly PreparedService[]): Promise<void> {
  const [first] = services;
  if (first === undefined) throw new Error('no service to run');
  const { common } = first;
  const logger = createLogger({ format: common.logFormat, debug: common.debug });
  const steps: ShutdownStep[] = [];
  let isClosing = false;
  const stepsToClose = (): ShutdownStep[] => {
    isClosing = true;
    return steps;
  };
  closeOnSignal({ logger, steps: stepsToClose, deadlineMs: SHUTDOWN_DEADLINE_MS });
  try {
    const registry = createMetrics();
    const traceName = services.length === 1 ? `harikube-${first.name}` : 'harikube';
    const endTracing = await startTracing({ env: readEnv(), service: traceName, logger });
    steps.push({ name: 'traces', close: endTracing });
    const running: RunningService[] = [];
    for (const service of services) {
      const one = await service.start({ logger: services.length === 1 ? logger : logger.child({ service: service.name }), registry });
      running.push(one);
      one.ended?.catch((err: unknown) => {
        // Whatever else runs in this process may be cut off anywhere, as by a crash.
        if (isClosing) return;
        logger.error('a service cannot go on, the process ends', { service: service.name, err });
        process.exit(1);
      });
      steps.unshift({ name: service.name, close: () => one.close() });
    }
    const checks: HealthChecks = {
      live: () => running.flatMap((one) => one.checks.live()),
      ready: () => running.flatMap((one) => one.checks.ready()),
    };
    await serveAdmin(common, { registry, checks, logger }, steps);
    logger.info('all services have started', { services: services.map(({ name }) => name) });
  } catch (error) {
    // A start that fails half way leaves nothing that listens or works.
    for (const step of [...stepsToClose()]) await step.close();
    throw error;
  }
}

async function serveAdmin(
  { healthListen, metricsListen }: ServiceSettings,
  parts: ServiceContext & { readonly checks: HealthChecks },
  steps: ShutdownStep[],
): Promise<void> {
  const isShared = healthListen?.host === metricsListen?.host && healthListen?.port === metricsListen?.port;
  const addresses = (isShared ? [healthListen] : [healthListen, metricsListen]).filter((address) => address !== null);
  if (addresses.length === 0) return;
  const { startAdminServer } = await import('./http-admin.js');
  for (const address of addresses) {
    const admin = await startAdminServer({ ...address, ...parts });
    // After the services themselves: until then /readyz tells that they end.
    steps.push({ name: 'metrics and health', close: () => admin.close() });
    parts.logger.info('serving metrics and health', { port: admin.port });
  }
}
