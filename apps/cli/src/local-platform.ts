/** The platform on this machine: what it has in Kubernetes, and its services as processes that are kept running. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { apiServerHostName } from '@harikube/api-server';
import { EMAIL_TEMPLATES, HTTP_TRIGGERS, KINDS, PLATFORM_NAMESPACE, TOPOLOGY_CONDITIONS, TOPOLOGY_CONFIGS } from '@harikube/crds';
import { ConnectionError, KubeClient, type KubeObject, type Resource, StatusError } from '@harikube/kube';
import {
  type Certificates,
  loadCertificate,
  loadCertificates,
  ManagedProcess,
  type ProcessEvent,
  SetupError,
  Supervisor,
  writeKubeconfig,
  writeWhole,
} from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { awaitCondition, type Conditioned } from './await-condition.js';
import type { DataFolder, ServiceProcess } from './data-folder.js';
import { EXAMPLE_EMAIL_TEMPLATE } from './example-email-template.js';
import { EXAMPLE_HTTP_TRIGGER } from './example-http-trigger.js';
import { exampleTopologyConfigs } from './example-topology-configs.js';
import { isOk } from './http-page.js';
import { keptPorts } from './kept-ports.js';
import { platformObjects, sampleRegistration } from './platform-objects.js';
import { API_SERVICE_NAME, API_SERVICES, DEFINITIONS, REGISTRATIONS, resourceOf } from './platform-resources.js';
import { LAUNCHER } from './repository.js';
import { type ServiceFlags, type ServiceName, SERVICES, TOGETHER_COMMAND } from './services.js';

/** The process of all services, when they are not separate. */
const TOGETHER = 'platform';
type ProcessName = ServiceName | typeof TOGETHER;
const SERVING = ['admission-webhook', 'topology-operator', 'api-server', 'email-function', 'mail-catcher', 'mail-box'] as const;
type PortName = (typeof SERVING)[number] | `${ProcessName}-health`;
type Ports = Readonly<Record<PortName, number>>;
const FIELD_MANAGER = 'harikube-up';
/** When `up` last brought an object about. */
const STARTED_ANNOTATION = 'harikube.info/started-at';
/** How long kube-apiserver may take to follow what was applied. */
const FOLLOW_MS = 60_000;
/** Services finish what they are at; this is longer than they take for it. */
const STOP_MS = 35_000;

export interface LocalPlatformOptions {
  readonly folder: DataFolder;
  readonly apiServerUrl: string;
  /** The admin API of a router that reads its topology from TopologyConfigs; absent: it reads it elsewhere, or there is none. */
  readonly routerAdminUrl?: string;
  /** A process for each service instead of one for all. */
  readonly isSeparate: boolean;
  readonly env: Env;
  readonly onEvent: (event: ProcessEvent) => void;
}

export class LocalPlatform {
  /** The processes that `start` starts. */
  readonly processes: readonly ServiceProcess[];
  readonly #options: LocalPlatformOptions;
  readonly #certificates: Certificates;
  readonly #ports: Ports;
  readonly #argv: ServiceFlags;
  readonly #client: KubeClient;
  readonly #supervisor = new Supervisor();

  private constructor(
    options: LocalPlatformOptions,
    parts: { certificates: Certificates; ports: Ports; argv: ServiceFlags; client: KubeClient },
  ) {
    this.#options = options;
    this.#certificates = parts.certificates;
    this.#ports = parts.ports;
    this.#argv = parts.argv;
    this.#client = parts.client;
    const names: readonly ProcessName[] = options.isSeparate ? servicesFor(options) : [TOGETHER];
    this.processes = names.map((name) => ({ name, healthUrl: `http://127.0.0.1:${parts.ports[healthPort(name)]}` }));
  }

