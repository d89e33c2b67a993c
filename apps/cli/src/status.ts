import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { probe } from '@harikube/local-cluster';
import { DataFolder } from './data-folder.js';

/** Prints what runs on a data folder; resolves to 0 when everything that runs is ready, else 1. */
export async function status(data: string, write: (line: string) => void): Promise<number> {
  const folder = new DataFolder(data);
  const state = folder.readState();
  if (state === null) {
    write(`nothing runs on ${folder.path}: start it with "harikube up", or name another folder with --data`);
    return 1;
  }
  write(
    `harikube up: process ${state.supervisor.pid}, since ${state.startedAt}, data in ${folder.path}${state.isReady ? '' : ', still starting'}`,
  );
  for (const { name, pid } of folder.readProcesses()) write(`  ${name}: process ${pid}`);
  const pki = (file: string): string => readFileSync(join(folder.certificates, file), 'utf8');
  const apiServer = await probe(`${state.apiServerUrl}/readyz`, { ca: pki('ca.crt'), cert: pki('admin.crt'), key: pki('admin.key') });
  write(`Kubernetes API: ${state.apiServerUrl} ${readiness(apiServer)}`);
  if (state.routerHealthUrl === undefined) {
    write(`etcd: ${state.storeEndpoint}`);
    return apiServer === 200 ? 0 : 1;
  }
  const router = await readText(`${state.routerHealthUrl}/readyz?verbose`);
  write(`router: ${state.storeEndpoint} ${readiness(router.code)}, metrics at ${state.routerHealthUrl}/metrics`);
  for (const line of checkLines(router.text)) write(`  ${line}`);
  return apiServer === 200 && router.code === 200 ? 0 : 1;
}

function readiness(code: number | null): string {
  if (code === null) return 'does not answer';
  return code === 200 ? 'is ready' : `is not ready (${code})`;
}

function readText(url: string): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 2000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ code: response.statusCode ?? null, text }));
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', () => resolve({ code: null, text: '' }));
  });
}

/** The lines of a verbose health report that stand for one check each: `[+]backend-user ok`. */
function checkLines(report: string): string[] {
  return report.split('\n').filter((line) => /^\[[+-]\]/.test(line));
}
