import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRunning, parseIdentity } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { type Answer, answerOf } from './answer.js';
import { eventually } from './eventually.js';

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));

/** The processes that a `harikube up` runs on a data folder, by name. */
export async function processesOf(data: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const file of await readdir(join(data, 'run'))) {
    if (!file.endsWith('.json')) continue;
    const identity = parseIdentity(await readFile(join(data, 'run', file), 'utf8').catch(() => ''));
    if (identity !== null && isRunning(identity)) found.set(file.slice(0, -'.json'.length), identity.pid);
  }
  return found;
}

/** A command of `harikube` about a data folder. */
export function askAbout(data: string, env: Env, ...args: string[]): Promise<Answer> {
  return answerOf(process.execPath, [LAUNCHER, ...args, '--data', data], { env });
}

/** Resolves when `harikube status` finds every part ready. It is a process each time: it is asked when the pages of all say so. */
export async function everythingReady(data: string, env: Env): Promise<void> {
  const state = JSON.parse(await readFile(join(data, 'state.json'), 'utf8')) as {
    readonly routerHealthUrl: string;
    readonly services: readonly { readonly healthUrl: string }[];
  };
  const pages = [state.routerHealthUrl, ...state.services.map(({ healthUrl }) => healthUrl)];
  const isReady = async (page: string): Promise<boolean> => {
    try {
      return (await fetch(`${page}/readyz`)).ok;
    } catch {
      return false;
    }
  };
  await eventually(
    () => Promise.all(pages.map(isReady)),
    (ready) => ready.every((is) => is),
  );
  await eventually(
    () => askAbout(data, env, 'status'),
    ({ code }) => code === 0,
  );
}
