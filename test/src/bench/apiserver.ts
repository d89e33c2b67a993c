import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlPlane, loadCertificates, parseIdentity } from '@harikube/local-cluster';
import { type ApiServerResult, runLoad, type Summary } from './load-client.js';
import { median } from './median.js';
import { cpuMicroseconds, memoryUsage } from './process-usage.js';
import { RunningStore, type StoreName, type StorePrograms } from './stores.js';
import { table } from './table.js';

export interface ApiServerOptions {
  readonly stores: readonly StoreName[];
  readonly repetitions: number;
  readonly seconds: number;
}

interface Measured extends ApiServerResult {
  readonly storeCpuSeconds: number;
  readonly storeMegabytes: number;
  readonly apiServerCpuSeconds: number;
  readonly apiServerMegabytes: number;
}

export interface ApiServerBench {
  readonly options: ApiServerOptions;
  readonly repetitions: Readonly<Partial<Record<StoreName, Measured[]>>>;
  readonly errors: readonly string[];
}

const WORKERS = 10;

/** The same kube-apiserver with its default flags on each store: creates of 1 kB objects of six kinds, then each found by its label. */
export async function measureApiServer(
  options: ApiServerOptions,
  context: {
    client: string;
    programs: StorePrograms;
    kubernetes: { 'kube-apiserver': string; 'kube-controller-manager': string };
    folder: string;
    env: NodeJS.ProcessEnv;
    note: (text: string) => void;
  },
): Promise<ApiServerBench> {
  const repetitions: Partial<Record<StoreName, Measured[]>> = {};
  const errors: string[] = [];
  for (let repetition = 1; repetition <= options.repetitions; repetition += 1) {
    for (const store of options.stores) {
      context.note(`repetition ${repetition} of ${options.repetitions}: kube-apiserver on ${store}`);
      const data = await mkdtemp(join(context.folder, `${store}-`));
      const server = await RunningStore.start(store, context.programs, data);
      try {
        const measured = await measureOn(server, data, options.seconds, context);
        (repetitions[store] ??= []).push(measured);
        const { all } = measured;
        if (all.errors > 0) errors.push(`${store}: ${all.errors} of ${all.requests} wrong, the first: ${all.firstError ?? ''}`);
      } finally {
        await server.stop();
      }
      await rm(data, { recursive: true });
    }
  }
  return { options, repetitions, errors };
}

async function measureOn(
  server: RunningStore,
  data: string,
  seconds: number,
  context: { client: string; kubernetes: { 'kube-apiserver': string; 'kube-controller-manager': string }; env: NodeJS.ProcessEnv },
): Promise<Measured> {
  const dataDir = join(data, 'control-plane');
  const controlPlane = new ControlPlane({
    dataDir,
    programs: context.kubernetes,
    port: 0,
    etcdServers: [`http://${server.endpoint}`],
    env: context.env,
    controllerManager: false,
  });
  await controlPlane.start();
  try {
    const identity = parseIdentity(await readFile(join(dataDir, 'run', 'kube-apiserver.json'), 'utf8'));
    if (identity === null) throw new Error('kube-apiserver left no record of its process');
    const { authority, admin } = await loadCertificates(join(dataDir, 'pki'));
    const before = { store: await cpuMicroseconds(server.pid), api: await cpuMicroseconds(identity.pid) };
    const result = await runLoad<ApiServerResult>(context.client, 'apiserver', {
      endpoint: controlPlane.url,
      ca: authority.certificateFile,
      cert: admin.certificateFile,
      key: admin.keyFile,
      clients: WORKERS,
      duration: `${seconds}s`,
    });
    return {
      ...result,
      storeCpuSeconds: ((await cpuMicroseconds(server.pid)) - before.store) / 1e6,
      storeMegabytes: (await memoryUsage(server.pid)).residentMegabytes,
      apiServerCpuSeconds: ((await cpuMicroseconds(identity.pid)) - before.api) / 1e6,
      apiServerMegabytes: (await memoryUsage(identity.pid)).residentMegabytes,
    };
  } finally {
    await controlPlane.stop();
  }
}

export function apiServerTable({ options, repetitions }: ApiServerBench): string {
  const header = [
    'store',
    'requests/s',
    'avg / med / p90 / p95 ms',
    'create med / p95',
    'list med / p95',
    'store CPU, RSS',
    'kube-apiserver CPU, RSS',
  ];
  const rows = options.stores.map((store) => {
    const of = (read: (measured: Measured) => number, digits: number): string =>
      median((repetitions[store] ?? []).map(read)).toFixed(digits);
    const two = (read: (measured: Measured) => Summary): string =>
      `${of((each) => read(each).p50Ms, 1)} / ${of((each) => read(each).p95Ms, 1)}`;
    const times = [(all: Summary) => all.meanMs, (all: Summary) => all.p50Ms, (all: Summary) => all.p90Ms, (all: Summary) => all.p95Ms];
    return [
      store,
      of((each) => each.all.perSecond, 0),
      times.map((read) => of((each) => read(each.all), 1)).join(' / '),
      two((each) => each.create),
      two((each) => each.list),
      `${of((each) => each.storeCpuSeconds, 1)} s, ${of((each) => each.storeMegabytes, 0)} MB`,
      `${of((each) => each.apiServerCpuSeconds, 1)} s, ${of((each) => each.apiServerMegabytes, 0)} MB`,
    ];
  });
  return table(header, rows);
}
