import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { probe } from '@harikube/local-cluster';
import { DataFolder, type RunningState } from './data-folder.js';
import { readPage } from './http-page.js';
import type { PlatformFacts } from './platform-facts.js';
import { type Part, statusLines } from './status-part.js';

/** Prints what runs on a data folder; resolves to 0 when everything that runs is ready, else 1. */
export async function status(data: string, write: (line: string) => void): Promise<number> {
  const folder = new DataFolder(data);
  const state = folder.readState();
  if (state === null) {
    write(`nothing runs on ${folder.path}: start it with "harikube up", or name another folder with --data`);
    return 1;
  }
  const { parts, facts } = await look(folder, state);
  write(
    `harikube up: process ${state.supervisor.pid}, since ${state.startedAt}, data in ${folder.path}${state.isReady ? '' : ', still starting'}`,
  );
  for (const line of statusLines(parts)) write(line);
  if (facts !== null) write(`  ${facts.counts}`);
  return state.isReady && parts.every(({ isReady }) => isReady) ? 0 : 1;
}

async function look(folder: DataFolder, state: RunningState): Promise<{ parts: Part[]; facts: PlatformFacts | null }> {
  const pids = new Map(folder.readProcesses().map(({ name, pid }) => [name, pid]));
  const apiServer = await kubeApiServer(folder, state, pids);
  const [store, controllers, ...services] = await Promise.all([
    storePart(state, pids),
    controllerManager(state, pids),
    ...(state.services ?? []).map(async ({ name, healthUrl }) =>
      pagePart(name, pids, { page: await readPage(`${healthUrl}/readyz?verbose`), place: `${healthUrl}/metrics` }),
    ),
  ]);
  // Kubernetes is asked only when it answers: a client would wait for it.
  const facts = state.services !== undefined && apiServer.isReady ? await platformFacts(folder, state) : null;
  return { parts: [store, apiServer, controllers, ...services, ...(facts?.parts ?? [])], facts };
}

async function platformFacts({ kubeconfig }: DataFolder, { webhooks = [] }: RunningState): Promise<PlatformFacts> {
  const { readPlatformFacts } = await import('./platform-facts.js');
  return await readPlatformFacts(kubeconfig, webhooks);
}

async function storePart({ store, storeEndpoint, routerHealthUrl }: RunningState, pids: ReadonlyMap<string, number>): Promise<Part> {
  if (routerHealthUrl === undefined) return { ...processPart(store, pids, 200), text: `${processText(store, pids)}, ${storeEndpoint}` };
  const page = await readPage(`${routerHealthUrl}/readyz?verbose`);
  const part = pagePart('router', pids, { page, place: `${storeEndpoint}, ${routerHealthUrl}/metrics` });
  // Each backend is shown, also when all are well: there may be a database for every kind.
  return { ...part, below: checkLines(page.text) };
}

async function kubeApiServer(folder: DataFolder, { apiServerUrl }: RunningState, pids: ReadonlyMap<string, number>): Promise<Part> {
  const pki = (file: string): string => readFileSync(join(folder.certificates, file), 'utf8');
  const code = await probe(`${apiServerUrl}/readyz`, { ca: pki('ca.crt'), cert: pki('admin.crt'), key: pki('admin.key') });
  const part = processPart('kube-apiserver', pids, code);
  return { ...part, text: `${part.text}, ${apiServerUrl}` };
}

async function controllerManager({ controllerManagerUrl }: RunningState, pids: ReadonlyMap<string, number>): Promise<Part> {
  // Its serving certificate is made by itself, in memory; nothing secret is sent to it.
  const code = controllerManagerUrl === undefined ? null : await probe(`${controllerManagerUrl}/healthz`, { rejectUnauthorized: false });
  return processPart('kube-controller-manager', pids, code);
}

function pagePart(
  name: string,
  pids: ReadonlyMap<string, number>,
  { page, place }: { readonly page: { readonly code: number | null; readonly text: string }; readonly place: string },
): Part {
  const part = processPart(name, pids, page.code);
  return { ...part, text: `${part.text}, ${place}`, below: checkLines(page.text).filter((line) => line.startsWith('[-]')) };
}

function processPart(name: string, pids: ReadonlyMap<string, number>, code: number | null): Part {
  const readiness = code === 200 ? '' : code === null ? ', does not answer' : `, not ready (${code})`;
  return { name, isReady: code === 200 && pids.has(name), text: `${processText(name, pids)}${readiness}` };
}

function processText(name: string, pids: ReadonlyMap<string, number>): string {
  const pid = pids.get(name);
  return pid === undefined ? 'no process' : `process ${pid}`;
}

/** The lines of a verbose health report that stand for one check each: `[+]backend-user ok`. */
function checkLines(report: string): string[] {
  return report.split('\n').filter((line) => /^\[[+-]\]/.test(line));
}
