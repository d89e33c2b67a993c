import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runLoad, type Summary } from './load-client.js';
import { median } from './median.js';
import { cpuMicroseconds, type MemoryUsage, memoryUsage } from './process-usage.js';
import type { LoadContext } from './bench-context.js';
import { cachedMegabytes, dropFromPageCache } from './page-cache.js';
import { RunningStore, type StoreName } from './stores.js';
import { table } from './table.js';

type Kind = 'create' | 'get' | 'list';

/** `create@16`: creates from 16 clients at once. */
export interface Phase {
  readonly kind: Kind;
  readonly clients: number;
}

/** What gets and lists read. */
const KEYS_TO_READ = 5000;

export const DEFAULT_PHASES = 'create@1,create@16,create@64,get@1,get@16,get@64,list@4';

export interface PhasesOptions {
  readonly stores: readonly StoreName[];
  readonly phases: readonly Phase[];
  readonly repetitions: number;
  readonly seconds: number;
  /** Seconds that each phase runs unmeasured before. */
  readonly warmUp: number;
  /** Keys to get and list; lists are walks through all of them then. 0: few keys, and their first page. */
  readonly preload: number;
  /** Before each phase that reads, the system is asked to forget the store's files. */
  readonly cold: boolean;
  /** The load comes from grpc-go's client instead of a light one (test/bench/client/light.go). */
  readonly grpcGo: boolean;
}

interface Measured extends Summary {
  readonly cpuMicroseconds: number;
}

interface Repetition {
  readonly phases: readonly Measured[];
  readonly memory: MemoryUsage;
  /** Of the store's files: in the page cache, and altogether, before the last phase that reads. */
  readonly pageCache: { readonly cached: number; readonly size: number };
}

export interface PhasesResult {
  readonly options: PhasesOptions;
  readonly repetitions: Readonly<Partial<Record<StoreName, Repetition[]>>>;
  readonly errors: readonly string[];
}

export function parsePhases(text: string): Phase[] | null {
  const phases: Phase[] = [];
  for (const word of text.split(',')) {
    const match = /^(create|get|list)@([1-9]\d*)$/.exec(word);
    if (match === null) return null;
    phases.push({ kind: match[1] as Kind, clients: Number(match[2]) });
  }
  return phases;
}

/** Every repetition starts every store afresh, one after another, so that what else the machine does meets them all alike. */
export async function measurePhases(options: PhasesOptions, { client, programs, folder, note }: LoadContext): Promise<PhasesResult> {
  const repetitions: Partial<Record<StoreName, Repetition[]>> = {};
  const errors: string[] = [];
  for (let repetition = 1; repetition <= options.repetitions; repetition += 1) {
    for (const store of options.stores) {
      note(`repetition ${repetition} of ${options.repetitions}: ${store}`);
      const data = await mkdtemp(join(folder, `${store}-`));
      const server = await RunningStore.start(store, programs, data);
      try {
        const result = await measureStore(server, data, client, options);
        (repetitions[store] ??= []).push(result);
        result.phases.forEach((measured, index) => {
          const phase = options.phases[index];
          if (measured.errors > 0 && phase !== undefined)
            errors.push(
              `${store}, ${title(phase)}: ${measured.errors} of ${measured.requests} wrong, the first: ${measured.firstError ?? ''}`,
            );
        });
      } finally {
        await server.stop();
      }
      await rm(data, { recursive: true });
    }
  }
  return { options, repetitions, errors };
}

