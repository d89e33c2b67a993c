import { ROUTER_ENV, ROUTER_NODE_FLAGS } from '../bin/router-memory.js';
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  Binaries,
  checkPort,
  ControlPlane,
  endLeftovers,
  ETCD_VERSION,
  explainFileError,
  formatElapsed,
  freePort,
  identifyProcess,
  KUBERNETES_VERSION,
  ManagedProcess,
  PlainEtcd,
  type ProcessEvent,
  type Program,
  type ReleaseUrls,
  SetupError,
  Supervisor,
  writeWhole,
} from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { DataFolder, type RunningState } from './data-folder.js';
import { isOk } from './http-page.js';
import { readyScreen, shown } from './ready-screen.js';
import { LAUNCHER } from './repository.js';
import { Terminal } from './terminal.js';
import { TOPOLOGY_SECRET, topologyAddress } from './topology-address.js';

/** Longest path that a unix socket may have on every system. */
const SOCKET_PATH_BYTES = 100;

export interface UpOptions {
  readonly data: string;
  readonly port: number;
  readonly topology?: string;
  /** Data source name of the default database; a SQLite file when undefined. */
  readonly endpoint?: string;
  /** No platform: the control plane alone. */
  readonly bare: boolean;
  /** A process for each service of the platform. */
  readonly separate: boolean;
  readonly store: 'router' | 'etcd';
  readonly urls: Partial<ReleaseUrls>;
}

interface Store {
  readonly endpoint: string;
  readonly healthUrl?: string;
  readonly adminUrl?: string;
  stop(): Promise<void>;
}

