import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type PagesResult, runLoad } from './load-client.js';
import { median } from './median.js';
import { memoryUsage } from './process-usage.js';
import type { LoadContext } from './bench-context.js';
import type { BenchOptions } from './options.js';
import { RunningStore, type StoreName } from './stores.js';

const PEAK_LIMIT_MEGABYTES = 300;
const PAGE_LIMIT_MEDIANS = 3;

export interface PagesBench {
  readonly objects: number;
  /** Each of a fresh store. */
  readonly results: readonly PagesResult[];
  /** The highest of all. */
  readonly peakMegabytes: number;
}

/** Loads objects of 1.5 kB and walks them in pages of 500, each time on a fresh store; the client refuses a page that is not exactly right. */
export async function measurePages(
  store: StoreName,
  { objects, repetitions }: Pick<BenchOptions, 'objects' | 'repetitions'>,
  { client, programs, folder }: LoadContext,
): Promise<PagesBench> {
  const results: PagesResult[] = [];
  const peaks: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const data = await mkdtemp(join(folder, `${store}-`));
    const server = await RunningStore.start(store, programs, data);
    try {
      results.push(await runLoad<PagesResult>(client, 'pages', { endpoint: server.endpoint, objects, clients: 64 }));
      const { peakMegabytes } = await memoryUsage(server.pid);
      peaks.push(peakMegabytes);
    } finally {
      await server.stop();
      await rm(data, { recursive: true });
    }
  }
  return { objects, results, peakMegabytes: Math.max(...peaks) };
}

/**
 * The bench in lines, each limit with whether it holds. The first walks are the ones that count; later ones show what was noise. A page is judged by
 * its median over the stores: one that is slow by what the store does is slow in each of them, while a pause of the machine, twice as long as a page,
 * meets another page each time.
 */
export function describePages(store: StoreName, { objects, results, peakMegabytes }: PagesBench): { text: string; holds: boolean } {
  const firstWalks = results.map(({ walksMs }) => walksMs[0] ?? []);
  const pages = (firstWalks[0] ?? []).map((_, page) => median(firstWalks.map((walk) => walk[page] ?? Number.NaN)));
  const usual = describeWalk(pages);
  const memoryHolds = peakMegabytes < PEAK_LIMIT_MEGABYTES;
  const pagesHold = usual.ratio <= PAGE_LIMIT_MEDIANS;
  const text = [
    `${store}: ${objects} objects of 1.5 kB loaded by 64 clients, then walked in ${pages.length} pages of 500 with exact counts, on ${results.length} fresh stores one after the other`,
    ...results.flatMap(({ loading, walksMs }, index) => [
      `- store ${index + 1}: loaded in ${loading.seconds.toFixed(1)} s (${Math.round(loading.perSecond)} creates/s)`,
      ...walksMs.map((walk, number) => `  - walk ${number + 1}: ${describeWalk(walk).text}`),
    ]),
    `- peak RSS ${peakMegabytes.toFixed(0)} MB, loading included: below ${PEAK_LIMIT_MEGABYTES} MB ${memoryHolds ? 'holds' : 'DOES NOT HOLD'}`,
    `- each page's median over the first walks: ${usual.text}: at most ${PAGE_LIMIT_MEDIANS}x ${pagesHold ? 'holds' : 'DOES NOT HOLD'}`,
  ].join('\n');
  return { text, holds: memoryHolds && pagesHold };
}

function describeWalk(pages: readonly number[]): { text: string; ratio: number } {
  const slowest = Math.max(...pages);
  const usual = median(pages);
  const ratio = slowest / usual;
  const above = pages.filter((page) => page > PAGE_LIMIT_MEDIANS * usual).length;
  const text = [
    `first page ${(pages[0] ?? Number.NaN).toFixed(1)} ms`,
    `median ${usual.toFixed(1)} ms`,
    `slowest ${slowest.toFixed(1)} ms (page ${pages.indexOf(slowest) + 1}, ${ratio.toFixed(2)}x the median)`,
    `above ${PAGE_LIMIT_MEDIANS}x ${above} of ${pages.length}`,
  ].join(', ');
  return { text, ratio };
}