  /** Chooses ports and makes certificates and kubeconfigs, all kept in the data folder; needs its `kubeconfig`, and asks nobody. */
  static async prepare(options: LocalPlatformOptions): Promise<LocalPlatform> {
    const { folder } = options;
    const names = servicesFor(options);
    const processes: readonly ProcessName[] = [TOGETHER, ...names];
    const portNames: readonly PortName[] = [...SERVING, ...processes.map(healthPort)];
    const ports = await keptPorts(folder.ports, portNames);
    const certificates = await loadCertificates(folder.certificates);
    const argv: ServiceFlags = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await serviceArgv(name, options, certificates, ports)] as const)),
    );
    const client = KubeClient.fromConfig({ kubeconfig: folder.kubeconfig, userAgent: FIELD_MANAGER });
    return new LocalPlatform(options, { certificates, ports, argv, client });
  }

  /** Applies the kinds, the accounts and their rights; resolves when the kinds are served. */
  async install(signal: AbortSignal): Promise<void> {
    const { namespaces, definitions, rights } = this.#objects();
    await this.#explained(async () => {
      await this.#apply(namespaces, signal);
      await this.#apply([...definitions, ...rights], signal);
      await Promise.all(definitions.map(({ metadata }) => this.#untilTrue(DEFINITIONS, metadata.name ?? '', 'Established', signal)));
    });
  }

  /** Resolves when the services are ready; they are restarted when they die. */
  async start(signal: AbortSignal): Promise<void> {
    const { folder, isSeparate } = this.#options;
    if (!isSeparate) writeWhole(folder.serviceFlags, `${JSON.stringify(this.#argv, null, 2)}\n`, 0o600);
    const commands = isSeparate
      ? Object.entries(this.#argv).map(([name, argv]) => [name, ...argv])
      : [[TOGETHER_COMMAND, folder.serviceFlags]];
    await Promise.all([
      ...this.processes.map(({ name, healthUrl }, index) =>
        this.#supervisor.start(this.#process(name, healthUrl, commands[index] ?? []), signal),
      ),
      this.#explained(() => this.#wakeKinds(signal)),
    ]);
  }

  /** The webhook configurations, by kind and name. */
  get webhooks(): string[] {
    return this.#objects()
      .calls.filter(({ kind }) => kind !== API_SERVICES.kind)
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  }

  /** Where the mails are shown that nobody is sent; null: they are sent. */
  get mailBoxUrl(): string | null {
    return hasMailServer(this.#options.env) ? null : `http://127.0.0.1:${this.#ports['mail-box']}/`;
  }

  /** Lets kube-apiserver call the services that serve; resolves when a registration would succeed and its mail would be sent. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#explained(async () => {
      await this.#apply(this.#objects().calls.map(lookAgain), signal);
      await this.#untilTrue(API_SERVICES, API_SERVICE_NAME, 'Available', signal);
      await this.#untilRegistrationPasses(signal);
      await this.#createUnlessThere(EMAIL_TEMPLATES, EXAMPLE_EMAIL_TEMPLATE, signal);
      const isNew = await this.#createUnlessThere(HTTP_TRIGGERS, EXAMPLE_HTTP_TRIGGER, signal);
      // It tells what happens from its first look on; one that was there goes on where it was.
      if (isNew) await this.#untilTrue(HTTP_TRIGGERS, EXAMPLE_HTTP_TRIGGER.metadata.name ?? '', 'Ready', signal, PLATFORM_NAMESPACE);
    });
  }

  /** The example's TopologyConfigs, where there are none of their names; resolves when the router has taken up those that are new. */
  async applyTopology(signal: AbortSignal): Promise<void> {
    await this.#explained(async () => {
      await Promise.all(
        exampleTopologyConfigs().map(async (config) => {
          const isNew = await this.#createUnlessThere(TOPOLOGY_CONFIGS, config, signal);
          const { name = '', namespace } = config.metadata;
          if (isNew) await this.#untilTrue(TOPOLOGY_CONFIGS, name, TOPOLOGY_CONDITIONS.active, signal, namespace);
        }),
      );
    });
  }

  /**
   * Takes away what makes kube-apiserver call services that do not run: webhooks would refuse writes, and an aggregated API that does not answer
   * keeps namespaces from being deleted. The next `connect` makes them again.
   */
  static async disconnect(kubeconfig: string, signal: AbortSignal): Promise<void> {
    const client = KubeClient.fromConfig({ kubeconfig, userAgent: FIELD_MANAGER });
    const { calls } = platformObjects({ caBundle: '', webhookPort: 0, apiServerPort: 0, functionPort: 0, topologyPort: 0 });
    try {
      await Promise.all(calls.map((object) => deleteIfThere(client, object, signal)));
    } finally {
      await client.close();
    }
  }

  async stop(): Promise<void> {
    await this.#supervisor.stop();
    await this.#client.close();
  }

  #objects(): ReturnType<typeof platformObjects> {
    return platformObjects({
      caBundle: this.#certificates.authority.certificate,
      webhookPort: this.#ports['admission-webhook'],
      apiServerPort: this.#ports['api-server'],
      functionPort: this.#ports['email-function'],
      topologyPort: this.#options.routerAdminUrl === undefined ? undefined : this.#ports['topology-operator'],
    });
  }

  #process(name: string, healthUrl: string, command: readonly string[]): ManagedProcess {
    const { folder, env, onEvent } = this.#options;
    return new ManagedProcess({
      name,
      command: process.execPath,
      args: [LAUNCHER, ...command],
      env,
      cwd: folder.path,
      logFolder: folder.logs,
      runFolder: folder.runs,
      isReady: (attempt) => isOk(`${healthUrl}/readyz`, attempt),
      readyTimeoutMilliseconds: 120_000,
      stopTimeoutMilliseconds: STOP_MS,
      onEvent,
    });
  }

  /** What Kubernetes refuses is for whoever reads the terminal. */
  async #explained(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof StatusError || error instanceof ConnectionError)) throw error;
      throw new SetupError(`the platform cannot be set up: ${error.message}; every process logs to ${this.#options.folder.logs}`, {
        cause: error,
      });
    }
  }

  /**
   * kube-apiserver makes the storage of a kind at the first request for it, and sends the next ones away until it is filled. Asked while the services
   * load, it is there when they ask; a service that is sent away comes again only after a second or two.
   */
  async #wakeKinds(signal: AbortSignal): Promise<void> {
    await Promise.all(KINDS.map((kind) => this.#client.list(kind, { limit: 1, signal })));
  }

  async #apply(objects: readonly KubeObject[], signal: AbortSignal): Promise<void> {
    await Promise.all(
      objects.map((object) => this.#client.apply(resourceOf(object), object, { fieldManager: FIELD_MANAGER, force: true, signal })),
    );
  }

  async #untilTrue<T extends Conditioned>(
    resource: Resource<T>,
    name: string,
    type: string,
    signal: AbortSignal,
    namespace?: string,
  ): Promise<void> {
    await awaitCondition(this.#client, resource, { name, namespace, type, timeoutMs: FOLLOW_MS, signal });
  }

  /** What people have made of it stays. False: it was there. */
  async #createUnlessThere<T extends KubeObject>(resource: Resource<T>, object: T, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#client.create(resource, object, { fieldManager: FIELD_MANAGER, signal });
      return true;
    } catch (error) {
      if (!(error instanceof StatusError) || !error.isAlreadyExists) throw error;
      return false;
    }
  }

  /** kube-apiserver learns of webhooks and aggregated servers in its own time, and nothing tells when: only an attempt shows it. */
  async #untilRegistrationPasses(signal: AbortSignal): Promise<void> {
    const registration = sampleRegistration(`start-check-${randomUUID().slice(0, 8)}`);
    const deadline = performance.now() + FOLLOW_MS;
    for (;;) {
      try {
        await this.#client.create(REGISTRATIONS, registration, { dryRun: true, signal });
        return;
      } catch (error) {
        if (signal.aborted || !(error instanceof StatusError || error instanceof ConnectionError)) throw error;
        if (performance.now() > deadline) throw error;
        await delay(100, undefined, { signal });
      }
    }
  }
}