/** Runs a control plane until a signal comes; resolves to the exit code. Refuses with a `SetupError` or `ProcessStartError`. */
export async function up(options: UpOptions, env: Env): Promise<number> {
  if (options.bare && options.separate)
    throw new SetupError('--separate has no meaning with --bare, which runs no services: leave one of them out');
  const topology = topologyOf(options, env);
  const database = await defaultDatabaseOf(options);
  const folder = new DataFolder(options.data);
  const terminal = new Terminal(process.stdout);
  const startedAt = performance.now();
  const lock = await folder.claim();
  const stops: (() => Promise<void>)[] = [];
  const interruption = listenForStop(terminal);
  const { signal } = interruption;
  try {
    const leftovers = await endLeftovers(folder.runs);
    if (leftovers.length > 0) terminal.note(`ended what an earlier run left behind: ${leftovers.join(', ')}`);
    await checkPort(options.port, '--port');

    const needed: Program[] = [
      'kube-apiserver',
      'kube-controller-manager',
      'kubectl',
      ...(options.store === 'etcd' ? (['etcd'] as const) : []),
    ];
    const binaries = await new Binaries({ env, progress: terminal, urls: options.urls }).find(needed, signal);
    terminal.note(
      `Kubernetes ${KUBERNETES_VERSION}: ${[...new Set(needed.map((name) => `${dirname(binaries[name].path)} (${binaries[name].source})`))].join(', ')}`,
    );

    const onEvent = (event: ProcessEvent): void => {
      if (event.type === 'died')
        terminal.note(
          `${event.name} ${event.how}; it is started again in ${event.restartInMilliseconds / 1000}s, see ${join(folder.logs, event.name)}.log`,
        );
      else if (event.type === 'killed') terminal.note(`${event.name} did not end within ${event.afterMilliseconds / 1000}s and was killed`);
      else terminal.note(`${event.name} runs again`);
    };
    const store = await terminal.step(options.store === 'etcd' ? `etcd ${ETCD_VERSION}` : 'router', async () => {
      return options.store === 'etcd'
        ? await startEtcd(folder, binaries.etcd.path, env, onEvent, signal)
        : await startRouter(folder, { topology, database, apiServerUrl: `https://127.0.0.1:${options.port}` }, env, onEvent, signal);
    });
    stops.push(() => store.stop());

    const controlPlane = new ControlPlane({
      dataDir: folder.path,
      programs: { 'kube-apiserver': binaries['kube-apiserver'].path, 'kube-controller-manager': binaries['kube-controller-manager'].path },
      port: options.port,
      etcdServers: [store.endpoint],
      env,
      progress: terminal,
      onEvent,
    });
    stops.push(() => controlPlane.stop());
    let state: RunningState = {
      supervisor: ownIdentity(),
      startedAt: new Date().toISOString(),
      store: options.store,
      storeEndpoint: store.endpoint,
      defaultDatabase: database?.shown,
      routerHealthUrl: store.healthUrl,
      adminUrl: store.adminUrl,
      adminTokenFile: store.adminUrl === undefined ? undefined : folder.adminToken,
      apiServerUrl: `https://127.0.0.1:${options.port}`,
      isReady: false,
    };
    const keepState = (more: Partial<RunningState>): void => folder.writeState((state = { ...state, ...more }));
    keepState({});
    const [, platformCode] = await terminal.step('kube-apiserver and kube-controller-manager', () =>
      // What the platform needs is read while Kubernetes starts.
      Promise.all([controlPlane.start(signal), options.bare ? null : import('./local-platform.js')]),
    );
    keepState({ controllerManagerUrl: controlPlane.controllerManagerUrl ?? undefined });

    if (platformCode !== null) {
      const { apiServerUrl } = state;
      const routerAdminUrl = topology === TOPOLOGY_SECRET ? store.adminUrl : undefined;
      const platform = await platformCode.LocalPlatform.prepare({
        folder,
        apiServerUrl,
        routerAdminUrl,
        isSeparate: options.separate,
        env,
        onEvent,
      });
      stops.push(() => platform.stop());
      keepState({ services: platform.processes, webhooks: platform.webhooks, mailBoxUrl: platform.mailBoxUrl ?? undefined });
      await terminal.step('kinds, accounts and rights of the platform', () => platform.install(signal));
      await terminal.step(`services (${platform.processes.map(({ name }) => name).join(', ')})`, () => platform.start(signal));
      await terminal.step('admission, aggregated API and trigger', () => platform.connect(signal));
      if (routerAdminUrl !== undefined) await terminal.step('topology', () => platform.applyTopology(signal));
    } else if (existsSync(folder.ports)) {
      const { LocalPlatform } = await import('./local-platform.js');
      await terminal.step('webhooks and aggregated API of an earlier run removed', () =>
        LocalPlatform.disconnect(folder.kubeconfig, signal),
      );
    }
    keepState({ isReady: true });
    terminal.print(readyScreen({ folder, state, topology, kubectl: binaries.kubectl }));
    terminal.print(
      `HariKube is ready (${formatElapsed(performance.now() - startedAt)}). Ctrl-C stops it; the data stays in ${shown(folder.path)}.`,
    );
    await interruption.stopped;
    return 0;
  } catch (error) {
    if (signal.aborted) return 130;
    throw explainFileError(error, folder.path);
  } finally {
    if (stops.length > 0) terminal.note('stopping');
    for (const stop of stops.reverse()) await stop();
    folder.clearState();
    lock.release();
    if (stops.length > 0) terminal.note('stopped');
    interruption.close();
  }
}

/** The address of the topology that the router is to read; undefined: none, everything lives in the default database. */
function topologyOf(options: UpOptions, env: Env): string | undefined {
  if (options.store === 'etcd') {
    if (options.topology === undefined) return undefined;
    throw new SetupError('--topology has no meaning with --store etcd, which keeps everything in one etcd: leave one of them out');
  }
  return topologyAddress(options.topology, env) ?? (options.bare ? undefined : TOPOLOGY_SECRET);
}

interface DefaultDatabase {
  readonly dataSourceName: string;
  /** Without credentials. */
  readonly shown: string;
}

