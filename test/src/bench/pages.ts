import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type PagesResult, runLoad } from './load-client.js';
import { median } from './median.js';
import { memoryUsage } from './process-usage.js';
import type { LoadContext } from './bench-context.js';
import { RunningStore, type StoreName } from './stores.js';

const PEAK_LIMIT_MEGABYTES = 300;
const PAGE_LIMIT_MEDIANS = 3;

export interface PagesBench {
  readonly objects: number;
  readonly result: PagesResult;
  readonly peakMegabytes: number;
}

/** Loads objects of 1.5 kB and walks them in pages of 500; the client refuses a page that is not exactly right. */
export async function measurePages(store: StoreName, objects: number, { client, programs, folder }: LoadContext): Promise<PagesBench> {
  const data = await mkdtemp(join(folder, `${store}-`));
  const server = await RunningStore.start(store, programs, data);
  try {
    const result = await runLoad<PagesResult>(client, 'pages', { endpoint: server.endpoint, objects, clients: 64 });
    const { peakMegabytes } = await memoryUsage(server.pid);
    return { objects, result, peakMegabytes };
  } finally {
    await server.stop();
    await rm(data, { recursive: true });
  }
}

/** The bench in lines, each limit with whether it holds. The first walk is the one that counts; the others show what was noise. */
export function describePages(store: StoreName, { objects, result, peakMegabytes }: PagesBench): { text: string; holds: boolean } {
  const { loading, walksMs } = result;
  const walks = walksMs.map((pages) => ({
    pages: pages.length,
    first: pages[0] ?? Number.NaN,
    median: median(pages),
    slowest: Math.max(...pages),
    slowestPage: pages.indexOf(Math.max(...pages)) + 1,
  }));
  const slowest = walks.map((walk) => walk.slowest / walk.median)[0] ?? Number.NaN;
  const memoryHolds = peakMegabytes < PEAK_LIMIT_MEGABYTES;
  const pagesHold = slowest <= PAGE_LIMIT_MEDIANS;
  const text = [
    `${store}: ${objects} objects of 1.5 kB loaded in ${loading.seconds.toFixed(1)} s (${Math.round(loading.perSecond)} creates/s from 64 clients), then walked in ${walks[0]?.pages ?? 0} pages of 500 with exact counts`,
    ...walks.map(
      (walk, index) =>
        `- walk ${index + 1}: first page ${walk.first.toFixed(1)} ms, median ${walk.median.toFixed(1)} ms, slowest ${walk.slowest.toFixed(1)} ms (page ${walk.slowestPage})`,
    ),
    `- peak RSS ${peakMegabytes.toFixed(0)} MB, loading included: below ${PEAK_LIMIT_MEGABYTES} MB ${memoryHolds ? 'holds' : 'DOES NOT HOLD'}`,
    `- slowest page of the first walk ${slowest.toFixed(2)}x its median: at most ${PAGE_LIMIT_MEDIANS}x ${pagesHold ? 'holds' : 'DOES NOT HOLD'}`,
  ].join('\n');
  return { text, holds: memoryHolds && pagesHold };
}
