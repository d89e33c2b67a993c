import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type PagesResult, runLoad } from './load-client.js';
import { median } from './median.js';
import { memoryUsage } from './process-usage.js';
import { RunningStore, type StoreName, type StorePrograms } from './stores.js';

/** What issue-sized lists may cost. */
export const PEAK_LIMIT_MEGABYTES = 300;
export const PAGE_LIMIT_MEDIANS = 3;

export interface PagesBench {
  readonly objects: number;
  readonly result: PagesResult;
  readonly peakMegabytes: number;
  readonly medianMs: number;
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Loads objects of 1.5 kB and walks them in pages of 500; the client refuses a page that is not exactly right. */
export async function measurePages(
  store: StoreName,
  objects: number,
  { client, programs, folder }: { client: string; programs: StorePrograms; folder: string },
): Promise<PagesBench> {
  const data = await mkdtemp(join(folder, `${store}-`));
  const server = await RunningStore.start(store, programs, data);
  try {
    const result = await runLoad<PagesResult>(client, 'pages', { endpoint: server.endpoint, objects, clients: 64 });
    const { peakMegabytes } = await memoryUsage(server.pid);
    return {
      objects,
      result,
      peakMegabytes,
      medianMs: median(result.pagesMs),
      firstMs: result.pagesMs[0] ?? Number.NaN,
      maxMs: Math.max(...result.pagesMs),
    };
  } finally {
    await server.stop();
    await rm(data, { recursive: true });
  }
}

/** The bench in lines, each limit with whether it holds. */
export function describePages(store: StoreName, bench: PagesBench): { text: string; holds: boolean } {
  const { loading, pagesMs } = bench.result;
  const slowest = bench.maxMs / bench.medianMs;
  const memoryHolds = bench.peakMegabytes < PEAK_LIMIT_MEGABYTES;
  const pagesHold = slowest <= PAGE_LIMIT_MEDIANS;
  const text = [
    `${store}: ${bench.objects} objects of 1.5 kB loaded in ${loading.seconds.toFixed(1)} s (${Math.round(loading.perSecond)} creates/s from 64 clients), ${pagesMs.length} pages of 500 with exact counts`,
    `- page: first ${bench.firstMs.toFixed(1)} ms, median ${bench.medianMs.toFixed(1)} ms, slowest ${bench.maxMs.toFixed(1)} ms`,
    `- peak RSS ${bench.peakMegabytes.toFixed(0)} MB, loading included: below ${PEAK_LIMIT_MEGABYTES} MB ${memoryHolds ? 'holds' : 'DOES NOT HOLD'}`,
    `- slowest page ${slowest.toFixed(2)}x the median: at most ${PAGE_LIMIT_MEDIANS}x ${pagesHold ? 'holds' : 'DOES NOT HOLD'}`,
  ].join('\n');
  return { text, holds: memoryHolds && pagesHold };
}