/** Undefined: a SQLite file. One that cannot be used is refused before anything is started. */
async function defaultDatabaseOf({ endpoint, store }: UpOptions): Promise<DefaultDatabase | undefined> {
  if (endpoint === undefined) return undefined;
  if (store === 'etcd')
    throw new SetupError(
      '--endpoint has no meaning with --store etcd, which keeps everything in an etcd of its own: leave one of them out',
    );
  const { EndpointError, parseEndpoint, redactEndpoint } = await import('@harikube/datasources');
  try {
    parseEndpoint(endpoint, { allowMulti: true });
  } catch (error) {
    if (error instanceof EndpointError) throw new SetupError(`--endpoint is not usable: ${error.message}`);
    throw error;
  }
  return { dataSourceName: endpoint.replace(/^multi:\/\//, ''), shown: redactEndpoint(endpoint) };
}

async function startEtcd(
  folder: DataFolder,
  program: string,
  env: Env,
  onEvent: (event: ProcessEvent) => void,
  signal: AbortSignal,
): Promise<Store> {
  const etcd = new PlainEtcd({ dataDir: folder.path, program, env, onEvent });
  await etcd.start(signal);
  return { endpoint: etcd.url, stop: () => etcd.stop() };
}

async function startRouter(
  folder: DataFolder,
  {
    topology,
    database,
    apiServerUrl,
  }: { readonly topology: string | undefined; readonly database: DefaultDatabase | undefined; readonly apiServerUrl: string },
  env: Env,
  onEvent: (event: ProcessEvent) => void,
  signal: AbortSignal,
): Promise<Store> {
  const socket = join(folder.runs, 'router.sock');
  // A socket in a folder of the owner only keeps other users of the machine out; some paths cannot hold one.
  const isUsable = Buffer.byteLength(socket) <= SOCKET_PATH_BYTES && /^[\w./-]+$/.test(socket);
  const endpoint = isUsable ? `unix://${socket}` : `http://127.0.0.1:${await freePort()}`;
  if (isUsable) rmSync(socket, { force: true });
  const health = `127.0.0.1:${await freePort()}`;
  const admin = `127.0.0.1:${await freePort()}`;
  writeAdminToken(folder.adminToken);
  let kubeconfig: string[] = [];
  if (topology?.startsWith('secret://') === true) {
    const { writeRouterKubeconfig } = await import('./router-account.js');
    kubeconfig = ['--kubeconfig', await writeRouterKubeconfig(folder, apiServerUrl)];
  }
  const supervisor = new Supervisor();
  await supervisor.start(
    new ManagedProcess({
      name: 'router',
      command: process.execPath,
      args: [
        ...ROUTER_NODE_FLAGS,
        LAUNCHER,
        'router',
        '--listen-address',
        endpoint,
        '--metrics-bind-address',
        health,
        '--admin-bind-address',
        admin,
        '--admin-token-file',
        folder.adminToken,
        ...kubeconfig,
      ],
      // Not among the arguments, which everybody on the machine can read.
      env: {
        ...ROUTER_ENV,
        ...env,
        TOPOLOGY_CONFIG: topology,
        KINE_ENDPOINT: `multi://${database?.dataSourceName ?? 'sqlite://./main.db'}`,
      },
      cwd: folder.databases,
      logFolder: folder.logs,
      runFolder: folder.runs,
      isReady: (attempt) => isOk(`http://${health}/readyz`, attempt),
      onEvent,
    }),
    signal,
  );
  return { endpoint, healthUrl: `http://${health}`, adminUrl: `http://${admin}`, stop: () => supervisor.stop() };
}

/** Kept over restarts: whoever has read it may go on. */
function writeAdminToken(file: string): void {
  if (!existsSync(file)) writeWhole(file, `${randomBytes(32).toString('hex')}\n`, 0o600);
}

function ownIdentity(): NonNullable<ReturnType<typeof identifyProcess>> {
  const identity = identifyProcess(process.pid);
  if (identity === null) throw new SetupError('this process cannot be found in the process table: is /proc mounted?');
  return identity;
}

interface Interruption {
  readonly signal: AbortSignal;
  readonly stopped: Promise<void>;
  close(): void;
}

/** The first signal asks for a clean stop; another one a second later kills everything. */
function listenForStop(terminal: Terminal): Interruption {
  const controller = new AbortController();
  let askedAt: number | null = null;
  const stop = (): void => {
    if (askedAt === null) {
      askedAt = performance.now();
      controller.abort();
    } else if (performance.now() - askedAt > 1000) {
      terminal.note('killed');
      // The supervisors kill their children when this process exits.
      process.exit(130);
    }
  };
  const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, stop);
  const { signal } = controller;
  // Listening for signals alone does not keep a process alive.
  const alive = setInterval(() => undefined, 3_600_000);
  return {
    signal,
    stopped: new Promise((done) => signal.addEventListener('abort', () => done(), { once: true })),
    close: () => {
      clearInterval(alive);
      for (const name of signals) process.off(name, stop);
    },
  };
}
