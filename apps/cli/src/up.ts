import { ROUTER_ENV, ROUTER_NODE_FLAGS } from '../bin/router-memory.js';
import { execFile } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { dirname, join, relative } from 'node:path';
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
} from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { DataFolder } from './data-folder.js';
import { EXAMPLES, LAUNCHER } from './repository.js';
import { Terminal } from './terminal.js';
import { EXAMPLE_TOPOLOGY, topologyAddress } from './topology-address.js';

/** Longest path that a unix socket may have on every system. */
const SOCKET_PATH_BYTES = 100;

export interface UpOptions {
  readonly data: string;
  readonly port: number;
  readonly topology?: string;
  readonly bare: boolean;
  readonly store: 'router' | 'etcd';
  readonly urls: Partial<ReleaseUrls>;
}

interface Store {
  readonly endpoint: string;
  readonly healthUrl?: string;
  stop(): Promise<void>;
}

/** Runs a control plane until a signal comes; resolves to the exit code. Refuses with a `SetupError` or `ProcessStartError`. */
export async function up(options: UpOptions, env: Env): Promise<number> {
  const topology = topologyOf(options, env);
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
      else terminal.note(`${event.name} runs again`);
    };
    const store = await terminal.step(options.store === 'etcd' ? `etcd ${ETCD_VERSION}` : 'router', async () => {
      return options.store === 'etcd'
        ? await startEtcd(folder, binaries.etcd.path, env, onEvent, signal)
        : await startRouter(folder, topology, env, onEvent, signal);
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
    const state = {
      supervisor: ownIdentity(),
      startedAt: new Date().toISOString(),
      store: options.store,
      storeEndpoint: store.endpoint,
      routerHealthUrl: store.healthUrl,
      apiServerUrl: `https://127.0.0.1:${options.port}`,
    };
    folder.writeState({ ...state, isReady: false });
    await terminal.step('kube-apiserver and kube-controller-manager', () => controlPlane.start(signal));

    if (!options.bare) {
      const kubectl = (...args: string[]): Promise<void> =>
        runKubectl(binaries.kubectl.path, args, { ...env, KUBECONFIG: folder.kubeconfig }, signal);
      await terminal.step('example CRDs (Tenant, User, Email)', async () => {
        await kubectl('apply', '--server-side', '--force-conflicts', '-f', join(EXAMPLES, 'crds'));
        await kubectl('wait', '--for=condition=Established', '--timeout=60s', '-f', join(EXAMPLES, 'crds'));
      });
    }
    folder.writeState({ ...state, isReady: true });
    terminal.print(screen(folder, options, { topology, store, kubectl: binaries.kubectl, apiServerUrl: controlPlane.url }));
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
  return topologyAddress(options.topology, env) ?? (options.bare ? undefined : EXAMPLE_TOPOLOGY);
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
  topology: string | undefined,
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
        '--endpoint',
        'multi://sqlite://./main.db',
        '--metrics-bind-address',
        health,
      ],
      env: { ...ROUTER_ENV, ...env, TOPOLOGY_CONFIG: topology },
      cwd: folder.databases,
      logFolder: folder.logs,
      runFolder: folder.runs,
      isReady: (attempt) => answersOk(`http://${health}/readyz`, attempt),
      onEvent,
    }),
    signal,
  );
  return { endpoint, healthUrl: `http://${health}`, stop: () => supervisor.stop() };
}

function answersOk(url: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((done) => {
    get(url, { agent: false, timeout: 2000, signal }, (response) => {
      response.resume();
      done(response.statusCode === 200);
    }).once('error', () => done(false));
  });
}

function runKubectl(program: string, args: readonly string[], env: Env, signal: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    execFile(program, [...args], { env, signal }, (error, _stdout, stderr) => {
      if (error === null) done();
      else fail(new SetupError(`kubectl ${args[0]} failed: ${stderr.trim() || error.message}`, { cause: error }));
    });
  });
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

interface ScreenFacts {
  readonly topology: string | undefined;
  readonly store: Store;
  readonly kubectl: { readonly path: string; readonly source: string };
  readonly apiServerUrl: string;
}

function screen(folder: DataFolder, options: UpOptions, { topology, store, kubectl, apiServerUrl }: ScreenFacts): string {
  const rows: [string, string][] =
    options.store === 'etcd'
      ? [['etcd', `${store.endpoint}, data in ${shown(join(folder.path, 'etcd'))}`]]
      : [
          ['router', `${store.endpoint}, health at ${store.healthUrl}/readyz`],
          ['databases', `${databaseFiles(folder.databases).join(', ')} in ${shown(folder.databases)}`],
          ['topology', topology ?? 'none: everything lives in main.db'],
        ];
  rows.push(['Kubernetes API', `${apiServerUrl} (kube-apiserver ${KUBERNETES_VERSION})`], ['logs', shown(folder.logs)]);
  const commands = options.bare
    ? ['kubectl get namespaces', 'kubectl create namespace demo', 'kubectl api-resources']
    : ['kubectl get crds', `kubectl apply -f ${shown(join(EXAMPLES, 'webshop.yaml'))}`, 'kubectl get tenants,users,emails -A'];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return [
    '',
    ...rows.map(([name, value]) => `  ${name.padEnd(width)}${value}`),
    '',
    `  export KUBECONFIG=${quoted(folder.kubeconfig)}`,
    ...(kubectl.source === 'PATH' ? [] : [`  export PATH=${quoted(dirname(kubectl.path))}:"$PATH"`]),
    '',
    '  try:',
    ...commands.map((command) => `    ${command}`),
    '',
  ].join('\n');
}

function databaseFiles(folder: string): string[] {
  return readdirSync(folder).filter((file) => file.endsWith('.db'));
}

/** A path below the current folder in its short form. */
function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short === '' || short.startsWith('..') ? path : short;
}

function quoted(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
