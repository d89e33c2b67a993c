import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LoadContext } from './bench-context.js';
import { type FanOutResult, type IdleResult, runLoad } from './load-client.js';
import { median } from './median.js';
import { cpuMicroseconds } from './process-usage.js';
import { RunningStore, type StoreName } from './stores.js';
import { table } from './table.js';
import { type Limit, limitLine } from './limit.js';

const WATCHERS = 100;
const EVENTS_PER_SECOND = 1000;
const IDLE_WATCHES = 10_000;
const LAG_LIMIT_MS = 50;
const IDLE_LIMIT_MEGABYTES = 100;

export interface WatchesOptions {
  readonly stores: readonly StoreName[];
  readonly repetitions: number;
  readonly seconds: number;
}

interface Measured {
  readonly fanOut: FanOutResult;
  /** Share of one processor that the store used while events were written. */
  readonly cpuShare: number;
  /** One stream for each watch; all of them on one stream. */
  readonly manyStreams: IdleResult;
  readonly oneStream: IdleResult;
}

export interface WatchesBench {
  readonly options: WatchesOptions;
  readonly repetitions: Readonly<Partial<Record<StoreName, Measured[]>>>;
}

/** Each measurement has a store of its own, so that none inherits the memory of another. */
export async function measureWatches(options: WatchesOptions, context: LoadContext): Promise<WatchesBench> {
  const repetitions: Partial<Record<StoreName, Measured[]>> = {};
  for (let repetition = 1; repetition <= options.repetitions; repetition += 1) {
    for (const store of options.stores) {
      context.note(`repetition ${repetition} of ${options.repetitions}: watches of ${store}`);
      const { fanOut, cpuShare } = await onFreshStore(store, context, async ({ endpoint, pid }) => {
        const before = await cpuMicroseconds(pid);
        const began = performance.now();
        const load = { endpoint, clients: WATCHERS, rate: EVENTS_PER_SECOND, duration: `${options.seconds}s` };
        const result = await runLoad<FanOutResult>(context.client, 'fan-out', load);
        const used = (await cpuMicroseconds(pid)) - before;
        return { fanOut: result, cpuShare: used / 1000 / (performance.now() - began) };
      });
      const idle = (streams: number): Promise<IdleResult> =>
        onFreshStore(store, context, ({ endpoint, pid }) =>
          runLoad<IdleResult>(context.client, 'idle', { endpoint, pid, watches: IDLE_WATCHES, streams }),
        );
      (repetitions[store] ??= []).push({ fanOut, cpuShare, manyStreams: await idle(IDLE_WATCHES), oneStream: await idle(1) });
    }
  }
  return { options, repetitions };
}

async function onFreshStore<T>(store: StoreName, context: LoadContext, run: (server: RunningStore) => Promise<T>): Promise<T> {
  const data = await mkdtemp(join(context.folder, `${store}-`));
  const server = await RunningStore.start(store, context.programs, data);
  try {
    return await run(server);
  } finally {
    await server.stop();
    await rm(data, { recursive: true });
  }
}

/** One row per store: medians; and for the first store whether the limits hold. */
export function describeWatches({ options, repetitions }: WatchesBench): { text: string; limits: readonly Limit[] } {
  const of = (store: StoreName, read: (measured: Measured) => number): number => median((repetitions[store] ?? []).map(read));
  const more = ({ beforeMegabytes, afterMegabytes }: IdleResult): number => afterMegabytes - beforeMegabytes;
  const rows = options.stores.map((store) => [
    store,
    of(store, ({ fanOut }) => fanOut.puts.perSecond).toFixed(0),
    of(store, ({ fanOut }) => fanOut.lag.perSecond).toFixed(0),
    [
      of(store, ({ fanOut }) => fanOut.lag.p50Ms),
      of(store, ({ fanOut }) => fanOut.lag.p95Ms),
      of(store, ({ fanOut }) => fanOut.lag.p99Ms),
      of(store, ({ fanOut }) => fanOut.lag.maxMs),
    ]
      .map((ms) => ms.toFixed(1))
      .join(' / '),
    `${(100 * of(store, ({ cpuShare }) => cpuShare)).toFixed(0)} %`,
    `${of(store, ({ manyStreams }) => more(manyStreams)).toFixed(0)} MB`,
    `${of(store, ({ oneStream }) => more(oneStream)).toFixed(0)} MB`,
  ]);
  const header = [
    `${WATCHERS} watchers`,
    'puts/s',
    'events delivered/s',
    'lag p50 / p95 / p99 / max ms',
    'CPU of the store',
    `${IDLE_WATCHES} idle watches, a stream each`,
    'all on one stream',
  ];
  const [first] = options.stores;
  if (first === undefined) return { text: '', limits: [] };
  const limits = [
    { what: `${first}: p99 lag in ms`, value: of(first, ({ fanOut }) => fanOut.lag.p99Ms), below: LAG_LIMIT_MS },
    { what: `${first}: MB more, a stream each`, value: of(first, ({ manyStreams }) => more(manyStreams)), below: IDLE_LIMIT_MEGABYTES },
    { what: `${first}: MB more, one stream`, value: of(first, ({ oneStream }) => more(oneStream)), below: IDLE_LIMIT_MEGABYTES },
  ];
  return { text: [table(header, rows), '', ...limits.map(limitLine)].join('\n'), limits };
}