/**
 * kube-apiserver comes back to an aggregated server that did not answer after a pause that grows while an earlier run's is not served yet; a change of
 * the APIService makes it look at once.
 */
function lookAgain(object: KubeObject): KubeObject {
  if (object.kind !== API_SERVICES.kind) return object;
  const annotations = { ...object.metadata.annotations, [STARTED_ANNOTATION]: new Date().toISOString() };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

async function deleteIfThere(client: KubeClient, object: KubeObject, signal: AbortSignal): Promise<void> {
  try {
    await client.delete(resourceOf(object), object.metadata.name ?? '', undefined, { signal });
  } catch (error) {
    if (!(error instanceof StatusError) || !error.isNotFound) throw error;
  }
}

/** Whether mails go to a server that the user has named; otherwise they are caught. */
function hasMailServer(env: Env): boolean {
  return (env['SMTP_HOST'] ?? '') !== '';
}

function servicesFor({ env, routerAdminUrl }: LocalPlatformOptions): ServiceName[] {
  const isWanted = (name: ServiceName): boolean => {
    if (name === 'mail-catcher') return !hasMailServer(env);
    return name !== 'topology-operator' || routerAdminUrl !== undefined;
  };
  return SERVICES.map(({ name }) => name).filter(isWanted);
}

function healthPort(process: ProcessName): `${ProcessName}-health` {
  return `${process}-health`;
}

/** The flags of a service; its certificates and its kubeconfig are there afterwards. */
async function serviceArgv(name: ServiceName, options: LocalPlatformOptions, certificates: Certificates, ports: Ports): Promise<string[]> {
  const page = `127.0.0.1:${ports[healthPort(options.isSeparate ? name : TOGETHER)]}`;
  const account = name === 'mail-catcher' ? [] : await accountArgv(name, options, certificates);
  return [
    ...account,
    `--health-probe-bind-address=${page}`,
    `--metrics-bind-address=${page}`,
    ...(await ownArgv(name, options, certificates, ports)),
  ];
}

async function accountArgv(
  name: ServiceName,
  { folder, apiServerUrl }: LocalPlatformOptions,
  certificates: Certificates,
): Promise<string[]> {
  // As the service's own account: what it may not do in a cluster it may not do here.
  const client = await loadCertificate(folder.certificates, certificates, {
    file: `${name}-client`,
    commonName: `system:serviceaccount:${PLATFORM_NAMESPACE}:${name}`,
    organizations: ['system:serviceaccounts', `system:serviceaccounts:${PLATFORM_NAMESPACE}`],
    use: 'client',
  });
  const kubeconfig = join(folder.path, `${name}.kubeconfig`);
  writeKubeconfig(kubeconfig, { server: apiServerUrl, authority: certificates.authority, user: name, client });
  return [`--kubeconfig=${kubeconfig}`, `--namespace=${PLATFORM_NAMESPACE}`];
}

/** The flags that a service alone has. */
async function ownArgv(
  name: ServiceName,
  { folder, env, routerAdminUrl }: LocalPlatformOptions,
  certificates: Certificates,
  ports: Ports,
): Promise<string[]> {
  const certFolder = join(folder.certificates, name);
  const load = (serverNames: readonly string[]): Promise<unknown> =>
    loadCertificate(certFolder, certificates, { file: 'tls', commonName: name, use: 'server', serverNames });
  switch (name) {
    case 'admission-webhook':
      await load([]);
      return [`--webhook-bind-address=127.0.0.1:${ports[name]}`, `--webhook-cert-path=${certFolder}`];
    case 'api-server':
      await load([apiServerHostName(PLATFORM_NAMESPACE)]);
      return [
        `--secure-bind-address=127.0.0.1:${ports[name]}`,
        `--api-service-cert-path=${certFolder}`,
        // Nobody balances requests here: there is nothing to wait for before it ends, and a terminal should not wait long.
        '--shutdown-delay-duration=0s',
        '--shutdown-drain-duration=10s',
      ];
    case 'topology-operator':
      await load([]);
      return [
        `--webhook-bind-address=127.0.0.1:${ports[name]}`,
        `--webhook-cert-path=${certFolder}`,
        `--router-admin-url=${routerAdminUrl ?? ''}`,
        `--router-admin-token-file=${folder.adminToken}`,
      ];
    case 'email-function':
      return [
        `--function-bind-address=127.0.0.1:${ports[name]}`,
        '--suppress-lock',
        '--healthcheck-interval=0s',
        ...(hasMailServer(env) ? [] : ['--smtp-host=127.0.0.1', `--smtp-port=${ports['mail-catcher']}`, '--smtp-tls-mode=none']),
      ];
    case 'watch-trigger':
      // What people try here runs on this machine.
      return ['--allowed-targets=127.0.0.0/8,::1/128'];
    case 'mail-catcher':
      return [
        `--mail-folder=${folder.mails}`,
        `--smtp-bind-address=127.0.0.1:${ports[name]}`,
        `--http-bind-address=127.0.0.1:${ports['mail-box']}`,
      ];
    case 'registration-controller':
    case 'tenant-controller':
    case 'user-controller':
      return [];
  }
}
