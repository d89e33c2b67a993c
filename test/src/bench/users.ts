import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crdManifest, User } from '@harikube/crds';
import { BenchControlPlane, type KubernetesContext } from './bench-control-plane.js';
import { runLoad, type Summary, type UsersResult } from './load-client.js';
import { type MemoryUsage, memoryUsage } from './process-usage.js';
import { RunningStore, type StoreName } from './stores.js';
import { table } from './table.js';

const MAKERS = 16;

interface Measured {
  readonly made: UsersResult;
  readonly memory: { readonly store: MemoryUsage; readonly apiServer: MemoryUsage };
  /** By processes that were started on what is there. */
  readonly again: UsersResult;
  readonly storeStartSeconds: number;
  readonly apiServerStartSeconds: number;
  readonly memoryAgain: { readonly store: MemoryUsage; readonly apiServer: MemoryUsage };
}

export interface UsersBench {
  readonly objects: number;
  readonly stores: Readonly<Partial<Record<StoreName, Measured>>>;
}

/** Makes so many Users through a kube-apiserver with its default flags on each store, and reads them; then once more from processes that have just started. */
export async function measureUsers(stores: readonly StoreName[], objects: number, context: KubernetesContext): Promise<UsersBench> {
  const definition = join(context.folder, 'users.json');
  await writeFile(definition, JSON.stringify(crdManifest(User)));
  const measured: Partial<Record<StoreName, Measured>> = {};
  for (const store of stores) {
    context.note(`${objects} Users through kube-apiserver on ${store}`);
    const data = join(context.folder, `${store}-users`);
    await mkdir(data);
    const run = async (load: boolean) => {
      let began = performance.now();
      const server = await RunningStore.start(store, context.programs, data);
      const storeStartSeconds = (performance.now() - began) / 1000;
      began = performance.now();
      try {
        const controlPlane = await BenchControlPlane.start(server, data, context);
        const apiServerStartSeconds = (performance.now() - began) / 1000;
        try {
          const result = await runLoad<UsersResult>(context.client, 'users', {
            ...controlPlane.access,
            clients: MAKERS,
            objects,
            definition,
            load: `${load}`,
          });
          const memory = { store: await memoryUsage(server.pid), apiServer: await memoryUsage(controlPlane.apiServerPid) };
          return { result, memory, storeStartSeconds, apiServerStartSeconds };
        } finally {
          await controlPlane.stop();
        }
      } finally {
        await server.stop();
      }
    };
    const first = await run(true);
    const { result: again, memory: memoryAgain, ...starts } = await run(false);
    measured[store] = { made: first.result, memory: first.memory, again, memoryAgain, ...starts };
    await rm(data, { recursive: true });
  }
  return { objects, stores: measured };
}

export function usersTable({ objects, stores }: UsersBench): string {
  const columns = Object.entries(stores);
  const row = (what: string, read: (measured: Measured) => string): string[] => [what, ...columns.map(([, measured]) => read(measured))];
  const times = ({ p50Ms, p95Ms }: Summary): string => `${p50Ms.toFixed(1)} / ${p95Ms.toFixed(1)} ms`;
  const list = ({ listSeconds, listMegabytes }: UsersResult): string => `${listSeconds.toFixed(1)} s, ${listMegabytes.toFixed(0)} MB`;
  const memory = ({ residentMegabytes, peakMegabytes }: MemoryUsage): string =>
    `${residentMegabytes.toFixed(0)} MB, peak ${peakMegabytes.toFixed(0)} MB`;
  return table(
    [`${objects} Users`, ...columns.map(([store]) => store)],
    [
      row(`creates/s, ${MAKERS} callers; p50 / p95`, ({ made }) => `${made.creating.perSecond.toFixed(0)}; ${times(made.creating)}`),
      row('get, p50 / p95', ({ made }) => times(made.gets)),
      row('page of 500, p50 / p95', ({ made }) => times(made.pages)),
      row('list of all', ({ made }) => list(made)),
      row('memory of the store', (each) => memory(each.memory.store)),
      row('memory of kube-apiserver', (each) => memory(each.memory.apiServer)),
      row('start of the store with them', (each) => `${each.storeStartSeconds.toFixed(2)} s`),
      row('start of kube-apiserver with them', (each) => `${each.apiServerStartSeconds.toFixed(1)} s`),
      row('then: get, p50 / p95', ({ again }) => times(again.gets)),
      row('page of 500, p50 / p95', ({ again }) => times(again.pages)),
      row('list of all', ({ again }) => list(again)),
      row('memory of the store', (each) => memory(each.memoryAgain.store)),
      row('memory of kube-apiserver', (each) => memory(each.memoryAgain.apiServer)),
    ],
  );
}