async function measureStore(server: RunningStore, data: string, client: string, options: PhasesOptions): Promise<Repetition> {
  const { endpoint, pid } = server;
  // Gets and lists read the same keys in every store, however many creates it manages.
  const source = { prefix: '/registry/bench.harikube.info/read/', keys: options.preload > 0 ? options.preload : KEYS_TO_READ };
  const walks = { walks: `${options.preload > 0}` };
  const by = { 'grpc-go': `${options.grpcGo}` };
  await runLoad<Summary>(client, 'phase', { endpoint, kind: 'create', clients: 16, prefix: source.prefix, count: source.keys });
  const load = async ({ kind, clients }: Phase, seconds: number, folder: string): Promise<Summary> => {
    const target = kind === 'create' ? { prefix: `/registry/bench.harikube.info/${folder}-${clients}/` } : { ...source, ...walks };
    return await runLoad<Summary>(client, 'phase', { endpoint, kind, clients, duration: `${seconds}s`, ...target, ...by });
  };

  const phases: Measured[] = [];
  let pageCache = await cachedMegabytes(data);
  for (const phase of options.phases) {
    // A store runs for weeks: code that was not run before is no part of what is compared. Of any store.
    await load(phase, options.warmUp, 'warm-up');
    if (phase.kind !== 'create') {
      if (options.cold) await dropFromPageCache(data);
      pageCache = await cachedMegabytes(data);
    }
    const before = await cpuMicroseconds(pid);
    const summary = await load(phase, options.seconds, phase.kind);
    const used = (await cpuMicroseconds(pid)) - before;
    phases.push({ ...summary, cpuMicroseconds: used / Math.max(1, summary.requests) });
  }
  return { phases, memory: await memoryUsage(pid), pageCache };
}

/** One row per phase: medians of each store, and the ratios of each router to etcd and to kine on the same engine, repetition by repetition. */
export function phasesTable({ options, repetitions }: PhasesResult): string {
  const pairs = options.stores.flatMap((store) =>
    options.stores.filter((other) => isMeasureOf(store, other)).map((other) => [store, other] as const),
  );
  const values = (store: StoreName, index: number, read: (measured: Measured) => number): number[] =>
    (repetitions[store] ?? []).flatMap((repetition) => {
      const measured = repetition.phases[index];
      return measured === undefined ? [] : [read(measured)];
    });
  const header = [
    'requests/s (server CPU µs each; p50 / p99 ms)',
    ...options.stores,
    ...pairs.map(([store, other]) => `${store} ÷ ${other}`),
  ];
  const rows = options.phases.map((phase, index) => {
    const cells = options.stores.map((store) => {
      const of = (read: (measured: Measured) => number): number => median(values(store, index, read));
      const rate = Math.round(of((measured) => measured.perSecond));
      const cpu = Math.round(of((measured) => measured.cpuMicroseconds));
      return `**${rate}** (${cpu}; ${of((measured) => measured.p50Ms).toFixed(2)} / ${of((measured) => measured.p99Ms).toFixed(2)})`;
    });
    const ratio = (store: StoreName, other: StoreName, read: (measured: Measured) => number): string => {
      const theirs = values(other, index, read);
      return median(values(store, index, read).map((own, repetition) => own / (theirs[repetition] ?? Number.NaN))).toFixed(2);
    };
    const ratios = pairs.map(
      (pair) => `${ratio(...pair, (measured) => measured.perSecond)}x, CPU ${ratio(...pair, (measured) => measured.cpuMicroseconds)}x`,
    );
    return [title(phase), ...cells, ...ratios];
  });
  const memory = options.stores.map((store) => {
    const of = (read: (usage: MemoryUsage) => number): string =>
      median((repetitions[store] ?? []).map((repetition) => read(repetition.memory))).toFixed(0);
    return `${of((usage) => usage.residentMegabytes)} MB, peak ${of((usage) => usage.peakMegabytes)} MB`;
  });
  rows.push(['resident memory after all', ...memory, ...pairs.map(() => '')]);
  const pageCache = options.stores.map((store) => {
    const of = (read: (each: Repetition) => number): string => median((repetitions[store] ?? []).map(read)).toFixed(0);
    return `${of((each) => each.pageCache.cached)} of ${of((each) => each.pageCache.size)} MB`;
  });
  rows.push(['its files in the page cache before the last reads', ...pageCache, ...pairs.map(() => '')]);
  return table(header, rows);
}

/** Whether a router's speed is told by that store's: etcd, or kine on the same engine. */
function isMeasureOf(router: StoreName, other: StoreName): boolean {
  if (!router.startsWith('router')) return false;
  if (other === 'etcd') return true;
  const engine = (store: StoreName): string => store.replace(/^(?:router|kine)/, '').replace(/^-(?:normal|full)$/, '');
  return other.startsWith('kine') && engine(other) === engine(router);
}

function title({ kind, clients }: Phase): string {
  const what = { create: 'create', get: 'get', list: 'list of 500' }[kind];
  return `${what}, ${clients} client${clients === 1 ? '' : 's'}`;
}
