import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Binaries, PlainEtcd, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { RouterProcess } from '../fault/router-process.js';
import { DifferenceError, runEpisode } from './episode.js';
import { GROUPS } from './request-grammar.js';

/** So many that every kind of request meets every other, and so few that a failing one is soon there again. */
const STEPS = 1000;

export interface DifferentialOptions {
  /** Of the first episode; each further one has the next. */
  readonly seed: number;
  readonly seconds: number;
  /** Of one episode; default: enough. */
  readonly steps?: number;
  readonly print: (text: string) => void;
}

export interface DifferentialReport {
  readonly episodes: number;
  readonly steps: number;
  /** What was not the same, with its seed; null: nothing. */
  readonly difference: string | null;
}

/**
 * Episodes of random requests to etcd and to the router, each on empty servers, until the time is over or an answer differs. Even seeds have
 * one database behind the router, odd ones three.
 */
export async function runDifferential({ seed, seconds, steps = STEPS, print }: DifferentialOptions): Promise<DifferentialReport> {
  const env = readEnv();
  const program = (await new Binaries({ env, progress: silent }).find(['etcd'])).etcd.path;
  const deadline = performance.now() + seconds * 1000;
  let episodes = 0;
  let done = 0;
  for (let current = seed; episodes === 0 || performance.now() < deadline; current++) {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-differential-'));
    const etcd = new PlainEtcd({ dataDir: folder, program, env, extraArgs: ['--unsafe-no-fsync', '--log-level=error'] });
    let router: RouterProcess | null = null;
    try {
      const isSplit = current % 2 !== 0;
      await etcd.start();
      router = await startRouter(folder, isSplit);
      done += await runEpisode({ seed: current, steps, isSplit, etcd: etcd.url, router: router.address });
      episodes++;
    } catch (error) {
      if (!(error instanceof DifferenceError)) throw error;
      const replay = `seed ${current}; again: npm run test:differential -- --seed ${current} --seconds 1`;
      return { episodes, steps: done, difference: `${replay}\n${error.message}` };
    } finally {
      await router?.stop();
      await etcd.stop();
      await rm(folder, { recursive: true, force: true });
    }
    print(`seed ${current}: ${done} requests in all, no difference`);
  }
  return { episodes, steps: done, difference: null };
}

async function startRouter(folder: string, isSplit: boolean): Promise<RouterProcess> {
  const databases = join(folder, 'router');
  await mkdir(databases);
  const database = join(databases, 'main.db');
  if (!isSplit) return RouterProcess.start({ database });
  const topology = join(databases, 'topology.yaml');
  // The last group stays in the default database.
  const rules = GROUPS.slice(0, -1).map(
    (prefix, i) => `  - name: db${i}\n    endpoint: sqlite://${join(databases, `db${i}.db`)}\n    prefix: {prefix: ${prefix}}\n`,
  );
  await writeFile(topology, `backends:\n${rules.join('')}`);
  return RouterProcess.start({ database, topology });
}
