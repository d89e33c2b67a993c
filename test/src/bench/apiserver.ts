import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BenchControlPlane, type KubernetesContext } from './bench-control-plane.js';
import { type ApiServerResult, runLoad, type Summary } from './load-client.js';
import { median } from './median.js';
import { cpuMicroseconds, memoryUsage } from './process-usage.js';
import { RunningStore, type StoreName } from './stores.js';
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
export async function measureApiServer(options: ApiServerOptions, context: KubernetesContext): Promise<ApiServerBench> {
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

async function measureOn(server: RunningStore, data: string, seconds: number, context: KubernetesContext): Promise<Measured> {
  const controlPlane = await BenchControlPlane.start(server, data, context);
  const { apiServerPid } = controlPlane;
  try {
    const before = { store: await cpuMicroseconds(server.pid), api: await cpuMicroseconds(apiServerPid) };
    const result = await runLoad<ApiServerResult>(context.client, 'apiserver', {
      ...controlPlane.access,
      clients: WORKERS,
      duration: `${seconds}s`,
    });
    return {
      ...result,
      storeCpuSeconds: ((await cpuMicroseconds(server.pid)) - before.store) / 1e6,
      storeMegabytes: (await memoryUsage(server.pid)).residentMegabytes,
      apiServerCpuSeconds: ((await cpuMicroseconds(apiServerPid)) - before.api) / 1e6,
      apiServerMegabytes: (await memoryUsage(apiServerPid)).residentMegabytes,
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
    'store CPU, per request, RSS',
    'kube-apiserver CPU, RSS',
  ];
  const [reference] = options.stores;
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
      `${of((each) => each.storeCpuSeconds, 1)} s, ${of(cpuPerRequest, 0)} µs, ${of((each) => each.storeMegabytes, 0)} MB`,
      `${of((each) => each.apiServerCpuSeconds, 1)} s, ${of((each) => each.apiServerMegabytes, 0)} MB`,
    ];
  });
  const comparisons = options.stores.slice(1).map((store) => {
    const ratio = (read: (measured: Measured) => number): string => {
      const theirs = repetitions[store] ?? [];
      const own = (reference === undefined ? undefined : repetitions[reference]) ?? [];
      return median(own.map((measured, i) => read(measured) / (theirs[i] === undefined ? Number.NaN : read(theirs[i])))).toFixed(2);
    };
    return `- ${reference} ÷ ${store}: requests/s ${ratio((each) => each.all.perSecond)}, p95 ${ratio((each) => each.all.p95Ms)}, CPU of the store ${ratio((each) => each.storeCpuSeconds)}, per request ${ratio(cpuPerRequest)}`;
  });
  return [table(header, rows), '', ...comparisons].join('\n');
}

/** Microseconds of the store's processor time. */
function cpuPerRequest({ storeCpuSeconds, all }: Measured): number {
  return (storeCpuSeconds * 1e6) / Math.max(1, all.requests);
}
