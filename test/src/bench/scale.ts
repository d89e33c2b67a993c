import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LoadContext } from './bench-context.js';
import { type Limit, limitLine } from './limit.js';
import { type AsideResult, type PagesResult, runLoad, type Summary } from './load-client.js';
import { median } from './median.js';
import { memoryUsage, resetPeak } from './process-usage.js';
import { RunningStore, type StoreName } from './stores.js';
import { table } from './table.js';

/** What a page costs in a small store, which a page of a large one is compared with. */
const FEW_OBJECTS = 10_000;
const VALUE_BYTES = 1000;
const PEAK_LIMIT_MEGABYTES = 400;
const PAGE_LIMIT_RATIO = 2;
const READY_LIMIT_SECONDS = 2;
/** Parts of a walk whose medians are compared: a place that is slow by itself shows, a single page that was held up does not. */
const PARTS = 20;
/** Objects that are put again before the compaction, of each hundred. */
const REWRITTEN_SHARE = 0.1;

interface Step {
  readonly what: string;
  readonly told: string;
  readonly peakMegabytes: number;
}

export interface ScaleBench {
  readonly objects: number;
  readonly steps: readonly Step[];
  readonly limits: readonly Limit[];
}

/** Loads that many objects of 1 kB into one store and does with them whatever could cost more the more there are. */
export async function measureScale(store: StoreName, objects: number, context: LoadContext): Promise<ScaleBench> {
  const data = join(context.folder, `${store}-scale`);
  await mkdir(data);
  const began = performance.now();
  let server = await RunningStore.start(store, context.programs, data);
  const emptyStart = (performance.now() - began) / 1000;
  const steps: Step[] = [];
  const limits: Limit[] = [];
  const { client, note } = context;
  const measured = async <T>(what: string, work: () => Promise<T>, tell: (result: T) => string): Promise<T> => {
    note(what);
    await resetPeak(server.pid);
    const result = await work();
    const { peakMegabytes } = await memoryUsage(server.pid);
    const told = tell(result);
    note(`  ${told}, peak ${peakMegabytes.toFixed(0)} MB`);
    steps.push({ what, told, peakMegabytes });
    limits.push({ what: `peak MB: ${what}`, value: peakMegabytes, below: PEAK_LIMIT_MEGABYTES });
    return result;
  };
  const source = { 'value-size': VALUE_BYTES };
  const fill = (from: number, to: number): Promise<Summary> =>
    right(runLoad<Summary>(client, 'phase', { ...target(), ...source, kind: 'create', keys: from, count: to - from, clients: 64 }));
  const target = () => ({ endpoint: server.endpoint, prefix: PREFIX });
  const walk = async (count: number, pageSize: number, more: Record<string, string | number> = {}): Promise<PagesResult> =>
    runLoad<PagesResult>(client, 'pages', {
      ...target(),
      ...source,
      objects: count,
      load: 'false',
      walks: 1,
      'page-size': pageSize,
      clients: 2,
      ...more,
    });
  const restart = async (kill: boolean): Promise<number> => {
    await (kill ? server.kill() : server.stop());
    const ended = performance.now();
    server = await RunningStore.start(store, context.programs, data);
    await runLoad(client, 'phase', { ...target(), ...source, kind: 'get', keys: objects, clients: 1, duration: '1ms' });
    return (performance.now() - ended) / 1000;
  };
  try {
    await measured(`loading the first ${FEW_OBJECTS}`, () => fill(0, FEW_OBJECTS), rate);
    const few: Record<number, number> = {};
    for (const pageSize of [500, 10_000]) {
      // The first walk is the warm-up: what is compared later has run often.
      const walks = await walk(FEW_OBJECTS, pageSize, { walks: 4 });
      few[pageSize] = median(walks.walksMs.slice(1).flat());
    }
    await measured(`loading ${objects}`, () => fill(FEW_OBJECTS, objects), rate);
    const compareWalk = async (pageSize: number, how: string, more: Record<string, string | number>): Promise<void> => {
      const what = `walk in pages of ${pageSize}${how}`;
      const cost = few[pageSize] ?? Number.NaN;
      const { walksMs } = await measured(
        what,
        () => walk(objects, pageSize, more),
        ({ walksMs: [pages = []] }) => {
          const worst = Math.max(...partsOf(pages).map(median));
          return `${pages.length} pages: first ${ms(pages[0])}, median ${ms(median(pages))}, slowest part ${ms(worst)}, slowest page ${ms(Math.max(...pages))}; with ${FEW_OBJECTS} objects median ${ms(cost)}`;
        },
      );
      const worst = Math.max(...partsOf(walksMs[0] ?? []).map(median));
      limits.push({
        what: `slowest part of the ${what}, times the cost with ${FEW_OBJECTS}`,
        value: worst / cost,
        below: PAGE_LIMIT_RATIO,
      });
    };
    await compareWalk(500, '', {});
    await compareWalk(10_000, '', {});
    await compareWalk(500, ' beside 100 puts a second', { writes: 100 });
    await measured(
      'pages of 500 anywhere, with no page before them',
      () => walk(objects, 500, { walks: 0, anywhere: 30 }),
      ({ anywhereMs }) => `median ${ms(median(anywhereMs))}, slowest ${ms(Math.max(...anywhereMs))}: their \`count\` is counted`,
    );
    const aside = (command: 'everything' | 'compact'): Promise<AsideResult> =>
      runLoad<AsideResult>(client, command, { ...target(), ...source, objects });
    await measured(
      'one unpaged range of everything',
      () => aside('everything'),
      (result) =>
        `${result.read.records} records, ${(result.read.bytes / 1e6).toFixed(0)} MB in ${result.seconds.toFixed(1)} s, first byte after ${ms(result.read.firstMs)}; ${besides(result)}`,
    );
    const rewritten = Math.round(objects * REWRITTEN_SHARE);
    await measured(
      `putting ${rewritten} again`,
      () => right(runLoad<Summary>(client, 'phase', { ...target(), ...source, kind: 'put', keys: objects, count: rewritten, clients: 64 })),
      rate,
    );
    await measured(
      'compacting',
      () => aside('compact'),
      (result) => `${result.seconds.toFixed(1)} s; ${besides(result)}`,
    );
    for (const kill of [false, true]) {
      const what = kill ? 'start after kill -9' : 'start after a clean stop';
      const seconds = await measured(
        what,
        () => restart(kill),
        (took) => `first get answered after ${took.toFixed(2)} s; the empty store took ${emptyStart.toFixed(2)} s to accept connections`,
      );
      limits.push({ what: `seconds: ${what}`, value: seconds, below: READY_LIMIT_SECONDS });
    }
    await compareWalk(500, ' after the start', {});
  } finally {
    await server.stop();
    await rm(data, { recursive: true });
  }
  return { objects, steps, limits };
}

const PREFIX = '/registry/bench.harikube.info/scale/';

export function describeScale(store: StoreName, { objects, steps, limits }: ScaleBench): string {
  const rows = steps.map(({ what, told, peakMegabytes }) => [what, told, `${peakMegabytes.toFixed(0)} MB`]);
  return [table([`${store}, ${objects} objects of 1 kB`, '', 'peak RSS'], rows), '', ...limits.map(limitLine)].join('\n');
}

async function right(loading: Promise<Summary>): Promise<Summary> {
  const summary = await loading;
  if (summary.errors > 0)
    throw new Error(`${summary.errors} of ${summary.requests} requests were wrong, the first: ${summary.firstError ?? ''}`);
  return summary;
}

function rate({ requests, seconds, perSecond, p99Ms }: Summary): string {
  return `${requests} in ${seconds.toFixed(0)} s, ${perSecond.toFixed(0)}/s, p99 ${ms(p99Ms)}`;
}

/** What somebody else was told meanwhile, p50 and p99. */
function besides({ aloneGet, aloneList, withGet, withList }: AsideResult): string {
  const both = (alone: Summary, beside: Summary): string =>
    `${alone.p50Ms.toFixed(1)} / ${alone.p99Ms.toFixed(1)} → ${beside.p50Ms.toFixed(1)} / ${beside.p99Ms.toFixed(1)} ms`;
  return `another client's get ${both(aloneGet, withGet)}, its page ${both(aloneList, withList)} (p50 / p99, without → beside it)`;
}

function partsOf(pages: readonly number[]): number[][] {
  const length = Math.ceil(pages.length / PARTS);
  return Array.from({ length: Math.ceil(pages.length / length) }, (_, part) => pages.slice(part * length, (part + 1) * length));
}

function ms(value = Number.NaN): string {
  return `${value.toFixed(1)} ms`;
}
